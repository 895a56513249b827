"""Cholesky factors of covariances that may be singular, and what a process makes of them: by hand."""

import math

import numpy as np
import pytest

from luthier.models.factors import JITTERS, factored, solved
from luthier.models.gp import Hyper, condition


def test_nothing_is_added_where_there_is_a_factor():
    factor, jitter = factored(np.array([[4.0, 2.0], [2.0, 2.0]]), 3.0)
    assert jitter == 0.0
    assert factor == pytest.approx(np.array([[2.0, 0.0], [1.0, 1.0]]))


def test_as_little_is_added_as_it_takes():
    """Two measurements of one point: the first addition, 1e-8 of the signal, is enough."""
    factor, jitter = factored(np.ones((2, 2)), 2.0)
    assert jitter == 1e-8
    assert factor[0, 0] ** 2 - 1.0 == pytest.approx(2e-8, rel=1e-6)
    # a correlation above 1 takes more than 1e-8 and less than 1e-6 of the signal; what was tried before stays
    factor, jitter = factored(np.array([[1.0, 1.0 + 1e-6], [1.0 + 1e-6, 1.0]]), 2.0)
    assert jitter == 1e-6
    assert factor[0, 0] ** 2 - 1.0 == pytest.approx(2.02e-6, rel=1e-6)


def test_the_diagonal_alone_is_left_where_nothing_helps():
    factor, jitter = factored(np.array([[1.0, -3.0], [-3.0, 4.0]]), 2.0)
    assert jitter == math.inf
    assert factor == pytest.approx(np.diag(np.sqrt([1.0 + 2.0 * sum(JITTERS), 4.0 + 2.0 * sum(JITTERS)])))


def test_mean_and_weights_by_hand():
    """C = [[4, 2], [2, 2]], its inverse [[1/2, -1/2], [-1/2, 1]]; the mean is 3/2 / (1/2 + 1)."""
    mean, alpha = solved(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]))
    assert mean == pytest.approx(1.0)
    assert alpha == pytest.approx([-0.5, 1.5])


def test_one_measurement_with_four_times_the_noise_by_hand():
    """C = 1 + 4 / 2 = 3: the mean is 1 / (1/3 + 1) = 3/4, a third of what is left of 3 is believed."""
    gp = condition(
        np.array([[0.5]]), np.array([3.0]), Hyper(np.ones(1), 1.0, 0.5), np.zeros(1, dtype=bool), np.array([4.0])
    )
    mean, sd = gp.predict(np.array([[0.5]]))
    assert (gp.mean, mean[0], sd[0] ** 2) == pytest.approx((0.75, 1.5, 2 / 3))


def test_a_billionth_of_the_signal_is_on_every_diagonal():
    gp = condition(np.array([[0.5]]), np.array([1.0]), Hyper(np.ones(1), 1e6, 0.0), np.zeros(1, dtype=bool))
    assert gp.factor[0, 0] ** 2 - 1e6 == pytest.approx(1e-3, rel=1e-4)
