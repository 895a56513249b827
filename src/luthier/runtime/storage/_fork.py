"""Forks: a store must be at rest when its process is copied.

SQLite forbids to carry a connection into a forked child, even to close it there: locks belong to the process, so
the child would believe in locks that it does not hold. Threads other than the forking one do not exist in the
child, so a lock they held would never open. Hence every store is paused before a fork: its lock is taken, its
connection closed (it opens again on use), and the lock is let go on both sides.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Pausable(Protocol):
    """What a store does around a fork."""

    def pause(self) -> None:
        """Finish what other threads do, let none begin, hold no connection."""

    def unpause(self) -> None:
        """Let threads work again."""


_stores: weakref.WeakSet[Pausable] = weakref.WeakSet()
_paused: list[Pausable] = []
_forking = threading.RLock()  # one fork at a time: two would take the stores' locks in different orders


def watch(store: Pausable) -> None:
    """Pause a store around every fork of this process, for as long as it lives."""
    _stores.add(store)


def _before() -> None:
    _forking.acquire()
    for store in list(_stores):
        store.pause()
        _paused.append(store)


def _after() -> None:
    while _paused:
        _paused.pop().unpause()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
