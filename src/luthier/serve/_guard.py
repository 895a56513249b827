"""Who may ask, and what an answer may do in a browser: checked before any route is looked at."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Scripts come from this server alone, nothing runs that stands in the page, and nobody may frame it. Styles in the
#: page are the plotting library's.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
#: A cookie lives as long as a working day: who comes back later uses the printed address again.
COOKIE_SECONDS = 12 * 3600
#: Longest body that is read: a note, not a file.
MOST_BYTES = 64 * 1024


class Guard:
    """Lets a request through to the application, or answers it.

    The order: method, `Host`, token, origin of what would write. Without a token nothing that writes is let through.

    Args:
        app: The application.
        token: What a caller must show; None: everybody who reaches the server may read.
        hosts: Values of `Host` that are answered; None: all. On the loopback interface a page from elsewhere that had
            its own name point here would otherwise read as if it were of this server.
        cookie: Name of the cookie that holds the proof of the token.
    """

    def __init__(self, app: App, *, token: str | None, hosts: frozenset[str] | None, cookie: str) -> None:
        self._app, self._token, self._hosts, self._cookie = app, token, hosts, cookie
        # the cookie is a proof of the token, not the token itself
        self._proof = "" if token is None else hashlib.sha256(b"luthier cookie " + token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no other protocol is spoken here
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await answer(send, *refusal)
            return
        shown = self._shown(scope)
        if shown is not None:
            await answer(send, 303, "", ((b"location", shown), (b"set-cookie", self._bake())))
            return
        await self._app(scope, receive, _dressed(send))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            return 405, "Only pages are given here."
        if self._hosts is not None and headers.get("host", "") not in self._hosts:
            return 421, "This server does not answer to that name."
        if self._token is not None and not self._knows(scope, headers):
            return 401, "A token is needed: use the whole address that luthier serve printed, or Authorization: Bearer."
        if method == "POST":
            return self._refused_write(headers)
        return None

    def _refused_write(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if self._token is None:
            return 405, "Only pages are given here."
        origin, host = headers.get("origin", ""), headers.get("host", "")
        if not host or urlsplit(origin).netloc != host or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "Only this server's own pages may write."
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "Only JSON is read."
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return 413, "That is more than a note."
        return None

    def _knows(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        """Whether the caller shows the token: in its header, its cookie, or once in the address."""
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same(given.strip(), self._token):
            return True
        if same(self._biscuit(headers.get("cookie", "")), self._proof):
            return True
        return scope["method"] == "GET" and any(same(value, self._token) for value in _tokens(scope))

    def _biscuit(self, text: str) -> str:
        try:
            found = SimpleCookie(text).get(self._cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _shown(self, scope: Scope) -> bytes | None:
        """Where to go on, when the token came in the address: the same place without it."""
        if self._token is None or scope["method"] != "GET" or not _tokens(scope):
            return None
        rest = [(key, value) for key, value in _query(scope) if key != "token"]
        # the raw path is printable ASCII and begins with one slash: neither another header nor another server
        path: str = "/" + scope.get("raw_path", b"/").decode("latin-1").lstrip("/\\")
        return (path + ("?" + urlencode(rest) if rest else "")).encode("latin-1")

    def _bake(self) -> bytes:
        text = f"{self._cookie}={self._proof}; Max-Age={COOKIE_SECONDS}; Path=/; HttpOnly; SameSite=Strict"
        return text.encode()


def same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=50)


def _tokens(scope: Scope) -> list[str]:
    if b"token" not in scope.get("query_string", b""):
        return []
    try:
        return [value for key, value in _query(scope) if key == "token"]
    except ValueError:  # too many fields
        return []


def _dressed(send: Send) -> Send:
    """Adds what every answer says to the browser."""

    async def dressed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            kept = [] if any(name == b"cache-control" for name, _ in own) else [(b"cache-control", b"no-store")]
            message = {**message, "headers": [*own, *HEADERS, *kept]}
        await send(message)

    return dressed


async def answer(send: Send, status: int, words: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """A short answer in plain text."""
    body = (words + "\n").encode() if words else b""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *extra]
    dressed = _dressed(send)
    await dressed({"type": "http.response.start", "status": status, "headers": headers})
    await dressed({"type": "http.response.body", "body": body})
