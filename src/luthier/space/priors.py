"""Priors: where good values are expected. They steer random draws and leave the encoding alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from luthier.base.errors import SpaceError
from luthier.space.values import Array, is_number, plain

#: Points of a quantile table; the draw is uniform between two of them.
POINTS = 2049
#: Standard deviations around the mean that a table covers; 1e-18 of the mass lies beyond.
REACH = 9.0
#: Standard deviations by which a mean may lie outside the bounds; beyond, the tail is lost to rounding.
OUTSIDE = 8.0


def _to_floats(prior: Any) -> None:
    for field in fields(prior):
        value = plain(getattr(prior, field.name))
        object.__setattr__(prior, field.name, float(value) if is_number(value) else value)


@dataclass(frozen=True)
class Normal:
    """A normal distribution, cut off at the bounds of the hyperparameter.

    Args:
        mean: The most likely value, in the hyperparameter's own unit; usually within its bounds.
        sd: Standard deviation, > 0, in the hyperparameter's own unit; with `log=True` in units of the
            natural logarithm (1.0: a factor of 2.7 either way, 2.3: a factor of ten).
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _to_floats(self)

    def problem(self) -> str | None:
        """What is wrong with the numbers, or None."""
        if not is_number(self.mean):
            return f"mean={self.mean!r}. Allowed: a finite number."
        if not is_number(self.sd) or self.sd <= 0:
            return f"sd={self.sd!r}. Allowed: a finite number above 0."
        return None


@dataclass(frozen=True)
class Beta:
    """A beta distribution over the (logarithmic, if `log=True`) range of the hyperparameter.

    Args:
        alpha: First shape, >= 1; larger draws to the upper bound.
        beta: Second shape, >= 1; larger draws to the lower bound. Both 1: uniform.
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        _to_floats(self)

    def problem(self) -> str | None:
        """What is wrong with the numbers, or None."""
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not is_number(value) or value < 1:
                return f"{name}={value!r}. Allowed: a finite number, at least 1."
        return None


#: A quantile function as a table: cumulative probability (rising from 0 to 1), position in the unit interval.
Table = tuple[Array, Array]


def normal_table(mean: float, sd: float) -> Table:
    """Quantiles of a normal distribution cut off at 0 and 1.

    Args:
        mean: Centre, at most `OUTSIDE` standard deviations outside [0, 1].
        sd: Standard deviation in the same unit, > 0.
    """
    grid = np.linspace(max(0.0, mean - REACH * sd), min(1.0, mean + REACH * sd), POINTS)
    side = 1.0 if mean > 0.5 else -1.0  # measure from the tail that may be small, where doubles are dense
    mass = np.array([0.5 * side * math.erfc(side * (mean - u) / sd / math.sqrt(2.0)) for u in grid.tolist()])
    mass -= mass[0]
    return mass / mass[-1], grid


def beta_table(alpha: float, beta: float) -> Table:
    """Quantiles of a beta distribution, by the midpoint rule on its density.

    Args:
        alpha: First shape, >= 1.
        beta: Second shape, >= 1.
    """
    grid = np.linspace(0.0, 1.0, POINTS)
    middle = (grid[1:] + grid[:-1]) / 2.0
    logs = (alpha - 1.0) * np.log(middle) + (beta - 1.0) * np.log1p(-middle)
    mass = np.concatenate(([0.0], np.cumsum(np.exp(logs - logs.max()))))
    return mass / mass[-1], grid


def weight_table(weights: Sequence[float]) -> Table:
    """Quantiles of a choice among K values, value i owning the interval [i/K, (i+1)/K].

    Args:
        weights: One a value, > 0.
    """
    mass = np.concatenate(([0.0], np.cumsum(np.asarray(weights, dtype=float))))
    return mass / mass[-1], np.linspace(0.0, 1.0, len(weights) + 1)


def prior_to_json(prior: Any) -> Any:
    """A prior as JSON-able values: {"normal": [mean, sd]}, {"beta": [alpha, beta]} or a list of weights."""
    if isinstance(prior, Normal):
        return {"normal": [prior.mean, prior.sd]}
    if isinstance(prior, Beta):
        return {"beta": [prior.alpha, prior.beta]}
    return prior if prior is None else list(prior)


def prior_from_json(name: str, data: Any) -> Any:
    """The reverse of `prior_to_json`.

    Args:
        name: The hyperparameter, for the message.
        data: What was stored.

    Raises:
        SpaceError: the form is not known.
    """
    if isinstance(data, dict):
        for word, kind in (("normal", Normal), ("beta", Beta)):
            if list(data) == [word] and isinstance(data[word], list) and len(data[word]) == 2:
                return kind(*data[word])
        raise SpaceError(
            f"hyperparameter {name!r}: prior={data!r}. "
            'Allowed: {"normal": [mean, sd]}, {"beta": [alpha, beta]} or a list of weights.',
            name=name,
        )
    return data
