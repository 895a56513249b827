"""What became slower, what faster: the benchmarks of speed at an earlier commit and now, in turns, in one go.

    LUTHIER_DATA=... python benchmarks/rerun.py [--before f012ab2] [--rounds 2] [--only engine,simulate,bench,transfer]

Each commit runs its own scripts on its own source, in a folder of its own, with the packages of this Python. A figure
is the best of the rounds. Peers of the scripts run too, so that their figures say how far the machine itself changed
between the two. Writes docs/results/rerun.md and .json; figures of parts that were left out stay.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import _machine

ROOT = Path(__file__).resolve().parents[1]
NOISE = 1.25  # two halves of one measurement may differ so much on a shared machine
Figures = dict[str, tuple[float, bool]]  # what -> (value, whether more is better)
UNITS = {"µs": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "MB": 1.0}


@dataclass(frozen=True)
class Part:
    """A script and what is read from its figures.

    Args:
        command: The script and its arguments.
        result: The name of its figures in docs/results.
        figures: Reads them.
    """

    command: tuple[str, ...]
    result: str
    figures: Callable[[Any], Iterator[tuple[str, float, bool]]]


def engine(found: Any) -> Iterator[tuple[str, float, bool]]:
    for row in found["throughput"]:
        yield f"{row['what']}: no-op trials/s", row["no-op trials/s"], True
    for row in found["latency"]:
        if row["searcher"].startswith("luthier"):
            yield f"{row['searcher']}: ask + tell at 1000 trials, ms", row["1000 trials, ms"], False
    for name in ("launch of a no-op trial, 2 warm workers, ms", "open a 10000-trial study and ask, s"):
        yield name, found["other"][name], False


def simulated(found: Any) -> Iterator[tuple[str, float, bool]]:
    for row in found["rows"]:
        yield (
            f"{row['tool']} simulates {row['scheduler']}: reports a processor second",
            row["reports/processor s"],
            True,
        )


def bench(found: Any) -> Iterator[tuple[str, float, bool]]:
    for part in ("surrogate", "lookup", "opening", "simulator"):
        for row in found["parts"].get(part, {"rows": []})["rows"]:
            number, unit = re.fullmatch(r"([\d.,e+-]+) (.+)", row["best"]).groups()  # type: ignore[union-attr]
            value = float(number.replace(",", ""))
            yield (
                (f"{row['what']}: {unit}", value, True)
                if "/s" in unit
                else (f"{row['what']}: ms", value * UNITS[unit], False)
            )


def transfer(found: Any) -> Iterator[tuple[str, float, bool]]:
    for past, methods in found["found"].items():
        for method, row in methods.items():
            yield f"{method} with {past} finished trials: median ask + tell, ms", row["p50"], False


PARTS = {
    "engine": Part(("engine.py",), "engine", engine),
    "simulate": Part(("simulate.py", "--repeats", "3"), "simulate", simulated),
    "bench": Part(("bench.py", "--only", "surrogate,lookup,opening,simulator"), "bench_speed", bench),
    "transfer": Part(("transfer_latency.py", "--quick"), "transfer_latency", transfer),
}


def run(part: Part, folder: Path) -> Figures:
    """Run a script in a folder and read what it wrote."""
    script, *rest = part.command
    written = folder / "docs" / "results" / f"{part.result}.json"
    before = written.stat().st_mtime_ns if written.exists() else 0
    subprocess.run(
        [sys.executable, str(folder / "benchmarks" / script), *rest], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(folder / "src")},
    )  # fmt: skip
    if not written.exists() or written.stat().st_mtime_ns == before:
        raise SystemExit(f"{script} wrote no figures in {folder}.")
    return {what: (value, more) for what, value, more in part.figures(json.loads(written.read_text()))}


def better(one: Figures, other: Figures) -> Figures:
    """The best of two rounds."""
    return {
        what: (max if more else min)((value, more), other.get(what, (value, more)))
        for what, (value, more) in one.items()
    }


def unpacked(commit: str, folder: Path) -> Path:
    """A commit's files."""
    packed = subprocess.run(
        ["git", "archive", commit, "src", "benchmarks", "docs/results"], check=True, capture_output=True, cwd=ROOT
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def measured(part: Part, folders: dict[str, Path], rounds: int) -> list[dict[str, Any]]:
    """Rows of a part: the commits take turns."""
    found: dict[str, Figures] = {}
    for number in range(rounds):
        for name in sorted(folders, reverse=bool(number % 2)):
            told = run(part, folders[name])
            found[name] = better(told, found.get(name, told))
    rows = []
    for what, (now, more) in found["now"].items():
        if what in found["before"] and found["before"][what][0] > 0 and now > 0:
            old = found["before"][what][0]
            rows.append({"what": what, "before": old, "now": now, "times as fast": now / old if more else old / now})
    return rows


def page(parts: dict[str, Any], commit: str, rounds: int) -> Path:
    """Write it."""
    rows = [row for part in PARTS if part in parts for row in parts[part]]
    slow = [row["what"] for row in rows if row["times as fast"] < 1 / NOISE]
    fast = [row["what"] for row in rows if row["times as fast"] > NOISE]
    named = f": {'; '.join(slow)}" if slow else ""
    said = (
        f"{len(rows)} figures at commit `{commit}` and now, the best of {rounds} rounds in turns; above 1 is faster "
        f"now. Within {NOISE} of each other, as two halves of one measurement may be on a shared machine: "
        f"{len(rows) - len(slow) - len(fast)}. Faster: {len(fast)}. Slower: {len(slow)}{named}. "
        "Rows of other tools show how far the machine itself changed between the two."
    )
    lines = [
        {**row, **{k: f"{row[k]:,.4g}" for k in ("before", "now")}, "times as fast": f"{row['times as fast']:.2f}"}
        for row in rows
    ]
    machine = _machine.machine(("luthier", "numpy", "scipy", "scikit-learn", "sqlalchemy"))
    made = "\n".join(f"{name}: {value}." for name, value in machine.items())
    text = f"{said}\n\n{_machine.table(lines)}\n\n{made}\n\n`python benchmarks/rerun.py`, {date.today().isoformat()}."
    data = {"date": date.today().isoformat(), "before": commit, "rounds": rounds, "machine": machine, "parts": parts}
    return _machine.write("rerun", "Benchmarks before and after", text, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", default="f012ab2", metavar="COMMIT", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    given = parser.parse_args()
    kept = _machine.RESULTS / "rerun.json"
    old = json.loads(kept.read_text()) if kept.exists() else {}
    parts = old["parts"] if old.get("before") == given.before else {}
    with tempfile.TemporaryDirectory() as name:
        folders = {
            which: unpacked(commit, Path(name) / which) for which, commit in (("before", given.before), ("now", "HEAD"))
        }
        for part in given.only.split(","):
            parts[part] = measured(PARTS[part], folders, given.rounds)
            print(page(parts, given.before, given.rounds), part, flush=True)


if __name__ == "__main__":
    main()
