"""The records that travel between rooms: small, typed, without behaviour of their own."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, NoReturn

from luthier.base.errors import ArgumentError


class Configuration(dict[str, Any]):
    """One assignment of hyperparameters: a dictionary that cannot be changed and can be hashed.

    A hyperparameter that is inactive (its condition does not hold) is absent.
    """

    __slots__ = ("_hash",)

    def _frozen(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("a Configuration cannot be changed; make a new one: Configuration({**config, 'lr': 0.1})")

    __setitem__ = __delitem__ = _frozen
    update = pop = popitem = clear = setdefault = __ior__ = _frozen

    _hash: int

    def __hash__(self) -> int:  # type: ignore[override]
        try:
            return self._hash
        except AttributeError:
            self._hash = hash(frozenset(self.items()))
            return self._hash

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(
            f"{name!r} is not in this configuration. It has: {', '.join(map(repr, self)) or 'nothing'}. "
            "A hyperparameter is absent where its condition does not hold."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Configuration, (dict(self),))

    def __repr__(self) -> str:
        return f"Configuration({dict.__repr__(self)})"


class Status(Enum):
    """Where a trial stands, and whose doing it was.

    WAITING: asked, not yet running (also: lost and about to be run again).
    RUNNING: a worker has it. PAUSED: the scheduler set it aside, it may go on from its checkpoint.
    COMPLETED: it used all its resource. STOPPED: the scheduler (or the end of the study) ended it.
    DIVERGED: it reported NaN or infinity, a bad but valid observation of the configuration.
    FAILED: the program raised, exited non-zero, hung beyond its time limit or reported nothing usable.
    LOST: the machine's fault (worker or driver killed); it is run again, and never told to a searcher.
    """

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the trial by itself."""
        return self in _ENDED


_ENDED = frozenset({Status.COMPLETED, Status.STOPPED, Status.DIVERGED, Status.FAILED, Status.LOST})


class Decision(Enum):
    """What a scheduler answers to a report."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Objective:
    """A metric that the study improves.

    Args:
        name: Name of the metric in every report.
        goal: `"min"` or `"max"`.
    """

    name: str
    goal: Literal["min", "max"] = "min"

    def __post_init__(self) -> None:
        _check_name("objective", self.name, "Objective('loss')")
        if self.goal not in ("min", "max"):
            raise ArgumentError(f"objective {self.name!r}: goal={self.goal!r}. Allowed: 'min', 'max'.")

    @property
    def sign(self) -> float:
        """+1 to minimise, -1 to maximise: value * sign is always minimised."""
        return 1.0 if self.goal == "min" else -1.0


@dataclass(frozen=True)
class Constraint:
    """A metric with an upper bound: feasible when `metrics[name] <= upper`.

    Args:
        name: Name of the metric.
        upper: Largest value allowed, in the metric's own unit; finite.

    Raises:
        ArgumentError: `upper` is no finite number.
    """

    name: str
    upper: float = 0.0

    def __post_init__(self) -> None:
        _check_name("constraint", self.name, "Constraint('memory_mb', 2000)")
        if not isinstance(self.upper, numbers.Real) or not math.isfinite(self.upper):
            raise ArgumentError(
                f"constraint {self.name!r}: upper={self.upper!r}. Allowed: a finite number, the upper bound. "
                "If there is none, leave the constraint out."
            )


@dataclass(frozen=True)
class Fidelity:
    """The axis on which a trial's resource is measured.

    Args:
        name: Name of the resource in every report ("epoch", "tokens", "fraction").
        low: Smallest amount at which a report means something, > 0.
        high: The full amount.
    """

    name: str
    low: float = 1
    high: float = 1

    def __post_init__(self) -> None:
        _check_name("fidelity", self.name, "('epoch', 1, 81)")
        real = isinstance(self.low, numbers.Real) and isinstance(self.high, numbers.Real)
        if not real or not (0 < self.low <= self.high) or not math.isfinite(self.high):
            raise ArgumentError(
                f"fidelity {self.name!r}: low={self.low!r}, high={self.high!r}. "
                "Allowed: numbers, 0 < low <= high, finite. Write (name, low, high), such as ('epoch', 1, 81)."
            )

    @property
    def whole(self) -> bool:
        """Whether the resource is counted in whole steps."""
        return float(self.low).is_integer() and float(self.high).is_integer()


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement of a running trial.

    Args:
        trial: The trial's number.
        resource: How much it has spent, in the unit of the fidelity; None without a fidelity.
        metrics: Name to value, as the program reported them.
        seconds: Time the trial has run until now, in seconds of its executor.
        folds: Scores of the single folds or repetitions behind the first objective, if given.
        repeat: Which repetition of the configuration this is, from 0.
        checkpoint: Identifier of the newest checkpoint that the run had written, None for none.
    """

    trial: int
    resource: float | None
    metrics: Mapping[str, float]
    seconds: float = 0.0
    folds: tuple[float, ...] = ()
    repeat: int = 0
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a searcher is told about a trial: numbers to be minimised.

    Args:
        trial: The trial's number.
        config: Its configuration.
        resource: Where on the fidelity axis it was measured, or None.
        values: One per objective, already signed so that less is better; empty for a failed trial.
        violations: One per constraint, `metric - upper`: feasible when <= 0.
        status: RUNNING for an intermediate report, else how the trial ended.
        task: Name of the earlier task it comes from, None for this study.
    """

    trial: int
    config: Configuration
    resource: float | None
    values: tuple[float, ...]
    violations: tuple[float, ...] = ()
    status: Status = Status.COMPLETED
    task: str | None = None

    @property
    def violation(self) -> float:
        """Sum of what exceeds the constraints' bounds, 0 for a feasible result."""
        return sum([v for v in self.violations if v > 0.0])


@dataclass(frozen=True, slots=True)
class Job:
    """What a scheduler wants to have run next.

    Args:
        trial: Number of the trial: a new one, or one that goes on.
        config: Its configuration.
        until: Resource up to which it may run before the scheduler is asked again; None: to the end.
        parent: Trial whose checkpoint a clone starts from.
        checkpoint: The immutable checkpoint that a clone starts from: `PARENT/NAME`, where NAME is what the parent's
            report called it. None for anything else: a trial that goes on does so from its own newest one.
        origin: Who proposed the configuration: "default", "first", "enqueued", "user", "past" or the searcher's name.
    """

    trial: int
    config: Configuration
    until: float | None = None
    parent: int | None = None
    checkpoint: str | None = None
    origin: str = ""


class Event(NamedTuple):
    """One row of a study's append-only log.

    `seq` is the position in the study's order, from 1; `time` is seconds since the epoch as the executor
    supplied them; `seen` is set on decisions: the `seq` of the last event folded in before the decision.
    """

    seq: int
    time: float
    kind: str
    trial: int | None
    seen: int | None
    data: dict[str, Any]


@dataclass(slots=True, repr=False)
class Trial:
    """One configuration with its history.

    Args:
        number: Position in the study, from 0.
        config: The configuration.
        status: Where it stands.
        origin: Who proposed it.
        reports: Every report in the order received.
        metrics: The trial's result: the last report, or the mean over repeats.
        resource: Resource of that result.
        until: Resource granted so far, None: all of it.
        parent: Trial it was cloned from.
        checkpoint: Identifier of its newest checkpoint; `PARENT/NAME` for a clone that has written none yet.
        runs: Times it was started (a resumed or lost trial has several).
        worker: Who runs it or ran it last.
        started: Time of the first start, seconds since the epoch.
        ended: Time of the end.
        seconds: Time spent running, summed over runs.
        error: Why it failed, in one line.
        tags: The user's marks.
        note: The user's note.
        repeats: Results of the single repetitions.
        stderr: Standard error of each metric's mean over the repetitions, when there are two or more.
        split_seed: The seed by which its program should split its data; equal for trials that are to be compared.
        untouched: Value of the metric that is shown to no searcher, scheduler or stopping rule, where the trial's
            result was measured; None without one.
    """

    number: int
    config: Configuration
    status: Status = Status.WAITING
    origin: str = ""
    reports: list[Report] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    resource: float | None = None
    until: float | None = None
    parent: int | None = None
    checkpoint: str | None = None
    runs: int = 0
    worker: str | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    error: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    repeats: list[dict[str, float]] = field(default_factory=list)
    stderr: dict[str, float] = field(default_factory=dict)
    split_seed: int = 0
    untouched: float | None = None

    def __repr__(self) -> str:
        numbers = ", ".join(pairs(self.metrics)) or "no result"
        return f"Trial {self.number} ({self.status.value}): {numbers} at {', '.join(pairs(self.config))}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a benchmark answers.

    Args:
        metrics: Name to value.
        seconds: What the evaluation cost (recorded or measured), in seconds.
        status: COMPLETED, DIVERGED or FAILED.
        info: Anything else worth keeping; never read by an optimiser.
    """

    metrics: Mapping[str, float]
    seconds: float = 0.0
    status: Status = Status.COMPLETED
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """Where a benchmark comes from and what is known about it.

    Args:
        name: Full name, such as "yahpo/lcbench/3945".
        source: Origin of the data, with version.
        licence: Licence of the data.
        checksum: SHA-256 of each data file, by file name.
        optimum: Best known value per objective, and how it is known.
        noise: "deterministic", "k recorded seeds" or "generative".
        description: One or two sentences.
    """

    name: str
    source: str
    licence: str
    checksum: Mapping[str, str] = field(default_factory=dict)
    optimum: Mapping[str, float] = field(default_factory=dict)
    noise: str = "deterministic"
    description: str = ""


def _check_name(kind: str, name: object, example: str) -> None:
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"{kind} {name!r}. Allowed: its name, a text that is not empty. Write {example}.")


def finite(values: Mapping[str, float]) -> bool:
    """Whether every value is a finite number."""
    return all(math.isfinite(value) for value in values.values())


def as_float(value: Any) -> float:
    """`float(value)`, where a number beyond the range of floats, such as 10**400, is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def pairs(config: Mapping[str, Any]) -> Iterator[str]:
    """`name=value` for each hyperparameter, floats in six digits, for messages and tables."""
    for name, value in config.items():
        yield f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
