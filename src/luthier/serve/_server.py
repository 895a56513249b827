"""The server: where it listens, whom it tells, and how it ends."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from types import TracebackType
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.imports import need
from luthier.serve._app import application
from luthier.serve._shelf import Shelf

#: Where pages are by default; any other free port does.
PORT = 8700
#: Fewest letters of a token that is given: 16 random ones cannot be guessed.
LEAST_TOKEN = 16


class Server:
    """Serves the studies of a place.

    Args:
        where: A study's folder, a folder of such folders, a database file, the address of a store, or `URL#NAME`.
        host: Address to listen at. Anything but the loopback interface needs a token.
        port: Port; 0 takes a free one.
        write: Whether notes on trials may be written; needs a token too.
        token: The token, at least 16 letters; None: one is drawn where one is needed.

    Raises:
        StudyNotFound, StorageError: there is nothing to show.
        ArgumentError: the address cannot be listened at, or the token is too short.
        MissingExtra: Starlette or uvicorn is not installed.
    """

    def __init__(
        self,
        where: str,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        write: bool = False,
        token: str | None = None,
    ) -> None:
        uvicorn = need("uvicorn", what="luthier serve", extra="serve")
        port = check("port", port, at_least=0, at_most=65535, whole=True)
        if token is not None and len(token) < LEAST_TOKEN:
            raise ArgumentError(
                f"token of {len(token)} letters. Allowed: at least {LEAST_TOKEN}, drawn at random. Leave it out, and "
                "luthier draws one."
            )
        self.local = loopback(host)
        self.token = token or (None if self.local and not write else secrets.token_urlsafe(24))
        self._shelf = Shelf(where)
        self._socket = _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        app = application(
            self._shelf,
            token=self.token,
            hosts=_hosts(host, self.port) if self.local else None,
            write=write,
            cookie=f"luthier-{self.port}",  # cookies do not tell ports apart
        )
        # no access log: an address may hold the token
        config = uvicorn.Config(
            app, log_config=None, access_log=False, ws="none", server_header=False, timeout_graceful_shutdown=2
        )
        self._server: Any = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def studies(self) -> int:
        """How many studies there are."""
        return len(self._shelf.entries())

    @property
    def url(self) -> str:
        """What to open in a browser; with the token, if there is one."""
        shown = self.host if self.host not in ("0.0.0.0", "::") else socket.gethostname()
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def run(self) -> None:
        """Serve until interrupted; Ctrl-C is the way to end it, and no error."""
        self._warm()
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass
        finally:
            self._shelf.close()

    def _warm(self) -> None:
        """Read the newest study while the reader opens the browser."""
        threading.Thread(target=self._shelf.warm, name="luthier-serve-warm", daemon=False).start()

    def start(self) -> None:
        """Serve beside this thread, until `stop`."""
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what `start` began."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(10)
        self._socket.close()
        self._shelf.close()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(where: str, *, host: str = "127.0.0.1", port: int = PORT, write: bool = False) -> None:
    """Serve the studies of a place until interrupted; see `Server`."""
    Server(where, host=host, port=port, write=write).run()


def loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(host: str, port: int) -> frozenset[str]:
    """What `Host` says when this machine is meant."""
    names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(128)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise ArgumentError(
            f"address {host}:{port} cannot be listened at ({error.strerror or error}). Allowed: an address of this "
            "machine and a free port. Take --port 0 for any free one."
        ) from error
    return made
