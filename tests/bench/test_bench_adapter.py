"""HPOBench's interface: what code written for HPOBench does, and what it may not do."""

from __future__ import annotations

import math
import os
import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from luthier import bench
from luthier.base.errors import ArgumentError, SpaceError, UnsupportedError
from luthier.base.records import Card, Evaluation, Fidelity, Objective, Status
from luthier.bench import hpobench_api
from luthier.bench._base import BaseBenchmark
from luthier.bench.hpobench_api import HPOBenchmark, as_hpobench
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space


class Toy(BaseBenchmark):
    """A conditional space, recorded seeds, two objectives, test values, and a status for every kind of end."""

    def __init__(self, subsample: float = 1.0) -> None:
        self.space = Space(
            kind=Choice("plain", "deep"),
            depth=Int(1, 9, default=3, when=("kind", "deep")),
            rate=Float(0.0, 1.0, default=0.5),
        )
        self.objectives = (Objective("loss"), Objective("acc", "max"))
        self.fidelity = Fidelity("iter", 1, 10)
        self.fidelities = (self.fidelity, Fidelity("subsample", 0.1, 1.0))
        self.card = Card("toy/one", "here", "none", {"file": "0" * 64}, {"loss": 0.0, "acc": 1.0}, "generative", "toy")
        self.bounds = {"loss": (0.0, 99.0)}
        self.subsample = subsample
        self._origin = ("toy/one", {})

    def _evaluate(self, configs, resource, seed):
        return [self._one(config, resource, seed) for config in configs]

    def _one(self, config, resource, seed):
        if config["rate"] == 1.0:
            return Evaluation({}, 1.0, Status.FAILED)
        loss = config["rate"] + (seed or 0) / 10 + config.get("depth", 0)
        loss = math.nan if config["rate"] == 0.0 else loss
        status = Status.DIVERGED if math.isnan(loss) else Status.COMPLETED
        return Evaluation({"loss": loss, "acc": 0.25 * self.subsample}, resource * self.subsample, status)

    def evaluate_test(self, config, *, resource=None, seed=0):
        found = self.evaluate(config, resource=resource, seed=seed)
        return Evaluation({f"test_{name}": value + 1 for name, value in found.metrics.items()}, found.seconds)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(hpobench_api, "load", lambda name, **options: Toy(**options))
    return as_hpobench("toy/one", objective="loss")


def test_a_program_written_for_hpobench():
    pytest.importorskip("ConfigSpace")
    b = as_hpobench("digits/0", rng=1)
    config = b.get_configuration_space(seed=1).sample_configuration()
    fidelity = b.get_fidelity_space(seed=1).get_default_configuration()
    assert dict(fidelity) == {"epoch": 81}
    found = b.objective_function(configuration=config, fidelity={"epoch": 2}, rng=1)
    assert set(found) == {"function_value", "cost", "info"}
    assert found["info"]["fidelity"] == {"epoch": 2}
    assert found["cost"] > 0
    ours = bench.load("digits/0").evaluate(dict(config), resource=2, seed=1)
    assert found["function_value"] == ours.metrics["log_loss"]
    tested = b.objective_function_test(config, fidelity={"epoch": 2}, rng=1)
    assert tested["info"]["split"] == "test"
    assert list(tested["info"]["metrics"][0]) == ["test_error"]
    assert b.get_meta_information()["name"] == "digits/0"


@pytest.mark.parametrize("name", ["svm/wine", "svm/iris@small", "yahpo/lcbench/3945"])
def test_the_program_of_hpobenchs_readme(name):
    """One that trains, a table and a surrogate; `b` is all that differs from a program for HPOBench."""
    pytest.importorskip("ConfigSpace")
    if name.startswith("yahpo"):
        pytest.importorskip("onnxruntime", reason="needs onnxruntime (the extra 'bench')")
        if not os.environ.get("LUTHIER_DATA"):
            pytest.skip("needs LUTHIER_DATA with yahpo/lcbench, for the surrogate")
    b = as_hpobench(name, rng=1, without_test="validation")
    results = []
    for seed in (1, 1, 2):
        config = b.get_configuration_space(seed=seed).sample_configuration()
        least = {key: axis.lower for key, axis in dict(b.get_fidelity_space(seed=1)).items()}
        for fidelity in (None, least, b.get_fidelity_space(seed=1).sample_configuration()):
            result_dict = b.objective_function(configuration=config, fidelity=fidelity, rng=1)
            results.append((result_dict["function_value"], result_dict["cost"]))
        hidden = b.objective_function_test(configuration=config, rng=1)
        results.append((hidden["function_value"], hidden["cost"]))
    assert results[:4] == results[4:8] != results[8:], "equal seeds, equal answers"
    assert np.isfinite(results).all()
    assert results[1][1] < results[0][1], "less of the fidelity costs less"
    meta = b.get_meta_information()
    assert meta["name"] == name
    assert {"references", "license", "note", "noise", "optimum", "bounds"} <= set(meta)


def test_spaces_are_those_of_the_benchmark(toy):
    pytest.importorskip("ConfigSpace")
    assert set(toy.configuration_space) == {"kind", "depth", "rate"}
    assert dict(toy.configuration_space.get_default_configuration()) == {"kind": "plain", "rate": 0.5}
    assert dict(toy.fidelity_space.get_default_configuration()) == {"iter": 10, "subsample": 1.0}
    same = [toy.get_configuration_space(seed=3).sample_configuration(5) for _ in range(2)]
    assert same[0] == same[1]
    assert list(as_hpobench(bench.load("synthetic/branin")).fidelity_space) == []


def test_inactive_go_and_missing_take_defaults(toy):
    assert toy.objective_function({"kind": "plain", "depth": 7, "rate": 0.25})["function_value"] == 0.25
    assert toy.objective_function({"kind": "deep"})["function_value"] == 3.5
    assert toy.objective_function({})["function_value"] == 0.5
    with pytest.raises(SpaceError, match=r"benchmark 'toy/one': configuration has hyperparameter 'rat'.*'rate'\?"):
        toy.objective_function({"rat": 0.1})
    with pytest.raises(SpaceError, match=r"rate=2\.0 does not fit"):
        toy.objective_function({"rate": 2.0})


def test_the_given_dictionaries_stay_as_they_are(toy):
    config, fidelity = {"kind": "plain", "depth": 7}, {"iter": 5}
    toy.objective_function(config, fidelity)
    assert (config, fidelity) == ({"kind": "plain", "depth": 7}, {"iter": 5})


def test_fidelities(toy):
    assert toy.objective_function({})["cost"] == 10.0
    assert toy.objective_function({}, {"iter": 4})["cost"] == 4.0
    half = toy.objective_function({}, {"iter": 4, "subsample": 0.5})
    assert half["cost"] == 2.0  # a second fidelity is an option of the family
    assert half["info"]["fidelity"] == {"iter": 4, "subsample": 0.5}
    assert toy.objective_function({}, fidelity=toy.fidelity_space.get_default_configuration())["cost"] == 10.0


@pytest.mark.parametrize(
    ("fidelity", "keywords", "message"),
    [
        ({"iterr": 3}, {}, r"benchmark 'toy/one' has no fidelity 'iterr'\. Did you mean 'iter'\?"),
        (None, {"iter": 3}, r"fidelity 'iter' is given as a keyword\. Write fidelity=\{'iter': 3\}\."),
        ({"iter": 11}, {}, r"toy/one': iter=11\. Allowed: a whole number and at least 1 and at most 10\."),
        ({"iter": 2.5}, {}, r"iter=2\.5\. Allowed: a whole number"),
        (3, {}, r"fidelity=3\. Allowed: a mapping"),
    ],
)
def test_wrong_fidelities(toy, fidelity, keywords, message):
    with pytest.raises(ArgumentError, match=message):
        toy.objective_function({}, fidelity, **keywords)


def test_a_fidelity_where_there_is_none():
    b = as_hpobench("synthetic/branin")
    assert b.objective_function({}, {})["info"]["fidelity"] == {}
    with pytest.raises(ArgumentError, match=r"has no fidelity 'iter'\. It has no fidelity\."):
        b.objective_function({}, {"iter": 1})


def test_seeds(toy):
    at_half = [toy.objective_function({}, rng=seed)["function_value"] for seed in (0, 2, 0)]
    assert at_half == [0.5, 0.7, 0.5]
    assert toy.objective_function({}, run_index=2)["function_value"] == 0.7
    both = toy.objective_function({}, seed=(0, 2))
    assert both["function_value"] == pytest.approx(0.6)
    assert both["cost"] == 10.0  # averaged as the value is
    assert both["info"]["seeds"] == [0, 2]
    draws = [toy.objective_function({}, rng=np.random.default_rng(5))["info"]["seeds"] for _ in range(2)]
    assert draws[0] == draws[1]
    with pytest.raises(ArgumentError, match="seed=-1"):
        toy.objective_function({}, rng=-1)
    with pytest.raises(ArgumentError, match=r"no seed in \(\)"):
        toy.objective_function({}, data_seed=())


def test_a_legacy_random_state_moves_on(toy):
    state = np.random.mtrand.RandomState(3)
    seeds = [toy.objective_function({}, rng=state)["info"]["seeds"][0] for _ in range(2)]
    assert seeds[0] != seeds[1]


def test_other_keywords_are_named(toy):
    assert toy.objective_function({}, shuffle=True)["info"]["ignored"] == ["shuffle"]


def test_everything_is_minimised():
    acc = HPOBenchmark(Toy(), objective="acc")
    assert acc({}) == -0.25
    assert acc.get_meta_information()["optimum"] == {"acc": -1.0}
    assert HPOBenchmark(Toy())({}) == {"loss": 0.5, "acc": -0.25}
    with pytest.raises(ArgumentError, match=r"objective='los'\. Did you mean 'loss'\?"):
        HPOBenchmark(Toy(), objective="los")


def test_failure_and_divergence_are_infinitely_bad(toy):
    for rate, status in ((1.0, "failed"), (0.0, "diverged")):
        found = toy.objective_function({"rate": rate})
        assert found["function_value"] == math.inf
        assert found["info"]["status"] == [status]


def test_test_values(toy):
    assert toy.objective_function_test({})["function_value"] == 1.5


def test_a_failure_on_the_test_set_is_infinitely_bad():
    class Broken(Toy):
        def evaluate_test(self, config, *, resource=None, seed=0):
            return Evaluation({}, 3.0, Status.FAILED)

    found = as_hpobench(Broken(), objective="loss").objective_function_test({})
    assert (found["function_value"], found["cost"], found["info"]["split"]) == (math.inf, 3.0, "test")


def test_where_there_are_no_test_values():
    with pytest.raises(UnsupportedError, match="has no test values"):
        as_hpobench("synthetic/branin").objective_function_test({})
    lenient = as_hpobench("synthetic/branin", without_test="validation")
    found = lenient.objective_function_test({})
    assert found["info"]["split"] == "validation"
    assert found["function_value"] == lenient({})
    with pytest.raises(ArgumentError, match="without_test='no'"):
        as_hpobench("synthetic/branin", without_test="no")


class Split(Toy):
    """Test values of one of the objectives alone, named as surrogates name them."""

    def __init__(self):
        super().__init__()
        self.objectives = (Objective("val_loss"), Objective("val_cost"))

    def _one(self, config, resource, seed):
        return Evaluation({"val_loss": 0.5, "val_cost": 2.0}, 1.0)

    def evaluate_test(self, config, *, resource=None, seed=0):
        return Evaluation({"test_loss": 0.75, "test_other": 9.0}, 1.0)


def test_an_objective_whose_test_value_is_missing():
    found = as_hpobench(Split(), objective="val_loss").objective_function_test({})
    assert (found["function_value"], found["info"]["split"]) == (0.75, "test")
    with pytest.raises(UnsupportedError, match="objective 'val_cost' has no test value among"):
        as_hpobench(Split(), objective="val_cost").objective_function_test({})
    found = as_hpobench(Split(), objective="val_cost", without_test="validation").objective_function_test({})
    assert (found["function_value"], found["info"]["split"]) == (2.0, "validation")


def test_as_a_function_for_scipy():
    b = as_hpobench("synthetic/branin")
    found = minimize(lambda x: b(np.clip(x, (-5, 0), (10, 15))), (2.5, 3.0), method="Nelder-Mead")
    assert found.fun == pytest.approx(b.get_meta_information()["optimum"]["value"], abs=1e-6)
    with pytest.raises(ArgumentError, match=r"a configuration of 1 values\. Allowed: a mapping, or 2 values in"):
        b([1.0])


def test_a_table():
    b = as_hpobench("fcnet/protein_structure")
    config = b.benchmark.space.default()
    each = [b.objective_function(config, run_index=i)["function_value"] for i in range(4)]
    assert len(set(each)) > 1
    assert b.objective_function(config, run_index=(0, 1, 2, 3))["function_value"] == pytest.approx(np.mean(each))
    meta = b.get_meta_information()
    assert meta["optimum"]["valid_mse"] <= min(each)
    assert meta["noise"] == "4 recorded seeds"


def test_options_belong_to_names():
    with pytest.raises(ArgumentError, match="Allowed: options with a name"):
        as_hpobench(Toy(), subsample=0.5)


def test_without_configspace_the_space_is_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "ConfigSpace", None)
    assert isinstance(as_hpobench("synthetic/branin").configuration_space, Space)
