"""Incumbent over trials and over seconds, with every trial's value and status."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Objective, Trial
from luthier.report._clock import Clock
from luthier.report._source import StudyView
from luthier.report._values import clean, default_trial, feasible, value_of


def history(study: StudyView, objective: int = 0) -> dict[str, Any]:
    """How the best value developed.

    Trials stand in the order of their latest result, which is the order in which the incumbent could know them.
    With a fidelity a value counts only against values at the highest resource reached so far; so the incumbent's
    value may once rise, where a longer run replaces a shorter one.

    Args:
        study: The study.
        objective: Position of the objective.

    Returns:
        `objective` and `goal`; `rows` with trial, order (from 1), seconds, status, value or None, resource,
        feasible and origin; `incumbent`, one row for each change, with order, seconds, trial and value;
        `best`, the number of the study's own incumbent; `default`, the default configuration's value; `seconds`,
        the length of the study.
    """
    wanted = study.problem.objectives[objective]
    clock = Clock(study.events())
    rows, incumbent = [], []
    leader: tuple[float, float] | None = None
    for order, trial in enumerate(_in_order(study), start=1):
        row = _row(study, trial, wanted, order, clock)
        rows.append(row)
        key = _key(study, row, wanted)
        if key is not None and (leader is None or key < leader):
            leader = key
            incumbent.append({name: row[name] for name in ("order", "seconds", "trial", "value")})
    default = default_trial(study)
    best = study.best if len(study.problem.objectives) == 1 else None
    return {
        "objective": wanted.name,
        "goal": wanted.goal,
        "rows": rows,
        "incumbent": incumbent,
        "best": None if best is None else best.number,
        "default": None if default is None else value_of(default, wanted),
        "seconds": clean(clock.end),
    }


def _in_order(study: StudyView) -> list[Trial]:
    """Trials that were started, by the time of their latest result."""
    begun = [trial for trial in study.trials if trial.started is not None or trial.metrics]
    return sorted(begun, key=lambda trial: (_time(trial), trial.number))


def _time(trial: Trial) -> float:
    """When the trial's result was known; a trial that still runs counts by its start plus its time so far."""
    if trial.ended is not None:
        return trial.ended
    return (trial.started or 0.0) + (trial.reports[-1].seconds if trial.reports else 0.0)


def _row(study: StudyView, trial: Trial, wanted: Objective, order: int, clock: Clock) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "order": order,
        "seconds": clean(clock(_time(trial))),
        "status": trial.status.value,
        "value": value_of(trial, wanted),
        "resource": clean(trial.resource),
        "feasible": feasible(trial, study.problem),
        "origin": trial.origin,
    }


def _key(study: StudyView, row: dict[str, Any], wanted: Objective) -> tuple[float, float] | None:
    """Less is better; None when the row cannot be the incumbent."""
    if row["value"] is None or not row["feasible"]:
        return None
    spent = row["resource"] if study.problem.fidelity is not None and row["resource"] is not None else 0.0
    return (-spent, row["value"] * wanted.sign)
