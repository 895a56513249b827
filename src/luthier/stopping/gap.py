"""gap: the last result has hardly moved the regret that is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.models.acquisition import improvement
from luthier.models.gp import condition
from luthier.space.problem import Problem
from luthier.stopping._base import History, Verdict
from luthier.stopping._model import INITIAL, ModelRule, number
from luthier.stopping._posterior import Posterior

LAST = 30  # results up to which bounds set the threshold: those after the initial design
FEWEST = 5  # bounds that a threshold needs


@register("stopping")
class Gap(ModelRule):
    """Says that a study may end when the expected minimum simple regret no longer changes.

    Bounded is by how much the last result moved that regret: the change of the best posterior mean, plus what the old
    best is expected to exceed the new one by, plus the regret bound before it times sqrt(KL / 2), with KL the
    divergence that the result caused. The threshold is a share of the median of these bounds in the checks between 10
    and 30 results, so that it has the objective's scale; where fewer than five of those were made, of the first five.

    Args:
        advise: Say so and go on; False: end the study.
        ratio: Threshold as a share of the median of the first bounds (0.01: the authors', as Optuna quotes them).
        epsilon: Threshold in units of the objective, in place of that.
        multiplier: Width of the bands in the regret bound, in standard deviations.
        patience: Checks in a row that must find it (2: the bound is 0 after a result that tells nothing).
        share: Share of the trials' time that checks may take.

    Raises:
        UnsupportedError: several objectives; use "plateau".

    Source: Ishibashi, Karasuyama, Takeuchi, Hino 2023, algorithm 1.
    Differs: noise is learnt; a constant multiplier; both posteriors have the parameters fitted to all results.
    Cost: two of "regret".
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool = True,
        ratio: float | None = None,
        epsilon: float | None = None,
        multiplier: float = 2.0,
        patience: int = 2,
        share: float | None = 0.02,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise, patience=patience, first=INITIAL + 2, share=share)
        if ratio is not None and epsilon is not None:
            raise ArgumentError("stopping rule 'gap': ratio and epsilon are two thresholds. Give one of them.")
        for name, value in (("ratio", ratio), ("epsilon", epsilon), ("multiplier", multiplier)):
            if value is not None:
                check(f"gap {name}", value, above=0)
        self.ratio, self.epsilon, self.multiplier = 0.01 if ratio is None else ratio, epsilon, float(multiplier)
        self._threshold: float | None = None

    def check(self, history: History) -> Verdict:
        """Compare the newest bound with the first ones."""
        bounds = [(said.get("results", 0), float(said["bound"])) for said in history.verdicts if "bound" in said]
        first = [bound for results, bound in bounds if INITIAL < results <= LAST]
        if len(first) < FEWEST:  # checks were skipped or refused: the first ones that there are
            first = [bound for results, bound in bounds if results > INITIAL][:FEWEST]
        over = len(self.results(history)) > LAST and len(first) >= FEWEST
        self._threshold = self.epsilon or (self.ratio * float(np.median(first)) if over else None)
        return super().check(history)

    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        bound = self._bound(posterior) * posterior.results.scale
        if not math.isfinite(bound):
            raise ValueError("the bound is no number")
        words = f"the last result moved the expected regret by at most {number(bound)}"
        if self._threshold is None:
            return False, f"{words}; the first ones will set the threshold", {"bound": bound}
        below = bound <= self._threshold
        words += f", {'below' if below else 'above'} {number(self._threshold)}"
        return below, words, {"bound": bound, "threshold": self._threshold}

    def _bound(self, posterior: Posterior) -> float:
        """Bound in standardised units; infinite while no earlier result is feasible."""
        results, process = posterior.results, posterior.process
        if not results.feasible[:-1].any():
            return float(np.finfo(float).max)
        Z, hyper = results.rows, process.hyper
        categorical, weights = process.squares.categorical, results.weights
        old = condition(Z[:-1], results.y[:-1], hyper, categorical, weights[:-1])
        mean, sd = (float(part[0]) for part in old.predict(Z[-1:]))
        noise, variance = hyper.noise * float(weights[-1]), sd * sd
        surprise = variance * ((results.y[-1] - mean) / (variance + noise)) ** 2
        divergence = 0.5 * (math.log1p(variance / noise) - variance / (variance + noise) + surprise)
        before = _best(old.predict(Z[:-1])[0], results.feasible[:-1])
        now = _best(process.predict(Z)[0], results.feasible)
        moved = abs(float(old.predict(Z[[before]])[0][0] - process.predict(Z[[now]])[0][0]))
        lower = posterior.candidates.lowest(lambda X: _lower(old.predict(X), self.multiplier), Z[:-1])
        upper = float(_lower(old.predict(Z[:-1][results.feasible[:-1]]), -self.multiplier).min())
        return moved + self._exceeds(posterior, before, now) + (upper - lower) * math.sqrt(0.5 * divergence)

    @staticmethod
    def _exceeds(posterior: Posterior, before: int, now: int) -> float:
        """By how much the old best is expected to exceed the new one, where it does."""
        if before == now:
            return 0.0
        mean, covariance = posterior.process.joint(posterior.results.rows[[before, now]])
        sd = math.sqrt(max(covariance[0, 0] - 2.0 * covariance[0, 1] + covariance[1, 1], 1e-12))
        return sd * float(improvement(np.array([(mean[0] - mean[1]) / sd]))[0])


def _best(mean: Any, feasible: Any) -> int:
    return int(np.argmin(np.where(feasible, mean, np.inf)))


def _lower(predicted: Any, multiplier: float) -> Any:
    mean, sd = predicted
    return mean - multiplier * sd
