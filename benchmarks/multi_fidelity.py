"""How soon does early stopping find good networks? Ours beside other tools, on lcbench in virtual time.

    LUTHIER_DATA=... python benchmarks/multi_fidelity.py run --tools asha,cqr+asha --seeds 0:30
    python benchmarks/multi_fidelity.py report

Every tool has four workers and the time in which they could train some fifty random networks to the end. `run` adds
the cells that are missing to docs/results/multi_fidelity/<tool>.npz and may be stopped at any moment; `report` writes
docs/results/multi_fidelity.md and .json from what is there. A tool that cannot run here is skipped with a line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import _machine

_machine.one_thread()

import _tasks  # noqa: E402
import numpy as np  # noqa: E402
from _anytime import Cell, Store, failed  # noqa: E402
from _peers import KINDS, PeerFailed, python  # noqa: E402
from _virtual import EARLY, EarlyStopper, Metered, Outside, lock  # noqa: E402
from quality import _LCBENCH as TASKS  # noqa: E402
from quality import DEVELOPMENT as QUALITY_DEVELOPMENT  # noqa: E402
from scipy.stats import rankdata  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.errors import LuthierError  # noqa: E402
from luthier.base.registry import names  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402

FOLDER = _machine.RESULTS / "multi_fidelity"
#: No part of the verdict: what defaults may be chosen on.
DEVELOPMENT = tuple(name for name in QUALITY_DEVELOPMENT if name.startswith("lcbench/"))
WORKERS = 4
TRAININGS = 50  # random configurations trained to the end within the budget, about
SAMPLE = 1000  # random configurations whose mean cost fixes it


@dataclass(frozen=True)
class Method:
    """A searcher under a scheduler.

    Args:
        searcher: Its name.
        scheduler: Its name.
        own: The scheduler's own arguments.
        stretch: Runs so many times as long as the budget.
        model: The searcher's own arguments.
    """

    searcher: str
    scheduler: str
    own: Mapping[str, Any] | None = None
    stretch: int = 1
    model: Mapping[str, Any] | None = None


OURS = {
    "random": Method("random", "straight", stretch=4),  # read off at two and four times the budget too
    "asha": Method("random", "asha"),
    "cqr+asha": Method("cqr", "asha"),
    "tpe": Method("tpe", "straight"),
    "asha-promotion": Method("random", "asha", {"type": "promotion"}),
    "bore+asha": Method("bore", "asha"),
    "tpe+asha": Method("tpe", "asha"),
    "one-epoch": Method("random", "one-epoch"),
    "median": Method("random", "median"),
    "sh": Method("random", "sh"),
    "hyperband": Method("random", "hyperband"),
    "pasha": Method("random", "pasha"),
    "bohb": Method("auto", "bohb"),
    "dehb": Method("auto", "dehb"),
    "gp+hyperband": Method("gp", "hyperband"),
    "cqr": Method("cqr", "straight"),
    "cqr-last+asha": Method("cqr", "asha", model={"fidelity": "last"}),  # as published
    "cqr+asha-promotion": Method("cqr", "asha", {"type": "promotion"}),
}
#: The same with trials judged from this epoch on: the surrogate's first one says nothing about the last.
GRACE = 3
OURS |= {
    f"{tool}@{GRACE}": replace(method, own={**(method.own or {}), "grace": GRACE})
    for tool, method in OURS.items()
    if method.scheduler in ("asha", "sh", "hyperband", "pasha", "bohb", "dehb")
}


class Setup:
    """Everything about one task.

    Args:
        name: Its name in `_tasks`, such as "lcbench/3945".
    """

    def __init__(self, name: str) -> None:
        self.name, self.task = name, _tasks.load(name)
        self.benchmark = Metered(bench.load(f"yahpo/{name}"))
        self.budget = budget(name)

    def regret(self, config: Mapping[str, Any]) -> float:
        """Normalised regret at the full resource."""
        return _tasks.normalised(self.task, self.task.space.check(config))


@cache
def budget(name: str) -> float:
    """Virtual seconds in which the workers train about `TRAININGS` random configurations to the end."""
    benchmark = bench.load(f"yahpo/{name}")
    drawn = benchmark.space.sample(SAMPLE, generator(0, "bench"))
    return TRAININGS / WORKERS * float(np.mean([one.seconds for one in benchmark.evaluate_batch(drawn)]))


def signal(name: str) -> dict[int, float]:
    """Spearman correlation of random configurations' accuracy at some epochs with that at the last."""
    benchmark = bench.load(f"yahpo/{name}")
    drawn = benchmark.space.sample(SAMPLE, generator(0, "bench"))
    objective = benchmark.objectives[0].name
    ranks = {
        epoch: rankdata([one.metrics[objective] for one in benchmark.evaluate_batch(drawn, resource=epoch)])
        for epoch in (1, 3, 9, 27, _tasks.EPOCH)
    }
    last = ranks.pop(_tasks.EPOCH)
    return {epoch: float(np.corrcoef(found, last)[0, 1]) for epoch, found in ranks.items()}


def missing(tool: str) -> str | None:
    """Why a tool cannot run here; None if it can."""
    if tool in EARLY:
        try:
            python(KINDS[EARLY[tool][0]].environment)
        except LuthierError as error:
            return str(error)
        return None
    if tool not in OURS:
        return f"unknown; known: {', '.join((*OURS, *EARLY))}"
    method = OURS[tool]
    for room, name in (("searcher", method.searcher), ("scheduler", method.scheduler)):
        if name not in names(room):
            return f"there is no {room} {name!r} yet"
    return None


def ours(setup: Setup, tool: str, seed: int) -> Cell:
    """One of our methods."""
    method, benchmark = OURS[tool], setup.benchmark
    begin, answers = time.process_time(), benchmark.seconds
    done = bench.simulate(
        benchmark,
        searcher={"name": method.searcher, **(method.model or {})},
        scheduler={"name": method.scheduler, **(method.own or {})},
        workers=WORKERS,
        seconds=method.stretch * setup.budget,
        seed=seed,
        defaults_first=False,
    )
    thinking = time.process_time() - begin - (benchmark.seconds - answers)
    configs = {trial.number: trial.config for trial in done.result.trials}
    moments = [(moment.seconds, configs[moment.trial]) for moment in done.incumbents()]
    return _cell(setup, moments, len(configs), done.reports, done.executor.utilisation, thinking)


def theirs(setup: Setup, tool: EarlyStopper, seed: int) -> Cell:
    """Another tool."""
    tool.begin(setup.benchmark, seed)
    host = Outside(setup.benchmark, tool, setup.budget)
    executor = host.run(WORKERS)
    return _cell(setup, host.moments, host.trials, host.reports, executor.utilisation, tool.thinking)


def _cell(
    setup: Setup,
    moments: Sequence[tuple[float, Mapping[str, Any]]],
    trials: int,
    reports: int,
    busy: float,
    thinking: float,
) -> Cell:
    known: dict[Any, float] = {}
    for _, config in moments:
        if config not in known:
            known[config] = setup.regret(config)
    times = np.array([seconds for seconds, _ in moments]) / setup.budget
    return Cell(times, np.array([known[config] for _, config in moments]), trials, reports, busy, thinking)


def order(tools: Sequence[str], tasks: Sequence[str], seeds: range) -> Iterator[tuple[int, str, str]]:
    """Seed by seed, so that after any time all have about the same; curves are shared by the tools of a task."""
    for seed in seeds:
        for task in tasks:
            for tool in tools:
                yield seed, task, tool


def run(tools: Sequence[str], tasks: Sequence[str], seeds: range, *, until: float, retry: bool = False) -> None:
    """Every missing cell until a moment of `time.monotonic()`; with `retry` the failed ones too."""
    usable = []
    for tool in tools:
        why = missing(tool)
        if why:
            print(f"{tool} is skipped: {why}", flush=True)
        else:
            lock(f"multi-fidelity-{tool}")
            usable.append(tool)
    stores = {tool: Store(FOLDER / f"{tool}.npz") for tool in usable}
    for store in stores.values() if retry else ():
        store.drop_failed()
    setups: dict[str, Setup] = {}
    peers: dict[str, EarlyStopper] = {}
    at: tuple[int, str] | None = None
    for seed, name, tool in order(usable, tasks, seeds):
        if time.monotonic() > until:
            print("deadline", flush=True)
            break
        if (name, seed) in stores[tool].cells:
            continue
        setup = setups.get(name) or setups.setdefault(name, Setup(name))
        if at != (seed, name):
            at = (seed, name)
            for one in setups.values():
                one.benchmark.forget()
        cell = one_cell(setup, tool, seed, peers)
        if tool in peers:
            stores[tool].versions = peers[tool].versions
        stores[tool].add(name, seed, cell)
        print(f"{time.strftime('%H:%M:%S')} {tool} {name} {seed}: {cell.at([0.1, 0.3, 1.0]).round(4)}, {cell.trials} "
              f"trials, {cell.reports} reports, {cell.thinking:.1f} s {cell.error}", flush=True)  # fmt: skip
    for peer in peers.values():
        peer.close()


def one_cell(setup: Setup, tool: str, seed: int, peers: dict[str, EarlyStopper]) -> Cell:
    """One cell. Whoever raises marks it as failed; a peer gets a new process."""
    if tool not in EARLY:
        try:
            return ours(setup, tool, seed)
        except LuthierError as error:
            return failed(f"{type(error).__name__}: {error}")
    if tool not in peers:
        peers[tool] = EarlyStopper(tool)
    try:
        return theirs(setup, peers[tool], seed)
    except PeerFailed as error:
        peers.pop(tool).close()
        return failed(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="add missing cells")
    runs.add_argument("--tools", default=",".join(OURS), help="names, separated by commas")
    runs.add_argument("--tasks", default="judged", help="judged, development, or names separated by commas")
    runs.add_argument("--seeds", default="0:30", help="first:last+1")
    runs.add_argument("--minutes", type=float, default=float("inf"), help="no cell is begun after so many")
    runs.add_argument("--fresh", action="store_true", help="forget the tools' cells first: their code has changed")
    runs.add_argument("--retry", action="store_true", help="run failed cells again")
    commands.add_parser("report", help="write the tables")
    given = parser.parse_args()
    if given.command == "report":
        import _anytime_report

        judged, others = ({name: budget(name) for name in group} for group in (TASKS, DEVELOPMENT))
        print(_anytime_report.write(judged, others, {name: signal(name) for name in (*TASKS, *DEVELOPMENT)}))
        return
    tools = given.tools.split(",")
    for tool in tools if given.fresh else ():
        (FOLDER / f"{tool}.npz").unlink(missing_ok=True)
    first, _, last = given.seeds.partition(":")
    until = time.monotonic() + 60 * given.minutes
    groups = {"judged": TASKS, "development": DEVELOPMENT}
    tasks = groups.get(given.tasks) or given.tasks.split(",")
    run(tools, tasks, range(int(first), int(last or int(first) + 1)), until=until, retry=given.retry)


if __name__ == "__main__":
    main()
