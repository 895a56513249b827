"""Histories of other programs, and conversion between stores."""

from __future__ import annotations

import csv
import io
import json
import math
import runpy
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SchemaError, SpaceError, StorageError, StudyExists, StudyNotFound
from luthier.base.records import Fidelity, Status
from luthier.study.convert import convert
from luthier.study.foreign import History, Record, inferred, into_study, listed, numeric
from luthier.study.from_optuna import read_optuna
from luthier.study.from_syne_tune import read_syne_tune

DATA = Path(__file__).parents[1] / "data"
DATABASE, JOURNAL, SYNE_TUNE = (DATA / "foreign" / name for name in ("optuna.db", "optuna.journal", "syne_tune"))


@pytest.fixture(params=["database", "url", "journal"])
def optuna_source(request: pytest.FixtureRequest) -> str:
    return {"database": str(DATABASE), "url": f"sqlite:///{DATABASE}", "journal": str(JOURNAL)}[request.param]


# Optuna ----------------------------------------------------------------------------------------------------


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


# Syne Tune -------------------------------------------------------------------------------------------------


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


# into a study ----------------------------------------------------------------------------------------------


def test_optuna_history_becomes_a_study(tmp_path: Path) -> None:
    history = read_optuna(DATABASE, "curve")
    with into_study(history, folder=tmp_path / "s", searcher="random") as study:
        assert study.name == "curve"
        assert [t.config for t in study.trials] == [t.config for t in history.trials]
        wanted = [t.status for t in history.trials]
        wanted[8] = Status.DIVERGED  # its value was infinite
        assert [t.status for t in study.trials] == wanted
        first = study.trials[0]
        assert [(r.resource, r.metrics["value"]) for r in first.reports[:4]] == [
            (at, metrics["value"]) for at, metrics in history.trials[0].curve[:4]
        ]
        assert first.metrics == history.trials[0].metrics  # Optuna's result, not its last intermediate value
        assert (first.resource, len(first.reports)) == (5, 5)
        assert first.tags == {"host": "node-é", "optuna": "0"}
        best = min((t for t in history.trials if t.metrics and t.resource != 3), key=lambda t: t.metrics["value"])  # type: ignore[index]
        assert study.best is not None
        assert study.best.tags["optuna"] == best.tags["optuna"] == "13"
        [asked] = study.ask()
        assert asked.number == 13
        assert asked.origin == "random"  # it goes on, and does not begin with the defaults
        before = [(t.number, t.config, t.status, t.metrics) for t in study.trials[:13]]
    with lu.Study.open(tmp_path / "s") as again:
        assert [(t.number, t.config, t.status, t.metrics) for t in again.trials[:13]] == before


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    history = read_optuna(DATABASE, "pair")
    url = f"sqlite:///{tmp_path / 'x.db'}"
    into_study(history, storage=url).close()
    with pytest.raises(StudyExists) as caught:
        into_study(history, storage=url)
    assert str(caught.value) == (
        f"store {tmp_path / 'x.db'} has a study 'pair' already. Allowed: a name that is free, since every trial would "
        "be added a second time. Give another name, or remove that study first."
    )
    with into_study(history, storage=url, name="other") as study:
        assert len(study.trials) == 6
        assert study.pareto


def test_tags_may_have_any_name() -> None:
    space = lu.Space(x=lu.Float(0, 1))
    record = Record(space.check({"x": 0.5}), Status.COMPLETED, {"loss": 1.0}, tags={"trial": "7", "self": "me"})
    with into_study(History("h", space, (lu.Objective("loss"),), None, (record,)), searcher="random") as study:
        assert study.trials[0].tags == {"trial": "7", "self": "me"}


def test_domains_hold_what_was_seen() -> None:
    assert inferred([1, 500]) == lu.Int(1, 500, log=True)
    assert inferred([0, 500]) == lu.Int(0, 500)
    assert inferred([1, 0.5]) == lu.Float(0.5, 1)
    assert inferred(["a", 1]) == lu.Choice("a", 1)
    assert inferred([2.5, 2.5]) == lu.Fixed(2.5)
    assert numeric(0, 1, [0.3], whole=False, log=False, step=0.25) == lu.Float(0, 1)  # the step does not fit
    assert numeric(0, 1, [2.0], whole=False, log=True) == lu.Float(0, 2)
    assert numeric(1, 9, [5], whole=True, log=False, step=4) == lu.Int(1, 9, step=4)
    assert listed(["a", [1, 2], math.inf, "a"]) == lu.Choice("a", "[1, 2]", "inf")


# conversion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "count"),
    [(f"{DATABASE}#curve", 13), (f"sqlite:///{DATABASE}#pair", 6), (f"{JOURNAL}#pair", 6), (str(SYNE_TUNE), 10)],
)
def test_convert_recognises_other_programs(tmp_path: Path, source: str, count: int) -> None:
    for dest in (str(tmp_path / "folder"), f"sqlite:///{tmp_path / 'x.db'}#new", str(tmp_path / "y.db")):
        with convert(source, dest) as study:
            assert len(study.trials) == count
            assert study.name == ("new" if dest.endswith("#new") else study.name)
        with lu.Study.open(dest) as again:
            assert len(again.trials) == count
    assert (tmp_path / "folder" / "study.db").is_file()
    with convert(source, str(tmp_path / "t.csv")) as study:
        assert len((tmp_path / "t.csv").read_text().splitlines()) == count + 1


def _study(url: str, name: str) -> list[object]:
    space = lu.Space(x=lu.Float(0, 1), k=lu.Choice("a", "b"))
    with lu.Study(
        space, "loss", searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), storage=url, name=name, seed=3
    ) as study:
        for i in range(6):
            [trial] = study.ask()
            for epoch in (1, 3, 9):
                metrics = {"loss": math.nan if i == 4 else trial.config["x"] + 1 / epoch}
                if study.tell(trial.number, metrics, resource=epoch) is not lu.Decision.CONTINUE:
                    break
        study.note(0, "größer")
        return list(study.events())


def test_convert_copies_a_luthier_study_with_its_log(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'a.db'}"
    events = _study(source, "one")
    _study(source, "two")
    for dest in (str(tmp_path / "folder"), f"sqlite:///{tmp_path / 'b.db'}#new"):
        with convert(f"{source}#one", dest) as study:
            assert study.name == ("new" if dest.endswith("new") else "one")
            assert repr(study.events()) == repr(events)  # repr: NaN is not equal to itself
            assert study.replay().differences == []
            assert study.seed == 3
            [asked] = study.ask()
            assert asked.number == 6
    with lu.Study.open(source, "one") as old:
        assert repr(old.events()) == repr(events)
        [same] = old.ask()
        assert same.config == asked.config
    with pytest.raises(StudyExists):
        convert(str(tmp_path / "folder"), f"sqlite:///{tmp_path / 'b.db'}#new")
    with convert(source, str(tmp_path / "t.json"), name="two") as study:
        assert study.name == "two"
        assert len(json.loads((tmp_path / "t.json").read_text())) == 6
    with pytest.raises(StudyNotFound, match="holds 2 studies"):
        convert(source, str(tmp_path / "t.json"))


def test_convert_unknown_sources(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    for source in (path, tmp_path):
        with pytest.raises(ArgumentError) as caught:
            convert(str(source), str(tmp_path / "out"))
        assert str(caught.value) == (
            f"{str(source)!r} is nothing that can be converted. Allowed: a luthier folder, database or URL, a "
            "database, URL or journal file of Optuna, an experiment folder of Syne Tune. Name one of these."
        )
    with pytest.raises(StorageError) as missing:
        convert(str(tmp_path / "no"), str(tmp_path / "out"))
    assert str(missing.value) == (
        f"{str(tmp_path / 'no')!r} is not there. Allowed: a study that exists. Look for a misspelt path."
    )
    assert not (tmp_path / "out").exists()
