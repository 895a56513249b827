"""Noise that differs by place: its logarithm as a line over the features, from what a process left unexplained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SLOPE = 2.0  # prior standard deviation of a slope: the variance may well change e^2-fold over a range
WIDEST = 30.0  # largest weight, and inverse of the smallest, so that no point is believed blindly or lost
STEPS = 20  # of Newton's method; it converges in fewer


def fit_noise(Z: Array, categorical: Mask, squares: Array, expected: Array) -> Array:
    """Coefficients of the log-linear noise of highest posterior density.

    A squared residual is taken as its expected variance times exp(a + b z) times a chi-square variable of one degree;
    b has a normal prior, so that without evidence the noise is the same everywhere.

    Args:
        Z: (n, p) features; categories do not enter.
        categorical: (p,) which features are categories.
        squares: (n,) squared residuals, predicted without the points themselves.
        expected: (n,) their variance if the noise were the same everywhere, > 0.

    Returns:
        (p + 1,) intercept and slopes; 0 for categories. The intercept is such that the median weight of these points
        is 1.

    Source: a gamma regression with logarithmic link (McCullagh, Nelder 1989, chapter 8), here with a prior.
    Cost: O(n p^2), some ten steps.
    """
    X = _design(Z, categorical)
    ratio = np.maximum(squares / expected, 1e-12)
    precision = np.diag(np.concatenate([[1e-6], np.full(X.shape[1] - 1, SLOPE**-2)]))
    beta = np.zeros(X.shape[1])
    beta[0] = np.log(ratio.mean())
    for _ in range(STEPS):
        scaled = ratio * np.exp(-X @ beta)
        gradient = 0.5 * X.T @ (1.0 - scaled) + precision @ beta
        step = np.linalg.solve(0.5 * (X.T * np.maximum(scaled, 0.5)) @ X + precision, gradient)
        beta = beta - step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-6:
            break
    beta[0] = -np.median((X @ beta) - beta[0])
    return beta


def noise_weights(Z: Array, categorical: Mask, beta: Array) -> Array:
    """Relative noise variances of points; (n, p) -> (n,)."""
    line = np.clip(_design(Z, categorical) @ beta, -np.log(WIDEST), np.log(WIDEST))
    found: Array = np.exp(line)
    return found


def _design(Z: Array, categorical: Mask) -> Array:
    numbers = np.where(categorical, 0.0, Z - 0.5)
    return np.concatenate([np.ones((len(Z), 1)), numbers], axis=1)
