"""ConfigSpace's JSON against the ConfigSpace package itself."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats

from luthier.base.errors import SpaceError, UnsupportedError
from luthier.space import (
    Beta,
    Choice,
    Fixed,
    Float,
    Int,
    Normal,
    Ordinal,
    Space,
    all_of,
    any_of,
    from_configspace,
    to_configspace,
)

CS = pytest.importorskip("ConfigSpace")

EVERYTHING = Space(
    opt=Choice("sgd", "adam", "rms", prior=[1, 2, 3]),
    lr=Float(1e-5, 1, log=True),
    q=Float(0, 1, step=0.25),
    odd=Int(2, 20, step=3),
    depth=Int(1, 5000, log=True),
    size=Ordinal("s", "m", "l", default="s"),
    momentum=Float(0, 1, when=("opt", "sgd")),
    b=Int(1, 5, when=any_of(("opt", "in", ["adam", "rms"]), all_of(("lr", "<=", 0.01), ("depth", ">", 100)))),
    c=Choice(1, 2, when=("momentum", ">=", 0.5)),
    d=Choice(True, False, None, when=("size", ">=", "m")),
    e=Fixed(3, when=("q", "<", 0.6)),
    f=Float(0, 1, prior=Normal(0.3, 0.1), when=("opt", "!=", "sgd")),
    g=Int(1, 100, log=True, prior=Beta(2, 3), default=90),
    h=Float(1e-3, 10, log=True, prior=Normal(0.1, 1.0)),
    i=Int(0, 3, when=("momentum", "!=", 0.25)),
    j=Int(0, 3, when=("depth", "not in", [1, 2])),
    k=Int(0, 3, when=("lr", ">", 0.1)),
    l=Int(0, 3, when=("depth", "<", 4000)),
    m=Int(0, 3, when=("lr", "<", 10)),
    n=Int(0, 3, when=("lr", "in", [0.5, 0.25])),
    o=Ordinal(1, 2, 3, prior=[1, 1, 5]),
    forbid=[
        {"opt": "sgd", "size": ["m", "l"]},
        ("odd", ">", "g"),
        all_of(("lr", ">", 0.5), ("depth", ">=", 2000)),
        any_of(("q", 1.0), ("odd", 20)),
        ("lr", "<", 2e-5),
        ("depth", "!=", "depth"),
        all_of(("b", "!=", 3), ("q", "!=", 0.5), ("momentum", ">=", 0.9)),
        all_of(("depth", "not in", [70, 71]), ("lr", "!=", 0.5), ("o", ">", 2)),
    ],
)

# the older form, as benchmark collections of its time store it
OLD = {
    "hyperparameters": [
        {"name": "alpha", "type": "uniform_float", "log": True, "lower": 0.0009118819655545162,
         "upper": 1096.6331584284585, "default": 1.0},
        {"name": "booster", "type": "categorical", "choices": ["gblinear", "gbtree", "dart"], "default": "gblinear",
         "probabilities": None},
        {"name": "nrounds", "type": "uniform_int", "log": True, "lower": 7, "upper": 2981, "default": 144},
        {"name": "num.impute", "type": "categorical", "choices": ["mean", "hist"], "default": "mean",
         "probabilities": [0.5, 0.5]},
        {"name": "repl", "type": "uniform_int", "log": False, "lower": 1, "upper": 10, "default": 6, "q": None},
        {"name": "eta", "type": "uniform_float", "log": True, "lower": 0.0009118819655545162, "upper": 1.0,
         "default": 0.0301973834},
        {"name": "rate_drop", "type": "uniform_float", "log": False, "lower": 0.0, "upper": 1.0, "default": 0.5},
        {"name": "level", "type": "ordinal", "sequence": ["low", "high"], "default": "low"},
        {"name": "nthread", "type": "constant", "value": 1},
    ],
    "conditions": [
        {"child": "eta", "parent": "booster", "type": "IN", "values": ["dart", "gbtree"]},
        {"child": "rate_drop", "parent": "booster", "type": "EQ", "value": "dart"},
    ],
    "forbiddens": [
        {"type": "AND", "clauses": [{"name": "booster", "type": "EQUALS", "value": "dart"},
                                    {"name": "level", "type": "IN", "values": ["high"]}]},
    ],
    "python_module_version": "0.4.18",
    "json_format_version": 0.2,
}  # fmt: skip


def package(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that the older form is old
        return CS.ConfigurationSpace.from_serialized_dict(json.loads(json.dumps(data)))


def agree(space, theirs, n=120):
    """Both sides accept each other's samples."""
    for config in space.sample(n, np.random.default_rng(0)):
        CS.Configuration(theirs, values=dict(config))
    theirs.seed(1)
    for config in theirs.sample_configuration(n):
        space.check(dict(config))
    default = dict(theirs.get_default_configuration())
    assert default == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in space.default().items()}


def test_everything_means_the_same_to_the_package():
    theirs = package(to_configspace(EVERYTHING))
    agree(EVERYTHING, theirs)
    for back in (theirs, to_configspace(EVERYTHING), json.dumps(to_configspace(EVERYTHING))):
        again = from_configspace(back)
        agree(again, theirs, 40)
        assert again.domains.keys() == EVERYTHING.domains.keys()


def test_a_round_trip_keeps_what_both_know():
    expected = Space(
        opt=Choice("sgd", "adam", prior=[1, 2]),
        lr=Float(1e-5, 1, log=True, default=0.1),
        q=Float(0, 1, step=0.25, default=0.75, prior=Normal(0.5, 0.1)),
        depth=Int(1, 50, step=7, log=True, default=1),
        size=Ordinal("s", "m", "l", prior=[1, 2, 3], default="s"),
        momentum=Float(0, 1, when=("opt", "sgd"), prior=Beta(2, 3)),
        h=Float(1e-3, 10, log=True, prior=Normal(0.1, 1.0), when=("momentum", "<", 0.5)),
        w=Int(1, 9, prior=Normal(4.5, 2), when=("opt", "in", ["adam", "sgd"])),
        e=Fixed("x"),
        forbid=[{"opt": "sgd", "size": ["m", "l"]}, ("depth", ">", "w"), ("lr", "<=", 1e-4)],
    )
    assert from_configspace(to_configspace(expected)) == expected
    through = from_configspace(package(to_configspace(expected)))
    # the package sorts hyperparameters and the values of nothing else
    assert [line.split(":")[0] for line in through.difference(expected)] == ["order"]


def test_the_older_form():
    space = from_configspace(OLD)
    assert space == Space(
        {
            "alpha": Float(0.0009118819655545162, 1096.6331584284585, log=True, default=1.0),
            "booster": Choice("gblinear", "gbtree", "dart"),
            "nrounds": Int(7, 2981, log=True, default=144),
            "num.impute": Choice("mean", "hist"),
            "repl": Int(1, 10, default=6),
            "eta": Float(
                0.0009118819655545162, 1.0, log=True, default=0.0301973834, when=("booster", ["dart", "gbtree"])
            ),
            "rate_drop": Float(0, 1, when=("booster", "dart")),
            "level": Ordinal("low", "high"),
            "nthread": Fixed(1),
        },
        forbid=[{"booster": "dart", "level": ["high"]}],
    )
    agree(space, package(OLD))
    agree(from_configspace(to_configspace(space)), package(to_configspace(space)))


def test_quantisation_of_the_older_form():
    def read(**item):
        return from_configspace({"hyperparameters": [{"name": "x", **item}]})["x"]

    assert read(type="uniform_float", lower=0, upper=1, q=0.25, default=0.5) == Float(0, 1, step=0.25)
    assert read(type="uniform_float", lower=0, upper=1, q=0.3, default=1.0) == Float(0, 0.9, step=0.3, default=0.9)
    assert read(type="uniform_int", lower=1, upper=9, q=1, default=5) == Int(1, 9)
    assert read(type="uniform_int", lower=2, upper=9, q=2, default=5) == Int(2, 8, step=2, default=6)
    assert read(type="unparametrized", value="x") == Fixed("x")


def test_priors_of_the_package_are_drawn_alike():
    cs = CS.ConfigurationSpace()
    cs.add(
        CS.NormalFloatHyperparameter("a", mu=0.2, sigma=0.3, lower=0, upper=1),
        CS.NormalFloatHyperparameter("b", mu=0.1, sigma=5, lower=0.01, upper=10, log=True),
        CS.BetaFloatHyperparameter("c", alpha=2, beta=5, lower=1, upper=3),
        CS.NormalIntegerHyperparameter("d", mu=5, sigma=20, lower=0, upper=100),
        CS.CategoricalHyperparameter("e", [1, 2, 3], weights=[1, 1, 2]),
    )
    cs.seed(0)
    space = from_configspace(cs)
    assert space["e"] == Choice(1, 2, 3, default=3, prior=[1, 1, 2])  # its default is the likeliest
    theirs = [dict(config) for config in cs.sample_configuration(2000)]
    ours = space.sample(2000, np.random.default_rng(0))
    for name in "abcde":
        found = stats.ks_2samp([config[name] for config in ours], [config[name] for config in theirs], method="asymp")
        assert found.statistic < 0.062, name  # the 99.9 % quantile for twice 2000 draws


def test_forms_of_conditions_and_clauses():
    def read(**more):
        items = [{"name": name, "type": "uniform_int", "lower": 1, "upper": 9} for name in "abx"]
        return from_configspace({"hyperparameters": items, **more})

    lt = {"child": "x", "parent": "a", "type": "LT", "value": 5}
    gt = {"child": "x", "parent": "b", "type": "GT", "value": 5}
    neq = {"child": "x", "parent": "a", "type": "NEQ", "value": 2}
    assert str(read(conditions=[lt]).conditions["x"]) == "a < 5"
    assert str(read(conditions=[neq]).conditions["x"]) == "a != 2"
    assert str(read(conditions=[lt, gt]).conditions["x"]) == "a < 5 and b > 5"
    nested = {"type": "OR", "child": "x", "conditions": [{"type": "AND", "child": "x", "conditions": [lt, gt]}, neq]}
    assert str(read(conditions=[nested]).conditions["x"]) == "(a < 5 and b > 5) or a != 2"
    clauses = [
        ({"type": "RELATION", "left": "a", "right": "b", "lambda": "GREATER"}, "a > b"),
        ({"type": "RELATION", "left": "a", "right": "b", "lambda": "LT"}, "a < b"),
        ({"type": "RELATION_GE", "left": "a", "right": "x"}, None),
        ({"type": "CLAUSE_GE", "name": "a", "value": 8}, "a >= 8"),
        ({"type": "IN", "name": "a", "values": [1, 2]}, "a in [1, 2]"),
        ({"type": "OR", "clauses": [{"type": "EQUALS", "name": "a", "value": 9}]}, "a == 9"),
    ]
    for clause, text in clauses:
        if text is None:
            with pytest.raises(SpaceError, match="the default configuration is forbidden: a >= x"):
                read(forbiddens=[clause])
        else:
            assert str(read(forbiddens=[clause]).forbidden[0]) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({}, "this is no ConfigSpace JSON: the list 'hyperparameters' is missing. Check the file."),
        ("{", "ConfigSpace JSON is no valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
              "(char 1). Check the file."),
        ({"hyperparameters": [{"name": "a"}]}, "ConfigSpace JSON: an entry lacks the key 'type'. Check the file."),
        ({"hyperparameters": [{"name": "a", "type": "uniform"}]},
         "hyperparameter 'a': type='uniform'. Did you mean 'uniform_int'?"),
        ({"hyperparameters": [{"name": "a", "type": "normal_float", "mu": 0, "sigma": 1}]},
         "hyperparameter 'a': normal_float without bounds. Allowed: bounded ones. Add lower and upper."),
        ({"hyperparameters": [], "conditions": [{"child": "a", "type": "XOR"}]},
         "ConfigSpace JSON: condition of type 'XOR' is not known. Did you mean 'OR'?"),
        ({"hyperparameters": [], "forbiddens": [{"type": "EQUAL"}]},
         "ConfigSpace JSON: forbidden clause of type 'EQUAL' is not known. Did you mean 'EQUALS'?"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_cannot_be_read(source, text):
    with pytest.raises(SpaceError) as caught:
        from_configspace(source)
    assert str(caught.value) == text


def test_files(tmp_path):
    path = tmp_path / "cs.json"
    path.write_text(json.dumps(OLD), encoding="utf-8")
    assert from_configspace(path) == from_configspace(str(path)) == from_configspace(OLD)
    with pytest.raises(SpaceError, match=r"ConfigSpace file '.*none.json' cannot be read: .* Check the path."):
        from_configspace(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (Space(x=Choice(1, True)), "hyperparameter 'x': ConfigSpace cannot tell apart values of Choice(1, True)"),
        (
            Space(x=Float(0, 1, step=1e-5)),
            "hyperparameter 'x': ConfigSpace has no steps, and 100001 values are too many",
        ),
        (
            Space(a=Int(1, 3), x=Int(1, 2, when=("a", ">", 5))),
            "ConfigSpace cannot express 'a > 5', which can never hold",
        ),
        (
            Space(a=Float(0, 1), x=Int(1, 2, when=("a", "<", -1))),
            "ConfigSpace cannot express 'a < -1', which can never",
        ),
        (
            Space(x=Float(10, 99, log=True, prior=Normal(20, 0.1))),
            "hyperparameter 'x': ConfigSpace cannot express Normal",
        ),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_configspace_cannot_express(space, text):
    with pytest.raises(UnsupportedError) as caught:
        to_configspace(space)
    assert str(caught.value).startswith(text)
