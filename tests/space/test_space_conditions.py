"""Conditions: the language, activity for matrices and for configurations, and mistakes."""

import json

import numpy as np
import pytest

from luthier.base.errors import SpaceError
from luthier.space import Choice, Fixed, Float, Int, Ordinal, Space, all_of, any_of


def active_names(space, **values):
    return set(space.check(values, fill=True))


def test_the_example_of_the_contract():
    space = Space(opt=Choice("sgd", "adam"), momentum=Float(0.0, 0.99, when=("opt", "sgd")))
    assert space.check({"opt": "adam"}) == {"opt": "adam"}
    assert space.check({"opt": "sgd", "momentum": 0.5}) == {"opt": "sgd", "momentum": 0.5}
    assert space.default() == {"opt": "sgd", "momentum": 0.495}
    assert str(space.conditions["momentum"]) == "opt == 'sgd'"
    for config in space.sample(50, np.random.default_rng(0)):
        assert ("momentum" in config) == (config["opt"] == "sgd")


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (("depth", 3), [3]),
        (("depth", "==", 3), [3]),
        (("depth", "!=", 3), [1, 2, 4, 5, 6]),
        (("depth", "<", 3), [1, 2]),
        (("depth", "<=", 3), [1, 2, 3]),
        (("depth", ">", 3), [4, 5, 6]),
        (("depth", ">=", 3), [3, 4, 5, 6]),
        (("depth", "<", 2.5), [1, 2]),
        (("depth", ">=", 2.5), [3, 4, 5, 6]),
        (("depth", ">", 6), []),
        (("depth", "<=", 99), [1, 2, 3, 4, 5, 6]),
        (("depth", "<", -5), []),
        (("depth", "in", [2, 5]), [2, 5]),
        (("depth", [2, 5]), [2, 5]),
        (("depth", {2, 5}), [2, 5]),
        (("depth", "not in", [2, 5]), [1, 3, 4, 6]),
        (all_of(("depth", ">", 1), ("depth", "<", 4)), [2, 3]),
        (any_of(("depth", 1), ("depth", 6)), [1, 6]),
        (any_of(("depth", 1), all_of(("depth", ">", 3), ("depth", "!=", 5))), [1, 4, 6]),
        ({"any": [["depth", 1], {"all": [["depth", ">", 3], ["depth", "!=", 5]]}]}, [1, 4, 6]),
        (np.str_("never"), None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("log", [False, True])
def test_the_language(when, holds, log):
    if holds is None:
        with pytest.raises(SpaceError, match="is no condition"):
            Space(depth=Int(1, 6), x=Float(0, 1, when=when))
        return
    space = Space(depth=Int(1, 6, log=log), x=Float(0, 1, when=when))
    assert [d for d in range(1, 7) if "x" in active_names(space, depth=d)] == holds
    rows, _ = space.encode([{"depth": d} for d in range(1, 7)])
    assert space.active(rows)[:, 1].tolist() == [d in holds for d in range(1, 7)]
    assert space.active(rows)[:, 0].all()
    assert [config["depth"] for config in space.decode(rows) if "x" in config] == holds
    again = Space.from_dict(json.loads(space.to_json()))
    assert again == space
    assert again.conditions == space.conditions


@pytest.mark.parametrize(
    ("word", "expected"), [("<", [True, False, False]), ("<=", [True, True, False]), (">=", [False, True, True])]
)
def test_thresholds_of_floats_agree_at_the_threshold(word, expected):
    # 0.3 is no code of the grid: what counts is that every way of asking gives one answer
    space = Space(p=Float(0, 1), x=Int(1, 2, when=("p", word, 0.3)))
    configs = [{"p": p} for p in (0.299, 0.3, 0.301)]
    rows, _ = space.encode(configs)
    assert space.active(rows)[:, 1].tolist() == expected
    assert ["x" in space.check(config, fill=True) for config in configs] == expected
    for config in space.decode(rows):
        assert space.check(config) == config


def test_ordinals_compare_by_place_and_choices_do_not():
    space = Space(size=Ordinal("s", "m", "l"), x=Int(1, 2, when=("size", ">=", "m")))
    assert [("x" in active_names(space, size=size)) for size in "sml"] == [False, True, True]
    with pytest.raises(SpaceError) as caught:
        Space(size=Choice("s", "m"), x=Int(1, 2, when=("size", ">=", "m")))
    assert str(caught.value) == (
        "hyperparameter 'x': 'size >= 'm'' needs an order, but 'size' is Choice('s', 'm'). "
        "Use ==, !=, in or not in, or make it an Ordinal."
    )


def test_values_of_mixed_type_are_told_apart():
    space = Space(c=Choice(1, True, 1.0, None), x=Int(1, 2, when=("c", True)), y=Int(1, 2, when=("c", None)))
    assert active_names(space, c=1) == {"c"}
    assert active_names(space, c=True) == {"c", "x"}
    assert active_names(space, c=1.0) == {"c"}
    assert active_names(space, c=None) == {"c", "y"}


def test_children_of_inactive_parents_are_inactive():
    space = Space(
        grandchild=Int(1, 2, when=("child", "!=", 3)),
        child=Int(1, 3, when=("parent", "on")),
        parent=Choice("on", "off"),
        either=Int(1, 2, when=any_of(("child", 1), ("parent", "off"))),
    )
    assert active_names(space, parent="off") == {"parent", "either"}
    assert active_names(space, parent="on", child=1) == {"parent", "child", "grandchild", "either"}
    assert active_names(space, parent="on", child=2) == {"parent", "child", "grandchild"}
    rows = space.snap(np.random.default_rng(0).random((100, 4)))
    columns = {name: i for i, name in enumerate(space.columns)}
    active = space.active(rows)
    off = rows[:, columns["parent"]] > 0.5
    assert not active[off][:, [columns["child"], columns["grandchild"]]].any()
    assert active[~off][:, columns["child"]].all()
    assert np.array_equal(active[~off][:, columns["grandchild"]], rows[~off][:, columns["child"]] < 0.6)


def test_fixed_parents_and_children():
    space = Space(
        mode=Fixed("fast"),
        a=Int(1, 2, when=("mode", "fast")),
        c=Int(1, 2, when=("mode", "!=", "fast")),
        seed=Fixed(7, when=("a", 1)),
        deep=Int(1, 2, when=("seed", ">", 3)),
    )
    assert space.check({"a": 1}, fill=True) == {"mode": "fast", "a": 1, "seed": 7, "deep": 1}
    assert space.check({"a": 2}) == {"mode": "fast", "a": 2}
    rows, _ = space.encode([{"a": 1}, {"a": 2}])
    assert space.active(rows).tolist() == [[True, False, True], [True, False, False]]


MISTAKES = [
    (("opt", "sgdx"), "hyperparameter 'x', condition 'opt == 'sgdx'': opt='sgdx' does not fit. Allowed: 'sgd', 'adam'. Did you mean 'sgd'?"),  # noqa: E501
    (("op", "sgd"), "hyperparameter 'x': its condition 'op == 'sgd'' names 'op', which is not there. Did you mean 'opt'?"),  # noqa: E501
    (("x", "<", 1), "hyperparameter 'x': its condition 'x < 1' refers to itself. Let it depend on another hyperparameter."),  # noqa: E501
    (("opt", "is", "sgd"), "hyperparameter 'x': operator 'is' in when=('opt', 'is', 'sgd'). Did you mean 'in'?"),
    (("depth", "<", "a"), "hyperparameter 'x': 'depth < 'a'' compares 'depth' with 'a'. Allowed: a number (a whole number from 1 to 8). Change the value."),  # noqa: E501
    (("depth", 99), "hyperparameter 'x', condition 'depth == 99': depth=99 does not fit. Allowed: a whole number from 1 to 8. Use an allowed value, or widen the space."),  # noqa: E501
    (("mode", "<", 3), "hyperparameter 'x': 'mode < 3' needs an order, but 'mode' is Fixed('fast'). Use ==, !=, in or not in, or make it an Ordinal."),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("when", "text"), MISTAKES, ids=[repr(when) for when, _ in MISTAKES])
def test_mistakes(when, text):
    with pytest.raises(SpaceError) as caught:
        Space(opt=Choice("sgd", "adam"), depth=Int(1, 8), mode=Fixed("fast"), x=Float(0, 1, when=when))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "when", ["opt", ("opt",), ("opt", "in", []), ("opt", "==", ["sgd"]), all_of(), {"none": []}, 3, (1, 2), [["a"]]]
)
def test_what_is_no_condition(when):
    with pytest.raises(SpaceError) as caught:
        Space(opt=Choice("sgd", "adam"), x=Float(0, 1, when=when))
    assert str(caught.value).startswith("hyperparameter 'x': when=")
    assert str(caught.value).endswith(
        'is no condition. Use ("opt", "sgd"), ("opt", "in", ["sgd", "adam"]), ("depth", "<=", 3), '
        "all_of(...) or any_of(...)."
    )


def test_circles():
    with pytest.raises(SpaceError) as caught:
        Space(z=Int(1, 2), a=Int(1, 2, when=("c", 1)), b=Int(1, 2, when=("a", 1)), c=Int(1, 2, when=("b", 1)))
    assert str(caught.value) == (
        "hyperparameter 'a': the conditions form a circle, a -> c -> b -> a. Take one `when` away."
    )


def test_inactive_values_are_refused_or_dropped():
    space = Space(opt=Choice("sgd", "adam"), momentum=Float(0.0, 0.99, when=("opt", "sgd")))
    with pytest.raises(SpaceError) as caught:
        space.check({"opt": "adam", "momentum": 0.9})
    assert str(caught.value) == (
        "configuration: momentum=0.9 is given but inactive: it needs opt == 'sgd', here opt='adam'. Leave it out."
    )
    assert caught.value.name == "momentum"
    assert space.check({"opt": "adam", "momentum": 0.9}, fill=True) == {"opt": "adam"}
    with pytest.raises(SpaceError, match="configuration lacks hyperparameter 'momentum'"):
        space.check({"opt": "sgd"})


def test_many_links_stay_in_order_of_dependence():
    # every hyperparameter depends on the next one, declared later
    links = {f"h{i}": Choice(1, 2, when=(f"h{i + 1}", 1)) for i in range(30)}
    space = Space({**links, "h30": Choice(1, 2)})
    [config] = space.decode(np.zeros((1, 31)))
    assert len(config) == 31
    row = np.zeros((1, 31))
    row[0, 10] = 0.9
    [config] = space.decode(row)
    assert set(config) == {f"h{i}" for i in range(10, 31)}
