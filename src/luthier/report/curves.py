"""Learning curves of trials, and who stood at which rung."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Trial
from luthier.report._source import StudyView
from luthier.report._values import clean, ranked

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
    problem, leader = study.problem, study.best
    objective, fidelity = problem.objectives[0], problem.fidelity
    default = next((trial.number for trial in study.trials if trial.origin == "default"), None)
    head = {
        "objective": objective.name,
        "goal": objective.goal,
        "fidelity": None if fidelity is None else fidelity.name,
        "best": None if leader is None else leader.number,
        "default": default,
    }
    if fidelity is None:
        return {**head, "total": 0, "curves": []}
    every = [(trial, curve) for trial in study.trials if (curve := _curve(trial, objective.name))]
    kept = _kept(study, [trial for trial, _ in every], most, default)
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


def _kept(study: StudyView, trials: list[Trial], most: int, default: int | None) -> set[int]:
    if len(trials) <= most:
        return {trial.number for trial in trials}
    with_curve = {trial.number for trial in trials}
    best = [trial.number for trial in ranked(study) if trial.number in with_curve][: most // 2]
    chosen = set(best)
    others = [trial.number for trial in trials if trial.number not in chosen]
    room = most - len(best)
    chosen.update(others[(i * len(others)) // room] for i in range(min(room, len(others))))
    return chosen | ({default} & with_curve if default is not None else set())


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
        trial, value (None when it was not finite), promoted and last; `brackets`, how many there are.
    """
    problem = study.problem
    rows = [
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
    levels: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
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
        "brackets": len({row["bracket"] for row in rows}),
        "rows": rows,
    }
