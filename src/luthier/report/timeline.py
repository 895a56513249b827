"""Who ran what when: one bar for each run of a trial, and how much of the workers' time was used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from luthier.base.records import Event
from luthier.report._clock import Clock
from luthier.report._runs import Run, runs
from luthier.report._source import StudyView
from luthier.report._values import clean

#: Rows of what no worker of a run did: trials given to the user by `ask`, and evaluations made elsewhere.
OUTSIDE = frozenset({"ask", "elsewhere"})
#: Steps of the count of busy workers that are drawn as they are; of more, the mean over this many equal intervals.
MOST_STEPS, INTERVALS = 240, 120
_NUMBERED = re.compile(r"worker-(\d+)")


def timeline(study: StudyView) -> dict[str, Any]:
    """Bars by worker, from the events of the log, and the workers' utilisation.

    How many workers there were is what each call of `run` said when it began; where more ran at once, as under two
    drivers, it is as many as that. A worker that never ran anything was idle.

    Args:
        study: The study.

    Returns:
        `workers`, in natural order; `bars` with worker, trial, attempt (from 1), start and end in seconds since the
        study began, and outcome: "completed", "diverged", "stopped", "paused", "failed", "lost" or "running";
        `busy`, the fraction of its time that each worker was running something (None for what ran outside);
        `seconds`, the study's length, and `virtual`, whether they are virtual; `stretches`, one for each call of
        `run`, with start, end and workers; `utilisation`, the fraction of all workers' time that was used, and
        `idle_seconds`, the rest, both None without a call of `run`; `load`, how many workers were busy from each
        moment on, as rows of seconds and busy, and `load_is_mean`, whether busy is the mean of the interval until the
        next row.
    """
    events = study.events()
    clock = Clock(events)
    found = runs(events, clock)
    inside = [run for run in found if run.worker not in OUTSIDE]
    stretches = _stretches(events, clock, inside)
    names = sorted({run.worker for run in found} | _unused(stretches, inside), key=_natural)
    load = _load(inside)
    mean = len(load) > MOST_STEPS
    return {
        "workers": names,
        "bars": [_bar(run) for run in found],
        "busy": {name: _busy(name, found, stretches, clock.end) for name in names},
        "seconds": clean(clock.end),
        "virtual": clock.virtual,
        "stretches": [{**one, "start": clean(one["start"]), "end": clean(one["end"])} for one in stretches],
        **_utilisation(inside, stretches),
        "load": [
            {"seconds": clean(seconds), "busy": clean(busy, 4)}
            for seconds, busy in (_means(load, clock.end) if mean else load)
        ],
        "load_is_mean": mean,
    }


def _bar(run: Run) -> dict[str, Any]:
    return {
        "worker": run.worker,
        "trial": run.trial,
        "attempt": run.attempt,
        "start": clean(run.start),
        "end": clean(run.end),
        "outcome": run.outcome,
    }


def _stretches(events: Sequence[Event], clock: Clock, inside: list[Run]) -> list[dict[str, Any]]:
    """Start, end and workers of each call of `run`; the last word of its log, or of a worker's, is its end."""
    made: list[dict[str, Any]] = []
    for event in events:
        if event.kind == "begun":
            if made:
                made[-1]["end"] = min(made[-1]["end"], clock(event.time))
            made.append({"start": clock(event.time), "end": clock.end, "workers": int(event.data.get("workers") or 0)})
        elif event.kind == "ended" and made:
            made[-1]["end"] = clock(event.time)
        elif event.kind == "started" and made and event.data.get("worker") not in OUTSIDE:
            made[-1]["end"] = clock.end  # another driver goes on
    load = _load(inside)
    for one in made:
        peak = max((busy for seconds, busy in load if one["start"] <= seconds < one["end"]), default=0)
        one["workers"] = max(one["workers"], peak)
    return made


def _unused(stretches: list[dict[str, Any]], inside: list[Run]) -> set[str]:
    """Names of all workers of a run, where workers are called worker-0, worker-1, ..."""
    if not all(_NUMBERED.fullmatch(run.worker) for run in inside):
        return set()
    return {f"worker-{i}" for i in range(max((one["workers"] for one in stretches), default=0))}


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts worker-2 before worker-10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _busy(worker: str, found: list[Run], stretches: list[dict[str, Any]], whole: float) -> float | None:
    """Fraction of a worker's time covered by at least one of its runs."""
    numbered = _NUMBERED.fullmatch(worker)
    if numbered and stretches:  # it was there only while a run had so many workers
        there = sum(one["end"] - one["start"] for one in stretches if int(numbered[1]) < one["workers"])
        whole = there or whole
    if whole <= 0 or worker in OUTSIDE:
        return None
    covered, until = 0.0, 0.0
    for run in sorted((run for run in found if run.worker == worker), key=lambda run: run.start):
        covered += max(0.0, run.end - max(run.start, until))
        until = max(until, run.end)
    return clean(min(1.0, covered / whole), 4)


def _utilisation(inside: list[Run], stretches: list[dict[str, Any]]) -> dict[str, float | None]:
    whole = sum((one["end"] - one["start"]) * one["workers"] for one in stretches)
    if whole <= 0:
        return {"utilisation": None, "idle_seconds": None}
    first = stretches[0]["start"]
    busy = min(whole, sum(run.end - max(run.start, first) for run in inside if run.end > first))
    return {"utilisation": clean(busy / whole, 4), "idle_seconds": clean(whole - busy)}


def _load(inside: list[Run]) -> list[tuple[float, int]]:
    """How many runs there were from each moment at which that changed."""
    changes: dict[float, int] = {}
    for run in inside:
        changes[run.start] = changes.get(run.start, 0) + 1
        changes[run.end] = changes.get(run.end, 0) - 1
    rows, busy = [], 0
    for seconds, change in sorted(changes.items()):
        if change:  # a worker that goes on at the same moment was never idle
            busy += change
            rows.append((seconds, busy))
    return rows


def _means(load: list[tuple[float, int]], end: float) -> list[tuple[float, float]]:
    """Mean of the count over equal intervals from 0 to `end`; the last row closes the line."""
    width = end / INTERVALS
    area = [0.0] * INTERVALS
    for (start, busy), (until, _) in zip(load, [*load[1:], (end, 0)], strict=True):
        for i in range(int(start / width), min(INTERVALS, int(until / width) + 1)):
            area[i] += busy * max(0.0, min(until, (i + 1) * width) - max(start, i * width))
    rows = [(i * width, one / width) for i, one in enumerate(area)]
    return [*rows, (end, rows[-1][1])]
