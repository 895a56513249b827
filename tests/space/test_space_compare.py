"""Comparing and storing spaces."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from random_spaces import spaces

import luthier.space
from luthier.base.errors import SpaceError
from luthier.space import Beta, Choice, Fixed, Float, Int, Normal, Ordinal, Space, all_of, any_of

NAMES = {name: getattr(luthier.space, name) for name in luthier.space.__all__ if name[0].isupper() or "_of" in name}


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_every_way_of_storing_gives_an_equal_space(space):
    for again in (
        Space.from_dict(json.loads(json.dumps(space.to_dict()))),
        Space.from_dict(json.loads(space.to_json())),
        pickle.loads(pickle.dumps(space)),
        eval(repr(space), dict(NAMES)),
    ):
        assert again == space
        assert hash(again) == hash(space)
        assert again.to_json() == space.to_json()
        assert again.difference(space) == []
        rows = np.random.default_rng(0).random((20, space.dimensions))
        assert repr(again.decode(rows)) == repr(space.decode(rows))
        assert space.widen(again) is again


@pytest.mark.parametrize(
    "domain", [Choice("sgd", "adam"), Choice(None, 1, default=None), Ordinal(1, 2, 4), Float(0, 1)]
)
def test_a_domain_sent_to_another_process_is_the_same(domain):
    again = pickle.loads(pickle.dumps(domain))
    assert again == domain
    assert again.default == domain.default
    assert Space(x=again).to_dict() == Space(x=domain).to_dict()


def test_repr_reads_like_the_code():
    space = Space(
        lr=Float(1e-5, 1e-1, log=True, default=1e-2, prior=Normal(1e-3, 1.0)),
        act=Choice("relu", None, prior=[1, 2]),
        m=Int(1, 9, step=2, when=("act", "relu")),
        k=Fixed(8),
        forbid=[{"act": "relu", "m": [1, 3]}, ("m", ">", "k")],
    )
    assert repr(space) == (
        "Space(\n"
        "    lr=Float(1e-05, 0.1, log=True, default=0.01, prior=Normal(mean=0.001, sd=1.0)),\n"
        "    act=Choice('relu', None, prior=(1, 2)),\n"
        "    m=Int(1, 9, step=2, when=('act', 'relu')),\n"
        "    k=Fixed(8),\n"
        "    forbid=[all_of(('act', 'relu'), ('m', 'in', [1, 3])), ('m', '>', 'k')],\n"
        ")"
    )
    assert repr(Space({"a.b": Fixed(1)})) == "Space(\n    {\n        'a.b': Fixed(1),\n    },\n)"


def test_stored_form():
    space = Space(
        lr=Float(0, 1, prior=Beta(2, 1)), m=Int(1, 9, step=2, default=1, when=("lr", "<", 0.5)), forbid=[{"m": 9}]
    )
    assert space.to_dict() == {
        "hyperparameters": [
            {"name": "lr", "type": "float", "low": 0.0, "high": 1.0, "prior": {"beta": [2, 1]}},
            {"name": "m", "type": "int", "low": 1, "high": 9, "step": 2, "default": 1, "when": ["lr", "<", 0.5]},
        ],
        "forbid": [["m", "==", 9]],
    }


def test_difference():
    here = Space(
        lr=Float(1e-5, 0.1, log=True),
        act=Choice("relu", 1),
        size=Int(1, 4),
        gone=Fixed(1),
        kind=Int(0, 1),
        m=Int(1, 2, when=("act", "relu")),
        forbid=[{"act": "relu", "size": 4}],
    )
    there = Space(
        lr=Float(1e-5, 0.5, log=True, default=0.001),
        act=Choice("relu", True),
        size=Int(1, 4),
        kind=Float(0, 1),
        m=Int(1, 2),
        new=Ordinal("s", "m"),
        forbid=[{"size": 1, "act": "relu"}],
    )
    assert here.difference(there) == [
        "lr: high 0.1 here, 0.5 there",
        "act: values ['relu', 1] here, ['relu', True] there",
        "gone: Fixed(1) here, not there",
        "kind: Int(0, 1) here, Float(0.0, 1.0) there",
        "m: when ('act', 'relu') here, None there",
        "new: not here, Ordinal('s', 'm') there",
        "forbid: act == 'relu' and size == 4 here, not there",
        "forbid: not here, size == 1 and act == 'relu' there",
    ]
    assert here.difference(here) == []
    a, b = Fixed(1), Fixed(2)
    assert Space(a=a, b=b).difference(Space(b=b, a=a)) == ["order: a, b here, b, a there"]
    assert Space(a=a, b=b) != Space(b=b, a=a)
    one, two = {"x": 1}, {"x": 2}
    forward, backward = (Space(x=Int(1, 3, default=3), forbid=forbid) for forbid in ([one, two], [two, one]))
    assert forward.difference(backward) == ["forbid: the same clauses in another order"]


BASE = {
    "lr": Float(1e-4, 1e-1, log=True),
    "drop": Float(0, 0.5, step=0.1),
    "depth": Int(2, 8, step=2),
    "act": Choice("relu", "gelu"),
    "size": Ordinal("s", "m"),
    "seed": Fixed(3),
    "m": Float(0, 1, when=("act", "relu")),
    "b": Float(0, 1, when=("depth", "<=", 4)),
}
FORBID = [{"act": "gelu", "size": "m"}]

WIDER = [
    {},
    {"lr": Float(1e-5, 1, log=True, default=0.5)},
    {"drop": Float(0, 1, step=0.1)},
    {"drop": Float(0, 1, step=0.05)},
    {"drop": Float(-1, 1)},
    {"depth": Int(1, 9)},
    {"depth": Int(0, 8, step=2)},
    {"act": Choice("tanh", "gelu", "relu")},
    {"size": Ordinal("xs", "s", "ms", "m", "l")},
    {"seed": Int(1, 5)},
    {"seed": Choice(1, 3)},
    {"m": Float(0, 1)},
    {"m": Float(0, 1, when=("act", "in", ["relu", "gelu"]))},
    {"b": Float(0, 1, when=("depth", "<", 8))},
    {"new": Float(0, 1)},
    {"new": Float(0, 1, when=("act", "relu"))},
]


@pytest.mark.parametrize("change", WIDER, ids=repr)
def test_wider(change):
    old, new = Space(BASE, forbid=FORBID), Space({**BASE, **change}, forbid=FORBID)
    assert old.widen(new) is new
    for config in old.sample(50, np.random.default_rng(0)):
        found = new.check(config, fill=True)
        assert {name: found[name] for name in config} == config
    assert old.widen(Space({**BASE, **change})) is not None


NARROWER = [
    ({"lr": Float(1e-3, 1e-1, log=True)}, "low=0.0001 rose to 0.001"),
    ({"lr": Float(1e-4, 1e-2, log=True)}, "high=0.1 fell to 0.01"),
    ({"lr": Float(1e-4, 1e-1)}, "log=True became log=False"),
    ({"lr": Float(1e-4, 1.0001, step=0.1, log=True)}, "step=None became step=0.1, which loses values"),
    ({"drop": Float(0, 0.6, step=0.2)}, "step=0.1 became step=0.2, which loses values"),
    ({"depth": Int(1, 9, step=2)}, "step=2 became step=2, which loses values"),
    ({"depth": Float(2, 8)}, "Int became Float"),
    ({"act": Choice("relu", "tanh")}, "the value 'gelu' is gone"),
    ({"act": Ordinal("relu", "gelu")}, "Choice became Ordinal"),
    ({"size": Ordinal("m", "s")}, "the order ['s', 'm'] became ['m', 's']"),
    ({"seed": Fixed(4)}, "Fixed(3) is no value of Fixed(4)"),
    ({"seed": Int(4, 5)}, "Fixed(3) is no value of Int(4, 5)"),
]


@pytest.mark.parametrize(("change", "text"), NARROWER, ids=[repr(change) for change, _ in NARROWER])
def test_narrower(change, text):
    [name] = change
    with pytest.raises(SpaceError) as caught:
        Space(BASE).widen(Space({**BASE, **change}))
    assert (
        str(caught.value) == f"hyperparameter {name!r}: {text}. A wider space must keep every value, its type and log."
    )
    assert caught.value.name == name


def test_narrower_structure():
    old = Space(BASE, forbid=FORBID)
    cases = [
        ({name: BASE[name] for name in BASE if name != "lr"}, [],
         "hyperparameter 'lr' is missing from the wider space."),
        ({**BASE, "lr": Float(1e-4, 1e-1, log=True, when=("act", "relu"))}, FORBID,
         "hyperparameter 'lr' was always active and now needs act == 'relu'."),
        ({**BASE, "m": Float(0, 1, when=("act", "gelu"))}, FORBID,
         "hyperparameter 'm' needed act == 'relu' and now needs act == 'gelu'."),
        ({**BASE, "b": Float(0, 1, when=("depth", "<", 4))}, FORBID,
         "hyperparameter 'b' needed depth <= 4 and now needs depth < 4."),
        (BASE, [*FORBID, {"seed": 3, "act": "gelu"}],
         "forbid: the wider space forbids seed == 3 and act == 'gelu', which was allowed."),
    ]  # fmt: skip
    for domains, forbid, text in cases:
        with pytest.raises(SpaceError) as caught:
            old.widen(Space(domains, forbid=forbid))
        assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"type": "flaot", "low": 0, "high": 1}, "hyperparameter 'x': type='flaot'. Did you mean 'float'?"),
        (
            {"low": 0, "high": 1},
            "hyperparameter 'x' has no type. Allowed: float, int, choice, ordinal, fixed. Add one.",
        ),
        (
            {"type": "float", "low": 0, "high": 1, "logg": True},
            "hyperparameter 'x': key 'logg' is not known for type 'float'. Did you mean 'log'?",
        ),
        (
            {"type": "float", "low": 0},
            "hyperparameter 'x' of type 'float' lacks 'high'. It needs: low, high. Add 'high'.",
        ),
        ({"type": "choice", "values": "ab"}, "hyperparameter 'x': values='ab'. Allowed: a list. Write ['ab']."),
        (
            {"type": "int", "low": 0, "high": 9, "prior": {"gauss": [1, 2]}},
            "hyperparameter 'x': prior={'gauss': [1, 2]}. "
            'Allowed: {"normal": [mean, sd]}, {"beta": [alpha, beta]} or a list of weights.',
        ),
    ],
    ids=repr,
)
def test_mistakes_in_stored_forms(data, text):
    with pytest.raises(SpaceError) as caught:
        Space.from_dict({"hyperparameters": [{"name": "x", **data}]})
    assert str(caught.value) == text


def test_a_stored_form_that_is_none():
    with pytest.raises(SpaceError, match="is no stored space"):
        Space.from_dict({"lr": 3})
    with pytest.raises(SpaceError, match="'x' stands there twice"):
        Space.from_dict({"hyperparameters": [{"name": "x", "type": "fixed", "value": 1}] * 2})


def test_conditions_nest_in_stored_forms():
    when = any_of(("a", 1), all_of(("a", "not in", [1, 2]), ("b", ">=", 0.5)))
    space = Space(a=Int(1, 3), b=Float(0, 1), c=Int(1, 2, when=when))
    assert space.to_dict()["hyperparameters"][2]["when"] == {
        "any": [["a", "==", 1], {"all": [["a", "not in", [1, 2]], ["b", ">=", 0.5]]}]
    }
    assert str(space.conditions["c"]) == "a == 1 or (a not in [1, 2] and b >= 0.5)"


def test_importing_the_room_is_light():
    code = (
        "import sys, luthier.space as s; s.Space; s.Problem; s.load_space; s.from_configspace; "
        "print(sorted({'scipy', 'yaml', 'ConfigSpace', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there():
    assert set(dir(luthier.space)) == set(luthier.space.__all__)
    for name in luthier.space.__all__:
        assert getattr(luthier.space, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        luthier.space.Nothing
