"""Parallel coordinates: one line a trial across all hyperparameters."""

from __future__ import annotations

from typing import Any

from luthier.report._axes import Axis, axes
from luthier.report._source import StudyView
from luthier.report._values import clean, ranked, shown_range, value_of


def parallel(study: StudyView) -> dict[str, Any]:
    """Trials as lines, best first.

    Args:
        study: The study.

    Returns:
        `axes`, one for each hyperparameter and last the first objective, with name, kind, log, low, high,
        categories, when, ticks (place in [0, 1], label) and levels (the values of a number's ticks); `lines`, best first, each with trial, value and `at`:
        its place on every axis, None where the hyperparameter was not active. Values of the objective beyond its
        axis lie at its end. `ranked_by` says what "best" means; `left_out` counts trials that have no rank.
    """
    problem, every = study.problem, study.trials
    objective = problem.objectives[0]
    order = ranked(study)
    scales = axes(problem, every)
    values = [value_of(trial, objective) for trial in order]
    low, high = shown_range(values, sign=objective.sign) or (0.0, 1.0)
    found = [value for value in values if value is not None]
    if found:  # end at a value that was seen, not at the margin
        low, high = max(low, min(found)), min(high, max(found))
    last = Axis(objective.name, "number", False, low, high)
    lines = []
    for trial, value in zip(order, values, strict=True):
        at = [axis.place(trial.config[axis.name]) if axis.name in trial.config else None for axis in scales]
        end = last.place(value)
        at.append(None if end is None else min(max(end, 0.0), 1.0))
        lines.append({"trial": trial.number, "value": clean(value), "at": at})
    fidelity = problem.fidelity
    return {
        "axes": [axis.as_dict() for axis in scales] + [last.as_dict()],
        "lines": lines,
        "goal": objective.goal,
        "ranked_by": objective.name if fidelity is None else f"{fidelity.name} reached, then {objective.name}",
        "left_out": len(every) - len(order),
    }
