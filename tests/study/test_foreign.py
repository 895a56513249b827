"""Histories of other programs become studies, and conversion between stores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierWarning, SchemaError, StorageError, StudyExists, StudyNotFound
from luthier.base.records import Status
from luthier.study.convert import convert
from luthier.study.foreign import History, Record, inferred, into_study, listed, numeric
from luthier.study.from_optuna import read_optuna

DATA = Path(__file__).parents[1] / "data"
DATABASE, JOURNAL, SYNE_TUNE = (DATA / "foreign" / name for name in ("optuna.db", "optuna.journal", "syne_tune"))


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
@pytest.mark.filterwarnings("ignore::luthier.base.errors.LuthierWarning")  # of what Optuna's trials lack
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


def test_a_copy_is_found_where_it_is_and_writes_nowhere_else(tmp_path: Path) -> None:
    with lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "a") as study:
        study.run(lambda run: run.config["x"], trials=2)
    copy = tmp_path / "t.db"
    with convert(str(tmp_path / "a"), f"sqlite:///{copy}") as study:
        assert study.where == f"sqlite:///{copy}#a"
        assert study.folder is None
        study.run(lambda run: run.config["x"], trials=3)
    with lu.Study.open(f"sqlite:///{copy}") as study:
        assert (study.where, len(study.trials)) == (f"sqlite:///{copy}#a", 3)
    with lu.Study.open(tmp_path / "a" / "study.db") as study:
        assert (study.where, study.folder, len(study.trials)) == (str(tmp_path / "a"), tmp_path / "a", 2)


def test_a_folder_beside_a_store_elsewhere_is_remembered(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    with lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", storage=url, folder=tmp_path / "logs") as study:
        study.run(lambda run: run.config["x"], trials=1)
        assert study.where == f"{url}#logs"
    with lu.Study.open(url) as study:
        assert study.folder == tmp_path / "logs"


def test_convert_refuses_an_ending_that_it_cannot_write(tmp_path: Path) -> None:
    with lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "a") as study:
        study.run(lambda run: run.config["x"], trials=1)
    with pytest.raises(ArgumentError, match=r"q.xls' ends in '.xls'. Allowed: .csv, .json, .parquet"):
        convert(str(tmp_path / "a"), str(tmp_path / "q.xls"))
    assert not (tmp_path / "q.xls").exists()
    convert(str(tmp_path / "a"), str(tmp_path / "run.v2")).close()
    (tmp_path / "old.runs").mkdir()
    convert(str(tmp_path / "a"), str(tmp_path / "old.runs")).close()


def test_a_past_of_another_program_is_converted_first() -> None:
    with pytest.raises(SchemaError, match=r"past\[0\]=.*convert .*optuna.db imported; then past=\['imported'\]"):
        lu.Study({"lr": lu.Float(0, 1)}, past=str(DATABASE))


def test_convert_says_what_another_program_lacked(tmp_path: Path) -> None:
    with pytest.warns(LuthierWarning, match=r"curve: .* 'momentum' was absent in 8 trials and counts as"):
        convert(f"{DATABASE}#curve", str(tmp_path / "x.db")).close()
