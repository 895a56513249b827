"""Eight processes write into one SQLite study, and half of them are killed: what is lost, doubled or stuck.

    python benchmarks/writers.py [--trials 2000] [--kill 4]

The program is that of tests/faults/many_drivers.py; a process that met a locked database would end with an error.
Figures go to docs/results/writers.md and .json.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))
import many_drivers  # noqa: E402


def write(found: dict[str, Any], trials: int) -> Path:
    """The page."""
    info = _machine.machine(("luthier", "sqlalchemy"))
    sums = {
        "trials": found["trials"],
        "kills": found["killed"],
        "lock errors": found["other exits than 0"],
        "stuck": found["running"],
        "lost": trials - found["completed"] + found["told and not in the log"],
    }
    text = (
        f"{found['drivers']} processes run one study of {trials} no-op trials in one SQLite file, each finished trial "
        f"on disk before the next; {found['killed']} of them are ended by kill -9 at drawn moments, and the others "
        "take over what they held.\n\n"
    )
    text += _machine.table([{"what": name, "found": value} for name, value in found.items()])
    text += "\n\n" + _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\n`python benchmarks/writers.py`, {date.today()}."
    data = {"writers": found["drivers"], "sums": sums, "found": found, "machine": info}
    return _machine.write("writers", "Eight writers on one SQLite study", text, data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--kill", type=int, default=4)
    given = parser.parse_args()
    result = many_drivers.main(given.trials, given.processes, given.kill)
    print(write(result, given.trials))
    sys.exit(0 if many_drivers.good(result, given.trials, given.kill) else 1)
