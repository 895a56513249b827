"""Recorded repetitions along a resource: what a benchmark does with them, wherever they are kept."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError
from luthier.base.records import Configuration, Evaluation, Fidelity, Objective, Status
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench.data import DataFile, checksum
from luthier.space.domains import Choice, Ordinal
from luthier.space.space import Space

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]


class Record(NamedTuple):
    """What was recorded of one configuration; r repetitions, s amounts of the resource.

    Args:
        values: (r, s) the objective.
        seconds: (r, s) what was spent until then, in seconds; a row of NaN is a repetition that does not exist.
        test: (r, s) on the test set, (r, 1) when it is known at the full resource alone, None when it is not.
        info: What else is known.
    """

    values: Floats
    seconds: Floats
    test: Floats | None = None
    info: Mapping[str, Any] = {}


class Recorded(BaseBenchmark):
    """Answers from recorded repetitions; a subclass says what was recorded of a configuration.

    A seed picks one of the repetitions that exist (seed modulo their number), None gives means, of the cost too: the
    cost is that of one training. An amount between two recorded ones gets what the smaller one gave, value and cost.

    Attributes:
        levels: The recorded amounts of the resource, the smallest first.
        test_name: Metric that `evaluate_test` answers with; empty: there is none.
    """

    levels: tuple[float, ...]
    fidelity: Fidelity
    objectives: tuple[Objective, ...]
    test_name: str = ""

    @abstractmethod
    def _record(self, config: Configuration) -> Record:
        """What was recorded of a configuration of the space."""

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        column = self._column(resource)
        return [self._answer(self._record(config), column, seed) for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        record = self._record(config)
        known = [self._answer(record, column, seed) for column in range(self._column(until) + 1)]
        steps = self._steps(until)
        columns = np.searchsorted(self._limits, steps, side="right") - 1
        return [(step, known[column]) for step, column in zip(steps, columns.tolist(), strict=True)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, on the test set.

        Raises:
            UnsupportedError: no test values were recorded.
            ArgumentError: they are known at the full resource alone, and less was asked for.
        """
        record = self._record(self._check(config))
        if record.test is None or not self.test_name:
            raise UnsupportedError(f"benchmark {self.name!r} has no test values. Judge by evaluate(config, seed=None).")
        column = self._column(self._spent(resource))
        alone = record.test.shape[1] == 1
        if alone and column != len(self.levels) - 1:
            raise ArgumentError(
                f"benchmark {self.name!r}: test values at resource={resource!r}. Allowed: {self.fidelity.name}="
                f"{self.fidelity.high:g}, where alone they were recorded. Leave resource out."
            )
        rows = _present(record, seed)
        value = _mean(record.test, rows, 0 if alone else column)
        return Evaluation({self.test_name: value}, _mean(record.seconds, rows, column))

    @cached_property
    def _limits(self) -> Array:
        return np.array(self.levels)

    def _column(self, resource: float | None) -> int:
        if resource is None:
            return len(self.levels) - 1
        # the smallest level is the lowest resource allowed, so that there always is one below
        return int(self._limits.searchsorted(resource, side="right")) - 1

    def _answer(self, record: Record, column: int, seed: int | None) -> Evaluation:
        rows = _present(record, seed)
        value = _mean(record.values, rows, column)
        status = Status.COMPLETED if math.isfinite(value) else Status.DIVERGED
        return Evaluation({self.objectives[0].name: value}, _mean(record.seconds, rows, column), status, record.info)


class Grid:
    """Where a configuration of a complete grid stands: C-order, the first hyperparameter slowest.

    Args:
        lists: Hyperparameter to its values.
    """

    def __init__(self, lists: Mapping[str, Sequence[Any]]) -> None:
        sizes = [len(values) for values in lists.values()]
        self.size = math.prod(sizes)
        self.space = Space({name: _domain(values) for name, values in lists.items()})
        strides = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
        self._places = {
            name: {value: place * stride for place, value in enumerate(values)}
            for (name, values), stride in zip(lists.items(), strides, strict=True)
        }

    def row(self, config: Configuration) -> int:
        """Row of a configuration of the space."""
        return sum([places[config[name]] for name, places in self._places.items()])


def read_arrays(
    path: Path, shapes: Mapping[str, int], *, what: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz, nothing unpickled.

    Args:
        path: The file.
        shapes: Array to its number of dimensions.
        what: The benchmark, for the message.
        optional: Arrays that are read where they are there.

    Raises:
        BenchmarkError: the file cannot be read, or lacks an array.
    """
    layout = ", ".join(f"{name} ({ndim}-dimensional)" for name, ndim in shapes.items())
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in (*shapes, *(name for name in optional if name in file.files))}
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(
            f"benchmark {what!r}: {path} cannot be read ({error}). It must be an .npz of: {layout}."
        ) from error
    wrong = [name for name, ndim in shapes.items() if found[name].ndim != ndim]
    if wrong:
        raise BenchmarkError(f"benchmark {what!r}: {path} has {wrong[0]!r} of shape {found[wrong[0]].shape}. {layout}.")
    return found


def hashed(files: Mapping[str, Path]) -> dict[str, str]:
    """File to SHA-256, for a card; a file that did not change since is not read again."""
    return {path: _hash(place, *stamp(place)) for path, place in files.items()}


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does: its time of change in nanoseconds, and its size in bytes."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=64)  # more files than a process opens
def _hash(path: Path, changed: int, size: int) -> str:
    return checksum(path)


def either(files: Sequence[DataFile], base: Path | None) -> DataFile:
    """The first of several files that is there; the last one when none is, for the message that it is missing."""
    there = [file for file in files if base is not None and (base / file.path).is_file()]
    return there[0] if there else files[-1]


def _present(record: Record, seed: int | None) -> list[int]:
    """Rows of the repetitions that answer; lists, as arrays of three would cost more than they save."""
    rows = [row for row, cost in enumerate(record.seconds[:, -1].tolist()) if not math.isnan(cost)]
    return rows if seed is None else [rows[seed % len(rows)]]


def _mean(table: Floats, rows: list[int], column: int) -> float:
    if len(rows) == 1:
        return float(table[rows[0], column])
    return float(np.mean(table[rows, column], dtype=float))


def _domain(values: Sequence[Any]) -> Choice | Ordinal:
    numbers = all(isinstance(value, (int, float)) for value in values)
    return Ordinal(*values) if numbers else Choice(*values)
