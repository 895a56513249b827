"""How fast the bench room is: look-ups, surrogates, opening, the simulator, studies, isolation, reports, import.

    LUTHIER_DATA=... python benchmarks/bench.py [--quick] [--only import,lookup,...]

The aims are fixed beforehand; each row says what was measured, its aim, and what stands beside it. A part that is
measured again (`--only`) replaces its own rows. Figures go to docs/results/bench_speed.md and .json.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
import simulate  # noqa: E402
from _alone import WORKERS, Alone  # noqa: E402
from _made import CHEAP, STUDIED, made, plan_of  # noqa: E402
from _peers import HERE, python  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.errors import LuthierError, NumericsWarning  # noqa: E402
from luthier.base.records import Card, Objective  # noqa: E402
from luthier.bench import isolation, studies  # noqa: E402
from luthier.bench.studies.analysis import analyse  # noqa: E402
from luthier.bench.studies.writers import write as write_tables  # noqa: E402
from luthier.bench.tables import GridTable, MappedGrid, keep_grid  # noqa: E402

NAME = "bench_speed"
DRAWS = 10_000
Rows = list[dict[str, Any]]


def best(call: Callable[[], object], times: int, per: int = 1, *, wall: bool = False) -> tuple[float, float]:
    """Least and median seconds of a call, divided by `per`; of this thread, which others on the machine do not slow.

    Args:
        call: What is measured.
        times: How often.
        per: Parts of a call.
        wall: Seconds that pass, where files, other processes or starts count.
    """
    clock, taken = time.perf_counter if wall else time.thread_time, []
    for _ in range(times):
        begin = clock()
        call()
        taken.append((clock() - begin) / per)
    return min(taken), statistics.median(taken)


def row(what: str, found: tuple[float, float], unit: str, aim: float, beside: str = "", **more: Any) -> dict[str, Any]:
    """One line of the table; `found` are the best and the median figure, rates have units that end in "/s"."""
    good = found[0] >= aim if unit.endswith("/s") else found[0] <= aim
    shown = [f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}" for value in found]
    sign = "at least" if unit.endswith("/s") else "at most"
    return {
        "what": what, "best": f"{shown[0]} {unit}", "median": f"{shown[1]} {unit}", "aim": f"{sign} {aim:,g} {unit}",
        "": "met" if good else "missed", "beside": beside, **more,
    }  # fmt: skip


# look-ups ----------------------------------------------------------------------------------------------------


def lookup(quick: bool) -> Rows:
    """A single answer of each kind of table, its configuration judged; and many at once."""
    n, rows = 200 if quick else 2000, []
    kinds = {
        "a grid (fcnet)": "fcnet/protein_structure",
        "a table of ours (svm@small)": "svm/digits@small",
        "recorded repetitions (nasbench201)": "nasbench201/cifar10",
        "recorded rows (transfer_xgboost)": "transfer_xgboost/a6a",
    }
    scan = _scan()
    for kind, name in kinds.items():
        table = bench.load(name)
        known = getattr(table, "configs", None) or table.space.sample(n, np.random.default_rng(0))
        configs = [dict(config) for config in known[:n]]
        found = best(lambda c=configs, t=table: [t.evaluate(one) for one in c], 5, len(configs))
        beside = "" if rows else scan
        rows.append(row(f"look-up in {kind}", _micro(found), "µs", 20, beside))
    table = bench.load("fcnet/protein_structure")
    units = np.random.default_rng(0).random((500_000, 9))
    found = best(lambda: table.at(table.rows(units)), 3 if quick else 7, len(units))
    rows.append(row("look-up of many rows of a grid", (1 / found[0], 1 / found[1]), "configurations/s", 1e6))
    return rows


def _micro(found: tuple[float, float]) -> tuple[float, float]:
    return 1e6 * found[0], 1e6 * found[1]


def _scan() -> str:
    """HPOBench's way to look up, in a replica of ours: a mask over a data frame of pandas, one for each seed."""
    try:
        program = python("syne-tune")
    except LuthierError as error:
        return f"a mask over a data frame: pandas is not installed ({error})"
    done = subprocess.run([program, str(HERE / "frame_lookup.py")], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return f"a mask over a data frame of 750,000 rows, as HPOBench: {1e6 * told['seconds']:,.0f} µs ({told['pandas']})"


# surrogates --------------------------------------------------------------------------------------------------


def surrogate(quick: bool) -> Rows:
    """The networks of YAHPO, one configuration and ten thousand, beside onnxruntime called by hand."""
    n, many = (100, 1000) if quick else (1000, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)  # predictions are clipped to what can be
        return [
            one
            for name in ("yahpo/lcbench/3945", "yahpo/iaml_glmnet/40981", "yahpo/rbv2_xgboost/16")
            for one in _network(name, n, many)
        ]


def _network(name: str, n: int, many: int) -> Rows:
    found = bench.load(name)
    configs = found.space.sample(many, np.random.default_rng(0))
    cat, cont = found.encode(configs, [found.fidelity.high] * many)
    session = found.scenario.session()
    asked = [{"x_cat": cat[i : i + 1], "x_cont": cont[i : i + 1]} for i in range(n)]
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "one": (lambda: [found.evaluate(config) for config in configs[:n]], n),
        "one by hand": (lambda: [session.run(None, ask) for ask in asked], n),
        "many": (lambda: found.evaluate_batch(configs), many),
        "many by hand": (lambda: session.run(None, {"x_cat": cat, "x_cont": cont}), many),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in calls}
    for _ in range(5):  # in turn, so that all meet the same machine
        for kind, (call, per) in calls.items():
            taken[kind].append(best(call, 1, per)[0])
    short, hand = name.split("/")[1], {kind: 1e6 * min(times) for kind, times in taken.items()}
    return [
        row(f"surrogate {short}, one configuration", _pair(taken["one"]), "µs", 120,
            f"onnxruntime by hand, inputs ready: {hand['one by hand']:.0f} µs"),
        row(f"surrogate {short}, each of {many:,}", _pair(taken["many"]), "µs", 15,
            f"onnxruntime by hand, all at once: {hand['many by hand']:.1f} µs"),
    ]  # fmt: skip


def _pair(seconds: list[float]) -> tuple[float, float]:
    return 1e6 * min(seconds), 1e6 * statistics.median(seconds)


# opening -----------------------------------------------------------------------------------------------------


def opening(quick: bool) -> Rows:
    """A table of 50 MB, kept as a memory map; the first answer belongs to it."""
    sides = [30, 30, 29, 30, 4, 4] if not quick else [30, 30, 4, 4]
    lists = {f"h{i}": [float(j) for j in range(size)] for i, size in enumerate(sides)}
    cells = int(np.prod(sides))
    values = np.random.default_rng(0).random((cells, 1), dtype=np.float32)
    card = Card("made/large", "made by benchmarks/bench.py", "none", {}, description="Random numbers.")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "large"
        keep_grid(GridTable(values, lists, Objective("loss"), card), place)
        megabytes = place.with_suffix(".npy").stat().st_size / 1e6

        def open_it() -> None:
            table = MappedGrid(place)
            table.evaluate(table.space.default())

        found = best(open_it, 9, wall=True)
        checked = best(lambda: MappedGrid(place).verify(), 3, wall=True)
    return [
        row(f"opening a table of {megabytes:.0f} MB and its first answer", (1e3 * found[0], 1e3 * found[1]), "ms", 50,
            f"with its SHA-256 checked: {1e3 * checked[0]:.0f} ms"),
    ]  # fmt: skip


# the simulator -----------------------------------------------------------------------------------------------


def simulator(quick: bool) -> Rows:
    """Events a second without a study, and whole studies of a thousand trials."""
    table, configs = simulate.record(100 if quick else 1000)
    rows = []
    for scheduler in ("straight", "asha"):
        rates = []
        for _ in range(5):
            alone = Alone(table, scheduler, configs)
            taken = best(alone.run, 1)[0]
            rates.append(alone.events / taken)
        found = (max(rates), statistics.median(rates))
        rows.append(row(f"simulator and {scheduler}, {alone.events:,} events", found, "events/s", 50_000))
    for scheduler in ("straight", "asha"):
        runs = [simulate.study(table, scheduler, len(configs)) for _ in range(5)]
        seconds = [one["cpu"] for one in runs]
        what = f"a study: {scheduler}, {len(configs):,} trials, {runs[0]['reports']:,} reports, {WORKERS} workers"
        rows.append(
            row(what, (min(seconds), statistics.median(seconds)), "s", 2, "Syne Tune: docs/results/simulate.md")
        )
    return rows


# studies -----------------------------------------------------------------------------------------------------


def study(quick: bool) -> Rows:
    """Twenty tasks, six cheap searchers, thirty seeds, a hundred trials; two processes."""
    tasks, seeds = (STUDIED[::5], 2) if quick else (STUDIED, 30)
    plan = plan_of(tasks, CHEAP, seeds)
    with tempfile.TemporaryDirectory() as folder:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = studies.run(plan, folder, jobs=2)
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.made == len(tasks) * len(CHEAP) * seeds, done
    assert not done.failed, done
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    what = f"a study of {len(tasks)} tasks, {len(CHEAP)} searchers, {seeds} seeds, 100 trials"
    each = 1e6 * spent / (100 * done.made)
    beside = f"half of {spent:.0f} s of processors, {each:.0f} µs a trial; {wall / 60:.1f} min passed, {_load()}"
    return [row(what, (spent / 120, spent / 120), "min", 3, beside)]


def _load() -> str:
    return f"with {os.getloadavg()[0]:.0f} processes at work on {os.cpu_count()} processors"


def report(quick: bool) -> Rows:
    """The tables of a made study of 20 tasks, 10 methods and 30 seeds, all written."""
    methods, tasks, seeds, draws = (4, 7, 3, 100) if quick else (10, 20, 30, DRAWS)
    names = ("random", *(f"m{i}" for i in range(1, methods)))
    labels = tuple(f"f{i % 7}/t{i}" for i in range(tasks))
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), names, labels, seeds)
        begin, passed = time.process_time(), time.perf_counter()
        tables = analyse(folder, draws=draws)
        write_tables(tables, Path(folder) / "report")
        taken, passed = time.process_time() - begin, time.perf_counter() - passed
    what = f"tables of {tasks} tasks, {methods} methods, {seeds} seeds, {draws:,} bootstrap samples"
    return [
        row(
            what,
            (taken, taken),
            "s",
            15,
            f"{len(tables)} tables as CSV, LaTeX and JSON; {passed:.0f} s passed, {_load()}",
        )
    ]


# isolation and import ----------------------------------------------------------------------------------------


def isolated(quick: bool) -> Rows:
    """A benchmark of formulas, and one that imports scikit-learn and XGBoost, in processes of their own."""
    try:
        python = isolation.find("xgb").python
    except LuthierError as error:
        return [{"what": "isolation", "beside": str(error)}]
    rows, times = [], 2 if quick else 7
    served = isolation.load("synthetic/branin", environment="this")
    served.close()
    with isolation.IsolatedBenchmark(served._program, python) as one:
        for _ in range(times - 1):
            one.close()
            one.evaluate(one.space.default())
        config, starts = one.space.default(), list(one.starts)
        trips = [best(lambda: one.evaluate(config), 1, wall=True)[0] for _ in range(100 if quick else 2000)]
    what = "isolated, an environment of its own"
    rows.append(row(f"{what}: start of a formula", (min(starts), statistics.median(starts)), "s", 1.5))
    found = (1e3 * min(trips), 1e3 * statistics.median(trips))
    rows.append(row(f"{what}: question and answer", found, "ms", 1))
    with isolation.load("xgb/iris") as heavy:
        for _ in range(times - 1):
            heavy.close()
            heavy._live()
        starts = list(heavy.starts)
    rows.append(row(f"{what}: start of XGBoost", (min(starts), statistics.median(starts)), "s", 1.5))
    return rows


def imported(quick: bool) -> Rows:
    """`import luthier.bench` in a new process, beside the same process without it."""

    def seconds(code: str) -> list[float]:
        return [
            best(lambda: subprocess.run([sys.executable, "-c", code], check=True), 1, wall=True)[0] for _ in range(7)
        ]

    empty, full = seconds("pass"), seconds("import luthier.bench")
    used = seconds("import luthier.bench; luthier.bench.load('synthetic/branin')")
    beside = f"an empty Python {min(empty):.2f} s; with a benchmark loaded {min(used):.2f} s"
    return [
        row("import luthier.bench, Python's start included", (min(full), statistics.median(full)), "s", 0.3, beside)
    ]


PARTS: dict[str, Callable[[bool], Rows]] = {
    "lookup": lookup,
    "surrogate": surrogate,
    "opening": opening,
    "simulator": simulator,
    "study": study,
    "isolated": isolated,
    "report": report,
    "import": imported,
}


def write(parts: dict[str, Any]) -> Path:
    """docs/results/bench_speed.*"""
    about = _machine.machine(["luthier", "numpy", "onnxruntime", "scikit-learn"])
    rows = [one for name in PARTS if name in parts for one in parts[name]["rows"]]
    judged = [one for one in rows if one.get("")]
    text = [
        f"{sum(one[''] == 'met' for one in judged)} of {len(judged)} aims are met. Best and median of several rounds "
        "on one thread. What computes is measured in seconds of its own processor, since the machine was shared; "
        "opening, isolation and imports in time that passed. The study's two processes count half of their seconds "
        "together: what they take where they have two processors to themselves.",
        _machine.table([{k: one.get(k, "") for k in ("what", "best", "median", "aim", "", "beside")} for one in rows]),
        _WORDS,
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        f"`python benchmarks/bench.py`, {', '.join(sorted({one['date'] for one in parts.values()}))}.",
    ]
    return _machine.write(NAME, "Speed of the bench room", "\n\n".join(text), {"machine": about, "parts": parts})


_WORDS = """
- A look-up includes judging the configuration: a name or value that is not of the table is refused.
- "onnxruntime by hand" gets its inputs as ready arrays and gives an array: no judging, no encoding, no clipping. A
  batch of ours goes through the network 256 rows at a time, by hand it goes at once: for the two larger networks the
  smaller pieces pay for all that is done besides.
- Of one configuration, 27 µs are ours when the network is replaced by a constant; beside the network the same steps
  take about 60 µs, and the network some 20 µs longer than by hand. We take this for the caches' doing (weights of 0.9
  to 3.3 MB, 2 MB for a processor). For lcbench and rbv2_xgboost onnxruntime alone takes longer than the aim here.
- The start of XGBoost was measured beside about ten busy processes; importing xgboost, and scikit-learn with it, takes
  1.1 to 1.2 s of a processor by itself.
- An event of the simulator is a start, a report or an end, each of which the scheduler hears; a study writes them down
  besides, asks its searcher and judges every report.
- The start of an isolated benchmark lasts until it is loaded and has described itself.
""".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, nothing is written")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    given = parser.parse_args()
    kept = _machine.RESULTS / f"{NAME}.json"
    parts = json.loads(kept.read_text())["parts"] if kept.exists() else {}
    for name in given.only.split(","):
        gc.collect()
        rows = PARTS[name](given.quick)
        print(_machine.table(rows), flush=True)
        parts[name] = {"date": date.today().isoformat(), "rows": rows}
        if not given.quick:
            write(parts)


if __name__ == "__main__":
    main()
