"""What a table is to record, and of what: the side of `generate` that families see."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Card, Configuration, Fidelity, Status
from luthier.space.number import Number
from luthier.space.space import Space

#: Codes of `status`.
STATES = (Status.COMPLETED, Status.DIVERGED, Status.FAILED)


class Cell(NamedTuple):
    """What was recorded of one configuration and seed.

    Args:
        values: (fidelities, metrics).
        status: COMPLETED, DIVERGED, or FAILED when it ran out of time.
    """

    values: NDArray[np.float32]
    status: Status


@dataclass(frozen=True)
class Design:
    """Configurations that are no grid.

    Args:
        configs: They themselves.
        objective: The metric that is improved.
        unit: Difference of the objective below which predictions are averaged as they are; above, their logarithms.
        how: How they were drawn, in words.
    """

    configs: tuple[Configuration, ...]
    objective: str
    unit: float
    how: str


@dataclass(frozen=True)
class Plan:
    """What a table records.

    Args:
        lists: Hyperparameter to its values, the first slowest; empty for a design.
        axes: Names of the fidelities.
        fidelities: What is recorded of each configuration, a value for each axis.
        metrics: Names of what is measured.
        timed: Those of them that are times: measured several times, the median is kept.
        about: Card of the benchmark that trains.
        design: What is trained in place of a grid.
    """

    lists: Mapping[str, Sequence[float]]
    axes: tuple[str, ...]
    fidelities: tuple[tuple[float, ...], ...]
    metrics: tuple[str, ...]
    timed: tuple[str, ...]
    about: Card
    design: Design | None = None

    def configs(self) -> list[Configuration]:
        """All combinations, in the order of the table."""
        if self.design is not None:
            return list(self.design.configs)
        names = list(self.lists)
        return [Configuration(zip(names, row, strict=True)) for row in itertools.product(*self.lists.values())]


class Recordable(Protocol):
    """A benchmark that `generate` can make a table of."""

    @property
    def name(self) -> str:
        """Full name, by which another process loads it."""

    def plan(self, grid: str) -> Plan:
        """What is recorded of a grid."""

    def record(self, config: Configuration, seed: int, grid: str) -> Cell:
        """Everything about one configuration and seed, by training now."""

    def expected_seconds(self, config: Configuration, grid: str) -> float:
        """About what that takes, on one thread."""


def grid_lists(space: Space, points: Mapping[str, int | tuple[float, ...]]) -> dict[str, list[float]]:
    """Values of each number of a space: those given, or evenly spaced ones, in its logarithm where it has one.

    Args:
        space: A space of numbers.
        points: Hyperparameter to its values, or to how many are laid out; equal whole numbers fall together.
    """
    lists: dict[str, list[float]] = {}
    for name, count in points.items():
        if not isinstance(count, int):
            lists[name] = list(count)
            continue
        domain = space[name]
        assert isinstance(domain, Number)  # the families of this room search numbers alone
        low, high = float(domain.low), float(domain.high)
        laid = np.geomspace(low, high, count) if domain.log else np.linspace(low, high, count)
        laid[0], laid[-1] = low, high  # rounding must not leave the space
        lists[name] = sorted({round(x) for x in laid.tolist()}) if domain.whole else laid.tolist()
    return lists


def rungs(fidelity: Fidelity) -> list[int]:
    """Steps that halving by two and by three asks for from below, and by three from above."""
    low, high = int(fidelity.low), int(fidelity.high)
    rising = {low * by**i for by in (2, 3) for i in range(20)}
    falling = {high // 3**i for i in range(20)}
    return sorted(step for step in rising | falling if low <= step <= high)
