"""Copula Thompson sampling: draws from what earlier tasks have in common, whatever their scales."""

from __future__ import annotations

from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers.transfer._copula import Common
from luthier.searchers.transfer._past_first import PastFirst
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Candidates; see `Cts`.
CANDIDATES = 10_000


@register("searcher")
class Cts(PastFirst):
    """Draws a score for each of many configurations from the earlier tasks' law, and tries the lowest.

    Each task's values become normal scores, so that scales do not matter; one regressor of all of them gives a mean
    and a standard deviation. Today's trials change nothing: what they are good for
    is `gcp`. Only where they speak against that law (of the pairs of which it clearly tells which should be better,
    more than half, and at least two, came the other way round) `gp` goes on without it.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        regressor: What learns the law from all earlier trials: "trees", boosted ones (as in Syne Tune, and so in what
            OTHPO published), or "net", a smooth network (as in the paper).
        candidates: Configurations drawn once and compared at each proposal (10 000, the number of the authors' code;
            among Syne Tune's 100 000 the lowest draw is more often a lucky one of a worse place: a normalised score of
            12 in place of 1 after 25 evaluations of XGBoost on MNIST, three runs).
        guard: Whether to leave the law where it does not hold; False: as published.

    Raises:
        ArgumentError: an option is out of range.

    Source: Salinas, Shen, Perrone 2020, A quantile-based approach for hyperparameter transfer learning (CTS).
    Differs: see `Boosted` and `fit_smooth_net`; the guard; no configuration twice.
    Cost: one regressor of all earlier trials, once; then O(candidates) a proposal.
    """

    def __init__(
        self, problem: Problem, *, seed: int, regressor: str = "trees", candidates: int = CANDIDATES, guard: bool = True
    ) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        self._common = Common(problem.space, self._tasks, seed=seed, regressor=regressor, candidates=candidates)

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        row = self._common.draw(taken, self.rng(k))
        return self.space.decode(row)[0] if len(row) else None

    def _expected(self, rows: Array) -> Array:
        return self._common.mean(rows)

    @property
    def _plan(self) -> str:
        trials = sum(len(task) for task in self._tasks)
        return f"Thompson sampling from {trials} trials of {len(self._tasks)} earlier tasks"

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind, and the standard deviation of a normal score."""
        found = super().diagnostics()
        return {**found, "sigma": self._common.sigma} if self._tasks else found
