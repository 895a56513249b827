"""Which studies a place holds: a folder, a file or the address of a store, before any of them is opened."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.errors import LuthierWarning, StorageError, StudyNotFound, did_you_mean
from luthier.runtime.storage import open_storage, split_name

#: Studies' folders and databases looked into below the folder that was named; of more, a warning tells.
MOST = 1000


@dataclass(frozen=True)
class Entry:
    """A study that can be opened with `Study.open(where, name)`.

    Args:
        where: Folder, or address of the store.
        name: Name in the store.
        created: Seconds since the epoch.
        objectives: Names of what it improves.
    """

    where: str
    name: str
    created: float
    objectives: tuple[str, ...]


def studies(where: str | Path) -> list[Entry]:
    """All studies of a place, oldest first.

    Args:
        where: A store's address, a database file, a study's folder, a folder with studies' folders in it, or one
            study of a store as `URL#NAME`.

    Raises:
        StudyNotFound: there is none.
        StorageError, SchemaError: the store cannot be read.
    """
    url, name = split_name(str(where))
    path = Path(url).expanduser()
    if "://" not in url and path.is_dir() and not (path / "study.db").is_file():
        found = list(_below(path))
    else:
        found = list(_of_store(url))
    if name is not None:
        names = [entry.name for entry in found]
        found = [entry for entry in found if entry.name == name]
        if not found:
            raise StudyNotFound(f"{url} holds no study {name!r}. {did_you_mean(name, names)}")
    if not found:
        raise StudyNotFound(
            f"{where} holds no study. Allowed: a study's folder, a folder of such folders, a database file or the "
            "address of a store. Make one with luthier tune, or Study(..., folder=...)."
        )
    return sorted(found, key=lambda entry: entry.created)


def _below(folder: Path) -> Iterator[Entry]:
    """Studies in the folders of a folder; what cannot be read is left out, as no study of ours."""
    kinds = (".db", ".sqlite", ".sqlite3")
    places = [p for p in sorted(folder.iterdir()) if (p / "study.db").is_file() or (p.is_file() and p.suffix in kinds)]
    if len(places) > MOST:
        warnings.warn(
            f"{folder} has {len(places)} studies and databases; the first {MOST} by name are looked into. Name a "
            "study's own folder for the others.",
            LuthierWarning,
            stacklevel=3,
        )
    for place in places[:MOST]:
        try:
            yield from _of_store(str(place))
        except StorageError:
            continue


def _of_store(url: str) -> Iterator[Entry]:
    store = open_storage(url, create=False)
    try:
        rows = store.studies()
    finally:
        store.close()
    for row in rows:
        yield Entry(url, row.name, row.created, _names(row.problem))


def _names(problem: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(one["name"]) for one in problem.get("objectives", ()))
