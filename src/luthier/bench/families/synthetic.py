"""Test functions with exact optima: smooth, many-valleyed, mixed, noisy, and two with a fidelity; nothing to train."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from luthier.base.records import Fidelity, Objective
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._functions import VALUE, Array, Columns, Formula, Function, cube, matrix, point, single
from luthier.bench.families._hartmann import MINIMISER, MINIMUM, hartmann
from luthier.bench.families._own import mixed6, noisy5, noisy6
from luthier.space.domains import Float
from luthier.space.space import Space

_BRANIN = 5 / (4 * math.pi)  # the value at each of the three minimisers
_BRANIN_BEST = tuple(point(x, y) for x, y in ((-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)))
_BRANIN_SPACE = Space(x0=Float(-5.0, 10.0), x1=Float(0.0, 15.0))
_BRANIN_HIGHEST = 308.1291  # at (-5, 0)


def _bent(x: Array, curve: float) -> Array:
    """Branin's function with the coefficient of its parabola given; (n, 2) -> (n,)."""
    valley = x[:, 1] - curve * x[:, 0] ** 2 + 5 / math.pi * x[:, 0] - 6
    found: Array = valley**2 + 10 * (1 - 1 / (8 * math.pi)) * np.cos(x[:, 0]) + 10
    return found


def branin() -> Formula:
    """Three equal valleys along a bent trough."""
    return Formula(
        _BRANIN_SPACE,
        single(lambda x: _bent(x, 5.1 / (4 * math.pi**2))),
        {VALUE: _BRANIN},
        "Branin 1972, in the form of Dixon and Szegoe 1978",
        "Three equal minima in two dimensions.",
        best=_BRANIN_BEST,
        highest={VALUE: _BRANIN_HIGHEST},
    )


def branin_mf() -> Formula:
    """Branin's function whose trough is bent the other way at a low fidelity."""

    def values(columns: Columns, percent: float) -> Mapping[str, Array]:
        return {VALUE: _bent(matrix(columns), 5.1 / (4 * math.pi**2) - 0.1 * (1 - percent / 100))}

    return Formula(
        _BRANIN_SPACE,
        values,
        {VALUE: _BRANIN},
        "Wu, Toscano-Palmerin, Frazier, Wilson 2019 (augmented Branin)",
        "Branin's function at 100 percent; below, another bend of the trough. Cost: 0.05 s and 0.95 s a unit.",
        best=_BRANIN_BEST,
        lowest={VALUE: 10 / (8 * math.pi)},  # the sum without its square, which is never negative
        fidelity=Fidelity("percent", 1, 100),
        seconds=lambda percent: 0.05 + 0.95 * percent / 100,
    )


def camel() -> Formula:
    """Six valleys, two of them lowest."""

    def six_humps(x: Array) -> Array:
        a, b = x[:, 0] ** 2, x[:, 1] ** 2
        found: Array = (4 - 2.1 * a + a**2 / 3) * a + x[:, 0] * x[:, 1] + (4 * b - 4) * b
        return found

    best = (0.089842013100318062, -0.71265640302073963)
    return Formula(
        Space(x0=Float(-3.0, 3.0, default=1.0), x1=Float(-2.0, 2.0, default=1.0)),  # the middle lies beside a valley
        single(six_humps),
        {VALUE: -1.0316284534898774},
        "Dixon and Szegoe 1978 (six-hump camel back)",
        "Six valleys in two dimensions, two of them lowest.",
        best=(point(*best), point(-best[0], -best[1])),
        highest={VALUE: 162.9},  # at (3, 2)
    )


def _hartmann(d: int) -> Formula:
    return Formula(
        cube(d),
        single(hartmann),
        {VALUE: MINIMUM[d]},
        "Dixon and Szegoe 1978; the constants as in Picheny, Wagner, Ginsbourger 2013",
        f"Four bumps in {d} dimensions.",
        best=(point(*MINIMISER[d]),),
        highest={VALUE: 0.0},
    )


def currin() -> Formula:
    """Two levels: Currin's exponential function, and the mean of four places around as its cheap stand-in."""

    def exact(a: Array, b: Array) -> Array:
        with np.errstate(divide="ignore"):
            rise = 1 - np.exp(-0.5 / b)  # 1 at b = 0
        quotient = (2300 * a**3 + 1900 * a**2 + 2092 * a + 60) / (100 * a**3 + 500 * a**2 + 4 * a + 20)
        found: Array = rise * quotient
        return found

    def values(columns: Columns, level: float) -> Mapping[str, Array]:
        a, b = matrix(columns).T
        if level >= 2:
            return {VALUE: exact(a, b)}
        around = [exact(a + s, np.maximum(b + t, 0)) for s in (0.05, -0.05) for t in (0.05, -0.05)]
        return {VALUE: np.mean(around, axis=0)}

    return Formula(
        cube(2),
        values,
        {VALUE: 13.798722044728435},
        "Currin, Mitchell, Morris, Ylvisaker 1988; the lower level of Xiong, Qian, Wu 2013",
        "To be maximised. Level 2 is exact and costs 1 s, level 1 is a mean over four places around and costs 0.1 s.",
        best=(point(13 / 60, 0.0),),
        objectives=(Objective(VALUE, "max"),),
        # a - 0.05 may lie below 0, where the quotient falls to -2.33
        lowest={VALUE: -2.4},
        highest={VALUE: 13.798722044728435},
        fidelity=Fidelity("level", 1, 2),
        seconds=lambda level: 1.0 if level >= 2 else 0.1,  # one tenth: the ratio usual in the literature
    )


def ackley() -> Formula:
    """A funnel with ripples."""

    def rippled(x: Array) -> Array:
        far, waves = np.sqrt((x**2).mean(axis=1)), np.cos(2 * np.pi * x).mean(axis=1)
        found: Array = 20 + math.e - 20 * np.exp(-0.2 * far) - np.exp(waves)
        return found

    return Formula(
        cube(5, -10.0, 20.0),  # not symmetric as usual: the optimum would be the default
        single(rippled),
        {VALUE: 0.0},
        "Ackley 1987, in the form of Baeck 1996",
        "A funnel with ripples in five dimensions.",
        best=(point(*[0.0] * 5),),
        highest={VALUE: 20 + math.e},
    )


def rosenbrock() -> Formula:
    """A bent, narrow valley."""

    def valley(x: Array) -> Array:
        found: Array = (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1)
        return found

    return Formula(
        cube(4, -2.0, 3.0),
        single(valley),
        {VALUE: 0.0},
        "Rosenbrock 1960, chained as in Goldberg 1989",
        "A bent, narrow valley in four dimensions.",
        best=(point(*[1.0] * 4),),
        highest={VALUE: 3 * (100 * 11.0**2 + 9)},
    )


def rastrigin() -> Formula:
    """A bowl with a grid of valleys."""

    def gridded(x: Array) -> Array:
        found: Array = (x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(axis=1)
        return found

    return Formula(
        cube(5, -4.0, 5.5),  # not symmetric as usual: the optimum would be the default
        single(gridded),
        {VALUE: 0.0},
        "Rastrigin 1974, generalised by Muehlenbein, Schomisch, Born 1991",
        "A bowl with a grid of valleys in five dimensions.",
        best=(point(*[0.0] * 5),),
        highest={VALUE: 5 * (5.5**2 + 20)},
    )


def styblinski() -> Formula:
    """Thirty-two valleys of different depth."""
    low = -39.166165703771415

    def valleys(x: Array) -> Array:
        found: Array = (x**4 - 16 * x**2 + 5 * x).sum(axis=1) / 2
        return found

    return Formula(
        cube(5, -5.0, 5.0),
        single(valleys),
        {VALUE: 5 * low},
        "Styblinski and Tang 1990",
        "Two valleys in each of five dimensions, one a little deeper.",
        best=(point(*[-2.9035340277711771] * 5),),
        highest={VALUE: 625.0},
    )


def levy() -> Formula:
    """Levy's function of the logarithms of eight values."""

    def waves(x: Array) -> Array:
        w = 1 + (np.log10(x) * 2.5 - 1) / 4
        first, last = w[:, 0], w[:, -1]
        middle = ((w[:, :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:, :-1] + 1) ** 2)).sum(axis=1)
        end = (last - 1) ** 2 * (1 + np.sin(2 * np.pi * last) ** 2)
        found: Array = np.sin(np.pi * first) ** 2 + middle + end
        return found

    return Formula(
        Space({f"x{i}": Float(1e-3, 1e4, log=True) for i in range(8)}),
        single(waves),
        {VALUE: 0.0},
        "Levy and Montalvo 1985; ours: of logarithms, 2.5 log10(x) from -7.5 to 10",
        "Waves over a bowl in eight logarithmic dimensions.",
        best=(point(*[10**0.4] * 8),),
        highest={VALUE: 1 + 7 * 2.25**2 * 11 + 2.25**2 * 2},
    )


TASKS: dict[str, Callable[[], Formula]] = {
    "branin": branin,
    "branin_mf": branin_mf,
    "camel": camel,
    "hartmann3": lambda: _hartmann(3),
    "hartmann6": lambda: _hartmann(6),
    "currin": currin,
    "ackley5": ackley,
    "rosenbrock4": rosenbrock,
    "rastrigin5": rastrigin,
    "styblinski5": styblinski,
    "levy8": levy,
    "mixed6": mixed6,
    "noisy5": noisy5,
    "noisy6": noisy6,
}


@register("benchmark")
class Synthetic(Family):
    """Formulas; they need no data and cost next to nothing."""

    def tasks(self) -> Sequence[str]:
        """Names, with the number of dimensions where that could be another."""
        return tuple(TASKS)

    def open(self, task: str) -> Function:
        """One function."""
        check_task("synthetic", task, TASKS)
        return Function(f"synthetic/{task}", TASKS[task]())
