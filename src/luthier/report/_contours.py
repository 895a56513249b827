"""The objective over two hyperparameters at a time, the others averaged out."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from luthier.report._axes import Axis, axes, word
from luthier.report._importance import landscape, table
from luthier.report._results import Results, results
from luthier.report._source import StudyView
from luthier.report._surrogate import Landscape
from luthier.report._values import clean
from luthier.space.columns import column

#: Pairs shown: those of the three most important hyperparameters.
SHOWN = 3
#: Points along a number's axis.
POINTS = 14
#: Trials marked in a picture at most.
MARKS = 300


def contours(study: StudyView, objective: int = 0) -> dict[str, Any]:
    """Means of a forest over pairs of hyperparameters.

    Args:
        study: The study.
        objective: Position of the objective.

    Returns:
        `objective`, `goal`, `trials`, `resource`, `fault`, `warning` (as `importance` has them), and `pairs`: for each
        two of the three most important hyperparameters (by PED-ANOVA) `x` and `y` (axes, as in parallel), `at_x` and
        `at_y` (values, or labels of a category), `mean` (a list of rows along y, None where the combination is not
        allowed or not active), and `points`: trial, x, y and value of the trials that have both.
    """
    found = results(study, objective)
    return over_pairs(found, study, objective)


def over_pairs(
    found: Results, study: StudyView, objective: int, *, land: Landscape | None = None, order: list[str] | None = None
) -> dict[str, Any]:
    """`contours` of results that are at hand; `order`: hyperparameters, the most important first."""
    wanted = study.problem.objectives[objective]
    made: dict[str, Any] = {
        "objective": wanted.name,
        "goal": wanted.goal,
        "trials": len(found.values),
        "resource": found.resource,
        "fault": found.fault(),
        "warning": found.warning(),
        "pairs": [],
    }
    if made["fault"]:
        return made
    if order is None:
        order = [row["name"] for row in table(found, study, objective, "ped-anova")["rows"]]
    land = land or landscape(found, study, objective)
    scales = {axis.name: axis for axis in axes(study.problem, study.trials)}
    chosen = [name for name in order if name in scales][:SHOWN]
    for first, second in combinations(chosen, 2):
        one = _pair(land, found, scales[first], scales[second], study, wanted.sign)
        if one is not None:
            made["pairs"].append(one)
    return made


def _pair(land: Landscape, found: Results, x: Axis, y: Axis, study: StudyView, sign: float) -> dict[str, Any] | None:
    columns = [found.space.columns.index(axis.name) for axis in (x, y)]
    grids = [_grid(land, number) for number in columns]
    means, active = land.means(columns, grids, background=64)
    if active == 0.0:
        return None  # never both at once
    mean = sign * means.mean(axis=0).reshape(len(grids[0]), len(grids[1])).T
    configs = {trial.number: trial.config for trial in study.trials}
    points = []
    for number, value in zip(found.trials, found.values, strict=True):
        config = configs[number]
        if x.name in config and y.name in config:
            at_x, at_y = _at(x, config[x.name]), _at(y, config[y.name])
            points.append({"trial": number, "x": at_x, "y": at_y, "value": clean(sign * value)})
    every = max(1, -(-len(points) // MARKS))
    return {
        "x": x.as_dict(),
        "y": y.as_dict(),
        "at_x": _values(land, grids[0], x),
        "at_y": _values(land, grids[1], y),
        "mean": [[clean(value, 5) for value in row] for row in mean],
        "points": sorted(points, key=lambda p: sign * (p["value"] or 0.0))[::every],
    }


def _grid(land: Landscape, number: int) -> Any:
    """Positions along an axis: all values of a short one, else from end to end."""
    levels = land.space.levels[number]
    if 0 < levels <= POINTS or land.space.kinds[number] == "choice":
        return (np.arange(levels) + 0.5) / levels
    return np.linspace(0.0, 1.0, POINTS)


def _at(axis: Axis, value: Any) -> Any:
    return word(value) if axis.kind == "category" else clean(value)


def _values(land: Landscape, grid: Any, axis: Axis) -> list[Any]:
    """What positions along one hyperparameter mean, whether a condition holds or not."""
    encoded = column(land.space[axis.name])
    assert encoded is not None
    return [_at(axis, value) for value in encoded.values(encoded.snap(np.asarray(grid)))]
