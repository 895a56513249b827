"""kill -9 of the driver of a synchronous population; resumed, it ends as one that nobody killed.

    python tests/faults/kill_pbt.py [--kills 3] [--seed 0]

A population of six with generations of two epochs runs on two worker processes. The driver is killed when a drawn
number of reports has been acknowledged, and started again, as often as asked. Compared with a study that ran through:
every trial's number, parent, configuration, result and newest checkpoint's content. (`retries` is high: a trial that is
lost three times is given up by default, and a copy takes its place.)
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from kill_driver import gone

import luthier as lu

DRIVER = """
import os, time
import numpy as np
import luthier as lu

space = lu.Space(lr=lu.Float(1e-3, 1.9, log=True), momentum=lu.Float(0.0, 0.9), kind=lu.Choice("plain", "nesterov"))
curves = np.array([1.0, 0.1, 0.01])

def train(run):
    w, v = np.full(3, 3.0), np.zeros(3)
    if run.checkpoint:
        w, v = np.load(run.checkpoint / "state.npy")
    for epoch in run.resources():
        noise = np.random.default_rng([run.seed, epoch]).normal(size=3)
        at = w + run.config["momentum"] * v if run.config["kind"] == "nesterov" else w
        v = run.config["momentum"] * v - run.config["lr"] * (curves * at + 0.01 * noise)
        w = w + v
        with run.save() as folder:
            np.save(folder / "state.npy", np.stack([w, v]))
        run.report(loss=float((curves * w * w).sum()), epoch=epoch)
        with open("acknowledged", "a") as file:
            file.write("x")
        time.sleep(0.005)

if __name__ == "__main__":
    scheduler = {"name": "pbt", "population": 6, "every": 2, "synchronous": True}
    with lu.Study(space, scheduler=scheduler, fidelity=("epoch", 1, 12), folder="study", seed=3,
                  retries=20) as study:
        study.run(train, workers=2)
"""


def start(folder: Path, mark: str) -> subprocess.Popen[bytes]:
    """A driver in its own session."""
    env = {**os.environ, "LUTHIER_FAULT_MARK": mark}
    log = (folder / "output.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, "driver.py"], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )


def acknowledged(folder: Path) -> int:
    """Reports that were on disk when the program went on."""
    file = folder / "acknowledged"
    return file.stat().st_size if file.exists() else 0


def ends(folder: Path) -> dict[int, Any]:
    """What became of every trial."""
    with lu.Study.open(folder / "study") as study:
        assert study.replay().differences == []
        assert not any(t.status is lu.Status.RUNNING for t in study.trials)
        found = {}
        for t in study.trials:
            name = t.checkpoint or ""
            state = np.load(folder / "study" / "trials" / f"{t.number:05d}" / "checkpoints" / name / "state.npy")
            found[t.number] = (t.parent, t.config, t.status.value, t.resource, t.metrics, state.tolist())
        return found


def through(folder: Path) -> dict[int, Any]:
    """A study that nobody kills."""
    (folder / "driver.py").write_text(DRIVER)
    code = start(folder, uuid.uuid4().hex).wait(timeout=120)
    assert code == 0, (folder / "output.txt").read_text()
    return ends(folder)


def killed(folder: Path, moments: list[int]) -> tuple[dict[int, Any], int]:
    """A study whose driver is killed when so many reports are acknowledged; and the kills that met a living one."""
    (folder / "driver.py").write_text(DRIVER)
    met = 0
    for moment in moments:
        mark = uuid.uuid4().hex
        driver = start(folder, mark)
        deadline = time.monotonic() + 60
        while acknowledged(folder) < moment and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        met += driver.poll() is None
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert gone(mark) == [], "processes of the study outlived their driver"
    code = start(folder, uuid.uuid4().hex).wait(timeout=120)
    assert code == 0, (folder / "output.txt").read_text()
    return ends(folder), met


def main(kills: int, seed: int) -> dict[str, Any]:
    """Both, compared."""
    with tempfile.TemporaryDirectory(prefix="luthier-fault-") as one, tempfile.TemporaryDirectory() as other:
        plain = through(Path(one))
        total = acknowledged(Path(one))
        moments = sorted(random.Random(seed).sample(range(5, total - 5), kills))
        broken, met = killed(Path(other), moments)
        return {
            "moments": moments,
            "reports": total,
            "killed alive": met,
            "trials": len(plain),
            "clones": sum(row[0] is not None for row in plain.values()),
            "grown": sum(row[2] == "completed" for row in plain.values()),
            "different": [n for n in plain.keys() | broken.keys() if plain.get(n) != broken.get(n)],
        }


def good(found: dict[str, Any], kills: int) -> bool:
    """Whether it is as it should be."""
    return found["killed alive"] == kills and found["clones"] > 0 and found["grown"] == 6 and not found["different"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    result = main(given.kills, given.seed)
    print("ok   " if good(result, given.kills) else "WRONG", result)
    sys.exit(0 if good(result, given.kills) else 1)
