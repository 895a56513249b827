"""A benchmark and an executor as a study needs them: counted answers, a clock of evaluations, measured thinking."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.base.records import Configuration, Decision, Evaluation
from luthier.bench._base import BaseBenchmark
from luthier.bench.studies.plan import Machines
from luthier.runtime.executors._base import End, Host, Launch, Message, Setting
from luthier.runtime.executors.simulated import Simulated
from luthier.space.problem import Problem

Curve = list[tuple[float, Evaluation]]


class View(BaseBenchmark):
    """A benchmark that measures how long its answers take, and may cost one unit for the full resource.

    Answers are kept until `forget`: under one seed, methods ask for many configurations in common.

    Args:
        benchmark: What answers.
        clock: "seconds": the cost is the benchmark's; "evaluations": the share of the full resource.
    """

    def __init__(self, benchmark: BaseBenchmark, clock: str) -> None:
        self.inner, self._units = benchmark, clock == "evaluations"
        self.space, self.fidelity, self.objectives = benchmark.space, benchmark.fidelity, benchmark.objectives
        self.card, self.bounds, self.trains = benchmark.card, benchmark.bounds, benchmark.trains
        self.continues = benchmark.continues
        self.cpu_seconds = self.wall_seconds = 0.0
        self._curves: dict[tuple[Configuration, float | None, int | None], Curve] = {}
        self._ends: dict[tuple[Configuration, float | None, int | None], Evaluation] = {}
        self._seconds: dict[tuple[Configuration, int | None], dict[float | None, float]] = {}

    @property
    def problem(self) -> Problem:
        """What an optimiser may know of it."""
        return self.inner.problem

    def forget(self) -> None:
        """Let go of the answers."""
        self._curves.clear()
        self._ends.clear()
        self._seconds.clear()

    def until(self, resource: float) -> float:
        """How far a tool may ask for a trial: a resource of the fidelity.

        Raises:
            ArgumentError: there is no fidelity, or it lies outside of it or between its whole steps.
        """
        found = self._spent(resource)
        assert found is not None  # there is a fidelity
        return found

    def share(self, resource: float | None) -> float:
        """A resource as a share of the full one."""
        return 1.0 if self.fidelity is None or resource is None else resource / self.fidelity.high

    def part(self, launch: Launch, after: float, seconds: float, seed: int) -> float:
        """What a run consumed beyond a resource, of its next step, as a share of the full resource.

        Args:
            launch: The run.
            after: Resource of its last report, or that of its checkpoint, or 0.
            seconds: Virtual time that it ran since then; a slow machine's counts as any other's.
            seed: The repetition that answers.
        """
        costs, axis = self._seconds.get((launch.config, seed), {}), self.fidelity
        if axis is None:
            step: float | None = None
            done = after > 0
        else:
            last = axis.high if launch.until is None else launch.until
            step = min(max(axis.low, after + 1), last) if axis.whole else last
            done = after >= last
        if done or step not in costs:  # it was over, or was never answered
            return 0.0
        cost = costs[step] - (costs.get(after, 0.0) if after else 0.0)
        share = self.share(step) - (self.share(after) if after else 0.0)
        return share * min(1.0, max(0.0, seconds) / cost) if cost > 0 else 0.0

    def evaluate(self, config: Mapping[str, Any], *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As the benchmark's own, with the cost of the clock."""
        key = (Configuration(config), resource, seed)
        if key not in self._ends:
            begin = time.process_time(), time.perf_counter()
            found = self._ends[key] = self._costed(resource, self.inner.evaluate(config, resource=resource, seed=seed))
            self._seconds.setdefault((key[0], seed), {})[resource] = found.seconds
            self._count(begin)
        return self._ends[key]

    def curve(self, config: Mapping[str, Any], until: float | None = None, *, seed: int | None = 0) -> Curve:
        """As the benchmark's own, with the costs of the clock."""
        key = (Configuration(config), until, seed)
        if key not in self._curves:
            begin = time.process_time(), time.perf_counter()
            steps = self.inner.curve(config, until, seed=seed)
            known = self._curves[key] = [(step, self._costed(step, one)) for step, one in steps]
            self._seconds.setdefault((key[0], seed), {}).update((step, one.seconds) for step, one in known)
            self._count(begin)
        return self._curves[key]

    def _costed(self, resource: float | None, one: Evaluation) -> Evaluation:
        return Evaluation(one.metrics, self.share(resource), one.status, one.info) if self._units else one

    def _count(self, begin: tuple[float, float]) -> None:
        self.cpu_seconds += time.process_time() - begin[0]
        self.wall_seconds += time.perf_counter() - begin[1]

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        return [self.evaluate(config, resource=resource, seed=seed) for config in configs]


class Thinking(Simulated):
    """The simulated executor, which also measures the real time that the method takes between its events.

    The benchmark's answers and the executor's own work are no part of it.

    Args:
        heard: Called after each report with the run, what it said, the virtual time, and the method's CPU seconds.
        machines: What the virtual machines are like.
        seed: Which recorded repetition answers; decides the machines' luck too.
        ended: Called after each end of a run, with how it ended and the virtual time.

    Attributes:
        wall_seconds: The method's wall time so far.
        elsewhere: CPU seconds that the method took in other processes.
    """

    def __init__(
        self,
        heard: Callable[[Launch, Message, float, float], None],
        machines: Machines,
        *,
        seed: int,
        ended: Callable[[Launch, End, float], None] = lambda launch, end, now: None,
    ) -> None:
        super().__init__(
            seed=seed,
            checkpoints=machines.checkpoints,
            overhead=machines.overhead,
            fixed=machines.fixed,
            cluster=machines.build(seed),
        )
        self.heard, self.ended = heard, ended
        self.elsewhere: Callable[[], float] = lambda: 0.0
        self.opened = False
        self._cpu = self.wall_seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """The method's CPU time so far, what it took in other processes included."""
        return self._cpu + self.elsewhere()

    @property
    def busy(self) -> float:
        """Share of the workers' time in which they ran something; NaN before it was opened."""
        return self.utilisation if self.opened else math.nan

    def open(self, setting: Setting, host: Host) -> None:
        """As the executor's own; the host is listened to."""
        super().open(setting, _Listener(host, self))
        self.opened = True
        self.go()

    def submit(self, launch: Launch, worker: str) -> None:
        """As the executor's own."""
        self.stop()
        super().submit(launch, worker)
        self.go()

    def step(self, timeout: float) -> None:
        """As the executor's own."""
        self.stop()
        super().step(timeout)
        self.go()

    def go(self) -> None:
        """The method thinks from now on."""
        self._since = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """It does no longer."""
        self._cpu += time.process_time() - self._since[0]
        self.wall_seconds += time.perf_counter() - self._since[1]


class _Listener:
    """A host between an executor and the study: what the study does when it is told is thinking."""

    def __init__(self, host: Host, executor: Thinking) -> None:
        self._host, self._executor = host, executor

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        self._executor.go()
        try:
            decision = self._host.reported(launch, message, now)
        finally:
            self._executor.stop()
        self._executor.heard(launch, message, now, self._executor.cpu_seconds)
        return decision

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        return self._host.suggested(launch, name, domain)

    def ended(self, launch: Launch, end: End, now: float) -> None:
        self._executor.go()
        try:
            self._host.ended(launch, end, now)
        finally:
            self._executor.stop()
        self._executor.ended(launch, end, now)
