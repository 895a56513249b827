"""Runs in virtual time: the incumbent's regret as a step function, and the cells of a tool on disk.

Time is a fraction of the budget. A value holds from its moment on; before the first one the incumbent counts as a
median random configuration, whose normalised regret is 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import _machine
import numpy as np

NOTHING_YET = 1.0
#: Where a run's regret is averaged: 200 moments, equally spaced in the logarithm of time.
GRID = np.geomspace(1e-3, 1.0, 200)


@dataclass(frozen=True)
class Cell:
    """One tool on one task with one seed.

    Args:
        times: (n,) moments at which the incumbent changed, rising, as fractions of the budget.
        values: (n,) its score from then on.
        trials: Trials begun.
        reports: Reports made.
        busy: Share of the workers' time in which they ran something; NaN where unknown.
        thinking: Real seconds of the tool itself, answers of the benchmark excluded.
        error: Empty, or why there is no result.
    """

    times: np.ndarray
    values: np.ndarray
    trials: int
    reports: int
    busy: float
    thinking: float
    error: str = ""

    def at(self, times: Sequence[float] | np.ndarray, start: float = NOTHING_YET) -> np.ndarray:
        """The score at some moments; `start` before the first."""
        places = np.searchsorted(self.times, np.asarray(times), side="right")
        return np.concatenate([[start], self.values])[places]

    def anytime(self, stretch: float = 1.0, start: float = NOTHING_YET) -> float:
        """Mean score over log-spaced moments; with `stretch` the tool had that many times as long."""
        return float(self.at(GRID * stretch, start).mean())


def failed(message: str) -> Cell:
    """A cell without a result."""
    return Cell(np.empty(0), np.empty(0), 0, 0, float("nan"), float("nan"), message[:300])


class Store:
    """A tool's cells on disk; every added cell is written at once, as a whole file that replaces the last one.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cells: dict[tuple[str, int], Cell] = {}
        self.versions: dict[str, str] = {}
        if not path.exists():
            return
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files}
        self.versions = json.loads(str(kept["versions"]))
        ends = np.cumsum(kept["length"])
        for i, key in enumerate(zip(kept["task"].tolist(), kept["seed"].tolist(), strict=True)):
            part = slice(ends[i] - kept["length"][i], ends[i])
            times, values = (kept[name][part].astype(float) for name in ("times", "values"))
            numbers = (int(kept["trials"][i]), int(kept["reports"][i]), float(kept["busy"][i]))
            self.cells[key] = Cell(times, values, *numbers, float(kept["thinking"][i]), str(kept["error"][i]))

    def drop_failed(self) -> None:
        """Forget the failed cells, so that they are run again."""
        self.cells = {key: cell for key, cell in self.cells.items() if not cell.error}

    def seeds(self, tasks: Sequence[str]) -> set[int]:
        """Seeds with a result on every task."""
        fine = {key for key, cell in self.cells.items() if not cell.error}
        return {seed for _, seed in fine if all((task, seed) in fine for task in tasks)}

    def add(self, task: str, seed: int, cell: Cell) -> None:
        """Keep a cell."""
        self.cells[task, seed] = cell
        self.versions = self.versions or {"luthier": _machine.machine(["luthier"])["luthier"]}
        keys = sorted(self.cells)
        cells = [self.cells[key] for key in keys]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                times=np.concatenate([one.times for one in cells]),
                values=np.concatenate([one.values for one in cells]).astype(np.float32),
                length=np.array([len(one.times) for one in cells], dtype=np.int32),
                trials=np.array([one.trials for one in cells], dtype=np.int32),
                reports=np.array([one.reports for one in cells], dtype=np.int32),
                busy=np.array([one.busy for one in cells], dtype=np.float32),
                thinking=np.array([one.thinking for one in cells], dtype=np.float32),
                error=np.array([one.error for one in cells]),
                task=np.array([task for task, _ in keys]),
                seed=np.array([seed for _, seed in keys], dtype=np.int32),
                versions=np.array(json.dumps(self.versions)),
            )
        part.replace(self._path)
