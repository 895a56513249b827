"""DTLZ: two or three objectives to be minimised, with the whole Pareto front known; three problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.records import Objective
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._curves import Curve, falling
from luthier.bench.families._functions import Array, Columns, Formula, Fronts, cube, matrix

_DEFAULT = 0.25  # ours: in the middle of the ranges the front of DTLZ1 and DTLZ2 would be reached
_THIRDS = 3 * math.pi


@dataclass(frozen=True)
class Shape:
    """One of the problems with m objectives.

    Args:
        distance: Variables beside the first m - 1, as published.
        values: From (n, d) variables to (n, m) objectives.
        front: From a number of points to points of the front.
        volume: Hypervolume of the front up to a reference point.
        nadir: Worst values on the front.
        ideal: Best ones.
        highest: Largest values anywhere.
        text: What is special.
    """

    distance: int
    values: Callable[[Array], Array]
    front: Callable[[int], Array]
    volume: Callable[[Array], float]
    nadir: Sequence[float]
    ideal: Sequence[float]
    highest: Sequence[float]
    text: str


def _plane(m: int) -> Shape:
    """DTLZ1: a triangle behind very many local ones."""

    def values(x: Array) -> Array:
        place, rest = x[:, : m - 1], x[:, m - 1 :] - 0.5
        g = 100 * (rest.shape[1] + (rest**2 - np.cos(20 * np.pi * rest)).sum(axis=1))
        shares = [place[:, : m - 1 - i].prod(axis=1) * (1 - place[:, m - 1 - i] if i else 1.0) for i in range(m)]
        found: Array = 0.5 * (1 + g)[:, None] * np.stack(shares, axis=1)
        return found

    def front(n: int) -> Array:
        return 0.5 * _simplex(n, m)

    def volume(reference: Array) -> float:
        return float(reference.prod()) - 0.5**m / math.factorial(m)

    text = "The front is the plane of sum 1/2; 11^5 - 1 local fronts lie before it."
    return Shape(5, values, front, volume, [0.5] * m, [0.0] * m, [0.5 * 1126.0] * m, text)


def _sphere(m: int) -> Shape:
    """DTLZ2: a part of a sphere."""

    def values(x: Array) -> Array:
        angle, rest = x[:, : m - 1] * np.pi / 2, x[:, m - 1 :] - 0.5
        g = (rest**2).sum(axis=1)
        sides = [
            np.cos(angle[:, : m - 1 - i]).prod(axis=1) * (np.sin(angle[:, m - 1 - i]) if i else 1.0) for i in range(m)
        ]
        found: Array = (1 + g)[:, None] * np.stack(sides, axis=1)
        return found

    def front(n: int) -> Array:
        points = _simplex(n, m)
        found: Array = points / np.linalg.norm(points, axis=1)[:, None]
        return found

    def volume(reference: Array) -> float:
        ball = math.pi / 4 if m == 2 else math.pi / 6  # a quarter of a disc, an eighth of a ball
        return float(reference.prod()) - ball

    return Shape(10, values, front, volume, [1.0] * m, [0.0] * m, [3.5] * m, "The front is a part of the unit sphere.")


def _patches(m: int) -> Shape:
    """DTLZ7: 2^(m - 1) separate pieces."""

    def height(x: float) -> float:
        return -x * (1 + math.sin(_THIRDS * x))

    def slope(x: float) -> float:
        return -1 - math.sin(_THIRDS * x) - _THIRDS * x * math.cos(_THIRDS * x)

    def area(x: float) -> float:
        return -(x**2) / 2 + x * math.cos(_THIRDS * x) / _THIRDS - math.sin(_THIRDS * x) / _THIRDS**2

    curve = Curve(height, area, falling(height, slope, low=0.0, high=1.0))
    end = curve.pieces[-1][1]

    def values(x: Array) -> Array:
        place, g = x[:, : m - 1], 1 + 9 * x[:, m - 1 :].mean(axis=1)
        parts = place / (1 + g)[:, None] * (1 + np.sin(_THIRDS * place))
        return np.concatenate([place, ((1 + g) * (m - parts.sum(axis=1)))[:, None]], axis=1)

    def front(n: int) -> Array:
        one = curve.points(n if m == 2 else math.ceil(math.sqrt(n)))
        place = np.stack([axis.ravel() for axis in np.meshgrid(*[one] * (m - 1), indexing="ij")], axis=1)
        last = 2.0 * m + np.array([sum(height(x) for x in row) for row in place.tolist()])
        return np.concatenate([place, last[:, None]], axis=1)

    def volume(reference: Array) -> float:
        width = float(reference[0])  # all but the last are alike
        column = (float(reference[-1]) - 2 * m) * width ** (m - 1)
        return column - (m - 1) * width ** (m - 2) * curve.below(width)

    nadir, ideal = [end] * (m - 1) + [2.0 * m], [0.0] * (m - 1) + [2 * m + (m - 1) * height(end)]
    highest = [1.0] * (m - 1) + [11.0 * m]
    return Shape(20, values, front, volume, nadir, ideal, highest, f"The front is in {2 ** (m - 1)} pieces.")


def _simplex(n: int, m: int) -> Array:
    """About n points with non-negative coordinates of sum 1, on a regular grid; (n, m)."""
    if m == 2:
        first = np.linspace(0.0, 1.0, n)
        return np.stack([first, 1 - first], axis=1)
    steps = max(1, round((math.sqrt(8 * n + 1) - 3) / 2))  # (steps + 1)(steps + 2) / 2 points
    rows = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.array(rows, dtype=float) / steps


SHAPES: Mapping[str, Callable[[int], Shape]] = {"dtlz1": _plane, "dtlz2": _sphere, "dtlz7": _patches}


@register("benchmark")
class Dtlz(Family):
    """Deb, Thiele, Laumanns and Zitzler 2005, with their numbers of variables."""

    def tasks(self) -> Sequence[str]:
        """Problem and number of objectives, such as "dtlz2/3"."""
        return tuple(f"{name}/{m}" for name in SHAPES for m in (2, 3))

    def open(self, task: str) -> Fronts:
        """One problem."""
        check_task("dtlz", task, self.tasks())
        problem, _, number = task.partition("/")
        m = int(number)
        shape = SHAPES[problem](m)
        names = [f"f{i + 1}" for i in range(m)]

        def values(columns: Columns, resource: float) -> Mapping[str, Array]:
            return dict(zip(names, shape.values(matrix(columns)).T, strict=True))

        dimensions = m - 1 + shape.distance
        formula = Formula(
            cube(dimensions, default=_DEFAULT),
            values,
            dict(zip(names, shape.ideal, strict=True)),
            "Deb, Thiele, Laumanns, Zitzler 2005",
            f"{m} objectives in {dimensions} dimensions. {shape.text} The optimum is the best of each objective on the "
            "front.",
            objectives=tuple(Objective(name) for name in names),
            highest=dict(zip(names, shape.highest, strict=True)),
        )
        return Fronts(f"dtlz/{task}", formula, front=shape.front, volume=shape.volume, nadir=shape.nadir)
