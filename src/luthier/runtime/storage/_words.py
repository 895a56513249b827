"""Checks and messages that every store has in common."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.base.errors import ArgumentError, StorageError, StudyExists, StudyNotFound, did_you_mean
from luthier.runtime.storage._base import StudyRow


def check_study(name: str, seed: int) -> None:
    """Refuse what a database could not keep. Raises ArgumentError."""
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"study name {name!r}. Allowed: a text that is not empty.")
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"seed={seed!r}. Allowed: a whole number from 0 to 2**63 - 1, which a database can keep.")


def pick(rows: Sequence[StudyRow], name: str | None, where: str, url: str) -> StudyRow:
    """The study of that name, or the only one. Raises StudyNotFound."""
    found = [row for row in rows if name is None or row.name == name]
    if len(found) == 1:
        return found[0]
    if not rows:
        raise StudyNotFound(f"{where} holds no study. Make one: Study(..., storage={url!r}).")
    if name is None:
        listed = ", ".join(repr(row.name) for row in rows)
        raise StudyNotFound(f"{where} holds {len(rows)} studies: {listed}. Say which: {url}#NAME.")
    raise StudyNotFound(f"{where} holds no study {name!r}. {did_you_mean(name, [row.name for row in rows])}")


def study_exists(where: str, url: str, name: str) -> StudyExists:
    """The name is taken."""
    return StudyExists(
        f"{where} has a study {name!r} already. Take another name, or go on with it: Study.open({url!r}, {name!r})."
    )


def no_such_number(where: str, study: int) -> StudyNotFound:
    """A study's number is unknown."""
    return StudyNotFound(f"{where} has no study number {study}. Numbers come from create() and open().")


def was_closed(where: str, url: str) -> StorageError:
    """A call came after close()."""
    again = "What it held went with it" if url.startswith("memory:") else f"Open it again: lu.Study.open({url!r})"
    return StorageError(f"{where} was closed. {again}.")


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
