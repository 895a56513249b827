"""From what a user writes to a store."""

import os
import sys
from pathlib import Path

import pytest

from luthier.base.errors import ArgumentError, StorageError, UnsupportedError
from luthier.base.registry import names
from luthier.runtime import storage
from luthier.runtime.storage import Memory, SQLite, open_storage, split_name
from luthier.runtime.storage._mounts import network_type
from luthier.runtime.storage._urls import path_of


def test_names_are_the_files_and_no_helper():
    assert names("storage") == ["memory", "postgresql", "sqlite"]


def test_exports_resolve_and_unknown_ones_do_not():
    assert all(getattr(storage, name) is not None for name in storage.__all__)
    assert set(storage.__all__) <= set(dir(storage))
    with pytest.raises(AttributeError, match="no attribute 'Journal'"):
        _ = storage.Journal


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("sqlite:///a/b.db", "a/b.db"),
        ("a/b.sqlite3", "a/b.sqlite3"),
        ("demo", "demo/study.db"),
        ("d/e.f", "d/e.f/study.db"),
    ],
)
def test_relative_places(text, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_storage(text, create=True) as store:
        assert isinstance(store, SQLite)
        assert store.path == tmp_path / file
        assert store.url == f"sqlite:///{tmp_path / file}"
        store.create("x", seed=0, problem={})
    assert (tmp_path / file).is_file()
    monkeypatch.chdir("/")
    with open_storage(store.url) as again:
        assert again.open().name == "x"


def test_existing_folder_and_file_decide_over_the_suffix(tmp_path):
    (tmp_path / "old.db").mkdir()
    (tmp_path / "store").write_bytes(b"")
    assert path_of(str(tmp_path / "old.db")) == tmp_path / "old.db" / "study.db"
    assert path_of(str(tmp_path / "store")) == tmp_path / "store"


def test_options_come_back_in_the_url(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db?durability=power&allow_network=1"
    with open_storage(url, create=True) as store:
        assert store.url == url
        assert store._cursor.execute("PRAGMA synchronous").fetchone() == (2,)
    with open_storage(f"sqlite:///{tmp_path}/study.db") as store:
        assert store._cursor.execute("PRAGMA synchronous").fetchone() == (1,)
        assert store._cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("folder", ["run#3", "what?", "100%", "a b", "50%25"])
def test_paths_with_marks_come_back(folder, tmp_path):
    with open_storage(str(tmp_path / folder), create=True) as store:
        assert store.path == tmp_path / folder / "study.db"
        store.create("x", seed=0, problem={})
        url = store.url
    assert split_name(f"{url}#x") == (url, "x")
    with open_storage(url) as again:
        assert again.path == store.path
        assert again.open().name == "x"


def test_memory_places():
    with open_storage("memory://") as one, open_storage("memory://") as two:
        assert isinstance(one, Memory)
        one.create("x", seed=0, problem={})
        assert two.studies() == []
    with open_storage("memory://here") as one, open_storage("memory://here") as two:
        one.create("x", seed=0, problem={})
        assert two.open().name == "x"


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        (
            "mysql://host/db",
            UnsupportedError,
            "storage 'mysql://host/db': no store is called 'mysql' here. Allowed: memory://, postgresql://, "
            "sqlite://, a database file or a folder. For one machine take sqlite:///study.db.",
        ),
        (
            "sqlite://",
            ArgumentError,
            "storage 'sqlite://' names no file. Allowed: sqlite:///study.db, sqlite:////absolute/study.db; for a store "
            "in memory take memory://.",
        ),
        (
            "sqlite:///x.db?durabilty=power",
            ArgumentError,
            "storage 'sqlite:///x.db?durabilty=power' has no option 'durabilty'. Did you mean 'durability'?",
        ),
        (
            "sqlite:///x.db?durability=powr",
            ArgumentError,
            "storage 'sqlite:///x.db?durability=powr': durability='powr'. Did you mean 'power'?",
        ),
    ],
)
def test_wrong_urls(url, kind, message):
    with pytest.raises(kind) as caught:
        open_storage(url, create=True)
    assert str(caught.value) == message


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(StorageError) as caught:
        open_storage(str(tmp_path / "demo"))
    assert str(caught.value) == (
        f"store {tmp_path}/demo/study.db is not there. Look for a misspelt path, or make it by starting a study."
    )
    assert list(tmp_path.iterdir()) == []


def test_split_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("run#3")
    os.mkdir("plain")
    assert split_name("sqlite:///a.db") == ("sqlite:///a.db", None)
    assert split_name("sqlite:///a.db#demo") == ("sqlite:///a.db", "demo")
    assert split_name("sqlite:///a.db#demo#2") == ("sqlite:///a.db", "demo#2")
    assert split_name("plain#demo") == ("plain", "demo")
    assert split_name("plain#") == ("plain", None)
    assert split_name("run#3") == ("run#3", None)
    assert split_name("run#3#demo") == ("run#3", "demo")
    assert split_name("new.db#demo") == ("new.db", "demo")


MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/local\\040disk ext4 rw 0 0
C:\\134 /mnt/c 9p rw 0 0
host: /far fuse.sshfs rw 0 0
tmpfs /far tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/study.db", None),
        ("/home/me/study.db", "nfs4"),
        ("/home/me/local disk/study.db", None),
        ("/homework/study.db", None),
        ("/mnt/c/study.db", "9p"),
        ("/far/study.db", None),  # the later mount hides the earlier
    ],
)
def test_network_type(path, kind):
    assert network_type(Path(path), MOUNTS) == kind


def test_root_of_a_sandbox_is_local():
    assert network_type(Path("/data/study.db"), "none / 9p rw 0 0\n") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is mounted")
def test_mounts_of_this_machine_are_read():
    assert network_type(Path("/proc/self")) is None


def test_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.runtime.storage.sqlite.network_type", lambda path: "nfs4")
    path = tmp_path / "study.db"
    with pytest.raises(StorageError) as caught:
        open_storage(str(path), create=True)
    assert str(caught.value) == (
        f"store {path} lies on a network file system (nfs4), where SQLite's locks are not reliable. Allowed: a local "
        "disk; for several machines a PostgreSQL store (postgresql://...). If only one machine ever opens it: "
        f"sqlite:///{path}?allow_network=1."
    )
    assert not path.exists()
    open_storage(f"sqlite:///{path}?allow_network=1", create=True).close()
    assert path.exists()
