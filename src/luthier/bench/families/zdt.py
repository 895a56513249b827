"""ZDT: two objectives to be minimised, with the whole Pareto front known; five problems, nothing to train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.records import Objective
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._curves import Curve, falling
from luthier.bench.families._functions import Array, Columns, Formula, Fronts, matrix
from luthier.space.domains import Float
from luthier.space.space import Space

_TENS = 10 * math.pi
_DEFAULT = 0.25  # of every range: ours; in the middle of ZDT4's ranges the front would be reached
_DIP = math.atan(9 * math.pi) / (6 * math.pi)  # where f1 of ZDT6 is least
_LOWEST6 = 1 - math.exp(-4 * _DIP) * math.sin(6 * math.pi * _DIP) ** 6


@dataclass(frozen=True)
class Shape:
    """One of the problems.

    Args:
        curve: Its front, f2 over f1.
        nadir: Worst values on the front.
        ideal: Best ones.
        highest: Largest f2 anywhere.
        text: What is special.
        dimensions: Number of variables.
    """

    curve: Curve
    nadir: tuple[float, float]
    ideal: tuple[float, float]
    highest: float
    text: str
    dimensions: int = 30


def _root(start: float) -> Curve:
    return Curve(lambda x: 1 - math.sqrt(x), lambda x: x - 2 / 3 * x * math.sqrt(x), [(start, 1.0)])


def _waves() -> Shape:
    """ZDT3, whose front is in five pieces."""

    def height(x: float) -> float:
        return 1 - math.sqrt(x) - x * math.sin(_TENS * x)

    def slope(x: float) -> float:
        steep = -0.5 / math.sqrt(x) if x > 0 else -math.inf
        return steep - math.sin(_TENS * x) - _TENS * x * math.cos(_TENS * x)

    def area(x: float) -> float:
        return x - 2 / 3 * x * math.sqrt(x) + x * math.cos(_TENS * x) / _TENS - math.sin(_TENS * x) / _TENS**2

    pieces = falling(height, slope, low=0.0, high=1.0)
    end = pieces[-1][1]
    return Shape(Curve(height, area, pieces), (end, 1.0), (0.0, height(end)), 11.0, "The front is in five pieces.")


def _shape(task: str) -> Shape:
    round_ = Curve(lambda x: 1 - x**2, lambda x: x - x**3 / 3, [(0.0, 1.0)])
    if task == "zdt3":
        return _waves()
    if task == "zdt6":
        curve = Curve(round_.height, round_.area, [(_LOWEST6, 1.0)])
        nadir, text = (1.0, curve.height(_LOWEST6)), "Few points lie near the front, and unevenly."
        return Shape(curve, nadir, (_LOWEST6, 0.0), 10.0, text, 10)
    if task == "zdt4":
        return Shape(_root(0.0), (1.0, 1.0), (0.0, 0.0), 406.0, "21^9 local fronts.", 10)
    if task == "zdt2":
        return Shape(round_, (1.0, 1.0), (0.0, 0.0), 10.0, "The front is concave.")
    return Shape(_root(0.0), (1.0, 1.0), (0.0, 0.0), 10.0, "The front is convex.")


def _values(task: str, columns: Columns) -> Mapping[str, Array]:
    x = matrix(columns)
    f, rest = x[:, 0], x[:, 1:]
    g = 1 + 9 * rest.mean(axis=1)
    if task == "zdt4":
        g = 1 + (rest**2 - 10 * np.cos(4 * np.pi * rest) + 10).sum(axis=1)
    if task == "zdt6":
        f = 1 - np.exp(-4 * f) * np.sin(6 * np.pi * f) ** 6
        g = 1 + 9 * rest.mean(axis=1) ** 0.25
    ratio = f / g
    h = 1 - ratio**2 if task in ("zdt2", "zdt6") else 1 - np.sqrt(ratio)
    if task == "zdt3":
        h = h - ratio * np.sin(_TENS * f)
    return {"f1": f, "f2": g * h}


def _space(task: str, dimensions: int) -> Space:
    low, high = (-5.0, 5.0) if task == "zdt4" else (0.0, 1.0)
    far = low + _DEFAULT * (high - low)
    return Space(
        {"x0": Float(0.0, 1.0, default=_DEFAULT)}
        | {f"x{i}": Float(low, high, default=far) for i in range(1, dimensions)}
    )


@register("benchmark")
class Zdt(Family):
    """Zitzler, Deb and Thiele 2000, without ZDT5, which is made of bits."""

    def tasks(self) -> Sequence[str]:
        """Names."""
        return ("zdt1", "zdt2", "zdt3", "zdt4", "zdt6")

    def open(self, task: str) -> Fronts:
        """One problem."""
        check_task("zdt", task, self.tasks())
        shape = _shape(task)
        formula = Formula(
            _space(task, shape.dimensions),
            lambda columns, resource: _values(task, columns),
            dict(zip(("f1", "f2"), shape.ideal, strict=True)),
            "Zitzler, Deb, Thiele 2000",
            f"Two objectives in {shape.dimensions} dimensions. {shape.text} The optimum is the best of each objective "
            "on the front.",
            objectives=(Objective("f1"), Objective("f2")),
            highest={"f1": 1.0, "f2": shape.highest},
        )
        curve = shape.curve

        def front(n: int) -> Array:
            first = curve.points(n)
            return np.stack([first, [curve.height(x) for x in first.tolist()]], axis=1)

        def volume(reference: Array) -> float:
            width = float(reference[0]) - curve.pieces[0][0]
            return float(reference[1]) * width - curve.below(float(reference[0]))

        return Fronts(f"zdt/{task}", formula, front=front, volume=volume, nadir=shape.nadir)
