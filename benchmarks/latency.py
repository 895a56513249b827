"""How long a proposal takes: ask + tell with 10, 100, 1000 and 10 000 finished trials, beside other tools, same run.

    python benchmarks/latency.py [--quick] [--tools cqr,optuna-tpe] [--no-write]
    python benchmarks/latency.py --quick --sizes 10000       # added to the figures that are there

The space has eight dimensions: four log floats, two integers, two categoricals of five (benchmarks/engine.py). Every
tool is given the same finished trials, then asked and told again and again; tools take turns, so that what disturbs
the machine disturbs all. One thread each; peers run in their own environments, and their pipe is not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Protocol

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
from _peers import PEERS, Peer, PeerFailed  # noqa: E402
from engine import loss, space  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.base.errors import LuthierError  # noqa: E402
from luthier.base.registry import load, names  # noqa: E402

SIZES = (10, 100, 1000, 10_000)
LONG = 60.0  # seconds that an ask may take; beyond, a size is not measured
GROWTH = 10  # with ten times the trials: what would then take longer than LONG is not tried with 10 000
WARM = 2  # the first two asks carry imports and first fits; they are not counted
BUDGET = 90.0  # seconds a tool may take for one size, once it has three measured asks
REFITS = (
    3.0  # a fast tool goes on for so many seconds, up to a tenth of its trials: refits count as often as they happen
)
IN_STUDY = ("cqr", "tpe", "bore", "gp")
#: The peer of the same kind, for the ratios.
KIND = {"cqr": "syne-tune-cqr", "bore": "syne-tune-bore", "tpe": "optuna-tpe", "gp": "optuna-gp", "rf": "smac-rf",
        "botorch": "syne-tune-bo"}  # fmt: skip


class Stepper(Protocol):
    """A tool with its finished trials."""

    def step(self) -> float:
        """Seconds of one ask and the tell of its result."""
        ...

    def close(self) -> None: ...


class Alone:
    """One of our searchers, without a study."""

    def __init__(self, name: str, configs: Sequence[Any]) -> None:
        problem = lu.Problem(space(), (lu.Objective("loss"),))
        self._searcher = load("searcher", name)(problem, seed=0)
        self._searcher.tell([lu.Observation(i, c, None, (loss(c),)) for i, c in enumerate(configs)])
        self._k = len(configs)

    def step(self) -> float:
        begin = time.perf_counter()
        [config] = self._searcher.ask(k=self._k)
        asked = time.perf_counter() - begin
        observation = lu.Observation(self._k, config, None, (loss(config),))
        begin = time.perf_counter()
        self._searcher.tell([observation])
        self._k += 1
        return asked + time.perf_counter() - begin

    def close(self) -> None:
        """Nothing is held."""


class InStudy:
    """One of our searchers in a study that keeps its log in memory."""

    def __init__(self, name: str, configs: Sequence[Any]) -> None:
        self._study = lu.Study(space(), searcher=name, seed=0)
        for config in configs:
            self._study.add(config, {"loss": loss(config)})

    def step(self) -> float:
        begin = time.perf_counter()
        [trial] = self._study.ask()
        asked = time.perf_counter() - begin
        value = loss(trial.config)
        begin = time.perf_counter()
        self._study.tell(trial.number, {"loss": value})
        return asked + time.perf_counter() - begin

    def close(self) -> None:
        self._study.close()


class Theirs:
    """Another tool; it is told that 100 more evaluations will follow."""

    def __init__(self, name: str, configs: Sequence[Any]) -> None:
        self._peer = Peer(name, patience=5 * LONG)
        try:
            self._peer.new(space(), 0, len(configs) + 100)
            self._peer.preload(configs, [loss(config) for config in configs])
        except PeerFailed:
            self.close()
            raise
        self._peer.patience = 2 * LONG

    def step(self) -> float:
        config, seconds = self._peer.ask()
        return seconds + self._peer.tell(loss(config))

    def close(self) -> None:
        self._peer.close()


def tools(wanted: Sequence[str]) -> dict[str, Callable[[Sequence[Any]], Stepper]]:
    """Name to what builds it."""
    found: dict[str, Callable[[Sequence[Any]], Stepper]] = {}
    ours = names("searcher")
    for name in ours:
        found[name] = lambda configs, name=name: Alone(name, configs)
    for name in IN_STUDY:
        if name in ours:
            found[f"{name}, in a study"] = lambda configs, name=name: InStudy(name, configs)
    for name in PEERS:
        found[name] = lambda configs, name=name: Theirs(name, configs)
    return {name: make for name, make in found.items() if not wanted or name.partition(",")[0] in wanted}


def measure(makers: dict[str, Callable[[Sequence[Any]], Stepper]], n: int, asks: int) -> dict[str, list[float] | str]:
    """Seconds of every counted ask + tell with `n` finished trials, or why there are none."""
    configs = space().sample(n, np.random.default_rng(1))
    found: dict[str, list[float] | str] = {}
    steppers: dict[str, Stepper] = {}
    for name, make in makers.items():
        try:
            steppers[name] = make(configs)
        except LuthierError as error:
            found[name] = f"{type(error).__name__}: {error}"[:200]
    taken: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(WARM + asks):
        for name, stepper in list(steppers.items()):
            if len(taken[name]) >= WARM + 3 and sum(taken[name]) > BUDGET:
                continue
            try:
                taken[name].append(stepper.step())
            except (LuthierError, ValueError) as error:  # ValueError: it has no more to propose
                found[name] = f"{type(error).__name__}: {error}"[:200]
                steppers.pop(name).close()
    for name, stepper in steppers.items():
        try:
            while sum(taken[name]) < REFITS and len(taken[name]) < n // 10:
                taken[name].append(stepper.step())
        except (LuthierError, ValueError):
            pass  # what it has no more of need not be measured
        stepper.close()
        found[name] = taken[name][WARM:]
    return found


def run(
    wanted: Sequence[str], sizes: Sequence[int], asks: int, there: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """A row for each tool: milliseconds for each size, beside what is there."""
    makers = tools(wanted)
    rows: dict[str, dict[str, Any]] = {row["tool"]: row for row in there}
    rows |= {name: {"tool": name, "notes": {}} for name in makers if name not in rows}
    for n in sizes:
        some = {name: make for name, make in makers.items() if _worth(rows[name], n)}
        for name in some:
            rows[name]["notes"].pop(str(n), None)
        for name, result in measure(some, n, asks).items():
            if isinstance(result, str):
                rows[name]["notes"][str(n)] = result
            else:
                rows[name][str(n)] = {
                    "mean": 1000 * float(np.mean(result)),
                    "p50": 1000 * float(np.median(result)),
                    "p95": 1000 * float(np.quantile(result, 0.95)),
                    "asks": len(result),
                }
            print(n, name, rows[name].get(str(n)) or result, flush=True)
    return list(rows.values())


def _worth(row: dict[str, Any], n: int) -> bool:
    """Whether a size is tried: not where a smaller one failed, and 10 000 not where it would take too long."""
    before = row.get(str(n // 10))
    if n == SIZES[0]:
        return True
    if before is None:
        return False
    if n < SIZES[-1] or before["mean"] * GROWTH / 1000 <= LONG:
        return True
    row["notes"][str(n)] = f"not tried, since more than {LONG:g} s an ask is to be expected"
    return False


def table(rows: Sequence[dict[str, Any]], sizes: Sequence[int]) -> str:
    """Mean, p50 and p95 of every tool."""

    rows = [row for row in rows if any(str(n) in row for n in sizes)]

    def shown(row: dict[str, Any], n: int) -> str:
        one = row.get(str(n))
        return " / ".join(_short(one[key]) for key in ("p50", "p95", "mean")) if one else "–"

    return _machine.table([{"tool": row["tool"], **{f"n = {n}": shown(row, n) for n in sizes}} for row in rows])


def ratios(rows: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """How many times as long the peer of the same kind takes, by the mean; above 1 luthier is faster."""
    by = {row["tool"]: row for row in rows}
    found = []
    for ours, peer in KIND.items():
        if ours in by and peer in by and any(str(n) in by[ours] for n in sizes):
            row: dict[str, Any] = {"luthier": ours, "peer": peer}
            for n in sizes:
                a, b = by[ours].get(str(n)), by[peer].get(str(n))
                row[f"n = {n}"] = _short(b["mean"] / a["mean"]) if a and b else "–"
            found.append(row)
    return found


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few asks, and not with 10 000 trials")
    parser.add_argument("--tools", default="", help="names, separated by commas; all of them without")
    parser.add_argument("--sizes", default="", help="finished trials, with commas: added to the figures that are there")
    parser.add_argument("--beside", default="", help="what else the machine did meanwhile, for the page")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    sizes, asks = (SIZES[:3], 8) if given.quick else (SIZES, 32)
    data: dict[str, Any] = {"asks": asks, "rows": [], "refits": True, "beside": given.beside}
    if given.sizes:
        data = json.loads((_machine.RESULTS / "latency.json").read_text())
        sizes = tuple(int(word) for word in given.sizes.split(","))
        data.setdefault("later", {}).update({str(n): f"{date.today().isoformat()}, {asks} asks" for n in sizes})
    rows = run([word for word in given.tools.split(",") if word], sizes, asks, data["rows"])
    shown = [n for n in SIZES if any(str(n) in row for row in rows)]
    where = _machine.machine(["luthier", "numpy", "scipy", "scikit-learn"])
    data |= {"machine": where, "rows": rows, "ratios": ratios(rows, shown)}
    data.setdefault("date", date.today().isoformat())
    text = words(data, shown, quick=given.quick)
    print(text)
    if not given.no_write:
        _machine.write("latency", "How long a proposal takes", text, data)


_FAST = f"; as many as fit into {REFITS:g} s, up to a tenth of n, for some refit only now and then"


def words(data: dict[str, Any], sizes: Sequence[int], *, quick: bool) -> str:
    """The page."""
    notes = [f"- {row['tool']}, n = {n}: {note}" for row in data["rows"] for n, note in row["notes"].items()]
    later = "".join(f"n = {n} in a run of its own ({what}{_FAST})." for n, what in data.get("later", {}).items())
    parts = [
        "Milliseconds of ask + tell, p50 / p95 / mean, with n finished random trials in a space of four log floats, "
        f"two integers and two categoricals of five; {data['asks']} asks each after {WARM} to warm up (fewer, but "
        f"three, where they take more than {math.floor(BUDGET)} s together{_FAST if data.get('refits') else ''}). One "
        "thread; tools take turns. Ours are the searcher alone unless a study is named. Peers are measured inside "
        f"their own process. {data.get('beside', '')} {later}".strip(),
        table(data["rows"], sizes),
    ]
    if data["ratios"]:
        parts += [
            "How many times as long the peer of the same kind takes, by the mean:",
            _machine.table(data["ratios"]),
        ]
    if notes:
        parts += ["Not measured:", "\n".join(notes)]
    parts += [
        _machine.table([{"machine": k, "": v} for k, v in data["machine"].items()]),
        f"`python benchmarks/latency.py{' --quick' * quick}`, {data['date']}.",
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
