"""Take the documentation's pictures of the live pages in Chromium.

    python tools/pictures.py

Writes docs/img/serve-list.webp, serve-study.webp, importance.webp and contours.webp, from a study that is made for it.
Chromium has to be installed, and luthier[serve].
"""

from __future__ import annotations

import base64
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import luthier as lu
from luthier.serve import Server

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "img"
sys.path.insert(0, str(ROOT / "tests" / "report"))
from report_browser import Browser, find_chromium  # noqa: E402


def space() -> lu.Space:
    return lu.Space(
        learning_rate=lu.Float(1e-5, 1e-1, log=True, default=1e-3),
        weight_decay=lu.Float(1e-6, 1e-2, log=True),
        width=lu.Int(16, 512, log=True),
        layers=lu.Int(1, 8),
        activation=lu.Choice("relu", "gelu", "tanh"),
        optimiser=lu.Choice("sgd", "adam"),
        momentum=lu.Float(0, 0.99, when=("optimiser", "sgd")),
    )


def train(run: Any) -> None:
    c = run.config
    floor = (
        0.12 * (math.log10(c["learning_rate"]) + 2.6) ** 2 + 0.5 / math.log(c["width"]) + 0.02 * abs(c["layers"] - 4)
    )
    floor += 0.08 * (c.get("momentum", 0.6) - 0.9) ** 2 + 0.03 * (c["activation"] == "tanh")
    for epoch in run.resources():
        noise = 0.01 * math.sin(run.seed % 97 + epoch)
        run.report(loss=floor + math.exp(-epoch / 6) * (0.6 + c["weight_decay"]) + noise, epoch=epoch)


def shot(browser: Browser, name: str, selector: str, *, margin: int = 14) -> None:
    """An element of the page as a small WebP."""
    x, y, width, height = browser.run(
        f"(e => {{ const b = e.getBoundingClientRect(); return [b.x, b.y + scrollY, b.width, b.height]; }})"
        f"(document.querySelector({selector!r}))"
    )
    clip = {"x": max(0, x - margin), "y": y, "width": width + 2 * margin, "height": height + margin, "scale": 1}
    answer = browser._ask(
        "Page.captureScreenshot", format="webp", quality=80, clip={**clip}, captureBeyondViewport=True
    )
    (IMAGES / f"{name}.webp").write_bytes(base64.b64decode(answer["data"]))
    print(f"{name}.webp: {(IMAGES / f'{name}.webp').stat().st_size / 1000:.0f} kB")


def main() -> None:
    program = find_chromium()
    assert program is not None, "Chromium has to be installed"
    with tempfile.TemporaryDirectory() as name, Browser(program, size=(1180, 900)) as browser:
        os.chdir(name)  # so that the page shows no path of this machine
        runs = Path("runs")
        for title, trials in (("resnet-augment", 30), ("resnet-small", 90), ("resnet-baseline", 250)):
            study = lu.Study(
                space(), searcher="random", scheduler="asha", fidelity=("epoch", 1, 27), folder=runs / title, seed=1
            )
            study.run(train, trials=trials)
            study.close()
        with Server(str(runs), port=0) as server:
            browser.open(server.url, drawn=False)
            browser.wait("!document.body.textContent.includes('…')")
            shot(browser, "serve-list", "body")
            key = list(server._shelf.entries())[-1]
            browser.open(f"{server.url}studies/{key}")
            browser.wait(
                "!!document.querySelector('#contours svg.main-svg') && !!document.querySelector('#importance')"
            )
            browser.wait("document.querySelectorAll('#contours .main-svg').length >= 3")
            shot(browser, "importance", "#importance")
            shot(browser, "contours", "#contours")
            browser.run("scrollTo(0, 0)")
            clip = {"x": 0, "y": 0, "width": 1180, "height": 1240, "scale": 1}
            answer = browser._ask(
                "Page.captureScreenshot", format="webp", quality=80, clip=clip, captureBeyondViewport=True
            )
            (IMAGES / "serve-study.webp").write_bytes(base64.b64decode(answer["data"]))
            browser.open("about:blank", drawn=False)


if __name__ == "__main__":
    main()
