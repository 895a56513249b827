"""Grid search."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import qmc

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Objective, Observation
from luthier.base.registry import load
from luthier.searchers import grid
from luthier.space import Beta
from luthier.space.problem import Problem


def _make(space, seed=0, **own):
    return load("searcher", "grid")(Problem(space, (Objective("loss"),)), seed=seed, **own)


def _all(space, **own):
    return _make(space, **own).ask(10_000, k=0)


def _column(space, **own):
    return sorted(c["x"] for c in _all(space, **own))


@pytest.mark.parametrize(("domain", "levels", "wanted"), [
    (lu.Float(0, 1), 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
    (lu.Float(1e-4, 1, log=True), 3, [1e-4, 1e-2, 1.0]),
    (lu.Float(0, 1), 1, [0.5]),
    (lu.Float(0, 1, default=0.3), 1, [0.5]),
    (lu.Int(1, 10), 5, list(range(1, 11))),  # at most twice as many: all of them
    (lu.Int(1, 10, log=True), 5, list(range(1, 11))),
    (lu.Int(0, 100), 5, [0, 25, 50, 75, 100]),
    (lu.Int(1, 2**20, log=True), 3, [1, 2**10, 2**20]),
    (lu.Float(0, 1, step=0.25), 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
    (lu.Choice(*"gfedcba"), 2, list("abcdefg")),
    (lu.Ordinal(1, 2, 4, 8, 16, 32, 64), 2, [1, 2, 4, 8, 16, 32, 64]),
    # half of the mass of this prior lies left of 0.206
    (lu.Float(0, 1, prior=Beta(1, 3)), 3, [0.0, pytest.approx(1 - 0.5 ** (1 / 3), abs=1e-3), 1.0]),
])  # fmt: skip
def test_values_of_a_hyperparameter(domain, levels, wanted):
    found = _column(lu.Space(x=domain), levels=levels)
    assert found == [w if isinstance(w, (str, int)) else pytest.approx(w) for w in wanted]


def test_every_combination_once_then_nothing():
    space = lu.Space(x=lu.Float(0, 1), c=lu.Choice("a", "b"), y=lu.Ordinal(1, 5, 9))
    found = [(c["x"], c["c"], c["y"]) for c in _all(space, levels=3)]
    assert len(found) == 18
    assert set(found) == set(itertools.product((0.0, 0.5, 1.0), "ab", (1, 5, 9)))
    searcher = _make(space, levels=3)
    searcher.tell([Observation(k, c, None, (1.0,)) for k, c in enumerate(_all(space, levels=3))])
    assert searcher.ask(k=18) == []


def test_inactive_hyperparameters_double_nothing():
    """sgd has 5 x 5 points, adam 5 x 3; the grid with doubles would have 5 x 2 x 5 x 3 = 150."""
    space = lu.Space(
        lr=lu.Float(1e-4, 1, log=True),
        opt=lu.Choice("sgd", "adam"),
        momentum=lu.Float(0, 1, when=("opt", "sgd")),
        decay=lu.Ordinal(1, 2, 3, when=("opt", "adam")),
    )
    found = _all(space)
    assert len(found) == len(set(found)) == 40
    assert sum(c["opt"] == "sgd" for c in found) == 25


def test_forbidden_points_do_not_exist():
    space = lu.Space(x=lu.Int(1, 6), y=lu.Int(1, 6), z=lu.Float(0, 1), forbid=[("x", ">", "y"), {"x": 1, "y": 6}])
    found = _all(space)
    assert len(found) == len(set(found)) == 20 * 5
    assert all(c["x"] <= c["y"] for c in found)


def test_a_tree_of_many_branches_is_counted_not_searched():
    """10 kinds with two numbers of their own: 250 points of 10 x 5**20 combinations."""
    domains = {"kind": lu.Choice(*range(10))}
    for kind in range(10):
        domains |= {f"x{kind}": lu.Float(0, 1, when=("kind", kind)), f"y{kind}": lu.Float(0, 1, when=("kind", kind))}
    found = _all(lu.Space(domains))
    assert len(found) == len(set(found)) == 250


def test_chains_of_conditions():
    space = lu.Space(
        a=lu.Choice("on", "off"),
        b=lu.Float(0, 1, when=("a", "on")),
        c=lu.Float(0, 1, when=("b", ">", 0.5)),
    )
    found = _all(space, levels=5)
    assert len(found) == len(set(found)) == 1 + 3 + 2 * 5


def test_a_grid_of_more_points_than_could_be_listed():
    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(40)})
    found = _make(space).ask(300, k=0)
    assert len(set(found)) == 300
    assert {value for c in found for value in c.values()} == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_too_many_combinations_to_count_are_judged_one_by_one(monkeypatch):
    space = lu.Space(
        opt=lu.Choice("a", "b"), x=lu.Int(1, 8), y=lu.Int(1, 8, when=("opt", "a")), forbid=[("x", ">", "y")]
    )
    wanted = set(_all(space))
    assert len(wanted) == 36 + 8
    monkeypatch.setattr(grid, "MOST_COMBINATIONS", 10)
    found = _all(space)
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_what_was_tried_is_not_proposed_again_on_an_infinite_space():
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    searcher = _make(space)
    middle = lu.Configuration(x=0.5, y=0.5)
    searcher.tell([Observation(0, middle, None, (1.0,)), Observation(1, lu.Configuration(x=0.1, y=0.1), None, (1.0,))])
    pending = [lu.Configuration(x=0.25, y=0.75)]
    found = searcher.ask(100, k=2, pending=pending)
    assert len(found) == len(set(found)) == 23
    assert not {middle, *pending} & set(found)


def test_proposal_k_needs_no_history():
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1), c=lu.Choice("a", "b"))
    whole = _make(space).ask(50, k=0)
    assert [_make(space).ask(k=k)[0] for k in (0, 49, 17)] == [whole[k] for k in (0, 49, 17)]
    assert _make(space, seed=1).ask(50, k=0) != whole
    assert set(_make(space, seed=1).ask(50, k=0)) == set(whole)


def test_early_points_are_spread_over_the_grid():
    """Every value of every number after a fifth of its grid, and half the discrepancy of a random choice."""
    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(4)})
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for seed in range(10):
        points = np.array([list(c.values()) for c in _make(space, seed).ask(25, k=0)])
        ours.append(qmc.discrepancy(points * 0.8 + 0.1))
        chosen = rng.permutation(5**4)[:25]
        theirs.append(qmc.discrepancy(np.stack(np.unravel_index(chosen, (5,) * 4), axis=1) * 0.2 + 0.1))
    assert np.median(ours) < 0.6 * np.median(theirs)


def test_steps_visit_every_number_once():
    for size in (*range(1, 60), 625, 1024, 10**12, 5**40):
        step = grid._golden(size)
        assert math.gcd(step, size) == 1
        assert abs(step - size / 1.618034) <= max(0.01 * size, 3)


def test_a_grid_without_an_allowed_point_is_refused():
    space = lu.Space(x=lu.Float(0, 1, default=0.3), forbid=[("x", "in", [0.0, 0.5, 1.0])])
    with pytest.raises(ArgumentError) as caught:
        _make(space, levels=3)
    assert str(caught.value) == "searcher 'grid': forbid leaves no point of the grid with levels=3. Take more."
    assert len(_all(space, levels=4)) == 2
    with pytest.raises(ArgumentError, match="levels=0"):
        _make(space, levels=0)


def test_only_fixed_values():
    searcher = _make(lu.Space(x=lu.Fixed(3)))
    assert searcher.ask(5, k=0) == [{"x": 3}]
    searcher.tell([Observation(0, lu.Configuration(x=3), None, (1.0,))])
    assert searcher.ask(k=1) == []
