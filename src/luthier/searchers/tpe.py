"""TPE: tries what is likely among good configurations and unlikely among the others; fast, for any space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.models.parzen import Axis, Parzen
from luthier.searchers._base import Searcher
from luthier.searchers._highest import trials_of
from luthier.searchers._latest import Snapshot
from luthier.searchers._seen import Seen, draw, fresh, unreported
from luthier.space.domains import Choice
from luthier.space.number import Number
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array, Mask

Places = NDArray[np.intp]

#: Values of a number or ordinal up to which each has a cell of its own; beyond, it counts as continuous.
CELLS = 64
#: Trials of a set that have kernels; of more, as many are taken at even steps.
MOST = 1000


@register("searcher")
class Tpe(Searcher):
    """Models good and bad configurations by two densities, and tries where their ratio is highest.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. Trials are ordered. The best ceil(share n), at most `most`, are good, the others bad; what is pending counts as
       bad, so that workers spread out. Both sets get a density l and g: a mixture of product kernels over all
       hyperparameters together, and of the uniform density. Among the good, the best trial weighs most, by rank.
    3. Candidates are drawn from l, and the one with the highest l / g wins. What was tried or is pending is left out.
       If trials were infeasible or failed, l / g is multiplied by the probability of neither, from the densities of
       what was usable and what was not, by Bayes' rule.

    Hyperparameters that are inactive in a candidate have no part in its densities; where an observation lacks one that
    the candidate has, its kernel is uniform in that dimension.

    A trial counts with its last value, whatever resource that was measured at. Failed and diverged trials are bad. With
    constraints, feasible trials come first, by value, then the infeasible ones by how much they violate. Several
    objectives are ordered by non-dominated fronts, and by crowding inside a front. Only the order of values matters.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        candidates: Configurations compared for each proposal (128: on twelve development tasks of numbers and ordinals
            24 were worse by a tenth at 100 trials; on functions of four choices 512 were, by a half at 50).
        initial: Results before the densities take over, at least 1 (10: Optuna's; 5 were no better there).
        share: Share of the trials that are good (0.15: with rank weights a little better than 0.1 without them).
        most: Most good trials, at least 1 (25: Optuna's).
        width: Standard deviation of a number's kernel after one trial, as a share of its range; it shrinks with n
            (0.2: Optuna's; at 100 trials 0.1, 0.3 and what follows the spread of the good trials were worse).
        fidelity: What is learnt from results at several resources: "highest" (default), those at the highest resource
            that has `initial` of them, or "last", the last of each trial (under asha, regret averaged over time
            on five development instances of lcbench 0.18, and 0.15 with "highest").

    Raises:
        ArgumentError: an option is out of range.

    Source: Bergstra, Bardenet, Bengio, Kegl 2011, section 4.
    Differs: one density over all hyperparameters, conditional ones included, not one each; rank weights; more
        candidates; pending trials; no duplicates; the uniform density takes its draws, but not its values, from the
        space's priors; the probability of a usable result, which resembles Watanabe and Hutter 2022 (c-TPE).
    Cost: a fit O(n log n + n d) when something new was told (beyond 500 trials, after every ceil(n / 500) results); a
        proposal O(candidates d min(n, 1025)) time and O(candidates min(n, 1025)) memory.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        candidates: int = 128,
        initial: int = 10,
        share: float = 0.15,
        most: int = 25,
        width: float = 0.2,
        fidelity: str = "highest",
    ) -> None:
        super().__init__(problem, seed=seed)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        initial = check("initial", initial, at_least=1, whole=True)
        check("share", share, above=0, below=1)
        most = check("most", most, at_least=1, whole=True)
        check("width", width, above=0)
        self._candidates, self._initial, self._share, self._most = candidates, initial, share, most
        self._width, self._axes = width, _axes(problem.space)
        self._seen = Seen(problem)
        self._latest = trials_of(problem, fidelity, fewest=self._initial)
        self._fitted: tuple[int, _Model | None] = (0, None)  # a cache, keyed by the snapshot's number
        self._bad: tuple[tuple[int, tuple[bytes, ...]], Parzen] | None = None  # keyed by that and what is pending

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; densities are fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._latest.add(observations)

    def diagnostics(self) -> dict[str, float | str]:
        """How many `trials` there are, and how many of them count as `good`: 0 while proposals are random."""
        model = self._model()
        good = 0 if model is None else model.good.size
        return {"trials": float(len(self._latest.snapshot.records)), "good": float(good)}

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            found = self._one(k + i, taken, [*pending, *proposed])
            if found is None:
                break
            taken.update(self._seen.keys([found]))
            proposed.append(found)
        return proposed

    def _one(self, k: int, taken: set[bytes], pending: Sequence[Configuration]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        model = self._model()
        if model is None:
            return draw(self._seen, taken, rng)
        rows = self._draw_candidates(model.density, taken, rng)
        if not len(rows):
            return draw(self._seen, taken, rng)
        active = self.space.active(rows)
        score = model.density.log_density(rows, active) - self._bad_density(model, pending).log_density(rows, active)
        score += model.log_usable(rows, active)
        return self.space.decode(rows[np.argmax(score)][None])[0]

    def _draw_candidates(self, good: Parzen, taken: set[bytes], rng: np.random.Generator) -> Array:
        """Snapped rows from the good density, none of them taken; (m, d)."""
        uniform = self.space.warp(rng.random((self._candidates, self.space.dimensions)))
        rows = self.space.snap(good.draw(uniform, rng))
        rows = fresh(self.space, rows[self.space.allowed(rows)], taken)
        if len(rows):
            return rows
        left = self._seen.left(taken)  # of a finite space in which all that is likely was tried
        return left[rng.permutation(len(left))[: self._candidates]]

    def _model(self) -> _Model | None:
        """The model of the present snapshot; None while there is nothing to learn from."""
        snapshot = self._latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._fit(snapshot))
        return self._fitted[1]

    def _fit(self, snapshot: Snapshot) -> _Model | None:
        n = len(snapshot.records)
        if n < self._initial or not self.space.dimensions:
            return None
        merit, failed = snapshot.merit(), snapshot.failed
        if failed.all() or (merit.min() == merit.max() and not failed.any()):
            return None
        order = np.lexsort((failed, merit))  # a failed trial has the merit of the worst, and comes after it
        count = min(math.ceil(self._share * n), self._most, n - int(failed.sum()))
        good, bad = order[:count], _thinned(order[count:])
        weights = np.linspace(count, 1.0, count) * (2.0 / (count + 1))
        rows, usable = self._latest.rows(), snapshot.feasible
        parts = [_thinned(np.flatnonzero(usable == word)) for word in (True, False)] if not usable.all() else []
        return _Model(
            good,
            bad,
            self._density(rows[good], weights),
            tuple(self._density(rows[part], None) for part in parts),
            tuple(math.log1p(int((usable == word).sum())) for word in (True, False)),
        )

    def _bad_density(self, model: _Model, pending: Sequence[Configuration]) -> Parzen:
        """The density of the bad trials, and of those pending ones that have reported nothing."""
        key = (self._latest.snapshot.number, tuple(self._seen.keys(pending)))
        if self._bad is None or self._bad[0] != key:
            rows = self._latest.rows()
            bad = rows[model.bad]
            bad = np.concatenate([bad, unreported(self.space, pending, rows)])
            self._bad = (key, self._density(bad, None))
        return self._bad[1]

    def _density(self, rows: Array, weights: Array | None) -> Parzen:
        return Parzen(self._axes, rows, self.space.active(rows), width=self._width, weights=weights)


class _Model(NamedTuple):
    """What was learnt from a snapshot.

    Args:
        good: Places of the good trials, the best first.
        bad: Places of the bad ones.
        density: That of the good ones.
        parts: The densities of what is feasible, and of what is infeasible or failed; none where all is feasible.
        sizes: Logarithms of one more than how many trials these are.
    """

    good: Places
    bad: Places
    density: Parzen
    parts: tuple[Parzen, ...]
    sizes: tuple[float, ...]

    def log_usable(self, rows: Array, active: Mask) -> Array:
        """Logarithm of the probability that rows are feasible and do not fail; (m, d) and (m, d) -> (m,)."""
        if not self.parts:
            return np.zeros(len(rows))
        yes, no = (part.log_density(rows, active) + size for part, size in zip(self.parts, self.sizes, strict=True))
        found: Array = yes - np.logaddexp(yes, no)
        return found


def _thinned(places: Places) -> Places:
    """All of them, or `MOST` at even steps."""
    if len(places) <= MOST:
        return places
    return places[np.linspace(0, len(places) - 1, MOST).round().astype(np.intp)]


def _axes(space: Space) -> list[Axis]:
    """What each column holds."""
    found = []
    for place, (name, known) in enumerate(zip(space.columns, space.levels, strict=True)):
        domain = space[name]
        if isinstance(domain, Choice):
            found.append(Axis(np.linspace(0.0, 1.0, known + 1), ordered=False))
        elif not 0 < known <= CELLS:
            found.append(Axis())
        elif isinstance(domain, Number):
            # cells of logarithmic values differ in width; they meet half-way between two codes
            codes = space.encode([{name: domain.at(level)} for level in range(known)])[0][:, place]
            found.append(Axis(np.concatenate([[0.0], (codes[1:] + codes[:-1]) / 2.0, [1.0]])))
        else:
            found.append(Axis(np.linspace(0.0, 1.0, known + 1)))
    return found
