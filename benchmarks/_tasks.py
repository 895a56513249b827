"""Tabular and surrogate tasks with known optima, for comparing searchers; data from the folder LUTHIER_DATA.

A task has a space, noisy values to search by (which recorded repetition a run sees is decided by its seed and the
configuration, so equal seeds pair searchers) and a normalised regret to score by, from the mean over repetitions.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import luthier as lu
from luthier.base.errors import DataMissing
from luthier.base.records import Configuration, Objective, Observation
from luthier.base.registry import load as load_class
from luthier.base.seeds import generator
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

EPOCH = 52  # the full resource of lcbench
POOL = 20_000  # random configurations that fix the reference values of a surrogate
ROUNDS, KEPT, WIDTH = 40, 25, 40  # of the local search for its optimum
CLIP = 1.5  # largest normalised regret, so that no single run rules a mean


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

    def seen(self, config: Configuration, seed: int) -> float:
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
        rng = generator(0, "bench")
        rows = self.space.sample_unit(POOL, rng)
        found = self._predict(self.space.decode(rows))
        self.reference = float(np.median(found))
        # best known: the recorded best of the real runs, or what a fixed local search on the surrogate finds beyond it
        for _ in range(ROUNDS):
            rows = rows[np.argsort(found)[:KEPT]]
            rows = np.concatenate([rows, self.space.perturb(np.repeat(rows, WIDTH, axis=0), rng, step=0.1)])
            found = self._predict(self.space.decode(rows))
        self.best = min(float(found.min()), -_recorded_best(task))

    def _predict(self, configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        rows = [[EPOCH if name == "epoch" else config[name] for name in self._inputs] for config in configs]
        inputs = {
            "x_cat": np.full((len(rows), 1), self._code, dtype=np.int32),
            "x_cont": np.array(rows, dtype=np.float32),
        }
        return -self._session.run(None, inputs)[0][:, self._target].astype(float)

    def seen(self, config: Configuration, seed: int) -> float:
        """What a search is told, to be minimised."""
        return float(self._predict([config])[0])

    def score(self, config: Configuration) -> float:
        """The same: the surrogate has no noise."""
        return self.seen(config, 0)


def load(name: str) -> Table | Lcbench:
    """A task by name: "fcnet/...", "nasbench201/...", "hpobench_mlp/..." or "lcbench/<OpenML task>"."""
    family, _, task = name.partition("/")
    return Lcbench(task) if family == "lcbench" else Table(family, task)


def search(
    task: Table | Lcbench, searcher: str | type[Searcher], seed: int, evaluations: int, **own: Any
) -> list[float]:
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
            lowest = value
            regret = (task.score(config) - task.best) / (task.reference - task.best)
        found.append(float(np.clip(regret, 0.0, CLIP)))
    return found


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
