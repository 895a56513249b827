"""Constrained toys: three with a bound on one or two metrics, and two that crash in a part of the space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Constraint
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._functions import VALUE, Array, Columns, Formula, Function, cube, matrix, point
from luthier.bench.families._hartmann import MINIMISER, MINIMUM, hartmann
from luthier.bench.families.synthetic import branin

# where c1 = 0 and its slope is along the plane's, in 40 digits, rounded
_GRAMACY = (0.195122683472071763, 0.404665368537995798)


def gramacy() -> Formula:
    """A plane under a winding and a round constraint."""

    def values(columns: Columns, resource: float) -> Mapping[str, Array]:
        x, y = matrix(columns).T
        winding = 1.5 - x - 2 * y - 0.5 * np.sin(2 * np.pi * (x**2 - 2 * y))
        return {VALUE: x + y, "c1": winding, "c2": x**2 + y**2 - 1.5}

    return Formula(
        cube(2),
        values,
        {VALUE: sum(_GRAMACY)},
        "Gramacy, Gray, Le Digabel, Lee, Ranjan, Wells, Wild 2016",
        "A plane to be minimised where c1 <= 0 (winding) and c2 <= 0 (a disc).",
        best=(point(*_GRAMACY),),
        constraints=(Constraint("c1"), Constraint("c2")),
        lowest={VALUE: 0.0, "c1": -2.0, "c2": -1.5},
        highest={VALUE: 2.0, "c1": 2.0, "c2": 0.5},
    )


def gardner1() -> Formula:
    """Waves under one wavy constraint."""

    def values(columns: Columns, resource: float) -> Mapping[str, Array]:
        x, y = matrix(columns).T
        return {VALUE: np.cos(2 * x) * np.cos(y) + np.sin(x), "c1": np.cos(x + y)}

    return Formula(
        cube(2, 0.0, 6.0),
        values,
        {VALUE: -2.0},
        "Gardner, Kusner, Xu, Weinberger, Cunningham 2014, simulation 1",
        "Waves to be minimised where c1 = cos(x0 + x1) <= 0.5.",
        best=(point(1.5 * math.pi, 0.0),),
        constraints=(Constraint("c1", 0.5),),
        lowest={VALUE: -2.0, "c1": -1.0},
        highest={VALUE: 2.0, "c1": 1.0},
    )


def gardner2() -> Formula:
    """A slope whose feasible part is two small spots."""

    def values(columns: Columns, resource: float) -> Mapping[str, Array]:
        x, y = matrix(columns).T
        return {VALUE: np.sin(x) + y, "c1": np.sin(x) * np.sin(y)}

    return Formula(
        cube(2, 0.0, 6.0),
        values,
        {VALUE: math.asin(0.95) - 1},
        "Gardner, Kusner, Xu, Weinberger, Cunningham 2014, simulation 2",
        "A slope to be minimised where c1 = sin(x0) sin(x1) <= -0.95: two spots, 1.8 percent of the square.",
        best=(point(1.5 * math.pi, math.asin(0.95)),),
        constraints=(Constraint("c1", -0.95),),
        lowest={VALUE: -1.0, "c1": -1.0},
        highest={VALUE: 7.0, "c1": 1.0},
    )


def crash_branin() -> Formula:
    """Branin's function that crashes around two of its three valleys."""
    base = branin()

    def fails(columns: Columns) -> NDArray[np.bool_]:
        x, y = matrix(columns).T
        left = ((x + math.pi) / 3) ** 2 + ((y - 12.275) / 4) ** 2 < 1
        right: NDArray[np.bool_] = left | (x > 6.5)
        return right

    return Formula(
        base.space,
        base.values,
        base.optimum,
        "luthier; Branin's function as in Dixon and Szegoe 1978",
        "Branin's function; an evaluation fails in an ellipse around one minimum and in a strip around another.",
        best=base.best[1:2],
        highest=base.highest,
        fails=fails,
    )


def crash_hartmann6() -> Formula:
    """Hartmann's function that crashes close beside its optimum."""

    def fails(columns: Columns) -> NDArray[np.bool_]:
        x = matrix(columns)
        found: NDArray[np.bool_] = x[:, 0] + x[:, 4] > 0.55
        return found

    return Formula(
        cube(6, default=0.25),  # in the middle it would fail
        lambda columns, resource: {VALUE: hartmann(matrix(columns))},
        {VALUE: MINIMUM[6]},
        "luthier; Hartmann's function as in Picheny, Wagner, Ginsbourger 2013",
        "Hartmann's function in 6 dimensions; an evaluation fails where x0 + x4 > 0.55: 85 percent of the cube, whose "
        "edge passes 0.03 beside the optimum.",
        best=(point(*MINIMISER[6]),),
        highest={VALUE: 0.0},
        fails=fails,
    )


TASKS: dict[str, Callable[[], Formula]] = {
    "gramacy": gramacy,
    "gardner1": gardner1,
    "gardner2": gardner2,
    "crash_branin": crash_branin,
    "crash_hartmann6": crash_hartmann6,
}


@register("benchmark")
class Constrained(Family):
    """Small problems with constraints: `benchmark.problem` holds them, and the optimum is the best feasible value.

    The two that crash answer with status FAILED and no metrics; nothing tells beforehand where.
    """

    def tasks(self) -> Sequence[str]:
        """Names."""
        return tuple(TASKS)

    def open(self, task: str) -> Function:
        """One toy."""
        check_task("constrained", task, TASKS)
        return Function(f"constrained/{task}", TASKS[task]())
