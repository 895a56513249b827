"""Sobol sequence."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import UnsupportedError
from luthier.base.records import Objective, Observation
from luthier.base.registry import load
from luthier.searchers.sobol import MOST_DIMENSIONS
from luthier.space.problem import Problem


def _make(space, seed=0):
    return load("searcher", "sobol")(Problem(space, (Objective("loss"),)), seed=seed)


def test_elementary_intervals_hold_their_exact_share():
    points = np.array([list(c.values()) for c in _make(lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))).ask(64, k=0)])
    for power in range(7):
        wide, high = 2**power, 2 ** (6 - power)
        cell = (points[:, 0] * wide).astype(int) * high + (points[:, 1] * high).astype(int)
        assert np.bincount(cell, minlength=64).tolist() == [1] * 64


def test_fills_more_evenly_than_random():
    from scipy.stats import qmc

    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)})

    def spread(name, seed):
        searcher = load("searcher", name)(Problem(space, (Objective("loss"),)), seed=seed)
        return qmc.discrepancy(np.array([list(c.values()) for c in searcher.ask(128, k=0)]))

    assert all(spread("sobol", seed) < spread("random", seed) for seed in range(10))


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


def test_follows_priors():
    space = lu.Space(c=lu.Choice("a", "b", prior=(3, 1)), x=lu.Float(0, 1))
    assert np.mean([c["c"] == "a" for c in _make(space).ask(256, k=0)]) == 0.75


def test_forbidden_points_are_left_out_of_the_numbering():
    space = lu.Space(x=lu.Int(1, 1000), y=lu.Int(1, 1000), forbid=[("x", ">", "y")])
    found = _make(space).ask(300, k=0)
    assert all(c["x"] <= c["y"] for c in found)
    assert len(set(found)) == 300
    assert _make(space).ask(k=299) == found[299:]


def test_users_configurations_are_stepped_over():
    space = lu.Space(a=lu.Int(1, 8))
    order = _make(space).ask(8, k=0)
    searcher = _make(space)
    searcher.tell([Observation(0, order[3], None, (1.0,))])
    assert searcher.ask(k=3) == [order[4]]
    assert searcher.ask(k=3, pending=[order[4], order[5]]) == [order[6]]
    assert set(searcher.ask(20, k=1)) == set(order) - {order[3]}


def test_too_many_dimensions(monkeypatch):
    monkeypatch.setattr("luthier.searchers.sobol.MOST_DIMENSIONS", 3)
    with pytest.raises(UnsupportedError) as caught:
        _make(lu.Space({f"x{i}": lu.Float(0, 1) for i in range(4)}))
    assert str(caught.value) == (
        "searcher 'sobol': the space has 4 dimensions. Allowed: at most 3. Use searcher='random'."
    )


def test_most_dimensions_are_those_of_scipy():
    from scipy.stats import qmc

    assert qmc.Sobol.MAXDIM == MOST_DIMENSIONS
