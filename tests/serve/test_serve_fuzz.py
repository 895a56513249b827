"""Requests that no browser makes: nothing breaks, nothing leaks, and the server goes on."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_help import SECRET, TOKEN, ask

from luthier.serve import Server, application
from luthier.serve._guard import POLICY

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
PIECES = ["..", ".", "", "%2e%2e", "%2f", "%00", "studies", "assets", "changes", "report.html", "trials", "note", "1"]
PIECES += [
    "etc",
    "passwd",
    "secret.txt",
    "study.db",
    "report.css",
    "\\",
    "~",
    "KEY",
    "VERSION",
    "<script>",
    "\u2028",
    "é",
]
HEADERS = ["host", "cookie", "authorization", "origin", "content-type", "content-length", "sec-fetch-site"]
HEADERS += [
    "accept-encoding",
    "range",
    "x-forwarded-host",
    "x-forwarded-for",
    "x-http-method-override",
    "if-none-match",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "\u00e9"]

path = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=7).map(lambda p: "/" + "/".join(p))
words = st.one_of(
    st.sampled_from([TOKEN, f"Bearer {TOKEN}", "gzip", "null", "0", "-1", "bytes=0-"]), st.text(max_size=30)
)
headers = st.lists(st.tuples(st.sampled_from(HEADERS), words), max_size=5)
query = st.one_of(
    st.just(""), st.text(max_size=40), st.sampled_from(["have=a:b,c", f"token={TOKEN}", "token=&token", "have="])
)


def send(
    app: Any, method: str, where: str, asked: str, given: list[tuple[str, str]], body: bytes
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Give one request to an application, as a server would, without one."""
    raw = where.encode("utf-8", "surrogatepass")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": where,
        "raw_path": raw,
        "root_path": "",
        "query_string": asked.encode("utf-8", "surrogatepass"),
        "headers": [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in given],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def hear(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, hear))
    start = told[0]
    return start["status"], dict(start["headers"]), b"".join(m.get("body", b"") for m in told[1:])


@settings(max_examples=120, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from(METHODS), path, query, headers, st.binary(max_size=40), st.booleans())
def test_any_request_gets_a_harmless_answer(
    served: Server,
    keys: dict[str, str],
    method: str,
    where: str,
    asked: str,
    given: list[tuple[str, str]],
    body: bytes,
    closed: bool,
) -> None:
    from luthier.serve._app import version

    app = application(served._shelf, token=TOKEN if closed else None, write=closed)
    where = where.replace("KEY", keys["first"]).replace("VERSION", version())
    status, told, text = send(app, method, where, asked, given, body)
    assert status in {200, 204, 303, 307, 400, 401, 403, 404, 405, 413, 415, 421}, where
    assert SECRET.encode() not in text
    assert told[b"content-security-policy"] == POLICY.encode()
    shown = any(value == f"Bearer {TOKEN}" for name, value in given if name == "authorization")
    if closed and not shown and f"token={TOKEN}" not in asked:
        assert status in {401, 405}
    assert TOKEN.encode() not in text
    for value in (told.get(b"location", b"/"), told.get(b"set-cookie", b"")):
        assert b"\r" not in value
        assert b"\n" not in value
    assert told.get(b"location", b"/").startswith((b"/", b"http://"))
    assert not told.get(b"location", b"/").startswith((b"//", b"/\\"))


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(
    st.one_of(
        st.binary(max_size=300), st.binary(max_size=60).map(lambda b: b"GET /" + b + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    )
)
def test_any_bytes_leave_the_server_alive(served: Server, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        line.settimeout(5)
        heard = b""
        while chunk := line.recv(65536):
            heard += chunk
    assert SECRET.encode() not in heard
    assert b" 500 " not in heard.partition(b"\r\n")[0]
    assert ask(served, "/changes?have=x").status == 200
