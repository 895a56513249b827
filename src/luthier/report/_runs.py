"""The runs of a study, read off its log: who ran which trial from when to when, and how far it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from luthier.base.records import Event
from luthier.report._clock import ENDS, Clock
from luthier.report._values import clean


@dataclass
class Run:
    """One run of a trial: a trial that was set aside or lost has several.

    Args:
        trial: The trial's number.
        attempt: Which run of the trial it is, from 1.
        worker: Who ran it.
        start: When it began, in seconds of the study.
        end: When it ended; the end of the study while it runs.
        outcome: "completed", "diverged", "stopped", "paused", "failed", "lost" or "running".
        after: Resource in the checkpoint that it started from, 0 without one.
        points: Seconds and resource of each report, in order; at a pause also the resource that was granted.
    """

    trial: int
    attempt: int
    worker: str
    start: float
    end: float
    outcome: str = "running"
    after: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)


def runs(events: Sequence[Event], clock: Clock) -> list[Run]:
    """Every run in the order of its start.

    Args:
        events: The log, in order.
        clock: Its clock.

    Returns:
        The runs; what is said of a trial between its runs is left out.
    """
    found: list[Run] = []
    running: dict[int, tuple[Run, float | None]] = {}  # and the resource that was granted
    saved: dict[str, float] = {}  # TRIAL/NAME of a checkpoint -> the resource in it
    furthest: dict[int, float] = {}
    for event in events:
        n, data = event.trial, event.data
        if n is None:
            continue
        if event.kind == "started":
            worker, attempt = str(data.get("worker") or "worker"), int(data.get("attempt", 1))
            run = Run(n, attempt, worker, clock(event.time), clock.end)
            run.after = _after(data.get("checkpoint"), n, saved, furthest)
            running[n] = run, clean(data.get("until"), 12)
            found.append(run)
        elif event.kind == "reported":
            resource = clean(data.get("resource"), 12)
            if resource is None:
                continue
            furthest[n] = max(resource, furthest.get(n, 0.0))
            if data.get("checkpoint"):
                saved[f"{n}/{data['checkpoint']}"] = resource
            if n in running:
                running[n][0].points.append((clock(event.time), resource))
        elif event.kind in ENDS and n in running:
            run, until = running.pop(n)
            run.end = max(clock(event.time), run.start)
            run.outcome = str(data.get("status", "completed")) if event.kind == "finished" else event.kind
            # a program that reports every few steps may pause without a word at the resource that was granted
            if run.outcome == "paused" and until is not None and until > (run.points[-1][1] if run.points else 0.0):
                run.points.append((run.end, until))
    return found


def _after(checkpoint: str | None, trial: int, saved: dict[str, float], furthest: dict[int, float]) -> float:
    """The resource in a checkpoint: as it was reported with it, else the furthest that its trial has come."""
    if not checkpoint:
        return 0.0
    name = str(checkpoint)
    parent = name.partition("/")[0] if "/" in name else str(trial)
    known = saved.get(name if "/" in name else f"{trial}/{name}")
    if known is not None:
        return known
    return furthest.get(int(parent), 0.0) if parent.isdecimal() else 0.0
