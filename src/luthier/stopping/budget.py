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
        metric: Name of the metric that is a trial's cost so far, such as money. When a trial has completed and none has
            reported it, the study ends and says so, rather than spend without end.
        advise: Say so and go on.

    Raises:
        ArgumentError: no budget, a number out of range, or a resource without a fidelity.

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
        unheard = self._unheard(history)
        if unheard:
            return Verdict(True, unheard)
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
        """What a trial has cost so far: of each of its evaluations the last amount that it reported."""
        name = self.metric or ""
        if trial.origin == "added":  # one result, whatever the study repeats
            return trial.metrics.get(name, 0.0)
        return sum({r.repeat: r.metrics[name] for r in trial.reports if name in r.metrics}.values())

    def _unheard(self, history: History) -> str:
        """That nobody reports the cost, so that the budget would never end; empty while somebody does, or none can."""
        trials = [t for t in history.trials.values() if t.origin != "added"]
        heard = {name for t in trials for one in (t.metrics, *(r.metrics for r in t.reports)) for name in one}
        if self.metric is None or self.metric in heard or not any(t.status is Status.COMPLETED for t in trials):
            return ""
        near = did_you_mean(self.metric, heard)
        return f"no trial has reported {self.metric!r}, so that it would never be used up. {near}"


def _at(parent: Trial | None, clone: Trial) -> float:
    """Resource at which a clone left its parent: just below its own first report, as far as the parent had come."""
    if parent is None or not clone.reports:
        return 0.0
    first = clone.reports[0].resource or 0.0
    return max((r.resource or 0.0 for r in parent.reports if (r.resource or 0.0) < first), default=0.0)


def _running(trial: Trial) -> float:
    """Seconds of a trial whose run has not ended: those of earlier runs, and what its last report says."""
    return trial.seconds + (0.0 if trial.status.ended or not trial.reports else trial.reports[-1].seconds)
