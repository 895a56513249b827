"""From the layout of an earlier schema to the next: one function a step, kept for good.

A step works on frozen SQL, never on the tables of `_schema`, which go on changing. All steps that a store needs
run in one transaction: it is either wholly new or untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _one_to_two(cursor: Any) -> None:
    """Decisions note what they had seen; several drivers share a study."""
    for statement in (
        "ALTER TABLE events ADD COLUMN seen INTEGER",
        # what was written with schema 1 says so for good: such decisions cannot be replayed one by one
        "ALTER TABLE studies ADD COLUMN schema INTEGER NOT NULL DEFAULT 1",
        "CREATE TABLE counters (study INTEGER NOT NULL PRIMARY KEY REFERENCES studies (id), "
        "next_trial INTEGER NOT NULL)",
        "INSERT INTO counters (study, next_trial) SELECT id, "
        "coalesce((SELECT max(trial) + 1 FROM events WHERE study = studies.id AND kind = 'asked'), 0) FROM studies",
        "CREATE UNIQUE INDEX one_asked ON events (study, trial) WHERE kind = 'asked'",
        "CREATE TABLE reservations (study INTEGER NOT NULL REFERENCES studies (id), trial INTEGER NOT NULL, "
        "driver TEXT NOT NULL, PRIMARY KEY (study, trial)) WITHOUT ROWID",
        "CREATE TABLE claims (study INTEGER NOT NULL REFERENCES studies (id), trial INTEGER NOT NULL, "
        "what TEXT NOT NULL, driver TEXT NOT NULL, PRIMARY KEY (study, trial, what)) WITHOUT ROWID",
        "CREATE TABLE drivers (study INTEGER NOT NULL REFERENCES studies (id), id TEXT NOT NULL, "
        "host TEXT NOT NULL, pid INTEGER NOT NULL, born BIGINT NOT NULL, beat FLOAT NOT NULL, "
        "lease FLOAT NOT NULL, PRIMARY KEY (study, id)) WITHOUT ROWID",
    ):
        cursor.execute(statement)


#: Number of the old schema -> the step to the next one. Schemas before 2 existed in SQLite alone.
MIGRATIONS: Mapping[int, Callable[[Any], None]] = {1: _one_to_two}

#: Number of the layout that `_schema` draws.
SCHEMA = 1 + max(MIGRATIONS)
