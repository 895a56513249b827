"""Several objectives: the Pareto set, and how the volume it dominates grew."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from luthier.base.pareto import hypervolume, nondominated
from luthier.report._clock import Clock, in_order
from luthier.report._source import StudyView
from luthier.report._values import clean, feasible, shown_range, value_of

#: Objectives up to which the exact volume is cheap enough for a report; beyond, its cost grows exponentially.
MOST_OBJECTIVES = 4


def pareto_front(study: StudyView) -> dict[str, Any]:
    """All points, the Pareto set, and the hypervolume over trials.

    Counted are feasible trials, with a fidelity those at the highest resource reached. The volume starts from a
    reference point: the worst values, far outliers aside, that counted trials showed.
    It is given as a fraction of the box between that point and the best value of each objective, so 1 would be a
    single trial that is best in everything.

    Args:
        study: The study.

    Returns:
        `objectives` with name and goal; `points` with trial, values (one an objective), feasible, counted, status,
        resource and front (whether it belongs to the study's Pareto set); `reference` and `ideal`, one value an
        objective;
        `hypervolume`, one row for each growth with order (results so far), seconds, trial and volume. With more
        than four objectives, or fewer than two, `hypervolume` is empty.
    """
    problem = study.problem
    objectives = problem.objectives
    front = {trial.number for trial in study.pareto}
    points: list[dict[str, Any]] = []
    for trial in study.trials:
        values = [value_of(trial, objective) for objective in objectives]
        if all(value is not None for value in values):
            points.append(
                {
                    "trial": trial.number,
                    "values": values,
                    "feasible": feasible(trial, problem),
                    "status": trial.status.value,
                    "resource": clean(trial.resource),
                    "front": trial.number in front,
                }
            )
    tops = [point["resource"] or 0.0 for point in points if point["feasible"]]
    for point in points:  # values at different resources are not comparable
        top = problem.fidelity is None or (point["resource"] or 0.0) == max(tops, default=0.0)
        point["counted"] = point["feasible"] and top
    table: dict[str, Any] = {
        "objectives": [{"name": objective.name, "goal": objective.goal} for objective in objectives],
        "points": points,
        "reference": [],
        "ideal": [],
        "hypervolume": [],
    }
    usable = [point["values"] for point in points if point["counted"]]
    if len(objectives) >= 2 and usable:
        _volumes(study, table, np.array(usable, dtype=float))
    return table


def _volumes(study: StudyView, table: dict[str, Any], usable: np.ndarray[Any, Any]) -> None:
    """Fill in reference, ideal and hypervolume."""
    signs = np.array([objective.sign for objective in study.problem.objectives])
    signed = usable * signs  # (n, m), to be minimised
    worst = []
    for column in signed.T:
        ends = shown_range(column.tolist()) or (0.0, 1.0)
        worst.append(min(float(column.max()), ends[1]))
    reference, ideal = np.array(worst), signed.min(axis=0)
    table["reference"] = [clean(value) for value in reference * signs]
    table["ideal"] = [clean(value) for value in ideal * signs]
    if len(signs) > MOST_OBJECTIVES:
        return
    span = np.where(reference > ideal, reference - ideal, 1.0)
    # a whisker beyond the worst values, so that trials which are worst in one objective count by the others
    corner = np.full(len(signs), 1.01)
    clock, rows = Clock(study.events()), table["hypervolume"]
    held = np.empty((0, len(signs)))
    counted = {point["trial"]: point["values"] for point in table["points"] if point["counted"]}
    for order, (time, trial) in enumerate(in_order(study), start=1):
        if trial.number not in counted:
            continue
        point = (np.array(counted[trial.number], dtype=float) * signs - ideal) / span
        if len(held) and (held <= point).all(axis=1).any():
            continue
        held = np.vstack([held, point])
        held = held[nondominated(held)]
        volume = clean(hypervolume(held, corner) / float(np.prod(corner)), 5)
        rows.append({"order": order, "seconds": clean(clock(time)), "trial": trial.number, "volume": volume})


def staircase(points: list[tuple[float, float]], signs: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners of the line between what a two-dimensional Pareto set dominates and what it does not.

    Args:
        points: The set, any order.
        signs: +1 or -1 for each objective: value * sign is minimised.

    Returns:
        Points and corners, by the first objective from its good end.
    """
    ordered = sorted(points, key=lambda point: (point[0] * signs[0], point[1] * signs[1]))
    line = ordered[:1]
    for before, after in pairwise(ordered):
        line += [(after[0], before[1]), after]
    return line
