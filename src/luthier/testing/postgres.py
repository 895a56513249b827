"""A real PostgreSQL server of one's own, for tests and benchmarks: in a temporary folder, gone with this process.

```python
with Server() as server:
    url = server.new()  # an empty database
```

It needs the server's programs (Debian: `apt-get install postgresql`), and Linux.
"""

from __future__ import annotations

import atexit
import functools
import glob
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from luthier.base.imports import need

_USER = "luthier"
# waits for the end of the process that started it, however that ends, and then ends the server at once
_GUARDIAN = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.kill(int(open(sys.argv[1] + "/data/postmaster.pid").readline()), signal.SIGQUIT)
except (OSError, ValueError):
    pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


def programs() -> Path | None:
    """Folder with `initdb` and `postgres`, None where there is no server."""
    places = [shutil.which("postgres"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), reverse=True)]
    for place in places:
        folder = None if place is None else Path(os.path.realpath(place)).parent
        if folder is not None and (folder / "initdb").exists():
            return folder
    return None


def missing() -> str | None:
    """Why no server can be started here, None where one can."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if programs() is None:
        return "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    try:
        need("psycopg", what="a PostgreSQL store", extra="postgres")
    except ImportError as error:
        return str(error)
    return None


class Server:
    """A server that listens on the loopback address alone, with a password.

    Args:
        settings: Lines of its configuration, such as {"fsync": "off"}.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        found = programs()
        assert found is not None, "no server: see `missing`"
        self._programs, self._settings = found, dict(settings or {})
        self.folder = Path(tempfile.mkdtemp(prefix="luthier-pg-", dir="/tmp"))  # its socket's path must be short
        self.password = secrets.token_hex(8)
        self.process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._owner: dict[str, Any] = {}
        if os.getuid() == 0:  # the server refuses to be run by the administrator
            entry = pwd.getpwnam("postgres" if _exists("postgres") else "nobody")
            self._owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._initialise()
        self._guardian = subprocess.Popen(
            [sys.executable, "-ISc", _GUARDIAN, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        command: list[str | Path] = [
            self._programs / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            _USER,
            "--no-sync",
            "-E",
            "UTF8",
        ]
        command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._owner)
        secret.unlink()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start, and wait until it answers."""
        # enough shared memory for tests, on machines with little of it
        given = {"listen_addresses": "127.0.0.1", "port": str(self.port), "shared_buffers": "32MB", **self._settings}
        options = [item for name, value in given.items() for item in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *options],
                stdout=log, stderr=log, cwd=self.folder, **self._owner,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it takes connections."""
        psycopg = need("psycopg", what="a PostgreSQL store", extra="postgres")
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts its connections and closes in order, SIGQUIT is a crash, SIGKILL kills the first process.

        Returns when all of its processes are gone.
        """
        if self.process is None:
            return
        family = _children(self.process.pid)
        self.process.send_signal(how)
        self.process.wait()
        self.process = None
        deadline = time.monotonic() + 30
        while any(_alive(pid) for pid in family) and time.monotonic() < deadline:
            if how is signal.SIGKILL:  # those that wait in a read notice it late
                for pid in filter(_alive, family):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and start it again, with the same data and address."""
        self.stop(how)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.start()

    def close(self) -> None:
        """End it and remove its data."""
        self.stop(signal.SIGQUIT)
        self._guardian.communicate()  # removes the folder

    def url(self, database: str) -> str:
        """Address of a database, with the password."""
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """Address of a new, empty database."""
        name = f"db{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the server's owner; what it gives."""
        psycopg = need("psycopg", what="a PostgreSQL store", extra="postgres")
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        return rows

    def cut(self) -> int:
        """Terminate every connection of a luthier store (`pg_terminate_backend`); how many there were."""
        found = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'luthier'"
        )
        return sum(1 for row in found if row[0])


@functools.cache
def shared() -> Server:
    """One server for all tests of this process, without flushes to the disk: it need not survive a power cut."""
    server = Server({"fsync": "off"})
    atexit.register(server.close)
    server.start()
    return server


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
