"""What a stranger may not: read files, act in the name of a reader, put words into the page's mouth, or guess."""

from __future__ import annotations

import json
import logging
from html.parser import HTMLParser
from pathlib import Path

import pytest
from serve_help import EVIL, SECRET, TOKEN, ask

import luthier as lu
from luthier.base.errors import ArgumentError, StudyNotFound
from luthier.serve import Server, application
from luthier.serve._guard import POLICY
from luthier.serve._server import loopback
from luthier.serve._shelf import Shelf

WALKS = [
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/studies/../../secret.txt",
    "/studies/..%2f..%2fsecret.txt",
    "/studies/%2e%2e/%2e%2e/secret.txt",
    "/studies/..%5c..%5csecret.txt",
    "/assets/{version}/../../../secret.txt",
    "/assets/{version}/..%2f..%2f..%2fsecret.txt",
    "/assets/{version}/report.css/../../_app.py",
    "/assets/{version}/%2fetc%2fpasswd",
    "/assets/{version}/_app.py",
    "/assets/{version}/report.css%00.txt",
    "//etc/passwd",
    "/studies//etc/passwd",
    "/first/secret.txt",
    "/study.db",
    "/studies/first/report.html",
    "/studies/{key}/secret.txt",
    "/studies/{key}/../first/secret.txt",
    "/studies/{key}/trials/0/note",
    "/?path=/etc/passwd&file=../secret.txt",
]


@pytest.mark.parametrize("walk", WALKS)
def test_no_path_of_the_file_system_is_reachable(served: Server, keys: dict[str, str], runs: Path, walk: str) -> None:
    from luthier.serve._app import version

    found = ask(served, walk.format(version=version(), key=keys["first"]))
    assert SECRET not in found.text
    assert "root:" not in found.text
    assert str(runs.parent) not in found.text or walk == "/"
    assert found.status == (200 if walk.startswith("/?") else 404)


def test_every_answer_says_what_a_browser_may_do(served: Server, keys: dict[str, str]) -> None:
    for path in ("/", f"/studies/{keys['first']}", "/nothing", "/changes", f"/studies/{keys['first']}/changes"):
        found = ask(served, path)
        assert found.headers["content-security-policy"] == POLICY
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"
        assert "server" not in found.headers
    assert "unsafe-eval" not in POLICY
    assert "script-src 'self'" in POLICY


class Elements(HTMLParser):
    """Elements and attributes as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_of_studies_hyperparameters_and_notes_stay_words(served: Server, keys: dict[str, str]) -> None:
    for path in ("/", f"/studies/{keys[EVIL]}"):
        page = Elements(ask(served, path).text)
        for tag, attributes in page.found:
            assert tag not in ("img", "iframe", "object", "base", "form"), path
            assert not [name for name in attributes if name.startswith("on")], path
            if tag == "script" and attributes.get("type") != "application/json":
                assert (attributes["src"] or "").startswith("/assets/")
        assert any(tag == "script" for tag, _ in page.found)
    changes = ask(served, f"/studies/{keys[EVIL]}/changes").text
    assert "<script" not in "".join(part["html"] for part in json.loads(changes)["parts"])
    assert "<img" not in ask(served, "/changes").text


def test_a_name_that_points_here_from_elsewhere_is_not_answered(served: Server) -> None:
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1", "127.0.0.1:1", ""):
        found = ask(served, "/", host=host)
        assert found.status == 421
        assert b"first" not in found.body
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert ask(served, "/", host=f"{host}:{served.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer \u00e9\u00ff"},
        {"cookie": f"luthier={TOKEN}"},
        {"cookie": "luthier-PORT="},
        {"cookie": f"luthier-PORT={TOKEN}"},
        {"cookie": 'luthier-PORT="; Path=/"; =; \x01'},
    ],
)
def test_without_the_token_nothing_is_told(guarded: Server, headers: dict[str, str]) -> None:
    headers = {name: value.replace("PORT", str(guarded.port)) for name, value in headers.items()}
    for path in ("/", "/changes", "/assets/x/report.css", "/nothing", "/?token=wrong", "/?token="):
        found = ask(guarded, path, **headers)
        assert found.status == 401
        assert "set-cookie" not in found.headers
        assert found.text.startswith("A token is needed")
    assert ask(guarded, "/studies/x/trials/0/note", "POST", b"{}", **headers).status == 401


def test_the_token_opens_once_by_address_then_by_cookie_and_always_by_header(guarded: Server) -> None:
    first = ask(guarded, f"/changes?token={TOKEN}&have=x")
    assert (first.status, first.headers["location"]) == (303, "/changes?have=x")
    cookie = first.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    biscuit = cookie.partition(";")[0]
    assert ask(guarded, "/", cookie=f"other=1; {biscuit}").status == 200
    assert ask(guarded, "/", authorization=f"Bearer {TOKEN}").status == 200
    assert ask(guarded, "/", cookie=biscuit[:-1] + "0").status in (401, 200 if biscuit.endswith("0") else 401)
    # the way back stays on this server, and brings no header of its own
    away = ask(guarded, f"//evil.example/%0d%0aX:y?token={TOKEN}")
    assert away.headers["location"] == "/evil.example/%0d%0aX:y"


def test_a_write_needs_this_servers_own_page(guarded: Server, keys: dict[str, str], runs: Path) -> None:
    path, body = f"/studies/{keys['first']}/trials/2/note", json.dumps({"note": "from a test"}).encode()
    own = {"authorization": f"Bearer {TOKEN}", "content_type": "application/json"}
    here = f"http://127.0.0.1:{guarded.port}"

    def write(**headers: str) -> int:
        return ask(guarded, path, "POST", body, **{**own, **headers}).status

    before = lu.Study.open(runs / "first").events()
    assert write() == 403  # no origin: not a page of ours
    assert write(origin="null") == 403
    assert write(origin="https://evil.example") == 403
    assert write(origin=f"{here}.evil.example") == 403
    assert write(origin=f"http://evil.example:{guarded.port}") == 403
    assert write(origin=here, sec_fetch_site="cross-site") == 403
    assert write(origin=here, sec_fetch_site="same-site") == 403
    assert write(origin=here, content_type="text/plain") == 415
    assert write(origin=here, content_type="application/x-www-form-urlencoded") == 415
    assert write(origin=here, content_length="9999999") == 413
    assert ask(guarded, path, "GET", **own).status == 405
    assert (
        ask(guarded, f"{path}?token={TOKEN}", "POST", body, origin=here, content_type="application/json").status == 401
    )
    assert lu.Study.open(runs / "first").events() == before
    assert write(origin=here, sec_fetch_site="same-origin") == 204
    assert lu.Study.open(runs / "first").trials[2].note == "from a test"


def test_what_is_written_is_judged(guarded: Server, keys: dict[str, str]) -> None:
    own = {
        "authorization": f"Bearer {TOKEN}",
        "content_type": "application/json",
        "origin": f"http://127.0.0.1:{guarded.port}",
    }

    def write(path: str, body: bytes) -> int:
        return ask(guarded, path, "POST", body, **own).status

    path = f"/studies/{keys['first']}/trials/1/note"
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"note": 3}',
        b'{"other": ""}',
        b"\xff",
        b"[" * 60_000,
        b'{"note": "' + b"x" * 20_000 + b'"}',
    ):
        assert write(path, body) == 400
    assert write(f"/studies/{keys['first']}/trials/4711/note", b'{"note": "x"}') == 404
    assert write(f"/studies/{keys['first']}/trials/-1/note", b'{"note": "x"}') == 404
    assert write("/studies/nothing/trials/1/note", b'{"note": "x"}') == 404
    assert write("/", b"{}") == 405


def test_no_route_writes_without_a_token(served: Server, keys: dict[str, str]) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"):
        for path in ("/", f"/studies/{keys['first']}/trials/1/note"):
            found = ask(served, path, method, b"{}", content_type="application/json")
            assert found.status == 405, method
    with pytest.raises(ArgumentError, match="write=True without a token"):
        application(served._shelf, write=True)


def test_a_token_is_drawn_where_others_can_look(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one, two = (Server(str(runs), host="0.0.0.0", port=0) for _ in range(2))
    try:
        assert one.token is not None
        assert two.token is not None
        assert one.token != two.token
        assert len(one.token) >= 32
        assert f"?token={one.token}" in one.url
        one.start()
        assert ask(one, f"/?token={one.token}").status == 303
        assert ask(one, f"/nothing?token={one.token}").status == 303
        assert ask(one, "/", authorization=f"Bearer {one.token}", host="any.example").status == 200
        assert ask(one, "/").status == 401
    finally:
        one.stop()
        two.stop()
    assert one.token not in caplog.text
    with Server(str(runs), port=0) as local:
        assert local.token is None
    assert [loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8")] == [True] * 4
    assert [loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "")] == [False] * 5


def test_words_of_refused_addresses_and_places(runs: Path, served: Server, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        Server(str(runs), port=served.port)
    assert str(caught.value) == (
        f"address 127.0.0.1:{served.port} cannot be listened at (Address already in use). Allowed: an address of this "
        "machine and a free port. Take --port 0 for any free one."
    )
    with pytest.raises(ArgumentError, match="token of 5 letters"):
        Server(str(runs), port=0, token="short")
    with pytest.raises(StudyNotFound, match="holds no study"):
        Shelf(str(tmp_path))


def test_errors_of_the_store_are_told_to_the_terminal_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from serve_help import make

    make(tmp_path / "s", "s", 3).close()
    with Server(str(tmp_path / "s"), port=0) as server:
        [key] = server._shelf.entries()
        (tmp_path / "s" / "study.db").unlink()
        found = ask(server, f"/studies/{key}")
        assert found.status == 503
        assert str(tmp_path) not in found.text
        assert "is not there" in caplog.text
