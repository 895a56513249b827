"""Recorded studies for the figures on stopping: run once to the end, judged by any rule afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import _machine
import numpy as np
from _stopping_tasks import LEARNERS, SETS, Task

import luthier as lu
from luthier.base.records import Configuration, Observation
from luthier.base.registry import load as load_class
from luthier.space.problem import Problem

FOLDER = _machine.RESULTS / "stopping"
TRIALS, SEEDS, SEARCHER = 100, 5, "gp"
HOWS = {"cv": SEEDS, "holdout": 3}  # what a study sees, and how many seeds of it
LATER = {"cv": 0.0, "holdout": 1.5}  # seeds that are recorded first


class Key(NamedTuple):
    """Which study."""

    data: str
    learner: str
    how: str
    seed: int

    def __str__(self) -> str:
        return f"{self.learner}/{self.how}/{self.seed}"


@dataclass(frozen=True)
class Run:
    """A study that was run to the end.

    Args:
        key: Which one.
        space: Where it searched.
        rows: (n, d) its configurations in the unit cube.
        folds: (n, 10) fold scores, or (n, 1) the score of the hold-out split.
        stderr: (n,) standard errors of the latter.
        test: (n,) scores on the test split.
        seconds: (n,) processor seconds of the fits that the study pays for.
    """

    key: Key
    space: lu.Space
    rows: np.ndarray
    folds: np.ndarray
    stderr: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(n,) what the study minimises."""
        return self.folds.mean(axis=1)

    @property
    def configs(self) -> list[Configuration]:
        return self.space.decode(self.space.snap(self.rows))


def keys(data: str) -> Iterator[Key]:
    """All studies on a data set."""
    for how, seeds in HOWS.items():
        for seed in range(seeds):
            for learner in LEARNERS:
                yield Key(data, learner, how, seed)


def record(key: Key) -> dict[str, np.ndarray]:
    """One study by our own searcher; its arrays."""
    task = Task(key.data, key.learner, key.seed)
    searcher = load_class("searcher", SEARCHER)(Problem(task.space, (lu.Objective("loss"),)), seed=key.seed)
    configs, found = [], []
    for k in range(TRIALS):
        asked = [task.space.default()] if k == 0 else searcher.ask(k=k)
        if not asked:
            break
        measured = task.measure(asked[0], key.how)
        configs.append(asked[0])
        found.append(measured)
        searcher.tell([Observation(k, asked[0], None, (float(measured.folds.mean()),))])
    single = np.float32
    return {
        "rows": task.space.encode(configs)[0].astype(single),
        "folds": np.array([one.folds for one in found], dtype=single),
        "stderr": np.array([one.stderr for one in found], dtype=single),
        "test": np.array([one.test for one in found], dtype=single),
        "seconds": np.array([one.seconds for one in found], dtype=single),
    }


def _path(data: str) -> Path:
    return FOLDER / f"{data}.npz"


def _stored(data: str) -> dict[str, np.ndarray]:
    if not _path(data).exists():
        return {}
    with np.load(_path(data), allow_pickle=False) as file:
        return dict(file)


def record_all(only: list[str] | None = None, seeds: int | None = None) -> None:
    """Record what is missing, one study after the other; each is on disk as soon as it is done.

    By seed first, cross-validation before hold-out: what is done early covers every data set.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    there = [data for data in only or SETS if SETS[data].load() is not None]
    for data in sorted({*(only or SETS)} - {*there}):
        print(f"{data}: left out, its source ({SETS[data].source}) is not there", flush=True)
    for key in sorted((key for data in there for key in keys(data)), key=lambda key: key.seed + LATER[key.how]):
        if seeds is None or key.seed < seeds:
            _record_one(key)


def _record_one(key: Key) -> None:
    stored = _stored(key.data)
    if f"{key}/test" in stored:
        return
    stored |= {f"{key}/{name}": array for name, array in record(key).items()}
    temporary = _path(key.data).with_suffix(".part.npz")
    np.savez_compressed(temporary, **stored)
    os.replace(temporary, _path(key.data))


def runs(how: str) -> Iterator[Run]:
    """Every recorded study of a kind."""
    for data, about in SETS.items():
        stored = _stored(data)
        for key in keys(data):
            if key.how == how and f"{key}/test" in stored:
                space = LEARNERS[key.learner].space(about.classes)
                names = ("rows", "folds", "stderr", "test", "seconds")
                yield Run(key, space, *(stored[f"{key}/{name}"].astype(float) for name in names))
