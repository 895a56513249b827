"""Forbidden combinations: clauses, relations, rejection, and mistakes."""

import itertools

import numpy as np
import pytest

from luthier.base.errors import SpaceError
from luthier.space import Choice, Fixed, Float, Int, Ordinal, Space, all_of, any_of

BASE = {
    "opt": Choice("adam", "sgd", "rms"),
    "act": Choice("relu", "gelu"),
    "depth": Int(1, 4),
    "width": Int(1, 4),
    "momentum": Float(0, 1, step=0.5, when=("opt", "sgd")),
}

CLAUSES = [
    ({"opt": "sgd", "act": "gelu"}, lambda c: c["opt"] == "sgd" and c["act"] == "gelu"),
    ({"opt": ["sgd", "rms"], "depth": [3, 4]}, lambda c: c["opt"] != "adam" and c["depth"] >= 3),
    ({"opt": "rms"}, lambda c: c["opt"] == "rms"),
    (("depth", ">", "width"), lambda c: c["depth"] > c["width"]),
    (("depth", "<=", "width"), None),
    (("depth", "==", "width"), None),
    (("depth", "!=", "width"), lambda c: c["depth"] != c["width"]),
    (("depth", ">", 3), lambda c: c["depth"] > 3),
    (("opt", "in", ["rms", "sgd"]), lambda c: c["opt"] != "adam"),
    (all_of(("depth", ">", 2), ("width", "<", 2)), lambda c: c["depth"] > 2 and c["width"] < 2),
    (any_of(("depth", 4), ("width", 4)), lambda c: c["depth"] == 4 or c["width"] == 4),
    (all_of(("depth", ">", "width"), ("act", "gelu")), lambda c: c["depth"] > c["width"] and c["act"] == "gelu"),
    ({"any": [["depth", 4], {"all": [["width", 4], ["act", "gelu"]]}]},
     lambda c: c["depth"] == 4 or (c["width"] == 4 and c["act"] == "gelu")),
    ({"momentum": 0.5}, lambda c: c.get("momentum") == 0.5),
    (("momentum", "!=", 0.0), lambda c: c.get("momentum", 0.0) != 0.0),
    (("momentum", "<", "depth"), lambda c: "momentum" in c and c["momentum"] < c["depth"]),
]  # fmt: skip


def everything():
    for opt, act, depth, width in itertools.product(("adam", "sgd", "rms"), ("relu", "gelu"), range(1, 5), range(1, 5)):
        for momentum in (0.0, 0.5, 1.0) if opt == "sgd" else (None,):
            config = {"opt": opt, "act": act, "depth": depth, "width": width}
            yield config if momentum is None else {**config, "momentum": momentum}


@pytest.mark.parametrize(("clause", "forbidden"), CLAUSES, ids=[repr(clause) for clause, _ in CLAUSES])
def test_clauses(clause, forbidden):
    if forbidden is None:  # depth=2 and width=2 by default
        with pytest.raises(SpaceError) as caught:
            Space(BASE, forbid=[clause])
        assert str(caught.value) == (
            f"the default configuration is forbidden: {clause[0]} {clause[1]} {clause[2]} (forbid clause 1). "
            "Set default=... on one of them, or relax forbid."
        )
        return
    space = Space(BASE, forbid=[clause])
    configs = list(everything())
    rows, _ = space.encode(configs)
    expected = [not forbidden(config) for config in configs]
    assert space.allowed(rows).tolist() == expected
    for config, fine in zip(configs, expected, strict=True):
        if fine:
            assert space.check(config) == config
        else:
            with pytest.raises(SpaceError, match=r"trial 1 is forbidden: .*\(forbid clause 1\). Change one of them."):
                space.check(config, "trial 1")
    assert space.size == sum(expected)
    assert space.size_is_exact
    listed = space.decode(space.all_rows())
    assert {tuple(sorted(c.items())) for c in listed} == {
        tuple(sorted(c.items())) for c, fine in zip(configs, expected, strict=True) if fine
    }
    assert len(listed) == space.size
    for config in [*space.sample(100, np.random.default_rng(0)), *space.sample(1, np.random.default_rng(1))]:
        assert not forbidden(config)
    again = Space.from_dict(space.to_dict())
    assert again == space
    assert again.forbidden == space.forbidden


def test_samples_stay_uniform_among_what_is_allowed():
    space = Space(a=Int(1, 3), b=Int(1, 3), forbid=[("a", ">", "b")])
    found = [(c["a"], c["b"]) for c in space.sample(6000, np.random.default_rng(0))]
    counts = np.array([found.count((a, b)) for a in (1, 2, 3) for b in (1, 2, 3) if a <= b])
    assert counts.sum() == 6000
    assert ((counts - 1000) ** 2 / 1000).sum() < 30


def test_relations_across_kinds():
    space = Space(
        f=Float(0, 10), i=Int(1, 9, log=True), c=Choice(4, 2, 8), o=Ordinal(1, 5), k=Fixed(5),
        forbid=[("f", ">", "k"), ("i", ">=", "c"), ("o", "==", "k")],
    )  # fmt: skip
    for config in space.sample(200, np.random.default_rng(0)):
        assert config["f"] <= 5
        assert config["i"] < config["c"]
        assert config["o"] == 1


def test_almost_everything_forbidden():
    space = Space(a=Float(0, 1), b=Float(0, 1, default=0.0), forbid=[("b", ">", 1e-9)])
    for n in (1, 5):
        with pytest.raises(SpaceError) as caught:
            space.sample(n, np.random.default_rng(0))
        assert str(caught.value).startswith("forbid leaves (almost) nothing: 0 of 2")
        assert str(caught.value).endswith(
            "random configurations were allowed. Relax forbid, or list the allowed combinations as one Choice."
        )
    rare = Space(a=Float(0, 1, default=0.0), forbid=[("a", ">", 0.01)])
    assert all(config["a"] <= 0.01 for config in rare.sample(500, np.random.default_rng(0)))
    assert rare.sample(1, np.random.default_rng(0))[0]["a"] <= 0.01


MISTAKES = [
    ({"op": "sgd"}, "forbid clause 1 names hyperparameter 'op', which is not there. Did you mean 'opt'?"),
    ({"opt": "sgdd"}, "forbid clause 1, condition 'opt == 'sgdd'': opt='sgdd' does not fit. Allowed: 'adam', 'sgd', 'rms'. Did you mean 'sgd'?"),  # noqa: E501
    (("depth", ">", "widht"), "forbid clause 1 names hyperparameter 'widht', which is not there. Did you mean 'width'?"),  # noqa: E501
    (("depth", ">", "opt"), "forbid clause 1: 'depth > opt' compares numbers, but 'opt' is Choice('adam', 'sgd', 'rms'). Compare hyperparameters whose values are all numbers."),  # noqa: E501
    (("opt", ">", "sgd"), "forbid clause 1: 'opt > 'sgd'' needs an order, but 'opt' is Choice('adam', 'sgd', 'rms'). Use ==, !=, in or not in, or make it an Ordinal."),  # noqa: E501
    (("depth", "=", 3), "forbid clause 1: operator '=' in ('depth', '=', 3). Did you mean '=='?"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "text"), MISTAKES, ids=[repr(clause) for clause, _ in MISTAKES])
def test_mistakes(clause, text):
    with pytest.raises(SpaceError) as caught:
        Space(BASE, forbid=[clause])
    assert str(caught.value) == text


@pytest.mark.parametrize("clause", ["opt", 3, (), {}, ("opt",), all_of(), {"opt": {"a": 1}}])
def test_what_is_no_clause(clause):
    with pytest.raises(SpaceError, match=r"^forbid clause 1.* Use \{\"opt\": \"sgd\""):
        Space(BASE, forbid=[clause])


def test_forbid_is_a_list():
    with pytest.raises(SpaceError, match=r"Allowed: a list of clauses. Write forbid=\[\{'opt': 'sgd'\}\]"):
        Space(BASE, forbid={"opt": "sgd"})
