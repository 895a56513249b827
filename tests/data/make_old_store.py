"""Writes schema1.db: a store as the layout numbered 1 kept it, for the migration test.

Schema 1 had one driver a study: no claims, reservations, drivers or counters, and decisions did not note what they
had seen. Frozen: it uses nothing of luthier, so that it writes the same file for ever.

    python tests/data/make_old_store.py tests/data/schema1.db
"""

import json
import sqlite3
import sys

TABLES = """
CREATE TABLE meta (schema INTEGER NOT NULL, luthier TEXT NOT NULL);
CREATE TABLE studies (
    id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, seed BIGINT NOT NULL, problem TEXT NOT NULL,
    created FLOAT NOT NULL
);
CREATE TABLE events (
    study INTEGER NOT NULL REFERENCES studies (id), seq INTEGER NOT NULL, time FLOAT NOT NULL, kind TEXT NOT NULL,
    trial INTEGER, data TEXT NOT NULL, PRIMARY KEY (study, seq)
) WITHOUT ROWID;
INSERT INTO meta VALUES (1, '0.0.1');
"""
PROBLEM = {"objectives": [{"name": "loss", "goal": "min"}], "space": {"lr": [1e-05, 0.1]}}


def main(path: str) -> None:
    """Write the file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(TABLES)
    for number, name, trials in ((1, "digits", 5), (2, "empty", 0)):
        row = (number, name, number * 7, json.dumps(PROBLEM), 1_700_000_000.0 + number)
        connection.execute("INSERT INTO studies VALUES (?, ?, ?, ?, ?)", row)
        seq = 0
        for trial in range(trials):
            loss = float("nan") if trial == 3 else 1.0 / (trial + 1)
            steps = (
                ("asked", {"config": {"lr": 10.0**-trial}}),
                ("reported", {"metrics": {"loss": loss}}),
                ("finished", {}),
            )
            for kind, data in steps:
                seq += 1
                values = (number, seq, 1_700_000_100.0 + seq, kind, trial, json.dumps(data))
                connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
