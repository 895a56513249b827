"""The forest: its partition, its draws, its edge cases."""

import numpy as np
import pytest

from luthier.models.forest import MOST_ROWS, grow


def _data(n, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, p))
    return X, np.sin(6 * X[:, 0]) + X[:, 1], rng


def _walk(forest, tree, row):
    """One row through one tree, the slow way."""
    node = tree
    while forest.child[node] != node:
        right = np.float32(row[forest.feature[node]]) > forest.threshold[node]
        node = forest.child[node] + right
    return forest.member[node]


def test_members_equal_a_walk_by_hand():
    X, y, rng = _data(60)
    forest = grow(X, y, rng, trees=7)
    new = rng.random((25, 4))
    found = forest.members(new)
    assert found.shape == (7, 25)
    assert [[_walk(forest, tree, row) for row in new] for tree in range(7)] == found.tolist()


def test_each_tree_recalls_what_it_saw_and_only_that():
    X, y, rng = _data(80)
    forest = grow(X, y, rng, trees=30)
    found = forest.members(X)
    assert (found == np.arange(80))[forest.inside].all()  # leaves of one row: its own member
    assert forest.inside.sum(axis=1).tolist() == [int(np.ceil((1 - np.exp(-1)) * 80))] * 30
    for tree in range(30):
        assert forest.inside[tree, found[tree]].all()


def test_leaves_hold_enough_rows():
    X, y, rng = _data(100)
    forest = grow(X, y, rng, trees=10, leaf=5)
    for tree in range(10):
        seen = X[forest.inside[tree]]
        leaves = np.unique([_walk(forest, tree, row) for row in seen], return_counts=True)[1]
        assert leaves.min() >= 5


def test_members_of_a_leaf_are_drawn_evenly():
    y = np.array([0.0, 1.0, 2.0, 3.0])
    forest = grow(np.zeros((4, 1)), y, np.random.default_rng(0), trees=4000)
    counts = np.bincount(forest.members(np.zeros((1, 1)))[:, 0], minlength=4)
    assert counts.sum() == 4000
    assert ((counts - 1000) ** 2 / 1000).sum() < 16.3  # chi-square, 3 degrees of freedom, 0.1 %


def test_cost_levels_off_with_many_rows():
    X, y, rng = _data(1000)
    assert grow(X, y, rng, trees=3).inside.sum(axis=1).tolist() == [MOST_ROWS] * 3


@pytest.mark.parametrize(("n", "p"), [(1, 3), (2, 1), (3, 0), (5, 2)])
def test_small_and_featureless_data(n, p):
    rng = np.random.default_rng(0)
    forest = grow(rng.random((n, p)), rng.random(n), rng, trees=9)
    assert forest.members(rng.random((4, p))).max() < n


def test_constant_values_make_stumps():
    X, _, rng = _data(20)
    assert len(grow(X, np.full(20, 3.0), rng, trees=5).child) == 5


def test_learns_a_step():
    X, _, rng = _data(200)
    y = (X[:, 2] > 0.5).astype(float)
    new = rng.random((500, 4))
    predicted = y[grow(X, y, rng, trees=50).members(new)].mean(axis=0)
    assert np.mean((predicted > 0.5) == (new[:, 2] > 0.5)) > 0.93


def test_neighbouring_floats_are_not_split_apart_for_ever():
    X = np.array([[0.5], [0.5 + 1e-12], [0.5 + 2e-12]])  # one value in single precision
    forest = grow(X, np.array([0.0, 1.0, 2.0]), np.random.default_rng(0), trees=4)
    assert forest.depth == 0


def test_a_tree_may_see_every_row():
    X, y, rng = _data(40)
    forest = grow(X, y, rng, trees=6, share=1.0)
    assert forest.inside.all()
    assert (forest.members(X) == np.arange(40)).all()
    both = grow(X[:2], y[:2], rng, trees=6)  # the share of two rows is two rows
    assert both.inside.all()
    assert grow(X, y, rng, trees=6, share=1.0, most=9).inside.sum(axis=1).tolist() == [9] * 6


def test_leaves_are_nodes_that_hold_their_members():
    X, y, rng = _data(50)
    forest = grow(X, y, rng, trees=4)
    found = forest.leaves(X)
    assert (forest.child[found] == found).all()
    assert (forest.member[found] == forest.members(X)).all()
