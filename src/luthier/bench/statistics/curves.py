"""Regret over the budget: what an incumbent is worth at a moment, normalised, and averaged over moments.

A run is a step function: an incumbent counts from its moment on until the next one, and nothing counts before the
first. Moments are fractions of the budget.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array

CLIP = 1.5  # largest normalised regret, so that no single run rules a mean
NOTHING_YET = 1.0  # normalised regret before the first result: that of a median random configuration
EPSILON = 1e-4  # added before a logarithm is taken
#: Where a curve is averaged: 200 moments, equally spaced in the logarithm of the budget.
MOMENTS: Array = np.geomspace(1e-3, 1.0, 200)


def at(times: ArrayLike, values: ArrayLike, moments: ArrayLike, *, before: float = np.nan) -> Array:
    """Values of a step function, the last one carried forward; (moments,).

    Args:
        times: (n,) moments at which the value changed, never falling; of equal ones the last counts.
        values: (n,) value from then on.
        moments: Where it is read; at a moment of change the new value holds.
        before: Value before the first change.

    Raises:
        ArgumentError: times that fall, or not as many as values.
    """
    steps, known = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if steps.shape != known.shape or (np.diff(steps) < 0).any():
        raise ArgumentError(
            f"a curve of {steps.shape} times and {known.shape} values. Allowed: as many of both, times that never "
            "fall. Sort the rows by time."
        )
    return np.asarray(np.concatenate([[before], known])[np.searchsorted(steps, moments, side="right")])


def normalised(values: ArrayLike, best: float, reference: float) -> Array:
    """Regret as a share of a median random configuration's, within [0, 1.5]; NaN stays NaN.

    Args:
        values: To be minimised.
        best: The optimum, or the best known from a fixed pool: never the best of this study, or one more method
            would change the regret of the others.
        reference: Value of a median random configuration.

    Raises:
        ArgumentError: the reference is not worse than the best.
    """
    if not reference > best:
        raise ArgumentError(
            f"normalised regret: best={best!r}, reference={reference!r}. Allowed: a reference above the best (both to "
            "be minimised). On a task where a median random configuration is as good as the best, regret says nothing."
        )
    return np.clip((np.asarray(values, dtype=float) - best) / (reference - best), 0.0, CLIP)


def log_regret(regret: ArrayLike, epsilon: float = EPSILON) -> Array:
    """Logarithm (base 10) of normalised regret plus `epsilon`: for differences that span decades."""
    check("epsilon", epsilon, above=0)
    return np.log10(np.asarray(regret, dtype=float) + epsilon)


def anytime(times: ArrayLike, regret: ArrayLike, *, stretch: float = 1.0, before: float = NOTHING_YET) -> float:
    """Mean regret over 200 moments that are equally spaced in the logarithm of the budget, from a thousandth on.

    Args:
        times: (n,) fractions of the budget.
        regret: (n,) normalised regret from then on.
        stretch: Read so many times as late: what the method would be with more time.
        before: Regret before the first result.
    """
    return float(at(times, regret, MOMENTS * stretch, before=before).mean())


def profile(regret: ArrayLike, levels: Sequence[float] | Array) -> Array:
    """Share of runs whose regret is at most each level; tasks weigh alike; (levels,).

    Args:
        regret: (tasks, seeds) normalised regret of one method.
        levels: Where it is read.

    Source: Dolan and More 2002, with runs in place of problems (Agarwal et al. 2021).
    """
    runs = np.asarray(regret, dtype=float)
    return np.asarray((runs[..., None] <= np.asarray(levels, dtype=float)).mean(axis=1).mean(axis=0))
