"""The objective against each hyperparameter alone."""

from __future__ import annotations

from typing import Any

from luthier.report._axes import axes, word
from luthier.report._source import StudyView
from luthier.report._values import clean, feasible, value_of


def slices(study: StudyView, objective: int = 0) -> dict[str, Any]:
    """Value of every trial over the value of each hyperparameter.

    Args:
        study: The study.
        objective: Position of the objective.

    Returns:
        `objective`, `goal`, `best` (the incumbent's number), `full` (the highest resource, None without a fidelity),
        and `slices`, one for each hyperparameter, with `axis` (as in parallel) and `points`: trial, x (number or
        category label), value, resource and feasible. `inactive` counts trials with a value in which the
        hyperparameter was not active.
    """
    problem, every, leader = study.problem, study.trials, study.best
    wanted = problem.objectives[objective]
    valued = [(trial, value) for trial in every if (value := value_of(trial, wanted)) is not None]
    found = []
    for axis in axes(problem, every):
        points = [
            {
                "trial": trial.number,
                "x": word(trial.config[axis.name]) if axis.kind == "category" else clean(trial.config[axis.name]),
                "value": value,
                "resource": clean(trial.resource),
                "feasible": feasible(trial, problem),
            }
            for trial, value in valued
            if axis.name in trial.config
        ]
        found.append({"axis": axis.as_dict(), "points": points, "inactive": len(valued) - len(points)})
    return {
        "objective": wanted.name,
        "goal": wanted.goal,
        "best": None if leader is None else leader.number,
        "full": None if problem.fidelity is None else float(problem.fidelity.high),
        "fidelity": None if problem.fidelity is None else problem.fidelity.name,
        "slices": found,
    }
