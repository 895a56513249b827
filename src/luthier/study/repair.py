"""From a damaged database to one that works, as far as it can be read: what `luthier doctor --repair` does."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from luthier.base.errors import StorageError, UnsupportedError
from luthier.runtime.storage import split_name
from luthier.runtime.storage._salvage import Salvaged, salvage
from luthier.runtime.storage._urls import path_of


def repair(where: str, to: str | None = None, *, in_place: bool = False) -> tuple[Path, list[Salvaged]]:
    """Bring what can be read of a store into a new file.

    Args:
        where: A study's folder, database file or URL; only SQLite has a file.
        to: The new file; default: beside the old one, `study.repaired.db`.
        in_place: Put the new file in the place of the old one, which is kept as `study.damaged.db`.

    Returns:
        The file that works, and what is in it.

    Raises:
        UnsupportedError: the store is on a server.
        StorageError: nothing can be read, or a file is in the way.
    """
    url, _ = split_name(where)
    scheme, mark, rest = url.partition("://")
    if mark and scheme != "sqlite":
        raise UnsupportedError(
            f"repair of {url!r}: only an SQLite store is a file. Use the server's own tools: pg_amcheck, then a backup."
        )
    path = Path(unquote(rest.partition("?")[0][1:])) if mark else path_of(url)
    if not path.is_file():
        raise StorageError(f"store {path} is not there. Look for a misspelt path.")
    new = Path(to) if to is not None else path.with_name(f"{path.stem}.repaired{path.suffix}")
    kept = path.with_name(f"{path.stem}.damaged{path.suffix}")
    if in_place and kept.exists():
        raise StorageError(f"{kept} exists already, from an earlier repair. Move it away first.")
    found = salvage(path, new)
    if not in_place:
        return new, found
    for ending in ("-wal", "-shm", ""):  # the log first: it must not meet the new file
        old = path.with_name(path.name + ending)
        if old.exists():
            os.replace(old, kept.with_name(kept.name + ending))
    os.replace(new, path)
    return path, found
