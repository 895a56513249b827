"""Benchmarks that run in a process and an environment of their own, seen as any other benchmark."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import luthier
from luthier.base.checks import check
from luthier.base.errors import (
    ArgumentError,
    BenchmarkError,
    ChecksumError,
    DataMissing,
    LuthierError,
    MetricError,
    SpaceError,
    UnsupportedError,
)
from luthier.base.records import Card, Configuration, Constraint, Evaluation, Fidelity, Objective, Status
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench.isolation import environment as environments
from luthier.bench.isolation._process import Ended, Fault, WorkerProcess
from luthier.runtime.executors._base import Limits
from luthier.space.problem import Problem
from luthier.space.space import Space

_START = 60.0  # s: importing a large framework from a cold disk takes half of it
_CHUNK = 10_000  # configurations in one message: some megabytes at most
_PASSED_ON: dict[str, type[LuthierError]] = {
    kind.__name__: kind
    for kind in (
        ArgumentError, BenchmarkError, ChecksumError, DataMissing, MetricError, SpaceError, UnsupportedError,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """Benchmark code as a worker loads it; of any Python from 3.6 on.

    Args:
        name: What the benchmark is called.
        call: Function that takes the options and returns the object that answers; see `worker`.
        file: Python file that holds the function.
        module: Or the module of the environment that does.
        options: Arguments of the function; what JSON can say.
        lend: Packages of this process that the worker may import, name to folder.
    """

    name: str
    call: str = "open"
    file: str | None = None
    module: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    lend: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.file is None) == (self.module is None):
            raise ArgumentError(f"program {self.name!r}: file={self.file!r}, module={self.module!r}. Give one of them.")

    def message(self) -> dict[str, Any]:
        """What `worker.load` reads."""
        file = None if self.file is None else os.path.abspath(self.file)
        return {
            "call": self.call,
            "file": file,
            "module": self.module,
            "options": dict(self.options),
            "lend": dict(self.lend),
        }


class IsolatedBenchmark(BaseBenchmark):
    """A benchmark that lives in a worker process.

    What the benchmark does to its process is an answer: a crash, a hang beyond the time limit, memory beyond its
    limit and an exception give an evaluation with status FAILED, no metrics, the seconds that were spent until then
    (the whole limit for a hang), and in `info` the "outcome" ("crashed", "timeout", "out of memory", "killed",
    "cancelled", "raised"), the "error" in words and the last "output". The worker is ended with everything it
    started, and a new one serves the next question. A worker that was killed from outside is asked once more, since
    evaluations are pure. What luthier's benchmarks refuse (a configuration, missing data) is refused here too.

    Every answer's `info["isolation"]` is `provenance`. Starts are in `starts` and in no cost.

    Args:
        program: What runs.
        python: Interpreter of its environment.
        limits: Seconds and memory of one evaluation, threads (`cpus`, 1 by default).
        start_seconds: Longest time until the benchmark is loaded.
        lock: Hash of the lock that the environment was built from, None for an environment without.

    Raises:
        BenchmarkError: the worker does not start, speaks another protocol, or describes itself wrongly.

    Attributes:
        starts: Seconds that each start of a worker took, the first at construction.
        provenance: Python, package versions, lock, data, processor, threads behind every answer.

    Cost: a question takes 0.2 ms beside its answer; a start what the imports take, 0.1 s and more.
    """

    def __init__(
        self,
        program: Program,
        python: str | Path | None = None,
        *,
        limits: Limits | None = None,
        start_seconds: float = _START,
        lock: str | None = None,
    ) -> None:
        check("start_seconds", start_seconds, above=0)
        self._program, self._python = program, str(python or sys.executable)
        self._limits, self._start_seconds, self._lock = limits or Limits(), start_seconds, lock
        if self._limits.gpus:
            raise UnsupportedError(f"benchmark {program.name!r}: gpus={self._limits.gpus:g}. Isolated ones get none.")
        if sys.platform == "win32":
            raise UnsupportedError(f"benchmark {program.name!r}: isolation needs a system of the POSIX family.")
        self._begin()
        worker = self._live()
        try:
            described = {**worker.ask("spaces"), **worker.ask("meta")}
        except (Ended, Fault) as error:
            what = f"benchmark {program.name!r}: its worker was lost while it described itself"
            raise BenchmarkError(f"{what} ({error}). Load it again.") from error
        self._adopt(worker.hello, described)

    def _begin(self) -> None:
        self._turn = threading.RLock()  # one question at a time
        self._worker: WorkerProcess | None = None
        self.starts: list[float] = []

    def _adopt(self, hello: Mapping[str, Any], described: Mapping[str, Any]) -> None:
        self._hello, self._described = dict(hello), dict(described)
        try:
            axis = described.get("fidelity")
            self.fidelity = None if axis is None else Fidelity(axis[0], axis[1], axis[2])
            self.space = Space.from_dict(described["space"])
            self.objectives = tuple(Objective(name, goal) for name, goal in described["objectives"])
            self._constraints = tuple(Constraint(name, upper) for name, upper in described.get("constraints", ()))
            self.card = Card(**{"name": self._program.name, "source": "", "licence": "", **described.get("card", {})})
            self.bounds = {name: (low, high) for name, (low, high) in described.get("bounds", {}).items()}
            self.trains = bool(described.get("trains", True))
            continues = described.get("continues")
            self.continues = None if continues is None else bool(continues)
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise BenchmarkError(
                f"benchmark {self._program.name!r} describes itself wrongly ({type(error).__name__}: {error}). "
                "Needed: space (as Space.to_dict writes it), objectives ([[name, goal]]); see worker.py."
            ) from error
        known = ("python", "platform", "packages", "cpu", "threads", "protocol")
        self.provenance: dict[str, Any] = {
            **{name: hello.get(name) for name in known},
            "lock": self._lock,
            "data": dict(self.card.checksum),
        }

    @property
    def problem(self) -> Problem:
        """What an optimiser may know of it."""
        return Problem(self.space, self.objectives, self._constraints, self.fidelity)

    # -- questions ------------------------------------------------------------------------------------------

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        if len(configs) > 1 and not self.trains and "evaluate_batch" in self._hello["offers"]:
            parts = [configs[i : i + _CHUNK] for i in range(0, len(configs), _CHUNK)]
            return [one for part in parts for one in self._many(part, resource, seed)]
        return [self._one("evaluate", config, resource, seed) for config in configs]

    def _many(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        content = {"configs": configs, "resource": resource, "seed": seed}
        try:
            found = self._ask("evaluate_batch", content, times=len(configs))
        except Ended as end:
            if end.outcome == "cancelled":
                return [self._failed(end)] * len(configs)
            return [self._one("evaluate", config, resource, seed) for config in configs]  # whose fault was it
        return [self._answer(one) for one in found]

    def _one(self, word: str, config: Configuration, resource: float | None, seed: int | None) -> Evaluation:
        try:
            return self._answer(self._ask(word, {"config": config, "resource": resource, "seed": seed}))
        except Ended as end:
            return self._failed(end)

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        if "curve" not in self._hello["offers"]:
            return super()._curve(config, until, seed)
        try:
            found = self._ask("curve", {"config": config, "until": until, "seed": seed})
        except Ended as end:  # which step it was is not known
            return [(step, self._failed(end)) for step in self._steps(until)]
        return [(step, self._answer(one)) for step, one in found]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, on the test set; for judging a finished search."""
        if "evaluate_test" not in self._hello["offers"]:
            return super().evaluate_test(config, resource=resource, seed=seed)
        return self._one("evaluate_test", self._check(config), self._spent(resource), seed)

    def _ask(self, word: str, content: Mapping[str, Any], *, times: int = 1) -> Any:
        """Ask the worker, a new one where there is none.

        Raises:
            Ended: no answer, and why.
            LuthierError: the benchmark refuses the question.
        """
        seconds = None if self._limits.seconds is None else times * self._limits.seconds
        with self._turn:
            for again in (True, False):
                worker = self._live()
                try:
                    return worker.ask(word, content, seconds=seconds)
                except Ended as end:
                    if end.outcome != "killed" or not again:
                        raise
                except Fault as fault:
                    known = self._refusal(fault)
                    if known is not None:
                        raise known from None
                    raise Ended("raised", f"{fault.kinds[0]}: {fault.text}", worker.asked, fault.trace) from None
        raise AssertionError("the second time ends the loop")

    def _live(self) -> WorkerProcess:
        if self._worker is None or not self._worker.alive:
            try:
                self._worker = WorkerProcess(
                    self._program.name,
                    self._python,
                    self._program.message(),
                    limits=self._limits,
                    start_seconds=self._start_seconds,
                )
            except Fault as fault:
                known = self._refusal(fault)
                error = known or BenchmarkError(
                    f"benchmark {self._program.name!r} cannot be loaded in the environment of {self._python}: "
                    f"{fault.kinds[0]}: {fault.text}. See that the environment has what it imports."
                )
                error.add_note(fault.trace)
                raise error from None
            self.starts.append(self._worker.started_in)
        return self._worker

    def _refusal(self, fault: Fault) -> LuthierError | None:
        """What a benchmark of luthier's means to say to its user."""
        if fault.home != "luthier":
            return None
        if "MissingExtra" in fault.kinds:
            return BenchmarkError(
                f"benchmark {self._program.name!r}: {self._python} lacks a package ({fault.text}). Complete the lock "
                "and build the environment again."
            )
        return next((_PASSED_ON[kind](fault.text) for kind in fault.kinds if kind in _PASSED_ON), None)

    def _answer(self, found: Mapping[str, Any]) -> Evaluation:
        info = {**found["info"], "isolation": self.provenance}
        return Evaluation(found["metrics"], found["seconds"], Status(found["status"]), info)

    def _failed(self, end: Ended) -> Evaluation:
        info = {"outcome": end.outcome, "error": end.text, "output": end.output, "isolation": self.provenance}
        return Evaluation({}, end.seconds, Status.FAILED, info)

    # -- life -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Give up the present evaluation, from another thread: it is answered with the outcome "cancelled"."""
        worker = self._worker
        if worker is not None:
            worker.cancel()

    def close(self) -> None:
        """End the worker once it has answered; the next question starts another."""
        with self._turn:
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    def __enter__(self) -> IsolatedBenchmark:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        own = (self._program, self._python, self._limits, self._start_seconds, self._lock)
        return (_copy, (*own, self._hello, self._described))


def _copy(
    program: Program,
    python: str,
    limits: Limits,
    start_seconds: float,
    lock: str | None,
    hello: Mapping[str, Any],
    described: Mapping[str, Any],
) -> IsolatedBenchmark:
    """For pickle: a copy has a worker of its own, from its first question on."""
    found = IsolatedBenchmark.__new__(IsolatedBenchmark)
    found._program, found._python, found._limits = program, python, limits
    found._start_seconds, found._lock = start_seconds, lock
    found._begin()
    found._adopt(hello, described)
    return found


def load(
    name: str,
    *,
    environment: Literal["own", "this"] = "own",
    limits: Limits | None = None,
    start_seconds: float = _START,
    options: Mapping[str, Any] | None = None,
) -> IsolatedBenchmark:
    """Load a benchmark of luthier's into a process of its own.

    luthier's own code is lent to the environment, which so needs the packages of its lock alone.

    Args:
        name: Full name, such as "xgb/digits".
        environment: "own": what `create` built for the family's lock; "this": the Python that runs now.
        limits: Seconds and memory of one evaluation, threads (`cpus`, 1 by default).
        start_seconds: Longest time until the benchmark is loaded.
        options: The family's own arguments.

    Raises:
        BenchmarkError: the environment is not built, or the worker does not start.
        LuthierError: what `luthier.bench.load` raises.
    """
    check("environment", environment, one_of=("own", "this"))
    lent = {"luthier": str(Path(luthier.__file__).parent)}
    program = Program(
        name,
        "open_benchmark",
        module="luthier.bench.isolation._served",
        options={"name": name, "options": dict(options or {})},
        lend=lent,
    )
    if environment == "this":
        return IsolatedBenchmark(program, sys.executable, limits=limits, start_seconds=start_seconds)
    built = environments.find(name)
    return IsolatedBenchmark(program, built.python, limits=limits, start_seconds=start_seconds, lock=built.lock_sha256)
