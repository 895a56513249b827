"""The network with a mean and a standard deviation."""

import numpy as np
import pytest

from luthier.models import normal_net
from luthier.models.normal_net import fit_normal_net


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    X, y = rng.random((20, 3)), rng.standard_normal(20)
    weights = []
    for fan, out in ((3, 5), (5, 4), (4, 2)):
        weights += [rng.standard_normal((fan, out)), rng.standard_normal(out)]
    for weight, gradient in zip(weights, normal_net._gradients(weights, X, y), strict=True):
        for place in np.ndindex(weight.shape):
            kept, ends = weight[place], []
            for step in (1e-6, -1e-6):
                weight[place] = kept + step
                ends.append(normal_net._loss(normal_net._forward(weights, X)[-1], y))
            weight[place] = kept
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_mean_and_spread_are_learnt():
    rng = np.random.default_rng(1)
    X = rng.random((400, 2))
    y = np.sin(5 * X[:, 0]) + (0.05 + 0.5 * X[:, 1]) * rng.standard_normal(400)
    net = fit_normal_net(X, y, np.random.default_rng(0))
    at = rng.random((2000, 2))
    mean, sd = net.predict(at)
    assert np.sqrt(np.mean((mean - np.sin(5 * at[:, 0])) ** 2)) < 0.15
    assert np.corrcoef(sd, 0.05 + 0.5 * at[:, 1])[0, 1] > 0.9
    again = fit_normal_net(X, y, np.random.default_rng(0)).predict(at)
    np.testing.assert_array_equal(again[0], mean)


def test_few_points_widen_what_it_says():
    """Forty points of noise in six dimensions: it overfits, and the held-out tenth tells."""
    rng = np.random.default_rng(2)
    X, y = rng.random((40, 6)), rng.standard_normal(40)
    net = fit_normal_net(X, y, np.random.default_rng(0))
    mean, sd = net.predict(rng.random((1000, 6)))
    error = np.std((rng.standard_normal(1000) - mean) / sd)
    assert net.widening > 1.5
    assert error < 4.0 < error * net.widening


def test_a_single_point():
    net = fit_normal_net(np.array([[0.2, 0.4]]), np.array([1.0]), np.random.default_rng(0))
    assert net.widening == 1.0
    assert net.predict(np.array([[0.2, 0.4]]))[0] == pytest.approx([1.0], abs=0.05)
