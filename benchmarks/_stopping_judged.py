"""What each rule says of each recorded study, check by check, as if it had watched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from _stopping_cells import FOLDER, HOWS, SETS, Run, runs

import luthier as lu
from luthier.base.records import Configuration, Report, Status, Trial
from luthier.space.problem import Problem
from luthier.stopping._base import History
from luthier.stopping._model import ModelRule
from luthier.stopping._posterior import Candidates
from luthier.stopping._several import build

#: Rules by the name they have here; the first sees to the end of every study, the others until they say stop.
RULES: dict[str, dict[str, Any]] = {
    "regret": {"name": "regret"},
    "log-ei": {"name": "log-ei"},
    "pi": {"name": "pi"},
    "regret, paths": {"name": "regret", "bound": "paths"},
    "regret, incumbent": {"name": "regret", "pool": 1},
    "regret, better half": {"name": "regret", "points": "half"},
    "regret, Optuna's": {"name": "regret", "points": "half", "multiplier": "srinivas", "pool": 1, "divisor": "k"},
    "prb": {"name": "prb"},
    "gap": {"name": "gap"},
}
ALONE = ("regret",)  # of hold-out studies
WHOLE = ("regret", "log-ei", "pi")  # several thresholds are read off these traces
FIELDS = ("results", "bound", "threshold", "stop", "seconds")


@dataclass(frozen=True)
class Trace:
    """What a rule said.

    Args:
        results: (c,) results at each check.
        bound: (c,) what it compared, NaN where it did not look.
        threshold: (c,) with what.
        stop: (c,) whether it said stop.
        seconds: (c,) processor seconds of the check; a fit that an earlier rule paid for is not counted again.
    """

    results: np.ndarray
    bound: np.ndarray
    threshold: np.ndarray
    stop: np.ndarray
    seconds: np.ndarray


def trials_of(run: Run) -> list[Trial]:
    """A recorded study as its log would hold it."""
    found = []
    for number, (config, folds, error) in enumerate(zip(run.configs, run.folds, run.stderr, strict=True)):
        metrics = {"loss": float(folds.mean())}
        if len(folds) == 1:
            metrics["loss_stderr"] = float(error)
        scores = tuple(float(f) for f in folds) if len(folds) > 1 else ()
        report = Report(number, None, metrics, folds=scores)
        found.append(Trial(number, Configuration(config), Status.COMPLETED, metrics=metrics, reports=[report]))
    return found


def watch(run: Run, names: list[str]) -> dict[str, np.ndarray]:
    """Every rule's trace of one study, as (checks, 5) arrays in the order of `FIELDS`."""
    import time

    problem = Problem(run.space, (lu.Objective("loss"),))
    rules = {name: build(problem, RULES[name], seed=run.key.seed) for name in names}
    candidates = Candidates(problem, seed=run.key.seed)
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    trials = trials_of(run)
    kept: dict[bool, Any] = {False: None, True: None}  # by whether the better half alone is fitted
    for n in range(1, len(trials) + 1):
        known = {trial.number: trial for trial in trials[:n]}
        for name, rule in rules.items():
            assert isinstance(rule, ModelRule)
            if name not in WHOLE and said[name] and said[name][-1]["stop"]:
                continue
            history = History(known, tuple(known), said[name], n - 1)
            if not rule.due(history):
                continue
            rule._candidates, rule._last = candidates, kept[rule.half]  # fitted once for all
            begin = time.process_time()
            verdict = rule.check(history).as_data()
            said[name].append({**verdict, "seconds": time.process_time() - begin})
            kept[rule.half] = rule._last
    return {name: _array(verdicts) for name, verdicts in said.items()}


def _array(verdicts: list[dict[str, Any]]) -> np.ndarray:
    looked = [v for v in verdicts if "below" in v]
    rows = [[float(v.get(field, np.nan)) for field in FIELDS] for v in looked]
    return np.array(rows, dtype=np.float32).reshape(-1, len(FIELDS))


def _path(data: str) -> Any:
    return FOLDER / f"judged-{data}.npz"


def _stored(data: str) -> dict[str, np.ndarray]:
    if not _path(data).exists():
        return {}
    with np.load(_path(data), allow_pickle=False) as file:
        return dict(file)


def judge_all(only: list[str] | None = None) -> None:
    """Judge what is recorded and not yet judged, on these data sets; each study is on disk as soon as it is done."""
    for how in HOWS:
        names = [*RULES] if how == "cv" else list(ALONE)
        for run in runs(how):
            if only is not None and run.key.data not in only:
                continue
            stored = _stored(run.key.data)
            missing = [name for name in names if f"{run.key}/{name}" not in stored]
            if not missing:
                continue
            stored |= {f"{run.key}/{name}": array for name, array in watch(run, missing).items()}
            temporary = _path(run.key.data).with_suffix(".part.npz")
            np.savez_compressed(temporary, **stored)
            os.replace(temporary, _path(run.key.data))


def judged(how: str) -> Iterator[tuple[Run, Mapping[str, Trace]]]:
    """Recorded studies that every rule has watched, with the traces."""
    files = {data: _stored(data) for data in SETS}
    names = [*RULES] if how == "cv" else list(ALONE)
    for run in runs(how):
        stored = files[run.key.data]
        if all(f"{run.key}/{name}" in stored for name in names):
            yield run, {name: Trace(*stored[f"{run.key}/{name}"].astype(float).T) for name in names}
