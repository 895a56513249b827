"""The contract of an executor: who runs a trial's program."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from luthier.base.checks import check, check_fields
from luthier.base.records import Configuration, Decision, Fidelity, Status
from luthier.runtime.executors._checkpoints import pin


@dataclass(frozen=True)
class Launch:
    """One run of a trial, as an executor needs to know it. It can be pickled.

    Args:
        trial: The trial's number.
        attempt: Which run of this trial it is, from 1.
        config: Its configuration.
        seed: The seed its program should use.
        repeat: Which repetition of the configuration, from 0.
        fidelity: Axis of the resource, None without.
        after: Resource already spent and kept in the checkpoint, 0 for a fresh start.
        until: Resource up to which it may run, None for all of it.
        folder: The trial's own folder; None when the study keeps no files.
        checkpoint: Folder of the checkpoint to start from, None for a fresh start.
        open_space: Whether hyperparameters not in `config` may be asked for while running (define-by-run).
        split_seed: The seed by which its program should split its data.
    """

    trial: int
    attempt: int
    config: Configuration
    seed: int = 0
    repeat: int = 0
    fidelity: Fidelity | None = None
    after: float = 0
    until: float | None = None
    folder: Path | None = None
    checkpoint: Path | None = None
    open_space: bool = False
    split_seed: int = 0


@dataclass(frozen=True)
class Message:
    """What a running trial says: a measurement.

    Args:
        metrics: Name to value, unchecked.
        resource: Amount spent, None without a fidelity.
        seconds: Time since this run began.
        folds: Scores of the single folds behind the first objective.
        checkpoint: Name of the newest checkpoint in the trial's folder, None for none.
    """

    metrics: Mapping[str, Any]
    resource: float | None = None
    seconds: float = 0.0
    folds: tuple[float, ...] = ()
    checkpoint: str | None = None


@dataclass(frozen=True)
class End:
    """How a run ended, as the executor saw it.

    Args:
        status: COMPLETED (the program returned), STOPPED or PAUSED (it obeyed the decision), FAILED, or LOST
            (its worker died through no fault of the program).
        result: What the program returned: None, a number, or a mapping of metrics.
        error: One line for a failed or lost run.
        seconds: Time since the run began.
        log: File with its output, relative to the study's folder.
        heeded: Whether the program asked how far to run, or said how far it had come.
    """

    status: Status
    result: Any = None
    error: str | None = None
    seconds: float = 0.0
    log: str | None = None
    heeded: bool = True


class Host(Protocol):
    """What an executor tells the study; the study implements it. Calls come from the driver's thread alone."""

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """A run measured something. Durable when this returns.

        A report that the study cannot use (metric missing or misspelt, text for a number) raises MetricError:
        the executor then ends this run as FAILED with the error's text, and goes on.
        """
        ...

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """A define-by-run program asks for a hyperparameter; returns its value."""
        ...

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """A run is over; its worker is free."""
        ...


#: What runs: a function of a `Run`, or an object that behaves like one (`Command`).
Target = Callable[[Any], Any]


@dataclass(frozen=True)
class Limits:
    """What one trial may use.

    Args:
        seconds: Wall-clock time of one run, None for no limit.
        memory_mb: Resident memory of its whole process tree, in megabytes, None for no limit.
        gpus: GPUs of one trial; a fraction shares one.
        cpus: Threads of one trial (OMP_NUM_THREADS and its kin). None leaves it to the executor: the environment's
            own setting where there is one, else an equal share of the cores for each worker process.
    """

    seconds: float | None = None
    memory_mb: float | None = None
    gpus: float = 0
    cpus: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no executor can keep."""
        for name, value in (("time limit", self.seconds), ("memory_mb", self.memory_mb)):
            if value is not None:
                check(name, value, above=0)
        check("gpus", self.gpus, at_least=0)
        if self.cpus is not None:
            check_fields(self, "cpus", at_least=1, whole=True)


@dataclass(frozen=True)
class Setting:
    """Where an executor works.

    Args:
        target: What to run.
        folder: The study's folder, None when it keeps no files.
        limits: What one trial may use.
        workers: How many trials at once.
        labels: Environment variables for every run.
        time: Time of the study's last event, 0 for a new one: where an executor with a clock of its own goes on.
    """

    target: Target
    folder: Path | None = None
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    time: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a study without workers."""
        check_fields(self, "workers", at_least=1, whole=True)


class Executor(ABC):
    """Runs trials. The study submits, the executor calls the host back from within `step`.

    Life: `open` once, then `submit` while `free()` names a worker, `step` in between, `close` at the end.
    After `open` the same executor may not be opened again before `close`.
    """

    name: ClassVar[str] = ""
    #: Whether its time is its own: `step` waits in that time, nothing runs for real, and no target is needed. Its runs
    #: start from `Launch.after`; it keeps no files.
    virtual: ClassVar[bool] = False
    #: The arguments that it was made with, by name; `luthier resume` makes it again with them. Set by `__init__`.
    own: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def open(self, setting: Setting, host: Host) -> None:
        """Get ready. Raises UnsupportedError or ArgumentError when the setting cannot be met."""

    @abstractmethod
    def free(self) -> Sequence[str]:
        """Names of the workers that could take a run now, such as "worker-0"."""

    @abstractmethod
    def submit(self, launch: Launch, worker: str) -> None:
        """Start a run on a free worker."""

    @abstractmethod
    def step(self, timeout: float) -> None:
        """Wait until something happens, at most `timeout` seconds, and tell the host of all that did."""

    @abstractmethod
    def cancel(self, trial: int) -> None:
        """Kill a run now; `ended` follows with STOPPED."""

    @abstractmethod
    def close(self, *, kill: bool = False) -> None:
        """Let go of all workers. No call to the host follows.

        Idle workers may leave in order; with `kill` they are ended at once. What still runs is ended in either case:
        nobody could hear how it goes on. Closing what is not open does nothing.
        """

    def holds(self, checkpoint: Path) -> bool:
        """Whether a checkpoint's folder is where runs find it."""
        return checkpoint.is_dir()

    def pin(self, checkpoint: Path) -> None:
        """Keep a checkpoint for good: another trial starts from it."""
        pin(checkpoint)

    def now(self) -> float:
        """Seconds since the epoch, by the clock of this executor."""
        return time.time()
