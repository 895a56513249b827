"""In memory: for tests and studies that nobody needs tomorrow."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakValueDictionary

from luthier.base.errors import ArgumentError, StorageError, StudyExists, StudyNotFound, did_you_mean
from luthier.base.records import Event
from luthier.base.registry import register
from luthier.runtime.storage import _fork
from luthier.runtime.storage._base import Draft, Driver, Storage, StudyRow
from luthier.runtime.storage._json import plain
from luthier.runtime.storage._schema_number import SCHEMA
from luthier.runtime.storage._words import asked_twice, not_registered


@dataclass
class _Log:
    row: StudyRow
    events: list[Event] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    next_trial: int = 0
    reservations: dict[int, str] = field(default_factory=dict)
    claims: dict[tuple[int, str], str] = field(default_factory=dict)
    drivers: dict[str, Driver] = field(default_factory=dict)


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
        place: Stores of the same place share their studies, as long as one of them lives; without one, a store
            is alone.
    """

    def __init__(self, place: str = "") -> None:
        self.url = f"memory://{place}"
        self.where = f"store {self.url}"
        self._closed = False
        with _places_lock:
            self._place = (_places.get(place) if place else None) or _Place()
            if place:
                _places[place] = self._place
