"""This side of the conversation: a tool's process, and the `Tool` and `Source` that a study sees."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError
from luthier.base.records import Configuration, Fidelity
from luthier.bench.data import checksum
from luthier.bench.isolation import environment as environments
from luthier.bench.isolation._process import Ended, Fault, WorkerProcess
from luthier.bench.isolation.client import Program
from luthier.bench.studies.outside.catalogue import Kind
from luthier.bench.studies.outside.spoken import Spoken
from luthier.bench.studies.tools import Ask, Told
from luthier.runtime.executors._base import Limits
from luthier.space.problem import Problem

SCRIPTS = Path(__file__).with_name("scripts")
SECONDS = 600.0  # of one answer: the slowest tool here takes ten on a busy machine
_START = 120.0  # s: importing torch from a cold disk
_LONGEST = 400  # characters of a tool's error
_ETA = 3  # between the levels of a tool that stops trials where nothing is reported on the way, as Hyperband's default


class ToolError(BenchmarkError):
    """A tool raised, died, gave no answer in time, or answered nonsense."""


class Timed(NamedTuple):
    """An answer.

    Args:
        found: What was answered.
        seconds: Wall time that the tool took, without the pipe.
        cpu_seconds: The same in CPU time.
    """

    found: Any
    seconds: float
    cpu_seconds: float


class _Held:
    """A worker, and the run that it is at."""

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self.run: object = None
        self.users = 0


_shared: dict[tuple[str, str, float | None], _Held] = {}


class Process:
    """A tool's process, which solves one problem after another; started when it is first asked.

    Args:
        name: What the tool is called, for messages.
        kind: What runs.
        python: Interpreter of its environment; None: of the one that was built from its lock.
        seconds: Longest time for one answer.
        memory_mb: Memory that it may use; None: any.
        shared: Whether it serves all methods of its script here, one run at a time; each process with torch in it
            holds half a gigabyte.

    Raises:
        BenchmarkError: from the first question on, if there is no environment.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        python: str | Path | None = None,
        seconds: float | None = SECONDS,
        memory_mb: float | None = None,
        shared: bool = False,
    ) -> None:
        self.name, self.kind, self.seconds = name, kind, seconds
        self._python, self._limits = python, Limits(memory_mb=memory_mb, cpus=1)
        key = str(python or kind.environment), str(self.script), memory_mb
        self._held = _shared.setdefault(key, _Held()) if shared else _Held()
        self._held.users += 1
        self._open = True

    @property
    def script(self) -> Path:
        """Its side of the conversation."""
        return SCRIPTS / self.kind.script  # a path that is absolute stays itself

    def call(self, run: object, method: str, /, **arguments: Any) -> Timed:
        """Ask, and wait.

        Args:
            run: Who asks; "new" makes it the run that the process is at.
            method: What to do.
            **arguments: What that needs.

        Raises:
            ToolError: there is no answer, or the process is at another run.
        """
        if method == "new":
            self._held.run = run
        elif self._held.run is not run:
            raise ToolError(f"tool {self.name!r}: {method}: its process has begun another run. Finish one first.")
        try:
            found = self._live().ask("call", {"method": method, "arguments": arguments}, seconds=self.seconds)
            return Timed(found["found"], found["seconds"], found["cpu_seconds"])
        except Fault as fault:
            error = ToolError(f"tool {self.name!r}: {method}: {fault.kinds[0]}: {fault.text}"[:_LONGEST])
            error.add_note(fault.trace)
            raise error from None
        except Ended as end:
            said = f"; it printed: {end.output[-_LONGEST:]}" if end.output else ""
            raise ToolError(f"tool {self.name!r}: {method}: {end.text}{said}") from None
        except ToolError:
            raise
        except BenchmarkError as error:
            raise ToolError(str(error)) from None

    def _live(self) -> WorkerProcess:
        held = self._held
        if held.worker is None or not held.worker.alive:
            python = self._python or environments.find(self.kind.environment).python
            options = {"script": str(self.script.resolve())}
            program = Program(self.name, file=str(SCRIPTS / "_session.py"), options=options)
            held.worker = WorkerProcess(
                self.name, str(python), program.message(), limits=self._limits, start_seconds=_START, kind="tool"
            )
        return held.worker

    def versions(self) -> dict[str, str]:
        """Of the packages that its results depend on, as the process has them."""
        return _of(self._live().hello["packages"], self.kind.packages)

    def close(self) -> None:
        """End the process, unless others use it too; the next question starts another."""
        held, self._held.users = self._held, self._held.users - self._open
        self._open = False
        if held.worker is not None and held.users <= 0:
            held.worker.kill()
            held.worker = None


class Run:
    """A tool at work on one problem: a `Tool` for a study.

    Args:
        process: Its process.
        problem: The problem.
        seed: Decides its random draws.
        evaluations: Full-resource evaluations that the budget is worth.
        options: The method's own arguments.

    Raises:
        UnsupportedError: the tool cannot do what the problem needs.
        ToolError: it did not begin.

    Attributes:
        early: Whether it is told every report. A tool that stops trials early on an axis without whole steps hears
            none on the way, as such an evaluation has none: it is given each trial anew at a third of the resource,
            and so on up, for as long as it does not stop it.
        seconds: Wall time that it has taken in its process.
        cpu_seconds: CPU time that it has taken there.
    """

    def __init__(
        self, process: Process, problem: Problem, *, seed: int, evaluations: float, options: Mapping[str, Any]
    ) -> None:
        self._process, self._axis = process, problem.fidelity
        self._spoken = Spoken(problem.space, process.name)
        self.seconds = self.cpu_seconds = 0.0
        kind, axis = process.kind, problem.fidelity
        if (kind.early or kind.rungs) and axis is None:
            raise UnsupportedError(
                f"tool {process.name!r} needs a fidelity. Allowed: a task with one, such as 'mfhartmann/3/good'. Leave "
                "out the task or the tool."
            )
        self.early = kind.early and axis is not None and axis.whole
        self._levels = _levels(axis) if kind.early and axis is not None and not axis.whole else []
        self._begun: dict[int, tuple[int, Configuration, int]] = {}  # trial here: trial there, configuration, level
        self._again: deque[tuple[int, Configuration, int]] = deque()  # which the tool lets go on
        self._asked = self._proposed = 0
        self._say(
            "new", method=kind.method, space=self._spoken.words, seed=seed, evaluations=math.ceil(evaluations),
            axis=self._told_axis(), options=dict(options),
        )  # fmt: skip

    def _told_axis(self) -> dict[str, Any] | None:
        """The fidelity as the tool is told it: levels of what cannot be reported on the way are 1, 3, 9 and so on."""
        if self._levels:
            return {"low": 1, "high": _ETA ** (len(self._levels) - 1), "whole": True}
        axis = self._axis
        return None if axis is None else {"low": axis.low, "high": axis.high, "whole": axis.whole}

    def ask(self) -> Configuration | Ask | None:
        """The next trial."""
        if self._again:
            place = self._again.popleft()
        else:
            found = self._say("ask")
            if found is None:
                return None
            try:
                config, until = self._spoken.config(found["config"]), found["until"]
            except (KeyError, TypeError, AttributeError) as error:
                raise ToolError(f"tool {self._process.name!r}: ask: answered {found!r}"[:_LONGEST]) from error
            place = self._proposed, config, 0
            self._proposed += 1
            if until is not None:
                self._begun[self._asked] = place
                self._asked += 1
                return Ask(config, self._resource(until))
        self._begun[self._asked] = place
        self._asked += 1
        return Ask(place[1], self._levels[place[2]]) if self._levels else place[1]

    def _resource(self, until: float) -> float:
        axis = self._axis
        assert axis is not None  # a tool with rungs has one
        return float(min(max(round(until) if axis.whole else until, axis.low), axis.high))

    def tell(self, told: Told) -> bool:
        """What came out; whether the trial ends now."""
        trial, config, level = self._begun[told.trial]
        resource, done = told.resource, told.done
        if self._levels:
            resource, done = float(_ETA**level), told.failed or level == len(self._levels) - 1
        stop = bool(self._say("tell", trial=trial, value=told.value, resource=resource, done=done, failed=told.failed))
        if told.done or stop:
            del self._begun[told.trial]
        if self._levels and not (done or stop):
            self._again.append((trial, config, level + 1))
        return stop

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        """Give observations at once, at the beginning, as trials that it did not ask for."""
        self._say("preload", configs=[self._spoken.told(config) for config in configs], values=list(values))

    def _say(self, method: str, /, **arguments: Any) -> Any:
        answer = self._process.call(self, method, **arguments)
        self.seconds += answer.seconds
        self.cpu_seconds += answer.cpu_seconds
        return answer.found


def _levels(axis: Fidelity) -> list[float]:
    """Resources at which a trial is judged, from a full one down by thirds."""
    count = math.floor(math.log(axis.high / axis.low, _ETA) + 1e-9) + 1
    return [axis.high / _ETA**i for i in reversed(range(count))]


def _of(known: Mapping[str, str], packages: Sequence[str]) -> dict[str, str]:
    """Versions of some packages; what an environment lists is in small letters."""
    return {name: known[name.lower()] for name in packages if name.lower() in known}


class Outside:
    """Where a tool's runs come from, as a study's `Source`: one process for all of them, one at a time.

    Args:
        name: What the tool is called.
        kind: What runs.
        python: Interpreter of its environment; None: of the one that was built from its lock.
        limit: Seconds that one answer may take.
        memory_mb: Memory that its process may use; None: any.
        **options: The method's own arguments, for its script.

    Raises:
        ArgumentError: there is no such script or interpreter.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        python: str | None = None,
        limit: float = SECONDS,
        memory_mb: float | None = None,
        **options: Any,
    ) -> None:
        self._options, self._python = options, None if python is None else str(Path(python).expanduser())
        self._process = Process(name, kind, python=self._python, seconds=limit, memory_mb=memory_mb, shared=True)
        if not self._process.script.is_file():
            raise ArgumentError(f"tool {name!r}: script={kind.script!r} is no file. Give the path of a Python file.")

    def missing(self) -> str | None:
        """The command that builds its environment, None if it is there."""
        if self._python is not None:
            return (
                None if Path(self._python).is_file() else f"python={self._python!r} is no file. Give its interpreter."
            )
        try:
            environments.find(self._process.kind.environment)
        except BenchmarkError as error:
            return str(error)
        return None

    def versions(self) -> dict[str, str]:
        """Packages of its environment, and the script's hash."""
        script = {self._process.script.name: checksum(self._process.script)[:12]}
        if self._python is None:
            built = environments.find(self._process.kind.environment)
            return _of(built.packages, self._process.kind.packages) | script
        return self._process.versions() | script

    def start(self, problem: Problem, *, seed: int, evaluations: float) -> Run:
        """A run; a process that was lost is replaced by a new one."""
        return Run(self._process, problem, seed=seed, evaluations=evaluations, options=self._options)

    def close(self) -> None:
        """End the process."""
        self._process.close()


def script(
    *, script: str, python: str, method: str = "", early: bool = False, rungs: bool = False, **more: Any
) -> Outside:
    """A tool that is a script of the user's, in an environment of the user's.

    Args:
        script: The script; see `scripts/_session.py`.
        python: Interpreter of its environment.
        method: Passed on to the script.
        early: It hears every report and may end a trial.
        rungs: It decides itself how far a trial runs.
        **more: Arguments of `Outside`, and of the script.
    """
    place = Path(script).expanduser().resolve()
    return Outside(place.stem, Kind("", str(place), method, early=early, rungs=rungs), python=python, **more)
