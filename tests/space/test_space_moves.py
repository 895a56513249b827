"""Local moves, counting and listing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import spaces

from luthier.base.errors import ArgumentError, SpaceError
from luthier.space import Choice, Fixed, Float, Int, Ordinal, Space


@settings(max_examples=30, deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_moves_stay_in_the_space(space, seed):
    rng = np.random.default_rng(seed)
    start = space.snap(rng.random((30, space.dimensions)))
    start = start[space.allowed(start)]
    moved = space.perturb(start, rng)
    assert np.array_equal(moved, space.snap(moved))
    assert space.allowed(moved).all()
    again = np.random.default_rng(seed)
    again.random((30, space.dimensions))
    assert np.array_equal(space.perturb(start, again), moved)


def around(space, row, n, **how):
    return space.perturb(np.repeat(row[None], n, axis=0), np.random.default_rng(0), **how)


def test_one_change_changes_one():
    space = Space(a=Float(0, 1), b=Int(1, 5), c=Choice(*"wxyz"), d=Ordinal(1, 2, 3), e=Choice("only"), f=Fixed(1))
    rng = np.random.default_rng(0)
    start = space.sample_unit(2000, rng)
    differ = space.perturb(start, rng, changes=1) != start
    assert differ.sum(axis=1).tolist() == [1] * 2000
    assert differ.sum(axis=0)[:4] == pytest.approx([500] * 4, abs=80)
    assert not differ[:, 4].any()
    counts = (space.perturb(start, rng, changes=3) != start).sum(axis=1)
    assert set(counts.tolist()) == {1, 2, 3}


def test_steps_are_small_for_numbers_and_even_for_choices():
    space = Space(a=Float(0, 1), b=Int(1, 1000))
    start = np.full((4000, 2), 0.5)
    moved = space.perturb(space.snap(start), np.random.default_rng(0), changes=1, step=0.05)
    changed = moved[:, 0] != 0.5
    assert np.std(moved[changed, 0]) == pytest.approx(0.05, rel=0.1)
    assert np.std(moved[moved[:, 1] != space.snap(start)[0, 1], 1]) == pytest.approx(0.05, rel=0.1)
    choice = Space(c=Choice(*"wxyz"))
    row = choice.encode([{"c": "x"}])[0][0]
    found = [config["c"] for config in choice.decode(around(choice, row, 3000))]
    assert {value: found.count(value) for value in "wyz"} == {v: pytest.approx(1000, abs=130) for v in "wyz"}
    assert "x" not in found


def test_a_step_too_small_still_moves():
    space = Space(b=Int(1, 4), a=Float(0, 1))
    for value in (1, 2, 4):
        row = space.encode([{"b": value, "a": 0.5}])[0][0]
        found = space.decode(around(space, row, 50, changes=1, step=1e-20))
        assert all((config["b"] != value) != (config["a"] != 0.5) for config in found)
        assert {config["b"] for config in found} <= {value - 1, value, value + 1}


def test_what_wakes_up_gets_a_random_value():
    space = Space(
        opt=Choice("adam", "sgd"),
        momentum=Float(0, 1, when=("opt", "sgd")),
        late=Int(1, 9, when=("momentum", ">", 0.5)),
    )
    row = space.encode([{"opt": "adam"}])[0][0]
    found = space.decode(around(space, row, 400, changes=1))
    assert all(config["opt"] == "sgd" for config in found)
    momentum = np.array([config["momentum"] for config in found])
    assert np.histogram(momentum, bins=4, range=(0, 1))[0] == pytest.approx([100] * 4, abs=45)
    assert {config["late"] for config in found if "late" in config} == set(range(1, 10))


def test_rows_whose_neighbours_are_forbidden_stay():
    space = Space(a=Int(1, 9, default=1), forbid=[("a", ">", 1)])
    row = space.default_row[None, :]
    assert np.array_equal(space.perturb(row, np.random.default_rng(0)), row)


def test_arguments_of_moves():
    space = Space(a=Int(1, 9))
    with pytest.raises(ArgumentError, match=r"changes=0\. Allowed: a whole number and at least 1."):
        space.perturb(space.default_row[None], np.random.default_rng(0), changes=0)
    with pytest.raises(ArgumentError, match=r"step=0\. Allowed: a number and above 0."):
        space.perturb(space.default_row[None], np.random.default_rng(0), step=0)


def test_size():
    assert Space(a=Int(1, 8), b=Choice("x", "y"), c=Float(0, 1, step=0.25), d=Fixed(1)).size == 80
    assert Space(a=Int(1, 8), b=Float(0, 1)).size is None
    assert Space(a=Int(1, 2**40)).size == 2**40
    conditional = Space(
        a=Choice("x", "y"), b=Int(1, 10, when=("a", "x")), c=Int(1, 3, when=("b", "<=", 2)), d=Int(1, 7)
    )
    assert conditional.size == (1 + 2 * 3 + 8) * 7
    assert conditional.size_is_exact
    assert len(conditional.all_rows()) == conditional.size
    large = Space(a=Int(1, 10**6), b=Int(1, 2, when=("a", ">", 5)))
    assert large.size == 2 * 10**6
    assert not large.size_is_exact


@settings(max_examples=25, deadline=None)
@given(spaces(most=4))
def test_size_counts_what_is_listed(space):
    try:
        rows = space.all_rows(2000)
    except SpaceError:
        return
    assert space.size == len(rows) == len(set(space.unit_keys(rows)))
    assert space.allowed(rows).all()
    assert np.array_equal(space.snap(rows), rows)


def test_listing_refuses_what_cannot_be_listed():
    with pytest.raises(SpaceError, match="hyperparameter 'b' is continuous, so its configurations cannot be listed"):
        Space(a=Int(1, 3), b=Float(0, 1)).all_rows()
    with pytest.raises(SpaceError, match=r"the space has 1000000 combinations\. Allowed: 100000 to list."):
        Space(a=Int(1, 10**6)).all_rows()
