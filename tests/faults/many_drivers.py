"""Eight processes tell into one SQLite study; some are killed. No trial is lost, doubled or left RUNNING.

python tests/faults/many_drivers.py [--trials 2000] [--kill 4]
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing as mp
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import luthier as lu

SPACE = lu.Space(x=lu.Float(0, 1), y=lu.Float(1e-4, 1, log=True), z=lu.Choice("a", "b", "c"))


def work(url: str, trials: int, told: str) -> None:
    """One driver: runs until the study has all its trials."""

    def loss(run: lu.Run) -> float:
        return float((run.config["x"] - 0.3) ** 2 + run.config["y"])

    def note(study: lu.Study, event: object) -> None:
        if event.kind == "finished":  # type: ignore[attr-defined]
            with open(told, "a") as file:
                file.write(f"{event.trial}\n")  # type: ignore[attr-defined]

    study = lu.Study(SPACE, searcher="random", storage=url, name="many", seed=0, callbacks=[note], lease=5)
    study.run(loss, trials=trials)
    study.close()


def main(trials: int, processes: int, kill: int, seed: int = 0) -> dict[str, object]:
    """Run it, and say what was found."""
    rng = random.Random(seed)
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="luthier-fault-") as folder:
        url = f"sqlite:///{folder}/study.db"
        lu.Study(SPACE, searcher="random", storage=url, name="many", seed=0, lease=5).close()
        files = [f"{folder}/told-{i}.txt" for i in range(processes)]
        drivers = [context.Process(target=work, args=(url, trials, told)) for told in files]
        begin = time.monotonic()
        for driver in drivers:
            driver.start()
        victims = rng.sample(drivers, kill)
        for victim in victims:
            half_way = trials * rng.uniform(0.1, 0.6)
            while sum(Path(f).read_text().count("\n") for f in files if Path(f).exists()) < half_way:
                time.sleep(0.01)
                if victim.exitcode is not None:
                    break
            if victim.pid is not None:
                os.kill(victim.pid, signal.SIGKILL)
        for driver in drivers:
            driver.join(timeout=300)
        seconds = time.monotonic() - begin
        study = lu.Study.open(url, "many")
        ended = study.trials
        events = study.events()
        finished = [e.trial for e in events if e.kind == "finished"]
        told = [int(line) for f in files if Path(f).exists() for line in Path(f).read_text().split()]
        found: dict[str, object] = {
            "drivers": processes,
            "killed": sum(d.exitcode == -signal.SIGKILL for d in drivers),
            "other exits than 0": sum(d.exitcode not in (0, -signal.SIGKILL) for d in drivers),
            "trials": len(ended),
            "numbers in order": [t.number for t in ended] == list(range(trials)),
            "completed": sum(t.status is lu.Status.COMPLETED for t in ended),
            "running": sum(t.status is lu.Status.RUNNING for t in ended),
            "finished twice": len(finished) - len(set(finished)),
            "told and not in the log": len(set(told) - set(finished)),
            "gaps in the log": sum(b.seq - a.seq != 1 for a, b in itertools.pairwise(events)),
            "drivers left in the table": len(study._session.storage.drivers(study._session.study)),
            "replay differences": len(study.replay().differences),
            "seconds": round(seconds, 1),
        }
        study.close()
        return found


def good(found: dict[str, object], trials: int, kill: int) -> bool:
    zero = ("other exits than 0", "running", "finished twice", "told and not in the log", "gaps in the log",
            "replay differences")  # fmt: skip
    return (
        all(found[name] == 0 for name in zero)
        and found["trials"] == found["completed"] == trials
        and found["killed"] == kill
        and bool(found["numbers in order"])
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--kill", type=int, default=4)
    given = parser.parse_args()
    result = main(given.trials, given.processes, given.kill)
    print(json.dumps(result, indent=1))
    sys.exit(0 if good(result, given.trials, given.kill) else 1)
