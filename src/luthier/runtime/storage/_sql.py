"""What every SQL store shares: the contract's methods over the statements of `_schema`, compiled ahead.

A database adds how to connect, how to begin, what its errors mean and whose clock counts (`sqlite.py`,
`postgresql.py`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from luthier.base.errors import StorageError
from luthier.base.records import Event
from luthier.runtime.storage._base import Draft, Driver, Storage, StudyRow
from luthier.runtime.storage._json import decode, encode
from luthier.runtime.storage._migrations import SCHEMA
from luthier.runtime.storage._transactions import Transactions
from luthier.runtime.storage._words import (
    asked_twice,
    check_study,
    no_such_number,
    not_registered,
    pick,
    study_exists,
)

_LAST = 2**31 - 1  # no `seq` is above it: what an INTEGER of PostgreSQL holds
_CHUNK = 4096  # events decoded at once: large enough to be quick, small enough to spare memory


class SQLStorage(Transactions, Storage):
    """A store in an SQL database: every public method is a function of a cursor, run by `Transactions`."""

    # tables

    def _make(self, cursor: Any) -> None:
        """Create all tables, inside the transaction of the caller."""
        for statement in self._definitions:
            cursor.execute(statement)
        self._sign(cursor)

    def _sign(self, cursor: Any) -> None:
        """Note the schema and who wrote it last."""
        cursor.execute(self._sql.meta_gone)
        cursor.execute(self._sql.meta_new, (SCHEMA, _own_version()))

    # studies

    def create(self, name: str, *, seed: int, problem: dict[str, Any]) -> StudyRow:
        """Make a study. Raises StudyExists."""
        check_study(name, seed)
        text = encode(problem, f"the problem of study {name!r}")

        def work(cursor: Any) -> StudyRow:
            taken = cursor.execute(self._sql.study_all).fetchall()
            if any(row[1] == name for row in taken):
                raise study_exists(self.where, self.url, name)
            number = 1 + max((row[0] for row in taken), default=0)
            row = (number, name, int(seed), text, self._clock(cursor), SCHEMA)
            cursor.execute(self._sql.study_new, row)
            cursor.execute(self._sql.counter_new, (number, 0))
            return _study_row(row)

        def done(cursor: Any, made: StudyRow) -> bool:
            rows = cursor.execute(self._sql.study_all).fetchall()
            return any(row[0] == made.id and row[4] == made.created for row in rows)

        return self._transact(work, done=done)

    def open(self, name: str | None = None) -> StudyRow:
        """Find a study by name; without one, the only study of the store. Raises StudyNotFound."""
        return pick(self.studies(), name, self.where, self.url)

    def studies(self) -> list[StudyRow]:
        """All studies, oldest first."""
        rows = self._transact(lambda cursor: cursor.execute(self._sql.study_all).fetchall(), write=False)
        return [_study_row(row) for row in rows]

    # the log

    def append(
        self, study: int, drafts: Sequence[Draft], *, release: Iterable[int] = (), expect: int | None = None
    ) -> int:
        """Append events in order, all or none; returns `seq` of the first, 0 where `expect` was not met."""
        rows = [
            (
                study,
                float(draft.time),
                draft.kind,
                None if draft.trial is None else int(draft.trial),
                None if draft.seen is None else int(draft.seen),
                encode(draft.data, f"event {draft.kind!r} of trial {draft.trial}"),
            )
            for draft in drafts
        ]
        used = [(study, int(trial)) for trial in release]

        def work(cursor: Any) -> int:
            first = self._head(cursor, study) + 1
            if expect is not None and first != expect + 1:
                return 0
            numbered = [(row[0], seq, *row[1:]) for seq, row in enumerate(rows, first)]
            try:
                if numbered:
                    cursor.executemany(self._sql.event_new, numbered)
            except self._integrity as error:
                self._refusal(cursor)
                raise self._refused(cursor, numbered, error) from error
            if used:
                cursor.executemany(self._sql.release, used)
            return first

        def done(cursor: Any, first: int) -> bool:
            found = cursor.execute(self._sql.event_range, (study, first - 1, first + len(rows) - 1)).fetchall()
            return bool(first) and [tuple(row[1:]) for row in found] == [row[1:] for row in rows]

        return self._transact(work, study=study, done=done)

    def _head(self, cursor: Any, study: int) -> int:
        row = cursor.execute(self._sql.head, (study,)).fetchone()
        if row is None:
            raise no_such_number(self.where, study)
        return row[0] or 0

    def _refused(self, cursor: Any, rows: Sequence[tuple[Any, ...]], error: Exception) -> StorageError:
        """Which of the events broke a rule of the tables. The transaction is still open, and rolled back next."""
        seen: set[int] = set()
        for study, seq, _, kind, trial, _, _ in rows:
            if kind == "asked" and trial is not None:
                found = cursor.execute(self._sql.asked, (study, trial)).fetchone()
                if trial in seen or (found is not None and found[0] != seq):
                    return asked_twice(self.where, trial)
                seen.add(trial)
        return StorageError(
            f"{self.where} refused events: {error}. Allowed: times that are numbers, kinds that are texts."
        )

    def read(self, study: int, *, after: int = 0, until: int | None = None) -> list[Event]:
        """Events with `after < seq <= until`, in order."""
        span = (study, after, _LAST if until is None else until)

        def work(cursor: Any) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = cursor.execute(self._sql.event_range, span).fetchall()
            if not rows:
                self._head(cursor, study)
            return rows

        found: list[Event] = []
        with _no_collection():
            rows = self._transact(work, write=False)
            for start in range(0, len(rows), _CHUNK):
                found += self._events(rows[start : start + _CHUNK])
        return found

    def _events(self, rows: list[tuple[Any, ...]]) -> list[Event]:
        # one call of the parser for many rows takes half the time of one call a row
        try:
            values = decode("[" + ",".join([row[5] for row in rows]) + "]")
            if len(values) != len(rows):
                raise ValueError("the data of an event is not one value")
        except ValueError as error:
            raise self._damaged(rows, error) from error
        return [
            Event(seq, when, kind, trial, seen, data)
            for (seq, when, kind, trial, seen, _), data in zip(rows, values, strict=True)
        ]

    def _damaged(self, rows: Sequence[tuple[Any, ...]], error: ValueError) -> StorageError:
        bad = next((row[0] for row in rows if not _is_json(row[5])), rows[0][0])
        return StorageError(
            f"{self.where}: the data of event {bad} is not JSON ({error}). It is damaged: the log is changed by "
            "luthier alone. Take a copy from before, or save what can be read: luthier doctor FILE --repair"
        )

    def head(self, study: int) -> int:
        """`seq` of the last event, 0 for none."""
        return self._transact(lambda cursor: self._head(cursor, study), write=False)

    # drivers

    def reserve(self, study: int, driver: str, *, limit: int | None = None) -> int | None:
        """Take the next free trial number for a driver; None when the limit is reached."""

        def work(cursor: Any) -> int | None:
            row = cursor.execute(self._sql.vacancy, (driver, study)).fetchone()
            if row is None:
                raise no_such_number(self.where, study)
            if not row[3]:
                raise not_registered(self.where, study, driver)
            following, asked, free, _ = row
            if free is not None and (limit is None or free < limit):
                cursor.execute(self._sql.reserve_again, (driver, study, free))
                return int(free)
            number = following if asked is None else max(following, asked + 1)
            if limit is not None and number >= limit:
                return None
            cursor.execute(self._sql.number_take, (number + 1, study))
            cursor.execute(self._sql.reserve_new, (study, number, driver))
            return int(number)

        def done(cursor: Any, number: int | None) -> bool:
            return bool(cursor.execute(self._sql.reserved, (study, number)).fetchone() == (driver,))

        return self._transact(work, study=study, done=done)

    def vacate(self, study: int, trial: int, driver: str) -> None:
        """Give a reserved number back unused: it belongs to nobody, as if its driver were gone."""

        def work(cursor: Any) -> None:
            self._head(cursor, study)
            cursor.execute(self._sql.vacate, ("", study, trial, driver))

        self._transact(work, study=study)

    def claim(self, study: int, trial: int, what: str, driver: str, *, head: int | None = None) -> bool:
        """Take something that only one driver may do: True for the first to ask, and for it again."""

        def work(cursor: Any) -> bool:
            owner = cursor.execute(self._sql.claim_owner, (study, trial, what)).fetchone()
            if owner is None:
                self._head(cursor, study)
                cursor.execute(self._sql.claim_new, (study, trial, what, driver))
                return True
            if owner[0] == driver:
                return True
            if head is None or self._head(cursor, study) != head:
                return False
            if cursor.execute(self._sql.driver_known, (study, owner[0])).fetchone() is not None:
                return False
            cursor.execute(self._sql.claim_pass, (driver, study, trial, what))
            return True

        return self._transact(work, study=study)

    def register(self, study: int, driver: Driver) -> None:
        """Say that a driver works on the study (`beat` is set by the store's clock)."""

        def work(cursor: Any) -> None:
            self._head(cursor, study)
            cursor.execute(self._sql.driver_gone, (study, driver.id))
            now = self._clock(cursor)
            row = (study, driver.id, driver.host, driver.pid, driver.born, now, driver.lease)
            cursor.execute(self._sql.driver_new, row)

        self._transact(work, study=study)

    def beat(self, study: int, driver: str) -> None:
        """Renew a driver's lease."""

        def work(cursor: Any) -> None:
            cursor.execute(self._sql.driver_beat, (self._clock(cursor), study, driver))
            if not cursor.rowcount:
                raise not_registered(self.where, study, driver)

        self._transact(work, study=study)

    def drivers(self, study: int) -> list[tuple[Driver, float]]:
        """Registered drivers, each with the seconds since its last heartbeat by the store's clock."""

        def work(cursor: Any) -> list[tuple[Driver, float]]:
            now = self._clock(cursor)
            self._head(cursor, study)
            rows = cursor.execute(self._sql.driver_all, (study,)).fetchall()
            return [(Driver(*row), max(0.0, now - row[4])) for row in rows]

        return self._transact(work, write=False)

    def leave(self, study: int, driver: str) -> None:
        """Take a driver off the list; what it reserved and did not use becomes free."""

        def work(cursor: Any) -> None:
            self._head(cursor, study)
            cursor.execute(self._sql.driver_gone, (study, driver))

        self._transact(work, study=study)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the cyclic garbage collector back: fresh events hold no cycles, and its passes over them cost a third."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _own_version() -> str:
    try:
        return version("luthier")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree


def _study_row(row: Sequence[Any]) -> StudyRow:
    number, name, seed, problem, created, schema = row
    return StudyRow(number, name, seed, decode(problem), created, schema)


def _is_json(text: str) -> bool:
    try:
        decode(text)
    except ValueError:
        return False
    return True
