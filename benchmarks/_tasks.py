"""Tasks with known optima, for comparing searchers; tables and surrogates come from the folder LUTHIER_DATA.

A task has a space, values to search by (`seen`: of a table one recorded repetition, decided by the run's seed and the
configuration, so that equal seeds pair searchers), values to score by (`score`: the mean over repetitions, the
function without noise) and two fixed numbers that normalise a score: the best value and a median random one.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from _functions import FUNCTIONS
from _live import LIVE

import luthier as lu
from luthier.base.errors import ArgumentError, DataMissing
from luthier.base.records import Configuration, Objective, Observation
from luthier.base.registry import load as load_class
from luthier.base.seeds import generator
from luthier.bench import load as load_benchmark
from luthier.bench.yahpo import Surrogate
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

EPOCH = 52  # the full resource of lcbench
POOL = 20_000  # random configurations that fix the reference values of a surrogate
ROUNDS, KEPT, WIDTH = 40, 25, 40  # of the local search for its optimum
CLIP = 1.5  # largest normalised regret, so that no single run rules a mean


class Task(Protocol):
    """What a comparison needs; see the module."""

    space: lu.Space
    best: float
    reference: float

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search with this seed is told at the (again + 1)-th asking, to be minimised."""
        ...

    def score(self, config: Configuration) -> float:
        """The value that counts, to be minimised."""
        ...


class Table:
    """A complete grid: one row a configuration, one column a recorded repetition."""

    def __init__(self, family: str, task: str) -> None:
        meta = json.loads(_data(f"tabular_hpo/{family}.json").read_text())
        with np.load(_data(f"tabular_hpo/{family}.npz")) as file:
            values = file[task].astype(float) * (-1.0 if meta["direction"] == "maximize" else 1.0)
        self.values = [row[np.isfinite(row)] for row in values]
        self.mean = np.array([row.mean() if len(row) else np.inf for row in self.values])
        self.lists: dict[str, list[Any]] = meta["space"]
        self.shape = [len(values) for values in self.lists.values()]
        domains = {
            name: lu.Choice(*values) if isinstance(values[0], str) else lu.Ordinal(*values)
            for name, values in self.lists.items()
        }
        self.space = lu.Space(domains)
        self.best, self.reference = float(self.mean.min()), float(np.median(self.mean))

    def _row(self, config: Mapping[str, Any]) -> int:
        places = [values.index(config[name]) for name, values in self.lists.items()]
        return int(np.ravel_multi_index(places, self.shape))

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search with this seed is told, to be minimised."""
        row = self._row(config)
        recorded = self.values[row]
        return float(recorded[generator(seed, "bench", row).integers(len(recorded))]) if len(recorded) else np.inf

    def score(self, config: Configuration) -> float:
        """The mean over repetitions, to be minimised."""
        return float(self.mean[self._row(config)])


class Lcbench:
    """The surrogate of lcbench at its last epoch: validation accuracy, without noise."""

    def __init__(self, task: str) -> None:
        folder = "yahpo/lcbench"
        codes = json.loads(_data(f"{folder}/encoding.json").read_text())["OpenML_task_id"]
        meta = json.loads(_data(f"{folder}/meta.json").read_text())
        listed = json.loads(_data(f"{folder}/config_space.json").read_text())["hyperparameters"]
        self._code, self._inputs = codes[task], meta["x_cont"]
        self._target = meta["targets"].index("val_accuracy")
        self._session = _session(str(_data(f"{folder}/model.onnx")))
        domains = {
            one["name"]: (lu.Int if one["type"] == "uniform_int" else lu.Float)(
                one["lower"], one["upper"], log=one["log"]
            )
            for one in listed
            if one["name"] in self._inputs and one["name"] != "epoch"
        }
        self.space = lu.Space(domains)
        # best known: the recorded best of the real runs, or what a fixed local search on the surrogate finds beyond it
        found, self.reference = extremes(self.space, self._predict)
        self.best = min(found, -_recorded_best(task))

    def _predict(self, configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        rows = [[EPOCH if name == "epoch" else config[name] for name in self._inputs] for config in configs]
        inputs = {
            "x_cat": np.full((len(rows), 1), self._code, dtype=np.int32),
            "x_cont": np.array(rows, dtype=np.float32),
        }
        return -self._session.run(None, inputs)[0][:, self._target].astype(float)

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search is told, to be minimised."""
        return float(self._predict([config])[0])

    def score(self, config: Configuration) -> float:
        """The same: the surrogate has no noise."""
        return self.seen(config, 0)


class Xgboost:
    """The surrogate of rbv2_xgboost on all data and repetitions: accuracy, without noise; a conditional space."""

    def __init__(self, task: str) -> None:
        found = load_benchmark(f"yahpo/rbv2_xgboost/{task}")
        if not isinstance(found, Surrogate) or found.fidelity is None:
            raise TypeError(f"rbv2/{task} is no surrogate with a fidelity")
        self._surrogate, self._full = found, found.fidelity.high
        self._target = found.scenario.targets.index("acc")
        self.space = found.space
        self.best, self.reference = extremes(self.space, self._predict)

    def _predict(self, configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        inputs = self._surrogate.encode(configs, [self._full] * len(configs))
        accuracy = self._surrogate.scenario.predict(*inputs)[:, self._target].astype(float)
        return -np.clip(accuracy, 0.0, 1.0)

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search is told, to be minimised."""
        return float(self._predict([config])[0])

    def score(self, config: Configuration) -> float:
        """The same: the surrogate has no noise."""
        return self.seen(config, 0)


def extremes(space: lu.Space, predict: Callable[[Sequence[Configuration]], np.ndarray]) -> tuple[float, float]:
    """Least value that a fixed local search finds, and the median of a fixed random pool."""
    rng = generator(0, "bench")
    rows = space.sample_unit(POOL, rng)
    found = predict(space.decode(rows))
    reference = float(np.median(found))
    for _ in range(ROUNDS):
        rows = rows[np.argsort(found)[:KEPT]]
        rows = np.concatenate([rows, space.perturb(np.repeat(rows, WIDTH, axis=0), rng, step=0.1)])
        found = predict(space.decode(rows))
    return float(found.min()), reference


def load(name: str) -> Task:
    """A task by name, "<family>/<task>".

    Tables: fcnet, nasbench201, hpobench_mlp. Surrogates: lcbench and rbv2, both with OpenML tasks. Others: function
    and live, see `_functions` and `_live`.
    """
    family, _, task = name.partition("/")
    if family in ("function", "live"):
        known: Mapping[str, Callable[[], Task]] = FUNCTIONS if family == "function" else LIVE
        if task not in known:
            raise ArgumentError(f"task {name!r}. Allowed: {', '.join(known)}.")
        found = known[task]()
        if not np.isfinite(found.best):
            raise DataMissing(f"live_pool.json lacks {task}. Run python benchmarks/_live.py.")
        return found
    if family == "rbv2":
        return Xgboost(task)
    return Lcbench(task) if family == "lcbench" else Table(family, task)


def search(task: Task, searcher: str | type[Searcher], seed: int, evaluations: int, **own: Any) -> list[float]:
    """Normalised regret of the incumbent after each evaluation.

    (score - best) / (median random configuration - best), within [0, 1.5]. The incumbent is chosen by what was seen.
    """
    problem = Problem(task.space, (Objective("loss"),))
    cls = load_class("searcher", searcher) if isinstance(searcher, str) else searcher
    proposer = cls(problem, seed=seed, **own)
    lowest, regret, found = np.inf, CLIP, []
    for k in range(evaluations):
        [config] = proposer.ask(k=k)
        value = task.seen(config, seed)
        proposer.tell([Observation(k, config, None, (value,))])
        if value < lowest:
            lowest, regret = value, normalised(task, config)
        found.append(regret)
    return found


def normalised(task: Task, config: Configuration) -> float:
    """Normalised regret of a configuration."""
    return float(np.clip((task.score(config) - task.best) / (task.reference - task.best), 0.0, CLIP))


def _data(path: str) -> Path:
    folder = os.environ.get("LUTHIER_DATA")
    if not folder:
        raise DataMissing("LUTHIER_DATA is not set. Give the folder that holds tabular_hpo/ and yahpo/.")
    file = Path(folder) / path
    if not file.exists():
        raise DataMissing(f"{file} is missing. LUTHIER_DATA must name the folder that holds tabular_hpo/ and yahpo/.")
    return file


@cache
def _session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def _recorded_best(task: str) -> float:
    with gzip.open(_data("yahpo/instance_target_statistics.csv.gz"), "rt") as file:
        for row in csv.DictReader(file):
            if (row["scenario"], row["instance"], row["metric"], row["statistic"]) == (
                "lcbench",
                task,
                "val_accuracy",
                "max",
            ):
                return float(row["value"])
    raise DataMissing(f"no recorded best of lcbench task {task} in instance_target_statistics.csv.gz.")
