"""Parallel coordinates: one line a trial across all hyperparameters."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Objective
from luthier.report._axes import Axis, axes
from luthier.report._source import StudyView
from luthier.report._values import ranked, shown_range, value_of


def parallel(study: StudyView) -> dict[str, Any]:
    """Trials as lines, best first.

    Args:
        study: The study.

    Returns:
        `axes`, one for each hyperparameter and then each objective, with name, kind, log, low, high, categories, when,
        ticks (place in [0, 1], label), levels (the values of a number's ticks) and objective (whether it is one);
        `lines`, best first, each with trial, value and `at`: its place on every axis, None where the hyperparameter
        was not active. Values of an objective beyond its axis lie at its end. `ranked_by` says what "best" means;
        `left_out` counts trials that have no rank.
    """
    problem, every = study.problem, study.trials
    objective = problem.objectives[0]
    order = ranked(study)
    scales = axes(problem, every)
    goals = [_goal_axis(one, [value_of(trial, one) for trial in order]) for one in problem.objectives]
    lines = []
    for trial in order:
        at = [axis.place(trial.config[axis.name]) if axis.name in trial.config else None for axis in scales]
        for axis, one in zip(goals, problem.objectives, strict=True):
            end = axis.place(value_of(trial, one))
            at.append(None if end is None else min(max(end, 0.0), 1.0))
        lines.append({"trial": trial.number, "value": value_of(trial, objective), "at": at})
    fidelity = problem.fidelity
    return {
        "axes": [{**axis.as_dict(), "objective": axis in goals} for axis in (*scales, *goals)],
        "lines": lines,
        "goal": objective.goal,
        "ranked_by": objective.name if fidelity is None else f"{fidelity.name} reached, then {objective.name}",
        "left_out": len(every) - len(order),
    }


def _goal_axis(objective: Objective, values: list[float | None]) -> Axis:
    """An axis that ends at values that were seen, far outliers aside."""
    low, high = shown_range(values, sign=objective.sign) or (0.0, 1.0)
    found = [value for value in values if value is not None]
    if found:
        low, high = max(low, min(found)), min(high, max(found))
    return Axis(objective.name, "number", False, low, high)
