"""budget: what the trials have used: trials, resource, time, or a cost that they report."""

from __future__ import annotations

from typing import ClassVar

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.records import Status, Trial
from luthier.base.registry import register
from luthier.space.problem import Problem
from luthier.stopping._base import History, StoppingRule, Verdict, whole


@register("stopping")
class Budget(StoppingRule):
    """Ends a study when the first of its budgets is used up; it counts over all runs and drivers of a study.

    Args:
        trials: Trials that have ended.
        resource: Units of the fidelity trained in all, over all trials (what a resumed or cloned trial starts from
            is not counted again).
        seconds: Seconds of all workers together, as the reports say.
        cost: Sum over trials of the metric named `metric`.
        metric: Name of the metric that is a trial's cost so far, such as money.
        advise: Say so and go on.

    Raises:
        ArgumentError: no budget, a number out of range, or a resource without a fidelity; when it is asked, a metric
            that no trial has reported.

    Source: convention.
    Differs: nothing.
    Cost: O(n) a report.
    """

    supports: ClassVar[frozenset[str]] = StoppingRule.supports | {"multi_objective"}
    eager: ClassVar[bool] = True
    cancels: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        trials: int | None = None,
        resource: float | None = None,
        seconds: float | None = None,
        cost: float | None = None,
        metric: str | None = None,
        advise: bool = False,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise)
        given = {"trials": trials, "resource": resource, "seconds": seconds, "cost": cost}
        self.limits = {name: limit for name, limit in given.items() if limit is not None}
        if not self.limits:
            raise ArgumentError("stopping rule 'budget' without a budget. Give trials, resource, seconds or cost.")
        for name, limit in self.limits.items():
            check(f"budget {name}", limit, above=0)
        if trials is not None:
            whole("budget trials", trials)
        if resource is not None and problem.fidelity is None:
            raise ArgumentError("stopping rule 'budget' with resource=, and the study has no fidelity. Give trials=.")
        if (cost is None) != (metric is None):
            raise ArgumentError(
                "stopping rule 'budget': cost and metric belong together. Write {'name': 'budget', 'cost': 20, "
                "'metric': 'euros'}."
            )
        self.metric = metric

    def check(self, history: History) -> Verdict:
        """Compare what was used with each budget."""
        self._known(history)
        evidence: dict[str, float] = {}
        for name, limit in self.limits.items():
            used = self._used(name, history)
            evidence |= {"bound": used, "threshold": limit}
            if used >= limit:
                return Verdict(True, f"{used:g} of {limit:g} {name} are used", evidence)
        return Verdict(False, "the budget is not used up", evidence)

    def _used(self, name: str, history: History) -> float:
        trials = history.trials.values()
        if name == "trials":
            return sum(t.status.ended for t in trials)
        if name == "resource":
            start = {t.number: _at(history.trials.get(t.parent), t) if t.parent is not None else 0.0 for t in trials}
            return float(sum(max((t.resource or 0.0) - start[t.number], 0.0) for t in trials))
        if name == "seconds":
            return float(sum(max(t.seconds, _running(t)) for t in trials))
        return float(sum(self._cost(t) for t in trials))

    def _cost(self, trial: Trial) -> float:
        """What a trial has cost so far: of one that is repeated, each of its evaluations."""
        name = self.metric or ""
        ended = [*trial.repeats] or [trial.metrics]
        running = [r.metrics for r in trial.reports if trial.repeats and r.repeat >= len(trial.repeats)][-1:]
        return sum(one.get(name, 0.0) for one in (*ended, *running))

    def _known(self, history: History) -> None:
        """Refuse a cost that nobody reports: the budget would never end."""
        trials = [t for t in history.trials.values() if t.metrics]
        if self.metric is None or any(self.metric in t.metrics for t in trials):
            return
        if any(t.status is Status.COMPLETED for t in trials):
            seen = sorted({name for t in trials for name in t.metrics})
            raise ArgumentError(
                f"stopping rule 'budget': no trial has reported {self.metric!r}. {did_you_mean(self.metric, seen)}"
            )


def _at(parent: Trial | None, clone: Trial) -> float:
    """Resource at which a clone left its parent: just below its own first report, as far as the parent had come."""
    if parent is None or not clone.reports:
        return 0.0
    first = clone.reports[0].resource or 0.0
    return max((r.resource or 0.0 for r in parent.reports if (r.resource or 0.0) < first), default=0.0)


def _running(trial: Trial) -> float:
    """Seconds of a trial whose run has not ended: those of earlier runs, and what its last report says."""
    return trial.seconds + (0.0 if trial.status.ended or not trial.reports else trial.reports[-1].seconds)
