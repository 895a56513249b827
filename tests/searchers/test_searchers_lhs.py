"""Latin hypercubes."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Objective, Observation
from luthier.base.registry import load
from luthier.space.problem import Problem


def _make(space, seed=0, **own):
    return load("searcher", "lhs")(Problem(space, (Objective("loss"),)), seed=seed, **own)


def _box(dimensions=3):
    return lu.Space({f"x{i}": lu.Float(0, 1) for i in range(dimensions)})


def _points(searcher, n, k=0):
    return np.array([list(c.values()) for c in searcher.ask(n, k=k)])


def test_every_design_is_a_latin_hypercube_of_its_own():
    points = _points(_make(_box(), size=10), 30)
    designs = points.reshape(3, 10, 3)
    for design in designs:
        assert np.sort((design * 10).astype(int), axis=0).tolist() == [[i] * 3 for i in range(10)]
    assert len(np.unique(points)) == points.size
    assert (designs[0] * 10).astype(int).tolist() != (designs[1] * 10).astype(int).tolist()


def test_point_k_needs_no_history():
    space = lu.Space(x=lu.Float(1e-3, 1, log=True), c=lu.Choice("a", "b", "c"))
    whole = _make(space).ask(200, k=0)
    assert [_make(space).ask(k=k)[0] for k in (199, 0, 64, 63)] == [whole[k] for k in (199, 0, 64, 63)]
    assert _make(space, 1).ask(5, k=0) != whole[:5]
    assert _make(space, size=65).ask(5, k=0) != whole[:5]


def test_strata_are_quantiles_of_the_prior():
    space = lu.Space(x=lu.Float(0, 1, prior=lu.Normal(0.5, 0.1)), c=lu.Choice("a", "b", prior=(3, 1)))
    found = _make(space, size=40).ask(40, k=0)
    assert sum(c["c"] == "a" for c in found) == 30
    assert sum(c["x"] < 0.5 for c in found) == 20
    assert sum(abs(c["x"] - 0.5) < 0.1 for c in found) in (27, 28)  # 68.3 % of 40


def test_each_choice_has_its_exact_share():
    found = _make(lu.Space(c=lu.Choice("a", "b", "c", "d"), x=lu.Float(0, 1)), size=32).ask(32, k=0)
    assert sorted(c["c"] for c in found) == sorted("abcd" * 8)


def test_forbidden_points_are_left_out_of_the_numbering():
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1), forbid=[("x", ">", "y")])
    found = _make(space).ask(100, k=0)
    assert all(c["x"] <= c["y"] for c in found)
    assert len(set(found)) == 100


def test_a_space_that_the_designs_hardly_hit_still_has_different_points():
    """Of 40 designs of one point none is allowed now and then: random draws follow, new ones each time."""
    space = lu.Space(x=lu.Float(0, 1, default=0), y=lu.Float(0, 1), forbid=[("x", ">", 0.01)])
    found = _make(space, size=1).ask(600, k=0)
    assert len(set(found)) == 600


def test_finite_space_is_used_up_and_the_users_trials_stepped_over():
    space = lu.Space(a=lu.Int(1, 8), c=lu.Choice("x", "y"))
    order = _make(space).ask(100, k=0)
    assert len(order) == len(set(order)) == 16
    searcher = _make(space)
    searcher.tell([Observation(0, order[3], None, (1.0,))])
    assert searcher.ask(k=3) == [order[4]]
    assert set(searcher.ask(100, k=1)) == set(order) - {order[3]}


def test_size_below_one_is_refused():
    with pytest.raises(ArgumentError, match="size=0"):
        _make(_box(), size=0)
