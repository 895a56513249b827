"""The network of a mean."""

import numpy as np
import pytest

from luthier.models import smooth_net
from luthier.models.smooth_net import fit_smooth_net


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    X, y = rng.random((20, 3)), rng.standard_normal(20)
    weights = []
    for fan, out in ((3, 5), (5, 4), (4, 1)):
        weights += [rng.standard_normal((fan, out)), rng.standard_normal(out)]
    for weight, gradient in zip(weights, smooth_net._gradients(weights, X, y), strict=True):
        for place in np.ndindex(weight.shape):
            kept, ends = weight[place], []
            for step in (1e-6, -1e-6):
                weight[place] = kept + step
                ends.append(smooth_net._loss(weights, X, y))
            weight[place] = kept
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_the_mean_is_learnt_below_the_noise():
    rng = np.random.default_rng(1)
    X = rng.random((400, 2))
    y = np.sin(5 * X[:, 0]) + 0.3 * rng.standard_normal(400)
    net = fit_smooth_net(X, y, np.random.default_rng(0))
    at = rng.random((2000, 2))
    mean = net.predict(at)
    assert np.sqrt(np.mean((mean - np.sin(5 * at[:, 0])) ** 2)) < 0.15
    np.testing.assert_array_equal(fit_smooth_net(X, y, np.random.default_rng(0)).predict(at), mean)


def test_a_single_point():
    net = fit_smooth_net(np.array([[0.2, 0.4]]), np.array([1.0]), np.random.default_rng(0))
    assert net.predict(np.array([[0.2, 0.4]])) == pytest.approx([1.0], abs=0.05)
