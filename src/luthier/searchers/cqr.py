"""CQR: conformalised quantile regression with Thompson sampling over the quantiles; robust to odd noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.boosted import BoostedModel, fit_boosted
from luthier.models.conformal import RULES
from luthier.models.quantile import CONFORMAL, QuantileModel, fit_quantiles, normal_scores, symmetric_levels
from luthier.searchers._base import Searcher
from luthier.searchers._features import Features
from luthier.searchers._fidelity import Aggregation
from luthier.searchers._one_hot import OneHot
from luthier.searchers._seen import Seen, draw
from luthier.space.problem import Problem
from luthier.space.values import Array

MODES = ("forest", "reference")
#: Ways of `_fidelity.WAYS` that need no weights.
FIDELITY = ("last", "rank", "level", "mature", "highest")
STARTS = 5  # best configurations whose neighbourhoods are searched


class Fitted(NamedTuple):
    """What was learnt from one snapshot.

    Args:
        number: The snapshot's.
        model: Predicts the objective; None while there is nothing to learn from.
        bounds: Predicts `_fidelity.Table.excess`; None without constraints.
        best: (<= 5, d) rows whose neighbourhoods are searched.
    """

    number: int
    model: QuantileModel | BoostedModel | None
    bounds: QuantileModel | None
    best: Array


class Pool(NamedTuple):
    """Candidates of one snapshot.

    Args:
        number: The snapshot's.
        rows: (m, d) snapped.
        keys: One a row; see `Space.unit_keys`.
        predicted: (m, q) their quantiles.
        excess: (m, q) what `Fitted.bounds` predicts; None without constraints.
    """

    number: int
    rows: Array
    keys: list[bytes]
    predicted: Array
    excess: Array | None


@register("searcher")
class Cqr(Searcher):
    """Predicts quantiles of the metric, corrects them conformally, and tries what could be best.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. A forest of randomised trees predicts the levels 1/(q+1), ..., q/(q+1) of the metric; they are sorted, and each
       symmetric pair is widened or narrowed until it covers what it promises.
    3. Candidates are drawn, most of them at random, the rest near the best five configurations; what was tried or is
       pending is left out. Each candidate draws a level by itself, and the lowest predicted value wins.

    So the winner is nearly always one with the lowest level: a lower confidence bound on a random share 1/q of the
    candidates. More quantiles make it greedier and more optimistic.

    Several proposals from the same results, for parallel workers, draw new levels for the same predictions, and none is
    taken twice: nothing is fitted again.

    Of results at several resources those at the highest one that has enough of them are learnt from; `fidelity` offers
    other ways. A failed or diverged trial counts as the worst of all. Values are replaced by the normal scores of their
    ranks, so that only their order matters. With constraints, a second forest predicts how configurations stand to
    them; each candidate draws a level there too, and competes if that quantile is within the bounds. Several objectives
    are ordered by non-dominated sorting.

    Coverage is guaranteed for exchangeable points; under search it is measured, see `diagnostics`.

    With `mode="reference"` it is the published method as its authors' library has it, for comparisons: a boosted model
    for each level (levels rounded to two decimals), a tenth held out beyond 32 results, the correction of `level`
    "reference", values as they are, one-hot features, unsorted quantiles, all candidates random, and nothing left out,
    so that a configuration may be proposed again. It is some twenty times slower.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        quantiles: Number of levels, odd (5: published; 3 was no better, 9 worse on development tasks).
        candidates: Configurations compared for each proposal (2000: published).
        local: Share of them near the best (0.2: none, 0.5 and 0.8 were no better on development tasks).
        initial: Results before the model takes over (5: published).
        conformal: Where the correction comes from: "oob" (default: one fit), "cross", "split" (published), "none".
        level: Rule of the correction: "weibull" (default: covers on average what it promises), "split", "reference".
        trees: Trees of the forest (64: some 23 are out of bag for each point, enough for quantiles at sixths).
        leaf: Fewest points in a leaf (1: noise is seen across trees; 3 was no better on tables).
        fidelity: What is learnt from results at several resources: "highest" (default of "forest": under asha, regret
            0.08 averaged over time on five development instances of lcbench, 0.20 with "last"), "last" (published;
            default of "reference"), "rank", "level" or "mature"; see `_fidelity.Aggregation`.
        mode: "forest", or "reference", which sets local, conformal, level, trees and leaf itself.

    Raises:
        ArgumentError: an option is out of range, or one is given that `mode="reference"` sets.

    Source: Salinas, Golebiowski, Klein, Seeger, Archambeau 2023 (ICML), algorithm 1 and section 4.
    Differs: a forest with out-of-bag scores instead of boosted trees with a 10 % split, from 10 points on; rank-based
        values; sorted quantiles; local candidates; no duplicates; a correction of the right size; constraints; every
        draw seeded.
    Cost: a fit O(trees s p log s) with s = min(0.63 n, 256) points a tree and p features, and O(candidates trees log s)
        for the predictions, only when something new was told (beyond 500 trials, after every ceil(n / 500) results);
        a further proposal O(candidates).
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        quantiles: int = 5,
        candidates: int = 2000,
        local: float = 0.2,
        initial: int = 5,
        conformal: str = "oob",
        level: str = "weibull",
        trees: int = 64,
        leaf: int = 1,
        fidelity: str | None = None,
        mode: str = "forest",
    ) -> None:
        super().__init__(problem, seed=seed)
        quantiles = len(symmetric_levels(quantiles))
        candidates = check("candidates", candidates, at_least=1, whole=True)
        check("local", local, at_least=0, at_most=1)
        initial = check("initial", initial, at_least=1, whole=True)
        check("conformal", conformal, one_of=CONFORMAL)
        check("level", level, one_of=RULES)
        trees = check("trees", trees, at_least=1, whole=True)
        leaf = check("leaf", leaf, at_least=1, whole=True)
        check("mode", mode, one_of=MODES)
        way = fidelity or ("last" if mode == "reference" else "highest")
        check("fidelity", way, one_of=FIDELITY)
        self._reference = mode == "reference"
        if self._reference and (local, conformal, level, trees, leaf) != (0.2, "oob", "weibull", 64, 1):
            raise ArgumentError(
                "mode='reference' sets local, conformal, level, trees and leaf. Leave them out, or take mode='forest'."
            )
        self._quantiles, self._candidates, self._initial = quantiles, candidates, initial
        self._near = 0 if self._reference else round(local * candidates)
        self._conformal, self._level, self._trees, self._leaf = conformal, level, trees, leaf
        self._features = OneHot(problem.space) if self._reference else Features(problem.space)
        self._seen = Seen(problem)
        self._data = Aggregation(problem, way, apart=not self._reference, fewest=initial)
        self._fitted = Fitted(0, None, None, np.empty((0, 0)))  # a cache, by the snapshot's number
        self._pool = Pool(0, np.empty((0, 0)), [], np.empty((0, 0)), None)  # another

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the model is fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._data.add(observations)

    def diagnostics(self) -> dict[str, float | str]:
        """Coverage of the outermost band, measured on points that the model did not learn from.

        Returns:
            `trials` the model knows, the `promised` coverage, `coverage_uncorrected`, and `coverage` with a correction
            taken from the other half of the points (the last two only when there is a model that is corrected).
        """
        found: dict[str, float | str] = {
            "trials": float(len(self._data.snapshot.records)),
            "promised": (self._quantiles - 1) / (self._quantiles + 1),
        }
        model = self._learnt().model
        if model is not None and len(model.coverage) and math.isfinite(model.coverage[0]):
            found["coverage_uncorrected"] = float(model.raw_coverage[0])
            found["coverage"] = float(model.coverage[0])
        return found

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            found = self._again(k + i, taken) if self._reference else self._one(k + i, taken)
            if found is None:
                break
            taken.update(self._seen.keys([found]))
            proposed.append(found)
        return proposed

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k, none that is taken; None when the space is exhausted."""
        rng = self.rng(k)
        if self._learnt().model is None:
            return draw(self._seen, taken, rng)
        pool = self._compared()
        left = np.flatnonzero([key not in taken for key in pool.keys])
        if not len(left):
            return draw(self._seen, taken, rng)
        won = choose(pool.predicted[left], rng, None if pool.excess is None else pool.excess[left])
        return self.space.decode(pool.rows[left[won]][None])[0]

    def _again(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k of reference mode, which may be one that is taken; None when the space is exhausted."""
        if self.space.size is not None and draw(self._seen, taken, self.rng(k, 1)) is None:
            return None
        return self._one(k, set())

    def _learnt(self) -> Fitted:
        """What the present snapshot teaches."""
        number = self._data.snapshot.number
        if self._fitted.number != number:
            self._fitted = self._fit(number)
        return self._fitted

    def _fit(self, number: int) -> Fitted:
        if len(self._data.snapshot.records) < self._initial or not self.space.dimensions:
            return Fitted(number, None, None, np.empty((0, 0)))
        table = self._data.table()
        if len(set(table.place.tolist())) < self._initial or table.merit.min() == table.merit.max():
            return Fitted(number, None, None, np.empty((0, 0)))
        X, rng = self._inputs(table.rows, table.resource), generator(self.seed, "model", number)
        best = self._data.latest.best(STARTS)
        if self._reference:
            return Fitted(number, fit_boosted(X, table.merit, rng, quantiles=self._quantiles), None, best)

        def learn(y: Array, conformal: str) -> QuantileModel:
            groups = table.place if table.feature else None
            more = {"trees": self._trees, "leaf": self._leaf, "quantiles": self._quantiles}
            return fit_quantiles(X, y, rng, conformal=conformal, rule=self._level, groups=groups, **more)

        model = learn(normal_scores(table.merit), self._conformal)
        return Fitted(number, model, None if table.excess is None else learn(table.excess, "none"), best)

    def _inputs(self, rows: Array, resource: Array) -> Array:
        """Features, with the resource where rows of several stand side by side."""
        features = self._features(rows)
        return np.column_stack([features, resource]) if self._data.way == "level" else features

    def _compared(self) -> Pool:
        """Candidates of the present snapshot with their predictions. A space that is small is listed."""
        number, model, bounds, _ = self._learnt()
        if self._pool.number != number and model is not None:
            size = self.space.size
            listed = not self._reference and self._seen.listed and size is not None and size <= self._candidates
            rows = self._seen.left(set()) if listed else self._drawn(generator(self.seed, "model", number, 1))
            X = self._inputs(rows, np.ones(len(rows)))
            excess = None if bounds is None else bounds.predict(X)
            self._pool = Pool(number, rows, self.space.unit_keys(rows), model.predict(X), excess)
        return self._pool

    def _drawn(self, rng: np.random.Generator) -> Array:
        """Random rows, and neighbours of the best; (candidates, d)."""
        rows = self.space.sample_unit(self._candidates - self._near, rng)
        if not self._near:
            return rows
        best = self._learnt().best
        near = self.space.perturb(best[np.arange(self._near) % len(best)], rng)
        return np.concatenate([rows, near])


def choose(predicted: Array, rng: np.random.Generator, excess: Array | None = None) -> int:
    """Thompson sampling over quantiles: each candidate draws a level, the lowest value wins.

    Among equal values the first wins. Predictions of forests tie often, near the best point most of all; since random
    candidates stand first, a tie is settled in favour of looking elsewhere.

    Args:
        predicted: (m, q) quantiles of m candidates.
        rng: Source of randomness.
        excess: (m, q) quantiles of how they stand to the constraints. Each candidate draws a level of its own for
            these too, and is out unless that quantile is <= 0; when all are out, the lowest of these wins.

    Returns:
        Number of the winner.
    """
    each = np.arange(len(predicted))
    drawn = predicted[each, rng.integers(predicted.shape[1], size=len(predicted))]
    if excess is not None:
        over = excess[each, rng.integers(excess.shape[1], size=len(excess))]
        drawn = np.where(over <= 0.0, drawn, np.inf) if over.min() <= 0.0 else over
    return int(np.argmin(drawn))
