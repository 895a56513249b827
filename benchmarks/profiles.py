"""What a user waits for before anything of theirs runs: the import, a command's start, a proposal, the report.

    python benchmarks/profiles.py [--before COMMIT] [--only starts,search,asks,report]

Processor seconds, the least of several: what else runs on the machine counts little. Each figure comes from programs
of their own, without any limit on threads but for proposals; with `--before` those of an earlier commit take turns with
those of the working tree, and their figures are kept for the next run. Writes docs/results/profiles.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import _machine

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import luthier as lu

space = lu.Space(x=lu.Float(0, 1), y=lu.Float(1e-5, 1e-1, log=True))

def train(run):
    return run.config["x"]
"""
SEARCH = """
import luthier as lu

space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)})

def train(run):
    return sum((run.config[f"x{i}"] - 0.3) ** 2 for i in range(6))
"""
STUDY = """
import luthier as lu
from engine import loss, space

with lu.Study(space(), searcher="random", seed=0, folder="study") as study:
    study.run(lambda run: loss(run.config), trials=1000)
"""
SEARCHERS = ("tpe", "cqr", "gp", "bore", "auto")
TRIALS, ASKS = 1000, 10
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
WARM = 2  # the default configuration, then the first real proposal with its imports and its fit
LUTHIER = [sys.executable, "-m", "luthier"]
TUNE = [*LUTHIER, "tune", "train.py:train", "--trials", "1", "--out", "{new}"]


@dataclass(frozen=True)
class Figure:
    """One row of the page.

    Args:
        what: In words.
        words: The program; `{new}` is a folder that is not there.
        repeats: Times that it runs.
        told: Whether it prints its figure; else it is the whole program's, less a bare interpreter's.
    """

    what: str
    words: list[str]
    repeats: int
    told: bool = False


def figures() -> dict[str, list[Figure]]:
    """All of them, by part."""
    me = [sys.executable, str(Path(__file__).resolve()), "--ask"]
    return {
        "starts": [
            Figure("`import luthier`", [sys.executable, "-c", "import luthier"], 15),
            Figure("`luthier --version`", [*LUTHIER, "--version"], 5),
            Figure("`luthier --help`", [*LUTHIER, "--help"], 5),
            Figure("`luthier tune --help`", [*LUTHIER, "tune", "--help"], 5),
            Figure("`luthier tune`, one trial in this process", [*TUNE, "--executor=inline"], 5),
            Figure("`luthier tune --searcher random`, the same", [*TUNE, "--executor=inline", "--searcher=random"], 5),
            Figure("`luthier tune`, one trial in a process of its own; both together", TUNE, 5),
        ],
        "search": [
            Figure(
                "`luthier tune`, 30 trials of `gp`, two workers; all three processes",
                [*LUTHIER, "tune", "search.py:train", "--searcher=gp", "--trials=30", "--workers=2", "--out", "{new}"],
                1,
            )
        ],
        "asks": [Figure(f"`{name}`, ask + tell at {TRIALS} trials", [*me, name], 3, told=True) for name in SEARCHERS],
        "report": [
            Figure(f"`luthier report` of {TRIALS} trials", [*LUTHIER, "report", "study"], 2),
            Figure(f"`luthier show` of {TRIALS} trials", [*LUTHIER, "show", "study"], 3),
        ],
    }  # fmt: skip


def processor(words: list[str], folder: Path, source: Path, *, told: bool = False) -> float:
    """Processor seconds of a program and all that it waits for, or what it prints."""
    leave = {"PYTHONDONTWRITEBYTECODE", *(() if told else THREADS)}
    own = {name: value for name, value in os.environ.items() if name not in leave}
    compiled = folder / "compiled"  # what Python compiles is kept from one run to the next
    path = os.pathsep.join([str(source), str(ROOT / "benchmarks")])
    process = subprocess.Popen(
        [word.format(new=f"new-{time.monotonic_ns()}") if word == "{new}" else word for word in words],
        cwd=folder,
        env={**own, "PYTHONPYCACHEPREFIX": str(compiled), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    return float(text.split()[-1]) if told else used.ru_utime + used.ru_stime


def measure(figure: Figure, folder: Path, sources: dict[str, Path]) -> dict[str, float]:
    """The least of several runs, less that of a bare interpreter; all sources take turns."""
    bare = [sys.executable, "-c", "pass"]
    least: dict[str, float] = dict.fromkeys(sources, float("inf"))
    nothing = float("inf")
    for number in range(figure.repeats + (figure.repeats > 1)):
        idle = 0.0 if figure.told else processor(bare, folder, ROOT)
        for name, source in sources.items():
            seconds = processor(figure.words, folder, source, told=figure.told)
            if number or figure.told or figure.repeats == 1:  # else the first run compiles
                least[name], nothing = min(least[name], seconds), min(nothing, idle)
    return {name: round(seconds - nothing, 4) for name, seconds in least.items()}


def ask(searcher: str) -> float:
    """Mean processor seconds of ask + tell at 1000 finished trials, fits included, after two to warm up."""
    _machine.one_thread()
    import numpy as np
    from engine import loss, space

    import luthier as lu

    study, taken = lu.Study(space(), searcher=searcher, seed=0), []
    for config in space().sample(TRIALS, np.random.default_rng(1)):
        study.add(config, {"loss": loss(config)})
    for _ in range(WARM + ASKS):
        begin = time.process_time()
        [trial] = study.ask()
        study.tell(trial.number, {"loss": loss(trial.config)})
        taken.append(time.process_time() - begin)
    return sum(taken[WARM:]) / ASKS


def page(rows: dict[str, dict[str, float]], commit: str) -> str:
    """One row for each figure."""
    made = []
    for what, seconds in rows.items():
        old, now = seconds.get("before"), seconds["now"]
        row = {"what": what, "before, ms": "-" if old is None else f"{1000 * old:.0f}", "now, ms": f"{1000 * now:.0f}"}
        made.append({**row, "now / before": "-" if not old else f"{now / old:.2f}"})
    words = (
        "Processor time, not the clock's: the least of several (of the search: one). Programs are started afresh, "
        "nothing limits their threads, and a bare interpreter's start is subtracted. Proposals: one thread, the mean "
        "of ten, fits included, in a space of 4 log floats, 2 integers and 2 categoricals of 5. The machine had other "
        "work too, which makes all figures larger: a short start's by a quarter, more or less, from one measurement to "
        "the next, and most of all those of libraries whose threads wait for each other."
    )
    return (
        f"{words} Before: commit {commit}.\n\n{_machine.table(made)}"
        if commit
        else f"{words}\n\n{_machine.table(made)}"
    )


def write(found: dict[str, Any]) -> None:
    """The page and its figures, in the order of `figures`."""
    order = {figure.what: found["seconds"].get(figure.what) for some in figures().values() for figure in some}
    found["seconds"] = {what: seconds for what, seconds in order.items() if seconds}
    where = _machine.machine(["luthier", "numpy", "scipy", "scikit-learn", "sqlalchemy", "typer"])
    text = page(found["seconds"], found["commit"])
    text += "\n\n" + _machine.table([{"machine": k, "": v} for k, v in where.items()])
    text += f"\n\n`python benchmarks/profiles.py`, {date.today().isoformat()}."
    _machine.write("profiles", "Profiles", text, {**found, "date": date.today().isoformat(), "machine": where})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", metavar="COMMIT", help="measure this commit too")
    parser.add_argument("--only", help="parts, with commas between them: starts, search, asks, report")
    parser.add_argument("--ask", metavar="SEARCHER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        print(ask(given.ask))
        return
    file = _machine.RESULTS / "profiles.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"commit": "", "seconds": {}}
    with tempfile.TemporaryDirectory() as name:
        folder, sources = Path(name), {"now": ROOT / "src"}
        if given.before:
            packed = subprocess.run(["git", "archive", given.before, "src"], cwd=ROOT, check=True, capture_output=True)
            subprocess.run(["tar", "-x", "-C", name], input=packed.stdout, check=True)
            sources = {"before": folder / "src", **sources}
            found["commit"] = given.before
        (folder / "train.py").write_text(PROGRAM)
        (folder / "search.py").write_text(SEARCH)
        processor([sys.executable, "-c", STUDY], folder, ROOT / "src")
        for part, some in figures().items():
            for figure in some if given.only is None or part in given.only.split(",") else ():
                rows: dict[str, dict[str, float]] = found["seconds"]
                rows[figure.what] = {**rows.get(figure.what, {}), **measure(figure, folder, sources)}
                print(figure.what, rows[figure.what], flush=True)
                write(found)


if __name__ == "__main__":
    main()
