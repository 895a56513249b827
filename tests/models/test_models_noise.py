"""Noise that differs by place: a gamma regression on what a process left unexplained."""

import numpy as np
import pytest

from luthier.models.noise import SLOPE, WIDEST, fit_noise, noise_weights

NUMBERS = np.zeros(3, dtype=bool)


def _residuals(n, slope, rng):
    Z = rng.random((n, 3))
    return Z, (np.exp(0.5 * slope * (Z[:, 0] - 0.5)) * rng.standard_normal(n)) ** 2


def test_slopes_are_found():
    Z, squares = _residuals(4000, 4.0, np.random.default_rng(0))
    beta = fit_noise(Z, NUMBERS, squares, np.ones(len(Z)))
    assert beta == pytest.approx([0.0, 4.0, 0.0, 0.0], abs=0.3)


def test_the_slope_is_where_the_gradient_vanishes():
    """Two points by hand: 1 = r e^-(a + b z) weighted, against the prior's pull b / SLOPE^2."""
    Z, squares = np.array([[0.0], [1.0]]), np.array([1.0, 9.0])
    middle, b = fit_noise(Z, np.zeros(1, dtype=bool), squares, np.ones(2))
    assert middle == pytest.approx(0.0)  # the median weight is 1
    ratio = squares * np.exp(-b * np.array([-0.5, 0.5]))
    left = 1.0 - ratio / ratio.mean()
    assert 0.5 * left @ np.array([-0.5, 0.5]) + b / SLOPE**2 == pytest.approx(0.0, abs=1e-4)
    assert 0 < b < np.log(9)


def test_without_evidence_the_noise_is_the_same_everywhere():
    Z, squares = _residuals(400, 0.0, np.random.default_rng(1))
    weights = noise_weights(Z, NUMBERS, fit_noise(Z, NUMBERS, squares, np.ones(len(Z))))
    assert weights == pytest.approx(1.0, abs=0.5)


def test_weights_have_bounds_and_categories_none():
    Z = np.array([[0.0, 3.0], [0.5, 1.0], [1.0, 2.0]])
    weights = noise_weights(Z, np.array([False, True]), np.array([0.0, 100.0, 100.0]))
    assert weights == pytest.approx([1 / WIDEST, 1.0, WIDEST])


def test_zeros_and_huge_residuals_are_survived():
    Z = np.random.default_rng(2).random((12, 3))
    for squares in (np.zeros(12), np.full(12, 1e200), np.r_[np.zeros(11), 1e12]):
        beta = fit_noise(Z, NUMBERS, squares, np.ones(12))
        assert np.isfinite(noise_weights(Z, NUMBERS, beta)).all()
