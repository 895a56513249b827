"""From what a user writes (a URL, a file, a folder) to a store."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from luthier.base.errors import UnsupportedError
from luthier.base.registry import load, names
from luthier.runtime.storage._base import Storage

#: Name of the store's file inside a study's folder.
FILE = "study.db"
_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_ALIASES = {"postgres": "postgresql"}  # and with "+psycopg", as SQLAlchemy writes it


def open_storage(url: str, *, create: bool = False) -> Storage:
    """Open a store.

    Args:
        url: `sqlite:///study.db` (relative) or `sqlite:////data/study.db` (absolute), `memory://`, the URL of
            another store that is installed, a database file, or a folder (it holds `study.db`).
        create: Make the store, and the folders above it, if it is not there.

    Returns:
        The open store.

    Raises:
        UnsupportedError: no store has that kind of URL.
        StorageError: it cannot be opened, or is not there and `create` is False.
        SchemaError: it is not a luthier store, or a newer luthier wrote it.
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        return _load("sqlite").from_url(f"sqlite:///{quote(path_of(url))}", create=create)
    plain = scheme.partition("+")[0]
    name = _ALIASES.get(plain, plain)
    known = names("storage")
    if name not in known:
        allowed = ", ".join(f"{one}://" for one in known)
        raise UnsupportedError(
            f"storage {without_password(url)!r}: no store is called {scheme!r} here. Allowed: {allowed}, a database "
            "file or a folder. For one machine take sqlite:///study.db."
        )
    return _load(name).from_url(url, create=create)


def _load(name: str) -> type[Storage]:
    return cast(type[Storage], load("storage", name))


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    user, mark, host = parts.netloc.rpartition("@")
    shown = user.partition(":")[0] + mark + host
    options = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "password"]
    query = urlencode(options, safe="/,")
    return f"{parts.scheme}://{shown}{parts.path}{'?' + query if query else ''}"


def quote(path: Path) -> str:
    """A path as URLs of stores write it: what means something else in them ("%", "?", "#") as %25, %3F, %23."""
    return str(path).replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def path_of(text: str) -> Path:
    """The database file behind a bare path.

    Args:
        text: A file or a folder. What does not exist is a file if it ends in .db, .sqlite or .sqlite3.

    Returns:
        The file; for a folder, `study.db` inside.
    """
    path = Path(text).expanduser()
    if path.is_file() or (path.suffix.lower() in _SUFFIXES and not path.is_dir()):
        return path
    return path / FILE


def split_name(text: str) -> tuple[str, str | None]:
    """Split `URL#NAME` into the store and the study.

    A "#" that belongs to an existing file or folder is left in the path.

    Args:
        text: What the user wrote.

    Returns:
        The store's URL or path, and the study's name (None when not given).
    """
    if "#" not in text or ("://" not in text and Path(text).expanduser().exists()):
        return text, None
    cuts = [i for i, letter in enumerate(text) if letter == "#"]
    if "://" not in text:
        cuts = [i for i in reversed(cuts) if Path(text[:i]).expanduser().exists()] or cuts
    return text[: cuts[0]], text[cuts[0] + 1 :] or None
