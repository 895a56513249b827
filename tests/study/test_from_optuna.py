"""Optuna's studies, read from its databases and journals."""

from __future__ import annotations

import json
import math
import runpy
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import SchemaError, StorageError, StudyNotFound
from luthier.base.records import Fidelity, Status
from luthier.study.from_optuna import read_optuna

DATA = Path(__file__).parents[1] / "data"
DATABASE, JOURNAL, SYNE_TUNE = (DATA / "foreign" / name for name in ("optuna.db", "optuna.journal", "syne_tune"))


@pytest.fixture(params=["database", "url", "journal"])
def optuna_source(request: pytest.FixtureRequest) -> str:
    return {"database": str(DATABASE), "url": f"sqlite:///{DATABASE}", "journal": str(JOURNAL)}[request.param]


def test_optuna_curve(optuna_source: str) -> None:
    history = read_optuna(optuna_source, "curve")
    assert history.space == lu.Space(
        lr=lu.Float(1e-4, 1.0, log=True),
        layers=lu.Int(1, 12),
        dropout=lu.Float(0.0, 0.5, step=0.25),
        opt=lu.Choice("sgd", "adam", None, 3),
        momentum=lu.Float(0.0, 0.9),
    )
    assert history.objectives == (lu.Objective("value"),)
    assert history.fidelity == Fidelity("step", 1, 5)
    assert history.left_out == {"WAITING": 1, "RUNNING": 1}
    assert history.notes == (
        "The range of 'layers' changed between trials: the widest was taken.",
        "The range of 'lr' changed between trials: the widest was taken.",
        "'momentum' was absent in 8 trials and counts as its default 0.45 there.",
        "'dropout' was absent in 1 trial and counts as its default 0.25 there.",
        "'opt' was absent in 1 trial and counts as its default 'sgd' there.",
    )
    assert [t.tags["optuna"] for t in history.trials] == [*map(str, range(12)), "13"]
    statuses = {int(t.tags["optuna"]): t.status for t in history.trials}
    assert [n for n, s in statuses.items() if s is Status.STOPPED] == [1, 5, 9]
    assert [n for n, s in statuses.items() if s is Status.FAILED] == [2, 7]
    first, pruned, failed = history.trials[:3]
    assert dict(first.config) == {
        "lr": 0.0017826497151386949,
        "layers": 6,
        "dropout": 0.0,
        "opt": "sgd",
        "momentum": 0.31100465433874297,
    }
    assert first.metrics == {"value": 0.6113273968282487}
    assert first.tags == {"host": "node-é", "optuna": "0"}
    assert [at for at, _ in first.curve] == [1, 2, 3, 4, 5]
    assert (pruned.resource, pruned.metrics, len(pruned.curve)) == (3, {"value": 1.0967834378141956}, 3)
    assert (failed.metrics, failed.resource, len(failed.curve)) == (None, None, 5)
    assert history.trials[8].metrics == {"value": math.inf}


def test_optuna_conditional_parameters_are_filled_and_listed(optuna_source: str) -> None:
    history = read_optuna(optuna_source, "curve")
    assert history.filled == {
        **dict.fromkeys((1, 2, 4, 6, 7, 10, 11), ("momentum",)),
        12: ("dropout", "opt", "momentum"),
    }
    default = history.space.default()
    assert all(history.trials[i].config[n] == default[n] for i, names in history.filled.items() for n in names)


def test_optuna_two_objectives(optuna_source: str) -> None:
    history = read_optuna(optuna_source, "pair")
    assert history.objectives == (lu.Objective("value_0"), lu.Objective("value_1", "max"))
    assert history.fidelity is None
    assert history.space == lu.Space(x=lu.Float(-1, 1), width=lu.Int(16, 256, log=True))
    assert len(history.trials) == 6
    assert all(t.metrics == {"value_0": t.config["x"] ** 2, "value_1": 1 / t.config["width"]} for t in history.trials)


def test_optuna_which_study(optuna_source: str) -> None:
    with pytest.raises(StudyNotFound) as caught:
        read_optuna(optuna_source)
    assert str(caught.value) == (
        f"{optuna_source!r} holds 2 studies of Optuna: 'curve', 'pair'. Say which: {optuna_source}#NAME."
    )
    with pytest.raises(StudyNotFound) as caught:
        read_optuna(optuna_source, "curv")
    assert str(caught.value) == f"{optuna_source!r} holds no study 'curv' of Optuna. Did you mean 'curve'?"


def test_optuna_database_is_not_touched(tmp_path: Path) -> None:
    before = DATABASE.read_bytes()
    read_optuna(DATABASE, "curve")
    assert DATABASE.read_bytes() == before
    assert not DATABASE.with_name("optuna.db-wal").exists()
    missing = tmp_path / "a#b?.db"
    with pytest.raises(StorageError) as caught:
        read_optuna(missing)
    assert str(caught.value) == (
        f"{str(missing)!r} is not there. Allowed: a database that exists. Look for a misspelt path."
    )
    assert not missing.exists()
    shutil.copyfile(DATABASE, missing)
    assert read_optuna(missing, "pair").name == "pair"


def test_reading_needs_neither_of_the_programs() -> None:
    code = f"""if True:
        import sys
        from luthier.study.convert import convert
        sys.modules.update(dict.fromkeys(("optuna", "syne_tune", "pandas", "dill")))  # importing one now fails
        for source in ({f"{DATABASE}#curve"!r}, {f"{JOURNAL}#curve"!r}, {str(SYNE_TUNE)!r}):
            with convert(source, "memory://") as study:
                print(len(study.trials))
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["13", "13", "10"]


def _changed(tmp_path: Path, *statements: str) -> Path:
    path = tmp_path / "changed.db"
    shutil.copyfile(DATABASE, path)
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def test_optuna_2_had_other_names_and_no_value_types(tmp_path: Path) -> None:
    def form(name: str, **attributes: object) -> str:
        return json.dumps({"name": name, "attributes": attributes})

    def swap(parameter: str, text: str) -> str:
        return f"UPDATE trial_params SET distribution_json = '{text}' WHERE param_name = '{parameter}'"

    path = _changed(
        tmp_path,
        swap("lr", form("LogUniformDistribution", low=1e-4, high=1.0)),
        swap("layers", form("IntUniformDistribution", low=1, high=12, step=1)),
        swap("dropout", form("DiscreteUniformDistribution", low=0.0, high=0.5, q=0.25)),
        swap("momentum", form("UniformDistribution", low=0.0, high=0.9)),
        swap("width", form("IntLogUniformDistribution", low=16, high=256, step=1)),
        "ALTER TABLE trial_values DROP COLUMN value_type",
        "UPDATE trial_intermediate_values SET intermediate_value = NULL WHERE trial_id = 1 AND step = 2",
        "ALTER TABLE trial_intermediate_values DROP COLUMN intermediate_value_type",
    )
    old, new = read_optuna(path, "curve"), read_optuna(DATABASE, "curve")
    assert old.space == new.space
    assert math.isnan(old.trials[0].curve[1][1]["value"])
    assert old.trials[1] == new.trials[1]
    assert read_optuna(path, "pair").space == read_optuna(DATABASE, "pair").space


def test_optuna_abbreviated_distributions_named_metrics_and_steps_from_zero(tmp_path: Path) -> None:
    path = _changed(
        tmp_path,
        "UPDATE trial_intermediate_values SET step = -step",
        "UPDATE trial_intermediate_values SET step = step + 5",
        """INSERT INTO study_system_attributes (study_id, key, value_json)
        VALUES (1, 'study:metric_names', '["loss"]')""",
        """UPDATE trial_params SET distribution_json = '{"type": "float", "low": 0.0001, "high": 1.0, "log": true}'
        WHERE param_name = 'lr'""",
        """UPDATE trial_intermediate_values SET intermediate_value = NULL, intermediate_value_type = 'NAN'
        WHERE trial_id = 1 AND step = 0""",
    )
    history = read_optuna(path, "curve")
    assert history.objectives == (lu.Objective("loss"),)
    assert history.fidelity == Fidelity("step", 1, 5)
    assert history.notes[0] == "Steps were moved by 1, so that they begin at 1."
    at, metrics = history.trials[0].curve[0]
    assert at == 1
    assert math.isnan(metrics["loss"])
    assert history.space["lr"] == lu.Float(1e-4, 1.0, log=True)


def test_optuna_unknown_distribution_and_foreign_database(tmp_path: Path) -> None:
    path = _changed(tmp_path, 'UPDATE trial_params SET distribution_json = \'{"name": "Magic"}\' WHERE param_id = 1')
    with pytest.raises(SchemaError) as caught:
        read_optuna(path, "curve")
    assert str(caught.value) == (
        "distribution 'Magic' is not known. Allowed: Optuna's Float, Int and Categorical distributions and the names "
        "they had before version 3. Read it with a newer luthier."
    )
    path = _changed(tmp_path, "DROP TABLE study_directions", "DROP TABLE trial_values")
    with pytest.raises(SchemaError) as caught:
        read_optuna(path, "curve")
    assert str(caught.value) == (
        f"{str(path)!r} lacks the tables study_directions, trial_values. Allowed: a database of Optuna 2.4 or later. "
        "For an older one run `optuna storage upgrade` first."
    )
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="cannot be read"):
        read_optuna(path)


def test_optuna_study_without_a_finished_trial(tmp_path: Path) -> None:
    path = _changed(tmp_path, "UPDATE trials SET state = 'RUNNING' WHERE study_id = 2")
    with pytest.raises(StudyNotFound, match="has no finished trial with a parameter, so its space is unknown"):
        read_optuna(path, "pair")


def test_optuna_journal_being_written_damaged_or_with_a_deleted_study(tmp_path: Path) -> None:
    lines = JOURNAL.read_text().splitlines(keepends=True)
    path = tmp_path / "copy.log"
    path.write_text("".join(lines) + lines[0][:20])  # a writer died within its line
    assert read_optuna(path, "curve") == read_optuna(JOURNAL, "curve")
    path.write_text("".join(lines[:3]) + '{"op_code": 5}\n')
    with pytest.raises(SchemaError) as caught:
        read_optuna(path)
    assert str(caught.value) == (
        f"{str(path)!r}, line 4: KeyError('trial_id'). Allowed: a journal of Optuna's JournalFileBackend. Take an "
        "undamaged copy."
    )
    path.write_text("".join(lines) + '{"op_code": 99}\n')
    with pytest.raises(SchemaError, match="op_code 99 is not known"):
        read_optuna(path)
    path.write_text("".join(lines) + '{"op_code": 1, "study_id": 0}\n')
    assert read_optuna(path).name == "pair"


@pytest.mark.slow
def test_optuna_live_cross_check(tmp_path: Path) -> None:
    """What Optuna says of a fresh study is what is read from its files."""
    optuna = pytest.importorskip("optuna")
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    fill = runpy.run_path(str(DATA / "make_optuna_fixture.py"))["fill"]
    database, journal = tmp_path / "live.db", tmp_path / "live.log"
    stores = {
        database: RDBStorage(f"sqlite:///{database}"),
        journal: JournalStorage(JournalFileBackend(str(journal))),
    }
    for path, storage in stores.items():
        fill(storage)
        for name in ("curve", "pair"):
            frozen = optuna.load_study(storage=storage, study_name=name).trials
            known = {t.number: t for t in frozen if t.state.is_finished()}
            history = read_optuna(path, name)
            assert sum(history.left_out.values()) == len(frozen) - len(known)
            assert [int(t.tags["optuna"]) for t in history.trials] == list(known)
            for trial in history.trials:
                peer = known[int(trial.tags["optuna"])]
                assert {n: v for n, v in trial.config.items() if n not in trial.filled} == peer.params
                assert (None if trial.metrics is None else list(trial.metrics.values())) == peer.values
                assert {at: m["value"] for at, m in trial.curve} == peer.intermediate_values
