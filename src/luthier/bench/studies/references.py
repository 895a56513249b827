"""Fixed values of a task that make regrets of it comparable, kept in the study's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from luthier.bench.statistics._guards import Array
from luthier.bench.statistics.random_search import RandomPool
from luthier.bench.studies import volumes

RULE = 1  # of how a reference is made; a study made under another rule keeps its own
_SEVERAL = ("point", "front", "random")  # arrays of a task with several objectives
_NOTHING: Array = np.empty(0)


@dataclass(frozen=True)
class Reference:
    """Fixed values of a task; all to be minimised.

    Args:
        best: The optimum, or the best known.
        median: Value of a median random configuration, of those that are feasible.
        pool: Values of random configurations at the full resource.
        penalty: What a tool outside is told of a failed evaluation: the 99th percentile of the pool.
        mean_seconds: Mean cost of a random configuration at the full resource.
        exact: Whether the best is known to be the optimum.
        test: Median and best test value of random configurations, NaN where there is none.
        how: In words, where all this comes from.
        objectives: Names of several objectives, with a minus sign where they are maximised; then all values above are
            minus hypervolumes, see `volumes`. Empty: there is one.
        point: (m,) their reference point, to be minimised.
        front: (k, m) their front, as far as it is known.
        random: (2, steps) numbers of random configurations, and what their sets are worth, the median.
        checksum: Of the files that the benchmark was read from, by name; empty: not known, or it needs none.
    """

    best: float
    median: float
    pool: RandomPool
    penalty: float
    mean_seconds: float
    exact: bool
    test: tuple[float, float]
    how: str
    objectives: tuple[str, ...] = ()
    point: Array = field(default_factory=_NOTHING.copy)
    front: Array = field(default_factory=_NOTHING.copy)
    random: Array = field(default_factory=_NOTHING.copy)
    checksum: Mapping[str, str] = field(default_factory=dict)

    def equivalent(self, value: float) -> float:
        """Random configurations that reach a value in half of the cases; infinity where the pool does not."""
        return volumes.equivalent(self.random, value) if self.objectives else self.pool.equivalent(value)

    def write(self, path: Path) -> None:
        """Keep it; the file appears as a whole."""
        about: dict[str, Any] = {"rule": RULE, "exact": self.exact, "how": self.how, "whole": self.pool.whole}
        if self.checksum:
            about["checksum"] = dict(self.checksum)
        several: dict[str, Any] = {}
        if self.objectives:
            about["objectives"] = list(self.objectives)
            several = {name: getattr(self, name) for name in _SEVERAL}
        numbers = np.array([self.best, self.median, self.penalty, self.mean_seconds, *self.test])
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(
                file, pool=self.pool.values, numbers=numbers, about=np.array(json.dumps(about)), **several
            )
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Reference:
        """The inverse of `write`."""
        with np.load(path, allow_pickle=False) as file:
            pool, numbers, about = file["pool"], file["numbers"].tolist(), json.loads(str(file["about"]))
            several: dict[str, Any] = {name: file[name] for name in _SEVERAL if name in file.files}
        best, median, penalty, seconds, *test = numbers
        kept = RandomPool(pool, about["whole"])
        return cls(
            best, median, kept, penalty, seconds, about["exact"], (test[0], test[1]), about["how"],
            tuple(about.get("objectives", ())), checksum=about.get("checksum", {}), **several,
        )  # fmt: skip
