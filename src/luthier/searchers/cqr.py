"""CQR: conformalised quantile regression with Thompson sampling over the quantiles; robust to odd noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.conformal import RULES
from luthier.models.quantile import CONFORMAL, QuantileModel, fit_quantiles, normal_scores, symmetric_levels
from luthier.searchers._base import Searcher
from luthier.searchers._features import Features
from luthier.searchers._latest import Latest, Snapshot
from luthier.searchers._seen import Seen, draw, fresh
from luthier.space.problem import Problem
from luthier.space.values import Array

STARTS = 5  # best configurations whose neighbourhoods are searched


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

    A trial counts with its last value, whatever resource that was measured at. A failed or diverged trial counts as
    the worst value of all. With constraints, feasible trials come first, by value, then the infeasible ones by how much
    they violate. Values are replaced by the normal scores of their ranks, so that only their order matters.
    Coverage is guaranteed for exchangeable points; under search it is measured, see `diagnostics`.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        quantiles: Number of levels, odd (5: the published experiments).
        candidates: Configurations compared for each proposal (2000: published).
        local: Share of them near the best (0.2: none is worse near an optimum, 0.5 made no clear difference on tables).
        initial: Results before the model takes over (5: published).
        conformal: Where the correction comes from: "oob" (default: one fit), "cross", "split" (published), "none".
        level: Rule of the correction: "weibull" (default: covers on average what it promises), "split", "reference".
        trees: Trees of the forest (64: some 23 are out of bag for each point, enough for quantiles at sixths).
        leaf: Fewest points in a leaf (1: noise is seen across trees; 3 was no better on tables).

    Raises:
        ArgumentError: an option is out of range.

    Source: Salinas, Golebiowski, Klein, Seeger, Archambeau 2023 (ICML), algorithm 1 and section 4.
    Differs: a forest with out-of-bag scores instead of boosted trees with a 10 % split, from 10 points on; rank-based
        values; sorted quantiles; local candidates; no duplicates; a correction of the right size; every draw seeded.
    Cost: a fit O(trees s p log s) with s = min(0.63 n, 256) points a tree and p features, only when something new was
        told (beyond 500 trials, after every ceil(n / 500) results); a proposal O(candidates trees log s).
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
    ) -> None:
        super().__init__(problem, seed=seed)
        symmetric_levels(quantiles)
        check("candidates", candidates, at_least=1, whole=True)
        check("local", local, at_least=0, at_most=1)
        check("initial", initial, at_least=1, whole=True)
        check("conformal", conformal, one_of=CONFORMAL)
        check("level", level, one_of=RULES)
        check("trees", trees, at_least=1, whole=True)
        check("leaf", leaf, at_least=1, whole=True)
        self._quantiles, self._candidates, self._initial = quantiles, candidates, initial
        self._near = round(local * candidates)
        self._conformal, self._level, self._trees, self._leaf = conformal, level, trees, leaf
        self._features = Features(problem.space)
        self._seen = Seen(problem.space)
        self._latest = Latest(problem.space)
        self._fitted: tuple[int, QuantileModel | None] = (0, None)  # a cache, keyed by the snapshot's number

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the model is fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._latest.add(observations)

    def diagnostics(self) -> dict[str, float | str]:
        """Coverage of the outermost band, measured on points that the model did not learn from.

        Returns:
            `trials` the model knows, the `promised` coverage, `coverage_uncorrected`, and `coverage` with a correction
            taken from the other half of the points (the last two only when there is a model that is corrected).
        """
        found: dict[str, float | str] = {
            "trials": float(len(self._latest.snapshot.records)),
            "promised": (self._quantiles - 1) / (self._quantiles + 1),
        }
        model = self._model()
        if model is not None and len(model.coverage) and math.isfinite(model.coverage[0]):
            found["coverage_uncorrected"] = float(model.raw_coverage[0])
            found["coverage"] = float(model.coverage[0])
        return found

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            found = self._one(k + i, taken)
            if found is None:
                break
            taken.update(self._seen.keys([found]))
            proposed.append(found)
        return proposed

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        model = self._model()
        if model is None:
            return draw(self._seen, taken, rng)
        rows = self._draw_candidates(rng, taken)
        if not len(rows):
            return draw(self._seen, taken, rng)
        predicted = model.predict(self._features(rows))
        return self.space.decode(rows[choose(predicted, rng)][None])[0]

    def _model(self) -> QuantileModel | None:
        """The model of the present snapshot; None while there is nothing to learn from."""
        snapshot = self._latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._fit(snapshot))
        return self._fitted[1]

    def _fit(self, snapshot: Snapshot) -> QuantileModel | None:
        if len(snapshot.records) < self._initial or not self.space.dimensions:
            return None
        merit = snapshot.merit()
        if merit.min() == merit.max():
            return None
        return fit_quantiles(
            self._features(self._latest.rows()),
            normal_scores(merit),
            generator(self.seed, "model", snapshot.number),
            quantiles=self._quantiles,
            conformal=self._conformal,
            rule=self._level,
            trees=self._trees,
            leaf=self._leaf,
        )

    def _draw_candidates(self, rng: np.random.Generator, taken: set[bytes]) -> Array:
        """Snapped rows to compare, none of them taken; (m, d). A space that is small is listed."""
        size = self.space.size
        if size is not None and size <= self._candidates:
            return self._seen.left(taken)
        rows = self.space.sample_unit(self._candidates - self._near, rng)
        if self._near:
            best = self._latest.rows()[np.argsort(self._latest.snapshot.merit(), kind="stable")[:STARTS]]
            near = self.space.perturb(best[np.arange(self._near) % len(best)], rng)
            rows = np.concatenate([rows, near])
        rows = fresh(self.space, rows, taken)
        return rows if len(rows) else self._seen.left(taken)


def choose(predicted: Array, rng: np.random.Generator) -> int:
    """Thompson sampling over quantiles: each candidate draws a level, the lowest value wins.

    Among equal values the first wins. Predictions of forests tie often, near the best point most of all; since random
    candidates stand first, a tie is settled in favour of looking elsewhere.

    Args:
        predicted: (m, q) quantiles of m candidates.
        rng: Source of randomness.

    Returns:
        Number of the winner.
    """
    level = rng.integers(predicted.shape[1], size=len(predicted))
    return int(np.argmin(predicted[np.arange(len(predicted)), level]))
