"""target: the objective has reached a value that is good enough."""

from __future__ import annotations

from typing import ClassVar

from luthier.base.checks import check
from luthier.base.records import Status
from luthier.base.registry import register
from luthier.space.problem import Problem
from luthier.stopping._base import History, StoppingRule, Verdict


@register("stopping")
class Target(StoppingRule):
    """Ends a study as soon as a feasible measurement is good enough, at whatever resource.

    Args:
        value: What is good enough, in units of the objective; a maximised one must reach it from below.
        advise: Say so and go on.

    Raises:
        ArgumentError: the value is no number.

    Source: convention.
    Differs: a result at any resource counts, for it has been measured.
    Cost: O(1) a report: each is looked at when it comes.
    """

    eager: ClassVar[bool] = True
    cancels: ClassVar[bool] = True
    lasts: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, seed: int, value: float, advise: bool = False) -> None:
        super().__init__(problem, seed=seed, advise=advise)
        check("target value", value)
        self.value = float(value)

    def check(self, history: History) -> Verdict:
        """Look at what came last."""
        trial = None if history.latest is None else history.trials[history.latest]
        if trial is None or trial.status in (Status.FAILED, Status.DIVERGED) or not trial.metrics:
            return Verdict(False, "nothing was measured")
        objective = self.problem.objectives[0]
        if not self.problem.usable(trial.metrics) or not self.feasible(trial):
            return Verdict(False, "what was measured does not count")
        value = trial.metrics[objective.name]
        reached = objective.sign * value <= objective.sign * self.value
        word = "has reached" if reached else "has not reached"
        return Verdict(
            reached,
            f"trial {trial.number} {word} {objective.name}={self.value:g} (it has {value:.6g})",
            {"bound": value, "threshold": self.value, "incumbent": trial.number},
        )
