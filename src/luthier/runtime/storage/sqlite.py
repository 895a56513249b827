"""In an SQLite file: durable, for all processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, SchemaError, StorageError, did_you_mean
from luthier.base.registry import register
from luthier.runtime.storage._migrations import MIGRATIONS, SCHEMA
from luthier.runtime.storage._mounts import network_type
from luthier.runtime.storage._sql import SQLStorage
from luthier.runtime.storage._urls import quote

_MAY_NOT = "Allowed: a file and a folder that you may write. Change their permissions, or copy them elsewhere."
_IN_USE = "Another program holds it. Close what has it open (a database browser?), then try again."
_CAUSES = {
    sqlite3.SQLITE_FULL: "Allowed: a disk with free space. Free some, then go on: what was reported before is safe.",
    sqlite3.SQLITE_IOERR: "Allowed: a disk that can be written. See whether it is full, over quota or gone.",
    sqlite3.SQLITE_READONLY: _MAY_NOT,
    sqlite3.SQLITE_CANTOPEN: _MAY_NOT,
    sqlite3.SQLITE_PERM: _MAY_NOT,
    sqlite3.SQLITE_CORRUPT: "It is damaged. Save what can be read: luthier doctor FILE --repair",
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_PROTOCOL: _IN_USE,
    sqlite3.SQLITE_TOOBIG: "Allowed: events of less than a gigabyte. Keep large results in the trial's folder.",
}
# "locking protocol" is what a reader sees after losing many races for the log's index: waiting helps
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


@register("storage")
class SQLite(SQLStorage):
    """A store in one file, in WAL mode.

    Every method is on disk, as far as other processes and the death of this one go, when it returns. With
    `durability="power"` it also outlives a power cut, at the price of a flush of the disk per call.

    Heartbeats go by `time.time()`: all processes that can share the file share one machine and so one clock, and
    SQLite's own functions read the same clock to the millisecond at the price of a statement.

    Args:
        path: The file. Folders above it are made with `create`.
        create: Make the store if it is not there.
        durability: "process" or "power".
        allow_network: Take a file on a network file system, at your own risk.
        patience: Seconds to wait for other processes in one call, > 0.

    Raises:
        StorageError: it cannot be opened or is not there.
        SchemaError: it is no luthier store, or a newer luthier wrote it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = True,
        durability: Literal["process", "power"] = "process",
        allow_network: bool = False,
        patience: float = 60.0,
    ) -> None:
        check("durability", durability, one_of=("process", "power"))
        check("patience", patience, above=0)
        self.path = Path(path).expanduser().absolute()
        options = [
            text for text, on in (("durability=power", durability == "power"), ("allow_network=1", allow_network)) if on
        ]
        url = f"sqlite:///{quote(self.path)}" + ("?" + "&".join(options) if options else "")
        self._sync = "FULL" if durability == "power" else "NORMAL"
        super().__init__(url, where=f"store {self.path}", dialect="sqlite", dbapi=sqlite3, patience=patience)
        if not allow_network:
            self._refuse_network()
        self._create = create
        if create:
            self._make_folder()
        elif not self.path.is_file():
            raise StorageError(f"{self.where} is not there. {self._instead()}")
        # all that can be wrong with the file shows here; BEGIN IMMEDIATE alone does not mind a read-only file
        self._transact(lambda cursor: cursor.execute(self._sql.release, (0, -1)))
        self._create = False

    def _instead(self) -> str:
        """What to do where there is no file: the studies of a folder of studies are named."""
        folder = self.path.parent
        inner = sorted(path.parent.name for path in folder.glob("*/study.db")) if folder.is_dir() else []
        if not inner:
            return "Look for a misspelt path, or make it by starting a study."
        more = "" if len(inner) <= 5 else f" and {len(inner) - 5} more"
        return f"The folder holds studies: {', '.join(inner[:5])}{more}. Name one of them, such as {folder / inner[0]}."

    @classmethod
    def from_url(cls, url: str, *, create: bool = False) -> Self:
        """Open `sqlite:///FILE?durability=power&allow_network=1` (both options may be left out)."""
        path, _, query = url.partition("://")[2].partition("?")
        if not path.startswith("/") or path in ("/", "/:memory:"):
            raise ArgumentError(
                f"storage {url!r} names no file. Allowed: sqlite:///study.db, sqlite:////absolute/study.db; "
                "for a store in memory take memory://."
            )
        options = dict(parse_qsl(query, keep_blank_values=True))
        allowed = {"durability": ("process", "power"), "allow_network": ("0", "1")}
        for key, value in options.items():
            if key not in allowed:
                raise ArgumentError(f"storage {url!r} has no option {key!r}. {did_you_mean(key, allowed)}")
            check(f"storage {url!r}: {key}", value, one_of=allowed[key])
        return cls(
            unquote(path[1:]),
            create=create,
            durability="power" if options.get("durability") == "power" else "process",
            allow_network=options.get("allow_network") == "1",
        )

    def _refuse_network(self) -> None:
        kind = network_type(self.path)
        if kind is not None:
            raise StorageError(
                f"{self.where} lies on a network file system ({kind}), where SQLite's locks are not reliable. Allowed: "
                "a local disk; for several machines a PostgreSQL store (postgresql://...). If only one machine ever "
                f"opens it: sqlite:///{quote(self.path)}?allow_network=1."
            )

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.where}: its folder cannot be made ({error.strerror or error}). "
                "Allowed: a folder that you may write. Choose another path."
            ) from error

    # connections

    def _dial(self) -> sqlite3.Connection:
        # The file is never opened by anything but SQLite: closing any other handle on it would drop the locks
        # of every connection of this process (POSIX).
        mode = "rwc" if self._create else "rw"
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=0.02, isolation_level=None, check_same_thread=False
        )

    def _prepare(self, cursor: Any) -> None:
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA synchronous={self._sync}")
        # 16 MB of log before it is folded in, instead of 4: either takes about 25 ms (flushes), so that a trial of six
        # pages pays 40 microseconds for it instead of 60 to 140 (measured, ext4 on a virtual disk)
        cursor.execute("PRAGMA wal_autocheckpoint=4000")
        self._fit(cursor)
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StorageError(
                f"{self.where}: its file system cannot share memory between processes (journal mode {mode!r}, needed "
                "'wal'). Allowed: a local disk; for several machines a PostgreSQL store (postgresql://...)."
            )

    def _fit(self, cursor: Any) -> None:
        """Make the tables of a new file; bring those of an old one to this schema; refuse anything else."""
        if self._schema(cursor) == SCHEMA:
            return
        cursor.execute("BEGIN IMMEDIATE")
        try:
            found = self._schema(cursor)  # another process may have been quicker
            if found is None:
                self._make(cursor)
            else:
                for number in range(found, SCHEMA):
                    MIGRATIONS[number](cursor)
                self._sign(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            self._undo(cursor)
            raise

    def _schema(self, cursor: Any) -> int | None:
        """Number of the file's schema, None for an empty file. Raises SchemaError for what cannot be used."""
        tables = {row[0] for row in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            if self._create:
                return None
            raise SchemaError(f"{self.where} is an empty file. Choose another path, or start a study there.")
        if not {"meta", "studies", "events"} <= tables:
            listed = ", ".join(sorted(tables)[:5])
            raise SchemaError(
                f"{self.where} is an SQLite database of another program (tables: {listed}). Allowed: a store made by "
                "luthier, or a new path. Choose another path."
            )
        columns = {row[1] for row in cursor.execute("PRAGMA table_info(meta)")}
        known = {"schema", "luthier"} <= columns
        row = cursor.execute("SELECT schema, luthier FROM meta").fetchone() if known else None
        if row is None or not isinstance(row[0], int) or row[0] < min(MIGRATIONS):
            raise SchemaError(
                f"{self.where} does not say which schema it has. Allowed: a store made by luthier, or a new path. If "
                "luthier made it, it is damaged: take a copy from a backup."
            )
        if row[0] > SCHEMA:
            raise SchemaError(
                f"{self.where} has schema {row[0]}, written by luthier {row[1]}; this luthier reads schemas up to "
                f"{SCHEMA}. Upgrade it: pip install --upgrade luthier."
            )
        return row[0]

    # transactions

    def _begin(self, cursor: Any, *, write: bool, study: int) -> None:
        cursor.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def _refusal(self, cursor: Any) -> None:
        """Nothing to do: the transaction lives on."""

    def _clock(self, cursor: Any) -> float:
        return time.time()

    def _busy(self, error: Exception) -> bool:
        return _code(error) in _BUSY

    def _explained(self, error: Exception) -> StorageError:
        code = _code(error)
        if code == sqlite3.SQLITE_NOTADB:
            return SchemaError(
                f"{self.where} is not an SQLite database ({error}). Allowed: a store made by luthier, or a new path. "
                "Choose another path."
            )
        reason = f"{error}, after {self._patience:g} s of waiting" if code in _BUSY else str(error)
        hint = _CAUSES.get(code, "If the store was changed by another program, take a copy from a backup.")
        return StorageError(f"{self.where}: {reason}; nothing of this step was written. {hint}")


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 when the error has none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
