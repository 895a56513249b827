"""The texts of `_schema`, compiled ahead: SQLAlchemy takes longer to import than a store takes to open.

`python -m luthier.runtime.storage._schema` writes them to statements.json; a test compares.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("statements.json")


class Statements(NamedTuple):
    """Compiled texts; the comment names the values in order."""

    meta_gone: str
    meta_new: str  # schema, luthier
    study_all: str
    study_new: str  # id, name, seed, problem, created, schema
    counter_new: str  # study, next_trial
    head: str  # study
    event_new: str  # study, seq, time, kind, trial, seen, data
    event_range: str  # study, after, until
    asked: str  # study, trial
    vacancy: str  # driver, study
    number_take: str  # next_trial, study
    reserve_new: str  # study, trial, driver
    reserve_again: str  # driver, study, trial
    reserved: str  # study, trial
    release: str  # study, trial
    vacate: str  # driver, study, trial, owner
    claim_owner: str  # study, trial, what
    claim_new: str  # study, trial, what, driver
    claim_pass: str  # driver, study, trial, what
    driver_known: str  # study, id
    driver_new: str  # study, id, host, pid, born, beat, lease
    driver_gone: str  # study, id
    driver_beat: str  # beat, study, id
    driver_all: str  # study


@cache
def compiled(dialect: str) -> tuple[list[str], Statements]:
    """What makes the tables, and the statements on them.

    Args:
        dialect: "sqlite" or "postgresql".
    """
    found = json.loads(FILE.read_text(encoding="utf-8"))[dialect]
    return found["definitions"], Statements(**found["statements"])
