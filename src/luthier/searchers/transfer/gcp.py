"""Gaussian copula process: what earlier tasks have in common, and a process for how today's task differs from it."""

from __future__ import annotations

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.models.acquisition import log_ei
from luthier.models.gp import GP, Hyper, condition, fit_hyper
from luthier.searchers._latest import Snapshot
from luthier.searchers._maximise import maximise
from luthier.searchers._seen import unreported
from luthier.searchers.gp import NEAR, believe
from luthier.searchers.transfer._copula import Common, scores
from luthier.searchers.transfer._past_first import AFTER, PastFirst
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Trials that the process holds, the best and the last ones.
MOST = 200


@register("searcher")
class Gcp(PastFirst):
    """Corrects the earlier tasks' law of normal scores by a process of what it gets wrong today.

    With z the normal scores of today's trials, mu and sigma the law's mean and standard deviation, a process is fitted
    to (z - mu(x)) / sigma. Its prediction, scaled back and added to mu, gives the expected improvement on the lowest
    predicted score of what was tried. The first three results come from the law's draws, as those of `cts`.

    Trials are ordered as in `merit`: feasible ones first, then by how much they violate; a failed one is the worst.
    Where today's trials speak against the law, `gp` goes on without it.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        initial: Results before the process corrects the law (3: two scores say nothing of a scale).
        regressor: What learns the law from all earlier trials: "net" (default: a process cannot undo the steps of
            trees, and stays where one ends) or "trees".
        candidates: Configurations drawn once for the law's draws (10 000, as in the authors' code: there are but few).
        guard: Whether to leave the law where it does not hold; False: as published.

    Raises:
        ArgumentError: an option is out of range.

    Source: Salinas, Shen, Perrone 2020, A quantile-based approach for hyperparameter transfer learning (GCP).
    Differs: see `Common` and `fit_smooth_net`; the yardstick is a predicted score; pending trials count as if they had
        given their predicted scores; the guard.
    Cost: that of `cts` once; then one fit of O(n^3) steps, n <= 200, in the rhythm of `gp`, and O(n^2) a candidate.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        initial: int = AFTER,
        regressor: str = "net",
        candidates: int = 10_000,
        guard: bool = True,
    ) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        self._initial: int = check("initial", initial, at_least=1, whole=True)
        self._common = Common(problem.space, self._tasks, seed=seed, regressor=regressor, candidates=candidates)
        self._hyper: tuple[int, Hyper] | None = None  # a cache, keyed by the anchor
        self._residual: tuple[int, GP | None, Array] = (0, None, np.empty((0, 0)))  # a cache, keyed by the snapshot

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        rng = self.rng(k)
        if len(self._latest.snapshot.records) < self._initial or not self.space.dimensions:
            row = self._common.draw(taken, rng)
            return self.space.decode(row)[0] if len(row) else None
        residual, rows = self._fitted()
        known = self._features(unreported(self.space, waiting, self._latest.rows()))
        process, sigma = believe(residual, known), self._common.sigma

        def corrected(some: Array) -> tuple[Array, Array]:
            mean, sd = process.predict(self._features(some))
            return self._common.mean(some) + sigma * mean, sigma * sd

        best = float(corrected(rows)[0].min())

        def score(some: Array) -> Array:
            return log_ei(*corrected(some), best)

        near = np.concatenate([self._latest.best(NEAR), self._common.lowest(NEAR)])
        found, _ = maximise(self._seen, taken, score, rng, near=near)
        return self.space.decode(found[:1])[0] if len(found) else None

    def _fitted(self) -> tuple[GP, Array]:
        """The process of what the law gets wrong, and the rows that it has seen."""
        snapshot, anchor = self._latest.snapshot, self._latest.anchor
        number, process, rows = self._residual
        if process is None or number != snapshot.number:
            if self._hyper is None or self._hyper[0] != anchor.number:
                Z, wrong, _ = self._wrong(anchor)
                self._hyper = (anchor.number, fit_hyper(Z, wrong, self._features.categorical))
            Z, wrong, rows = self._wrong(snapshot)
            process = condition(Z, wrong, self._hyper[1], self._features.categorical)
            self._residual = (snapshot.number, process, rows)
        return process, rows

    def _wrong(self, snapshot: Snapshot) -> tuple[Array, Array, Array]:
        """Features of trials, what the law gets wrong of their scores, in standard deviations, and their rows."""
        merit = snapshot.merit()
        kept = np.arange(len(merit))
        if len(kept) > MOST:
            best = np.argsort(merit, kind="stable")[: MOST // 2]
            kept = np.union1d(best, kept[-(MOST // 2) :])
        rows = self._latest.rows(snapshot)[kept]
        wrong = (scores(merit)[kept] - self._common.mean(rows)) / self._common.sigma
        return self._features(rows), wrong, rows

    def _expected(self, rows: Array) -> Array:
        return self._common.mean(rows)

    @property
    def _plan(self) -> str:
        trials = sum(len(task) for task in self._tasks)
        return f"{trials} trials of {len(self._tasks)} earlier tasks, and a process for what is different today"

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind, and the standard deviation of a normal score."""
        found = super().diagnostics()
        return {**found, "sigma": self._common.sigma} if self._tasks else found
