"""pi: nowhere is an improvement likely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.models.acquisition import log_pi
from luthier.space.problem import Problem
from luthier.stopping._model import ModelRule, number
from luthier.stopping._posterior import Posterior


@register("stopping")
class Pi(ModelRule):
    """Says that a study may end when the largest probability of an improvement falls below a threshold.

    Improvements smaller than a margin do not count: without one, the probability stays near one half beside the
    incumbent, however little there is to gain.

    Args:
        advise: Say so and go on; False: end the study.
        least: Probability below which an improvement is unlikely.
        relative: Margin as a share of the standard deviation of the results (0.01 unless `epsilon` is given).
        epsilon: Margin in units of the objective.
        patience: Checks in a row that must find it (2: one may be a fit gone wrong).
        first: Results before the first check; None: 20 or 2 d, whichever is more.
        share: Share of the trials' time that checks may take.

    Raises:
        UnsupportedError: several objectives; use "plateau".

    Source: Lorenz et al. 2016 (the criterion, as Makarova et al. 2022 quote it).
    Differs: the margin, and the improvement is over the best posterior mean.
    Cost: as "regret".
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool = True,
        least: float = 0.05,
        relative: float | None = None,
        epsilon: float | None = None,
        patience: int = 2,
        first: int | None = None,
        share: float | None = 0.02,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise, patience=patience, first=first, share=share)
        if relative is not None and epsilon is not None:
            raise ArgumentError("stopping rule 'pi': relative and epsilon are two margins. Give one of them.")
        check("pi least", least, above=0, below=1)
        for name, value in (("relative", relative), ("epsilon", epsilon)):
            if value is not None:
                check(f"pi {name}", value, at_least=0)
        self.least, self.relative, self.epsilon = float(least), 0.01 if relative is None else relative, epsilon

    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        scale, name = posterior.results.scale, self.problem.objectives[0].name
        margin = self.relative if self.epsilon is None else self.epsilon / scale
        best = float(posterior.tried()[0].min()) - margin
        process = posterior.process
        lowest = posterior.candidates.lowest(lambda Z: -log_pi(*process.predict(Z), best), posterior.results.rows)
        if not math.isfinite(lowest):
            raise ValueError("the probability of an improvement is no number")
        bound = math.exp(-lowest)
        below = bound <= self.least
        words = (
            f"an improvement of {name!r} by more than {number(margin * scale)} has a probability of at most "
            f"{number(bound)}, {'below' if below else 'above'} {number(self.least)}"
        )
        return below, words, {"bound": bound, "threshold": self.least, "margin": margin * scale}
