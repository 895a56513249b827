"""Messages that every store words alike."""

from __future__ import annotations

from luthier.base.errors import StorageError


def asked_twice(where: str, trial: int) -> StorageError:
    """A trial's number was used before."""
    return StorageError(
        f"{where}: trial {trial} was asked already, so nothing was written. Take a fresh number with reserve()."
    )


def not_registered(where: str, study: int, driver: str) -> StorageError:
    """A driver that the store does not know asked for something."""
    return StorageError(
        f"{where}: driver {driver!r} is not registered on study number {study}: it never was, or others took it for "
        "dead after its lease ran out. Call register() and read the log before going on."
    )
