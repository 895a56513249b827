"""MFHartmann: Hartmann's functions whose low fidelities are flattened and noisy, in four grades of correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from luthier.base.records import Configuration, Fidelity
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._functions import VALUE, Array, Columns, Formula, Function, cube, matrix, normals, point
from luthier.bench.families._hartmann import MINIMISER, MINIMUM, WEIGHTS, hartmann

FIDELITY = Fidelity("z", 3, 100)
#: Grade to bias and noise at z = 1; as published.
GRADES = {"terrible": (4.0, 5.0), "bad": (3.5, 4.0), "moderate": (3.0, 3.0), "good": (2.5, 2.0)}
_MEAN = math.sqrt(2 / math.pi)  # of the absolute value of a standard normal number


def lacking(z: float) -> float:
    """How much of the fidelity is missing: 1 at z = 1, 0 at z = 100, even in the logarithm."""
    return 1 - math.log(z) / math.log(FIDELITY.high)


def cost(z: float) -> float:
    """Seconds: 0.05 for nothing, 1 for everything, with the square of z between."""
    return 0.05 + 0.95 * (z / FIDELITY.high) ** 2


class MFHartmann(Function):
    """One of Hartmann's functions with a fidelity.

    At fidelity z each of the four bumps is lower by `bias * lacking(z)`, and `noise * lacking(z)` times the absolute
    value of a normal number is added. So no low fidelity is better than the function's minimum.

    Args:
        d: Dimensions, 3 or 6.
        grade: One of `GRADES`.

    Source: Kandasamy, Dasarathy, Schneider, Poczos 2017 (BOCA), appendix, for the flattening and the cost; grades,
        noise and logarithmic scale of z as in GitHub automl/mf-prior-bench, commit 002807916ff2.
    Differs: the noise of a configuration and z is drawn for a seed by a stated generator, not from Python's hash
        multiplied by z; without a seed the answer is the exact mean.
    """

    def __init__(self, d: int, grade: str) -> None:
        bias, self._sd = GRADES[grade]

        def values(columns: Columns, z: float) -> Mapping[str, Array]:
            return {VALUE: hartmann(matrix(columns), WEIGHTS - bias * lacking(z))}

        formula = Formula(
            cube(d),
            values,
            {VALUE: MINIMUM[d]},
            "Kandasamy et al. 2017; grades of GitHub automl/mf-prior-bench, commit 002807916ff2",
            f"Hartmann's function in {d} dimensions; bias {bias:g} and noise {self._sd:g} fade with log z. The cost is "
            "1 s at z = 100.",
            best=(point(*MINIMISER[d]),),
            fidelity=FIDELITY,
            seconds=cost,
            sd=lambda columns: np.full(len(columns["x0"]), self._sd),
        )
        super().__init__(f"mfhartmann/{d}/{grade}", formula)
        self.bounds = {VALUE: (MINIMUM[d] - 1e-9, math.inf)}  # noise only ever adds

    def _noise(self, columns: Columns, configs: Sequence[Configuration], resource: float, seed: int | None) -> Array:
        draws = np.full(len(configs), _MEAN) if seed is None else np.abs(normals(configs, seed, resource))
        return draws * self._sd * lacking(resource)


@register("benchmark")
class MFHartmannFamily(Family):
    """Three or six dimensions, four grades."""

    def tasks(self) -> Sequence[str]:
        """Dimensions and grade, such as "3/good"."""
        return tuple(f"{d}/{grade}" for d in MINIMUM for grade in GRADES)

    def open(self, task: str) -> MFHartmann:
        """One of the eight."""
        check_task("mfhartmann", task, self.tasks())
        d, _, grade = task.partition("/")
        return MFHartmann(int(d), grade)
