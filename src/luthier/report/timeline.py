"""Who ran what when: one bar for each run of a trial."""

from __future__ import annotations

import re
from typing import Any

from luthier.report._clock import Clock
from luthier.report._source import StudyView
from luthier.report._values import clean

_ENDS = frozenset({"paused", "stopped", "finished", "failed", "lost"})


def timeline(study: StudyView) -> dict[str, Any]:
    """Bars by worker, from the events of the log.

    Args:
        study: The study.

    Returns:
        `workers`, in natural order; `bars` with worker, trial, attempt (from 1), start and end in seconds since the
        study began, and outcome: "completed", "diverged", "stopped", "paused", "failed", "lost" or "running";
        `busy`, the fraction of the study's time that each worker was running something; `seconds`, its length.
    """
    events = study.events()
    clock = Clock(events)
    bars: list[dict[str, Any]] = []
    running: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.trial is None:
            continue
        if event.kind == "started":
            bar: dict[str, Any] = {
                "worker": str(event.data.get("worker") or "worker"),
                "trial": event.trial,
                "attempt": int(event.data.get("attempt", 1)),
                "start": clock(event.time),
                "end": clock.end,
                "outcome": "running",
            }
            running[event.trial] = bar
            bars.append(bar)
        elif event.kind in _ENDS and event.trial in running:
            bar = running.pop(event.trial)
            bar["end"] = max(clock(event.time), bar["start"])
            status = str(event.data.get("status", "completed"))
            bar["outcome"] = status if event.kind == "finished" else event.kind
    workers = sorted({bar["worker"] for bar in bars}, key=_natural)
    busy = {worker: _busy([bar for bar in bars if bar["worker"] == worker], clock.end) for worker in workers}
    for bar in bars:
        bar["start"], bar["end"] = clean(bar["start"]), clean(bar["end"])
    return {"workers": workers, "bars": bars, "busy": busy, "seconds": clean(clock.end)}


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts worker-2 before worker-10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _busy(bars: list[dict[str, Any]], whole: float) -> float | None:
    """Fraction of the time covered by at least one bar."""
    if whole <= 0:
        return None
    covered, until = 0.0, 0.0
    for bar in sorted(bars, key=lambda one: float(one["start"])):
        covered += max(0.0, bar["end"] - max(bar["start"], until))
        until = max(until, bar["end"])
    return clean(covered / whole, 4)
