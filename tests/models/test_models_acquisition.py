"""Acquisition functions: against high-precision arithmetic, Monte Carlo, and by hand."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest

from luthier.base.pareto import hypervolume
from luthier.models.acquisition import ehvi, improvement, log_ei, log_feasible, log_improvement, log_pi

DRAWS = 1_000_000


def _exact_log_improvement(z):
    """log(phi(z) + z Phi(z)) for z < 0 in 60 digits, with Mills' ratio as 1/(x + 1/(x + 2/(x + ...)))."""
    getcontext().prec = 60
    x = -Decimal(z)
    tail = x
    for i in range(4000, 0, -1):
        tail = x + i / tail
    # 1 - x m(x) with m = 1 / tail
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    return float(-x * x / 2 - (2 * pi).ln() / 2 + (1 - x / tail).ln())


@pytest.mark.parametrize("z", [-1.0, -1.5, -3.0, -8.0, -30.0, -100.0, -299.9, -300.1, -1000.0, -1e6])
def test_far_tail(z):
    assert log_improvement(np.array([z]))[0] == pytest.approx(_exact_log_improvement(z), rel=1e-9, abs=2e-9)


def test_far_tail_by_hand():
    """At -30: -450 - log sqrt(2 pi) - 2 log 30 + log(1 - 3/900 + 15/810000 - 105/30^6)."""
    wanted = -450 - math.log(math.sqrt(2 * math.pi)) - 2 * math.log(30)
    wanted += math.log(1 - 3 / 900 + 15 / 810_000 - 105 / 30**6 + 945 / 30**8)
    assert log_improvement(np.array([-30.0]))[0] == pytest.approx(wanted, abs=1e-9)
    assert improvement(np.array([-40.0]))[0] == 0.0  # why logarithms are taken


def test_series_beyond_three_hundred_by_hand():
    """What -z^2/2 - log sqrt(2 pi) - 2 log |z| leaves is log(1 - 3/z^2 + 15/z^4)."""
    z = 300.5
    rest = log_improvement(np.array([-z]))[0] + z * z / 2 + math.log(math.sqrt(2 * math.pi)) + 2 * math.log(z)
    assert rest == pytest.approx(math.log1p(-3 / z**2 + 15 / z**4), abs=4e-11)  # 1/z^4 is 1.2e-10


def test_logarithm_agrees_with_the_plain_form_where_that_is_exact():
    z = np.linspace(-4, 8, 241)
    plain = np.log([t * 0.5 * math.erfc(-t / math.sqrt(2)) + math.exp(-t * t / 2) / math.sqrt(2 * math.pi) for t in z])
    assert log_improvement(z) == pytest.approx(plain, abs=1e-9)


def test_log_improvement_is_finite_and_increasing_over_all_forms():
    z = np.concatenate([-np.geomspace(1e8, 1e-3, 4000), np.linspace(0, 50, 200)])
    found = log_improvement(z)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(("mean", "sd", "best"), [(0.3, 1.0, 0.0), (-0.5, 0.2, -0.4), (2.0, 1.5, 0.5)])
def test_ei_and_pi_against_monte_carlo(mean, sd, best):
    draws = mean + sd * np.random.default_rng(0).standard_normal(DRAWS)
    gain, hit = np.maximum(best - draws, 0.0), draws < best
    ei = math.exp(log_ei(np.array([mean]), np.array([sd]), best)[0])
    pi = math.exp(log_pi(np.array([mean]), np.array([sd]), best)[0])
    assert ei == pytest.approx(gain.mean(), abs=3 * gain.std() / math.sqrt(DRAWS))
    assert pi == pytest.approx(hit.mean(), abs=3 * hit.std() / math.sqrt(DRAWS))


def test_ei_by_hand():
    """At the incumbent's own mean it is sd / sqrt(2 pi)."""
    assert math.exp(log_ei(np.array([1.0]), np.array([0.4]), 1.0)[0]) == pytest.approx(0.4 / math.sqrt(2 * math.pi))


def test_ei_takes_a_yardstick_for_each_point():
    mean, sd, best = np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0.5, -1.0])
    one_by_one = [log_ei(mean[i : i + 1], sd[i : i + 1], float(best[i]))[0] for i in range(2)]
    assert log_ei(mean, sd, best).tolist() == one_by_one


def test_feasibility_of_one_in_ten_to_the_forty():
    """Phi(-13.310923) is 1.0e-40: by the continued fraction of its tail."""
    getcontext().prec = 50
    x = Decimal("13.310923")
    tail = x
    for i in range(2000, 0, -1):
        tail = x + i / tail
    wanted = float(-x * x / 2 - Decimal(math.log(2 * math.pi)) / 2 - tail.ln())
    assert wanted == pytest.approx(-40 * math.log(10), abs=0.01)
    assert log_feasible(np.array([[13.310923]]), np.ones((1, 1)))[0] == pytest.approx(wanted, abs=1e-9)
    far = log_feasible(np.array([[1e4, 1e4]]), np.array([[1e-3, 1.0]]))
    assert np.isfinite(far).all()


def test_constrained_ei_against_monte_carlo():
    """The mean of improvement times an indicator of both constraints is the product of three factors."""
    rng = np.random.default_rng(1)
    mean, sd, best = 0.2, 0.7, 0.1
    limit, spread = np.array([[0.3, -0.5]]), np.array([[0.6, 1.0]])
    gain = np.maximum(best - (mean + sd * rng.standard_normal(DRAWS)), 0.0)
    holds = (limit + spread * rng.standard_normal((DRAWS, 2)) <= 0).all(axis=1)
    drawn = gain * holds
    found = math.exp(log_ei(np.array([mean]), np.array([sd]), best)[0] + log_feasible(limit, spread)[0])
    assert found == pytest.approx(drawn.mean(), abs=3 * drawn.std() / math.sqrt(DRAWS))


def test_certain_feasibility_changes_nothing():
    assert log_feasible(np.array([[-1.0, -50.0]]), np.full((1, 2), 1e-3))[0] == 0.0


def test_ehvi_of_an_empty_front_by_hand():
    """Nothing dominates: the area below the reference is the product of two expected improvements."""
    mean, sd, reference = np.array([[0.2, -0.3]]), np.array([[0.5, 1.1]]), np.array([1.0, 0.4])
    wanted = math.exp(sum(log_ei(mean[:, j], sd[:, j], reference[j])[0] for j in range(2)))
    assert ehvi(mean, sd, np.empty((0, 2)), reference)[0] == pytest.approx(wanted, rel=1e-12)


def test_ehvi_of_a_certain_point_is_its_area():
    front, reference = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), np.array([3.0, 3.0])
    found = ehvi(np.array([[0.5, 0.5]]), np.full((1, 2), 1e-9), front, reference)[0]
    grown = hypervolume(np.concatenate([front, [[0.5, 0.5]]]), reference) - hypervolume(front, reference)
    assert found == pytest.approx(grown, abs=1e-6)
    assert grown == pytest.approx(0.5 * 1.5 + 1.0 * 0.5)  # strips from 0.5 to 1 and from 1 to 2


def test_ehvi_against_monte_carlo():
    rng = np.random.default_rng(2)
    front, reference = np.array([[0.9, 0.1], [0.1, 0.8], [0.4, 0.45]]), np.array([1.1, 1.0])
    mean, sd = np.array([[0.35, 0.4], [0.9, 0.9]]), np.array([[0.2, 0.3], [0.5, 0.1]])
    found = ehvi(mean, sd, front, reference)
    for i in range(2):
        drawn = mean[i] + sd[i] * rng.standard_normal((DRAWS, 2))
        grown = _growth(drawn, front, reference)
        assert found[i] == pytest.approx(grown.mean(), abs=3 * grown.std() / math.sqrt(DRAWS))


def _growth(points, front, reference):
    """Area that each point adds, strip by strip."""
    order = np.argsort(front[:, 0])
    edges = np.concatenate([[-np.inf], front[order, 0], reference[:1]])
    tops = np.concatenate([reference[1:], front[order, 1]])
    grown = np.zeros(len(points))
    for left, right, top in zip(edges[:-1], edges[1:], tops, strict=True):
        width = np.maximum(right - np.maximum(points[:, 0], left), 0.0)
        grown += width * np.maximum(top - points[:, 1], 0.0)
    return grown


def test_growth_of_the_test_itself_is_the_hypervolume_difference():
    front, reference = np.array([[0.9, 0.1], [0.1, 0.8], [0.4, 0.45]]), np.array([1.1, 1.0])
    before = hypervolume(front, reference)
    for point in np.random.default_rng(3).random((20, 2)):
        after = hypervolume(np.concatenate([front, point[None]]), reference)
        assert _growth(point[None], front, reference)[0] == pytest.approx(after - before, abs=1e-12)
