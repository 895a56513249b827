"""Several objectives as one: random weightings, a new one for each proposal."""

from __future__ import annotations

import numpy as np

from luthier.base.pareto import reference_point
from luthier.space.values import Array

#: Ways to weight; see `scalarise`.
WEIGHTINGS = ("chebyshev", "hypervolume", "linear")
RHO = 0.05  # of the augmented Chebyshev weighting, as published


def scalarise(values: Array, how: str, rng: np.random.Generator) -> Array:
    """Several objectives as one, under weights drawn at random.

    Args:
        values: (n, m) to be minimised.
        how: "chebyshev" (published for ParEGO), "hypervolume" or "linear".
        rng: Source of the weights: uniform on the simplex, or for "hypervolume" on the positive part of the sphere.

    Returns:
        (n,) to be minimised.
    """
    m = values.shape[1]
    if how == "hypervolume":
        direction = np.abs(rng.standard_normal(m))
        return hypervolume_weighting(values, direction / np.linalg.norm(direction), reference_point(values))
    weights = rng.dirichlet(np.ones(m))
    return linear(values, weights) if how == "linear" else chebyshev(values, weights)


def unit(values: Array) -> Array:
    """Each objective moved to [0, 1] by the range seen; (n, m) -> (n, m)."""
    low, high = values.min(axis=0), values.max(axis=0)
    found: Array = (values - low) / np.where(high > low, high - low, 1.0)
    return found


def chebyshev(values: Array, weights: Array) -> Array:
    """max_j w_j y_j + 0.05 sum_j w_j y_j of values moved to [0, 1]; reaches concave parts of a front, too.

    Args:
        values: (n, m) to be minimised.
        weights: (m,) on the simplex.

    Returns:
        (n,) to be minimised.

    Source: Knowles 2006 (ParEGO), equation 2.
    """
    weighted = unit(values) * weights
    found: Array = weighted.max(axis=1) + RHO * weighted.sum(axis=1)
    return found


def hypervolume_weighting(values: Array, direction: Array, reference: Array) -> Array:
    """-(min_j max(0, r_j - y_j) / lambda_j)^m: its mean over directions is the hypervolume, up to a factor.

    Args:
        values: (n, m) to be minimised.
        direction: (m,) positive, of length 1.
        reference: (m,) worst values that count.

    Returns:
        (n,) to be minimised, <= 0.

    Source: Zhang, Golovin 2020, lemma 5.
    """
    gaps = np.maximum(0.0, reference - values) / np.maximum(direction, 1e-12)
    found: Array = -(gaps.min(axis=1) ** values.shape[1])
    return found


def linear(values: Array, weights: Array) -> Array:
    """Weighted sum of values moved to [0, 1]; misses the concave parts of a front. (n, m), (m,) -> (n,)."""
    found: Array = unit(values) @ weights
    return found
