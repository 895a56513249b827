"""In memory: for tests and studies that nobody needs tomorrow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakValueDictionary

from luthier.base.records import Event
from luthier.base.registry import register
from luthier.runtime.storage import _fork
from luthier.runtime.storage._base import Draft, Driver, Storage, StudyRow
from luthier.runtime.storage._json import plain
from luthier.runtime.storage._migrations import SCHEMA
from luthier.runtime.storage._words import (
    asked_twice,
    check_study,
    no_such_number,
    not_registered,
    pick,
    study_exists,
    was_closed,
)


@dataclass(slots=True)
class _Log:
    """One study; `with log:` holds the lock of its place."""

    row: StudyRow
    lock: threading.RLock
    events: list[Event] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    next_trial: int = 0
    reservations: dict[int, str] = field(default_factory=dict)
    claims: dict[tuple[int, str], str] = field(default_factory=dict)
    drivers: dict[str, Driver] = field(default_factory=dict)

    def __enter__(self) -> _Log:
        self.lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.lock.release()


class _Place:
    """What the stores of one place share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.logs: list[_Log] = []
        _fork.watch(self)

    def pause(self) -> None:
        self.lock.acquire()

    def unpause(self) -> None:
        self.lock.release()


_places: WeakValueDictionary[str, _Place] = WeakValueDictionary()
_places_lock = threading.Lock()


@register("storage")
class Memory(Storage):
    """A store that lives as long as the process.

    Args:
        place: Stores of the same place share their studies, as long as one of them is open; without one, a store
            is alone.
    """

    def __init__(self, place: str = "") -> None:
        self.url = f"memory://{place}"
        self.where = f"store {self.url}"
        with _places_lock:
            found = (_places.get(place) if place else None) or _Place()
            if place:
                _places[place] = found
        self._place: _Place | None = found  # None once closed

    @classmethod
    def from_url(cls, url: str, *, create: bool = False) -> Self:
        """Open `memory://` (a store of its own) or `memory://PLACE` (shared within this process)."""
        return cls(url.partition("://")[2])

    def create(self, name: str, *, seed: int, problem: dict[str, Any]) -> StudyRow:
        """Make a study. Raises StudyExists."""
        check_study(name, seed)
        own = plain(problem, f"the problem of study {name!r}")
        place = self._open()
        with place.lock:
            if any(log.row.name == name for log in place.logs):
                raise study_exists(self.where, self.url, name)
            row = StudyRow(len(place.logs) + 1, name, int(seed), own, time.time(), SCHEMA)
            place.logs.append(_Log(row, place.lock))
            return _copy(row)

    def open(self, name: str | None = None) -> StudyRow:
        """Find a study by name; without one, the only study of the store. Raises StudyNotFound."""
        return pick(self.studies(), name, self.where, self.url)

    def studies(self) -> list[StudyRow]:
        """All studies, oldest first."""
        place = self._open()
        with place.lock:
            return [_copy(log.row) for log in place.logs]

    def append(
        self, study: int, drafts: Sequence[Draft], *, release: Iterable[int] = (), expect: int | None = None
    ) -> int:
        """Append events in order, all or none; returns `seq` of the first, 0 where `expect` was not met."""
        data = [plain(draft.data, f"event {draft.kind!r} of trial {draft.trial}") for draft in drafts]
        used = list(release)
        with self._log(study) as log:
            if expect is not None and expect != len(log.events):
                return 0
            asked: set[int] = set()
            for draft in drafts:
                if draft.kind == "asked" and draft.trial is not None:
                    if draft.trial in asked or draft.trial in log.asked:
                        raise asked_twice(self.where, draft.trial)
                    asked.add(draft.trial)
            first = len(log.events) + 1
            log.events += [
                Event(seq, float(draft.time), draft.kind, draft.trial, draft.seen, own)
                for seq, (draft, own) in enumerate(zip(drafts, data, strict=True), first)
            ]
            if asked:
                log.asked |= asked
                log.next_trial = max(log.next_trial, 1 + max(asked))
            for trial in used:
                log.reservations.pop(trial, None)
            return first

    def read(self, study: int, *, after: int = 0, until: int | None = None) -> list[Event]:
        """Events with `after < seq <= until`, in order."""
        with self._log(study) as log:
            found = log.events[max(after, 0) : len(log.events) if until is None else max(until, 0)]
        return [event._replace(data=plain(event.data, "an event")) for event in found]

    def head(self, study: int) -> int:
        """`seq` of the last event, 0 for none."""
        with self._log(study) as log:
            return len(log.events)

    def reserve(self, study: int, driver: str, *, limit: int | None = None) -> int | None:
        """Take the next free trial number for a driver; None when the limit is reached."""
        with self._log(study) as log:
            if driver not in log.drivers:
                raise not_registered(self.where, study, driver)
            free = [
                trial
                for trial, owner in log.reservations.items()
                if owner not in log.drivers and trial not in log.asked and (limit is None or trial < limit)
            ]
            number = min(free, default=log.next_trial)
            if limit is not None and number >= limit:
                return None
            log.next_trial = max(log.next_trial, number + 1)
            log.reservations[number] = driver
            return number

    def vacate(self, study: int, trial: int, driver: str) -> None:
        """Give a reserved number back unused: it belongs to nobody, as if its driver were gone."""
        with self._log(study) as log:
            if log.reservations.get(trial) == driver:
                log.reservations[trial] = ""

    def claim(self, study: int, trial: int, what: str, driver: str, *, head: int | None = None) -> bool:
        """Take something that only one driver may do: True for the first to ask, and for it again."""
        with self._log(study) as log:
            owner = log.claims.setdefault((trial, what), driver)
            if owner != driver and (head != len(log.events) or owner in log.drivers):
                return False
            log.claims[trial, what] = driver
            return True

    def register(self, study: int, driver: Driver) -> None:
        """Say that a driver works on the study (`beat` is set by the store's clock)."""
        with self._log(study) as log:
            log.drivers[driver.id] = replace(driver, beat=time.time())

    def beat(self, study: int, driver: str) -> None:
        """Renew a driver's lease."""
        with self._log(study) as log:
            if driver not in log.drivers:
                raise not_registered(self.where, study, driver)
            log.drivers[driver] = replace(log.drivers[driver], beat=time.time())

    def drivers(self, study: int) -> list[tuple[Driver, float]]:
        """Registered drivers, each with the seconds since its last heartbeat."""
        with self._log(study) as log:
            now = time.time()
            return [(log.drivers[name], max(0.0, now - log.drivers[name].beat)) for name in sorted(log.drivers)]

    def leave(self, study: int, driver: str) -> None:
        """Take a driver off the list; what it reserved and did not use becomes free."""
        with self._log(study) as log:
            log.drivers.pop(driver, None)

    def close(self) -> None:
        """Let go of the studies; those of a shared place live on in its other stores."""
        self._place = None

    def _open(self) -> _Place:
        if self._place is None:
            raise was_closed(self.where, self.url)
        return self._place

    def _log(self, study: int) -> _Log:
        logs = self._open().logs
        if not 1 <= study <= len(logs):
            raise no_such_number(self.where, study)
        return logs[study - 1]


def _copy(row: StudyRow) -> StudyRow:
    return replace(row, problem=plain(row.problem, "the problem"))
