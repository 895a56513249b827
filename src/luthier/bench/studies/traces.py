"""Follows the incumbent of a run: what was reported is kept, and judged when it is known which trials failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from luthier.base.pareto import nondominated
from luthier.base.records import Configuration, Status
from luthier.bench.studies import volumes
from luthier.bench.studies.plan import Machines
from luthier.bench.studies.tasks import Task
from luthier.bench.studies.views import View
from luthier.runtime.executors._base import End, Launch, Message
from luthier.runtime.executors._curves import continues

RULE = "the highest resource reported, of those the lowest value seen; infeasible and failed trials never count"
#: The same of cells that were made before rule 3, see `plan.RULE`.
EARLIER = (
    "the highest resource reported, of those the lowest value seen; infeasible trials never count, and failed ones "
    "with what they had reported before"
)
SEVERAL = "with several objectives: those at the highest resource reported that no other of them beats"


class Row(NamedTuple):
    """A new incumbent.

    Args:
        time: Virtual time.
        evaluations: Full-resource evaluations spent until then.
        configs: Its configuration; of several objectives the set's.
        seen: Its value, to be minimised; of several objectives minus the hypervolume of what was seen.
        overhead: CPU seconds that the method had thought.
    """

    time: float
    evaluations: float
    configs: tuple[Configuration, ...]
    seen: float
    overhead: float


class Report(NamedTuple):
    """A report that an incumbent may come of.

    Args:
        trial: Whose.
        config: Its configuration.
        resource: How far it had come, 0 without a fidelity.
        value: The objective, to be minimised; of several objectives all of them.
        time: As in `Row`.
        evaluations: As in `Row`.
        overhead: As in `Row`.
    """

    trial: int
    config: Configuration
    resource: float
    value: Any
    time: float
    evaluations: float
    overhead: float


class Trace:
    """Follows the incumbent through a run; see `RULE`.

    Args:
        task: The task.
        view: Its benchmark as the run sees it.
        machines: What the virtual machines are like.
        seed: The repetition of the benchmark that answers.
        limit: Virtual time at which the run ends.

    Attributes:
        broken: Trials that failed or diverged. None of their reports counts, those before it happened included, so
            that incumbents are chosen when the run is over.
    """

    def __init__(self, task: Task, view: View, machines: Machines, *, seed: int, limit: float) -> None:
        self._task, self._view, self._seed, self._limit = task, view, seed, limit
        axis = view.fidelity  # where runs do not go on, all of a run is spent anew
        self._checkpoints = machines.checkpoints and (axis is None or continues(view, axis))
        self._starts = machines.build(seed).start_seconds
        self._last: dict[int, tuple[int, float, float]] = {}  # of each trial's run: attempt, resource, seconds
        self._reported: set[int] = set()
        self._spent: dict[tuple[int, int], float] = {}  # of each run: work that is done again is spent again
        self._sum = 0.0, 0.0  # the sum and what rounding took from it: adding all up at each report would be slow
        self._kept: list[Report] = []
        self.broken: set[int] = set()
        self.reports = self.infeasible = 0

    @property
    def evaluations(self) -> float:
        """Full-resource evaluations so far."""
        return self._sum[0]

    @property
    def trials(self) -> int:
        """Trials that have reported."""
        return len(self._reported)

    def heard(self, launch: Launch, message: Message, now: float, overhead: float) -> None:
        """A report."""
        self.reports += 1
        trial, metrics = launch.trial, message.metrics
        self.infeasible += self._task.broken(metrics)
        self._reported.add(trial)
        far = 1.0 if message.resource is None else float(message.resource)
        self._last[trial] = launch.attempt, far, message.seconds
        self._spend(launch, self._view.share(message.resource) - self._begun(launch))
        if self._task.diverged(metrics):
            self.broken.add(trial)
            return
        value = self._task.point(metrics) if self._task.several else self._task.usable(metrics)
        if not np.isnan(value).any():
            resource = message.resource or 0.0
            self._kept.append(Report(trial, launch.config, resource, value, now, self.evaluations, overhead))

    def _begun(self, launch: Launch) -> float:
        """The share that a run's checkpoint holds."""
        return self._view.share(launch.after) if self._checkpoints and launch.after else 0.0

    def _spend(self, launch: Launch, amount: float) -> None:
        """A run has spent so much."""
        run = launch.trial, launch.attempt
        before = self._spent.get(run, 0.0)
        parts = (*self._sum, max(amount, before), -before)
        total = math.fsum(parts)
        self._sum = total, math.fsum((*parts, -total))
        self._spent[run] = max(amount, before)

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """A run is over; what it did since its last report, failed or cut off, is spent too."""
        if end.status is Status.FAILED:
            self.broken.add(launch.trial)
        after = float(launch.after) if self._checkpoints else 0.0
        attempt, far, since = self._last.get(launch.trial, (0, after, self._starts))
        if attempt != launch.attempt:
            far, since = after, self._starts
        seconds = min(now, self._limit) - (now - end.seconds) - since
        more = self._view.part(launch, far, seconds, self._seed + launch.repeat)
        if more > 0:
            self._spend(launch, self._spent.get((launch.trial, launch.attempt), 0.0) + more)

    def rows(self) -> list[Row]:
        """Every change of the incumbent."""
        return list(self._judged(one for one in self._kept if one.trial not in self.broken))

    def _judged(self, reports: Iterable[Report]) -> Iterator[Row]:
        best, holder = (math.inf, math.inf), None
        for one in reports:
            key = (-one.resource, one.value)
            if key < best:
                best = key
                if one.trial != holder:
                    holder = one.trial
                    yield Row(one.time, one.evaluations, (one.config,), one.value, one.overhead)


class FrontTrace(Trace):
    """Follows the set of incumbents through a run with several objectives; see `SEVERAL`."""

    def _judged(self, reports: Iterable[Report]) -> Iterator[Row]:
        top, chosen = -math.inf, list[Report]()
        for one in reports:
            if one.resource < top:
                continue
            if one.resource > top:
                top, chosen = one.resource, []
            values = np.array([*(other.value for other in chosen), one.value])
            keep = nondominated(values)
            if not keep[-1] or any((other.value == one.value).all() for other in chosen):
                continue
            chosen = [other for other, kept in zip([*chosen, one], keep, strict=True) if kept]
            seen = volumes.worth(values[keep], self._task.reference.point)
            yield Row(one.time, one.evaluations, tuple(other.config for other in chosen), seen, one.overhead)
