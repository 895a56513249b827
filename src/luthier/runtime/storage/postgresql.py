"""In a PostgreSQL database: for several machines that work on one study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, SchemaError, StorageError
from luthier.base.imports import need
from luthier.base.registry import register
from luthier.runtime.storage._base import Draft
from luthier.runtime.storage._migrations import SCHEMA
from luthier.runtime.storage._sql import SQLStorage
from luthier.runtime.storage._transactions import Call, T
from luthier.runtime.storage._urls import without_password

#: First number of the advisory locks of luthier's stores; the second is the study, 0 for the store as a whole.
_LOCK = 0x1F1D
#: Seconds that a transaction may lie idle before the server ends it: a frozen driver must not hold the others up.
_IDLE = 10
_CONNECTING = {
    "application_name": "luthier",
    "connect_timeout": 10,
    # a peer that vanished without a word (power, cable) is noticed after 60 s
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# lock not available, deadlock, serialisation failure: others are at work
_CONTENTION = frozenset({"55P03", "40P01", "40001"})
# terminated by an administrator, by a crash or for idleness; starting up or shutting down; too many connections
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "53300"})
_STARTING = re.compile(r"database system is (starting up|shutting down|in recovery)|not yet accepting|too many clients")
_HINTS = {
    "28P01": "Give the right one: ~/.pgpass or PGPASSWORD keeps it out of command lines and logs.",
    "28000": "Ask who runs the server to let you in (pg_hba.conf).",
    "3D000": "Make it first: createdb NAME.",
    "42501": "Ask the owner of the database for: CREATE SCHEMA {schema} AUTHORIZATION you.",
    "53100": "Free space on the server's disk, then go on: what was reported before is safe.",
    "25006": "Connect to the primary server, not to a copy of it.",
}
_secrets: dict[str, str] = {}  # address without its password -> with it: what this process was told once


@register("storage")
class PostgreSQL(SQLStorage):
    """A store in a PostgreSQL database, in a schema of its own ("luthier"), for any number of drivers and machines.

    Every writing method is one transaction under an advisory lock of its study, so that `seq` has no gaps and no two
    drivers decide the same thing; the lock ends with the transaction, however that ends. An append holds it for two
    trips to the server (five where libpq is older than 14). Models are fitted outside of transactions. A method is
    durable when it returns, as the server's `synchronous_commit` has it ("off" is put to "on"). Heartbeats go by the
    server's clock.

    A lost connection and a server that restarts are waited for, `patience` seconds in one call; where the answer to a
    COMMIT is lost, the log is asked whether it was done.

    A password in the URL is used and not kept in `url`, which is printed; this process remembers it for the same
    address. Others find it where PostgreSQL's own programs do: ~/.pgpass, PGPASSWORD, a service file.

    Args:
        url: `postgresql://USER@HOST:PORT/DATABASE?sslmode=require`: any URL that `psql` takes. Two options are ours:
            `schema` (default "luthier") and `patience`.
        create: Make the schema and its tables if they are not there.
        schema: Name of the schema.
        patience: Seconds to wait for other drivers, or for the server, in one call. Default: a restart with recovery
            takes minutes at worst, and a trial's work is worth them.

    Raises:
        MissingExtra: psycopg is not installed.
        ArgumentError: the URL is malformed.
        StorageError: the server cannot be reached, or the store is not there.
        SchemaError: the schema holds something else, or a newer luthier wrote it.

    Source: PostgreSQL 15 manual, sections 13.3.5 (advisory locks) and 20.4 (durability settings).
    """

    shared = True

    def __init__(self, url: str, *, create: bool = True, schema: str = "luthier", patience: float = 300.0) -> None:
        check("patience", patience, above=0)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", schema):
            raise ArgumentError(f"storage: schema={schema!r}. Allowed: letters, digits and '_', such as 'team_a'.")
        self._psycopg: Any = need("psycopg", what="a PostgreSQL store", extra="postgres")
        address, secret = without_password(url), url
        self._address = _secrets[address] = secret if secret != address else _secrets.get(address, address)
        self.schema, self._create, self._opened = schema, create, False
        self._gathers = False
        own = {} if schema == "luthier" else {"schema": schema}
        shown = address + ("&" if "?" in address else "?") + urlencode(own) if own else address
        super().__init__(shown, where=f"store {shown}", dialect="postgresql", dbapi=self._psycopg, patience=patience)
        self._transact(lambda cursor: None, write=False)
        self._create, self._opened = False, True

    @classmethod
    def from_url(cls, url: str, *, create: bool = False) -> Self:
        """Open `postgresql://USER@HOST/DATABASE?schema=luthier&patience=300` (both options may be left out)."""
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        own = {key: value for key, value in options if key in ("schema", "patience")}
        rest = urlencode([(key, value) for key, value in options if key not in own], safe="/,")
        try:
            patience = float(own.get("patience", 300.0))
        except ValueError:
            raise ArgumentError(f"storage: patience={own['patience']!r}. Allowed: seconds, such as 300.") from None
        plain = urlunsplit(("postgresql", parts.netloc, parts.path, rest, ""))
        # without a host urlunsplit drops the two slashes, which libpq wants
        plain = plain if "://" in plain else plain.replace(":", "://", 1)
        return cls(plain, create=create, schema=own.get("schema", "luthier"), patience=patience)

    # connections

    def _dial(self) -> Any:
        try:
            given = self._psycopg.conninfo.conninfo_to_dict(self._address)
        except self._psycopg.ProgrammingError as error:
            raise ArgumentError(
                f"storage {self.url!r}: {_line(error)}. Allowed: postgresql://USER@HOST:PORT/DATABASE, with the "
                "options that psql knows."
            ) from None
        try:
            return self._psycopg.connect(**{**_CONNECTING, **given}, autocommit=True)
        except ValueError as error:  # UnicodeError: a host's name that no network knows how to write
            raise ArgumentError(f"storage {self.url!r}: {_line(error)}. Allowed: names of hosts, and ports.") from None

    def _prepare(self, cursor: Any) -> None:
        cursor.execute(
            f"SET search_path = {self.schema}; SET lock_timeout = '5s'; "
            f"SET idle_in_transaction_session_timeout = '{_IDLE}s'; SET client_encoding = 'UTF8'; "
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        if self._known(cursor) == SCHEMA:
            return
        if not self._create:
            raise StorageError(
                f"{self.where} holds no schema {self.schema!r} of luthier. Look for a misspelt database, or make it by "
                "starting a study there."
            )
        cursor.execute(f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK}, 0)")
        try:
            if self._known(cursor) is None:  # another driver may have been quicker
                if not self._has_schema(cursor):
                    cursor.execute(f"CREATE SCHEMA {self.schema}")
                self._make(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            self._undo(cursor)
            raise

    def _has_schema(self, cursor: Any) -> bool:
        return bool(cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,)).fetchone())

    def _known(self, cursor: Any) -> int | None:
        """Number of the schema's layout, None where there is no table. Raises SchemaError for what cannot be used."""
        rows = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (self.schema,)).fetchall()
        tables = {row[0] for row in rows}
        if not tables:
            return None
        if not {"meta", "studies", "events"} <= tables:
            raise SchemaError(
                f"{self.where}: the schema {self.schema!r} is another program's (tables: "
                f"{', '.join(sorted(tables)[:5])}). Allowed: a schema of luthier's own. "
                "Name another: ?schema=luthier_2."
            )
        row = cursor.execute("SELECT schema, luthier FROM meta").fetchone()
        if row is None:
            raise SchemaError(f"{self.where} does not say which layout it has. It is damaged: take a backup's copy.")
        if row[0] > SCHEMA:
            raise SchemaError(
                f"{self.where} has schema {row[0]}, written by luthier {row[1]}; this luthier reads schemas up to "
                f"{SCHEMA}. Upgrade it: pip install --upgrade luthier."
            )
        return int(row[0])

    # transactions

    def append(
        self, study: int, drafts: Sequence[Draft], *, release: Iterable[int] = (), expect: int | None = None
    ) -> int:
        """Append events in order, all or none; returns `seq` of the first, 0 where `expect` was not met."""
        with self._together():
            return super().append(study, drafts, release=release, expect=expect)

    def reserve(self, study: int, driver: str, *, limit: int | None = None) -> int | None:
        """Take the next free trial number for a driver; None when the limit is reached."""
        with self._together():
            return super().reserve(study, driver, limit=limit)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Within it a transaction takes two trips to the server and not five: others wait for its lock meanwhile."""
        with self._lock:
            self._gathers = self._psycopg.Pipeline.is_supported()
            try:
                yield
            finally:
                self._gathers = False

    @contextmanager
    def _gathering(self, cursor: Any) -> Iterator[Any]:
        if not self._gathers:
            yield cursor
            return
        with cursor.connection.pipeline():
            yield _Gathering(cursor)

    def _once(self, call: Call[T]) -> T:
        try:
            return super()._once(call)
        except self._integrity:
            if not self._gathers:
                raise
            # told at the end, where nobody knows of which event; nothing was written, and one by one it can be told
            self._gathers = False
            call.unsure.clear()
            return super()._once(call)

    def _begin(self, cursor: Any, *, write: bool, study: int) -> None:
        if not write:
            return  # reading goes without a transaction
        lock = f"SELECT pg_advisory_xact_lock({_LOCK}, {int(study)})"
        if self._gathers:  # on cursors of their own: the first answer that `cursor` gets is to the first question
            cursor.connection.execute("BEGIN")
            cursor.connection.execute(lock)
        else:
            cursor.execute(f"BEGIN; {lock}")  # one trip to the server

    def _commit(self, cursor: Any, *, write: bool) -> None:
        if write:
            cursor.execute("COMMIT")

    def _refusal(self, cursor: Any) -> None:
        cursor.execute("ROLLBACK")  # an error ends the transaction, and nothing can be asked inside it

    def _clock(self, cursor: Any) -> float:
        return float(cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()[0])

    def _busy(self, error: Exception) -> bool:
        code = getattr(error, "sqlstate", None)
        if code in _CONTENTION:
            return True
        if code is None:  # what psycopg says by itself, of a connection
            gone = isinstance(error, self._psycopg.OperationalError | self._psycopg.InterfaceError)
        else:
            gone = code in _AWAY or code.startswith("08")
        if not gone:
            return False
        # a first connection that fails is more often a misspelt address than a server that restarts
        return self._opened or code in _AWAY or bool(_STARTING.search(str(error)))

    def _pause(self, attempt: int) -> float:
        """Seconds before another try: 1 ms growing to 0.5 s."""
        return float(min(0.001 * 1.5**attempt, 0.5)) if attempt < 20 else 0.5

    def _explained(self, error: Exception) -> StorageError:
        code = getattr(error, "sqlstate", None) or _code_of(str(error))
        waited = f", after {self._patience:g} s of waiting" if self._busy(error) else ""
        hint = _HINTS.get(code, "Look at the server's log; then go on: what was acknowledged is in the log.")
        return StorageError(f"{self.where}: {_line(error)}{waited}. {hint.format(schema=self.schema)}")


class _Gathering:
    """A cursor in a pipeline, for statements whose answers nobody reads: its own `executemany` waits for them."""

    def __init__(self, cursor: Any) -> None:
        self._cursor, self.connection = cursor, cursor.connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._cursor.execute(statement, values or None)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._cursor.execute(statement, row)


def _code_of(text: str) -> str:
    """The code that libpq keeps to itself when it cannot connect."""
    known = (("password", "28P01"), ("pg_hba.conf", "28000"), ("does not exist", "3D000"))
    return next((code for words, code in known if words in text), "")


def _line(error: Exception) -> str:
    """The first line of what the database says, without its end."""
    lines = [line.strip() for line in unquote(str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
