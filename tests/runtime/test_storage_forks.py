"""A fork finds every store at rest, whatever other threads do at that moment."""

import os
import threading

import pytest

from luthier.runtime.storage import Draft, Memory, SQLite

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def _fork_and_use(*stores):
    pid = os.fork()
    if pid == 0:
        try:
            for store in stores:
                store.append(1, [Draft(0.0, "note")])
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_no_connection_is_open_in_a_fork(tmp_path):
    with SQLite(tmp_path / "study.db") as store:
        store.create("x", seed=0, problem={})
        assert store._cursor is not None
        pid = os.fork()
        if pid == 0:
            os._exit(0 if store._cursor is None else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert store._cursor is None
        assert store.append(1, [Draft(0.0, "note")]) == 1


def test_threads_that_fork_at_once_do_not_block_each_other(tmp_path):
    with SQLite(tmp_path / "a.db") as one, SQLite(tmp_path / "b.db") as two, Memory() as three:
        stores = (one, two, three)
        for store in stores:
            store.create("x", seed=0, problem={})
        codes = []
        threads = [
            threading.Thread(target=lambda: codes.extend(_fork_and_use(*stores) for _ in range(5)), daemon=True)
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert codes == [0] * 20
        assert (one.head(1), two.head(1), three.head(1)) == (20, 20, 0)
