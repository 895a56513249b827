"""Transactions on an SQL database: one connection, tried again when the database is busy or was away for a moment."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from luthier.base.errors import StorageError
from luthier.runtime.storage import _fork
from luthier.runtime.storage._statements import compiled
from luthier.runtime.storage._words import was_closed

T = TypeVar("T")


@dataclass
class Call(Generic[T]):
    """One transaction to be made.

    Args:
        work: What to do, with a cursor; it may be done several times, of which one counts.
        write: Whether it writes.
        study: The study that it concerns, 0 for the store as a whole.
        done: Whether the store shows that `work` was done with this result; None where doing it twice does no harm.
        unsure: The result of a transaction whose COMMIT got no answer, in a list of one.
    """

    work: Callable[[Any], T]
    write: bool
    study: int
    done: Callable[[Any, T], bool] | None
    unsure: list[T]


class Transactions(ABC):
    """The hold on a database: one connection, used by one thread at a time.

    When the database is busy the transaction is rolled back and made anew, with growing pauses, until `patience` is
    spent; so is one that was cut off together with its connection. A cut connection may swallow the answer to a
    COMMIT: then the store itself is asked whether it was done (`Call.done`), so that nothing is written twice.

    Args:
        url: What opens it again.
        where: What messages call it ("store /data/study.db").
        dialect: Which of the compiled texts are its own: "sqlite" or "postgresql".
        dbapi: The driver's module.
        patience: Seconds to wait for other processes, or for the server, in one call.
    """

    def __init__(self, url: str, *, where: str, dialect: str, dbapi: Any, patience: float) -> None:
        self.url, self.where = url, where
        self._patience = patience
        self._definitions, self._sql = compiled(dialect)
        self._errors: type[Exception] = dbapi.Error
        self._integrity: type[Exception] = dbapi.IntegrityError
        self._lock = threading.RLock()
        self._link: Any = None  # the connection
        self._cursor: Any = None
        self._closed = False
        _fork.watch(self)

    # what a database adds

    @abstractmethod
    def _dial(self) -> Any:
        """A new connection."""

    @abstractmethod
    def _prepare(self, cursor: Any) -> None:
        """Set up a fresh connection."""

    @abstractmethod
    def _begin(self, cursor: Any, *, write: bool, study: int) -> None:
        """Begin a transaction; a writing one keeps other writers of the study out until it ends."""

    def _gathering(self, cursor: Any) -> AbstractContextManager[Any]:
        """Within it statements may be gathered, and sent together where one's answer is wanted, or at its end.

        Its value is the cursor to use.
        """
        return nullcontext(cursor)

    def _commit(self, cursor: Any, *, write: bool) -> None:
        """End a transaction."""
        cursor.execute("COMMIT")

    @abstractmethod
    def _refusal(self, cursor: Any) -> None:
        """After an error inside a transaction: make the cursor fit for questions again, where it is not."""

    @abstractmethod
    def _clock(self, cursor: Any) -> float:
        """Seconds since the epoch, by the clock that heartbeats of this store go by."""

    @abstractmethod
    def _busy(self, error: Exception) -> bool:
        """Whether another try may succeed: others are at work, or the server was away."""

    @abstractmethod
    def _explained(self, error: Exception) -> StorageError:
        """The error in luthier's words."""

    def _pause(self, attempt: int) -> float:
        """Seconds before another try: 0.5 ms growing to 20 ms."""
        return float(min(0.0005 * 1.5 ** min(attempt, 10), 0.02))

    # transactions

    def _transact(
        self,
        work: Callable[[Any], T],
        *,
        write: bool = True,
        study: int = 0,
        done: Callable[[Any, T], bool] | None = None,
    ) -> T:
        call = Call(work, write, study, done, [])
        with self._lock:
            started, attempt = time.monotonic(), 0
            while True:
                try:
                    return self._once(call)
                except self._errors as error:
                    if not self._busy(error) or time.monotonic() - started > self._patience:
                        raise self._explained(error) from error
                # the process number spreads those who wait, without a random draw
                time.sleep(self._pause(attempt) * (1 + (os.getpid() + attempt) % 7 / 7))
                attempt += 1

    def _once(self, call: Call[T]) -> T:
        cursor = self._cursor or self._connect()
        try:
            with self._gathering(cursor) as hand:
                self._begin(hand, write=call.write, study=call.study)
                known = call.unsure and call.done is not None and call.done(hand, call.unsure[-1])
                result = call.unsure[-1] if known else call.work(hand)
                call.unsure[:] = [result]
                self._commit(hand, write=call.write)
            return result
        except BaseException:
            self._undo(cursor)
            raise

    def _undo(self, cursor: Any) -> None:
        try:
            cursor.connection.rollback()
        except self._errors:
            self._disconnect()  # beyond repair: the next call begins with a fresh connection

    def _connect(self) -> Any:
        if self._closed:
            raise was_closed(self.where, self.url)
        self._link = self._dial()
        cursor = self._link.cursor()
        try:
            self._prepare(cursor)
        except BaseException:
            self._disconnect()
            raise
        self._cursor = cursor
        return cursor

    def _disconnect(self) -> None:
        link, self._link, self._cursor = self._link, None, None
        if link is not None:
            with suppress(self._errors):  # a broken one may refuse even that
                link.close()

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def pause(self) -> None:
        """Before a fork: wait for other threads, hold no connection."""
        self._lock.acquire()
        self._disconnect()

    def unpause(self) -> None:
        """After a fork."""
        self._lock.release()
