"""The table of NAS-Bench-101: trainings by module hash, read from the original file or from converted arrays.

Converted arrays are an .npz of
    hash        (n,) bytes of length 32, sorted: MD5 of each module in hexadecimal
    epochs      (e,) budgets, the smallest first: 4, 12, 36, 108
    valid       (n, r, e) float32 accuracy in [0, 1] on validation images, r repetitions
    test        (n, r, e) float32 accuracy in [0, 1] on test images
    seconds     (n, r, e) float32 training time in seconds
    parameters  (n,) int64 trainable parameters
    best        (3,) float64 least mean validation error of the spaces 1, 2 and 3 of nb1shot1 at the last budget
`convert` writes them from the original file.
"""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from array import array
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.base.records import Card, Configuration, Fidelity, Objective
from luthier.bench.data import DataFile, find, folder
from luthier.bench.families._cells import Cell, fingerprint
from luthier.bench.families._protobuf import fields
from luthier.bench.families._recorded import Record, Recorded, either, hashed, read_arrays, stamp
from luthier.bench.families._tfrecord import read_frames
from luthier.space.space import Space

NPZ, TFRECORD = DataFile("nasbench101/nasbench101.npz"), DataFile("nasbench101/nasbench_full.tfrecord")
ORIGIN = (
    "nasbench_full.tfrecord as linked from GitHub google-research/nasbench (about 2 GB, read in a minute or two), or "
    f"{NPZ.path}, which luthier.bench.families.nb101.convert makes of it"
)
LICENCE = "Apache-2.0 (google-research/nasbench)"
UNVERIFIED = (
    "The original file was not at hand: its form was taken from the public reader and tested on files written in it."
)
_SHAPES = {"hash": 1, "epochs": 1, "valid": 3, "test": 3, "seconds": 3, "parameters": 1, "best": 1}


class Table(Protocol):
    """What answers for cells.

    Attributes:
        levels: Budgets in epochs, the smallest first.
        noise: What the card says of the repetitions.
    """

    @property
    def levels(self) -> tuple[float, ...]: ...

    @property
    def noise(self) -> str: ...

    def record(self, cell: Cell) -> Record | None:
        """What is known of a pruned cell, None when it is not in the table."""


class Modules(NamedTuple):
    """The original's table in memory; arrays as the module's documentation has them."""

    hash: NDArray[np.bytes_]
    epochs: NDArray[np.int64]
    valid: NDArray[np.float32]
    test: NDArray[np.float32]
    seconds: NDArray[np.float32]
    parameters: NDArray[np.int64]
    best: NDArray[np.float64]

    def row(self, cell: Cell) -> int | None:
        """Row of a pruned cell, None when the table lacks it."""
        name = fingerprint(cell).encode()
        place = int(np.searchsorted(self.hash, name))
        return place if place < len(self.hash) and self.hash[place] == name else None

    @property
    def levels(self) -> tuple[float, ...]:
        """Budgets in epochs."""
        return tuple(map(float, self.epochs))

    @property
    def noise(self) -> str:
        """How many repetitions there are."""
        return f"{self.valid.shape[1]} recorded seeds"

    def record(self, cell: Cell) -> Record | None:
        """What was recorded of a pruned cell, None when it was not."""
        row = self.row(cell)
        if row is None:
            return None
        info = {"valid": True, "parameters": int(self.parameters[row])}
        return Record(1 - self.valid[row].astype(float), self.seconds[row], 1 - self.test[row].astype(float), info)

    def least(self, rows: Any = slice(None)) -> float:
        """Least mean validation error at the last budget, of some rows or all; NaN of none."""
        means = 1 - self.valid[rows, :, -1].mean(axis=1, dtype=float)
        return float(means.min()) if means.size else float("nan")


class Cells(Recorded):
    """A space of cells over the table; a subclass says which cell a configuration is.

    An invalid cell has error 1 at cost 0, as its info says. Each budget is a training of its own with its own
    learning-rate schedule, no part of a longer one: a simulation that is to charge for each in full, as HPOBench
    does, takes `checkpoints=False`.

    Args:
        space: Where to search.
        table: What answers for cells.
        card: Its card, without optimum and noise.
        best: Least mean validation error in the space, None or NaN when nobody computed it.
    """

    objectives = (Objective("valid_error"),)
    test_name = "test_error"

    def __init__(self, space: Space, table: Table, card: Card, best: float | None) -> None:
        self.space, self._table, self.levels = space, table, table.levels
        self.fidelity = Fidelity("budget", int(self.levels[0]), int(self.levels[-1]))
        self.bounds = {"valid_error": (0.0, 1.0), "test_error": (0.0, 1.0)}
        optimum = {} if best is None or not np.isfinite(best) else {"valid_error": best}
        noise = table.noise if optimum else f"{table.noise.replace('recorded ', '')}, optimum not computed"
        self.card = replace(card, optimum=optimum, noise=noise)

    @abstractmethod
    def _cell(self, config: Configuration) -> Cell | None:
        """The pruned cell of a configuration, None when it is invalid."""

    def _record(self, config: Configuration) -> Record:
        cell = self._cell(config)
        if cell is None:
            ones = np.ones((1, len(self.levels)))
            return Record(ones, 0 * ones, ones, {"valid": False})
        found = self._table.record(cell)
        if found is None:
            raise BenchmarkError(
                f"benchmark {self.name!r}: the table has no module {fingerprint(cell)}; the complete one has 423624. "
                f"Supply the complete file: {ORIGIN}."
            )
        return found


def load_modules(what: str) -> tuple[Modules, dict[str, str]]:
    """The table of the user's data folder, and the SHA-256 of its file.

    Raises:
        DataMissing: neither file is there.
        BenchmarkError: the file is damaged or not of the form.
    """
    file = either((NPZ, TFRECORD), folder())
    places = find(what, (file,), origin=ORIGIN)
    place = places[file.path]
    return _load(place, *stamp(place)), hashed(places)


@lru_cache(maxsize=2)  # all encodings and spaces share one table of some 60 MB
def _load(path: Path, changed: int, size: int) -> Modules:
    return read_tfrecord(path) if path.suffix == ".tfrecord" else read_npz(path)


def read_npz(path: Path) -> Modules:
    """The table from converted arrays.

    Raises:
        BenchmarkError: the file does not have that form.
    """
    found = Modules(**read_arrays(path, _SHAPES, what="nb101"))
    shape = (len(found.hash), found.valid.shape[1], len(found.epochs))
    if any(part.shape != shape for part in (found.valid, found.test, found.seconds)) or not shape[2]:
        raise BenchmarkError(f"{path}: valid, test and seconds must have the shape {shape}. Convert it again.")
    return found


def read_tfrecord(path: Path) -> Modules:
    """The table from the original file, without TensorFlow.

    Each frame is JSON: module hash, budget in epochs, adjacency as a string of digits, operations, and a
    protocol-buffer message in base64 whose last evaluation holds accuracies and training time. Frames of the same
    module and budget are its repetitions, in the order of the file.

    Raises:
        BenchmarkError: a frame is damaged, or not of that form, or a module lacks a repetition.
    """
    rows: dict[str, int] = {}
    row, epochs, numbers, parameters = array("q"), array("q"), array("f"), array("q")
    for frame in read_frames(path):
        try:
            name, budget, _, _, metrics = json.loads(frame)
            count, measured = _metrics(base64.b64decode(metrics))
        except (ValueError, TypeError) as error:
            raise BenchmarkError(f"{path}: a frame is no record of NAS-Bench-101 ({error}).") from error
        place = rows.setdefault(name, len(rows))
        if place == len(parameters):
            parameters.append(count)
        row.append(place)
        epochs.append(budget)
        numbers.extend(measured)
    if not rows:
        raise BenchmarkError(f"{path} has no record. Fetch the file again.")
    order = np.argsort(np.array(list(rows), dtype="S32"), kind="stable")
    table = _blocks(path, np.array(row), np.array(epochs), np.array(numbers).reshape(-1, 3))
    names = np.array(list(rows), dtype="S32")[order]
    budgets = np.unique(np.array(epochs)).astype(np.int64)
    valid, test, seconds = (np.ascontiguousarray(table[order, ..., i]) for i in range(3))
    return Modules(names, budgets, valid, test, seconds, np.array(parameters)[order], np.full(3, np.nan))


def _metrics(message: bytes) -> tuple[int, tuple[float, float, float]]:
    """Parameters, and of the last evaluation: validation accuracy, test accuracy, seconds."""
    last, parameters = b"", 0
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            last = value
        elif number == 2 and isinstance(value, int):
            parameters = value
    found = dict(fields(last))
    if not {2, 4, 5} <= found.keys():
        raise ValueError("the last evaluation lacks accuracies or time")
    return parameters, (float(found[4]), float(found[5]), float(found[2]))


def _blocks(
    path: Path, row: NDArray[np.int64], epochs: NDArray[np.int64], numbers: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, r, e, 3) from the records in the order of the file."""
    budgets, column = np.unique(epochs, return_inverse=True)
    group = row * len(budgets) + column
    order = np.argsort(group, kind="stable")
    modules = int(row.max()) + 1
    counts = np.bincount(group, minlength=modules * len(budgets))
    if counts.min() != counts.max():
        raise BenchmarkError(
            f"{path}: modules have from {counts.min()} to {counts.max()} trainings at a budget; all must have as many. "
            "Fetch the complete file."
        )
    table = numbers[order].reshape(modules, len(budgets), int(counts.max()), 3)
    return np.swapaxes(table, 1, 2)


def write_npz(path: Path, modules: Modules, cells: Iterable[Iterable[Cell]]) -> None:
    """Write converted arrays.

    Args:
        path: The file.
        modules: The table.
        cells: All cells of each space of nb1shot1, for its optimum.
    """
    best = np.array([modules.least(_rows(modules, one)) for one in cells])
    np.savez(path, **modules._replace(best=best)._asdict())


def _rows(modules: Modules, cells: Iterable[Cell]) -> NDArray[np.int64]:
    found = {modules.row(cell) for cell in cells}
    return np.array(sorted(row for row in found if row is not None), dtype=np.int64)
