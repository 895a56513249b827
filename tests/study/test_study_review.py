"""Several drivers on one study, and what each may believe of the others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import StorageError
from luthier.runtime.executors._base import Limits
from luthier.runtime.storage import Draft, open_storage, this_driver

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))


def make(folder: Path, **more: object) -> lu.Study:
    return lu.Study(SPACE, **{"searcher": "random", "seed": 0, "folder": folder, **more})  # type: ignore[arg-type]


def one(run: lu.Run) -> float:
    return float(run.config["lr"])


_MAKER = """
import sys, time
import luthier as lu
space = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
study = lu.Study(space, searcher="random", folder=sys.argv[1])
print([t.number for t in study.ask(2)], flush=True)
sys.stdin.read()  # a driver that left would have its trials given to the next one
"""


def test_processes_that_make_the_same_study_at_once_share_it(tmp_path: Path) -> None:
    at = str(time.time() + 3)
    made = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKER, str(tmp_path / "s"), at],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = [process.stdout.readline() for process in made if process.stdout is not None]
    errors = [process.communicate(timeout=60)[1] for process in made]
    assert errors == [""] * 4
    assert sorted(n for line in said for n in json.loads(line)) == list(range(8))


def test_the_maker_that_comes_second_opens_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "s").close()
    from luthier.runtime.storage.sqlite import SQLite

    real, calls = SQLite.studies, []

    def too_early(self: SQLite) -> list[object]:
        calls.append(1)
        return [] if len(calls) == 1 else real(self)  # type: ignore[return-value]

    monkeypatch.setattr(SQLite, "studies", too_early)
    assert make(tmp_path / "s").name == "s"


def test_a_driver_that_was_taken_for_dead_joins_again(tmp_path: Path) -> None:
    study = make(tmp_path / "s", lease=0.06)
    study.ask()
    study._session.storage.leave(study._session.study, study._session.me.id)  # as others do when its lease is over
    time.sleep(0.02)
    study.tell(0, {"loss": 1.0})
    assert study.trials[0].status is lu.Status.COMPLETED
    assert [driver.id for driver, _ in study._session.storage.drivers(1)] == [study._session.me.id]
    assert study.ask()[0].number == 1


def test_a_broken_store_is_not_taken_for_a_lost_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make(tmp_path / "s", lease=0.06)
    study.ask()
    time.sleep(0.02)

    def full(*_: object) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(study._session.storage, "beat", full)
    with pytest.raises(StorageError, match="disk full"):
        study.tell(0, {"loss": 1.0})


def test_a_report_after_the_result_changes_no_result(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.ask()
    study.tell(0, {"loss": 1.0})
    late = [
        Draft(0.0, "reported", 0, None, {"metrics": {"loss": 5.0}}),
        Draft(0.0, "finished", 0, None, {"status": "completed"}),
    ]
    study._session.storage.append(study._session.study, late)  # a driver that others had given up comes back
    study._session.sync()
    [trial] = study.trials
    assert (trial.metrics, len(trial.reports)) == ({"loss": 1.0}, 2)


def test_the_end_of_one_run_stops_no_promotion_that_another_driver_has_just_started(tmp_path: Path) -> None:
    promotion = {"scheduler": {"name": "asha", "type": "promotion"}, "fidelity": ("epoch", 1, 9)}
    mine = make(tmp_path / "s", **promotion)
    for trial in mine.ask(3):
        mine.tell(trial.number, {"loss": float(trial.number)}, resource=1)
    other = lu.Study.open(tmp_path / "s")
    from luthier.study._loop import Loop

    loop = Loop(mine, one, None, Limits(), workers=1, trials=3, seconds=None, give_up=5)
    [promoted] = other.ask()  # `mine` does not know of it yet
    assert (promoted.number, promoted.runs) == (0, 2)
    loop._finish("all 3 trials are done")
    other.ask(0)
    assert other.trials[0].status is lu.Status.RUNNING
    assert [t.status for t in other.trials[1:]] == [lu.Status.STOPPED] * 2
    other.tell(0, {"loss": 0.0}, resource=3)


def test_a_run_that_is_over_leaves_the_list(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.run(one, trials=2)
    storage = study._session.storage
    assert storage.drivers(1) == []
    [trial] = study.ask()
    study.run(one, trials=4)
    assert len(storage.drivers(1)) == 1  # the user still has trial 2
    study.tell(trial.number, {"loss": 1.0})


def test_a_number_that_comes_back_goes_to_the_next_who_asks(tmp_path: Path) -> None:
    for url in ("memory://", f"sqlite:///{tmp_path / 'store.db'}"):
        with open_storage(url, create=True) as store:
            study = store.create("s", seed=0, problem={}).id
            a, b = this_driver(60), this_driver(60)
            store.register(study, a)
            store.register(study, b)
            assert [store.reserve(study, a.id), store.reserve(study, a.id)] == [0, 1]
            store.vacate(study, 0, b.id)  # not b's to give
            assert store.reserve(study, b.id) == 2
            store.vacate(study, 0, a.id)
            assert store.reserve(study, b.id) == 0
            store.append(study, [Draft(0.0, "asked", 0, 0, {})], release=[0])
            store.vacate(study, 0, b.id)  # used: nothing comes back
            assert store.reserve(study, b.id) == 3


def test_an_interrupt_in_the_middle_of_an_event_is_mended(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.run(one, trials=2)
    scheduler = study._session.engine.scheduler

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    scheduler.on_start = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        study.ask()
    assert study.run(one, trials=5).counts["completed"] == 4  # one was given to the user, who has not told it
    assert [t.runs for t in study.trials] == [1] * 5
    assert study.replay().differences == []
