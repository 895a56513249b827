"""The live pages as a reader sees them: in headless Chromium, with real clicks and keys, and a quiet console."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_browser import MISSING, Browser, find_chromium
from serve_help import EVIL, TOKEN, grown, make

import luthier as lu
from luthier.serve import Server

pytestmark = pytest.mark.skipif(find_chromium() is None, reason=MISSING)
PAGE = "document.documentElement.dataset"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    assert program is not None
    with Browser(program) as found:
        yield found


def quiet(browser: Browser, server: Server) -> None:
    """Nothing on the console, no error caught, nothing asked of anybody else."""
    assert browser.messages == []
    assert browser.run(f"{PAGE}.errors || ''") == ""
    assert [
        u for u in browser.requests if not u.startswith((f"http://127.0.0.1:{server.port}/", "data:", "blob:"))
    ] == []


def focused(browser: Browser) -> str:
    return browser.run("document.activeElement.id || document.activeElement.textContent.trim()")


def test_from_the_list_by_keyboard_to_a_study_that_goes_on(browser: Browser, tmp_path: Path) -> None:
    study = make(tmp_path / "runs" / "one", "one", 20)
    with Server(str(tmp_path / "runs"), port=0) as server:
        browser.open(server.url, drawn=False)
        browser.press("Tab", 9)
        assert focused(browser) == "live-pause"
        while focused(browser) != "one":
            browser.press("Tab", 9)
        browser.press("Enter", 13)
        browser.wait("!!document.documentElement?.dataset.ready")
        quiet(browser, server)
        browser.wait("!!document.getElementById('plot-small-best-0')?.querySelector('svg.main-svg')")
        # the reader sorts, filters, chooses an axis and zooms; new results come, and all that stays
        browser.click("#history .switch button[data-key=log]")
        browser.type("#filter", "status=completed")
        browser.run("Plotly.relayout('plot-history-0', {'xaxis.range': [2, 9]}).then(() => 0)")
        shown = browser.run("document.getElementById('row-count').textContent")
        assert shown == "20 of 20 trials"
        grown(study, 2)
        browser.wait("document.getElementById('row-count').textContent === '22 of 22 trials'")
        browser.wait("document.getElementById('head').textContent.includes('22 completed')")
        assert browser.run("document.getElementById('filter').value") == "status=completed"
        browser.run("document.activeElement.blur()")
        browser.wait("document.getElementById('plot-history-0').ariaLabel.includes('22 trials')")
        assert browser.run("document.querySelector('#history .switch button[data-key=log]').ariaPressed") == "true"
        assert browser.run("document.getElementById('plot-history-0').layout.xaxis.range.map(Math.round)") == [2, 9]
        quiet(browser, server)
    study.close()


def test_a_section_waits_while_the_reader_is_in_it(browser: Browser, tmp_path: Path) -> None:
    study = make(tmp_path / "s", "s", 12)
    with Server(str(tmp_path / "s"), port=0) as server:
        [key] = server._shelf.entries()
        browser.open(f"{server.url}studies/{key}")
        browser.run("document.querySelector('#history .switch button').focus()")
        before = browser.run("document.querySelector('#history .plot').ariaLabel")
        updates = int(browser.run(f"{PAGE}.updates || 0"))
        grown(study, 3)
        browser.wait(f"Number({PAGE}.updates || 0) > {updates}")
        browser.wait("document.getElementById('row-count').textContent.startsWith('15')")
        assert browser.run("document.querySelector('#history .plot').ariaLabel") == before
        assert browser.run("document.activeElement.closest('section').id") == "history"
        browser.run("document.activeElement.blur()")
        browser.wait("document.querySelector('#history .plot').ariaLabel.includes('15 trials')")
        browser.click("#live-pause")
        assert browser.run("document.getElementById('live-pause').ariaPressed") == "true"
        grown(study, 1)
        asked = len(browser.requests)
        time.sleep(2.5)
        browser.run("1")
        assert len(browser.requests) == asked
        browser.click("#live-pause")
        browser.wait("document.getElementById('row-count').textContent.startsWith('16')")
        quiet(browser, server)
    study.close()


def test_every_control_has_a_name_and_the_keyboard_reaches_it(browser: Browser, guarded: Server) -> None:
    browser.open(guarded.url, drawn=False)
    key = next(key for key, entry in guarded._shelf.entries().items() if entry.name == "first")
    browser.open(f"http://127.0.0.1:{guarded.port}/studies/{key}")
    browser.wait("!!document.getElementById('importance')")
    nameless = (
        "[...document.querySelectorAll('a, button, input, select, [role=img], [tabindex]')].filter(e => !("
        "e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert browser.run(nameless) == []
    twice = "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)"
    assert browser.run(twice) == []
    assert browser.run("document.querySelectorAll('h1').length") == 1
    reached = []
    while "filter" not in reached and len(reached) < 60:
        browser.press("Tab", 9)
        reached.append(focused(browser))
    assert reached[:4] == ["Skip to the pictures", "All studies", "live-pause", "download"]
    assert {"Importance", "note-trial", "Write note", "Linear", "filter"} <= set(reached)


def test_hostile_words_do_nothing(browser: Browser, served: Server, keys: dict[str, str]) -> None:
    browser.open(served.url, drawn=False)
    assert browser.run("document.querySelector('#studies').textContent").count(EVIL.replace("\u2028", "")) >= 1
    browser.open(f"{served.url}studies/{keys[EVIL]}")
    browser.wait("!!document.getElementById('importance')")
    assert browser.run("window.hacked ?? null") is None
    assert browser.run("document.querySelectorAll('main img, header img').length") == 0
    quiet(browser, served)


def test_the_token_goes_into_a_cookie_and_a_note_into_the_log(browser: Browser, guarded: Server, runs: Path) -> None:
    browser._ask("Network.clearBrowserCookies")
    browser.open(f"http://127.0.0.1:{guarded.port}/", drawn=False)
    assert "A token is needed" in browser.run("document.body.textContent")
    browser.open(guarded.url, drawn=False)
    assert browser.run("location.href") == f"http://127.0.0.1:{guarded.port}/"
    assert browser.run("document.cookie") == ""  # scripts do not see it
    key = next(key for key, entry in guarded._shelf.entries().items() if entry.name == "first")
    browser.open(f"http://127.0.0.1:{guarded.port}/studies/{key}")
    browser.type("#note-trial", "5")
    browser.type("#note-text", "looks lucky")
    browser.press("Enter", 13)
    browser.wait("document.getElementById('note-said').textContent === 'written on trial 5'")
    quiet(browser, guarded)
    with lu.Study.open(runs / "first") as study:
        assert study.trials[5].note == "looks lucky"
    assert TOKEN not in browser.run("document.documentElement.outerHTML")


def test_a_page_from_elsewhere_cannot_write_or_read(
    browser: Browser, guarded: Server, served: Server, runs: Path
) -> None:
    browser.open(guarded.url, drawn=False)  # the reader is logged in
    key = next(key for key, entry in guarded._shelf.entries().items() if entry.name == "first")
    target = f"http://127.0.0.1:{guarded.port}/studies/{key}/trials/6/note"
    with lu.Study.open(runs / "first") as study:
        before = study.events()
    browser.open("data:text/html,<title>elsewhere</title>", drawn=False)  # an origin of its own: null
    for options in (
        "{method:'POST',mode:'no-cors',credentials:'include',body:'{\"note\":\"x\"}'}",
        "{method:'POST',credentials:'include',headers:{'Content-Type':'application/json'},body:'{\"note\":\"x\"}'}",
    ):
        browser.run(f"fetch('{target}', {options}).then(r => r.status, () => 'refused')")
    read = browser.run(f"fetch('http://127.0.0.1:{served.port}/').then(r => r.text(), () => 'refused')")
    assert read == "refused"
    frame = (
        "new Promise(done => { const f = document.createElement('iframe'); "
        "f.onload = () => done(f.contentWindow.length); f.src = 'ADDRESS'; "
        "document.body.append(f); setTimeout(() => done(-1), 3000); })"
    )
    framed = browser.run(frame.replace("ADDRESS", f"http://127.0.0.1:{served.port}/"))
    assert framed in (0, -1)
    with lu.Study.open(runs / "first") as study:
        assert study.events() == before


def test_a_server_that_ends_is_told(browser: Browser, tmp_path: Path) -> None:
    make(tmp_path / "s", "s", 3).close()
    with Server(str(tmp_path / "s"), port=0) as server:
        [key] = server._shelf.entries()
        browser.open(f"{server.url}studies/{key}")
        quiet(browser, server)
    browser.wait("document.getElementById('live-said').textContent === 'not live: the server does not answer'")
    assert browser.run("document.querySelectorAll('#trials-table tbody tr').length") == 3


@pytest.mark.slow
def test_a_run_in_processes_of_its_own_is_followed_to_its_end(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("x: {type: float, low: 0, high: 1}\ny: {type: int, low: 1, high: 9}\n")
    program = "import json, sys, time\nfor epoch in range(1, 10):\n    time.sleep(0.4)\n"
    program += "    print(json.dumps({'loss': float(sys.argv[1]) + 1 / epoch, 'epoch': epoch}), flush=True)\n"
    (tmp_path / "train.py").write_text(program)
    luthier = [sys.executable, "-m", "luthier"]
    command = [*luthier, "tune", "--command", f"{sys.executable} train.py {{x}}", "--space", "space.yaml"]
    command += ["--minimize", "loss", "--scheduler", "asha", "--max", "epoch=9", "--trials", "24", "--workers", "2"]
    command += ["--searcher", "random"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    tuning = subprocess.Popen([*command, "--out", "run", "--quiet"], cwd=tmp_path, **silent)
    started = [tuning]
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "run" / "study.db").exists() and time.monotonic() < until:
            time.sleep(0.1)
        serving = [*luthier, "serve", "run", "--port", "0", "--json"]
        server = subprocess.Popen(serving, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout is not None
        _followed(browser, json.loads(server.stdout.readline())["url"], tuning)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()


def _followed(browser: Browser, url: str, tuning: subprocess.Popen[bytes]) -> None:
    """Look at the only study of a server until its run is over and all of it is shown."""
    card = "document.querySelectorAll('.card .figure')[1]?.textContent"
    browser.open(url, drawn=False)
    browser.run("document.querySelector('#studies a').click()")
    browser.wait("!!document.documentElement?.dataset.ready")
    seen = set()
    while tuning.poll() is None:
        seen.add(browser.run(card))
        time.sleep(0.3)
    assert tuning.returncode == 0
    browser.wait(f"{card} === '24 of 24'")
    browser.wait("!!document.querySelector('#importance svg.main-svg')")
    assert browser.messages == []
    assert browser.run(f"{PAGE}.errors || ''") == ""
    assert len(seen) > 2  # it was seen to grow
    browser.open("about:blank", drawn=False)
