"""How soon a page of `luthier serve` is there in Chromium, and how much an update sends, for 100 to 10 000 trials.

    python benchmarks/serve.py [--quick]

A study under asha, random configurations of eight hyperparameters. Each size is opened several times; the first
time the browser has no script yet. Figures go to docs/results/serve.md and .json. Chromium has to be installed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import luthier as lu  # noqa: E402
from luthier.serve import Server  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "report"))
from report_browser import Browser, find_chromium  # noqa: E402

NAVIGATION = "(n => [n.responseStart, n.domContentLoadedEventStart])(performance.getEntriesByType('navigation')[0])"


def space() -> lu.Space:
    return lu.Space(
        lr=lu.Float(1e-5, 1e-1, log=True),
        weight_decay=lu.Float(1e-6, 1e-2, log=True),
        width=lu.Int(16, 512, log=True),
        layers=lu.Int(1, 8),
        act=lu.Choice("relu", "gelu", "tanh"),
        opt=lu.Choice("sgd", "adam"),
        momentum=lu.Float(0, 0.99, when=("opt", "sgd")),
        dropout=lu.Float(0, 0.6),
    )


def train(run: Any) -> None:
    c = run.config
    floor = 0.1 * (math.log10(c["lr"]) + 3) ** 2 + 0.3 / math.log(c["width"]) + 0.03 * c["dropout"]
    floor += 0.05 * abs(c["layers"] - 4) + 0.1 * (c.get("momentum", 0.9) - 0.9) ** 2
    for epoch in run.resources():
        run.report(loss=floor + math.exp(-epoch / 8) * (1 + 0.02 * (run.seed % 100) / 100), epoch=epoch)


def fetched(url: str) -> tuple[int, float, Any]:
    """Bytes on the line (compressed, as a browser asks), seconds, and the answer."""
    import gzip

    begun = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
        body = answer.read()
        took = time.perf_counter() - begun
        plain = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
    return len(body), took, json.loads(plain) if plain else None


def looked_at(study: lu.Study, server: Server, browser: Browser, repeats: int) -> dict[str, Any]:
    [key] = server._shelf.entries()
    url = f"{server.url}studies/{key}"
    rows = []
    for _ in range(repeats + 1):
        browser.open(url)
        first, ready = (
            int(browser.run(f"document.documentElement.dataset.{one}")) for one in ("first", "milliseconds")
        )
        answered, words = browser.run(NAVIGATION)
        assert browser.messages == [], browser.messages
        rows.append({"answer": answered, "words": words, "first": first, "all": ready})
    have: dict[str, str] = {}
    while True:  # until the sections with a model are there
        _, _, found = fetched(f"{url}/changes?have=" + ",".join(f"{k}:{v}" for k, v in have.items()))
        if found is None:
            break
        have |= {part["id"]: part["mark"] for part in found["parts"]}
        time.sleep(0.1)
    marks = ",".join(f"{k}:{v}" for k, v in have.items())
    nothing = statistics.median(fetched(f"{url}/changes?have={marks}")[1] for _ in range(9))
    study.note(0, "a word")
    note = fetched(f"{url}/changes?have={marks}")
    whole = fetched(f"{url}/changes?have=")
    median = {name: statistics.median(row[name] for row in rows[1:]) for name in rows[0]}
    return {
        "trials": len(study.trials),
        "server answers, first time, ms": round(rows[0]["answer"]),
        "server answers, ms": round(median["answer"]),
        "words and table, ms": round(median["words"]),
        "pictures in sight, ms": round(median["first"]),
        "all 20 pictures, ms": round(median["all"]),
        "pictures in sight, first time, ms": round(rows[0]["first"]),
        "asked, nothing new, ms": round(1000 * nothing, 1),
        "sent after a note, kB": round(note[0] / 1000, 1),
        "sent for the whole page, kB": round(whole[0] / 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    program = find_chromium()
    assert program is not None, "Chromium has to be installed"
    rows = []
    with tempfile.TemporaryDirectory() as name, Browser(program, size=(1280, 1400), timeout=90) as browser:
        for trials in (100, 1000) if quick else (100, 1000, 10_000):
            folder = Path(name) / str(trials)
            study = lu.Study(
                space(), searcher="random", scheduler="asha", fidelity=("epoch", 1, 27), folder=folder, seed=0
            )
            study.run(train, trials=trials)
            with Server(str(folder), port=0) as server:
                server._warm()  # as `luthier serve` does
                time.sleep(2)
                rows.append(looked_at(study, server, browser, 2 if quick else 5))
                browser.open("about:blank", drawn=False)
                print(rows[-1], flush=True)
            study.close()
    turned = [
        {"what": what, **{f"{row['trials']} trials": row[what] for row in rows}} for what in rows[0] if what != "trials"
    ]
    text = (
        "A study under asha with eight hyperparameters, opened in headless Chromium (window 1280 x 1400): medians of "
        "repetitions, and the first time, at which the browser fetches the scripts too. Words and table are there "
        "before any picture; pictures in sight are drawn before those further down. What an update sends is "
        "compressed. No word on the console.\n\n" + _machine.table(turned)
    )
    _machine.write("serve", "Live pages", text, {"rows": rows})


if __name__ == "__main__":
    main()
