"""Cholesky factors of covariances that may be singular, and what a Gaussian process solves with them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later

linalg = later("scipy.linalg")

Array = NDArray[np.float64]

JITTERS = (0.0, 1e-8, 1e-6, 1e-4, 1e-2)  # added to the diagonal, in units of the signal, until a factor exists
NUGGET = 1e-8  # on the diagonal of a joint covariance, in units of the signal: points may coincide
MEAN_WEIGHT = 1.0  # prior weight of mean 0, in units of a measurement at infinite distance


def factored(C: Array, signal: float) -> tuple[Array, float]:
    """Lower factor of the covariance of measurements, and what had to be added to its diagonal for it.

    Never fails: ever more is added, up to a hundredth of the signal; off the diagonal no correlation may stand against
    that much on it.

    Args:
        C: (n, n) covariance, noise included; overwritten.
        signal: Variance of the function.

    Returns:
        (n, n) factor, and the last addition in units of the signal, infinite where only the diagonal was left.

    Cost: O(n^3).
    """
    diagonal = np.diag_indices(len(C))
    for jitter in JITTERS:
        C[diagonal] += jitter * signal
        try:
            return linalg.cholesky(C, lower=True, check_finite=False), jitter
        except np.linalg.LinAlgError:
            continue
    return np.diag(np.sqrt(np.diag(C))), math.inf


def solved(factor: Array, y: Array) -> tuple[float, Array]:
    """The constant mean that fits measurements best under its prior, and what predictions are made of.

    Args:
        factor: (n, n) as `factored` gives it.
        y: (n,) values.

    Returns:
        The mean, and (n,) inverse covariance times (values - mean).

    Cost: O(n^2).
    """
    ones = linalg.solve_triangular(factor, np.ones(len(y)), lower=True, check_finite=False)
    half = linalg.solve_triangular(factor, y, lower=True, check_finite=False)
    mean = float(ones @ half) / (float(ones @ ones) + MEAN_WEIGHT)
    return mean, linalg.solve_triangular(factor, half - mean * ones, lower=True, trans=1, check_finite=False)


def joint_factor(covariance: Array, signal: float) -> Array:
    """Lower factor of a joint covariance to draw from, with as little on its diagonal as it takes; (m, m) -> (m, m).

    Args:
        covariance: (m, m), without noise.
        signal: Variance of the function.

    Cost: O(m^3).
    """
    C = covariance + NUGGET * signal * np.eye(len(covariance))
    for jitter in JITTERS:
        try:
            return np.asarray(np.linalg.cholesky(C + jitter * signal * np.eye(len(C))))
        except np.linalg.LinAlgError:
            continue
    return np.diag(np.sqrt(np.maximum(np.diag(C), NUGGET * signal)))
