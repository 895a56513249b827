"""Trials as columns and as files, and what comes back from them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra
from luthier.base.records import Configuration, Report, Status, Trial
from luthier.space.problem import Problem
from luthier.study import exchange
from luthier.study.exchange import columns, records, write

SPACE = lu.Space(
    lr=lu.Float(1e-5, 1e-1, log=True),
    layers=lu.Int(1, 8),
    act=lu.Choice("relu", "größer", 3, None),
    bias=lu.Choice(True, False),
    momentum=lu.Float(0.0, 0.9, when=("layers", 2)),
)
PROBLEM = Problem(
    SPACE,
    (lu.Objective("loss"), lu.Objective("acc", "max")),
    (lu.Constraint("latency_ms", 20.0),),
    lu.Fidelity("epoch", 1, 9),
)
ERROR = 'ValueError: "bad", value\nof \udc80 type ü'


def trials() -> list[Trial]:
    done = Trial(
        0,
        Configuration(lr=1e-3, layers=2, act="größer", bias=True, momentum=0.1 + 0.2),
        Status.COMPLETED,
        "default",
        reports=[
            Report(0, 1, {"loss": math.nan, "acc": 0.5, "latency_ms": 3.0}, 0.5, (0.1, 0.2)),
            Report(0, 9, {"loss": 0.25, "acc": math.inf, "latency_ms": 3.0, "extra": 7.0}, 2.5),
        ],
        metrics={"loss": 0.25, "acc": math.inf, "latency_ms": 3.0, "extra": 7.0},
        stderr={"loss": 0.01},
        repeats=[{"loss": 0.24}, {"loss": 0.26}],
        resource=9,
        runs=2,
        worker="worker-1",
        started=100.5,
        ended=103.0,
        seconds=2.5,
        tags={"team": "blue, red"},
        note="two\nlines",
    )
    failed = Trial(
        1, Configuration(lr=1e-4, layers=3, act=None, bias=False), Status.FAILED, "random", runs=1, error=ERROR
    )
    diverged = Trial(
        2,
        Configuration(lr=1e-2, layers=4, act=3, bias=False),
        Status.DIVERGED,
        "random",
        metrics={"loss": math.nan, "acc": -math.inf, "latency_ms": 1.0},
        resource=1,
        parent=0,
    )
    return [done, failed, diverged]


def same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def test_columns_have_a_prefix_for_what_users_name_and_none_for_what_is_absent() -> None:
    table = columns(trials(), PROBLEM)
    assert list(table) == [
        *("number", "status", "origin", "parent"),
        *("param.lr", "param.layers", "param.act", "param.bias", "param.momentum"),
        *("metric.loss", "metric.acc", "metric.latency_ms", "metric.extra", "stderr.loss"),
        *("resource", "seconds", "started", "ended", "worker", "runs", "error", "tag.team", "note"),
    ]
    assert table["param.momentum"] == [0.1 + 0.2, None, None]
    assert table["metric.extra"] == [7.0, None, None]
    assert math.isnan(table["metric.loss"][2])
    assert table["metric.acc"][2] == -math.inf
    assert table["status"] == ["completed", "failed", "diverged"]
    assert table["tag.team"] == ["blue, red", None, None]
    assert table["note"] == ["two\nlines", None, None]


def test_names_that_look_like_ours_do_not_collide() -> None:
    space = lu.Space(number=lu.Int(1, 5), status=lu.Float(0, 1))
    trial = Trial(0, Configuration(number=3, status=0.5), metrics={"number": 1.0, "seconds": 2.0}, tags={"number": "x"})
    table = columns([trial], Problem(space, (lu.Objective("number"),)))
    assert (table["number"], table["param.number"], table["metric.number"], table["tag.number"]) == (
        [0],
        [3],
        [1.0],
        ["x"],
    )


def test_no_trials_give_empty_columns(tmp_path: Path) -> None:
    table = columns([], PROBLEM)
    assert table["param.lr"] == []
    assert table["metric.loss"] == []
    parquet = pytest.importorskip("pyarrow.parquet")
    read = parquet.read_table(write([], PROBLEM, tmp_path / "none.parquet"))
    assert (read.num_rows, read.column_names) == (0, list(table))
    assert (tmp_path / "none.csv").exists() is False
    assert write([], PROBLEM, tmp_path / "none.csv").read_text().startswith("number,status,")


def test_csv_round_trip(tmp_path: Path) -> None:
    path = write(trials(), PROBLEM, tmp_path / "new" / "folder" / "trials.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name, values in columns(trials(), PROBLEM).items():
        for row, value in zip(rows, values, strict=True):
            cell = row[name]
            if value is None:
                assert cell == ""
            elif isinstance(value, float):
                assert same(float(cell), value)
            else:
                assert cell == str(value)
    assert rows[1]["error"] == 'ValueError: "bad", value\nof \\udc80 type ü'


def test_csv_is_read_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(write(trials(), PROBLEM, tmp_path / "t.csv"))
    assert list(frame["param.lr"]) == [1e-3, 1e-4, 1e-2]
    direct = pandas.DataFrame(columns(trials(), PROBLEM))
    assert list(direct["number"]) == [0, 1, 2]
    assert direct["error"][1] == ERROR.replace("\udc80", "\\udc80")


def test_json_is_strict_and_holds_every_report(tmp_path: Path) -> None:
    path = write(trials(), PROBLEM, tmp_path / "t.json")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    text = path.read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=refuse)
    assert found == json.loads(json.dumps(records(trials())))
    assert "größer" in text
    first, second, third = found
    assert first["config"] == dict(trials()[0].config)
    assert first["reports"][0] == {
        "resource": 1,
        "metrics": {"loss": "NaN", "acc": 0.5, "latency_ms": 3.0},
        "seconds": 0.5,
        "folds": [0.1, 0.2],
        "repeat": 0,
    }
    assert float(first["metrics"]["acc"]) == math.inf
    assert float(third["metrics"]["acc"]) == -math.inf
    assert second["error"] == ERROR
    assert second["config"]["act"] is None
    assert "momentum" not in second["config"]


def test_parquet_round_trip(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    read = parquet.read_table(write(trials(), PROBLEM, tmp_path / "t.parquet"))
    types = {field.name: str(field.type) for field in read.schema}
    assert types["number"] == "int64"
    assert types["param.layers"] == "int64"
    assert types["param.bias"] == "bool"
    assert types["param.act"] == "string"  # text, a whole number and None: text holds them all
    assert types["metric.loss"] == types["resource"] == types["started"] == "double"
    back = read.to_pydict()
    for name, values in columns(trials(), PROBLEM).items():
        wanted = [str(v) if name == "param.act" and v is not None else v for v in values]
        assert all(same(a, b) for a, b in zip(back[name], wanted, strict=True)), name


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, *, what: str, extra: str) -> None:
        raise MissingExtra(what, module, extra)

    monkeypatch.setattr(exchange, "need", missing)
    with pytest.raises(MissingExtra) as caught:
        write(trials(), PROBLEM, tmp_path / "t.parquet")
    assert str(caught.value) == 'Parquet export needs pyarrow. Install it with: pip install "luthier[bench]"'
    assert list(tmp_path.iterdir()) == []


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        write(trials(), PROBLEM, tmp_path / "t.xlsx")
    assert str(caught.value) == (
        f"export to {str(tmp_path / 't.xlsx')!r}: no format has the ending '.xlsx'. Allowed: .csv, .json, .parquet. "
        "Write it as t.csv."
    )
    with pytest.raises(ArgumentError, match=r"Did you mean '\.json'\?"):
        write(trials(), PROBLEM, tmp_path / "t.jsn")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.json"
    write(trials()[:1], PROBLEM, path)
    before = path.read_bytes()
    monkeypatch.setattr(exchange, "records", lambda given: [{"half": 1, "rest": object()}])
    with pytest.raises(TypeError):
        write(trials(), PROBLEM, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write(trials(), PROBLEM, path)
    assert len(json.loads(path.read_text())) == 3


def test_a_folder_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError) as caught:
        write(trials(), PROBLEM, tmp_path / "file" / "t.csv")
    assert str(caught.value).startswith(f"export to {str(tmp_path / 'file' / 't.csv')!r} cannot be written (")
    assert str(caught.value).endswith("on a disk with space. Choose another path.")


def test_a_study_exports_its_trials(tmp_path: Path) -> None:
    with lu.Study(lu.Space(x=lu.Float(0, 1)), "loss", searcher="random") as study:
        study.add({"x": 0.25}, {"loss": 0.5})
        study.tag(0, team="blue")
        assert study.frame()["param.x"] == [0.25]
        assert study.frame()["tag.team"] == ["blue"]
        assert json.loads(study.export(tmp_path / "s.json").read_text())[0]["metrics"] == {"loss": 0.5}


def test_a_curve_can_be_added() -> None:
    with lu.Study(lu.Space(x=lu.Float(0, 1)), "loss", searcher="random", fidelity=("epoch", 1, 9)) as study:
        study.add(
            {"x": 0.25}, {"loss": 0.5}, resource=3, status="stopped", reports=[(1, {"loss": 2}), (2, {"loss": 1})]
        )
        study.add({"x": 0.5}, status="failed", reports=[(1, {"loss": 2})])
        first, second = study.trials
    assert [(r.resource, r.metrics) for r in first.reports] == [
        (1, {"loss": 2.0}),
        (2, {"loss": 1.0}),
        (3, {"loss": 0.5}),
    ]
    assert (first.status, first.resource, first.metrics) == (Status.STOPPED, 3, {"loss": 0.5})
    assert (second.status, len(second.reports)) == (Status.FAILED, 1)
    with lu.Study(lu.Space(x=lu.Float(0, 1)), "loss", searcher="random") as study:
        with pytest.raises(ArgumentError) as caught:
            study.add({"x": 0.25}, {"loss": 0.5}, reports=[(1, {"loss": 2})])
        assert study.trials == []
    assert str(caught.value) == (
        "study.add with 1 reports, and the study has no fidelity. Give fidelity=(name, low, high) to Study, or metrics "
        "alone to add."
    )
