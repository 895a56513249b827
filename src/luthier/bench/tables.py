"""Complete grids: every combination of listed values was trained, several times; looking up is an index."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.base.records import Card, Configuration, Evaluation, Objective, Status
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench.data import checksum, verify
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Ordinal
from luthier.space.space import Space


class GridTable(BaseBenchmark):
    """A grid whose cells hold one value per repetition.

    A cell's row is its position in the C-order product of the lists, the first hyperparameter slowest. A seed picks
    one of the repetitions that the cell has (seed modulo their number; a missing one is NaN in the table), None
    gives their mean.

    Args:
        values: (cells, repetitions), NaN where a repetition is missing.
        lists: Hyperparameter to its values, in the table's order.
        objective: Name and goal of the value.
        card: Its card; the optimum is added: the best mean over repetitions, exact.
        bounds: What the value lies within; None: the extremes of the table.

    Raises:
        BenchmarkError: table and lists do not fit, or a cell has no value.

    Cost: a look-up takes some microseconds; `at` takes none to speak of per cell.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        lists: Mapping[str, Sequence[Any]],
        objective: Objective,
        card: Card,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        sizes = [len(entries) for entries in lists.values()]
        if values.ndim != 2 or len(values) != math.prod(sizes):
            raise BenchmarkError(
                f"benchmark {card.name!r}: the table has shape {values.shape}; the lists have {math.prod(sizes)} "
                "combinations. Table and lists must come from the same release."
            )
        self._there = (~np.isnan(values)).sum(axis=1)
        if not self._there.all():
            raise BenchmarkError(f"benchmark {card.name!r}: cell {int(self._there.argmin())} has no value at all.")
        # recorded repetitions first, so that a seed is an index
        order = np.argsort(np.isnan(values), axis=1, kind="stable")
        self._values = np.take_along_axis(values, order, axis=1).astype(np.float64)
        self._means = np.nanmean(self._values, axis=1)
        self._lay(lists, objective)
        best = self._means.min() if objective.goal == "min" else self._means.max()
        self.card = Card(
            card.name,
            card.source,
            card.licence,
            card.checksum,
            {objective.name: float(best)},
            f"{values.shape[1]} recorded seeds",
            card.description,
        )
        low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if bounds is None else bounds
        self.bounds = {objective.name: (low, high)}

    def _lay(self, lists: Mapping[str, Sequence[Any]], objective: Objective) -> None:
        """The space, and where in the table a value leads."""
        sizes = [len(entries) for entries in lists.values()]
        self.space = Space({name: _domain(entries) for name, entries in lists.items()})
        self.objectives = (objective,)
        self._strides = np.array([math.prod(sizes[i + 1 :]) for i in range(len(sizes))], dtype=np.int64)
        self._sizes = np.array(sizes, dtype=np.int64)
        self._index = {
            name: {value: position * int(stride) for position, value in enumerate(entries)}
            for (name, entries), stride in zip(lists.items(), self._strides, strict=True)
        }

    def __len__(self) -> int:
        """Number of cells."""
        return len(self._values)

    @property
    def lists(self) -> dict[str, list[Any]]:
        """Hyperparameter to its values, in the table's order."""
        return {name: list(places) for name, places in self._index.items()}

    @property
    def values(self) -> NDArray[np.float64]:
        """(cells, repetitions), the recorded ones first, NaN behind them."""
        return np.array(self._values, dtype=np.float64)

    @property
    def means(self) -> NDArray[np.float64]:
        """(cells,) means over repetitions."""
        return np.array(self._means)

    def row(self, config: Config) -> int:
        """Row of a configuration.

        Raises:
            SpaceError: it is not of the space.
        """
        try:
            if len(config) == len(self._index):
                return sum([places[config[name]] for name, places in self._index.items()])
        except (KeyError, TypeError):
            pass  # not of the space, or in another guise (numpy scalars): the space says which
        checked = self._check(config)
        return sum(places[checked[name]] for name, places in self._index.items())

    def rows(self, units: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows of encoded configurations: (n, d) in [0, 1] -> (n,)."""
        digits = np.minimum((units * self._sizes).astype(np.int64), self._sizes - 1)
        return np.asarray(digits @ self._strides)

    def at(self, rows: NDArray[np.int64], seed: int | None = 0) -> NDArray[np.float64]:
        """Values of many cells: (n,) rows -> (n,)."""
        if seed is None:
            return np.asarray(self._means[rows])
        return np.asarray(self._values[rows, seed % self._there[rows]])

    def _one(self, row: int, seed: int | None) -> float:
        return float(self._means[row] if seed is None else self._values[row, seed % self._there[row]])

    def evaluate(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As the base class says; this path is the quick one."""
        if resource is not None:
            self._spent(resource)
        return self._answer(self._one(self.row(config), self._seeded(seed)))

    def evaluate_batch(
        self, configs: Sequence[Config], *, resource: float | None = None, seed: int | None = 0
    ) -> list[Evaluation]:
        """As the base class says."""
        self._spent(resource)
        rows = np.array([self.row(config) for config in configs], dtype=np.int64)
        return [self._answer(value) for value in self.at(rows, self._seeded(seed)).tolist()]

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        return self.evaluate_batch(configs, resource=resource, seed=seed)

    def _answer(self, value: float) -> Evaluation:
        status = Status.COMPLETED if math.isfinite(value) else Status.DIVERGED
        return Evaluation({self.objectives[0].name: value}, 0.0, status)


def read_grid(
    npz: Path, description: Path, task: str, *, objective: Objective, card: Card, bounds: tuple[float, float] | None
) -> GridTable:
    """Read a grid: one float array (cells, repetitions) per task in the .npz, the lists in the .json ("space").

    Raises:
        BenchmarkError: the files do not have that form.
    """
    try:
        lists = json.loads(description.read_text(encoding="utf-8"))["space"]
        with np.load(npz, allow_pickle=False) as file:
            values = file[task]
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(
            f"benchmark {card.name!r}: {npz.name} and {description.name} cannot be read ({error}). Expected: an .npz "
            f"with the array {task!r} of shape (cells, repetitions), and a .json with the lists under 'space'."
        ) from error
    return GridTable(values, lists, objective, card, bounds)


class MappedGrid(GridTable):
    """A grid that stays in its file: opening reads a few lines of text, an answer one page.

    `keep_grid` writes the two files, path.npy and path.json. Opening looks at the size of the first; its content is
    hashed by `verify` alone, which takes longer than all the rest.

    Args:
        path: Place of the files, without ending.

    Raises:
        BenchmarkError: they are not there or do not belong together.

    Cost: opening takes some milliseconds whatever the size, a look-up some microseconds.
    """

    def __init__(self, path: str | Path) -> None:
        self._place = Path(path).absolute()
        data, text = _files(self._place)
        try:
            about = json.loads(text.read_text(encoding="utf-8"))
            values = np.load(data, mmap_mode="r", allow_pickle=False)
            lists, (name, goal) = about["lists"], about["objective"]
            self.card, self._sha256 = Card(**about["card"]), about["sha256"]
            self.bounds = {name: (about["bounds"][0], about["bounds"][1])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{data} and {text.name} cannot be opened ({error}). Write them anew with keep_grid."
            ) from error
        if values.ndim != 2 or len(values) != math.prod(map(len, lists.values())):
            raise BenchmarkError(f"{data} has shape {values.shape}, which is not that of the lists in {text.name}.")
        self._values = values
        self._lay(lists, Objective(name, goal))

    def verify(self) -> None:
        """Read the whole file, and refuse another content.

        Raises:
            ChecksumError: with both hashes.
        """
        verify(_files(self._place)[0], self._sha256)

    @property
    def means(self) -> NDArray[np.float64]:
        """(cells,) means over repetitions; reads the whole table."""
        return np.asarray(np.nanmean(self._values, axis=1, dtype=np.float64))

    def at(self, rows: NDArray[np.int64], seed: int | None = 0) -> NDArray[np.float64]:
        """Values of many cells: (n,) rows -> (n,)."""
        found = np.asarray(self._values[rows], dtype=np.float64)
        if seed is None:
            return np.asarray(np.nanmean(found, axis=1))
        there = (~np.isnan(found)).sum(axis=1)
        return np.asarray(found[np.arange(len(found)), seed % there])

    def _one(self, row: int, seed: int | None) -> float:
        there = [value for value in self._values[row].tolist() if not math.isnan(value)]
        return float(np.mean(there)) if seed is None else there[seed % len(there)]

    def __reduce__(self) -> Any:
        return (MappedGrid, (self._place,))


def keep_grid(table: GridTable, path: str | Path) -> None:
    """Write a grid so that `MappedGrid` opens it at once: path.npy (float32) and path.json.

    Args:
        table: The grid.
        path: Place of the files, without ending; they appear as a whole.
    """
    data, text = _files(Path(path))
    [objective] = table.objectives
    part = data.with_name(f"{data.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, table.values.astype(np.float32), allow_pickle=False)
    card = {**asdict(table.card), "checksum": dict(table.card.checksum), "optimum": dict(table.card.optimum)}
    about = {
        "lists": table.lists,
        "objective": [objective.name, objective.goal],
        "bounds": list(table.bounds[objective.name]),
        "card": card,
        "sha256": checksum(part),
    }
    part.replace(data)
    text.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _files(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".npy"), path.with_name(path.name + ".json")


def _domain(entries: Sequence[Any]) -> Domain:
    numbers = all(isinstance(entry, (int, float)) for entry in entries)
    return Ordinal(*entries) if numbers else Choice(*entries)
