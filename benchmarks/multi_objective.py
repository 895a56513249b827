"""Hypervolume over evaluations with two objectives, and the best feasible trial under a bound, beside other tools.

    LUTHIER_DATA=... python benchmarks/multi_objective.py run --tools nsga2,optuna-nsga2 --seeds 0:10 --minutes 60
    python benchmarks/multi_objective.py report

`run` adds the cells that are missing to docs/results/multi_objective/<tool>.npz and may be stopped at any moment;
`report` writes docs/results/multi_objective.md and .json from what is there. Tools are the names of our searchers and
those of `OTHERS`; tasks and scores are those of _mo_tasks.py.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import _mo_tasks  # noqa: E402
import numpy as np  # noqa: E402
from _peers import HERE, Kind, Peer, PeerFailed  # noqa: E402
from scipy.stats import rankdata  # noqa: E402

from luthier.base.errors import LuthierError  # noqa: E402
from luthier.base.records import Configuration, Observation, Status  # noqa: E402
from luthier.base.registry import load as load_class  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402

EVALUATIONS = 100
MARKS = (25, 50, 100)
FOLDER = _machine.RESULTS / "multi_objective"
#: Objectives or constraints, in environments of their own; a tool that takes seconds an ask makes 50 evaluations.
OTHERS = {
    "optuna-nsga2": 100,
    "optuna-tpe": 100,
    "optuna-gp": 50,
    "botorch": 50,
}
KINDS = {
    **{
        f"optuna-{name}": Kind("optuna", str(HERE / "optuna_mo_peer.py"), name, ("optuna", "numpy", "scipy", "torch"))
        for name in ("nsga2", "tpe", "gp")
    },
    "botorch": Kind("syne-tune", str(HERE / "botorch_mo_peer.py"), "qlogne", ("botorch", "gpytorch", "torch", "numpy")),
}
#: Of ours: those that take some tenths of a second an ask.
HALF = {"gp": 50, "parego": 50, "auto": 50}
PATIENCE = 900.0  # seconds that one answer may take
DRAWS = 2000  # of a bootstrap
FEW = 5  # seeds below which a table is marked

Task = _mo_tasks.Front | _mo_tasks.Bounded


class Several(Peer):
    """Another tool, told several values at once."""

    def __init__(self, name: str) -> None:
        super().__init__(name, KINDS[name], patience=PATIENCE)

    def begin(self, task: Task, seed: int, evaluations: int) -> None:
        """Begin with a task."""
        self.start(task.problem, seed, evaluations, {"objectives": len(task.problem.objectives)})


def ours(task: Task, name: str, seed: int, evaluations: int) -> tuple[np.ndarray, float]:
    """Values of every evaluation of one of our searchers, (n, 2), and the seconds of ask and tell."""
    searcher, found, seconds = load_class("searcher", name)(task.problem, seed=seed), [], 0.0
    objectives = len(task.problem.objectives)
    for k in range(evaluations):
        begin = time.perf_counter()
        asked = searcher.ask(k=k)
        seconds += time.perf_counter() - begin
        if not asked:
            break
        values = task.evaluate(asked[0])
        found.append(values)
        begin = time.perf_counter()
        told = Observation(k, asked[0], None, values[:objectives], values[objectives:], Status.COMPLETED)
        searcher.tell([told])
        seconds += time.perf_counter() - begin
    return np.array(found), seconds


def theirs(task: Task, peer: Several, seed: int, evaluations: int) -> tuple[np.ndarray, float]:
    """The same of another tool."""
    found, seconds = [], 0.0
    peer.begin(task, seed, evaluations)
    for _ in range(evaluations):
        config, asking = peer.ask()
        found.append(task.evaluate(Configuration(config)))
        seconds += asking + peer.tell(list(found[-1]))
    return np.array(found), seconds


class Store:
    """A tool's cells on disk: (task, seed) to values and seconds; a cell without values holds an error."""

    def __init__(self, tool: str) -> None:
        self._path = FOLDER / f"{tool}.npz"
        self.cells: dict[tuple[str, int], tuple[np.ndarray, float, str]] = {}
        self.versions: dict[str, str] = {}
        if self._path.exists():
            with np.load(self._path) as file:
                kept = {name: file[name] for name in file.files}
            self.versions = json.loads(str(kept["versions"]))
            ends = np.cumsum(kept["length"])
            for i, key in enumerate(zip(kept["task"].tolist(), kept["seed"].tolist(), strict=True)):
                values = kept["values"][ends[i] - kept["length"][i] : ends[i]]
                self.cells[key] = (values.astype(float), float(kept["seconds"][i]), str(kept["error"][i]))

    def add(self, key: tuple[str, int], values: np.ndarray, seconds: float, error: str = "") -> None:
        """Keep a cell, and replace the file."""
        self.cells[key] = (values, seconds, error[:300])
        keys = sorted(self.cells)
        cells = [self.cells[one] for one in keys]
        FOLDER.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                values=np.concatenate([cell[0].reshape(-1, 2) for cell in cells]).astype(np.float32),
                length=np.array([len(cell[0]) for cell in cells], dtype=np.int32),
                task=np.array([task for task, _ in keys]),
                seed=np.array([seed for _, seed in keys], dtype=np.int32),
                seconds=np.array([cell[1] for cell in cells], dtype=np.float32),
                error=np.array([cell[2] for cell in cells]),
                versions=np.array(json.dumps(self.versions)),
            )
        part.replace(self._path)


def order(tools: Sequence[str], tasks: Sequence[str], seeds: range) -> Iterator[tuple[int, str, str]]:
    """Seed by seed, so that after any time all tools have about the same seeds."""
    for seed in seeds:
        for tool in tools:
            for task in tasks:
                yield seed, tool, task


def run(tools: Sequence[str], tasks: Sequence[str], seeds: range, until: float) -> None:
    """Every missing cell until a moment of `time.monotonic()`."""
    stores, peers = {tool: Store(tool) for tool in tools}, {}
    for seed, tool, name in order(tools, tasks, seeds):
        if (name, seed) in stores[tool].cells:
            continue
        if time.monotonic() > until:
            print("deadline", flush=True)
            break
        task = _mo_tasks.load(name)
        wanted = OTHERS[tool] if tool in OTHERS else HALF.get(tool, EVALUATIONS)
        begin = time.monotonic()
        try:
            if tool in OTHERS:
                peer = peers[tool] = peers.get(tool) or Several(tool)
                values, seconds = theirs(task, peer, seed, wanted)
                stores[tool].versions = peer.versions
            else:
                values, seconds = ours(task, tool, seed, wanted)
                stores[tool].versions = {"luthier": _machine.machine(["luthier"])["luthier"]}
            stores[tool].add((name, seed), values, seconds)
        except (LuthierError, PeerFailed) as error:
            if isinstance(error, PeerFailed) and tool in peers:
                peers.pop(tool).close()
            stores[tool].add((name, seed), np.empty((0, 2)), 0.0, f"{type(error).__name__}: {error}")
        print(f"{tool} {name} {seed}: {time.monotonic() - begin:.1f} s {stores[tool].cells[name, seed][2]}", flush=True)
    for peer in peers.values():
        peer.close()


# -- report -----------------------------------------------------------------------------------------------------------


def scores(stores: Mapping[str, Store], name: str, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Scores of the tools that have every seed of a task; tool to (seeds, evaluations)."""
    task, found = _mo_tasks.load(name), {}
    for tool, store in stores.items():
        cells = [store.cells.get((name, seed)) for seed in seeds]
        curves = [task.curve(cell[0]) for cell in cells if cell is not None and len(cell[0])]
        if len(curves) == len(seeds):
            width = max(map(len, curves))
            found[tool] = np.array([np.pad(curve, (0, width - len(curve)), mode="edge") for curve in curves])
    return found


def at(curves: np.ndarray, mark: int) -> np.ndarray | None:
    """Scores after a number of evaluations, None where a tool made fewer; (seeds,)."""
    return curves[:, mark - 1] if curves.shape[1] >= mark else None


def tables(stores: Mapping[str, Store], tasks: Sequence[str], seeds: Sequence[int], best: str) -> dict[str, Any]:
    """Means over seeds for each task, and mean ranks (1 is best) with 95 % intervals, at every mark."""
    every = {name: scores(stores, name, seeds) for name in tasks}
    found: dict[str, Any] = {}
    for mark in MARKS:
        shown = {
            name: {tool: s for tool, curves in by.items() if (s := at(curves, mark)) is not None}
            for name, by in every.items()
        }
        complete = [tool for tool in stores if all(tool in by for by in shown.values())]
        found[str(mark)] = {
            "mean": {name: {tool: float(s.mean()) for tool, s in by.items()} for name, by in shown.items()},
            "rank": ranks({n: {t: by[t] for t in complete} for n, by in shown.items()}, best) if complete else {},
        }
    return found


def ranks(shown: Mapping[str, Mapping[str, np.ndarray]], best: str) -> dict[str, list[float]]:
    """Mean rank over tasks and paired seeds, with the interval when tasks, and seeds inside them, are drawn again."""
    sign = -1.0 if best == "high" else 1.0
    tools = list(next(iter(shown.values())))
    scored = np.array([[by[tool] for tool in tools] for by in shown.values()]) * sign  # (tasks, tools, seeds)
    ranked = np.apply_along_axis(rankdata, 1, np.round(scored, 9)).transpose(0, 2, 1)  # (tasks, seeds, tools)
    rng, (tasks, seeds, _) = generator(0, "report"), ranked.shape
    drawn = ranked[
        rng.integers(tasks, size=(DRAWS, tasks))[:, :, None], rng.integers(seeds, size=(DRAWS, tasks, seeds))
    ]
    low, high = np.quantile(drawn.mean(axis=(1, 2)), [0.025, 0.975], axis=0)
    mean = ranked.mean(axis=(0, 1))
    return {tool: [float(mean[i]), float(low[i]), float(high[i])] for i, tool in enumerate(tools)}


def rows(found: Mapping[str, Any], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """One line a tool: mean over tasks and mean rank at each mark."""
    lines = []
    for tool in sorted({tool for one in found.values() for by in one["mean"].values() for tool in by}):
        line: dict[str, Any] = {"tool": tool}
        for mark, one in found.items():
            values = [one["mean"][name][tool] for name in tasks if tool in one["mean"][name]]
            line[f"mean at {mark}"] = f"{np.mean(values):.3f}" if len(values) == len(tasks) else "-"
            rank = one["rank"].get(tool)
            line[f"rank at {mark}"] = "{:.2f} [{:.2f}, {:.2f}]".format(*rank) if rank else "-"
        lines.append(line)
    ranked = found["50"]["rank"]  # every tool makes so many
    return sorted(lines, key=lambda line: ranked.get(line["tool"], [np.inf])[0])


def each(found: Mapping[str, Any], mark: str) -> list[dict[str, Any]]:
    """One line a task at one mark."""
    return [
        {"task": name, **{tool: f"{value:.3f}" for tool, value in sorted(by.items())}}
        for name, by in found[mark]["mean"].items()
    ]


def partly(found: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, list[str]]:
    """Tools that have some tasks only, half of them at least, with these."""
    by = found["50"]["mean"]
    tools = {tool for values in by.values() for tool in values}
    some = {tool: [name for name in tasks if tool in by[name]] for tool in sorted(tools)}
    return {tool: names for tool, names in some.items() if len(tasks) / 2 <= len(names) < len(tasks)}


FRONTS = (
    "Two objectives",
    "Hypervolume as a share of the best known front's (the whole table's, or what a fixed search on the surrogate "
    "finds, which a run may exceed); more is better. Reference points, fixed before: nadir of that front and a tenth "
    "of its range.",
)
BOUNDED = (
    "One objective under a bound",
    "Accuracy of rbv2_xgboost under a bound on the memory that leaves a tenth of random configurations. Normalised "
    "regret of the best feasible trial, less is better: 0 is the best known, 1 a median feasible random configuration, "
    "1.5 where none is feasible yet.",
)


def report(counts: Sequence[int]) -> None:
    """Write docs/results/multi_objective.*; at each count those tools appear that have the first so many seeds."""
    stores = {path.stem: Store(path.stem) for path in sorted(FOLDER.glob("*.npz"))}
    parts = [
        f"Paired seeds, at most {EVALUATIONS} evaluations, one at a time; every tool at its defaults. Ranks: 1 is "
        "best, over tools that have every task and seed; 95 % intervals when tasks, and seeds inside them, are drawn "
        "again."
    ]
    data: dict[str, Any] = {}
    for (title, about), tasks, best in ((FRONTS, _mo_tasks.FRONTS, "high"), (BOUNDED, _mo_tasks.BOUNDED, "low")):
        parts += [f"## {title}", about]
        for count in counts:
            found = tables(stores, tasks, range(count), best)
            few = "" if count >= FEW else ": a first look, no basis for a verdict"
            parts += [f"### Seeds: {count}{few}", _machine.table(rows(found, tasks)), "Each task at 50 evaluations:"]
            parts.append(_machine.table(each(found, "50")))
            data.setdefault(title, {})[str(count)] = found
            for tool, some in partly(found, tasks).items():
                fewer = tables(stores, some, range(count), best)
                parts += [f"The {len(some)} tasks that {tool} has: {', '.join(some)}"]
                parts += [_machine.table(rows(fewer, some))]
                data.setdefault(f"{title}, tasks that {tool} has", {})[str(count)] = fewer
    parts += ["## How", *how(stores, max(counts), data)]
    print(_machine.write("multi_objective", "Several objectives, and a constraint", "\n\n".join(parts), data))


def how(stores: Mapping[str, Store], count: int, data: dict[str, Any]) -> list[str]:
    """What is needed to judge the figures: reference points, gaps, machine, versions; kept in `data` too."""
    loaded = {name: _mo_tasks.load(name) for name in (*_mo_tasks.FRONTS, *_mo_tasks.BOUNDED)}
    points = {
        name: dict(zip(task.names, task.reference.tolist(), strict=True))
        for name, task in loaded.items()
        if isinstance(task, _mo_tasks.Front)
    }
    bounds = {name: task.bound for name, task in loaded.items() if isinstance(task, _mo_tasks.Bounded)}
    missing = {
        tool: sum((task, seed) not in store.cells for task in loaded for seed in range(count))
        for tool, store in stores.items()
    }
    failed = {
        f"{tool} {name} {seed}": error
        for tool, store in stores.items()
        for (name, seed), (_, _, error) in sorted(store.cells.items())
        if error
    }
    missing |= {tool: len(loaded) * count for tool in OTHERS if tool not in stores}
    gaps = ", ".join(f"{tool} {count}" for tool, count in missing.items() if count) or "none"
    about = _machine.machine(("luthier", "numpy", "scipy", "onnxruntime"))
    versions = {tool: store.versions for tool, store in stores.items() if "luthier" not in store.versions}
    data |= {"reference_points": points, "bounds": bounds, "missing": missing, "failed": failed}
    data |= {"machine": about, "versions": versions}
    return [
        f"Reference points: {'; '.join(f'{name} {_pairs(point)}' for name, point in points.items())}. "
        f"Bounds: {_pairs(bounds)}.",
        f"Cells missing of {len(loaded) * count} each: {gaps}. "
        f"Failed: {'; '.join(f'{key}: {error}' for key, error in failed.items()) or 'none'}.",
        f"`python benchmarks/multi_objective.py`, {date.today()}, one thread. "
        f"{', '.join(f'{name} {value}' for name, value in about.items())}. "
        + "; ".join(f"{tool}: {', '.join(f'{n} {v}' for n, v in found.items())}" for tool, found in versions.items()),
    ]


def _pairs(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--tools", default="random,nsga2", help="names, separated by commas")
    parser.add_argument("--tasks", default=",".join((*_mo_tasks.FRONTS, *_mo_tasks.BOUNDED)))
    parser.add_argument("--seeds", default="0:10", help="first:last+1, of a run")
    parser.add_argument("--counts", default="10,3,1", help="numbers of seeds, of a report: one table each")
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell is begun after so many")
    args = parser.parse_args()
    if args.what == "report":
        report([int(count) for count in args.counts.split(",")])
        return
    first, last = map(int, args.seeds.split(":"))
    run(args.tools.split(","), args.tasks.split(","), range(first, last), time.monotonic() + 60 * args.minutes)


if __name__ == "__main__":
    main()
