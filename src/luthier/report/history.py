"""Incumbent over trials and over seconds, with every trial's value and status."""

from __future__ import annotations

from typing import Any

from luthier.report._clock import Clock, in_order
from luthier.report._source import StudyView
from luthier.report._values import clean, default_trial, feasible, standing, value_of


def history(study: StudyView, objective: int = 0) -> dict[str, Any]:
    """How the best value developed.

    Trials stand in the order of their latest result, which is the order in which the incumbent could know them.
    With a fidelity a value counts only against values at the highest resource reached so far; so the incumbent's
    value may once rise, where a longer run replaces a shorter one.

    Args:
        study: The study.
        objective: Position of the objective.

    Returns:
        `objective`, `goal` and `fidelity` (their names); `rows` with trial, order (from 1), seconds, status, value
        or None, resource, feasible and origin; `incumbent`, one row for each change, with order, seconds, trial and
        value; `best`, the number of the study's own incumbent; `default`, the default configuration's value;
        `seconds`, the length of the study, and `virtual`, whether they are virtual.
    """
    problem, leader = study.problem, study.best
    wanted = problem.objectives[objective]
    clock = Clock(study.events())
    rows, incumbent = [], []
    lead: tuple[float, float] | None = None
    for order, (time, trial) in enumerate(in_order(study), start=1):
        row = {
            "trial": trial.number,
            "order": order,
            "seconds": clean(clock(time)),
            "status": trial.status.value,
            "value": value_of(trial, wanted),
            "resource": clean(trial.resource),
            "feasible": feasible(trial, problem),
            "origin": trial.origin,
        }
        rows.append(row)
        key = standing(trial, problem, objective)
        if key is not None and (lead is None or key < lead):
            lead = key
            incumbent.append({name: row[name] for name in ("order", "seconds", "trial", "value")})
    default = default_trial(study)
    return {
        "objective": wanted.name,
        "goal": wanted.goal,
        "fidelity": None if problem.fidelity is None else problem.fidelity.name,
        "rows": rows,
        "incumbent": incumbent,
        "best": leader.number if leader is not None and len(problem.objectives) == 1 else None,
        "default": None if default is None else value_of(default, wanted),
        "seconds": clean(clock.end),
        "virtual": clock.virtual,
    }
