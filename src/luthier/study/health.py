"""Is everything well with a study, and with the folder it lives in? What `luthier doctor` shows."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.base.records import Event, Status
from luthier.runtime.storage import dead, this_driver
from luthier.runtime.storage._mounts import network_type

if TYPE_CHECKING:
    from luthier.study.study import Study

_SCARCE = 500e6  # bytes: a thousand trials with checkpoints of half a megabyte
_OPENING = {"asked": 0, "started": 1}
_CLOSING = frozenset({"paused", "stopped", "finished", "failed", "lost"})


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What.
        state: "ok", "warn" (works, look at it) or "fail" (does not work).
        text: What was found, and what to do about it.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str


def check_folder(folder: Path) -> list[Check]:
    """Whether a study can live in a folder: it can be written, has room, and SQLite works in it.

    Args:
        folder: A folder that exists; files are made in it and removed again.
    """
    if not folder.is_dir():
        return [Check("folder", "fail", f"{folder} is no folder. Make it, or choose another.")]
    try:
        with tempfile.TemporaryDirectory(prefix=".luthier-doctor-", dir=folder) as name:
            place = Path(name)
            with (place / "probe").open("wb") as file:
                file.write(b"x" * 4096)
                os.fsync(file.fileno())
            sqlite = _check_sqlite(place / "probe.db")
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}. Change its permissions, or choose another."
        return [Check("folder", "fail", text)]
    free = shutil.disk_usage(folder).free
    room = f"{folder} can be written, {free / 1e9:.1f} GB free"
    state: Literal["ok", "warn"] = "ok" if free >= _SCARCE else "warn"
    return [Check("folder", state, room if state == "ok" else room + ". Make room before a long study."), sqlite]


def _check_sqlite(file: Path) -> Check:
    kind = network_type(file)
    if kind is not None:
        text = f"the folder is on a network file system ({kind}). Use a local disk, or PostgreSQL."
        return Check("sqlite", "fail", text)
    try:
        writer = sqlite3.connect(file)
        reader = sqlite3.connect(file)
        try:
            mode = writer.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            writer.execute("CREATE TABLE probe (x)")
            writer.execute("INSERT INTO probe VALUES (1)")
            writer.commit()
            found = reader.execute("SELECT x FROM probe").fetchone()
        finally:
            reader.close()
            writer.close()
    except sqlite3.Error as error:
        return Check("sqlite", "fail", f"SQLite does not work in this folder: {error}. Use a local disk.")
    if mode != "wal" or found != (1,):
        return Check("sqlite", "fail", f"SQLite gives journal mode {mode!r}, needed is 'wal'. Use a local disk.")
    return Check("sqlite", "ok", f"SQLite {sqlite3.sqlite_version}, WAL works")


def check_study(study: Study) -> list[Check]:
    """Whether a study's store, log and drivers are as they should be.

    Args:
        study: An open study; it is only read.
    """
    session = study._session
    row = next(row for row in session.storage.studies() if row.id == session.study)
    events = study.events()
    return [
        Check("schema", "ok", f"schema {row.schema}, {study.url}"),
        _check_integrity(study),
        _check_log(events),
        *_check_drivers(study),
        _check_end(study),
    ]


def _check_integrity(study: Study) -> Check:
    path = getattr(study._session.storage, "path", None)
    if path is None:
        kept = "kept by the database server" if study._session.storage.shared else "in memory"
        return Check("integrity", "ok", kept)
    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    finally:
        connection.close()
    if found == ["ok"]:
        return Check("integrity", "ok", "the database is whole")
    return Check(
        "integrity",
        "fail",
        f"damaged: {found[0]}. Save what can be read: luthier doctor {study.where} --repair",
    )


def _check_log(events: Sequence[Event]) -> Check:
    """No gap in the order, and every trial asked once before it started, started before it reported or ended."""
    problems = []
    gaps = sum(event.seq != place for place, event in enumerate(events, 1))
    if gaps:
        problems.append(f"{gaps} events are out of order")
    stage: dict[int, int] = {}
    for event in events:
        if event.trial is None:
            continue
        known = stage.get(event.trial, -1)
        if event.kind == "asked" and known >= 0:
            problems.append(f"trial {event.trial} was asked twice (event {event.seq})")
        elif event.kind == "started" and known < 0:
            problems.append(f"trial {event.trial} started before it was asked (event {event.seq})")
        elif event.kind in _CLOSING | {"reported"} and known < 1:
            problems.append(f"trial {event.trial} has {event.kind!r} before it started (event {event.seq})")
        stage[event.trial] = max(known, _OPENING.get(event.kind, known))
    if problems:
        return Check("log", "fail", f"{len(problems)} inconsistencies, the first: {problems[0]}. Take a backup's copy.")
    return Check("log", "ok", f"{len(events)} events without a gap")


def _check_drivers(study: Study) -> list[Check]:
    session = study._session
    me = this_driver(session.me.lease)
    drivers = session.storage.drivers(session.study)
    alive = {driver.id for driver, age in drivers if not dead(driver, age, me)}
    gone = len(drivers) - len(alive)
    orphans = [number for number, driver in study._state.running.items() if driver not in alive]
    counts = Counter(trial.status for trial in study.trials)
    words = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status]) or "none yet"
    found = [Check("trials", "ok", words)]
    if gone or orphans:
        lost = f", {len(orphans)} trials were running" if orphans else ""
        who = "`luthier resume`" if study.resumable else "Your script, run again,"
        text = f"{len(alive)} alive, {gone} dead{lost}. {who} takes over from the dead ones."
        return [*found, Check("drivers", "warn", text)]
    return [*found, Check("drivers", "ok", f"{len(alive)} at work" if alive else "none at work")]


def _check_end(study: Study) -> Check:
    reason = study.result().reason
    how = f"Continue with: luthier resume {study.where}" if study.resumable else "Run your script again: it continues."
    if reason == "interrupted":
        return Check("end", "warn", f"interrupted. {how}")
    if reason is not None:
        return Check("end", "ok", reason)
    if not study.settings:
        return Check("end", "ok", "driven by ask and tell")
    if study._session.storage.drivers(study._session.study):
        return Check("end", "ok", "a run is going on")
    return Check("end", "warn", f"the last run ended without a word. {how}")
