"""Syne Tune's experiments, read from their folders."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import zipfile
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError, StorageError
from luthier.base.records import Fidelity, Status
from luthier.study.from_syne_tune import read_syne_tune

DATA = Path(__file__).parents[1] / "data"
DATABASE, JOURNAL, SYNE_TUNE = (DATA / "foreign" / name for name in ("optuna.db", "optuna.journal", "syne_tune"))


def test_syne_tune_experiment() -> None:
    history = read_syne_tune(SYNE_TUNE)
    assert history.name == "syne_tune"
    assert history.space == lu.Space(
        lr=lu.Float(1e-4, 1e-1, log=True),
        width=lu.Int(8, 64),
        act=lu.Choice("relu", "gelu", "elu"),
        epochs=lu.Fixed(9),
    )
    assert history.objectives == (lu.Objective("accuracy", "max"),)
    assert history.fidelity == Fidelity("epoch", 1, 9)
    assert history.left_out == {"InProgress": 2}
    assert history.filled == {}
    assert [int(t.tags["syne_tune"]) for t in history.trials] == list(range(10))
    by_status = {s: [i for i, t in enumerate(history.trials) if t.status is s] for s in Status}
    assert by_status[Status.COMPLETED] == [1, 2, 4]
    assert by_status[Status.FAILED] == [5]
    assert by_status[Status.STOPPED] == [0, 3, 6, 7, 8, 9]
    for i, trial in enumerate(history.trials):
        if i == 5:
            assert (trial.metrics, trial.curve) == (None, ())
            continue
        assert [at for at, _ in trial.curve] == list(range(1, int(trial.resource or 0) + 1))
        for epoch, metrics in trial.curve:  # what the fixture's program computes
            lr, width = trial.config["lr"], trial.config["width"]
            assert metrics == {
                "accuracy": pytest.approx(width / 64 - abs(lr - 0.01) - 0.5 / epoch),
                "cost": float(width),
            }


def test_syne_tune_tuner_is_never_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(SYNE_TUNE, folder)
    (folder / "tuner.dill").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert read_syne_tune(folder).trials == read_syne_tune(SYNE_TUNE).trials


def _experiment(
    folder: Path, rows: list[dict[str, object]], metadata: dict[str, object] | None, *, zipped: bool
) -> Path:
    folder.mkdir(exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    if zipped:
        with zipfile.ZipFile(folder / "results.csv.zip", "w") as archive:
            archive.writestr("results.csv", text.getvalue())
    else:
        (folder / "results.csv").write_text(text.getvalue())
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def test_syne_tune_space_from_columns_and_single_reports(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {
            "trial_id": i,
            "a": i / 2,
            "b": "" if i == 2 else i,
            "word": "x",
            "config_lr": 10.0 ** (-i - 1),
            "config_n": 3 * i + 1,
            "config_big": 10 ** (i + 1),
            "config_flag": i == 1,
            "config_kind": ["u", "v", "u"][i],
            "config_one": 7,
            "st_status": "Failed" if i == 1 else "InProgress",
        }
        for i in range(3)
    ]
    folder = _experiment(
        tmp_path / "e", rows, {"metric_names": ["a", "b"], "metric_mode": ["min", "max"]}, zipped=False
    )
    history = read_syne_tune(folder)
    assert history.space == lu.Space(
        lr=lu.Float(1e-3, 1e-1),  # two decades: not more
        n=lu.Int(1, 7),
        big=lu.Int(10, 1000),
        flag=lu.Choice(False, True),
        kind=lu.Choice("u", "v"),
        one=lu.Fixed(7),
    )
    assert history.objectives == (lu.Objective("a"), lu.Objective("b", "max"))
    assert history.fidelity is None
    assert [t.status for t in history.trials] == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
    assert history.trials[0].metrics == {"a": 0.0, "b": 0.0}
    assert history.trials[2].metrics == {"a": 1.0, "b": pytest.approx(math.nan, nan_ok=True)}
    wide = [{**row, "config_lr": 10.0 ** (-3 * i)} for i, row in enumerate(rows)]
    assert read_syne_tune(_experiment(tmp_path / "w", wide, None, zipped=True), objectives=[lu.Objective("a")]).space[
        "lr"
    ] == lu.Float(1e-6, 1.0, log=True)


def test_syne_tune_given_space_resource_and_odd_trials(tmp_path: Path) -> None:
    def row(trial: int, step: int, x: float, decision: str, status: str = "InProgress") -> dict[str, object]:
        return {
            "trial_id": trial,
            "t": step,
            "loss": x + step,
            "config_x": x,
            "st_decision": decision,
            "st_status": status,
        }

    rows = [
        row(0, 0, 0.5, "CONTINUE"),
        row(0, 1, 0.5, "PAUSE"),
        row(1, 0, 0.25, "CONTINUE", "Completed"),
        row(0, 2, 0.75, "CONTINUE"),  # goes on with another configuration
        row(2, 0, 0.125, "CONTINUE", "Failed"),
    ]
    folder = _experiment(tmp_path / "e", rows, {"metric_names": "loss"}, zipped=True)
    space = lu.Space(x=lu.Float(0, 1), act=lu.Choice("relu", "gelu"))
    history = read_syne_tune(folder, space=space, resource="t")
    assert history.space is space
    assert history.fidelity == Fidelity("t", 1, 3)
    assert history.notes == (
        "'t' was moved by 1, so that it begins at 1.",
        "Trials [0] changed their configuration while they ran: the last one was taken.",
    )
    assert [t.status for t in history.trials] == [Status.COMPLETED, Status.COMPLETED, Status.FAILED]
    assert history.trials[0].config == {"x": 0.75, "act": "relu"}
    assert history.filled == {0: ("act",), 1: ("act",), 2: ("act",)}
    assert (history.trials[2].metrics, history.trials[2].curve) == (None, ((1, {"loss": 0.125}),))
    counted = read_syne_tune(folder)
    assert counted.fidelity == Fidelity("iteration", 1, 3)
    with pytest.raises(SpaceError, match=r"trial 0: x=0\.75 does not fit"):
        read_syne_tune(folder, space=lu.Space(x=lu.Float(0, 0.5)))
    with pytest.raises(ArgumentError) as caught:
        read_syne_tune(folder, resource="epoch")
    assert str(caught.value) == f"{str(folder)!r} has no column 'epoch' for the resource. Allowed: 'loss', 't'."


def test_syne_tune_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        read_syne_tune(tmp_path)
    assert str(caught.value) == (
        f"{str(tmp_path)!r} holds no results.csv.zip. Allowed: a folder that Syne Tune's tuner wrote. Look for a "
        "misspelt path."
    )
    folder = _experiment(tmp_path / "e", [{"trial_id": 0, "loss": 1, "config_x": 1}], None, zipped=True)
    with pytest.raises(ArgumentError, match="does not name the metric"):
        read_syne_tune(folder)
    with pytest.raises(ArgumentError, match=r"has no column 'los' for the objective\. Did you mean 'loss'"):
        read_syne_tune(folder, objectives=[lu.Objective("los")])
    (folder / "results.csv.zip").write_bytes(b"broken")
    with pytest.raises(StorageError, match="cannot be read"):
        read_syne_tune(folder)
