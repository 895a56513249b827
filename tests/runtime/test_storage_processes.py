"""Many processes on one file: no lock error, no number twice, nothing lost; killed ones leave a sound database."""

import collections
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from luthier.base.errors import StudyExists
from luthier.runtime.storage import Draft, SQLite, dead, this_driver

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
_fork = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
WORKERS, TRIALS = 8, 2000


def _work(path, index, limit, ready):
    end = path.with_suffix(".end")
    with SQLite(path) as store:  # all of them find no file, and one makes it
        study = _study(store)
        me = replace(this_driver(1e9), id=f"worker-{index}")
        store.register(study, me)
        ready.wait(60)
        for step in range(limit):
            trial = None if end.exists() else store.reserve(study, me.id, limit=limit)
            if trial is None:
                return
            data = {"by": me.id, "step": step}
            store.append(study, [Draft(time.time(), "asked", trial, None, data)], release=[trial])
            store.append(study, [Draft(time.time(), "finished", trial, None, data)])


def _study(store):
    try:
        return store.create("many", seed=0, problem={}).id
    except StudyExists:
        return store.open("many").id


def _start(path, limit=TRIALS):
    ready = _fork.Barrier(WORKERS)
    workers = [_fork.Process(target=_work, args=(path, index, limit, ready)) for index in range(WORKERS)]
    for worker in workers:
        worker.start()
    return workers


def _join(workers):
    for worker in workers:
        worker.join(60)
    return [worker.exitcode for worker in workers]


def _assert_sound(path, trials):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with SQLite(path, create=False) as store:
        log = store.read(store.open("many").id)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    asked = [event for event in log if event.kind == "asked"]
    assert sorted(event.trial for event in asked) == list(range(trials))
    steps = collections.defaultdict(list)
    for event in log:
        steps[event.data["by"], event.kind].append(event.data["step"])
    for (by, kind), taken in steps.items():
        assert taken == list(range(len(taken))), f"{kind} of {by} out of order"
    return log


def test_eight_processes_share_a_study(tmp_path):
    path = tmp_path / "new" / "study.db"
    assert _join(_start(path)) == [0] * WORKERS
    log = _assert_sound(path, TRIALS)
    assert len(log) == 2 * TRIALS


def test_killed_processes_leave_a_sound_store(tmp_path):
    path = tmp_path / "study.db"
    with SQLite(path) as store:
        study = _study(store)
    workers = _start(path, 20 * TRIALS)  # they go on until they are told, however seldom this process has its turn
    with SQLite(path, create=False) as store:
        for victim in workers[:4]:
            mark = store.head(study) + 300
            while store.head(study) < mark:
                assert all(worker.is_alive() for worker in workers[4:])
                time.sleep(0.001)
            os.kill(victim.pid, signal.SIGKILL)
        path.with_suffix(".end").touch()
        assert _join(workers) == [-signal.SIGKILL] * 4 + [0] * 4
        asked = max(event.trial for event in store.read(study) if event.kind == "asked") + 1
        me = this_driver(1e9)
        store.register(study, me)
        gone = [other for other, age in store.drivers(study) if dead(other, age, me)]
        assert {other.id for other in gone} == {f"worker-{index}" for index in range(WORKERS)}
        for other in gone:
            store.leave(study, other.id)
        # what the killed ones had taken and not yet asked is given out again, nothing else
        step = 0
        while (trial := store.reserve(study, me.id, limit=asked)) is not None:
            store.append(study, [Draft(0.0, "asked", trial, None, {"by": me.id, "step": step})], release=[trial])
            step += 1
            asked = max(asked, trial + 1)
        assert step <= 4
    _assert_sound(path, asked)


def test_a_forked_child_uses_the_store_of_its_parent(tmp_path):
    with SQLite(tmp_path / "study.db") as store:
        study = _study(store)
        stop = threading.Event()
        errors = []

        def write():
            try:
                while not stop.is_set():
                    store.append(study, [Draft(0.0, "note", None, None, {"by": "thread"})])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        children = [_fork.Process(target=_append, args=(store, study, index)) for index in range(5)]
        for child in children:
            child.start()
        assert _join(children) == [0] * 5
        stop.set()
        thread.join()
        assert errors == []
        store.append(study, [Draft(0.0, "note", None, None, {"by": "parent"})])
        log = store.read(study)
    counts = collections.Counter(event.data["by"] for event in log)
    assert [counts[f"child-{index}"] for index in range(5)] == [50] * 5
    assert counts["parent"] == 1
    assert [event.seq for event in log] == list(range(1, len(log) + 1))


def _append(store, study, index):
    for _ in range(50):
        store.append(study, [Draft(0.0, "note", None, None, {"by": f"child-{index}"})])


def test_a_writer_waits_for_a_long_transaction_of_another_program(tmp_path):
    path = tmp_path / "study.db"
    with SQLite(path) as store:
        study = _study(store)
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.execute, ("COMMIT",))
        timer.start()
        began = time.monotonic()
        assert store.append(study, [Draft(0.0, "note")]) == 1
        assert 0.2 < time.monotonic() - began < 5
        timer.join()
        other.close()
