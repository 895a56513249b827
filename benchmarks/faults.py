"""The fault matrix: real studies under real faults on SQLite, PostgreSQL and Ray, and what they cost.

    python benchmarks/faults.py [--quick] [--seed 0]

Kills, freezes, cut connections, crashes of the server, dead nodes, a full disk, a slow one and a clock that jumps; see
tests/faults/matrix.py for how each is made and what is counted. Needs PostgreSQL's server, ray, and the right to mount
a small file system; rows that cannot be made say so. Figures go to docs/results/faults.md and .json.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))

import matrix  # noqa: E402

from luthier.testing import postgres  # noqa: E402

#: Faults of one study: several studies make a row, so that they meet a study at its start, middle and end.
EACH = 5
TEXT = """
Each row is several real studies (ASHA up to epoch 9, a checkpoint at every epoch, two workers a driver; two drivers on
PostgreSQL, each as if on a machine of its own, so that only its lease of 2 s says that it is dead). Faults come at
drawn moments; a driver that died is started again. Counted afterwards: reports that were acknowledged to the program
and are not in the log, trials that did not end, processes that outlived their driver by ten seconds, trial numbers
asked twice or missing, gaps in the order of the log, decisions that `replay` finds different. "Runs again": runs that
were lost with their worker, node or driver and went on from their newest checkpoint.

**{faults} faults, {kills} of them kill -9 of a process or a node: {acknowledged} reports acknowledged, {lost} lost,
{stuck} trials stuck, {orphans} orphans.**
"""


def plans(quick: bool, rng: random.Random) -> Iterator[tuple[str, str, int, int, Callable[[int], matrix.Round]]]:
    """Store, words, how many faults, trials, and a function that makes a round with so many."""
    share = 0.2 if quick else 1.0

    def count(n: int) -> int:
        return max(1, round(n * share))

    for words, fault, n in (
        ("kill -9 of the driver", matrix.kill_driver, 20),
        ("kill -9 of a worker", matrix.kill_worker, 20),
        ("kill -9 of the whole tree", matrix.kill_tree, 15),
        ("SIGSTOP of the driver, 0.5 s", matrix.stop_driver, 5),
        ("SIGSTOP of a worker, 0.5 s", matrix.stop_worker, 5),
    ):
        yield "SQLite", words, count(n), 60, _sqlite(words, fault, rng)
    yield "SQLite", "clock jumps, 8 a second", 1, 60, _sqlite("clock", None, rng, clock=True)
    yield "SQLite", "slow disk: 0.1 s a commit, 2 drivers", 1, 20, _sqlite("slow", None, rng, slow=0.1, drivers=2)
    yield "SQLite", "disk full", 1, 60, lambda n: matrix.disk_full_round(rng, trials=30)
    if postgres.missing() is None:
        with postgres.Server() as server:
            for words, fault, n in (
                ("kill -9 of a driver", matrix.kill_driver, 20),
                ("kill -9 of a worker", matrix.kill_worker, 15),
                ("kill -9 of a whole tree", matrix.kill_tree, 15),
                ("SIGSTOP of a driver, twice its lease", matrix.stop_driver, 5),
                ("all connections cut", matrix.cutting(server), 15),
                ("crash or restart of the server", matrix.crashing(server), 10),
            ):
                yield "PostgreSQL", words, count(n), 60, _postgres(server, words, fault, rng)
    if importlib.util.find_spec("ray"):
        for words, fault, n in (
            ("Ray: kill -9 of a worker", matrix.kill_worker, 15),
            ("Ray: kill -9 of the process for messages", matrix.kill_mailbox, 4),
            ("Ray: kill -9 of the driver", matrix.kill_driver, 5),
        ):
            yield "SQLite", words, count(n), 40, _ray(words, fault, rng)
        yield "SQLite", "Ray: death of a node", count(4), 40, _ray("node", None, rng)


def _sqlite(words: str, fault: Any, rng: random.Random, **more: Any) -> Callable[[int], matrix.Round]:
    return lambda n: matrix.sqlite_round(words, fault, n, rng, trials=60 if fault or "clock" in more else 20, **more)


def _postgres(server: postgres.Server, words: str, fault: Any, rng: random.Random) -> Callable[[int], matrix.Round]:
    return lambda n: matrix.postgres_round(server, words, fault, n, rng, trials=60)


def _ray(words: str, fault: Any, rng: random.Random) -> Callable[[int], matrix.Round]:
    return lambda n: matrix.ray_round(words, fault, n, rng, trials=40, nodes=0 if fault else n)


def measure(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Rows of the table."""
    rng, rows = random.Random(seed), []
    for store, words, wanted, _, play in plans(quick, rng):
        rounds: list[matrix.Round] = []
        while not rounds or (sum(r.faults for r in rounds) < wanted and len(rounds) < 3 * wanted):
            begin = time.monotonic()
            rounds.append(play(min(EACH, wanted - sum(r.faults for r in rounds))))
            print(f"{rounds[-1].good!s:5} {store} {words}: {rounds[-1]} {time.monotonic() - begin:.1f} s", flush=True)
            if not any(r.faults for r in rounds):
                break  # a condition, not an event: present all the time
        rows.append(summary(store, words, rounds))
    return rows


def summary(store: str, words: str, rounds: list[matrix.Round]) -> dict[str, Any]:
    def total(name: str) -> int:
        return sum(getattr(r, name) for r in rounds)

    return {
        "store": store,
        "fault": words,
        "studies": len(rounds),
        "faults": total("faults") or "always on",
        "reports acknowledged": total("acknowledged"),
        "lost": total("lost"),
        "stuck": total("stuck"),
        "orphans": total("orphans"),
        "doubled": total("doubled"),
        "gaps": total("gaps"),
        "replay differs": total("different"),
        "runs again": total("reruns"),
        "trials": total("trials"),
        "wrong": sum(bool(r.wrong) for r in rounds),
    }


def main(quick: bool, seed: int) -> None:
    rows = measure(quick, seed)
    counted = [row for row in rows if isinstance(row["faults"], int)]
    killed = ("kill -9", "death")
    sums = {name: sum(row[name] for row in rows) for name in ("lost", "stuck", "orphans")}
    sums |= {
        "faults": sum(row["faults"] for row in counted),
        "kills": sum(row["faults"] for row in counted if any(word in row["fault"] for word in killed)),
        "acknowledged": sum(row["reports acknowledged"] for row in rows),
    }
    info = _machine.machine(("luthier", "sqlalchemy", "psycopg", "ray"))
    missing = [name for name, there in (("PostgreSQL", postgres.missing() is None),
                                        ("ray", importlib.util.find_spec("ray") is not None)) if not there]  # fmt: skip
    text = TEXT.format(**sums) + "\n" + _machine.table(rows)
    if missing:
        text += f"\n\nNot installed, so not measured: {', '.join(missing)}."
    text += "\n\n" + _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\n`python benchmarks/faults.py{' --quick' if quick else ''} --seed {seed}`, {date.today()}."
    if not quick:
        _machine.write("faults", "What faults cost", text, {"sums": sums, "rows": rows, "machine": info, "seed": seed})
    print(text)
    bad = [row for row in rows if any(row[n] for n in ("lost", "stuck", "orphans", "doubled", "gaps", "wrong"))]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a fifth of the faults, nothing written")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.quick, given.seed)
