"""`bench.selftest` and its command: it passes here, and finds what is wrong."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.records import Evaluation
from luthier.bench import selfcheck
from luthier.bench.families import net
from luthier.bench.families._functions import Function
from luthier.bench.selfcheck import TWELVE
from luthier.cli._app import app

NEEDS_DATA = pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set")


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)


def call(*words):
    return CliRunner().invoke(app, ["bench", *words], prog_name="luthier")


def test_the_twelve_families_work_without_any_data(no_data):
    pytest.importorskip("xgboost", reason='xgboost is not installed: pip install "luthier[bench]"')
    told = []
    found = bench.selftest(TWELVE, told=told.append)
    assert [(one.family, one.status, one.why) for one in found] == [(family, "ok", "") for family in TWELVE]
    assert told == found
    assert all(one.twelve for one in found)


def test_all_others_work_or_say_what_is_missing(no_data):
    others = [family for family in {name.partition("/")[0] for name in bench.names()} if family not in TWELVE]
    found = bench.selftest([*sorted(others), "yahpo"])
    assert {one.status for one in found} == {"ok", "no data"}
    assert all("LUTHIER_DATA" in one.why for one in found if one.status == "no data")
    assert not any(one.twelve for one in found)


@NEEDS_DATA
def test_those_that_need_data_work_too():
    found = bench.selftest(("fcnet", "othpo", "yahpo", "hpobench_mlp", "transfer_xgboost", "hw_gpt_bench"))
    assert [(one.family, one.status, one.why) for one in found if one.status != "ok"] == []
    assert [one.instance for one in found if one.family == "fcnet"][1:] == ["fcnet/slice_localization"]


def test_how_many_run(no_data):
    found = bench.count()
    assert found["own"] >= 60
    assert found["supplied"] == 0


@NEEDS_DATA
def test_how_many_run_with_data():
    found = bench.count()
    assert found["own"] >= 60
    assert found["supplied"] >= 150


def drifting():
    """Answers with the number of the question."""
    asked = itertools.count()
    return lambda *_: [Evaluation({"value": 1 + 1e-6 * next(asked)})]


def always(*args, **more):
    return lambda *_: [Evaluation(*args, **more)]


def crash(*_):
    raise ZeroDivisionError("by nothing")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (drifting(), r"Evaluation\(.* after Evaluation\("),
        (always({"value": 1.0, "test_value": 2.0}), r"test values among the answers: \['value', 'test_value'\]"),
        (always({"value": 1.0}, -1.0), "a cost of -1.0 seconds"),
        (always({"other": 1.0}), r"an objective is not among \['other'\]"),
        (always({"value": -5.0}), r"value=-5.0 lies outside \["),
        (crash, "ZeroDivisionError: by nothing"),
    ],
)
def test_defects_are_found(answers, message, monkeypatch):
    monkeypatch.setattr(Function, "_evaluate", answers)
    [found] = bench.selftest(["synthetic"])
    assert (found.status, found.instance) == ("failed", "synthetic/branin")
    assert re.search(message, found.why)


def test_costs_that_fall_are_found(no_data, monkeypatch):
    true = net.Net._evaluate
    monkeypatch.setattr(
        net.Net,
        "_evaluate",
        lambda self, configs, resource, seed: [
            replace(one, seconds=100 - one.seconds) for one in true(self, configs, resource, seed)
        ],
    )
    [found] = bench.selftest(["net"])
    assert re.search(r"amounts \[3.*, 9.*\] cost \[97.0, 91.0\]", found.why)


def test_what_is_not_refused_is_found(monkeypatch):
    monkeypatch.setattr(Function, "_check", lambda self, config: config)
    [found] = bench.selftest(["synthetic"])
    assert found.status == "failed"
    assert "an unknown hyperparameter is not refused with SpaceError" in found.why


def test_another_file_than_the_cards_is_found(no_data, tmp_path, monkeypatch):
    monkeypatch.setattr(selfcheck, "shipped", lambda name: tmp_path / name)
    (tmp_path / "net_iris_small.npz").write_bytes(b"changed since")
    [found] = bench.selftest(["net"])
    assert found.status == "failed"
    assert found.why.endswith("net_iris_small.npz is not the file that the card names")


def test_families_that_are_not_known():
    with pytest.raises(ArgumentError, match="benchmark family 'swm' is not known"):
        bench.selftest(["swm"])


# the command ---------------------------------------------------------------------------------------------


def test_the_command(no_data):
    found = call("selftest", "nb101", "fcnet", "synthetic")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["nb101", "ok"], ["fcnet", "ok"], ["synthetic", "ok"]]
    assert lines[3] == "2 of 2 families of HPOBench work here"
    [*rows] = json.loads(call("selftest", "net", "--json").stdout)
    assert [(row["family"], row["status"], row["instance"]) for row in rows] == [("net", "ok", "net/iris@small")]


def test_a_missing_package_is_one_line(no_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    found = call("selftest", "xgb", "nb101")
    assert found.exit_code == 3
    [line] = [line for line in found.stdout.splitlines() if line.startswith("xgb")]
    assert line.split()[1] == "skipped"
    assert "luthier[bench]" in line
    assert "1 of 2 families of HPOBench work here" in found.stdout


def test_a_failure_has_its_own_code(monkeypatch):
    monkeypatch.setattr(Function, "_evaluate", crash)
    found = call("selftest", "synthetic")
    assert found.exit_code == 4
    assert "synthetic/branin  ZeroDivisionError: by nothing" in found.stdout


def test_missing_data_of_others_is_no_failure(no_data):
    found = call("selftest", "yahpo", "hpobench_mlp")
    assert found.exit_code == 0
    assert "no data" in found.stdout


def test_the_list_ends_with_how_many_run(no_data):
    found = call("list").stdout.splitlines()
    assert re.fullmatch(
        r"\d+ instances run here without further files, 0 more with the folder of LUTHIER_DATA, which is not set",
        found[-2],
    )
