"""When a finished study could have ended: logs of ours, of Optuna and from CSV files."""

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, StorageError, UnsupportedError
from luthier.base.records import Status
from luthier.study.from_csv import Columns, read_csv
from luthier.study.stop_when import read_log, stop_when

FOREIGN = Path(__file__).parents[1] / "data" / "foreign"
SPACE = lu.Space(x=lu.Float(0.0, 1.0), width=lu.Int(1, 4))


def value(x, width):
    return (x - 0.3) ** 2 + 0.1 * width


def write(path, header, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def plain_rows(n=30, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        x, width = float(rng.random()), int(rng.integers(1, 5))
        found.append([x, width, value(x, width)])
    return found


def test_a_study_of_ours_gets_the_verdicts_that_it_had(tmp_path):
    rules = [{"name": "regret", "epsilon": 0.05, "share": None}, {"name": "plateau", "trials": 5, "advise": True}]

    def train(run):
        return value(**run.config)

    with lu.Study(SPACE, "loss", searcher="random", stopping=rules, folder=tmp_path / "s", seed=2) as study:
        study.run(train, trials=26)
        logged = [[v for v in study.verdicts if v["place"] == place] for place in (0, 1)]
    for rule, said in zip(rules, logged, strict=True):
        found = stop_when(tmp_path / "s", rule, seed=2)
        assert [c["reason"] for c in found.checks] == [v["reason"] for v in said]
        assert [c["stop"] for c in found.checks] == [v["stop"] for v in said]
    assert found.rule == "plateau"
    assert found.after is not None
    assert f"plateau would have stopped this study after {found.after} of 26 trials" in found.words
    assert "of the time" in found.words


def test_a_plain_file(tmp_path):
    path = write(tmp_path / "log.csv", ["x", "width", "loss"], plain_rows())
    found = stop_when(path, {"name": "regret", "epsilon": 0.2})
    assert found.after == 21  # the first check, and the one that confirms it
    assert found.best.metrics["loss"] == min(row[2] for row in plain_rows())
    assert found.words.endswith("9 trials would have been saved")
    never = stop_when(path, {"name": "regret", "epsilon": 1e-9})
    assert never.after is None
    assert "would not have stopped this study of 30 trials: up to" in never.words
    assert list(never.log.problem.space) == ["x", "width"]
    assert never.log.problem.space["width"] == lu.Int(1, 4)


def test_maximised_and_named(tmp_path):
    rows = [[i, x, width, 1.0 - loss, ""] for i, (x, width, loss) in enumerate(plain_rows())]
    rows.append([30, 0.5, 1, "", "FAIL"])
    rows.append([31, 0.5, 1, "", "RUNNING"])
    path = write(tmp_path / "log.csv", ["number", "params_x", "params_width", "accuracy", "state"], rows)
    found = stop_when(path, {"name": "regret", "epsilon": 0.2}, columns=Columns("accuracy", "max"))
    assert found.after == 21
    assert found.log.trials[-1].status is Status.FAILED
    assert len(found.log.trials) == 31
    assert found.log.problem.objectives == (lu.Objective("accuracy", "max"),)


def test_own_export_keeps_what_it_says(tmp_path):
    with lu.Study(SPACE, "loss", searcher="random", seed=1) as study:
        study.run(lambda run: {"loss": value(**run.config), "loss_stderr": 0.04}, trials=24)
        study.export(tmp_path / "log.csv")
    problem, trials = read_csv(tmp_path / "log.csv")
    assert list(problem.space) == ["x", "width"]
    assert [t.metrics["loss"] for t in trials] == [t.metrics["loss"] for t in study.trials]
    assert trials[0].seconds > 0
    noise = stop_when(tmp_path / "log.csv", columns=Columns(stderr="metric.loss_stderr")).checks[-1]
    assert (noise["threshold"], noise["source"]) == (0.04, "holdout")


def test_scores_of_folds(tmp_path):
    rng = np.random.default_rng(1)
    folds = [[loss + 0.1 * e for e in rng.standard_normal(3)] for *_, loss in plain_rows()]
    plain = [[x, width, np.mean(f)] for (x, width, _), f in zip(plain_rows(), folds, strict=True)]
    each = [[*row, *f] for row, f in zip(plain, folds, strict=True)]
    listed = [[*row, json.dumps(f)] for row, f in zip(plain, folds, strict=True)]
    head = ["param_x", "param_width", "mean_test_score"]
    files = [
        write(tmp_path / "a.csv", [*head, *(f"split{i}_test_score" for i in range(3))], each),
        write(tmp_path / "b.csv", [*head, "folds"], listed),
        write(tmp_path / "c.csv", [*head, *(f"part {i}" for i in range(3))], each),
    ]
    for file, columns in zip(files, (Columns(), Columns(), Columns(folds="part")), strict=True):
        last = stop_when(file, columns=columns).checks[-1]
        assert last["source"] == "folds"
        assert last["threshold"] == pytest.approx(0.08, abs=0.06)
    assert read_csv(files[0])[0].objectives[0].goal == "max"  # scikit-learn's scores
    assert read_csv(files[0], Columns(goal="min"))[0].objectives[0].goal == "min"


def test_optuna():
    log = read_log(f"{FOREIGN / 'optuna.db'}#curve")
    assert log.problem.fidelity is None  # what Optuna calls complete is a result
    statuses = [t.status for t in log.trials]
    assert Status.STOPPED in statuses
    assert statuses.count(Status.DIVERGED) == 1
    with pytest.raises(ArgumentError, match=r"cannot judge 'curve' with its . results: .* --rule plateau"):
        stop_when(f"{FOREIGN / 'optuna.db'}#curve")
    found = stop_when(f"{FOREIGN / 'optuna.journal'}#curve", {"name": "plateau", "trials": 4})
    assert found.rule == "plateau"
    with pytest.raises(UnsupportedError, match="multi objective"):
        stop_when(f"{FOREIGN / 'optuna.db'}#pair")
    names = [o.name for o in read_log(f"{FOREIGN / 'optuna.db'}#pair").problem.objectives]
    assert len(names) == 2
    assert read_log(f"{FOREIGN / 'optuna.db'}#pair", columns=Columns(names[1])).problem.objectives[0].name == names[1]


def test_what_the_terminator_of_optuna_was_told(tmp_path):
    copy = tmp_path / "optuna.db"
    copy.write_bytes((FOREIGN / "optuna.db").read_bytes())
    with sqlite3.connect(copy) as connection:
        [[trial]] = connection.execute("SELECT MIN(trial_id) FROM trials WHERE state = 'COMPLETE'").fetchall()
        words = (trial, "terminator:cv_scores", "[0.25, 0.5]")
        connection.execute("INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", words)
    connection.close()
    log = read_log(f"{copy}#curve")
    assert [t.reports[0].folds for t in log.trials if t.reports and t.reports[0].folds] == [(0.25, 0.5)]


@pytest.mark.parametrize(
    ("header", "columns", "words"),
    [
        (["x", "width", "score"], Columns(), "which column is the objective is not known.*--objective"),
        (["x", "width", "loss"], Columns("los"), "no column 'los'. Did you mean 'loss'"),
        (["x", "width", "loss"], Columns(folds="split"), "no column that begins with 'split'"),
        (["number", "status", "loss"], Columns(), "no column of a hyperparameter"),
        (["x", "width", "loss"], Columns(), "the noise of 'loss' is unknown: report folds"),
    ],
)
def test_a_log_without_what_it_needs(tmp_path, header, columns, words):
    path = write(tmp_path / "log.csv", header, plain_rows(24))
    with pytest.raises(ArgumentError, match=words):
        stop_when(path, columns=columns)


def test_files_that_are_none(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        stop_when(tmp_path / "no.csv")
    (tmp_path / "empty.csv").write_text("x,loss\n")
    with pytest.raises(StorageError, match="holds no rows"):
        stop_when(tmp_path / "empty.csv")
    few = write(tmp_path / "few.csv", ["x", "width", "loss"], plain_rows(5))
    with pytest.raises(ArgumentError, match="with its 5 results: looks from 20 results on"):
        stop_when(few, {"name": "regret", "epsilon": 0.1})


def test_a_space_that_is_known_better(tmp_path):
    path = write(tmp_path / "log.csv", ["x", "width", "loss"], plain_rows())
    narrow = stop_when(path, {"name": "regret", "epsilon": 1e-9}).checks[-1]["bound"]
    wide = lu.Space(x=lu.Float(-9.0, 9.0), width=lu.Int(1, 4))
    known = stop_when(path, {"name": "regret", "epsilon": 1e-9}, space=wide)
    assert known.log.problem.space == wide
    assert known.checks[-1]["bound"] > narrow  # most of it was never looked at


def test_a_rule_that_hears_reports_hears_those_of_the_log(tmp_path):
    def train(run):
        for epoch, value in enumerate((0.5, 0.05, 0.4), 1):
            run.report(loss=value, epoch=epoch)

    path = tmp_path / "s.db"
    with lu.Study({"x": lu.Float(0, 1)}, "loss", fidelity=("epoch", 1, 3), storage=f"sqlite:///{path}", name="s") as s:
        s.run(train, trials=3)
    found = stop_when(path, {"name": "target", "value": 0.1}, name="s")
    assert (found.after, found.checks[0]["reason"]) == (0, "trial 0 has reached loss=0.1 (it has 0.05)")
    missed = stop_when(path, {"name": "target", "value": 0.01}, name="s")
    assert missed.words.endswith("trial 2 has not reached loss=0.01 (it has 0.4)")
