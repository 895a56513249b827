"""Ordered transfer: tasks one after the other, each learning from a method's own earlier ones, as in the OTHPO paper.

    LUTHIER_DATA=... python benchmarks/othpo.py run --problem newsvendor --methods random,simple-ordered --seeds 0:50
    LUTHIER_DATA=... python benchmarks/othpo.py report

Four workers, 25 evaluations a task, no default configuration; a run is one method with one seed over all tasks of a
problem. `--shared` gives every method the same history, 25 random configurations of each earlier task, instead of its
own. `run` adds the runs that are missing to docs/results/othpo/ and may be stopped at any moment; `report` writes
docs/results/othpo.md and .json from what is there.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.records import Configuration, Observation  # noqa: E402
from luthier.base.registry import load, names  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.bench.families.othpo import SIZES  # noqa: E402
from luthier.space.problem import PastTask, Problem  # noqa: E402

FOLDER = _machine.RESULTS / "othpo"
EVALUATIONS, WORKERS = 25, 4
CHECKPOINTS = (1, 5, 10, 25)
FRACTIONS = ("0.05", "0.25", "0.5", "0.75", "1")


@dataclass(frozen=True)
class Method:
    """A searcher, with its own arguments; without `past` it learns from the current task alone."""

    searcher: str
    own: Mapping[str, Any] = field(default_factory=dict)
    past: bool = True
    published: str = ""  # its name in the published results


#: As published: without luthier's guard against earlier tasks that lead astray.
PLAIN = {"guard": False}
METHODS = {
    "random": Method("random", past=False, published="RandomSearch"),
    "gp": Method("gp", past=False, published="BayesianOptimization"),
    "simple-ordered": Method("simple-ordered", PLAIN, published="WarmBO"),
    "shuffled": Method("simple-ordered", {**PLAIN, "shuffled": True}, published="WarmBOShuffled"),
    "simple-previous": Method("simple-previous", PLAIN, published="PrevBO"),
    "replay": Method("simple-previous", {**PLAIN, "replay": True}, published="PrevNoBO"),
    "bounding-box": Method("bounding-box", PLAIN, published="BoundingBox"),
    "zero-shot": Method("zero-shot", PLAIN, published="ZeroShot"),
    "cts": Method("cts", PLAIN, published="Quantiles"),
    "gcp": Method("gcp", PLAIN),
    "rgpe": Method("rgpe"),
    "transfer-bo-reference": Method("transfer-bo", {"reference": True}, published="BoTorchTransfer"),
    "transfer-bo": Method("transfer-bo"),
    "task-gp": Method("task-gp"),
    "abrac": Method("abrac"),
    "auto": Method("auto"),
}


@dataclass(frozen=True)
class Series:
    """Tasks in order.

    Args:
        tasks: Names of their benchmarks.
        orders: Where each stands.
        published: The experiment's name in the published results, if they have it.
    """

    tasks: tuple[str, ...]
    orders: tuple[float, ...]
    published: str = ""


def _fractions(scenario: str, dataset: str) -> Series:
    return Series(
        tuple(f"othpo/{scenario}/{dataset}/{part}" for part in FRACTIONS), tuple(float(part) for part in FRACTIONS)
    )


#: Those of the seven published ones whose tables are at hand, at five fractions of the data in place of twenty.
YAHPO = (("aknn", "4538"), ("aknn", "41138"), ("glmnet", "375"), ("glmnet", "40981"))
PROBLEMS = {
    "newsvendor": Series(tuple(f"othpo/newsvendor/{n}" for n in range(1, 10)), tuple(range(1, 10)), "SimOpt"),
    "xgboost": Series(tuple(f"othpo/xgboost_mnist/{n}" for n in SIZES), tuple(float(n) for n in SIZES)),
    **{f"{scenario}-{dataset}": _fractions(scenario, dataset) for scenario, dataset in YAHPO},
}


class Store:
    """Runs of one method on one problem: `best` (n, T, 25), the best value so far; less is better."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[int, np.ndarray] = {}
        self.seconds: dict[int, float] = {}
        if path.exists():
            with np.load(path, allow_pickle=False) as kept:
                for seed, best, seconds in zip(kept["seed"], kept["best"], kept["seconds"], strict=True):
                    self.runs[int(seed)], self.seconds[int(seed)] = best, float(seconds)

    def add(self, seed: int, best: np.ndarray, seconds: float) -> None:
        self.runs[seed], self.seconds[seed] = best, seconds
        seeds = sorted(self.runs)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            seed=np.array(seeds),
            best=np.array([self.runs[s] for s in seeds], dtype=np.float32),
            seconds=np.array([self.seconds[s] for s in seeds]),
        )
        part.replace(self.path)


def one_run(series: Series, method: Method, seed: int, *, shared: bool) -> tuple[np.ndarray, float]:
    """All tasks of a series with one seed.

    Returns:
        (T, 25), the best value so far, to be minimised; and the mean seconds of a proposal.
    """
    past: list[PastTask] = []
    rows, spent = [], 0.0
    for number, (name, order) in enumerate(zip(series.tasks, series.orders, strict=True)):
        benchmark = bench.load(name)
        problem = Problem(
            benchmark.space, benchmark.objectives[:1], past=tuple(past) if method.past else (), order=order
        )
        told, seconds = one_task(benchmark, problem, method, seed * 1000 + number)
        spent += seconds
        rows.append(np.minimum.accumulate([o.values[0] for o in told]))
        kept = told
        if shared:
            rng = generator(seed, "bench", number)
            kept = [_measure(benchmark, problem, i, c) for i, c in enumerate(benchmark.space.sample(EVALUATIONS, rng))]
        past.append(PastTask(name, order, benchmark.space, problem.objectives, tuple(kept)))
    return np.array(rows), spent / (len(rows) * EVALUATIONS)


def one_task(benchmark: Any, problem: Problem, method: Method, seed: int) -> tuple[list[Observation], float]:
    """Four workers that are equally fast: a result arrives when three more are being waited for."""
    begin = time.process_time()
    searcher = load("searcher", method.searcher)(problem, seed=seed, **method.own)
    spent = time.process_time() - begin
    waiting: deque[tuple[int, Configuration]] = deque()
    told: list[Observation] = []
    asked = 0
    while len(told) < EVALUATIONS:
        while len(waiting) < WORKERS and asked < EVALUATIONS:
            begin = time.process_time()
            found = searcher.ask(k=asked, pending=[config for _, config in waiting])
            spent += time.process_time() - begin
            # a list that has come to its end is filled up at random
            config = found[0] if found else problem.space.sample(1, generator(seed, "bench", asked))[0]
            waiting.append((asked, Configuration(config)))
            asked += 1
        number, config = waiting.popleft()
        observation = _measure(benchmark, problem, number, config)
        begin = time.process_time()
        searcher.tell([observation])
        spent += time.process_time() - begin
        told.append(observation)
    return told, spent


def _measure(benchmark: Any, problem: Problem, number: int, config: Mapping[str, Any]) -> Observation:
    return problem.observe(number, Configuration(config), benchmark.evaluate(config, seed=0).metrics)


def scores(means: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Score of othpo.md section 3 of each method: 0 is the best mean seen, 100 random search at its end.

    Tasks on which random search ends at the best have none (NaN).
    """
    best = np.min([mean.min(axis=1) for mean in means.values()], axis=0)
    width = means["random"][:, -1] - best
    width = np.where(width > 1e-9 * np.maximum(np.abs(best), 1.0), width, np.nan)
    return {name: 100 * (mean - best[:, None]) / width[:, None] for name, mean in means.items()}


def report() -> None:
    parts = [
        "Tasks in order; a method learns from its own earlier tasks (25 evaluations each) and has 25 evaluations on "
        "each, with four workers. Score: 0 is the best mean value seen on a task, 100 random search after 25 "
        "evaluations; mean over the tasks after the first, with the standard error over seeds. Methods with published "
        "names run as published, without luthier's guard against earlier tasks that lead astray. "
        "`python benchmarks/othpo.py run` adds runs.",
    ]
    data: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": _machine.machine(["luthier", "numpy", "scipy"]),
    }
    for title, series in PROBLEMS.items():
        for shared in (False, True):
            stores = _stores(title, shared=shared)
            if "random" not in stores:
                continue
            label = f"{title}, shared history" if shared else title
            rows = _rows(stores)
            data[label] = rows
            parts += [f"## {label}", _machine.table(rows)]
            found = _published(series, stores) if series.published and not shared else []
            if found:
                data[f"{label}, published"] = found
                parts += [
                    "Mean raw value after 25 evaluations over all tasks, here and as published, and the largest "
                    "differences on a task in combined standard errors (positive: better here):",
                    _machine.table(found),
                ]
    machine = ", ".join(f"{key} {value}" for key, value in data["machine"].items())
    parts += [f"Machine: {machine}."]
    print(_machine.write("othpo", "Ordered transfer", "\n\n".join(parts), data))


def _stores(problem: str, *, shared: bool) -> dict[str, Store]:
    found = {}
    for name in METHODS:
        store = Store(_path(problem, name, shared=shared))
        if store.runs:
            found[name] = store
    return found


def _path(problem: str, method: str, *, shared: bool) -> Path:
    return FOLDER / f"{problem}{'-shared' if shared else ''}-{method}.npz"


def _rows(stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """One row a method; means over each method's own seeds, paired differences to simple-previous on common ones."""
    runs = {name: np.array([store.runs[s] for s in sorted(store.runs)]) for name, store in stores.items()}
    score = scores({name: found.mean(axis=0) for name, found in runs.items()})
    best = np.min([found.mean(axis=0).min(axis=1) for found in runs.values()], axis=0)
    width = runs["random"].mean(axis=0)[:, -1] - best
    rows = []
    for name in stores:
        row: dict[str, Any] = {"method": name, "seeds": len(runs[name])}
        for at in CHECKPOINTS:
            each = 100 * (runs[name][:, 1:, at - 1] - best[1:]) / np.where(width[1:] > 0, width[1:], np.nan)
            error = np.nanmean(each, axis=1).std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
            row[f"at {at}"] = f"{np.nanmean(score[name][1:, at - 1]):.1f} ± {error:.1f}"
        row["median at 25"] = f"{np.nanmedian(score[name][1:, -1]):.1f}"
        row["ms a proposal"] = f"{1000 * np.mean(list(stores[name].seconds.values())):.1f}"
        rows.append(row)
    return rows


def _published(series: Series, stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from luthier.bench.data import folder

    where = folder()
    if where is None:
        return []
    table = pq.read_table(where / "othpo" / "published_best_so_far.parquet")
    table = table.filter(pc.equal(table["experiment"], series.published))
    rows = []
    for name, store in stores.items():
        if not METHODS[name].published:
            continue
        part = table.filter(
            pc.and_(pc.equal(table["method"], METHODS[name].published), pc.equal(table["iteration"], 25))
        )
        task, value = (np.array(part[column].to_pylist()) for column in ("task", "best_so_far"))
        ours = -np.array([store.runs[s][:, -1] for s in sorted(store.runs)])  # a profit
        theirs = [value[task == t] for t in np.unique(task)]
        gaps = [
            (ours[:, t].mean() - one.mean()) / np.sqrt(ours[:, t].var(ddof=1) / len(ours) + one.var(ddof=1) / len(one))
            for t, one in enumerate(theirs)
        ]  # fmt: skip
        rows.append(
            {
                "method": name,
                "here": f"{ours.mean():.1f}",
                "published": f"{np.mean([one.mean() for one in theirs]):.1f}",
                "lowest difference": f"{min(gaps):+.1f}",
                "highest": f"{max(gaps):+.1f}",
                "seeds": len(ours),
            }
        )
    return rows


def run(problem: str, methods: Sequence[str], seeds: range, *, shared: bool) -> None:
    known = set(names("searcher"))
    usable = [name for name in methods if METHODS[name].searcher in known]
    for seed in seeds:
        for name in usable:
            store = Store(_path(problem, name, shared=shared))
            if seed in store.runs:
                continue
            best, seconds = one_run(PROBLEMS[problem], METHODS[name], seed, shared=shared)
            store.add(seed, best, seconds)
            ends = " ".join(f"{value:.4g}" for value in best[:, -1])
            print(f"{problem} {name} {seed}: {1000 * seconds:.0f} ms a proposal; {ends}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("run")
    adding.add_argument("--problem", choices=PROBLEMS, required=True)
    adding.add_argument("--methods", default=",".join(METHODS))
    adding.add_argument("--seeds", default="0:10")
    adding.add_argument("--shared", action="store_true")
    commands.add_parser("report")
    given = parser.parse_args()
    if given.command == "report":
        report()
        return
    methods = given.methods.split(",")
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        parser.error(f"unknown methods {unknown}; known: {', '.join(METHODS)}")
    low, _, high = given.seeds.partition(":")
    run(given.problem, methods, range(int(low), int(high)), shared=given.shared)


if __name__ == "__main__":
    main()
