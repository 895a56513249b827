"""When each trial reached each rung: the ladders of the scheduler over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

from luthier.report._clock import Clock
from luthier.report._runs import Run, runs
from luthier.report._source import StudyView
from luthier.report._values import clean, sampled, value_of
from luthier.report.curves import rungs

#: Trials that a picture can show and a reader can tell apart, and points of one run besides those at rungs.
MOST_TRIALS, MOST_POINTS = 160, 16
_SLACK = 1 + 1e-9  # fractions of a resource add up to a little less than their sum


def brackets(study: StudyView, *, most: int = MOST_TRIALS, points: int = MOST_POINTS) -> dict[str, Any]:
    """Trials that entered rungs, over the time of the study.

    Args:
        study: The study.
        most: Trials with a path: the best half of this number, the default, and an even sample of the others.
        points: Points kept of each run, evenly spaced, besides its first and last and those that reach a rung.

    Returns:
        `objective`, `goal` and `fidelity` (names); `seconds`, the study's length, and `virtual`, whether they are
        virtual; `best`, the incumbent's number; `geometric`, whether levels multiply rather than add; `rows`, one for
        each trial and rung, as in `report.curves.rungs` and with seconds, when the trial reached it (None when the
        log does not tell); `ladders`, as there; `total`, trials that entered a rung; `repeated`, how many runs began
        below what their trial had reached, for want of a checkpoint; `trials`, those with a path, with trial, bracket,
        ladder (its position), outcome (of the last run: a trial that was set aside until the end is "paused"), value,
        and runs, each with seconds and resources: from the resource that it started with to its end.
    """
    table = rungs(study)
    clock = Clock(study.events())
    by_trial: dict[int, list[Run]] = {}
    for run in runs(study.events(), clock):
        by_trial.setdefault(run.trial, []).append(run)
    rows = [
        {**row, "seconds": clean(_reached(by_trial.get(row["trial"], []), row["resource"]))} for row in table["rows"]
    ]
    home = {row["trial"]: row for row in reversed(rows)}
    chosen = sampled(study, sorted(set(home) & set(by_trial)), most)
    trials = {trial.number: trial for trial in study.trials}
    leader = study.best
    levels = sorted({row["resource"] for row in rows})
    return {
        **{name: table[name] for name in ("objective", "goal", "fidelity")},
        "seconds": clean(clock.end),
        "virtual": clock.virtual,
        "best": None if leader is None else leader.number,
        "geometric": _geometric(levels),
        "rows": rows,
        "ladders": table["ladders"],
        "total": len(home),
        "repeated": sum(_repeated(its) for its in by_trial.values()),
        "trials": [
            {
                "trial": n,
                "bracket": home[n]["bracket"],
                "ladder": home[n]["ladder"],
                "outcome": by_trial[n][-1].outcome,
                "value": value_of(trials[n], study.problem.objectives[0]) if n in trials else None,
                "runs": [_path(run, levels, points) for run in by_trial[n]],
            }
            for n in sorted(chosen)
        ],
    }


def _reached(its: Sequence[Run], level: float) -> float | None:
    """When a trial first reached a resource."""
    times = (seconds for run in its for seconds, resource in run.points if resource * _SLACK >= level)
    return next(times, None)


def _repeated(its: Sequence[Run]) -> int:
    """Runs that began below the furthest point of those before."""
    furthest, count = 0.0, 0
    for run in its:
        count += run.after < furthest
        furthest = max([furthest, *(resource for _, resource in run.points)])
    return count


def _geometric(levels: list[float]) -> bool:
    """Whether levels multiply rather than add: whether their steps are more alike by logarithm."""
    if len(levels) < 2 or levels[0] <= 0 or levels[-1] < 4 * levels[0]:
        return False
    steps = [after - before for before, after in pairwise(levels)]
    factors = [math.log(after / before) for before, after in pairwise(levels)]
    return pstdev(factors) / fmean(factors) <= pstdev(steps) / fmean(steps)


def _path(run: Run, levels: list[float], points: int) -> dict[str, Any]:
    """A run's way from its start to its end, thinned between rungs."""
    last = run.points[-1][1] if run.points else run.after
    middle = run.points
    if len(middle) > points:
        evenly = {round(i * (len(middle) - 1) / max(1, points - 1)) for i in range(points)}
        at_rungs = {i for level in levels if (i := _first(middle, level)) is not None}
        middle = [middle[i] for i in sorted(evenly | at_rungs)]
    way = [(run.start, run.after), *middle]
    if run.end > way[-1][0]:
        way.append((run.end, last))
    return {"seconds": [clean(at) for at, _ in way], "resources": [clean(resource) for _, resource in way]}


def _first(middle: list[tuple[float, float]], level: float) -> int | None:
    return next((i for i, (_, resource) in enumerate(middle) if resource * _SLACK >= level), None)
