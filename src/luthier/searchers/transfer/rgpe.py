"""Ranking-weighted ensemble: a process for each earlier task and today's, weighted by how well each ranks today."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check, check_flag
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.acquisition import log_ei
from luthier.models.gp import GP, Hyper, condition, fit_hyper
from luthier.models.warp import warp_values
from luthier.searchers._latest import Snapshot
from luthier.searchers._maximise import maximise
from luthier.searchers._seen import unreported
from luthier.searchers._surrogates import chosen
from luthier.searchers.gp import NEAR, believe
from luthier.searchers.transfer._past_first import AFTER, PastFirst
from luthier.searchers.transfer._selection import select
from luthier.space.problem import Problem
from luthier.space.values import Array

MOST = 50  # trials of an earlier task that its process holds, the best half and others: 30 fits then take seconds
TODAY = 200  # of today's trials, chosen the same way
BESIDE = 50  # the best of them, near which the earlier processes are made surer: there proposals would pile up
SAMPLES = 256  # bootstrap samples: a weight is a share of them
KEPT = 8  # processes that predict, those with the largest weights: a proposal would take twice as long with 30
DILUTED = 95  # percentile of today's loss that an earlier task's median loss must not exceed


class _Ensemble(NamedTuple):
    """Processes that predict together.

    Args:
        parts: Today's process last, if it has weight.
        weights: One a process, sum 1.
        rows: (n, d) today's trials that they were judged by, the best first.
        today: Weight of today's process.
    """

    parts: tuple[GP, ...]
    weights: Array
    rows: Array
    today: float

    def beside(self, known: Array, waiting: Array) -> _Ensemble:
        """The same means, and less variance where trials are known or pending; features (n, p), (q, p)."""
        both = np.concatenate([known, waiting])
        parts = [believe(part, both) for part in self.parts[: len(self.parts) - (self.today > 0.0)]]
        if self.today > 0.0:
            parts.append(believe(self.parts[-1], waiting))
        return self._replace(parts=tuple(parts))

    def predict(self, Z: Array) -> tuple[Array, Array]:
        """Weighted mean, and root of the sum of squared weights times variances; (m, p) -> (m,), (m,)."""
        predicted = [part.predict(Z) for part in self.parts]
        mean, sd = (np.stack(some) for some in zip(*predicted, strict=True))
        return self.weights @ mean, np.sqrt(self.weights**2 @ sd**2)


@register("searcher")
class Rgpe(PastFirst):
    """Averages the predictions of a process for each earlier task and of today's, the better at ranking the heavier.

    A process is judged by the pairs of today's trials that its mean puts in the wrong order; today's own process by
    predictions for each trial that leave it out. Over bootstrap samples of the trials, a process weighs as much as the
    share of samples in which it has the lowest loss (of equal ones today's has it, else they share). An earlier task
    whose median loss exceeds the 95th percentile of today's takes no part, so that many useless tasks cannot
    dilute the ensemble. The expected improvement is that on the lowest ensemble mean at what was tried.

    The first three proposals are the best configurations of the last tasks, as those of `simple-ordered`; random ones
    follow, if need be, until three results are there.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        initial: Results before the ensemble proposes (3: fewer have no ranks worth the name).
        guard: Whether to leave out an earlier task that ranks worse than today's process; False: no task is dropped,
            and only the weights tell them apart.

    Raises:
        ArgumentError: an option is out of range.

    Source: Feurer, Letham, Hutter, Bakshy 2018, Practical transfer learning for Bayesian optimization.
    Differs: variances of the earlier processes are less where today's best trials and pending ones lie, since nothing
        is to be learnt there again; eight processes at most predict; left out, today's predictions are compared with
        what was measured; the first proposals.
    Cost: T fits of O(m^3) steps, m <= 50, once; then one fit of O(n^3) steps, n <= 200, in the rhythm of `gp`, T n
        predictions at each result, and O(8 (m + 50)^2 + n^2) a candidate.
    """

    def __init__(self, problem: Problem, *, seed: int, initial: int = AFTER, guard: bool = True) -> None:
        super().__init__(problem, seed=seed, guard=False)  # the weights are the guard
        initial = check("initial", initial, at_least=1, whole=True)
        self._initial, self._drop = initial, check_flag("guard", guard)
        self._first = tuple(select(self._tasks, self._initial))
        self._hyper: tuple[int, Hyper] | None = None  # a cache, keyed by the anchor
        self._kept: tuple[int, _Ensemble | None] = (0, None)  # a cache, keyed by the snapshot

    @cached_property
    def _bases(self) -> tuple[GP, ...]:
        """A process for each earlier task."""
        found = []
        for i, task in enumerate(self._tasks):
            places = np.arange(len(task))
            if len(places) > MOST:
                places = chosen(task.values, places, MOST, generator(self.seed, "model", 1 + i, 5))
            Z = self._features(task.rows[places])
            found.append(self._fit(Z, warp_values(task.values[places])))
        return tuple(found)

    def _fit(self, Z: Array, y: Array) -> GP:
        categorical = self._features.categorical
        return condition(Z, y, fit_hyper(Z, y, categorical, bent=False), categorical)

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        bases = self._bases  # fitted when first asked, so that no later proposal has to wait for all of them
        if len(self._latest.snapshot.records) < self._initial or not bases or not self.space.dimensions:
            keys = self._seen.keys(self._first)
            return next((c for c, key in zip(self._first, keys, strict=True) if key not in taken), None)
        ensemble = self._ensemble()
        known = self._features(ensemble.rows)
        pending = self._features(unreported(self.space, waiting, self._latest.rows()))
        aware = ensemble.beside(known[:BESIDE], pending)
        best = float(ensemble.predict(known)[0].min())
        near = self._latest.best(NEAR)
        rows, _ = maximise(
            self._seen, taken, lambda some: log_ei(*aware.predict(self._features(some)), best), self.rng(k), near=near
        )
        return self.space.decode(rows[:1])[0] if len(rows) else None

    def from_past(self, config: Configuration) -> bool:
        """Whether a configuration is one of the first proposals."""
        return config in self._first

    def _ensemble(self) -> _Ensemble:
        number, found = self._kept
        if found is None or number != self._latest.snapshot.number:
            found = self._weighted()
            self._kept = (self._latest.snapshot.number, found)
        return found

    def _weighted(self) -> _Ensemble:
        snapshot, anchor = self._latest.snapshot, self._latest.anchor
        if self._hyper is None or self._hyper[0] != anchor.number:
            Z, y, _ = self._today(anchor)
            self._hyper = (anchor.number, self._fit(Z, y).hyper)
        Z, y, rows = self._today(snapshot)
        today = condition(Z, y, self._hyper[1], self._features.categorical)
        wrong = np.stack([*(_misranked(base.predict(Z)[0], y) for base in self._bases), _misranked_left_out(today, y)])
        weights = ranking_weights(wrong, generator(self.seed, "model", snapshot.number, 7), drop=self._drop)
        order = np.argsort(-weights, kind="stable")[:KEPT]
        order = np.sort(order[weights[order] > 0.0])
        parts = (*self._bases, today)
        kept = weights[order] / weights[order].sum()
        own = float(kept[-1]) if order[-1] == len(self._bases) else 0.0
        return _Ensemble(tuple(parts[i] for i in order), kept, rows, own)

    def _today(self, snapshot: Snapshot) -> tuple[Array, Array, Array]:
        """Features, values and rows of today's trials, the best first."""
        merit, places = snapshot.merit(), np.arange(len(snapshot.records))
        if len(places) > TODAY:
            places = chosen(merit, places, TODAY, generator(self.seed, "model", snapshot.number, 6))
        places = places[np.argsort(merit[places], kind="stable")]
        rows = self._latest.rows(snapshot)[places]
        return self._features(rows), warp_values(merit[places]), rows

    @property
    def _plan(self) -> str:
        return f"processes of {len(self._tasks)} earlier tasks and today's, weighted by how they rank today's trials"

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind, how many processes predict, and the weight of today's."""
        found = super().diagnostics()
        if self._tasks and len(self._latest.snapshot.records) >= self._initial and self.space.dimensions:
            found |= {"processes": len(self._ensemble().parts), "weight_today": self._ensemble().today}
        return found


def _misranked(mean: Array, y: Array) -> Array:
    """Which pairs a prediction puts in the wrong order; (n,), (n,) -> (n, n) of 0 and 1."""
    found: Array = ((mean[:, None] < mean) != (y[:, None] < y)).astype(float)
    return found


def _misranked_left_out(process: GP, y: Array) -> Array:
    """Which pairs a process puts in the wrong order that has not seen the first of them; (n, n)."""
    mean = process.left_out()[0]
    found: Array = ((mean[:, None] < y) != (y[:, None] < y)).astype(float)
    np.fill_diagonal(found, 0.0)
    return found


def ranking_weights(wrong: Array, rng: np.random.Generator, *, drop: bool = True, samples: int = SAMPLES) -> Array:
    """Weights of processes by their misranked pairs.

    Args:
        wrong: (T + 1, n, n) which pairs each puts in the wrong order; today's process last.
        rng: Draws the bootstrap samples.
        drop: Whether processes whose median loss exceeds the 95th percentile of the last one's get no weight.
        samples: How many bootstrap samples of the n trials.

    Returns:
        (T + 1,) weights that sum to 1.

    Source: Feurer, Letham, Hutter, Bakshy 2018, sections 4.2 and 4.3.
    Cost: O(samples T n^2).
    """
    n = wrong.shape[1]
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=samples).astype(float)  # (samples, n)
    loss = np.stack([((counts @ pairs) * counts).sum(axis=1) for pairs in wrong])  # (T + 1, samples)
    if drop:
        bad = np.median(loss, axis=1) > np.percentile(loss[-1], DILUTED)
        bad[-1] = False
        loss[bad] = np.inf
    lowest = loss == loss.min(axis=0)
    lowest[:-1, lowest[-1]] = False  # of equal ones today's
    found: Array = (lowest / lowest.sum(axis=0)).mean(axis=1)
    return found
