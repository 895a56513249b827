"""The routes: what may be asked for, and nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError, LuthierError
from luthier.base.imports import need
from luthier.report.live import ASSETS, asset
from luthier.serve import _pages
from luthier.serve._guard import App, Guard
from luthier.serve._shelf import Shelf
from luthier.serve._telling import tell
from luthier.serve._watch import Watch

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: Scripts of this room; the others are the report's.
OWN = {"live.js": "text/javascript; charset=utf-8", "index.js": "text/javascript; charset=utf-8"}
#: Longest note, in characters.
MOST_LETTERS = 10_000
TEXT = {"content-type": "text/plain; charset=utf-8"}


def application(
    shelf: Shelf,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
    write: bool = False,
    cookie: str = "luthier",
) -> App:
    """The pages of a shelf, guarded.

    Args:
        shelf: The studies.
        token: What a caller must show; None: everybody who reaches the server may read.
        hosts: Values of the header `Host` that are answered; None: all.
        write: Whether notes may be written; needs a token.
        cookie: Name of the cookie.

    Returns:
        An ASGI application.

    Raises:
        ArgumentError: `write` without a token.
        MissingExtra: Starlette is not installed.
    """
    if write and token is None:
        raise ArgumentError("write=True without a token. Allowed: with one, so that no page from elsewhere can write.")
    web = need("starlette.applications", what="luthier serve", extra="serve")
    routing = need("starlette.routing", what="luthier serve", extra="serve")
    compress = need("starlette.middleware.gzip", what="luthier serve", extra="serve")
    middleware = need("starlette.middleware", what="luthier serve", extra="serve")
    routes = Routes(shelf, write=write)
    listed = [
        routing.Route("/", routes.index),
        routing.Route("/changes", routes.index_changes),
        routing.Route("/studies/{key}", routes.study),
        routing.Route("/studies/{key}/changes", routes.changes),
        routing.Route("/studies/{key}/report.html", routes.report),
        routing.Route("/assets/{version}/{name}", routes.asset),
    ]
    if write:
        listed.append(routing.Route("/studies/{key}/trials/{trial:int}/note", routes.note, methods=["POST"]))
    made = web.Starlette(
        routes=listed,
        middleware=[middleware.Middleware(compress.GZipMiddleware, minimum_size=2000, compresslevel=5)],
        exception_handlers={404: _nothing, 405: _nothing, LuthierError: _unreadable, Exception: _broken},
    )
    return Guard(made, token=token, hosts=hosts, cookie=cookie)


class Routes:
    """What each address gives.

    Args:
        shelf: The studies.
        write: Whether pages offer to write notes.
    """

    def __init__(self, shelf: Shelf, *, write: bool) -> None:
        self._shelf, self._write = shelf, write

    def index(self, request: Request) -> Response:
        """The list of studies."""
        return _html(_pages.index(self._shelf.briefs(), assets()))

    def index_changes(self, request: Request) -> Response:
        """The list again, if it is not the one that the reader has."""
        rows, mark = _pages.rows(self._shelf.briefs())
        if request.query_params.get("have") == mark:
            return _empty()
        return _json({"html": rows, "mark": mark})

    def study(self, request: Request) -> Response:
        """The page of a study."""
        watch = self._watch(request)
        if watch is None:
            return _html(_pages.missing(assets()), 404)
        found, _ = watch.parts()
        return _html(_pages.study(request.path_params["key"], watch.entry, found, assets(), write=self._write))

    def changes(self, request: Request) -> Response:
        """The parts of a page that the reader does not have as they are now."""
        watch = self._watch(request)
        if watch is None:
            return _plain("There is no such study.", 404)
        found = watch.changes(_known(request.query_params.get("have", "")))
        return _empty() if found is None else _json(found)

    def report(self, request: Request) -> Response:
        """The report as one file, to keep or to mail."""
        watch = self._watch(request)
        if watch is None:
            return _plain("There is no such study.", 404)
        return _html(watch.report(), headers={"content-disposition": 'attachment; filename="report.html"'})

    def asset(self, request: Request) -> Response:
        """A script or a style, by its name in a fixed list."""
        name = request.path_params["name"]
        kind = ASSETS.get(name) or OWN.get(name)
        if kind is None or request.path_params["version"] != version():
            return _plain("There is no such file.", 404)
        return _response(content(name), 200, {"content-type": kind, "cache-control": "private, max-age=31536000"})

    async def note(self, request: Request) -> Response:
        """Write a note on a trial."""
        concurrency = need("starlette.concurrency", what="luthier serve", extra="serve")
        try:
            given = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _plain("That is no JSON.", 400)
        text = given.get("note") if isinstance(given, dict) else None
        if not isinstance(text, str) or len(text) > MOST_LETTERS:
            return _plain(f'Allowed: {{"note": text}}, at most {MOST_LETTERS} letters.', 400)
        watch = await concurrency.run_in_threadpool(self._watch, request)
        if watch is None:
            return _plain("There is no such study.", 404)
        try:
            await concurrency.run_in_threadpool(watch.note, request.path_params["trial"], text)
        except ArgumentError:
            return _plain("There is no such trial.", 404)
        return _empty()

    def _watch(self, request: Request) -> Watch | None:
        return self._shelf.watch(request.path_params["key"])


def _known(text: str) -> dict[str, str]:
    """`id:mark,id:mark` as the reader has them."""
    pairs = [one.partition(":") for one in text.split(",")[:100]]
    return {name: mark for name, _, mark in pairs if name}


@cache
def content(name: str) -> bytes:
    """An asset of this room or of the report."""
    if name in OWN:
        return (files("luthier.serve") / "assets" / name).read_bytes()
    return asset(name)


@cache
def version() -> str:
    """A mark of all assets: a browser may keep them for as long as it stays the same."""
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted({*ASSETS, *OWN}):
        digest.update(content(name))
    return digest.hexdigest()


def assets() -> str:
    """Address under which the assets are."""
    return f"/assets/{version()}/"


def _response(body: bytes, status: int, headers: dict[str, str]) -> Response:
    responses = need("starlette.responses", what="luthier serve", extra="serve")
    made: Response = responses.Response(body, status, headers)
    return made


def _html(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = text.encode("utf-8", "backslashreplace")
    return _response(body, status, {"content-type": "text/html; charset=utf-8", **(headers or {})})


def _json(value: Any) -> Response:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _response(text.encode("utf-8", "backslashreplace"), 200, {"content-type": "application/json"})


def _plain(words: str, status: int) -> Response:
    return _response(f"{words}\n".encode(), status, TEXT)


def _empty() -> Response:
    return _response(b"", 204, {})


def _nothing(request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    return _plain("Only pages are given here." if status == 405 else "There is nothing here.", status)


def _unreadable(request: Request, error: Exception) -> Response:
    tell(error)  # it may name a file: the reader is not shown it
    return _plain("The store cannot be read at present; the server's terminal says why.", 503)


def _broken(request: Request, error: Exception) -> Response:
    tell(error)
    return _plain("Something went wrong; the server's terminal says what.", 500)
