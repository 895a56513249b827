"""What a page shows of a study that goes on, and that only what has changed is sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from serve_help import ask, grown, make

import luthier as lu
from luthier.report.live import parts, quick
from luthier.serve import Server
from luthier.serve._shelf import MOST_OPEN, Shelf
from luthier.serve._watch import changed
from luthier.study.listing import studies


def fetch(server: Server, key: str, have: dict[str, str]) -> dict[str, Any] | None:
    """What `live.js` gets."""
    text = ",".join(f"{name}:{mark}" for name, mark in have.items())
    found = ask(server, f"/studies/{key}/changes?have={text}")
    assert found.status in (200, 204)
    return json.loads(found.body) if found.status == 200 else None


def settled(server: Server, key: str) -> dict[str, str]:
    """Marks of a page with all its parts."""
    have: dict[str, str] = {}
    for _ in range(400):
        found = fetch(server, key, have)
        if found is None:
            return have
        have |= {part["id"]: part["mark"] for part in found["parts"]}
        time.sleep(0.02)
    raise AssertionError("the page does not settle")


def test_only_what_has_changed_is_sent(tmp_path: Path) -> None:
    study = make(tmp_path / "s", "s", 30)
    with Server(str(tmp_path / "s"), port=0) as server:
        [key] = server._shelf.entries()
        have = settled(server, key)
        assert {"head", "contents", "history", "trials", "importance", "slices"} <= set(have)
        assert fetch(server, key, have) is None
        study.note(0, "a word")
        found = fetch(server, key, have)
        assert found is not None
        assert [part["id"] for part in found["parts"]] == ["trials"]
        table = found["parts"][0]["changed"]
        assert table["rows"] == {"length": 30, "at": {}}
        assert list(table["details"]["at"]) == ["0"]  # of the table only the row that was written on
        assert table["details"]["at"]["0"]["note"] == "a word"
        old = fetch(server, key, {**have, "trials": "0123456789abcdef"})  # a state that nobody remembers
        assert old is not None
        assert len(old["parts"][0]["trials"]["details"]) == 30
        grown(study, 1)
        found = fetch(server, key, have)
        assert found is not None
        fresh = {part["id"] for part in found["parts"]}
        assert {"head", "history", "trials", "slices"} <= fresh
        assert "contents" not in fresh
        assert found["more"]  # what rests on a model follows later
        assert found["order"][:3] == ["head", "contents", "history"]
    study.close()


def test_a_page_is_the_report_in_parts() -> None:
    from report_samples import empty, halving

    top, found = quick(halving(40))
    listed = parts(top, found)
    assert listed == parts(top, found)
    assert changed(listed, {part.id: part.mark for part in listed}) == []
    assert [part.id for part in changed(listed, {})] == [part.id for part in listed]
    again = parts(top + " ", found)
    assert [part.id for part in changed(again, {part.id: part.mark for part in listed})] == ["head"]
    assert [part.id for part in parts(*quick(empty()))] == ["head", "contents"]


def test_a_study_without_trials_and_its_first(tmp_path: Path) -> None:
    study = make(tmp_path / "s", "s", 0)
    with Server(str(tmp_path / "s"), port=0) as server:
        [key] = server._shelf.entries()
        page = ask(server, f"/studies/{key}")
        assert "No trial has been started yet." in page.text
        grown(study, 1)
        assert "No trial has been started yet." not in ask(server, f"/studies/{key}").text
    study.close()


def test_the_list_of_studies_follows(runs: Path, served: Server, tmp_path: Path) -> None:
    study = make(tmp_path / "runs" / "one", "one", 2)
    with Server(str(tmp_path / "runs"), port=0) as server:
        first = json.loads(ask(server, "/changes").body)
        assert "2 completed" in first["html"]
        assert ask(server, f"/changes?have={first['mark']}").status == 204
        grown(study, 1)
        make(tmp_path / "runs" / "two", "two", 1).close()
        server._shelf._until = 0.0  # as if the list were old
        second = json.loads(ask(server, f"/changes?have={first['mark']}").body)
        assert second["html"].index(">two<") < second["html"].index(">one<")  # newest first
        assert "3 completed" in second["html"]
    study.close()


def test_places_that_hold_studies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/many.db"
    for name in ("a", "b"):
        lu.Study(lu.Space(x=lu.Float(0, 1)), ["loss", "size"], searcher="random", storage=url, name=name).close()
    (tmp_path / "noise").mkdir()
    (tmp_path / "broken.db").write_bytes(b"no database")
    assert [(e.name, e.objectives) for e in studies(url)] == [("a", ("loss", "size")), ("b", ("loss", "size"))]
    assert [e.name for e in studies(f"{url}#b")] == ["b"]
    assert [e.name for e in studies(tmp_path)] == ["a", "b"]
    with pytest.raises(lu.base.errors.StudyNotFound, match="holds no study 'c'"):
        studies(f"{url}#c")
    with pytest.raises(lu.base.errors.StudyNotFound, match="holds no study"):
        studies(tmp_path / "noise")


def test_few_studies_are_open_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/many.db"
    for number in range(MOST_OPEN + 3):
        lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", storage=url, name=f"s{number}").close()
    shelf = Shelf(url)
    marks = list(shelf.entries())
    first = shelf.watch(marks[0])
    assert first is not None
    assert first.brief().trials == 0
    for key in marks:
        shelf.watch(key)
    assert len(shelf._open) == MOST_OPEN
    assert first._study is None  # closed, and opened again when somebody looks
    assert first.brief().aim == "minimise loss"
    shelf.close()


def test_looking_changes_nothing_in_the_log(runs: Path, served: Server, keys: dict[str, str]) -> None:
    with lu.Study.open(runs / "first") as study:
        before = study.events()
    settled(served, keys["first"])
    ask(served, f"/studies/{keys['first']}/report.html")
    with lu.Study.open(runs / "first") as study:
        assert study.events() == before


def test_the_report_can_be_taken_along(served: Server, keys: dict[str, str]) -> None:
    found = ask(served, f"/studies/{keys['first']}/report.html")
    assert found.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert found.text.startswith("<!DOCTYPE html>")
    assert 'id="importance"' in found.text


def test_the_command_serves_until_interrupted(runs: Path) -> None:
    command = [sys.executable, "-m", "luthier", "serve", str(runs), "--port", "0", "--write", "--json"]
    env = {**os.environ, "LUTHIER_TOKEN": "a-token-of-some-length"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["studies"] == 2
        assert told["url"] == f"http://127.0.0.1:{told['port']}/?token=a-token-of-some-length"

        class Place:
            port = told["port"]

        assert ask(Place, "/").status == 401  # type: ignore[arg-type]
        assert ask(Place, "/?token=a-token-of-some-length").status == 303  # type: ignore[arg-type]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "token" not in out + err


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from luthier.cli._app import app

    called = CliRunner().invoke(app, ["serve", str(tmp_path), "--port", "0"])
    assert called.exit_code == 1
    assert f"error: {tmp_path} holds no study. Allowed: a study's folder" in called.stderr


@pytest.mark.slow
def test_a_store_on_another_server_and_its_restart() -> None:
    from luthier.testing import postgres

    if postgres.missing() is not None:
        pytest.skip(str(postgres.missing()))
    with postgres.Server() as database:
        url = database.new()
        space = lu.Space(x=lu.Float(0, 1))
        study = lu.Study(space, searcher="random", storage=url, name="shared")
        grown(study, 12)
        with Server(url, port=0) as server:
            [key] = server._shelf.entries()
            page = ask(server, f"/studies/{key}")
            assert page.status == 200
            assert database.password not in page.text + ask(server, "/").text
            have = settled(server, key)
            grown(study, 1)
            found = fetch(server, key, have)
            assert found is not None
            assert {"head", "trials"} <= {part["id"] for part in found["parts"]}
            database.restart()
            statuses = [ask(server, f"/studies/{key}/changes?have=").status for _ in range(3)]
            assert statuses[-1] == 200
            grown(study, 1)
            assert "14 completed" in ask(server, f"/studies/{key}").text
        study.close()
