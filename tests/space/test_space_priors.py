"""Priors: draws follow them, the encoding does not know them."""

import math

import numpy as np
import pytest
from scipy import stats

from luthier.space import Beta, Choice, Float, Int, Normal, Ordinal, Space


def draws(domain, n=20_000):
    return np.array([config["x"] for config in Space(x=domain).sample(n, np.random.default_rng(0))])


def distance(values, distribution):
    return stats.kstest(values, distribution.cdf).statistic


# 0.0138 is the 99.9 % quantile of the Kolmogorov-Smirnov distance for 20 000 draws
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (2.0, 0.3), (-3.0, 1.0), (4.5, 0.5), (-5.0, 0.4), (1.0, 0.001)])
def test_normal_is_cut_off_at_the_bounds(mean, sd):
    low, high = -3.0, 3.0
    exact = stats.truncnorm((low - mean) / sd, (high - mean) / sd, loc=mean, scale=sd)
    assert distance(draws(Float(low, high, prior=Normal(mean, sd))), exact) < 0.0138


def test_normal_on_a_logarithmic_range_is_normal_in_the_logarithm():
    values = draws(Float(1e-5, 1e-1, log=True, prior=Normal(1e-3, 1.0)))
    low, high = (math.log(bound / 1e-3) for bound in (1e-5, 1e-1))
    assert distance(np.log(values / 1e-3), stats.truncnorm(low, high)) < 0.0138


def test_beta():
    assert distance(draws(Float(2, 4, prior=Beta(2, 5))), stats.beta(2, 5, loc=2, scale=2)) < 0.0138


def test_integers_collect_the_mass_of_their_cell():
    values = draws(Int(0, 10, prior=Normal(3, 1.5)))
    exact = stats.truncnorm((-0.5 - 3) / 1.5, (10.5 - 3) / 1.5, loc=3, scale=1.5)
    for value in range(11):
        share = exact.cdf(value + 0.5) - exact.cdf(value - 0.5)
        assert (values == value).mean() == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("kind", [Choice, Ordinal])
def test_weights(kind):
    values = draws(kind("a", "b", "c", prior=[1, 2, 7]))
    assert [(values == value).mean() for value in "abc"] == pytest.approx([0.1, 0.2, 0.7], abs=0.015)


def test_the_encoding_does_not_change():
    plain = Space(x=Float(0, 1), y=Choice("a", "b"))
    prior = Space(x=Float(0, 1, prior=Normal(0.2, 0.1)), y=Choice("a", "b", prior=[1, 9]))
    U = np.random.default_rng(0).random((50, 2))
    assert plain.decode(U) == prior.decode(U)
    assert np.array_equal(plain.snap(U), prior.snap(U))


def test_warp_lets_quasi_random_points_follow_the_prior():
    space = Space(x=Float(0, 1, prior=Normal(0.5, 0.1)), y=Float(0, 1), z=Choice("a", "b", prior=[1, 3]))
    U = np.column_stack([(np.arange(1000) + 0.5) / 1000] * 3)
    warped = space.warp(U)
    assert np.quantile(warped[:, 0], [0.1587, 0.5, 0.8413]) == pytest.approx([0.4, 0.5, 0.6], abs=2e-3)
    assert np.array_equal(warped[:, 1], U[:, 1])
    assert sum(config["z"] == "a" for config in space.decode(warped)) == 250
    assert (np.diff(warped, axis=0) >= 0).all()
    assert ((warped >= 0) & (warped <= 1)).all()
    assert np.array_equal(Space(x=Int(1, 2)).warp(U[:, :1]), U[:, :1])
