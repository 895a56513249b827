"""kill -9 of the driver at random moments; afterwards nothing acknowledged may be missing.

    python tests/faults/kill_driver.py --rounds 20 [--seed 0]

Each round starts a 60-trial study with two worker processes from the command line, kills the driver at a random
moment of its life, and resumes it. The trial's program writes down every report that was acknowledged
(`run.report` returned), in a file of its own. Checked: every such report is in the log, no process of the study is
left after the kill, no trial stays RUNNING, and 60 trials have ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import luthier as lu
from luthier.base.errors import SchemaError, StudyNotFound

PROGRAM = """
import json, os, time
import luthier as lu

space = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64), act=lu.Choice("relu", "tanh"))

def train(run):
    for epoch in run.resources():
        time.sleep(0.004)
        loss = abs(run.config["lr"] - 0.1) + 1 / (run.config["width"] * epoch)
        run.report(loss=loss, epoch=epoch)
        with open(os.environ["ACKNOWLEDGED"], "a") as file:      # reached only when the report is on disk
            file.write(json.dumps([run.number, epoch, loss]) + "\\n")
"""
TRIALS = 60


def start(command: list[str], folder: Path, mark: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "ACKNOWLEDGED": str(folder / "acknowledged.jsonl"), "LUTHIER_FAULT_MARK": mark}
    log = (folder / "output.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "luthier", *command], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )


def tune(folder: Path, mark: str) -> subprocess.Popen[bytes]:
    return start(
        ["tune", "program.py:train", "--minimize", "loss", "--searcher", "random", "--scheduler", "asha",
         "--max", "epoch=9", "--trials", str(TRIALS), "--workers", "2", "--executor", "processes", "--out", "study"],
        folder, mark,
    )  # fmt: skip


def members(mark: str) -> list[int]:
    """Every living process that carries the mark in its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found.append(int(entry.name))
            except OSError:
                continue
    return found


def gone(mark: str, seconds: float = 10.0) -> list[int]:
    """Processes still there after a while."""
    deadline = time.monotonic() + seconds
    while (left := members(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def missing(folder: Path, study: lu.Study) -> list[str]:
    """Acknowledged reports that the log does not hold."""
    file = folder / "acknowledged.jsonl"
    if not file.exists():
        return []
    logged = {(e.trial, e.data["resource"], e.data["metrics"]["loss"]) for e in study.events() if e.kind == "reported"}
    lines = file.read_text().splitlines()
    return [line for line in lines if line.endswith("]") and tuple(json.loads(line)) not in logged]


def begun(folder: Path) -> bool:
    """Whether the study got as far as running."""
    if not (folder / "study" / "study.db").exists():
        return False
    try:
        study = lu.Study.open(folder / "study")
    except (StudyNotFound, SchemaError):  # killed between the file and its tables, or between them and the study
        return False
    with study:
        return any(event.kind == "begun" for event in study.events())


def round_(number: int, rng: random.Random, life: float) -> dict[str, object]:
    """One study, one kill, one resume; what was found."""
    with tempfile.TemporaryDirectory(prefix="luthier-fault-") as name:
        folder, mark = Path(name), uuid.uuid4().hex
        (folder / "program.py").write_text(PROGRAM)
        driver = tune(folder, mark)
        moment = rng.uniform(0.3, life)
        time.sleep(moment)
        alive = driver.poll() is None
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        orphans = gone(mark)
        if begun(folder):
            code = start(["resume", "study"], folder, mark).wait(timeout=120)
        else:  # killed before the first trial: there is nothing to resume, and the same command starts it
            code = tune(folder, mark).wait(timeout=120)
        study = lu.Study.open(folder / "study")
        trials = study.trials
        found: dict[str, object] = {
            "round": number,
            "killed after s": round(moment, 2),
            "killed alive": alive,
            "orphans": len(orphans) + len(gone(mark)),
            "missing reports": len(missing(folder, study)),
            "running": sum(t.status is lu.Status.RUNNING for t in trials),
            "ended": sum(t.status.ended for t in trials),
            "trials": len(trials),
            "resume exit": code,
            "replay differences": len(study.replay().differences),
        }
        if code != 0:
            found["output"] = (folder / "output.txt").read_text()[-2000:]
        study.close()
        return found


def good(found: dict[str, object]) -> bool:
    return (
        found["orphans"] == 0
        and found["missing reports"] == 0
        and found["running"] == 0
        and found["ended"] == TRIALS
        and found["trials"] == TRIALS
        and found["resume exit"] == 0
        and found["replay differences"] == 0
    )


def lifetime() -> float:
    """Seconds that the study takes when nobody kills it."""
    with tempfile.TemporaryDirectory(prefix="luthier-fault-") as name:
        folder = Path(name)
        (folder / "program.py").write_text(PROGRAM)
        begin = time.monotonic()
        code = tune(folder, uuid.uuid4().hex).wait(timeout=120)
        assert code == 0, (folder / "output.txt").read_text()
        return time.monotonic() - begin


def main(rounds: int, seed: int) -> list[dict[str, object]]:
    rng = random.Random(seed)
    life = lifetime()
    found: list[dict[str, object]] = []
    while len(found) < rounds:
        one = round_(len(found), rng, life)
        if one["killed alive"] or not good(one):  # a moment after the study's end proves nothing: draw another
            found.append(one)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    results = main(given.rounds, given.seed)
    for result in results:
        print(("ok   " if good(result) else "WRONG"), json.dumps(result))
    print(f"{sum(good(r) for r in results)} of {len(results)} rounds without a loss")
    sys.exit(0 if all(good(r) for r in results) else 1)
