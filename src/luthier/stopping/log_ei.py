"""log-ei: the expected improvement is nowhere worth another trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.models.acquisition import log_ei
from luthier.space.problem import Problem
from luthier.stopping._model import ModelRule, number
from luthier.stopping._posterior import Posterior


@register("stopping")
class LogEi(ModelRule):
    """Says that a study may end when the largest expected improvement falls below a threshold.

    The improvement is that of the function over the best posterior mean among what was tried; it is compared in
    logarithms, where it does not underflow.

    Args:
        advise: Say so and go on; False: end the study.
        relative: Threshold as a share of the standard deviation of the results (0.001 unless `epsilon` is given).
        epsilon: Threshold in units of the objective.
        patience: Checks in a row that must find it (2: one may be a fit gone wrong).
        first: Results before the first check; None: 20 or 2 d, whichever is more.
        share: Share of the trials' time that checks may take.

    Raises:
        UnsupportedError: several objectives; use "plateau".

    Source: Nguyen, Gupta, Rana, Li, Venkatesh 2017 (the criterion); Ament et al. 2023 (its logarithm).
    Differs: the threshold has a scale, so that it does not depend on the objective's unit.
    Cost: as "regret".
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool = True,
        relative: float | None = None,
        epsilon: float | None = None,
        patience: int = 2,
        first: int | None = None,
        share: float | None = 0.02,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise, patience=patience, first=first, share=share)
        if relative is not None and epsilon is not None:
            raise ArgumentError("stopping rule 'log-ei': relative and epsilon are two thresholds. Give one of them.")
        for name, value in (("relative", relative), ("epsilon", epsilon)):
            if value is not None:
                check(f"log-ei {name}", value, above=0)
        self.relative, self.epsilon = 1e-3 if relative is None else relative, epsilon

    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        scale, name = posterior.results.scale, self.problem.objectives[0].name
        best = float(posterior.tried()[0].min())
        process = posterior.process
        lowest = posterior.candidates.lowest(lambda Z: -log_ei(*process.predict(Z), best), posterior.results.rows)
        log_bound = math.log(scale) - lowest
        threshold = self.relative * scale if self.epsilon is None else self.epsilon
        if not math.isfinite(log_bound):
            raise ValueError("the expected improvement is no number")
        below = log_bound <= math.log(threshold)
        bound = math.exp(log_bound)
        words = f"the expected improvement of {name!r} is at most {number(bound)}, {'below' if below else 'above'} "
        numbers = {"bound": bound, "log_bound": log_bound, "threshold": threshold}
        return below, words + number(threshold), numbers
