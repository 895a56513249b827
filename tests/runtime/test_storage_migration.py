"""A stored file of an earlier schema is brought to this one, wholly or not at all."""

import math
import shutil
import sqlite3
from pathlib import Path

import pytest

from luthier.base.errors import SchemaError, StorageError
from luthier.runtime.storage import Draft, SQLite, _migrations, _schema, this_driver
from luthier.runtime.storage import sqlite as home

OLD = Path(__file__).parents[1] / "data" / "schema1.db"


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copy(OLD, tmp_path / "study.db"))


def _query(path, statement):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def _layout(path):
    """Tables and columns, whatever their order."""
    tables = [name for (name,) in _query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: {tuple(row[1:4]) for row in _query(path, f"PRAGMA table_info({name})")} for name in tables}


def test_old_store_is_migrated_and_its_log_is_intact(old):
    before = _query(old, "SELECT seq, time, kind, trial FROM events WHERE study = 1 ORDER BY seq")
    with SQLite(old, create=False) as store:
        first, second = store.studies()
        assert (first.name, first.seed, first.schema, second.name) == ("digits", 7, 1, "empty")
        log = store.read(first.id)
        assert [(event.seq, event.time, event.kind, event.trial) for event in log] == before
        assert len(log) == 15
        assert {event.seen for event in log} == {None}
        assert log[0].data == {"config": {"lr": 1.0}}
        assert math.isnan(log[10].data["metrics"]["loss"])
    assert _query(old, "SELECT schema FROM meta") == [(_migrations.SCHEMA,)]


def test_migrated_store_goes_on(old):
    with SQLite(old, create=False) as store:
        me = this_driver(30)
        for study, trial, head in ((1, 5, 15), (2, 0, 0)):
            store.register(study, me)
            assert store.reserve(study, me.id) == trial
            assert store.append(study, [Draft(0.0, "asked", trial, head)], release=[trial]) == head + 1
            assert store.read(study)[-1].seen == head
        with pytest.raises(StorageError, match="trial 4 was asked already"):
            store.append(1, [Draft(0.0, "asked", 4)])


def test_migrated_layout_is_that_of_a_new_store(old, tmp_path):
    SQLite(old, create=False).close()
    SQLite(tmp_path / "new.db").close()
    migrated, new = _layout(old), _layout(tmp_path / "new.db")
    assert migrated == new
    assert set(new) == set(_schema.metadata.tables)
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    assert _query(old, indexes) == _query(tmp_path / "new.db", indexes) == [("one_asked", _schema.ONE_ASKED)]


def test_failed_migration_leaves_the_file_untouched(old, monkeypatch):
    def half(cursor):
        cursor.execute("ALTER TABLE events ADD COLUMN seen INTEGER")
        cursor.execute("DELETE FROM events")
        cursor.execute("INSERT INTO nowhere VALUES (1)")

    before, content = _layout(old), old.read_bytes()
    monkeypatch.setattr(home, "MIGRATIONS", {1: half})
    with pytest.raises(StorageError, match="no such table: nowhere"):
        SQLite(old, create=False)
    assert _layout(old) == before
    assert old.read_bytes() == content
    monkeypatch.undo()
    with SQLite(old, create=False) as store:
        assert store.head(1) == 15


def test_every_earlier_schema_has_a_step():
    assert list(_migrations.MIGRATIONS) == list(range(1, _migrations.SCHEMA))


def test_newer_schema_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "study.db"
    SQLite(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET schema = 9, luthier = '3.1.4'")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaError) as caught:
        SQLite(path, create=False)
    assert str(caught.value) == (
        f"store {path} has schema 9, written by luthier 3.1.4; this luthier reads schemas up to {_migrations.SCHEMA}. "
        "Upgrade it: pip install --upgrade luthier."
    )
    assert _query(path, "SELECT schema FROM meta") == [(9,)]


def test_stored_file_is_what_its_script_writes(tmp_path):
    import runpy

    runpy.run_path(str(OLD.with_name("make_old_store.py")))["main"](str(tmp_path / "again.db"))
    for statement in ("SELECT sql FROM sqlite_master ORDER BY name", "SELECT * FROM events", "SELECT * FROM studies"):
        assert _query(tmp_path / "again.db", statement) == _query(OLD, statement)
