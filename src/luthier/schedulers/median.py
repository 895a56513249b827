"""The median rule: a trial ends when its best is worse than the median of what others had shown on average by then."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import accumulate

from luthier.base.checks import check
from luthier.base.records import Configuration, Decision, Report, Status
from luthier.base.registry import register
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

#: Total violation of the constraints, and a value to be minimised: feasible before infeasible.
Pair = tuple[float, float]

_NOTHING = Configuration()
STEPS = 5  # reports before the first verdict when no grace is given: convention


@dataclass(slots=True)
class Curve:
    """What a trial has reported.

    Args:
        resources: Rising.
        pairs: One list per objective, each as long as `resources`.
    """

    resources: list[float] = field(default_factory=list)
    pairs: list[list[Pair]] = field(default_factory=list)

    def averages(self) -> list[list[Pair]]:
        """Running averages of the pairs, objective by objective."""
        return [
            [(bad / n, value / n) for n, (bad, value) in enumerate(accumulate(pairs, _add), 1)] for pairs in self.pairs
        ]


@register("scheduler")
class Median(Scheduler):
    """Ends a trial whose best value so far is worse than the median of the running averages of completed trials.

    A completed trial's running average at a resource is the mean of all that it had reported up to there. Each report
    is judged, from the end of the grace to before the full resource; equal to the median is not worse. Trials that
    were stopped, failed or diverged are no yardstick.

    With constraints, total violation and value are compared together, violation first, and averaged each for itself.
    With several objectives a trial ends only when it is worse than the median in every one.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        grace: Resource before which no trial is ended, in the unit of the fidelity; None: until a trial's fifth report
            or half of the full resource, whichever comes first (five steps: convention; half: so that the rule also
            works where there are few reports).
        least: Completed trials that must have come as far before any trial is ended there, a whole number >= 1
            (5: convention; a median of fewer says little).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Golovin, Solnik, Moitra, Kochanski, Karro, Sculley 2017, Google Vizier, section 3.2.2.
    Differs: grace and the least number of trials, which the paper does not have; constraints and several objectives.
    Cost: O(log n) per report for n completed trials; each of them once takes O(log n) and a list shift for every
        resource at which trials are judged.
    """

    needs_fidelity = True
    multi_objective = True

    def __init__(
        self, problem: Problem, searcher: Searcher, *, seed: int, grace: float | None = None, least: int = 5
    ) -> None:
        super().__init__(problem, searcher, seed=seed)
        fidelity = needed(problem, self.name)
        self._fidelity = fidelity
        if grace is not None:
            check("grace", grace, at_least=fidelity.low, at_most=fidelity.high)
        least = check("least", least, at_least=1, whole=True)
        self._grace, self._least = grace, least
        self._curves: dict[int, Curve] = {}  # of trials under way
        self._over: set[int] = set()  # told to stop: a run that is repeated is told so again
        self._done: list[Curve] = []  # of completed trials, in the order of completion
        self._averages: list[list[list[Pair]]] = []  # theirs
        self._rivals: dict[float, list[list[Pair]]] = {}  # resource -> per objective, sorted averages there
        self._read: dict[float, int] = {}  # resource -> how many completed trials are in `_rivals`

    def on_report(self, report: Report) -> Decision:
        """Judge a trial by its best so far.

        Raises:
            ArgumentError: the report carries no resource.
        """
        trial, resource = report.trial, spent(report, self._fidelity, self.name)
        if trial in self._over or not self.problem.usable(report.metrics):
            self._over.add(trial)
            return Decision.STOP
        curve = self._curves.setdefault(trial, Curve(pairs=[[] for _ in self.problem.objectives]))
        if curve.resources and resource <= curve.resources[-1]:
            return Decision.CONTINUE  # a repeated run; it was judged
        observed = self.problem.observe(trial, _NOTHING, report.metrics)
        violation = observed.violation
        curve.resources.append(resource)
        for pairs, value in zip(curve.pairs, observed.values, strict=True):
            pairs.append((violation, value))
        if self._in_grace(curve) or not self._is_behind(curve):
            return Decision.CONTINUE
        self._over.add(trial)
        return Decision.STOP

    def _in_grace(self, curve: Curve) -> bool:
        """Whether it is too early to judge, or too late to save anything."""
        reached = curve.resources[-1] * SLACK
        if reached >= self._fidelity.high:
            return True
        if self._grace is not None:
            return reached < self._grace
        return len(curve.resources) < STEPS and reached < self._fidelity.high / 2

    def _is_behind(self, curve: Curve) -> bool:
        rivals = self._rivals_at(curve.resources[-1])
        if len(rivals[0]) < self._least:
            return False
        return all(min(pairs) > median(others) for pairs, others in zip(curve.pairs, rivals, strict=True))

    def _rivals_at(self, resource: float) -> list[list[Pair]]:
        """Running averages at a resource of the completed trials that came so far, sorted, objective by objective."""
        rivals = self._rivals.setdefault(resource, [[] for _ in self.problem.objectives])
        for i in range(self._read.get(resource, 0), len(self._done)):
            resources = self._done[i].resources
            reports = bisect_right(resources, resource * SLACK)
            if not reports or resources[-1] * SLACK < resource:
                continue
            for others, averages in zip(rivals, self._averages[i], strict=True):
                insort(others, averages[reports - 1])
        self._read[resource] = len(self._done)
        return rivals

    def on_end(self, trial: int, status: Status) -> None:
        """A completed trial becomes a yardstick."""
        super().on_end(trial, status)
        if not status.ended:
            return
        curve = self._curves.pop(trial, None)
        if status is Status.COMPLETED and curve is not None and curve.resources:
            self._done.append(curve)
            self._averages.append(curve.averages())


def median(pairs: list[Pair]) -> Pair:
    """The middle of a sorted list of pairs, or the mean of the two in the middle."""
    a, b = pairs[(len(pairs) - 1) // 2], pairs[len(pairs) // 2]
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _add(a: Pair, b: Pair) -> Pair:
    return a[0] + b[0], a[1] + b[1]
