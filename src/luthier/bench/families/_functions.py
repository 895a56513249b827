"""Benchmarks that are formulas: what the families of test functions share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import ArgumentError
from luthier.base.records import Card, Configuration, Constraint, Evaluation, Fidelity, Objective, Status
from luthier.base.seeds import check_seed, generator
from luthier.bench._base import BaseBenchmark
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]  # hyperparameter to the (n,) values of n configurations

VALUE = "value"
SLACK = 1e-9  # optima are exact up to this; bounds are that much wider, for the last digits of a sum


@dataclass(frozen=True)
class Formula:
    """A function, and what is known of it.

    Args:
        space: Where it is defined.
        values: From columns of n configurations and the resource to metrics, (n,) each.
        optimum: Best value of each objective at the full resource, exact; with constraints the best feasible one.
        source: Where the formula was published.
        description: One or two sentences.
        best: Configurations that reach the optimum (of a single objective).
        objectives: What is improved.
        constraints: Metrics with upper bounds.
        highest: Largest value of each metric that is not bounded by 0 from above; None: not known.
        lowest: Smallest value of each metric where that is not the optimum.
        fidelity: Axis of the resource.
        seconds: From the resource to the cost.
        sd: Standard deviation of the noise on the objective, (n,); None: without noise.
        fails: Which configurations fail, (n,); None: none does.
    """

    space: Space
    values: Callable[[Columns, float], Mapping[str, Array]]
    optimum: Mapping[str, float]
    source: str
    description: str
    best: tuple[Mapping[str, Any], ...] = ()
    objectives: tuple[Objective, ...] = (Objective(VALUE),)
    constraints: tuple[Constraint, ...] = ()
    highest: Mapping[str, float] = field(default_factory=dict)
    lowest: Mapping[str, float] = field(default_factory=dict)
    fidelity: Fidelity | None = None
    seconds: Callable[[float], float] = lambda resource: 0.0
    sd: Callable[[Columns], Array] | None = None
    fails: Callable[[Columns], NDArray[np.bool_]] | None = None


class Function(BaseBenchmark):
    """A formula as a benchmark.

    With noise, a seed draws one number for each configuration (and resource), and None gives the value without noise.

    Args:
        name: Full name.
        formula: The formula.

    Attributes:
        constraints: Metrics with upper bounds; part of `problem`.
        best: Configurations that reach the optimum at the full resource.

    Cost: some microseconds for each hyperparameter of a configuration.
    """

    def __init__(self, name: str, formula: Formula) -> None:
        self._formula = formula
        self.space, self.fidelity, self.objectives = formula.space, formula.fidelity, formula.objectives
        self.constraints = formula.constraints
        self.best = tuple(Configuration(config) for config in formula.best)
        self.card = Card(
            name,
            formula.source,
            "none needed: a formula, written anew for luthier",
            optimum=formula.optimum,
            noise="deterministic" if formula.sd is None else "generative",
            description=formula.description,
        )
        self.bounds = self._limits()

    def _limits(self) -> dict[str, tuple[float, float]]:
        """What the values lie within; nothing is promised of a metric with noise."""
        formula, found = self._formula, {}
        lowest = dict(formula.lowest)
        if not formula.constraints:  # else what is not feasible may be lower
            lowest = {o.name: formula.optimum[o.name] for o in formula.objectives if o.goal == "min"} | lowest
        for name in {*lowest, *formula.highest}:
            low, high = lowest.get(name, -np.inf), formula.highest.get(name, np.inf)
            if formula.sd is None:
                found[name] = (low - SLACK, high + SLACK)
        return found

    @property
    def problem(self) -> Problem:
        """What an optimiser may know of it."""
        return Problem(self.space, self.objectives, self.constraints, self.fidelity)

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        if not configs:
            return []
        spent = 1.0 if resource is None else float(resource)
        columns = {name: np.array([config[name] for config in configs]) for name in self.space.names}
        metrics = {name: np.asarray(one, dtype=float) for name, one in self._formula.values(columns, spent).items()}
        noise = self._noise(columns, configs, spent, seed)
        if noise is not None:
            name = self.objectives[0].name
            metrics[name] = metrics[name] + noise
        fails = self._formula.fails(columns) if self._formula.fails is not None else np.zeros(len(configs), dtype=bool)
        cost = self._formula.seconds(spent)
        rows = zip(*(one.tolist() for one in metrics.values()), strict=True)
        return [
            Evaluation({}, cost, Status.FAILED, {"error": f"{self.name} fails here"})
            if failed
            else Evaluation(dict(zip(metrics, row, strict=True)), cost)
            for row, failed in zip(rows, fails.tolist(), strict=True)
        ]

    def _noise(
        self, columns: Columns, configs: Sequence[Configuration], resource: float, seed: int | None
    ) -> Array | None:
        """What chance adds to the objective, (n,); None: nothing."""
        if self._formula.sd is None or seed is None:
            return None
        return self._formula.sd(columns) * normals(configs, seed, resource)


def normals(configs: Sequence[Configuration], seed: int, resource: float) -> Array:
    """A standard normal number for each configuration, which its values, the seed and the resource decide; (n,).

    Raises:
        ArgumentError: the seed is no whole number from 0.
    """
    check_seed(seed)
    found = np.empty(len(configs))
    for i, config in enumerate(configs):
        key = hashlib.blake2b(repr([sorted(config.items()), resource]).encode(), digest_size=4).digest()
        found[i] = generator(seed, "bench", int.from_bytes(key, "little")).standard_normal()
    return found


def cube(dimensions: int, low: float = 0.0, high: float = 1.0, *, default: float | None = None) -> Space:
    """Floats x0, x1, ... with the same range.

    Args:
        dimensions: How many.
        low: Smallest value.
        high: Largest value.
        default: Value of each in the default configuration; None: the middle.
    """
    return Space({f"x{i}": Float(low, high, default=default) for i in range(dimensions)})


def point(*values: float) -> dict[str, float]:
    """A configuration of x0, x1, ..."""
    return {f"x{i}": value for i, value in enumerate(values)}


def matrix(columns: Columns) -> Array:
    """(n, d) values of a space of numbers."""
    return np.stack(list(columns.values()), axis=1).astype(float)


def single(formula: Callable[[Array], Array]) -> Callable[[Columns, float], Mapping[str, Array]]:
    """A formula of (n, d) numbers without fidelity as `Formula.values`."""
    return lambda columns, resource: {VALUE: formula(matrix(columns))}


class Fronts(Function):
    """Several formulas to be minimised at once, with the whole of their Pareto front known.

    Args:
        name: Full name.
        formula: The formulas.
        front: From a number of points to about as many (n, m) points of the front.
        volume: From a reference point to the hypervolume of the front, exact.
        nadir: (m,) the front's worst values; the reference point lies a tenth of the front's range beyond.

    Attributes:
        reference: (m,) reference point of hypervolumes.
        hypervolume: Of the whole front up to the reference point, which no set of configurations exceeds.
    """

    def __init__(
        self,
        name: str,
        formula: Formula,
        *,
        front: Callable[[int], Array],
        volume: Callable[[Array], float],
        nadir: Sequence[float],
    ) -> None:
        super().__init__(name, formula)
        self._front = front
        ideal = np.array([formula.optimum[o.name] for o in formula.objectives])
        self.reference: Array = np.array(nadir) + 0.1 * (np.array(nadir) - ideal)
        self.hypervolume = float(volume(self.reference))

    def front(self, n: int = 200) -> Array:
        """About n points of the Pareto front, evenly along it; (n, m).

        Raises:
            ArgumentError: fewer than two points.
        """
        if n < 2:
            raise ArgumentError(f"benchmark {self.name!r}: a front of n={n} points. Allowed: 2 or more.")
        return self._front(n)
