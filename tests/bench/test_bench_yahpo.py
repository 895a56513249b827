"""The reader of YAHPO surrogates, on a tiny scenario of the true format, and on the published ones if at hand."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from onnx_file import linear

from luthier import bench
from luthier.base.errors import (
    ArgumentError,
    BenchmarkError,
    ChecksumError,
    DataMissing,
    NumericsWarning,
    SpaceError,
    UnsupportedError,
)
from luthier.base.records import Configuration, Fidelity, Objective
from luthier.bench.data import checksum
from luthier.bench.yahpo import Scenario, Surrogate, limits
from luthier.testing.benchmark import check_benchmark

pytest.importorskip("onnxruntime", reason='onnxruntime is not installed: pip install "luthier[bench]"')
REAL = os.environ.get("LUTHIER_DATA")
GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "yahpo_golden.json").read_text())["scenarios"]

SPACE = {
    "hyperparameters": [
        {"name": "task_id", "type": "categorical", "choices": ["a", "b"], "default": "a"},
        {"name": "kind", "type": "categorical", "choices": ["tree", "line"], "default": "tree"},
        {"name": "rate", "type": "uniform_float", "log": True, "lower": 0.01, "upper": 1.0, "default": 0.1},
        {"name": "leaves", "type": "uniform_int", "log": False, "lower": 1, "upper": 8, "default": 4},
        {"name": "epoch", "type": "uniform_int", "log": False, "lower": 1, "upper": 10, "default": 5},
        {"name": "repl", "type": "uniform_int", "log": False, "lower": 1, "upper": 3, "default": 1},
    ],
    "conditions": [{"child": "leaves", "parent": "kind", "type": "EQ", "value": "tree"}],
    "forbiddens": [],
    "json_format_version": 0.2,
}
META = {
    "x_cat": ["task_id", "kind"],
    "x_cont": ["rate", "leaves", "epoch", "repl"],
    "targets": ["timetrain", "acc", "test_acc", "f1"],
    "minimize": [True, False, False, True],
    "fidelity": ["epoch", "repl"],
    "instance_name": "task_id",
    "runtime": "timetrain",
    "memory": None,
}
ENCODING = {"task_id": {"#na#": 0, "a": 1, "b": 2}, "kind": {"#na#": 0, "line": 1, "tree": 2}}
# rows: task, kind, rate, leaves, epoch, repl
WEIGHTS = np.array(
    [[0, 0.01, 0.02, 0], [0, 0.1, 0, 0], [0, -0.2, 0, 0], [1, 0.05, 0, 0], [2, 0.01, 0.01, 0.01], [0.5, 0, 0, 0]]
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    here = tmp_path / "yahpo" / "tiny"
    here.mkdir(parents=True)
    (here / "model.onnx").write_bytes(linear(WEIGHTS, 2))
    for name, content in (("config_space", SPACE), ("meta", META), ("encoding", ENCODING)):
        (here / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    return here


def test_what_is_read(folder):
    b = bench.load("yahpo/tiny/b")
    assert b.space.names == ("kind", "rate", "leaves")
    assert set(b.space.conditions) == {"leaves"}
    assert b.fidelity == Fidelity("epoch", 1, 10)
    assert b.objectives == (Objective("acc", "max"),), "the first target that is no time"
    assert bench.load("yahpo/tiny/b", objectives="f1, timetrain").objectives == (
        Objective("f1", "max"),  # the published flag says that f1 is minimised
        Objective("timetrain", "min"),
    )
    assert bench.names("yahpo/tiny") == ["yahpo/tiny/a", "yahpo/tiny/b"]
    files = ("model.onnx", "encoding.json", "config_space.json", "meta.json")
    assert set(b.card.checksum) == {f"yahpo/tiny/{name}" for name in files}


def test_values_by_hand(folder):
    b = bench.load("yahpo/tiny/b")
    found = b.evaluate({"kind": "tree", "rate": 0.1, "leaves": 3}, resource=4)
    # task b = 2, tree = 2, repl at its most = 3
    assert found.metrics == pytest.approx(
        {"timetrain": 3 * 1 + 4 * 2 + 3 * 0.5, "acc": 0.02 + 0.2 - 0.02 + 0.15 + 0.04, "f1": 0.04}, rel=1e-5
    )
    assert found.seconds == pytest.approx(12.5)
    # leaves is inactive: 0
    line = b.evaluate({"kind": "line", "rate": 0.1}, resource=4)
    assert line.metrics["acc"] == pytest.approx(0.02 + 0.1 - 0.02 + 0.04, rel=1e-5)
    assert b.evaluate_test({"kind": "line", "rate": 0.1}, resource=4).metrics == pytest.approx({"test_acc": 0.08})
    assert [round(one.seconds, 4) for _, one in b.curve({"kind": "line", "rate": 0.1}, 3)] == [3.5, 5.5, 7.5]


def told(ask):
    """What came of a question: rounded metrics, or the words of the refusal."""
    try:
        return {name: float(f"{value:.5g}") for name, value in ask().metrics.items()}
    except SpaceError as error:
        return str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 2.0}, {"rate": 1}, {"rate": True}, {"rate": np.float64(0.5)}, {"rate": float("nan")}, {"leaves": 9},
        {"leaves": 2.0}, {"kind": "bush"}, {"kind": "line"}, {"kind": ["tree"]}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_many_are_judged_as_they_are_one_by_one(folder, change):
    b = bench.load("yahpo/tiny/b")
    sampled = b.space.sample(30, np.random.default_rng(0))
    assert b._plain.all_of(sampled)
    assert not b._plain.all_of([*sampled, dict(sampled[0])])
    odd = Configuration({"kind": "tree", "rate": 0.5, "leaves": 3, **change})
    alone, many = (told(lambda: b.evaluate(odd)), told(lambda: b.evaluate_batch([*sampled, odd])[-1]))
    assert alone == many
    assert not b._plain.all_of([*sampled, odd])


def test_battery_on_the_tiny_scenario(folder):
    check_benchmark(bench.load("yahpo/tiny/a"))


def test_what_cannot_be_is_clipped_with_one_warning(folder):
    (folder / "model.onnx").write_bytes(linear(10 * WEIGHTS, 2))
    b = bench.load("yahpo/tiny/b")
    config = {"kind": "tree", "rate": 1.0, "leaves": 8}
    with pytest.warns(NumericsWarning) as caught:
        assert b.evaluate(config).metrics["acc"] == 1.0
    assert str(caught[0].message) == (
        "benchmark 'yahpo/tiny/b': the surrogate predicts values that cannot be, such as acc beyond [0, 1]; they are "
        "clipped."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        b.evaluate(config)


def test_golden_rows_of_the_tiny_scenario(folder):
    scenario = Scenario.read(folder)
    rng = np.random.default_rng(0)
    x_cat, x_cont = rng.integers(0, 3, (7, 2)).astype(np.int32), rng.random((7, 4)).astype(np.float32)
    expected = np.concatenate([x_cat, x_cont], axis=1) @ WEIGHTS
    assert scenario.predict(x_cat, x_cont) == pytest.approx(expected, rel=1e-5)


def test_refusals(folder, tmp_path, monkeypatch):
    with pytest.raises(ArgumentError) as caught:
        bench.load("yahpo/tiny/c")
    assert str(caught.value) == "benchmark 'yahpo/tiny/c': Allowed: 'a', 'b'."
    with pytest.raises(ArgumentError) as caught:
        bench.load("yahpo/tiny/a", objectives="ac")
    assert str(caught.value) == "benchmark 'yahpo/tiny/a': objective 'ac'. Did you mean 'acc'?"
    with pytest.raises(ArgumentError, match="objective 'test_acc'"):
        bench.load("yahpo/tiny/a", objectives="test_acc")
    with pytest.raises(ArgumentError, match="names no task"):
        bench.load("yahpo/tiny")
    (folder / "meta.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="is no YAHPO scenario in the layout that luthier reads"):
        bench.load("yahpo/tiny/a")
    (folder / "encoding.json").unlink()
    with pytest.raises(DataMissing) as missing:
        bench.load("yahpo/tiny/a")
    assert str(missing.value).startswith(f"benchmark 'yahpo/tiny/a': {folder / 'encoding.json'} is not there.")
    monkeypatch.delenv("LUTHIER_DATA")
    with pytest.raises(DataMissing, match=r"LUTHIER_DATA is not set\. Set it to a folder that holds yahpo/tiny/"):
        bench.load("yahpo/tiny/a")


@pytest.mark.parametrize("content", ["nonsense", "[]", "{}", None], ids=str)
def test_a_broken_scenario_hides_no_other(folder, content):
    shutil.copytree(folder, folder.parent / "broken")
    meta = folder.parent / "broken" / "meta.json"
    meta.unlink()
    if content is not None:
        meta.write_text(content)
    assert bench.names("yahpo/") == ["yahpo/tiny/a", "yahpo/tiny/b"]
    with pytest.raises((BenchmarkError, DataMissing), match=r"meta\.json"):
        bench.load("yahpo/broken/a")


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"resource": "ten"}, ArgumentError, r"resource='ten'\. Allowed: epoch from 1 to 10 in whole steps\."),
        ({"resource": 2.5}, ArgumentError, r"resource=2\.5\. Allowed: epoch from 1 to 10 in whole steps\."),
        ({"resource": True}, ArgumentError, r"resource=True\. Allowed: epoch"),
        ({"resource": float("nan")}, ArgumentError, r"resource=nan\. Allowed: epoch"),
        ({"seed": -1}, ArgumentError, r"seed=-1\. Allowed: a whole number from 0"),
        ({"seed": "a"}, ArgumentError, r"seed='a'\. Allowed: a whole number from 0"),
        ({"config": None}, SpaceError, r"configuration=None\. Allowed: a mapping from names to values"),
        ({"config": [1, 2]}, SpaceError, r"configuration=\[1, 2\]\. Allowed: a mapping"),
        ({"config": {"kind": "line", "rate": 0.1, "epoch": 3}}, SpaceError, "has hyperparameter 'epoch', which the"),
    ],
)
def test_what_is_no_question_is_refused(folder, asked, error, message):
    b = bench.load("yahpo/tiny/b")
    question = {"config": {"kind": "line", "rate": 0.1}, **asked}
    for ask in (b.evaluate, b.evaluate_test):
        if ask == b.evaluate or "seed" not in asked:  # test values have no seeds here
            with pytest.raises(error, match=message):
                ask(question["config"], **{key: value for key, value in asked.items() if key != "config"})
    assert b.evaluate({"kind": "line", "rate": 0.1}, resource=np.int64(4), seed=np.int64(3)).seconds > 0


def test_a_broken_network_is_a_clear_error(folder):
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(BenchmarkError, match="cannot be loaded"):
        bench.load("yahpo/tiny/a").evaluate({"kind": "line", "rate": 0.1})


def test_a_changed_known_network_is_refused(folder):
    known = folder.parent / "lcbench"
    folder.rename(known)
    with pytest.raises(ChecksumError, match="this benchmark was made for b45c0d85"):
        bench.load("yahpo/lcbench/a")


def published():
    """Scenarios in the data folder, whatever a user has put there."""
    return [] if REAL is None else sorted(path.parent.name for path in Path(REAL).glob("yahpo/*/model.onnx"))


@pytest.mark.skipif(REAL is None, reason="LUTHIER_DATA is not set: the published surrogates are not at hand")
@pytest.mark.parametrize("name", published())
def test_golden_rows_of_the_published_surrogates(name):
    """What a plain onnxruntime session said of random configurations (tests/data/make_yahpo_golden.py)."""
    if name not in GOLDEN:
        pytest.skip(f"no golden rows were recorded of {name}: run tests/data/make_yahpo_golden.py where it is at hand")
    kept = GOLDEN[name]
    assert kept["sha256"] == checksum(Path(REAL) / "yahpo" / name / "model.onnx")
    for row in kept["rows"]:
        b = bench.load(f"yahpo/{name}/{row['task']}")
        resource = row["fidelity"][b.fidelity.name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericsWarning)  # what cannot be is clipped
            found = dict(b.evaluate(row["config"], resource=resource).metrics)
            with contextlib.suppress(UnsupportedError):
                found |= b.evaluate_test(row["config"], resource=resource).metrics
            batch = b.evaluate_batch([row["config"]] * 300, resource=resource)[-1].metrics
        expected = {target: float(np.clip(value, *limits(target))) for target, value in row["values"].items()}
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert batch == pytest.approx({target: expected[target] for target in batch}, rel=1e-3, abs=1e-5)


@pytest.mark.skipif(REAL is None, reason="LUTHIER_DATA is not set: the published surrogates are not at hand")
@pytest.mark.parametrize("name", published())
def test_golden_inputs_of_the_data_folder(name):
    """Inputs and outputs that were kept beside a network."""
    where = Path(REAL) / "yahpo" / name
    if not (where / "golden.npz").is_file():
        pytest.skip(f"{name} has no golden.npz beside it")
    with np.load(where / "golden.npz", allow_pickle=False) as golden:
        found = Scenario.read(where).predict(golden["x_cat"], golden["x_cont"])
        assert found == pytest.approx(golden["y"], rel=2e-3, abs=1e-6)


@pytest.mark.skipif(REAL is None, reason="LUTHIER_DATA is not set: the published surrogates are not at hand")
def test_the_encoding_meets_the_golden_inputs():
    """A configuration decoded from a golden row encodes to that row again."""
    b = bench.load("yahpo/rbv2_xgboost/16")
    with np.load(Path(REAL) / "yahpo" / "rbv2_xgboost" / "golden.npz", allow_pickle=False) as golden:
        x_cat, x_cont, y = golden["x_cat"], golden["x_cont"], golden["y"]
    scenario, loaded = b.scenario, {}
    names = {name: {code: word for word, code in codes.items()} for name, codes in scenario.categories.items()}
    for cat, cont, expected in zip(x_cat, x_cont, y, strict=True):
        words = {name: names[name][int(code)] for name, code in zip(names, cat, strict=True)}
        numbers = dict(zip(scenario.numbers, map(float, cont), strict=True))
        task = words.pop("task_id")
        one = loaded.get(task) or Surrogate(scenario, task, (), b.card)
        loaded[task] = one
        config = {n: v for n, v in {**words, **numbers}.items() if n in one.space}
        config = {n: round(v) if n in ("nrounds", "max_depth") else v for n, v in config.items()}
        rows = one.encode([{n: v for n, v in config.items() if v != "#na#"}], [numbers["trainsize"]])
        again = rows[1].copy()
        again[0, scenario.numbers.index("repl")] = numbers["repl"]
        assert rows[0][0].tolist() == cat.tolist()
        assert again[0] == pytest.approx(cont, rel=1e-6)
        assert scenario.predict(rows[0], again)[0] == pytest.approx(expected, rel=2e-3, abs=1e-3)
    assert len(loaded) > 10
