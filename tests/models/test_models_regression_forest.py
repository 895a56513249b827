"""The forest as a normal prediction: its mean and its variance, by hand and against brute force."""

import numpy as np
import pytest

from luthier.models.forest import Forest
from luthier.models.regression_forest import FLOOR, RegressionForest, fit_forest, roughness


def _data(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, np.sin(5 * X[:, 0]) + X[:, 1], rng


def _forest(*stumps):
    """Trees of one split on the only feature, roots first."""
    t = len(stumps)
    feature = np.zeros(3 * t, dtype=np.int32)
    threshold = np.full(3 * t, np.inf, dtype=np.float32)
    child = np.arange(3 * t, dtype=np.int32)
    mean, variance = np.zeros(3 * t), np.zeros(3 * t)
    for i, (at, left, right) in enumerate(stumps):
        threshold[i], child[i] = at, t + 2 * i
        (mean[t + 2 * i], variance[t + 2 * i]), (mean[t + 2 * i + 1], variance[t + 2 * i + 1]) = left, right
    inside = np.ones((t, 1), dtype=bool)
    forest = Forest(feature, threshold, child, np.zeros(3 * t, dtype=np.int32), inside, 1)
    return RegressionForest(forest, mean, variance)


def test_variance_of_a_hand_made_forest():
    """At 0.3 the trees say 1 (variance 0.5), 2 (0.25) and 6 (0): mean 3, variance 14/3 between and 0.25 inside."""
    forest = _forest((0.5, (1.0, 0.5), (9.0, 0.0)), (0.4, (2.0, 0.25), (9.0, 0.0)), (0.2, (9.0, 0.0), (6.0, 0.0)))
    mean, sd = forest.predict(np.array([[0.3], [0.9]]))
    assert mean == pytest.approx([3.0, 8.0])
    assert sd**2 == pytest.approx([14 / 3 + 0.25, 2.0])  # at 0.9: 9, 9 and 6


def test_leaf_statistics_equal_brute_force():
    X, y, rng = _data()
    forest = fit_forest(X, y, rng, trees=5, leaf=4)
    new = rng.random((20, 3))
    at, seen = forest.forest.leaves(new), forest.forest.leaves(X)
    means = np.array([[y[seen[t] == at[t, i]].mean() for i in range(20)] for t in range(5)])
    inside = np.array([[y[seen[t] == at[t, i]].var() for i in range(20)] for t in range(5)])
    assert forest.means(new) == pytest.approx(means)
    mean, sd = forest.predict(new)
    assert mean == pytest.approx(means.mean(axis=0))
    assert sd == pytest.approx(np.sqrt(means.var(axis=0) + inside.mean(axis=0)))
    assert inside.max() > 0


def test_every_tree_goes_through_every_point():
    X, y, rng = _data()
    mean, sd = fit_forest(X, y, rng, trees=16).predict(X)
    assert mean == pytest.approx(y)
    assert (sd == FLOOR).all()


def test_doubt_grows_away_from_the_points():
    X = np.array([[0.0], [0.1], [0.9], [1.0]])
    forest = fit_forest(X, np.array([0.0, 0.5, -0.5, 1.0]), np.random.default_rng(0), trees=200)
    _, sd = forest.predict(np.array([[0.1], [0.2], [0.5]]))
    assert sd[0] < sd[1] < sd[2]


def test_a_single_point_is_believed():
    forest = fit_forest(np.array([[0.3]]), np.array([2.0]), np.random.default_rng(0), trees=3)
    mean, sd = forest.predict(np.array([[0.9]]))
    assert (mean[0], sd[0]) == (2.0, FLOOR)


def test_large_tables_are_thinned():
    X, y, rng = _data(900)
    assert fit_forest(X, y, rng, trees=3, most=100).forest.inside.sum(axis=1).tolist() == [100] * 3


def test_draws_have_the_trees_mean_and_covariance():
    X, y, rng = _data()
    forest = fit_forest(X, y, rng, trees=30)
    new = rng.random((6, 3))
    draws = np.array([forest.draw(new, rng.standard_normal(30)) for _ in range(3000)])
    means = forest.means(new)
    error = means.std() / np.sqrt(3000)
    assert draws.mean(axis=0) == pytest.approx(means.mean(axis=0), abs=5 * error)
    assert np.cov(draws.T) == pytest.approx(np.cov(means.T, bias=True), abs=0.1 * means.var(axis=0).max())


def test_a_draw_leaves_the_range_of_what_was_seen():
    X, y, rng = _data()
    forest = fit_forest(X, y, rng, trees=30)
    lowest = min(forest.draw(rng.random((300, 3)), rng.standard_normal(30)).min() for _ in range(20))
    assert lowest < y.min()


def test_roughness_by_hand():
    """Three pairs on a line; the five points with the lowest means differ by 1, 1, 3, 3 and 2 from their neighbours."""
    X = np.array([[0.0], [0.1], [1.0], [1.1], [2.0], [2.1]])
    y = np.array([0.0, 1.0, 4.0, 7.0, 10.0, 8.0])
    width = 5.5 - 4.0  # median less the third lowest
    found = roughness(X, y, np.array([0.0, 0.0, 1.0, 1.0, 5.0, 9.0]))
    assert found == pytest.approx(2.0 / width / (0.6745 * 2**0.5))
    assert roughness(X, np.ones(6), np.ones(6)) == 0.0


def test_roughness_is_the_noise_when_points_lie_close():
    rng = np.random.default_rng(0)
    X = rng.random((3000, 1))
    slope = 10 * X[:, 0]
    y = slope + 0.5 * rng.standard_normal(3000)
    assert roughness(X, y, slope) == pytest.approx(0.5 / (np.median(y) - np.sort(y)[2]), rel=0.1)
    assert roughness(X, slope, slope) < 0.02
    twice = np.concatenate([X[:50], X[:50]])  # a point that was measured twice is its own neighbour
    assert roughness(twice, np.concatenate([slope[:50]] * 2), np.concatenate([slope[:50]] * 2)) == 0.0
