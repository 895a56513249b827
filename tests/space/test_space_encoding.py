"""The encoding: exact both ways, uniform, and the same for one row as for many."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import spaces

from luthier.base.errors import SpaceError
from luthier.space import Choice, Fixed, Float, Int, Ordinal, Space


def mixed():
    return Space(
        lr=Float(1e-5, 1e-1, log=True),
        momentum=Float(0.0, 0.99),
        drop=Float(0.0, 0.5, step=0.1),
        layers=Int(1, 8),
        units=Int(16, 1024, log=True),
        tokens=Int(1, 10**9, log=True),
        act=Choice("relu", "gelu", None, 1, True),
        size=Ordinal("s", "m", "l"),
        epochs=Fixed(20),
    )


@settings(max_examples=40, deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_round_trip(space, seed):
    rng = np.random.default_rng(seed)
    U = rng.random((40, space.dimensions))
    U[0], U[1] = 0.0, 1.0
    X = space.snap(U)
    configs = space.decode(U)
    encoded, active = space.encode(configs)
    assert np.array_equal(encoded, X)
    assert np.array_equal(space.snap(X), X)
    assert np.array_equal(active, space.active(U))
    assert space.decode(X) == configs
    assert ((X >= 0) & (X <= 1)).all()
    assert np.array_equal(X[~active], np.broadcast_to(space.default_row, X.shape)[~active])
    allowed = space.allowed(U)
    for config, fine in zip(configs, allowed, strict=True):
        if fine:
            found = space.check(config)
            assert repr(found) == repr(config)
        else:
            with pytest.raises(SpaceError, match="is forbidden"):
                space.check(config)
    for i in range(5):  # one row alone gives what it gives among others
        assert repr(space.decode(U[i : i + 1])) == repr(configs[i : i + 1])
        assert np.array_equal(space.encode(configs[i : i + 1])[0][0], X[i])


@settings(max_examples=40, deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_one_sample_is_the_first_of_the_matrix_way(space, seed):
    try:
        rows = space.sample_unit(1, np.random.default_rng(seed))
    except SpaceError as error:
        if "forbid leaves (almost) nothing" not in str(error):
            raise
        return
    [one] = space.sample(1, np.random.default_rng(seed))
    assert repr([one]) == repr(space.decode(rows))
    assert np.array_equal(rows, space.snap(rows))
    assert space.allowed(rows).all()
    many = space.sample(7, np.random.default_rng(seed))
    assert len(many) == 7
    assert all(space.check(config) == config for config in many)


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_default_is_a_configuration(space):
    default = space.default()
    assert repr(space.check(default)) == repr(default)
    assert repr(space.check({}, fill=True)) == repr(default)
    row, _ = space.encode([default])
    assert np.array_equal(row[0], space.default_row)
    assert repr(space.decode(row)[0]) == repr(default)


def test_kinds_levels_and_columns():
    space = mixed()
    assert space.columns == ("lr", "momentum", "drop", "layers", "units", "tokens", "act", "size")
    assert space.dimensions == 8
    assert space.kinds == ("float", "float", "float", "int", "int", "int", "choice", "ordinal")
    assert space.levels == (0, 0, 6, 8, 1009, 10**9, 5, 3)
    assert space.size is None
    assert space.names[-1] == "epochs"


def test_codes_are_as_promised():
    X, active = mixed().encode([{"lr": 1e-3, "momentum": 0.99, "drop": 0.0, "layers": 8, "act": "gelu", "size": "m"}])
    expected = dict(zip(mixed().columns, X[0], strict=True))
    assert expected["lr"] == 0.5
    assert expected["momentum"] == 1.0
    assert expected["drop"] == 0.5 / 6
    assert expected["layers"] == 7.5 / 8
    assert expected["act"] == 1.5 / 5
    assert expected["size"] == 0.5
    assert active.tolist() == [[True, True, True, True, False, False, True, True]]
    assert expected["units"] == pytest.approx((math.log(128) - math.log(15.5)) / math.log(1024.5 / 15.5))


def test_ends_and_defaults_come_back_as_written():
    space = Space(a=Float(0.1, 0.7, default=0.3), b=Float(3e-7, 0.3, log=True, default=1e-4), c=Int(3, 9))
    low, high = space.decode(np.array([[0.0] * 3, [1.0] * 3]))
    assert low == {"a": 0.1, "b": 3e-7, "c": 3}
    assert high == {"a": 0.7, "b": 0.3, "c": 9}
    assert space.decode(space.encode([space.default()])[0]) == [{"a": 0.3, "b": 1e-4, "c": 6}]


def test_values_survive_within_a_hair():
    space = Space(a=Float(-3, 1e6), b=Float(1e-9, 1e3, log=True))
    given_ = [{"a": 123.456, "b": 0.007}, {"a": -2.99, "b": 2e-9}]
    for before, after in zip(given_, space.decode(space.encode(given_)[0]), strict=True):
        assert after["a"] == pytest.approx(before["a"], rel=1e-6, abs=1e-6)
        assert after["b"] == pytest.approx(before["b"], rel=1e-9)


@pytest.mark.parametrize(
    "domain", [Int(1, 8), Int(10, 40, step=10), Float(0, 1, step=0.25), Choice(*"abcdef"), Ordinal(1, 2, 4)], ids=repr
)
def test_levels_are_hit_equally_often(domain):
    space = Space(x=domain)
    found = [config["x"] for config in space.sample(6000, np.random.default_rng(1))]
    counts = np.array([found.count(value) for value in set(found)])
    assert len(counts) == space.levels[0]
    expected = 6000 / len(counts)
    # chi-square with at most 7 degrees of freedom: 30 is beyond the 99.99 % quantile
    assert ((counts - expected) ** 2 / expected).sum() < 30


def test_logarithmic_levels_own_their_share_of_the_logarithm():
    space = Space(x=Int(1, 4, log=True))
    found = [config["x"] for config in space.sample(20_000, np.random.default_rng(2))]
    width = math.log(4.5 / 0.5)
    for value in (1, 2, 3, 4):
        share = math.log((value + 0.5) / (value - 0.5)) / width
        assert found.count(value) / 20_000 == pytest.approx(share, abs=0.015)
    # a table and the formula agree: many levels take the other way
    wide = Space(x=Int(1, 10**6, log=True))
    values = [config["x"] for config in wide.sample(20_000, np.random.default_rng(3))]
    assert np.mean(np.array(values) <= 1000) == pytest.approx(
        math.log(1000.5 / 0.5) / math.log((10**6 + 0.5) / 0.5), abs=0.015
    )


def test_continuous_draws_are_uniform_in_their_scale():
    space = Space(a=Float(2, 4), b=Float(1e-4, 1, log=True))
    configs = space.sample(20_000, np.random.default_rng(4))
    a = np.array([config["a"] for config in configs])
    b = np.array([config["b"] for config in configs])
    assert np.histogram(a, bins=4, range=(2, 4))[0] == pytest.approx([5000] * 4, abs=250)
    assert np.histogram(np.log10(b), bins=4, range=(-4, 0))[0] == pytest.approx([5000] * 4, abs=250)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**11))
def test_logarithmic_integers_are_exact(low, width):
    space = Space(x=Int(low, low + width, log=True))
    picks = sorted({low, low + 1, low + width // 3, low + width // 2, low + width - 1, low + width})
    X, _ = space.encode([{"x": value} for value in picks])
    assert [config["x"] for config in space.decode(X)] == picks
    assert (np.diff(X[:, 0]) > 0).all()
    assert np.array_equal(space.snap(X), X)


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(1e-4, 1e12), st.integers(0, 2**32))
def test_narrow_ranges_beside_large_numbers_are_exact(low, width, seed):
    domain = Float(low, low + width)
    try:
        space = Space(x=domain)
    except SpaceError:
        assert width < 1e-6 * abs(low)
        return
    U = np.random.default_rng(seed).random((50, 1))
    assert np.array_equal(space.encode(space.decode(U))[0], space.snap(U))


def test_encoding_of_a_similar_space_is_lenient_about_names_and_bounds():
    space = Space(a=Float(0, 1), b=Int(1, 4), c=Choice("x", "y"))
    X, active = space.encode([{"a": 7.0, "b": -3, "new": 1, "c": "y"}, {}])
    assert X.tolist() == [[1.0, 0.125, 0.75], [0.5, 0.375, 0.25]]
    assert active.tolist() == [[True] * 3, [False] * 3]
    with pytest.raises(SpaceError) as caught:
        space.encode([{"a": 0.5, "b": 1, "c": "z"}])
    assert str(caught.value) == (
        "encode: c='z' does not fit. Allowed: 'x', 'y'. Use an allowed value, or widen the space."
    )
    with pytest.raises(SpaceError, match="encode: a='much' does not fit"):
        space.encode([{"a": "much"}])


def test_check_of_whole_configurations():
    space = Space(lr=Float(0, 1), layers=Int(1, 8), seed=Fixed(3))
    assert space.check({"layers": 2.0, "lr": 0.5}) == {"lr": 0.5, "layers": 2, "seed": 3}
    assert list(space.check({"layers": 2, "lr": 0.5})) == ["lr", "layers", "seed"]
    assert space.check({"lr": 0.25}, fill=True) == {"lr": 0.25, "layers": 4, "seed": 3}
    with pytest.raises(SpaceError) as caught:
        space.check({"lr": 0.5, "layer": 3}, "first[0]")
    assert str(caught.value) == ("first[0] has hyperparameter 'layer', which the space lacks. Did you mean 'layers'?")
    assert caught.value.name == "layer"
    with pytest.raises(SpaceError) as caught:
        space.check({"lr": 0.5})
    assert str(caught.value) == (
        "configuration lacks hyperparameter 'layers'. Allowed: a whole number from 1 to 8. "
        "Give it a value; its default is 4."
    )


def test_spaces_without_columns():
    empty = Space()
    rng = np.random.default_rng(0)
    assert empty.default() == {}
    assert empty.sample(2, rng) == [{}, {}]
    assert empty.size == 1
    assert repr(empty) == "Space()"
    fixed = Space(a=Fixed(1), b=Fixed("x"))
    assert fixed.dimensions == 0
    assert fixed.sample(1, rng) == [{"a": 1, "b": "x"}]
    assert fixed.sample(2, rng) == [{"a": 1, "b": "x"}] * 2
    assert fixed.sample_unit(3, rng).shape == (3, 0)
    assert fixed.unit_keys(fixed.sample_unit(3, rng)) == [b""] * 3
    assert fixed.size == 1
    assert fixed.perturb(np.empty((2, 0)), rng).shape == (2, 0)
    assert mixed().sample(0, rng) == []


def test_keys_find_duplicates():
    space = Space(a=Int(1, 3), b=Choice("x", "y"), c=Float(0, 1, when=("b", "y")))
    U = space.snap(np.random.default_rng(0).random((200, 3)))
    keys = space.unit_keys(U)
    configs = space.decode(U)
    assert len(set(keys)) == len(set(configs))
    assert len({key for key, config in zip(keys, configs, strict=True) if config["b"] == "x"}) == 3
