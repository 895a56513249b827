"""One cell is one tool on one task with one seed; a tool's cells lie in one compressed file."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import _machine
import numpy as np
from _tasks import CLIP, Task, normalised

from luthier.base.errors import LuthierError
from luthier.base.records import Configuration, Objective, Observation
from luthier.base.registry import load as load_class
from luthier.space.problem import Problem

FOLDER = _machine.RESULTS / "quality"
ASKED_AT = (25, 50, 100)  # when a searcher is asked which trial it believes best


class Asked(Protocol):
    """The part of a peer that a cell needs."""

    def ask(self) -> tuple[Configuration, float]: ...

    def tell(self, value: float) -> float: ...


@dataclass(frozen=True)
class Cell:
    """What is kept.

    Args:
        regret: (evaluations,) normalised regret of the incumbent, which is the trial recommended, else the lowest.
        lowest: (evaluations,) the same of the trial with the lowest value seen.
        done: Evaluations made; fewer than asked for where a finite space ended.
        seconds: Mean of ask + tell.
        error: Empty, or why there is no result.
    """

    regret: np.ndarray
    lowest: np.ndarray
    done: int
    seconds: float
    error: str = ""


class Trace:
    """Follows the incumbent through a run."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed
        self._asked: Counter[Configuration] = Counter()
        self._configs: list[Configuration] = []
        self._low, self._worst = np.inf, -np.inf
        self._carried: float | None = None
        self.regret: list[float] = []
        self.lowest: list[float] = []
        self.seconds = 0.0

    def evaluate(self, config: Configuration) -> float:
        """The value that the tool is told."""
        value = self._task.seen(config, self._seed, self._asked[config])
        self._asked[config] += 1
        self._configs.append(config)
        before = self.lowest[-1] if self.lowest else CLIP
        if value < self._low:
            self._low = value
            before = normalised(self._task, config)
        self.lowest.append(before)
        self.regret.append(before if self._carried is None else self._carried)
        return value

    def finite(self, value: float) -> float:
        """For a tool that wants finite values: the worst one so far in place of what is none."""
        if np.isfinite(value):
            self._worst = max(self._worst, value)
            return value
        return self._worst if np.isfinite(self._worst) else self._task.reference

    def recommended(self, trial: int | None) -> None:
        """The trial that counts from here on; None: the lowest."""
        self._carried = None if trial is None else normalised(self._task, self._configs[trial])
        self.regret[-1] = self.lowest[-1] if self._carried is None else self._carried

    def cell(self, evaluations: int) -> Cell:
        done = len(self.regret)
        regret, lowest = (np.full(evaluations, values[-1] if values else CLIP, dtype=np.float32)
                          for values in (self.regret, self.lowest))  # fmt: skip
        regret[:done], lowest[:done] = self.regret, self.lowest
        return Cell(regret, lowest, done, self.seconds / max(done, 1))


def ours(task: Task, name: str, seed: int, evaluations: int) -> Cell:
    """One of our searchers, in this process."""
    trace, begin = Trace(task, seed), time.perf_counter()
    try:
        searcher = load_class("searcher", name)(Problem(task.space, (Objective("loss"),)), seed=seed)
        trace.seconds += time.perf_counter() - begin
        for k in range(evaluations):
            begin = time.perf_counter()
            asked = searcher.ask(k=k)
            trace.seconds += time.perf_counter() - begin
            if not asked:
                break
            value = trace.evaluate(asked[0])
            begin = time.perf_counter()
            searcher.tell([Observation(k, asked[0], None, (value,))])
            trace.seconds += time.perf_counter() - begin
            if k + 1 in ASKED_AT:
                trace.recommended(searcher.recommend())
    except LuthierError as error:
        return failed(f"{type(error).__name__}: {error}", evaluations)
    return trace.cell(evaluations)


def theirs(task: Task, peer: Asked, seed: int, evaluations: int) -> Cell:
    """Another tool; its incumbent is the lowest value seen."""
    trace = Trace(task, seed)
    for _ in range(evaluations):
        config, asking = peer.ask()
        value = trace.finite(trace.evaluate(config))
        trace.seconds += asking + peer.tell(value)
    return trace.cell(evaluations)


def failed(message: str, evaluations: int) -> Cell:
    """A cell without a result."""
    nothing = np.full(evaluations, np.nan, dtype=np.float32)
    return Cell(nothing, nothing, 0, float("nan"), message[:300])


class Store:
    """A tool's cells on disk; every added cell is written at once, as a whole file that replaces the last one."""

    def __init__(self, tool: str, folder: Path = FOLDER) -> None:
        self.tool, self._path = tool, folder / f"{tool}.npz"
        self.cells: dict[tuple[str, int], Cell] = {}
        self.versions: dict[str, str] = {}
        if self._path.exists():
            with np.load(self._path) as file:
                kept = {name: file[name] for name in file.files}
            self.versions = json.loads(str(kept["versions"]))
            for i, key in enumerate(zip(kept["task"].tolist(), kept["seed"].tolist(), strict=True)):
                wanted = int(kept["wanted"][i])
                regret, lowest = kept["regret"][i, :wanted], kept["lowest"][i, :wanted]
                self.cells[key] = Cell(
                    regret, lowest, int(kept["done"][i]), float(kept["seconds"][i]), str(kept["error"][i])
                )

    def has(self, task: str, seed: int, evaluations: int) -> bool:
        """Whether a cell of that many evaluations is there, failed or not."""
        cell = self.cells.get((task, seed))
        return cell is not None and len(cell.regret) >= evaluations

    def drop_failed(self) -> None:
        """Forget the failed cells, so that they are run again."""
        self.cells = {key: cell for key, cell in self.cells.items() if not cell.error}

    def add(self, task: str, seed: int, cell: Cell) -> None:
        """Keep a cell."""
        self.cells[task, seed] = cell
        self.versions = self.versions or {"luthier": _machine.machine(["luthier"])["luthier"]}
        self._write()

    def _write(self) -> None:
        keys = sorted(self.cells)
        cells = [self.cells[key] for key in keys]
        most = max(len(cell.regret) for cell in cells)
        rows: dict[str, Any] = {name: np.full((len(cells), most), np.nan, np.float32) for name in ("regret", "lowest")}
        for i, cell in enumerate(cells):
            rows["regret"][i, : len(cell.regret)] = cell.regret
            rows["lowest"][i, : len(cell.lowest)] = cell.lowest
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                **rows,
                task=np.array([task for task, _ in keys]),
                seed=np.array([seed for _, seed in keys], dtype=np.int32),
                wanted=np.array([len(cell.regret) for cell in cells], dtype=np.int16),
                done=np.array([cell.done for cell in cells], dtype=np.int16),
                seconds=np.array([cell.seconds for cell in cells], dtype=np.float32),
                error=np.array([cell.error for cell in cells]),
                versions=np.array(json.dumps(self.versions)),
            )
        part.replace(self._path)
