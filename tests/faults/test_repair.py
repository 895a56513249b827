"""A damaged database: a clear error, and `luthier doctor --repair` saves what can be read."""

import random
import sqlite3
import subprocess
import sys

import pytest

import luthier as lu
from luthier.base.errors import StorageError, UnsupportedError
from luthier.runtime.storage import SQLite
from luthier.study.repair import repair

SPACE = lu.Space(x=lu.Float(0, 1), text=lu.Choice("a" * 200, "b" * 200))
SIZE = 4096


@pytest.fixture
def study_file(tmp_path):
    def loss(run):
        for epoch in run.resources():
            run.report(loss=run.config["x"] / epoch, epoch=epoch)

    with lu.Study(SPACE, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), folder=tmp_path / "s") as study:
        study.run(loss, trials=120)
        study.note(0, "n" * 20_000)  # an event of several pages
    return tmp_path / "s" / "study.db"


def _log(path):
    with lu.Study.open(path) as study:
        return study.events(), {t.number: (t.status, t.metrics) for t in study.trials}, study.result().best


def _spoil(path, pages):
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * SIZE)
            file.write(random.Random(page).randbytes(SIZE))


def test_an_undamaged_store_is_saved_whole(study_file):
    before = _log(study_file)
    new, [found] = repair(str(study_file.parent))
    assert new == study_file.with_name("study.repaired.db")
    assert (found.trials, found.missing, found.dropped) == (120, 0, 0)
    events, trials, best = _log(new)
    assert events[:-1] == before[0]
    assert events[-1].kind == "repaired"
    assert (trials, best.number) == (before[1], before[2].number)
    with lu.Study.open(new) as study:
        assert study.replay().differences == []


@pytest.mark.parametrize("seed", range(5))
def test_some_pages_are_spoilt(study_file, seed):
    before = _log(study_file)
    total = study_file.stat().st_size // SIZE
    bad = random.Random(seed).sample(range(5, total + 1), 5)
    _spoil(study_file, bad)
    content = study_file.read_bytes()
    new, [found] = repair(str(study_file))
    assert study_file.read_bytes() == content, "the damaged file was written to"
    assert found.missing < 0.4 * len(before[0])
    assert found.events + found.missing + found.dropped >= len(before[0]) - 50  # of an end that is lost nobody knows
    events, trials, _ = _log(new)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    known = {(e.time, e.kind, e.trial) for e in before[0]}
    assert all((e.time, e.kind, e.trial) in known for e in events[:-1])
    same = sum(trials[n] == before[1][n] for n in trials)
    assert same >= 40, f"{same} of 120 trials are as they were"
    with lu.Study.open(new) as study:  # and it goes on
        study.run(lambda run: run.report(loss=run.config["x"], epoch=9), trials=125)
        assert len(study.trials) >= 125 - len(set(before[1]) - set(trials))
        assert not any(t.status is lu.Status.RUNNING for t in study.trials)


def test_the_tree_of_pages_is_gone(study_file):
    """The root of the log's table and the first page, without which SQLite finds nothing."""
    before = _log(study_file)
    connection = sqlite3.connect(study_file)
    [root] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    connection.close()
    _spoil(study_file, [1, root])
    with pytest.raises(StorageError):
        lu.Study.open(study_file)
    new, [found] = repair(str(study_file))
    assert found.missing <= 0.05 * len(before[0])
    assert len(_log(new)[1]) >= 110


def test_a_log_that_was_not_folded_in_counts(tmp_path):
    """What a killed driver left in the write-ahead log."""
    code = (
        "import os, luthier as lu\n"
        "study = lu.Study({'x': lu.Float(0, 1)}, searcher='random', folder='s')\n"
        "study.run(lambda run: run.config['x'], trials=5)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert (tmp_path / "s" / "study.db-wal").stat().st_size > 0
    _, [found] = repair(str(tmp_path / "s"), str(tmp_path / "new.db"))
    assert found.trials == 5


def test_in_place_keeps_the_old_file(study_file):
    _spoil(study_file, [9])
    content = study_file.read_bytes()
    new, _ = repair(str(study_file), in_place=True)
    assert new == study_file
    assert study_file.with_name("study.damaged.db").read_bytes() == content
    assert len(_log(study_file)[1]) > 50
    with pytest.raises(StorageError, match=r"study\.damaged\.db exists already"):
        repair(str(study_file), in_place=True)


def test_what_cannot_be_saved(tmp_path, study_file):
    with pytest.raises(StorageError, match="is not there"):
        repair(str(tmp_path / "none"))
    with pytest.raises(StorageError, match="exists already, and is not overwritten"):
        repair(str(study_file), str(study_file))
    with pytest.raises(UnsupportedError, match="only an SQLite store is a file"):
        repair("postgresql://host/db")
    noise = tmp_path / "noise.db"
    noise.write_bytes(random.Random(0).randbytes(100_000))
    with pytest.raises(StorageError, match="no study can be read any more"):
        repair(str(noise))
    assert not (tmp_path / "noise.repaired.db").exists()


def test_the_command(study_file):
    """doctor finds the damage (exit code 4), repairs it, and what it wrote is well (0 or a warning)."""
    _spoil(study_file, range(12, 18))

    def luthier(*words):
        return subprocess.run([sys.executable, "-m", "luthier", *words], capture_output=True, text=True, check=False)

    found = luthier("doctor", str(study_file.parent))
    assert found.returncode == 4, found.stdout + found.stderr
    assert "--repair" in found.stdout
    done = luthier("doctor", str(study_file.parent), "--repair", "--in-place")
    assert done.returncode == 0, done.stderr
    assert "study: saved " in done.stdout or "s: saved " in done.stdout
    assert luthier("doctor", str(study_file.parent)).returncode in (0, 3)
    with SQLite(study_file) as store:
        assert store.read(1)[-1].kind == "repaired"
