"""What can be read of a damaged SQLite store, brought into a new one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.errors import StorageError
from luthier.base.records import Event
from luthier.runtime.storage._base import Draft
from luthier.runtime.storage._json import decode
from luthier.runtime.storage._pages import records
from luthier.runtime.storage.sqlite import SQLite

_CHUNK = 10_000  # events appended at once


@dataclass(frozen=True)
class Salvaged:
    """What was saved of a study.

    Args:
        name: Its name.
        events: Events that are in the new store.
        missing: Events that could not be read, as far as later ones tell: an end that is lost leaves no trace.
        dropped: Events that could be read, and mean nothing without those that could not.
        trials: Trials in the new store.
    """

    name: str
    events: int
    missing: int
    dropped: int
    trials: int


def salvage(damaged: str | Path, new: str | Path) -> list[Salvaged]:
    """Copy every event that can be read into a new store, and what it needs to be understood.

    The damaged file is not written to. Events are numbered anew, without gaps; one event "repaired" at the end of each
    log says what is missing. A trial whose proposal is lost is left out; one whose end is lost is run again on resume.
    After a loss `luthier replay` may find decisions different: they were made from events that are gone.

    Args:
        damaged: The file.
        new: Where to; it must not exist.

    Returns:
        What was saved, by study.

    Raises:
        StorageError: `new` exists, `damaged` cannot be read at all, or no study is left in it.
    """
    damaged, new = Path(damaged), Path(new)
    if new.exists():
        raise StorageError(f"{new} exists already, and is not overwritten. Name another file: --to FILE.")
    content = _content(damaged)
    studies: dict[int, tuple[str, int, dict[str, Any]]] = {}
    events: dict[int, dict[int, Event]] = {}
    for number, values in records(content):
        if number is not None and _is_study(values):
            studies[number] = values[1], values[2], decode(values[3])
        elif number is None and (event := _event(values)) is not None:
            events.setdefault(values[0], {}).setdefault(event.seq, event)
    if not studies:
        raise StorageError(
            f"store {damaged}: no study can be read any more ({sum(map(len, events.values()))} of its events can, and "
            "mean nothing without it). Take a copy from a backup."
        )
    with SQLite(new) as store:
        return [
            _write(store, *studies[number], sorted(events.get(number, {}).values()), str(damaged))
            for number in sorted(studies)
        ]


def _content(damaged: Path) -> bytes:
    """The file's bytes, with what still stands in its write-ahead log folded in; made on a copy."""
    with tempfile.TemporaryDirectory(prefix="luthier-repair-") as name:
        copy = Path(name) / damaged.name
        try:
            shutil.copy(damaged, copy)
            log = damaged.with_name(damaged.name + "-wal")
            if log.exists():
                shutil.copy(log, copy.with_name(log.name))
        except OSError as error:
            raise StorageError(f"store {damaged} cannot be read ({error.strerror or error}).") from error
        with contextlib.suppress(sqlite3.Error):  # then the log stays out: the file itself is still looked at
            connection = sqlite3.connect(copy)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.close()
        return copy.read_bytes()


def _is_study(values: list[Any]) -> bool:
    if len(values) not in (5, 6) or values[0] is not None:
        return False
    name, seed, problem = values[1:4]
    return (
        isinstance(name, str) and isinstance(seed, int) and isinstance(problem, str) and _mapping(problem) is not None
    )


def _event(values: list[Any]) -> Event | None:
    if len(values) != 7:
        return None
    study, seq, when, kind, trial, seen, text = values
    if not (isinstance(study, int) and isinstance(seq, int) and seq > 0 and isinstance(when, (int, float))):
        return None
    if not (isinstance(kind, str) and isinstance(text, str)) or not all(
        value is None or isinstance(value, int) for value in (trial, seen)
    ):
        return None
    data = _mapping(text)
    return None if data is None else Event(seq, float(when), kind, trial, seen, data)


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        found = decode(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _write(store: SQLite, name: str, seed: int, problem: dict[str, Any], events: list[Event], source: str) -> Salvaged:
    kept = list(_sound(events))
    last = events[-1].seq if events else 0
    missing = last - len(events)
    places = {event.seq: place for place, event in enumerate(kept, 1)}
    drafts: list[Draft] = []
    known = 0  # the place of the last event kept before
    before = [0] * (last + 1)
    for seq in range(1, last + 1):
        known = places.get(seq, known)
        before[seq] = known
    for event in kept:
        seen = None if event.seen is None else before[min(max(event.seen, 0), last)]
        data = dict(event.data)
        if "queued" in data:  # names the event that enqueued it
            data["queued"] = before[min(data["queued"], last)]
        drafts.append(Draft(event.time, event.kind, event.trial, seen, data))
    facts = {"from": source, "missing": missing, "dropped": len(events) - len(kept)}
    drafts.append(Draft(events[-1].time if events else 0.0, "repaired", None, None, facts))
    made = store.create(name, seed=seed, problem=problem)
    for start in range(0, len(drafts), _CHUNK):
        store.append(made.id, drafts[start : start + _CHUNK])
    numbers = {event.trial for event in kept if event.kind == "asked" and event.trial is not None}
    # a number that is missing for good would let no run come to its end: so it is free to be given again
    free = [(made.id, k, "") for k in range(max(numbers, default=-1)) if k not in numbers]
    if free:
        store._transact(lambda cursor: cursor.executemany(store._sql.reserve_new, free), study=made.id)
    return Salvaged(name, len(kept), missing, len(events) - len(kept), len(numbers))


def _sound(events: Iterable[Event]) -> Iterable[Event]:
    """Events that can be understood: a trial is asked, then started, then it says something."""
    asked: set[int] = set()
    started: set[int] = set()
    for event in events:
        if event.trial is not None:
            if event.kind == "asked":
                parent = event.data.get("parent")
                if event.trial in asked or (parent is not None and parent not in asked):
                    continue
                asked.add(event.trial)
            elif event.trial not in asked or (
                event.trial not in started and event.kind not in ("started", "annotated", "extended")
            ):
                continue
            elif event.kind == "started":
                started.add(event.trial)
        yield event
