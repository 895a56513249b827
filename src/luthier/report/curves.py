"""Learning curves of trials, and who stood at which rung."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Trial
from luthier.report._source import StudyView
from luthier.report._values import clean, default_trial, sampled

#: Curves and points of one curve that a picture can show and a reader can tell apart.
MOST_CURVES, MOST_POINTS = 200, 60


def curves(study: StudyView, *, most: int = MOST_CURVES, points: int = MOST_POINTS) -> dict[str, Any]:
    """The first objective over the resource, one curve a trial.

    Args:
        study: The study.
        most: Curves kept: the best half of this number, and an even sample of the others.
        points: Points kept of each curve, evenly spaced; first and last always stay.

    Returns:
        `objective`, `goal` and `fidelity` (None without one; then there are no curves); `best` and `default`, numbers
        of the trials to be pointed out; `total`, how many trials have a curve; `curves` with trial, status, resources
        and values. Values that are not finite are left out.
    """
    problem, leader, default = study.problem, study.best, default_trial(study)
    objective, fidelity = problem.objectives[0], problem.fidelity
    head = {
        "objective": objective.name,
        "goal": objective.goal,
        "fidelity": None if fidelity is None else fidelity.name,
        "best": None if leader is None else leader.number,
        "default": None if default is None else default.number,
    }
    if fidelity is None:
        return {**head, "total": 0, "curves": []}
    every = [(trial, curve) for trial in study.trials if (curve := _curve(trial, objective.name))]
    kept = sampled(study, [trial.number for trial, _ in every], most)
    rows = []
    for trial, curve in every:
        if trial.number in kept:
            thin = _thin(curve, points)
            rows.append(
                {
                    "trial": trial.number,
                    "status": trial.status.value,
                    "resources": [resource for resource, _ in thin],
                    "values": [value for _, value in thin],
                }
            )
    return {**head, "total": len(every), "curves": rows}


def _curve(trial: Trial, name: str) -> list[tuple[float, float]]:
    """Finite values by resource; where a resumed run reported a resource once more, the later value stays."""
    found: dict[float, float] = {}
    for report in trial.reports:
        resource, value = clean(report.resource), clean(report.metrics.get(name), 5)
        if resource is not None and value is not None:
            found[resource] = value
    return sorted(found.items())


def _thin(curve: list[tuple[float, float]], points: int) -> list[tuple[float, float]]:
    if len(curve) <= points:
        return curve
    return [curve[round(i * (len(curve) - 1) / (points - 1))] for i in range(points)]


def rungs(study: StudyView) -> dict[str, Any]:
    """Who stood at which rung, and who went on.

    Args:
        study: The study.

    Returns:
        `objective`, `goal`, `fidelity`; `levels`, one for each bracket and rung from the lowest, with bracket,
        resource, entered, promoted (counts) and last (whether it is the full resource); `rows` with bracket, resource,
        trial, value (None when it was not finite), promoted, last, and ladder, the position among `ladders`, which
        join the brackets that begin at the same resource (a scheduler that begins one bracket after the other has
        many brackets and few ladders): first (the lowest level), brackets and trials (counts) and levels (of
        resource, rising); `brackets`, how many there are.
    """
    problem = study.problem
    rows: list[dict[str, Any]] = [
        {
            "bracket": int(row["bracket"]),
            "resource": clean(row["resource"]),
            "trial": int(row["trial"]),
            "value": clean(row["value"]),
            "promoted": bool(row["promoted"]),
            "last": problem.fidelity is not None and float(row["resource"]) >= problem.fidelity.high,
        }
        for row in study.rungs()
    ]
    rows = [row for row in rows if row["resource"] is not None]
    rows.sort(key=lambda row: (row["bracket"], row["resource"], row["trial"]))
    ladders, where = _ladders(rows)
    levels: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
        row["ladder"] = where[row["bracket"]]
        place = (row["bracket"], row["resource"])
        level = levels.setdefault(
            place, {"bracket": place[0], "resource": place[1], "entered": 0, "promoted": 0, "last": row["last"]}
        )
        level["entered"] += 1
        level["promoted"] += row["promoted"]
    return {
        "objective": problem.objectives[0].name,
        "goal": problem.objectives[0].goal,
        "fidelity": None if problem.fidelity is None else problem.fidelity.name,
        "levels": list(levels.values()),
        "ladders": ladders,
        "brackets": len({row["bracket"] for row in rows}),
        "rows": rows,
    }


def _ladders(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Ladders by their lowest level, and the position of each bracket's."""
    levels: dict[int, set[float]] = {}
    trials: dict[int, set[int]] = {}
    for row in rows:
        levels.setdefault(row["bracket"], set()).add(row["resource"])
        trials.setdefault(row["bracket"], set()).add(row["trial"])
    firsts = sorted({min(found) for found in levels.values()})
    where = {bracket: firsts.index(min(found)) for bracket, found in levels.items()}
    made = []
    for i, first in enumerate(firsts):
        own = [bracket for bracket, at in where.items() if at == i]
        ladder = {"first": first, "brackets": len(own), "trials": len(set().union(*(trials[b] for b in own)))}
        made.append({**ladder, "levels": sorted(set().union(*(levels[b] for b in own)))})
    return made, where
