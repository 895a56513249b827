"""What `luthier doctor` looks at: folders and studies, well and unwell."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import luthier as lu
from luthier.runtime.storage import Draft
from luthier.study.health import Check, check_folder, check_study


def found(checks: list[Check]) -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.text) for check in checks}


@pytest.fixture
def study(tmp_path: Path) -> lu.Study:
    made = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "s")
    made.run(lambda run: run.config["x"], trials=3)
    return made


def test_a_good_folder(tmp_path: Path) -> None:
    checks = found(check_folder(tmp_path))
    assert checks["folder"][0] == "ok"
    assert checks["sqlite"] == ("ok", f"SQLite {sqlite3.sqlite_version}, WAL works")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_bad_folders(tmp_path: Path) -> None:
    assert found(check_folder(tmp_path / "no"))["folder"] == (
        "fail",
        f"{tmp_path}/no is no folder. Make it, or choose another.",
    )
    locked = Path("/proc") if os.geteuid() == 0 else tmp_path / "locked"
    if os.geteuid():
        locked.mkdir(mode=0o500)
    state, text = found(check_folder(locked))["folder"]
    assert state == "fail"
    assert "cannot be written" in text


def test_a_study_that_is_well(study: lu.Study) -> None:
    checks = found(check_study(study))
    assert {state for state, _ in checks.values()} == {"ok"}
    assert checks["log"][1] == f"{len(study.events())} events without a gap"
    assert checks["trials"][1] == "3 completed"
    assert checks["end"][1] == "all 3 trials are done"


def test_a_driver_that_died(study: lu.Study) -> None:
    study.ask(2)
    session = study._session
    store, number = session.storage, session.study
    running = session.me
    store.leave(number, running.id)
    gone = replace(running, id="gone", pid=2**22 + 1, born=1)  # no such process
    store.register(number, gone)
    checks = found(check_study(study))
    assert checks["drivers"] == (
        "warn",
        "0 alive, 1 dead, 2 trials were running. Your script, run again, takes over from the dead ones.",
    )


def test_a_log_that_makes_no_sense(study: lu.Study) -> None:
    session = study._session
    session.storage.append(session.study, [Draft(0.0, "finished", 17, None, {"status": "completed"})])
    head = session.storage.head(session.study)
    state, text = found(check_study(study))["log"]
    assert state == "fail"
    assert text == (
        f"1 inconsistencies, the first: trial 17 has 'finished' before it started (event {head}). Take a backup's copy."
    )


def test_a_study_whose_program_is_known_can_be_resumed(tmp_path: Path) -> None:
    def train(run: lu.Run) -> float:
        raise KeyboardInterrupt

    study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "s")
    with pytest.raises(KeyboardInterrupt, match="Continue with: luthier resume"):
        study.run(train, trials=3, info={"target": "train.py:train"})
    assert study.resumable
    assert found(check_study(study))["end"][1] == f"interrupted. Continue with: luthier resume {tmp_path}/s"


def test_an_interrupted_study_in_memory_is_told_to_be_there_alone() -> None:
    def train(run: lu.Run) -> float:
        raise KeyboardInterrupt

    study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random")
    with pytest.raises(KeyboardInterrupt, match=r"in the memory of this process alone. Call run\(\) again"):
        study.run(train, trials=3, info={"target": "train.py:train"})
    assert not study.resumable


def test_an_interrupted_run(tmp_path: Path) -> None:
    study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "s")

    def train(run: lu.Run) -> float:
        if run.number == 1:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        study.run(train, trials=3)
    assert found(check_study(study))["end"] == (
        "warn",
        "interrupted. Run your script again: it continues.",
    )
