"""What can be wrong with a file or a disk: an error that says so, and nothing half done."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from luthier.base.errors import SchemaError, StorageError
from luthier.runtime.storage import Draft, SQLite

resource = pytest.importorskip("resource")  # POSIX
_fork = multiprocessing.get_context("fork")
PAGE = "x" * 3000


def _filled(path, events=200):
    with SQLite(path) as store:
        study = store.create("x", seed=0, problem={}).id
        for k in range(events):
            store.append(study, [Draft(0.0, "asked", k, None, {"k": k, "fill": PAGE})])
    return path


def _refusal(call, kind=StorageError):
    with pytest.raises(StorageError) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


def _in_child(work):
    """What a function returns in a forked process, which may give up rights for good."""
    queue = _fork.SimpleQueue()
    child = _fork.Process(target=lambda: queue.put(work()))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    return queue.get()


def _as_nobody(call):
    def work():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        return _refusal(call)

    return _in_child(work)


@pytest.fixture
def public():
    """A folder that other users can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="luthier-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_full_disk(tmp_path):
    path = _filled(tmp_path / "study.db", events=5)
    store = SQLite(path)
    store._cursor.execute("PRAGMA max_page_count=20")
    message = ""
    for k in range(5, 100):
        try:
            store.append(1, [Draft(0.0, "asked", k, None, {"fill": PAGE}), Draft(0.0, "finished", k)])
        except StorageError as error:
            message = str(error)
            break
    assert message == (
        f"store {path}: database or disk is full; nothing of this step was written. Allowed: a disk with free space. "
        "Free some, then go on: what was reported before is safe."
    )
    log = store.read(1)
    assert log[-1].kind == "finished"
    assert len(log) == 5 + 2 * (k - 5)
    store._cursor.execute("PRAGMA max_page_count=100000")
    assert store.append(1, [Draft(0.0, "asked", k)]) == len(log) + 1
    store.close()


def test_file_size_limit(tmp_path):
    path = _filled(tmp_path / "study.db", events=5)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        with SQLite(path) as store:
            written = 5
            try:
                while written < 1000:
                    store.append(1, [Draft(0.0, "asked", written, None, {"fill": PAGE})])
                    written += 1
            except StorageError as error:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                return written, str(error), store.head(1), store.append(1, [Draft(0.0, "note")])
        return None

    written, message, head, following = _in_child(work)
    assert 5 < written < 1000
    assert message.startswith(f"store {path}: ")
    assert "disk" in message
    assert "nothing of this step was written" in message
    assert (head, following) == (written, written + 1)
    with SQLite(path) as store:
        assert [event.trial for event in store.read(1)] == [*range(written), None]


def test_read_only_file(public):
    path = _filled(public / "study.db", events=1)
    public.chmod(0o777)
    path.chmod(0o444)
    assert _as_nobody(lambda: SQLite(path)) == (
        f"store {path}: attempt to write a readonly database; nothing of this step was written. Allowed: a file and a "
        "folder that you may write. Change their permissions, or copy them elsewhere."
    )


def test_read_only_folder(public):
    path = _filled(public / "study.db", events=1)
    path.chmod(0o666)
    public.chmod(0o555)
    message = _as_nobody(lambda: SQLite(path))
    assert message.startswith(f"store {path}: ")
    assert "Allowed: a file and a folder that you may write." in message


def test_new_store_in_a_read_only_folder(public):
    public.chmod(0o555)
    path = public / "study.db"
    assert _as_nobody(lambda: SQLite(path)) == (
        f"store {path}: unable to open database file; nothing of this step was written. Allowed: a file and a folder "
        "that you may write. Change their permissions, or copy them elsewhere."
    )
    assert _as_nobody(lambda: SQLite(public / "a" / "study.db")) == (
        f"store {public}/a/study.db: its folder cannot be made (Permission denied). Allowed: a folder that you may "
        "write. Choose another path."
    )


def test_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "study.db").mkdir()
    message = _refusal(lambda: SQLite(tmp_path / "study.db"))
    assert message.startswith(f"store {tmp_path}/study.db: unable to open database file")


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    path = tmp_path / "run" / "study.db"
    assert _refusal(lambda: SQLite(path)) == (
        f"store {path}: its folder cannot be made (File exists). Allowed: a folder that you may write. "
        "Choose another path."
    )


def test_not_a_database(tmp_path):
    path = tmp_path / "study.db"
    path.write_text("loss,lr\n" * 1000)
    assert _refusal(lambda: SQLite(path), SchemaError) == (
        f"store {path} is not an SQLite database (file is not a database). Allowed: a store made by luthier, or a new "
        "path. Choose another path."
    )
    assert path.read_text() == "loss,lr\n" * 1000


def test_database_of_another_program(tmp_path):
    path = tmp_path / "study.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE songs (id INTEGER); CREATE TABLE meta (x INTEGER)")
    connection.close()
    content = path.read_bytes()
    assert _refusal(lambda: SQLite(path), SchemaError) == (
        f"store {path} is an SQLite database of another program (tables: meta, songs). Allowed: a store made by "
        "luthier, or a new path. Choose another path."
    )
    assert path.read_bytes() == content


def test_same_table_names_are_not_enough(tmp_path):
    path = tmp_path / "study.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE meta (x INTEGER); CREATE TABLE studies (x); CREATE TABLE events (x)")
    connection.close()
    assert _refusal(lambda: SQLite(path), SchemaError) == (
        f"store {path} does not say which schema it has. Allowed: a store made by luthier, or a new path. If luthier "
        "made it, it is damaged: take a copy from a backup."
    )


def test_empty_file(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"")
    assert _refusal(lambda: SQLite(path, create=False), SchemaError) == (
        f"store {path} is an empty file. Choose another path, or start a study there."
    )
    with SQLite(path) as store:
        assert store.studies() == []


def test_damaged_file(tmp_path):
    path = _filled(tmp_path / "study.db")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xff" * (size - 80_000))
    with SQLite(path) as store:
        message = _refusal(lambda: store.read(1))
    assert message == (
        f"store {path}: database disk image is malformed; nothing of this step was written. It is damaged. Save "
        "what can be read: luthier doctor FILE --repair"
    )


def test_log_changed_by_hand(tmp_path):
    path = _filled(tmp_path / "study.db", events=3)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET data = '{\"k\": 1' WHERE seq = 2")
    connection.commit()
    connection.close()
    with SQLite(path) as store:
        message = _refusal(lambda: store.read(1))
        assert message.startswith(f"store {path}: the data of event 2 is not JSON")
        assert [event.seq for event in store.read(1, after=2)] == [3]


def test_locked_for_longer_than_our_patience(tmp_path):
    path = _filled(tmp_path / "study.db", events=1)
    other = sqlite3.connect(path, isolation_level=None)
    with SQLite(path, patience=0.2) as store:
        other.execute("BEGIN IMMEDIATE")
        message = _refusal(lambda: store.append(1, [Draft(0.0, "note")]))
        other.execute("ROLLBACK")
        assert store.append(1, [Draft(0.0, "note")]) == 2
    other.close()
    assert message == (
        f"store {path}: database is locked, after 0.2 s of waiting; nothing of this step was written. Another program "
        "holds it. Close what has it open (a database browser?), then try again."
    )


def test_a_closed_store_is_one_file(tmp_path):
    path = _filled(tmp_path / "study.db", events=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]
    shutil.copy(path, tmp_path / "copy.db")
    with SQLite(tmp_path / "copy.db", create=False) as store:
        assert store.head(1) == 1
