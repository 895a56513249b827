"""Ordered transfer: the problems, the methods, and one run of a method over all tasks of a problem."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


def stores_of(problem: str, *, shared: bool) -> dict[str, Store]:
    found = {}
    for name in METHODS:
        store = Store(path_of(problem, name, shared=shared))
        if store.runs:
            found[name] = store
    return found


def path_of(problem: str, method: str, *, shared: bool) -> Path:
    return FOLDER / f"{problem}{'-shared' if shared else ''}-{method}.npz"


def run(problem: str, methods: Sequence[str], seeds: range, *, shared: bool) -> None:
    known = set(names("searcher"))
    usable = [name for name in methods if METHODS[name].searcher in known]
    for seed in seeds:
        for name in usable:
            store = Store(path_of(problem, name, shared=shared))
            if seed in store.runs:
                continue
            best, seconds = one_run(PROBLEMS[problem], METHODS[name], seed, shared=shared)
            store.add(seed, best, seconds)
            ends = " ".join(f"{value:.4g}" for value in best[:, -1])
            print(f"{problem} {name} {seed}: {1000 * seconds:.0f} ms a proposal; {ends}", flush=True)
