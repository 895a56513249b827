"""How long searchers that learn from earlier tasks take to propose: 30 earlier tasks of 100 trials each.

    python benchmarks/transfer_latency.py [--quick] [--searchers task-gp,abrac] [--no-write]

Eight dimensions, four log floats, two integers and two categoricals of five (benchmarks/engine.py). Each study begins
without a trial and goes on to 60; another begins with 200. The first proposal carries what is fitted to the earlier
tasks, so it is shown apart. Searchers take turns, trial by trial, so that what disturbs the machine disturbs all; one
thread each. Every searcher whose class says "transfer" takes part, and `gp` without a past as the yardstick.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
from engine import loss, space  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.base.errors import LuthierError  # noqa: E402
from luthier.base.registry import load, names  # noqa: E402
from luthier.space.problem import PastTask  # noqa: E402

TASKS, TRIALS = 30, 100
ASKS, MANY, MORE = 60, 200, 40  # trials of the first study; trials that the second begins with, and its asks
LIMIT = 150.0  # ms at p95, the first left out: what is aimed at
YARDSTICK = "gp"


def drifting(config: Any, order: int) -> float:
    """The loss of a task: the valley of one number moves, and so does the scale."""
    return 10.0 ** (order % 4) * (loss(config) + 0.02 * order * math.log10(config["f0"]))


def past(tasks: int, trials: int) -> tuple[PastTask, ...]:
    """Earlier tasks, random trials each."""
    found = []
    for order in range(tasks):
        configs = space().sample(trials, np.random.default_rng([1, order]))
        told = tuple(lu.Observation(i, c, None, (drifting(c, order),)) for i, c in enumerate(configs))
        found.append(PastTask(f"task {order}", float(order), space(), (lu.Objective("loss"),), told))
    return tuple(found)


class Stepper:
    """A searcher in a study without a log."""

    def __init__(self, name: str, earlier: tuple[PastTask, ...], begun: int) -> None:
        self._problem = lu.Problem(space(), (lu.Objective("loss"),), past=() if name == YARDSTICK else earlier)
        begin = time.process_time()
        self._searcher = load("searcher", name)(self._problem, seed=0)
        self.built = time.process_time() - begin
        self._order, self._k = len(earlier), begun
        configs = space().sample(begun, np.random.default_rng(2))
        self._searcher.tell([self._told(i, config) for i, config in enumerate(configs)])

    def _told(self, trial: int, config: Any) -> lu.Observation:
        return lu.Observation(trial, config, None, (drifting(config, self._order),))

    def step(self) -> tuple[float, float]:
        """Seconds of one ask and the tell of its result: of the processor, and by the wall clock."""
        begin = _clocks()
        [config] = self._searcher.ask(k=self._k)
        asked = _clocks()
        observation = self._told(self._k, config)
        told = _clocks()
        self._searcher.tell([observation])
        self._k += 1
        end = _clocks()
        return asked[0] - begin[0] + end[0] - told[0], asked[1] - begin[1] + end[1] - told[1]


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def measure(wanted: Sequence[str], earlier: tuple[PastTask, ...], begun: int, asks: int) -> dict[str, Any]:
    """For each searcher its times, or why there are none."""
    steppers: dict[str, Stepper] = {}
    found: dict[str, Any] = {}
    for name in wanted:
        try:
            steppers[name] = Stepper(name, earlier, begun)
        except LuthierError as error:
            found[name] = f"{type(error).__name__}: {error}"[:200]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in steppers}
    for _ in range(asks):
        for name, stepper in steppers.items():
            taken[name].append(stepper.step())
    for name, times in taken.items():
        first, later, wall = 1000 * times[0][0], *(1000 * np.array(times[1:])).T
        found[name] = {
            "built": 1000 * steppers[name].built,
            "first": first,
            "p50": float(np.median(later)),
            "p95": float(np.quantile(later, 0.95)),
            "slowest": float(later.max()),
            "p95_wall": float(np.quantile(wall, 0.95)),
            "asks": len(later),
        }
        print(begun, name, {key: round(value, 1) for key, value in found[name].items()}, flush=True)
    return found


def table(found: dict[str, Any], begun: int) -> str:
    """A row for each searcher, in milliseconds."""
    rows = []
    for name, one in found.items():
        if isinstance(one, str):
            rows.append({"searcher": name, "first": one})
            continue
        inside = "yes" if one["p95"] <= LIMIT else "no"
        rows.append({
            "searcher": name, "made": f"{one['built']:.0f}", "first": f"{one['first']:.0f}", "p50": f"{one['p50']:.1f}",
            "p95": f"{one['p95']:.1f}", "slowest": f"{one['slowest']:.0f}", f"p95 <= {LIMIT:.0f}": inside,
            "p95, wall clock": f"{one['p95_wall']:.0f}",
        })  # fmt: skip
    return f"Beginning with {begun} trials:\n\n{_machine.table(rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the asks")
    parser.add_argument("--searchers", default="", help="names, separated by commas; all that transfer without")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    transfers = [name for name in names("searcher") if "transfer" in load("searcher", name).supports and name != "auto"]
    wanted = given.searchers.split(",") if given.searchers else [YARDSTICK, *transfers]
    part = 5 if given.quick else 1
    earlier = past(TASKS, TRIALS)
    found = {begun: measure(wanted, earlier, begun, max(asks // part, 3)) for begun, asks in ((0, ASKS), (MANY, MORE))}
    where = _machine.machine(["luthier", "numpy", "scipy", "scikit-learn"])
    text = "\n\n".join([
        f"Milliseconds of ask + tell with {TASKS} earlier tasks of {TRIALS} random trials each, in a space of four log "
        "floats, two integers and two categoricals of five; `gp` has no past. \"made\" is the constructor, \"first\" "
        "the first ask, with everything that is fitted to the earlier tasks; p50, p95 and the slowest are those of all "
        "later ones. One thread; searchers take turns. Times are those of the processor, since the machine was shared; "
        "the last column is what the clock on the wall said meanwhile.",
        *(table(some, begun) for begun, some in found.items()),
        _machine.table([{"machine": k, "": v} for k, v in where.items()]),
        f"`python benchmarks/transfer_latency.py{' --quick' * given.quick}`, {date.today().isoformat()}.",
    ])  # fmt: skip
    print(text)
    if not given.no_write:
        data = {"date": date.today().isoformat(), "machine": where, "limit_ms": LIMIT, "found": found}
        _machine.write("transfer_latency", "How long a proposal takes with thirty earlier tasks", text, data)


if __name__ == "__main__":
    main()
