"""The Gaussian process on plain arrays: against dense algebra, finite differences and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from luthier.models import gp as module
from luthier.models.gp import Hyper, condition, fit_hyper, matern, matern_slope
from luthier.models.warp import WARPS, warp_values


def _data(n=25, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.random((n, 3))
    Z[:, 2] = rng.integers(3, size=n)
    y = np.sin(4 * Z[:, 0]) + Z[:, 1] ** 2 + 0.4 * Z[:, 2] + 0.05 * rng.normal(size=n)
    return Z, (y - y.mean()) / y.std()


CATEGORICAL = np.array([False, False, True])
HYPER = Hyper(np.array([0.7, 1.3, 1.1]), 1.4, 0.02)


def test_kernel_by_hand():
    """At scaled distance 1 / sqrt(5): (1 + 1 + 1/3) / e times the signal."""
    assert matern(np.array([0.2]), 3.0)[0] == pytest.approx(3.0 * (7 / 3) * np.exp(-1))
    assert matern_slope(np.array([0.2]), 3.0)[0] == pytest.approx(-5 / 6 * 3.0 * 2 * np.exp(-1))


def test_posterior_equals_dense_algebra():
    Z, y = _data()
    X = _data(7, seed=1)[0]
    gp = condition(Z, y, HYPER, CATEGORICAL)

    def covariance(A, B):
        squared = sum(
            ((A[:, None, j] != B[None, :, j]) if CATEGORICAL[j] else (A[:, None, j] - B[None, :, j]) ** 2)
            / HYPER.lengths[j] ** 2
            for j in range(3)
        )
        r = np.sqrt(5 * squared)
        return HYPER.signal * (1 + r + r**2 / 3) * np.exp(-r)

    C = covariance(Z, Z) + (HYPER.noise + 1e-9 * HYPER.signal) * np.eye(len(y))
    inverse = np.linalg.inv(C)
    mean = (inverse.sum(0) @ y) / (inverse.sum() + 1)
    k = covariance(Z, X)
    found_mean, found_sd = gp.predict(X)
    assert found_mean == pytest.approx(mean + k.T @ inverse @ (y - mean), abs=1e-8)
    dense = covariance(X, X) - k.T @ inverse @ k
    assert found_sd**2 == pytest.approx(np.diag(dense), abs=1e-8)
    assert gp.joint(X)[1] == pytest.approx(dense, abs=1e-8)


@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_marginal_likelihood_equals_dense_algebra(shared):
    """Half the Mahalanobis distance, half the log determinant, and the priors, from the definitions."""
    Z, y = _data()
    n = len(y)
    weights = np.linspace(0.5, 1.5, n)
    loss = module._Loss(Z, y, CATEGORICAL, weights, shared)
    theta = np.array([-0.4, 0.3, 0.1, 0.2, -3.0, 0.3, -0.2, 0.1, 0.4])
    moved = Z.copy()
    for j, (a, b) in enumerate(((0.3, 0.1), (-0.2, 0.4))):  # numbers are bent, the category is not
        moved[:, j] = 1 - (1 - np.clip(Z[:, j], module.EDGE, 1 - module.EDGE) ** np.exp(a)) ** np.exp(b)
    squared = np.zeros((n, n))
    for j in range(3):
        apart = moved[:, None, j] - moved[None, :, j]
        squared += (apart != 0 if CATEGORICAL[j] else apart**2) / np.exp(theta[j]) ** 2
    r, signal, noise = np.sqrt(5 * squared), np.exp(0.2), np.exp(-3.0)
    C = signal * (1 + r + r**2 / 3) * np.exp(-r) + np.diag(noise * weights + 1e-9 * signal)
    inverse = np.linalg.inv(C)
    mean = inverse.sum(0) @ y / (inverse.sum() + module.MEAN_WEIGHT)
    wanted = (
        0.5 * (y - mean) @ inverse @ (y - mean) + 0.5 * np.linalg.slogdet(C)[1] + 0.5 * module.MEAN_WEIGHT * mean**2
    )
    length = module.LENGTH[0] + 0.5 * np.log(3)
    priors = [(*module.LENGTH, 3, length), (*module.SIGNAL, 1, module.SIGNAL[0]), (*module.NOISE, 1, module.NOISE[0])]
    centre = np.concatenate([np.full(count, middle) for _, _, count, middle in priors] + [np.zeros(4)])
    spread = np.concatenate([np.full(count, sd) for _, sd, count, _ in priors] + [np.full(4, module.BEND_SPREAD)])
    together = np.diag(spread**2)
    together[:3, :3] += shared**2  # a factor that all length scales share
    wanted += 0.5 * (theta - centre) @ np.linalg.inv(together) @ (theta - centre)
    assert loss(theta)[0] == pytest.approx(wanted, abs=1e-8)


def test_a_covariance_without_a_factor_is_worse_than_any_other():
    Z, y = _data()
    loss = module._Loss(Z, y, CATEGORICAL, -np.ones(len(y)))  # noise that is subtracted
    value, gradient = loss(np.array([-0.4, 0.3, 0.1, 0.2, 3.0, 0.0, 0.0, 0.0, 0.0]))
    assert value == 1e10
    assert (gradient == 0).all()


@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_gradient_of_the_marginal_likelihood(shared):
    Z, y = _data()
    weights = np.linspace(0.5, 1.5, len(y))
    loss = module._Loss(Z, y, CATEGORICAL, weights, shared)
    theta = np.array([-0.4, 0.3, 0.1, 0.2, -3.0, 0.3, -0.2, 0.1, 0.4])
    assert loss(theta)[1] == pytest.approx(approx_fprime(theta, lambda t: loss(t)[0], 1e-6), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("bends", [np.zeros((3, 2)), np.array([[0.5, -0.3], [-0.4, 0.2], [0.0, 0.0]])])
def test_gradient_of_the_prediction(bends):
    Z, y = _data()
    gp = condition(Z, y, replace(HYPER, bends=bends), CATEGORICAL)
    x = np.array([0.31, 0.72, 1.0])
    mean, sd, by_mean, by_sd = gp.slopes(x)
    assert (mean, sd) == pytest.approx(tuple(float(part[0]) for part in gp.predict(x[None])))
    for j in range(2):
        step = np.eye(3)[j] * 1e-6
        (up, up_sd), (down, down_sd) = gp.predict((x + step)[None]), gp.predict((x - step)[None])
        assert by_mean[j] == pytest.approx(float(up[0] - down[0]) / 2e-6, rel=1e-4)
        assert by_sd[j] == pytest.approx(float(up_sd[0] - down_sd[0]) / 2e-6, rel=1e-3)
    assert by_mean[2] == by_sd[2] == 0.0


def test_left_out_equals_fitting_without():
    Z, y = _data(12)
    gp = condition(Z, y, HYPER, CATEGORICAL)
    mean, variance = gp.left_out()
    C = gp.covariance(Z, Z) + (HYPER.noise + 1e-9 * HYPER.signal) * np.eye(12)
    rest = np.delete(np.arange(12), 3)
    k = C[3, rest]
    solved = np.linalg.solve(C[np.ix_(rest, rest)], np.stack([y[rest] - gp.mean, k], axis=1))
    assert mean[3] == pytest.approx(gp.mean + k @ solved[:, 0], abs=1e-8)
    assert variance[3] == pytest.approx(C[3, 3] - k @ solved[:, 1], abs=1e-8)


def test_fit_finds_what_matters_and_the_noise():
    rng = np.random.default_rng(3)
    Z = rng.random((80, 3))
    y = np.sin(6 * Z[:, 0]) + 0.3 * rng.normal(size=80)
    spread = y.std()
    hyper = fit_hyper(Z, (y - y.mean()) / spread, np.zeros(3, dtype=bool))
    assert hyper.lengths[0] < 0.3 * min(hyper.lengths[1:])
    assert np.sqrt(hyper.noise) * spread == pytest.approx(0.3, rel=0.3)


def test_a_shared_factor_lets_few_values_say_that_all_is_rough():
    """A bump in six dimensions: without the factor each length scale has to be surprising by itself."""
    rng = np.random.default_rng(1)
    Z = rng.random((30, 6))
    y = -np.exp(-((Z - 0.4) ** 2).sum(axis=1) / (2 * 0.3**2))
    y = (y - y.mean()) / y.std()
    alone, together = (fit_hyper(Z, y, np.zeros(6, dtype=bool), shared=s) for s in (0.0, module.SHARED))
    assert np.median(together.lengths) < 0.6 * np.median(alone.lengths)


def test_bends_follow_a_function_that_is_wild_at_one_end():
    """On sin(12 x^3) the numbers are spread out towards 1."""
    x = np.random.default_rng(0).random((60, 1))
    y = np.sin(12 * x[:, 0] ** 3)
    y = (y - y.mean()) / y.std()
    straight, bent = (fit_hyper(x, y, np.zeros(1, dtype=bool), bent=choice) for choice in (False, True))
    assert bent.loss < straight.loss - 5
    moved = module.bend(np.array([[0.0], [0.5], [1.0]]), bent.bends, np.zeros(1, dtype=bool))[:, 0]
    assert moved[1] < 0.4
    assert moved[[0, 2]] == pytest.approx([0, 1], abs=0.01)


def test_more_dimensions_ask_for_longer_lengths():
    """Without a signal lengths stay near the prior, whose median grows with the root of the dimension."""
    rng = np.random.default_rng(0)
    found = [
        np.median(fit_hyper(rng.random((10, p)), rng.normal(size=10), np.zeros(p, dtype=bool)).lengths) for p in (2, 50)
    ]
    assert found[1] > 3 * found[0]


@pytest.mark.parametrize("points", ["all the same", "two", "one"])
def test_singular_covariances_are_survived(points):
    n = {"all the same": 30, "two": 30, "one": 1}[points]
    Z = np.full((n, 3), 0.5)
    if points == "two":
        Z[::2] = 0.25
    y = np.linspace(-1, 1, n)
    gp = condition(Z, y, Hyper(np.full(3, 100.0), 50.0, 1e-7), np.zeros(3, dtype=bool))
    mean, sd = gp.predict(np.array([[0.1, 0.9, 0.3]]))
    assert np.isfinite(mean).all()
    assert (sd > 0).all()
    assert np.isfinite(fit_hyper(Z, y, np.zeros(3, dtype=bool)).loss)


@pytest.mark.parametrize("how", WARPS)
def test_warps_keep_the_order_and_standardise(how):
    y = np.random.default_rng(0).lognormal(size=30)
    warped = warp_values(y, how)
    assert (np.argsort(warped) == np.argsort(y)).all()
    assert (warped.mean(), warped.std()) == pytest.approx((0, 1), abs=1e-9)
    assert not warp_values(np.full(4, 7.0), how).any()
    assert np.isfinite(warp_values(np.array([1e300, -1e300, 0.0]), how)).all()


def test_half_rank_keeps_good_values_apart_beside_the_largest_number():
    good = np.arange(1, 7) / 10
    for worst in (1e160, 1e200, 1.7e308):
        np.testing.assert_allclose(
            warp_values(np.append(good, worst), "half-rank"), warp_values(np.append(good, 1e3), "half-rank"), rtol=1e-9
        )


def test_half_rank_by_hand():
    """Median 2, spread of the better half sqrt(4/3); the two worse ones stand at the quantiles 0.625 and 0.875."""
    warped = warp_values(np.array([0.0, 2.0, 2.0, 3.0, 1e7]), "half-rank")
    spread = np.sqrt(4 / 3)
    plain = np.array([0.0, 2.0, 2.0, 2.0 + spread * 0.3186394, 2.0 + spread * 1.1503494])
    assert warped == pytest.approx((plain - plain.mean()) / plain.std(), rel=1e-6)
