"""Runs trials of a benchmark in virtual time: many workers, no waiting, the same decisions as live."""

from __future__ import annotations

import math
import time
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from luthier.base.checks import check
from luthier.base.errors import (
    ArgumentError,
    BenchmarkError,
    ExecutorError,
    LuthierError,
    MetricError,
    UnsupportedError,
)
from luthier.base.records import Configuration, Decision, Evaluation, Fidelity, Status
from luthier.base.registry import register
from luthier.base.seeds import check_seed, generator
from luthier.runtime.executors._base import End, Executor, Host, Launch, Limits, Message, Setting
from luthier.space.problem import Benchmark

OVERHEADS = ("ignore", "count", "fixed")
_FREE = 1000  # runs without any cost after which a limit in seconds counts as a mistake
_GROWTH = 4  # a run that outlives what is known of its curve asks for so many times as much
_SLACK = 1 + 1e-9  # fractions of a resource add up to a little less than their sum
_ENDS = {Decision.STOP: Status.STOPPED, Decision.PAUSE: Status.PAUSED}


@dataclass(frozen=True)
class Cluster:
    """What the virtual machines are like. By default they are alike, at once there, and never fail.

    Args:
        start_seconds: From the decision to start a run until its program works.
        report_seconds: What a report costs the run.
        stop_seconds: From the decision to stop or pause a run until its worker is free.
        straggle: Spread of the runs' speeds: each run takes exp(straggle * z) times as long, z standard normal.
        crash: Probability that a run fails on its way, uniformly over its steps (FAILED).
        lose: Probability that a run's machine dies on its way (LOST; the study starts it again).
        speeds: Speed of each worker, 1 is the benchmark's own; repeated when there are more workers. Empty: all 1.
        seed: Decides stragglers, crashes and losses, for each run by its trial and attempt alone.
    """

    start_seconds: float = 0.0
    report_seconds: float = 0.0
    stop_seconds: float = 0.0
    straggle: float = 0.0
    crash: float = 0.0
    lose: float = 0.0
    speeds: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("start_seconds", "report_seconds", "stop_seconds", "straggle"):
            check(name, getattr(self, name), at_least=0)
        for name in ("crash", "lose"):
            check(name, getattr(self, name), at_least=0, at_most=1)
        if not isinstance(self.speeds, Sequence) or isinstance(self.speeds, str):
            raise ArgumentError(f"speeds={self.speeds!r}. Allowed: a number for each worker, such as (1.0, 0.5).")
        for speed in self.speeds:
            check("speeds", speed, above=0)
        check_seed(self.seed)

    @property
    def whims(self) -> bool:
        """Whether runs differ by chance."""
        return self.straggle > 0 or self.crash > 0 or self.lose > 0


class Stint(NamedTuple):
    """One run on one worker, in virtual seconds."""

    worker: str
    trial: int
    attempt: int
    start: float
    end: float
    outcome: str


#: Resource and answer for each step; the costs add up.
Curve = Sequence[tuple[float | None, Evaluation]]


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
    reports again what is known. Events at the same moment happen in the order in which they were decided.

    A study in virtual time is a function of its definition, the benchmark and the cluster: equal seeds give equal
    logs. The clock goes on where the study's log ends, so a simulated study can be resumed. What a scheduler does
    under `seconds=` is exact: nothing that would be measured later is ever seen.

    A clone (population-based training) goes on along its own configuration's curve, from its parent's resource: a
    table knows no trainings whose hyperparameters change.

    Args:
        benchmark: The answers; None: the target of the run is the benchmark.
        seed: Which recorded repetition answers (the benchmark's own seed); a repetition of a trial takes the next.
        checkpoints: Whether runs leave checkpoints with every report.
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
        cluster: Cluster = Cluster(),  # frozen
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
        self._curves: dict[tuple[Configuration, int], Curve] = {}
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
        if benchmark is not getattr(self, "_benchmark", None):
            self._curves.clear()
        self._benchmark: Benchmark = benchmark
        self._trains = bool(getattr(benchmark, "trains", False))
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
        run = self._run(launch, worker)
        if self.cluster.whims:
            self._luck(run)
        self._running[launch.trial] = run
        self._push(self._clock + self.cluster.start_seconds, run)

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
            run.curve = self._known(run.launch, run.at + 1)
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

    # what a run will report ------------------------------------------------------------------------------

    def _run(self, launch: Launch, worker: str) -> _Run:
        run = _Run(launch, worker, self._clock, to=1, pace=1 / self._speed[worker])
        axis = launch.fidelity
        if axis is None:
            run.curve = self._known(launch, 1)
            return run
        until = axis.high if launch.until is None else launch.until
        after = launch.after if self.checkpoints else 0
        if axis.whole:
            first = self._first(axis)
            run.at, run.to = (max(int(amount * _SLACK) - first + 1, 0) for amount in (after, until))
            run.curve = self._known(launch, run.to if launch.until is not None else min(run.at + 1, run.to))
        else:
            run.curve = self._parts(launch, after, until)
            run.at, run.to = (bisect_right(run.curve, amount * _SLACK, key=_resource) for amount in (after, until))
        if run.at:  # the checkpoint holds what was paid for
            run.paid = run.curve[run.at - 1][1].seconds
        return run

    def _first(self, axis: Fidelity) -> int:
        """The first step of the benchmark's curves; the study may say that reports mean something from later on."""
        own = getattr(self._benchmark, "fidelity", None)
        return int((own or axis).low)

    def _known(self, launch: Launch, steps: int) -> Curve:
        """A configuration's curve, at least so many steps of it.

        A table or a surrogate is asked once for the whole; one that trains when it is asked, as far as the run gets.
        """
        key = (launch.config, launch.repeat)
        known = self._curves.get(key, ())
        if len(known) < steps:
            axis = launch.fidelity
            if axis is None:
                known = [(None, self._answer(launch, None))]
            else:
                last = self._first(axis) + max(steps, _GROWTH * len(known)) - 1
                known = self._ask(launch, min(last, axis.high) if self._trains else axis.high)
            self._curves[key] = known
        return known

    def _parts(self, launch: Launch, after: float, until: float) -> Curve:
        """A resource in fractions has the steps that are granted, and the one that the checkpoint has paid for."""
        key = (launch.config, launch.repeat)
        known = self._curves.get(key, ())
        for amount in {after, until} - {0, *(resource for resource, _ in known)}:
            known = self._curves[key] = sorted([*known, *self._ask(launch, amount)], key=_resource)
        return [step for step in known if _resource(step) in (after, until)]

    def _ask(self, launch: Launch, until: float) -> list[tuple[float | None, Evaluation]]:
        benchmark, seed, axis = self._benchmark, self.seed + launch.repeat, launch.fidelity
        assert axis is not None  # without a fidelity there is no curve
        curve = getattr(benchmark, "curve", None)
        if curve is not None:
            try:
                return list(curve(launch.config, until, seed=seed))
            except LuthierError:
                raise  # the study is wrong, not the configuration
            except Exception as error:  # as a program of the user's would have failed
                return [(until, _broken(error))]
        steps = range(int(axis.low), int(until) + 1) if axis.whole else (until,)
        return [(step, self._answer(launch, step)) for step in steps]

    def _answer(self, launch: Launch, resource: float | None) -> Evaluation:
        try:
            found = self._benchmark.evaluate(launch.config, resource=resource, seed=self.seed + launch.repeat)
        except LuthierError:
            raise  # the study is wrong, not the configuration
        except Exception as error:  # as a program of the user's would have failed
            return _broken(error)
        if not found.seconds >= 0:
            raise BenchmarkError(
                f"the benchmark says that {dict(launch.config)} took {found.seconds!r} seconds. Allowed: 0 and more."
            )
        return found

    def _luck(self, run: _Run) -> None:
        cluster, launch, steps = self.cluster, run.launch, run.to - run.at
        rng = generator(cluster.seed, "run", launch.trial, launch.attempt)
        slower, crash, lose, step, part = math.exp(cluster.straggle * rng.standard_normal()), *rng.random(4)
        run.pace *= slower
        if steps and (crash < cluster.crash or lose < cluster.lose):
            status = Status.FAILED if crash < cluster.crash else Status.LOST
            run.breaks = run.at + int(step * steps), float(part), status


def _broken(error: Exception) -> Evaluation:
    return Evaluation({}, 0.0, Status.FAILED, {"error": f"{type(error).__name__}: {error}"})


def _resource(step: tuple[float | None, Evaluation]) -> float:
    return step[0] or 0.0
