"""Halton sequence."""

import numpy as np

import luthier as lu
from luthier.base.records import Objective, Observation
from luthier.base.registry import load
from luthier.space.problem import Problem


def _make(space, seed=0):
    return load("searcher", "halton")(Problem(space, (Objective("loss"),)), seed=seed)


def test_stretches_of_powers_of_the_prime_hold_one_point_a_cell():
    """Radical inverses, digits permuted or not: base 2, 3 and 5 in turn."""
    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(3)})
    points = np.array([list(c.values()) for c in _make(space).ask(1000, k=0)])
    for column, (prime, cells) in enumerate(((2, 256), (3, 243), (5, 125))):
        for first in (0, cells, 2 * cells):
            level = (points[first : first + cells, column] * cells).astype(int)
            assert sorted(level) == list(range(cells)), f"base {prime}"


def test_pairs_of_coordinates_hold_their_exact_share():
    points = np.array([list(c.values()) for c in _make(lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))).ask(72, k=0)])
    cell = (points[:, 0] * 8).astype(int) * 9 + (points[:, 1] * 9).astype(int)
    assert np.bincount(cell, minlength=72).tolist() == [1] * 72


def test_fills_more_evenly_than_random():
    from scipy.stats import qmc

    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)})

    def spread(name, seed):
        searcher = load("searcher", name)(Problem(space, (Objective("loss"),)), seed=seed)
        return qmc.discrepancy(np.array([list(c.values()) for c in searcher.ask(100, k=0)]))

    assert all(spread("halton", seed) < spread("random", seed) for seed in range(10))


def test_point_k_needs_no_history():
    space = lu.Space(x=lu.Float(1e-3, 1, log=True), c=lu.Choice("a", "b", "c"))
    whole = _make(space).ask(600, k=0)
    assert [_make(space).ask(k=k)[0] for k in (599, 0, 256, 255)] == [whole[k] for k in (599, 0, 256, 255)]
    assert _make(space, 1).ask(5, k=0) != whole[:5]


def test_inactive_hyperparameters_have_their_own_dimension():
    domains = {"c": lu.Choice("a", "b"), "x": lu.Float(0, 1)}
    plain = _make(lu.Space(**domains, y=lu.Float(0, 1))).ask(32, k=0)
    conditional = _make(lu.Space(**domains, y=lu.Float(0, 1, when=("c", "a")))).ask(32, k=0)
    assert [{**c} for c in conditional] == [{n: v for n, v in c.items() if n != "y" or c["c"] == "a"} for c in plain]


def test_finite_space_is_used_up_and_the_users_trials_stepped_over():
    space = lu.Space(a=lu.Int(1, 8), c=lu.Choice("x", "y"), forbid=[{"a": 8, "c": "y"}])
    order = _make(space).ask(100, k=0)
    assert len(order) == len(set(order)) == 15
    searcher = _make(space)
    searcher.tell([Observation(0, order[3], None, (1.0,))])
    assert searcher.ask(k=3) == [order[4]]
    assert set(searcher.ask(100, k=1)) == set(order) - {order[3]}
