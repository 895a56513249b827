"""Stand-ins for the table of NAS-Bench-101: forests that answer for every cell, fitted to small ones that were trained.

`_small_cells_training` trains them and writes the file: an .npz of a forest "error", in the arrays that `_trees`
documents, whose outputs are errors in [0, 1] of 3 parts (validation, test, training) x 3 repetitions x 4 budgets, a
forest "seconds" with one output, the logarithm of the seconds that an epoch takes, and
    hash   (n,) bytes of length 32: the cells that were trained
    best   (4,) float64 least mean validation error at the last budget: of all cells of nb101, and of the spaces 1, 2
           and 3 of nb1shot1
    about  () text: where it comes from
A forest's leaves hold what was recorded: a cell that was trained gets its own values, any other the mean of cells that
the trees take for alike. Measured on the 80 cells: predictions for held-out fifths correlate in rank with what was
recorded by 0.60, 0.81, 0.85 and 0.95 at the four budgets; the first three budgets with the last by 0.40, 0.75, 0.85.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.base.records import Card
from luthier.bench.data import shipped, verify
from luthier.bench.families._cells import CONV1, CONV3, POOL, Cell, fingerprint
from luthier.bench.families._recorded import Record, read_arrays
from luthier.bench.families._trees import PARTS as PARTS_OF_TREES
from luthier.bench.families._trees import Trees, grown

BUDGETS = (4, 12, 36, 108)
STEPS = 2  # of training, for each epoch of the original
REPETITIONS = 3
PARTS = ("valid", "test", "train")
CHANNELS = 8
TREES = 40
_DIGITS = 4  # of a feature: the last ones of a sum depend on the order of vertices
FILE = "nb101_small.npz"
SHA256 = "07511a8b9b5f3d2565578e136015a4f866673f758e7efe6fcbb25457f431ec34"
SMALL = "@small"
LICENCE = "Apache-2.0 (luthier); the data BSD-3-Clause (scikit-learn)"
DESCRIPTION = (
    "Validation error of a cell on 8 x 8 digits, predicted by a forest; an invalid cell has error 1 at no cost. A "
    "stand-in of luthier's own: its numbers are not comparable with those of NAS-Bench-101."
)


def channels(cell: Cell, wide: int = CHANNELS) -> list[int]:
    """Channels of each vertex but the input, by NAS-Bench-101's rule: those before the output share its channels.

    Args:
        cell: The pruned cell.
        wide: Channels of the output; what is left over goes to the first vertices.

    Returns:
        One number a vertex; 0 for the input, which has whatever comes in.
    """
    ends = _ends(cell)
    shares = [wide // len(ends) + (place < wide % len(ends)) for place in range(len(ends))]
    return [int(one) for one in _widened(cell, shares, wide)]


def _ends(cell: Cell) -> list[int]:
    """Vertices between input and output that lead to the output."""
    last = len(cell.matrix) - 1
    return [v for v in range(1, last) if cell.matrix[v][last]]


def _widened(cell: Cell, shares: Sequence[float], wide: float) -> list[float]:
    """Channels from those of the ends: a vertex that is none is as wide as the widest that it leads to."""
    last = len(cell.matrix) - 1
    found: dict[int, float] = {**dict(zip(_ends(cell), shares, strict=True)), last: wide}
    for v in range(last - 1, 0, -1):
        if v not in found:
            found[v] = max(found[w] for w in range(v + 1, last) if cell.matrix[v][w])
    return [0, *(found[v] for v in range(1, last + 1))]


class SmallCells:
    """Answers for every cell.

    Args:
        path: The file.

    Raises:
        BenchmarkError: the file does not have the form that the module's documentation states.
    """

    levels = tuple(map(float, BUDGETS))
    repetitions = REPETITIONS
    noise = f"{REPETITIONS} repetitions, each predicted"

    def __init__(self, path: Path) -> None:
        names = {f"{forest}_{part}": ndim for forest in ("error", "seconds") for part, ndim in PARTS_OF_TREES.items()}
        found = read_arrays(path, {**names, "hash": 1, "best": 1, "about": 0}, what="nb101")
        self._error, self._seconds = (
            Trees({part: found[f"{forest}_{part}"] for part in PARTS_OF_TREES}, len(FEATURES), f"{path} ({forest})")
            for forest in ("error", "seconds")
        )
        outputs = len(PARTS) * REPETITIONS * len(BUDGETS)
        if self._error.values.shape[1] != outputs or self._seconds.values.shape[1] != 1:
            raise BenchmarkError(f"{path}: its forests must have {outputs} outputs and 1. Fetch the file again.")
        self.trained = frozenset(found["hash"].tolist())
        self.best = found["best"]
        self.origin = str(found["about"])

    def record(self, cell: Cell) -> Record:
        """What is predicted of a pruned cell."""
        return _record(self, cell)

    def least(self, rows: NDArray[np.float64]) -> float:
        """Least mean validation error at the last budget over cells: (n, features) -> a number."""
        ends = self._error.values.reshape(-1, len(PARTS), REPETITIONS, len(BUDGETS))[:, 0, :, -1].mean(axis=1)
        return float(self._error.predict_many(rows, ends).min())


@lru_cache(maxsize=1 << 14)  # as of fingerprints: the same cells are asked for at one budget after the other
def _record(table: SmallCells, cell: Cell) -> Record:
    row = np.array(features(cell), dtype=np.float64)
    error = table._error.predict(row).reshape(len(PARTS), REPETITIONS, len(BUDGETS))
    epoch = math.exp(float(table._seconds.predict(row)[0]))
    seconds = np.tile(epoch * np.array(BUDGETS), (REPETITIONS, 1))
    trained = fingerprint(cell).encode() in table.trained
    info = {"valid": True, "trained": trained, "train_error": float(error[2, :, -1].mean())}
    return Record(error[0], seconds, error[1], info)


FEATURES = (
    "vertices",
    "edges",
    *(f"{kind}_{what}" for kind in ("conv3", "conv1", "pool") for what in ("count", "wide", "first", "last")),
    "direct",
    "into_output",
    "from_input",
    "paths",
    *(f"{what}_{most}" for what in ("operations", "convolutions", "conv3", "pool") for most in ("most", "least")),
    "narrowest",
    "multiplications",
    "parameters",
)


def features(cell: Cell) -> list[float]:
    """What the forests know of a cell; equal for cells that differ in the order of their vertices alone.

    Counts of each operation (all of them, weighted with their channels, next to the input, before the output), of
    edges and of paths; the most and the least of each kind along a path; the narrowest vertex; and what the small
    network multiplies and learns, as logarithms.
    """
    graph, last, ends = cell.matrix, len(cell.matrix) - 1, len(_ends(cell))
    # equal shares: which vertex gets what is left over depends on their order
    wide = _widened(cell, [CHANNELS / max(ends, 1)] * ends, float(CHANNELS))
    inner = range(1, last)
    found: list[float] = [last + 1, sum(map(sum, graph))]
    for kind in (CONV3, CONV1, POOL):
        mine = [v for v in inner if cell.operations[v - 1] == kind]
        firsts, lasts = sum(graph[0][v] for v in mine), sum(graph[v][last] for v in mine)
        found += [len(mine), sum(wide[v] for v in mine), firsts, lasts]
    found += [graph[0][last], sum(graph[v][last] for v in inner), sum(graph[0]), math.log(_paths(cell))]
    for kinds in ((CONV3, CONV1, POOL), (CONV3, CONV1), (CONV3,), (POOL,)):
        weights = [0, *(int(operation in kinds) for operation in cell.operations), 0]
        found += [_along(cell, weights, max), _along(cell, weights, min)]
    weights = [{CONV3: 9, CONV1: 1, POOL: 0}[operation] for operation in cell.operations]
    learnt = sum(weight * wide[v] ** 2 for v, weight in enumerate(weights, 1))
    projected = CHANNELS * sum(wide[v] for v in range(1, last + 1) if graph[0][v])
    found += [min(wide[1:]), math.log(learnt + projected), math.log1p(learnt)]
    return [round(one, _DIGITS) for one in found]


def _paths(cell: Cell) -> int:
    graph = cell.matrix
    ways = [1]
    for v in range(1, len(graph)):
        ways.append(sum(ways[a] for a in range(v) if graph[a][v]))
    return ways[-1]


def _along(cell: Cell, weights: Sequence[int], most: Callable[[list[int]], int]) -> int:
    """Most or least sum of the vertices' weights along a path from input to output."""
    graph, sums = cell.matrix, [0]
    for v in range(1, len(graph)):
        sums.append(weights[v] + most([sums[a] for a in range(v) if graph[a][v]]))
    return sums[-1]


def load_small(name: str) -> tuple[SmallCells, Card]:
    """The table that comes with luthier, and a benchmark's card without optimum and noise.

    Args:
        name: The benchmark.

    Raises:
        ChecksumError: it is not the one that was shipped.
    """
    verify(shipped(FILE), SHA256)
    table = _load(shipped(FILE))
    return table, Card(name, table.origin, LICENCE, {FILE: SHA256}, description=DESCRIPTION)


@lru_cache(maxsize=1)  # all encodings and spaces share it
def _load(path: Path) -> SmallCells:
    return SmallCells(path)


def fit(path: Path, cells: Sequence[Cell], accuracies: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    """Fit the forests, and write the file, without the optima.

    Args:
        path: The file.
        cells: n pruned cells.
        accuracies: (n, parts, repetitions, budgets).
        seconds: (n,) for an epoch of the original.
    """
    X, same = np.unique(np.array([features(cell) for cell in cells]), axis=0, return_inverse=True)
    groups = [same.reshape(-1) == i for i in range(len(X))]  # cells that the features cannot tell apart
    errors = np.stack([(1 - accuracies)[group].mean(axis=0) for group in groups])
    times = np.array([np.log(seconds[group]).mean() for group in groups])
    # each budget weighs the same: errors are far apart at the first one, and close together at the last
    means = errors[:, :2].mean(axis=(1, 2))
    guide = (means - means.mean(axis=0)) / means.std(axis=0)
    found = {f"error_{part}": a for part, a in grown(X, guide, errors.reshape(len(X), -1), trees=TREES).items()}
    found |= {f"seconds_{part}": a for part, a in grown(X, times, times[:, None].round(3), trees=TREES).items()}
    names = np.array(sorted(fingerprint(cell) for cell in cells), dtype="S32")
    about = (
        f"luthier's own: {len(cells)} cells, {REPETITIONS} networks each, trained on scikit-learn's digits by "
        "luthier.bench.families._small_cells_training"
    )
    write(path, {**found, "hash": names, "about": np.array(about), "best": np.full(4, np.nan)})


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays of a file."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
