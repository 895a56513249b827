"""Runs trials of a benchmark in virtual time: many workers, no waiting, the same decisions as live."""

from __future__ import annotations

import math
import time
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, ExecutorError, MetricError, UnsupportedError
from luthier.base.records import Decision, Status
from luthier.base.registry import register
from luthier.base.seeds import check_seed
from luthier.runtime.executors._base import End, Executor, Host, Launch, Limits, Message, Setting
from luthier.runtime.executors._cluster import Cluster
from luthier.runtime.executors._curves import Curve, Curves
from luthier.space.problem import Benchmark

OVERHEADS = ("ignore", "count", "fixed")
_FREE = 1000  # runs without any cost after which a limit in seconds counts as a mistake
_ALIKE = Cluster()
_ENDS = {Decision.STOP: Status.STOPPED, Decision.PAUSE: Status.PAUSED}


class Stint(NamedTuple):
    """One run on one worker, in virtual seconds."""

    worker: str
    trial: int
    attempt: int
    start: float
    end: float
    outcome: str


@dataclass(slots=True)
class _Run:
    """A run on its way.

    Args:
        launch: What runs.
        worker: Where.
        start: When it was submitted.
        curve: What is known of its configuration.
        at: Position of the next step.
        to: Position after the last one.
        paid: Cost that has been paid for, in the benchmark's seconds.
        pace: Virtual seconds for each of the benchmark's.
        breaks: Step on which it breaks, how far into it (a fraction), and how; None for never.
        end: How it ends, once that is decided.
        over: Whether nothing more happens to it.
    """

    launch: Launch
    worker: str
    start: float
    curve: Curve = ()
    at: int = 0
    to: int = 0
    paid: float = 0.0
    pace: float = 1.0
    breaks: tuple[int, float, Status] | None = None
    end: End | None = None
    over: bool = False


@register("executor")
class Simulated(Executor):
    """Asks a benchmark what each run would report and when, and jumps from event to event.

    A run's first report comes `start_seconds` after its submission plus the benchmark's cost of the first step; each
    further one after the cost of its step, divided by the worker's speed and multiplied by the run's luck. A run that
    goes on from a checkpoint pays for what is new; without checkpoints it starts from nothing, pays again, and
    reports again what is known. Where a benchmark's runs do not continue (`benchmark.continues`; a share of the data
    by default) every run pays in full and reports once, at the amount that it was granted. Events at the same moment
    happen in the order in which they were decided.

    A study in virtual time is a function of its definition, the benchmark and the cluster: equal seeds give equal
    logs. The clock goes on where the study's log ends, so a simulated study can be resumed. What a scheduler does
    under `seconds=` is exact: nothing that would be measured later is ever seen.

    A clone (population-based training) goes on along its own configuration's curve, from its parent's resource: a
    table knows no trainings whose hyperparameters change.

    Args:
        benchmark: The answers; None: the target of the run is the benchmark.
        seed: Which recorded repetition answers (the benchmark's own seed); a repetition of a trial takes the next.
        checkpoints: Whether runs leave checkpoints with every report that they can go on from.
        overhead: What the study's own thinking costs in virtual time. "ignore": nothing. "count": the real seconds
            it takes on this machine; not reproducible. "fixed": `fixed[0] + fixed[1] * n` seconds for each new
            configuration, n being the number of runs that have ended.
        fixed: See `overhead`.
        cluster: What the machines are like.

    Attributes:
        trace: Every run that has ended.

    Source: the model of asynchronous workers follows Syne Tune's simulator back-end (Salinas et al. 2022).
    Differs: events have no polling interval; delays are 0 unless asked for; luck is drawn by trial and attempt, not by
        the order of events.
    Cost: O(log W) per event for W workers beside the study's own; a curve is asked for once per configuration, from a
        benchmark that trains when it is asked only as far as the run gets, in parts that grow fourfold.
    """

    virtual = True

    def __init__(
        self,
        benchmark: Benchmark | None = None,
        *,
        seed: int = 0,
        checkpoints: bool = True,
        overhead: str = "ignore",
        fixed: tuple[float, float] = (0.0, 0.0),
        cluster: Cluster = _ALIKE,
    ) -> None:
        check("overhead", overhead, one_of=OVERHEADS)
        self._given = benchmark
        self.seed, self.checkpoints, self.cluster = check_seed(seed), bool(checkpoints), cluster
        if not isinstance(cluster, Cluster):
            raise ArgumentError(f"cluster={cluster!r}. Allowed: lu.Cluster(crash=0.1, ...).")
        if not isinstance(fixed, Sequence) or len(fixed) != 2:
            raise ArgumentError(f"fixed={fixed!r}. Allowed: two numbers of seconds, such as (0.1, 0.001).")
        for part in fixed:
            check("fixed", part, at_least=0)
        self.overhead, self.fixed = overhead, (float(fixed[0]), float(fixed[1]))
        self.own = {
            "seed": seed, "checkpoints": checkpoints, "overhead": overhead, "fixed": fixed, "cluster": cluster
        }  # fmt: skip
        self.trace: list[Stint] = []
        self._host: Host | None = None
        self._clock = self._began = 0.0
        self._before = 0

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready; the clock starts at the study's last event.

        Raises:
            ArgumentError: there is no benchmark.
            UnsupportedError: limits were set, which nothing real could reach.
            ExecutorError: it is open already.
        """
        if self._host is not None:
            raise ExecutorError("executor 'simulated': open() while it is open. Call close() first.")
        benchmark = self._given if self._given is not None else setting.target
        if not isinstance(benchmark, Benchmark):
            raise ArgumentError(
                "executor 'simulated' needs a benchmark. Write executor=lu.Simulated(bench.load('digits/0')), or give "
                "the benchmark as the target of run()."
            )
        if setting.limits != Limits():
            raise UnsupportedError(
                "executor 'simulated': time, memory and device limits mean nothing here. Leave them out."
            )
        kept: Curves | None = getattr(self, "_curves", None)
        if kept is None or kept.benchmark is not benchmark:
            self._curves = Curves(benchmark, self.seed)
        self._host = host
        self._clock = self._began = setting.time
        self._before = len(self.trace)  # runs of earlier studies
        self._names = [f"worker-{i}" for i in range(setting.workers)]
        speeds = self.cluster.speeds or (1.0,)
        self._speed = {name: speeds[i % len(speeds)] for i, name in enumerate(self._names)}
        self._number = {name: i for i, name in enumerate(self._names)}
        self._free = list(range(setting.workers))
        self._running: dict[int, _Run] = {}
        self._events: list[tuple[float, int, _Run]] = []
        self._count = self._ended = 0
        self._left = time.perf_counter()

    def free(self) -> Sequence[str]:
        """The workers that run nothing, the first first."""
        return [self._names[i] for i in self._free] if self._host is not None else ()

    def submit(self, launch: Launch, worker: str) -> None:
        """Begin a run now.

        Raises:
            ExecutorError: the worker is not free.
        """
        number = self._number.get(worker)
        if number is None or number not in self._free:
            raise ExecutorError(f"executor 'simulated': {worker!r} is not free. free() says which worker is.")
        self._free.remove(number)
        self._think(new=launch.attempt == 1)
        curve, at, to = self._curves.stretch(launch, launch.after if self.checkpoints else 0)
        paid = curve[at - 1][1].seconds if at else 0.0  # the checkpoint holds what was paid for
        run = _Run(launch, worker, self._clock, curve, at, to, paid, 1 / self._speed[worker])
        if self.cluster.whims:
            slower, run.breaks = self.cluster.luck(launch.trial, launch.attempt, run.at, run.to)
            run.pace *= slower
        self._running[launch.trial] = run
        self._push(self._clock + self.cluster.start_seconds, run)
        self._left = time.perf_counter()  # asking the benchmark is no thinking of the study

    def step(self, timeout: float) -> None:
        """Go to the next event that frees a worker, or any event while one is free; at most `timeout` seconds on."""
        if self._host is None:
            raise ExecutorError("executor 'simulated': step() before open(). Call open() first.")
        self._think()
        if math.isfinite(timeout) and self._ended >= _FREE and self._clock == self._began:
            raise ArgumentError(
                f"executor 'simulated': {self._ended} runs of the benchmark have cost no time, so the seconds of the "
                "run never pass. Give trials=..., or overhead='fixed' with fixed=(seconds, 0)."
            )
        until = self._clock + timeout
        waiting = bool(self._free)
        while self._events and self._events[0][0] <= until:
            moment, _, run = heappop(self._events)
            if run.over:
                continue
            self._clock = max(self._clock, moment)
            self._happen(run)
            if waiting or self._free:
                break
        else:
            if math.isfinite(until):
                self._clock = max(self._clock, until)
        self._left = time.perf_counter()

    def cancel(self, trial: int) -> None:
        """End a run at this moment; `ended` follows at the next step."""
        run = self._running.get(trial)
        if run is None:
            return
        run.over = True  # what it had ahead of it is void
        ending = _Run(run.launch, run.worker, run.start, end=End(Status.STOPPED))
        self._running[trial] = ending
        self._schedule(self._clock, ending)

    def close(self, *, kill: bool = False) -> None:
        """Forget what still runs."""
        self._host = None
        self._running = {}
        self._events = []

    def now(self) -> float:
        """Virtual seconds."""
        return self._clock

    @property
    def utilisation(self) -> float:
        """Share of the workers' time since `open` in which they ran something, by the runs that have ended."""
        whole = (self._clock - self._began) * len(self._names)
        busy = sum(stint.end - stint.start for stint in self.trace[self._before :])
        return busy / whole if whole > 0 else math.nan

    # events ----------------------------------------------------------------------------------------------

    def _push(self, since: float, run: _Run) -> None:
        """Schedule a run's next event: its next report, its end, or the moment when it breaks."""
        if run.at >= run.to:
            run.end = run.end or End(Status.COMPLETED)
            self._schedule(since, run)
            return
        if run.at >= len(run.curve):
            run.curve = self._curves.known(run.launch, run.at + 1)
        cost = run.curve[run.at][1].seconds
        seconds = (cost - run.paid) * run.pace if cost > run.paid else 0.0
        if run.breaks is not None and run.breaks[0] == run.at:
            _, part, status = run.breaks
            why = "the simulated program failed" if status is Status.FAILED else "the simulated machine died"
            run.end = End(status, None, why)
            seconds *= part
        self._schedule(since + seconds, run)

    def _schedule(self, moment: float, run: _Run) -> None:
        self._count += 1
        heappush(self._events, (moment, self._count, run))

    def _happen(self, run: _Run) -> None:
        if run.end is not None:
            self._finish(run, run.end)
            return
        resource, found = run.curve[run.at]
        run.at += 1
        run.paid = max(run.paid, found.seconds)
        if found.status is Status.FAILED:
            self._finish(run, End(Status.FAILED, None, str(found.info.get("error", "the benchmark says: failed"))))
            return
        decision = self._report(run, resource, found.metrics)
        if decision is Decision.CONTINUE and run.end is None:
            if run.at < run.to:
                self._push(self._clock + self.cluster.report_seconds, run)
            else:
                self._finish(run, End(Status.COMPLETED))
        elif run.end is not None:  # the study cannot use what it reports
            self._finish(run, run.end)
        elif self.cluster.stop_seconds:
            run.end = End(_ENDS[decision])
            self._schedule(self._clock + self.cluster.stop_seconds, run)
        else:
            self._finish(run, End(_ENDS[decision]))

    def _report(self, run: _Run, resource: float | None, metrics: Mapping[str, float]) -> Decision:
        assert self._host is not None  # only called from step()
        axis, name = run.launch.fidelity, None
        if axis is not None and resource is not None:
            resource = int(resource) if axis.whole else resource
            name = f"r{resource!r}-a{run.launch.attempt}" if self.checkpoints else None
        message = Message(metrics, resource, self._clock - run.start, (), name)
        before = time.perf_counter()
        try:
            return self._host.reported(run.launch, message, self._clock)
        except MetricError as error:
            run.end = End(Status.FAILED, None, str(error))
            return Decision.STOP
        finally:
            if self.overhead == "count":
                self._clock += time.perf_counter() - before

    def _finish(self, run: _Run, end: End) -> None:
        host, launch = self._host, run.launch
        assert host is not None  # only called from step()
        run.over = True
        del self._running[launch.trial]
        insort(self._free, self._number[run.worker])
        self._ended += 1
        self.trace.append(Stint(run.worker, launch.trial, launch.attempt, run.start, self._clock, end.status.value))
        host.ended(launch, End(end.status, end.result, end.error, self._clock - run.start), self._clock)

    def _think(self, *, new: bool = False) -> None:
        """Charge what the study's thinking costs."""
        if self.overhead == "count":
            now = time.perf_counter()
            self._clock += now - self._left
            self._left = now
        elif new and self.overhead == "fixed":
            self._clock += self.fixed[0] + self.fixed[1] * self._ended
