"""The schedule of configurations behind a trial that was cloned: which one it trained with, from where to where."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Event, Trial
from luthier.study._launching import resource_of

if TYPE_CHECKING:
    from luthier.study._view import View


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the training with one configuration.

    Args:
        start: Resource at which it began, 0 for a fresh start.
        until: Resource at which it ended.
        config: The configuration.
        trial: The trial that trained it.
    """

    start: float
    until: float
    config: Configuration
    trial: int


@dataclass(frozen=True)
class Schedule:
    """Segments in order, each from where the one before it ended.

    Args:
        fidelity: Name of the resource.
        segments: At least one.
    """

    fidelity: str
    segments: tuple[Segment, ...]

    def at(self, resource: float) -> Configuration:
        """The configuration of the step that ends at a resource (epoch 5 is the step from 4 to 5).

        Raises:
            ArgumentError: it lies outside of the schedule.
        """
        last = self.segments[-1].until
        if not 0 < resource <= last:
            raise ArgumentError(f"at({resource!r}). Allowed: above 0 and up to {last:g}, the schedule's end.")
        ends = [segment.until for segment in self.segments]
        return self.segments[bisect_left(ends, resource)].config

    def pairs(self) -> list[tuple[float, dict[str, Any]]]:
        """(until, configuration) of each segment: the argument of scheduler `schedule`."""
        return [(segment.until, dict(segment.config)) for segment in self.segments]

    def rows(self) -> list[dict[str, Any]]:
        """One row a segment: trial, start, until and the hyperparameters; an inactive one is None."""
        names = dict.fromkeys(name for segment in self.segments for name in segment.config)
        return [
            {"trial": s.trial, "start": s.start, "until": s.until, **{name: s.config.get(name) for name in names}}
            for s in self.segments
        ]

    def frame(self) -> dict[str, list[Any]]:
        """The same as columns, ready for `pandas.DataFrame(schedule.frame())`."""
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in rows[0]}

    def to_json(self) -> str:
        """The schedule as text; scheduler `schedule` reads a file of it."""
        segments = [{"until": s.until, "config": dict(s.config), "trial": s.trial} for s in self.segments]
        return json.dumps({"fidelity": self.fidelity, "segments": segments}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """The reverse of `to_json`.

        Raises:
            ArgumentError: the text is something else.
        """
        try:
            data = json.loads(text)
            rows = [(s["until"], Configuration(s["config"]), s.get("trial", i)) for i, s in enumerate(data["segments"])]
            starts = [0.0, *(until for until, _, _ in rows)]
            segments = tuple(Segment(start, *row) for start, row in zip(starts, rows, strict=False))
            found = cls(data["fidelity"], segments)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ArgumentError(f"{text[:60]!r} is no schedule. Allowed: what Schedule.to_json wrote.") from None
        if not segments or any(s.start >= s.until for s in segments):
            raise ArgumentError("a schedule needs segments, each ending beyond the one before it.")
        return found

    def save(self, path: str | Path) -> Path:
        """Write `to_json` to a file."""
        path = Path(path)
        path.write_text(self.to_json() + "\n", encoding="utf-8")
        return path


def schedule_of(study: View, number: int | None) -> Schedule:
    """The schedule that leads to the newest result of a trial; None: of the best.

    Raises:
        ArgumentError: the trial has no result, or the study no fidelity.
    """
    fidelity = study.problem.fidelity
    if fidelity is None:
        raise ArgumentError("schedule() of a study without a fidelity: each trial has one configuration, trial.config.")
    trials = {trial.number: trial for trial in study.trials}
    if number is None:
        if study.best is None:
            raise ArgumentError(f"schedule(): {study.rule}. Name a trial that has reported: study.schedule(3).")
        number = study.best.number
    if number not in trials or trials[number].resource is None:
        has = "it has no result" if number in trials else "there is no such trial"
        raise ArgumentError(f"schedule({number}): {has}. Allowed: the number of a trial that has reported.")
    return Schedule(fidelity.name, _lineage(trials, study.events(), number))


def _lineage(trials: Mapping[int, Trial], events: Sequence[Event], number: int) -> tuple[Segment, ...]:
    """The segments, by the log: it knows from which checkpoint each clone started."""
    starts: dict[int, float] = {}
    for event in events:
        if event.kind == "started" and event.trial is not None and event.trial not in starts:
            name = (event.data.get("checkpoint") or "").rpartition("/")[2]
            starts[event.trial] = resource_of(name, default=0.0)
    found: list[Segment] = []
    trial, until = trials[number], trials[number].resource or 0.0
    while True:
        start = starts[trial.number] if trial.parent is not None else 0.0
        if start < until:  # whose clone started from where itself had started has trained nothing of it
            found.append(Segment(_whole(start), _whole(until), trial.config, trial.number))
        if trial.parent is None:
            return tuple(reversed(found))
        trial, until = trials[trial.parent], start


def _whole(resource: float) -> float:
    return int(resource) if float(resource).is_integer() else resource
