"""Classification data: what comes with scikit-learn, and what users supply under the number of an OpenML task.

A user's data lies in the folder that LUTHIER_DATA names, one file a task: `openml/<task>.parquet`, `.csv` or `.npz`.

    parquet, csv   one row an instance. Column `target`: the class. Column `test` (0 or 1), if there is one: the rows
                   that the task keeps for testing (repetition 0, fold 0 of its split). Every other column is an
                   input; text and truth values are categories, an empty cell (in CSV also ?, NA, nan) is missing.
    npz            `X` (n, d) numbers with NaN for missing, `y` (n,) classes; if wanted `categorical` (d,) and
                   `test` (n,), both truth values. No pickled objects.

Everything is cut and prepared as HPOBench does it: 10 % test (or the rows marked), of the rest 33 % validation, both
stratified and under the fixed seed 1; missing values become the median or the mode, categories one column each, numbers
mean 0 and variance 1, all learnt from the training rows alone.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError, ChecksumError, DataMissing, did_you_mean
from luthier.base.imports import need
from luthier.base.seeds import generator
from luthier.bench.data import VARIABLE, checksum, folder

Numbers = NDArray[np.float32]
Labels = NDArray[np.int64]

TEST_SHARE, VALIDATION_SHARE = 0.1, 0.33
SPLIT_SEED = 1
#: Set of scikit-learn to the SHA-256 of its content: X as float64, then y as int64.
BUNDLED: Mapping[str, str] = {
    "digits": "f6d9e39f37dc45d327f6db33428ee58970ccceabb2535a5c179de35886b70443",
    "breast_cancer": "25e2eb7b7a8745b1bde5ba18bc4969983d2e2f403291ecd5bde4a29ef30c3859",
    "wine": "3a28849ef2366c4b9d4e382b3fa5624a66f693c04d7fdcf43c529bbb0bb338d7",
    "iris": "aa06b8008ceba42efc654be0f83fdafc786239c9e8f13146044d078f5aab8f23",
}
#: The OpenML tasks of HPOBench.
OPENML = (
    "3", "12", "31", "53", "3917", "7592", "9952", "9977", "9981", "10101", "14965", "146212", "146606", "146818",
    "146821", "146822", "167119", "167120", "168911", "168912",
)  # fmt: skip
ENDINGS = (".parquet", ".csv", ".npz")
_MISSING = frozenset({"", "?", "NA", "nan", "NaN"})
_FLOOR_SHARE, _FLOOR_PER_CLASS = 1 / 512, 10  # HPOBench's least subsample, after Klein et al. 2017
_TEST, _VALIDATION, _SUBSET = 0, 1, 2  # which decision a generator is for


class Part(NamedTuple):
    """Rows of one purpose.

    Args:
        X: (n, features), prepared.
        y: (n,) class numbers from 0.
    """

    X: Numbers
    y: Labels


@dataclass(frozen=True)
class Data:
    """A data set, cut and prepared.

    Args:
        name: Its name, such as "digits" or "31".
        train: What models are fitted to.
        valid: What optimisers judge by.
        test: What finished searches are judged by.
        classes: Number of classes.
        source: Where it comes from.
        licence: Its licence.
        checksums: File or set to SHA-256.
    """

    name: str
    train: Part
    valid: Part
    test: Part
    classes: int
    source: str
    licence: str
    checksums: Mapping[str, str]

    @property
    def least(self) -> float:
        """Least share of the training rows that is ever taken: ten rows a class, and 1/512."""
        return max(_FLOOR_SHARE, _FLOOR_PER_CLASS * self.classes / len(self.train.y))

    def subset(self, share: float, seed: int) -> NDArray[np.int64]:
        """Rows of the training part, in their order, that a subsample consists of.

        The subsets of a seed are nested: each is the beginning of one stratified permutation.

        Args:
            share: Of the training rows, in (0, 1]; below `least` it is `least`.
            seed: Which permutation.
        """
        rows = len(self.train.y)
        count = min(rows, max(int(max(share, self.least) * rows), self.classes))
        return np.sort(stratified(self.train.y, generator(seed, "bench", _SUBSET))[:count])


class _Raw(NamedTuple):
    """A data set as it was supplied: categories as codes, NaN for missing, `test` None where nothing is marked."""

    X: NDArray[np.float64]
    categorical: NDArray[np.bool_]
    y: Labels
    test: NDArray[np.bool_] | None


def names() -> list[str]:
    """Every data set that has a name: those of scikit-learn, HPOBench's tasks, and what else the user supplies."""
    base = folder()
    there = sorted((base / "openml").glob("*.*"), key=lambda path: path.stem) if base is not None else []
    own = [path.stem for path in there if path.suffix in ENDINGS and path.stem.isdecimal()]
    return list(dict.fromkeys([*BUNDLED, *OPENML, *sorted(own, key=int)]))


def load(name: str, *, what: str) -> Data:
    """A data set by its name.

    Args:
        name: One of scikit-learn's, or the number of an OpenML task.
        what: The benchmark that needs it, for messages.

    Raises:
        BenchmarkError: no such data set, or the file does not have the layout.
        DataMissing: the user has to supply it.
        ChecksumError: scikit-learn's data is not what it was.
    """
    if name in BUNDLED:
        return _bundled(name)
    if not name.isdecimal():
        raise BenchmarkError(f"benchmark {what!r}: data {name!r}. {did_you_mean(name, [*BUNDLED, *OPENML])}")
    path = _supplied(name, what)
    return _read(name, path, path.stat().st_mtime_ns)


def stratified(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """A permutation of the rows whose every beginning holds the classes in their proportions.

    It begins with one row of each class, so that a subset of that size or more lacks none.

    Args:
        labels: (n,) class numbers.
        rng: Decides which rows come first.
    """
    order = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for one in np.unique(labels):
        mine = np.flatnonzero(labels[order] == one)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
        place[mine[0]] = -1
    return np.asarray(order[np.argsort(place, kind="stable")])


@lru_cache(maxsize=8)
def _bundled(name: str) -> Data:
    import sklearn.datasets

    X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    X, y = np.ascontiguousarray(X, dtype=np.float64), np.ascontiguousarray(y, dtype=np.int64)
    found = hashlib.sha256(X.tobytes() + y.tobytes()).hexdigest()
    if found != BUNDLED[name]:
        raise ChecksumError(
            f"scikit-learn's {name} has SHA-256 {found}; the benchmarks were made for {BUNDLED[name]}. Install a "
            "scikit-learn that ships the data of version 1.9."
        )
    raw = _Raw(X, np.zeros(X.shape[1], dtype=bool), y, None)
    return _cut(raw, name, f"scikit-learn's load_{name} (UCI)", "BSD-3-Clause (scikit-learn)", {name: found})


@lru_cache(maxsize=8)
def _read(name: str, path: Path, _changed: int) -> Data:
    """A user's file; what is cached belongs to one state of it."""
    reader = {".parquet": _from_parquet, ".csv": _from_csv, ".npz": _from_npz}[path.suffix]
    try:
        raw = reader(path)
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadZipFile) as error:
        raise BenchmarkError(f"{path} cannot be read as data of a task ({error}). {_LAYOUT}") from error
    source = f"OpenML task {name}, as supplied in {path.name}"
    return _cut(raw, name, source, "as stated by OpenML for the data set", {path.name: checksum(path)})


_LAYOUT = (
    "Layout: one row an instance, a column 'target' (the class), text for categories, empty cells for missing values, "
    "a column 'test' (0 or 1) for the task's own test rows (repetition 0, fold 0); or an .npz with X, y, and if wanted "
    "categorical and test."
)


def _supplied(name: str, what: str) -> Path:
    base = folder()
    wanted = ", ".join(f"openml/{name}{ending}" for ending in ENDINGS)
    origin = f"Origin: OpenML, task {name} (with the package openml: openml.tasks.get_task({name}).get_X_and_y())."
    if base is None:
        raise DataMissing(
            f"benchmark {what!r} needs data that is not part of luthier: {VARIABLE} is not set. Set it to a folder "
            f"that holds one of {wanted}. {_LAYOUT} {origin}"
        )
    for ending in ENDINGS:
        path = base / "openml" / f"{name}{ending}"
        if path.is_file():
            return path
    raise DataMissing(
        f"benchmark {what!r}: the folder of {VARIABLE} ({base}) holds none of {wanted}. {_LAYOUT} {origin}"
    )


def _from_npz(path: Path) -> _Raw:
    with np.load(path, allow_pickle=False) as file:
        X, y = file["X"].astype(np.float64), np.unique(file["y"], return_inverse=True)[1].astype(np.int64)
        if X.ndim != 2 or y.ndim != 1:
            raise ValueError(f"X has {X.ndim} dimensions and y {y.ndim}; they need two and one")
        width = X.shape[1]
        categorical = file["categorical"].astype(bool) if "categorical" in file.files else np.zeros(width, dtype=bool)
        test = _marked(file["test"].tolist()) if "test" in file.files else None
    if len(y) != len(X) or categorical.shape != (width,) or (test is not None and test.shape != y.shape):
        raise ValueError("the arrays do not fit together")
    return _Raw(X, categorical, y, test)


def _from_parquet(path: Path) -> _Raw:
    parquet = need("pyarrow.parquet", what=f"the data {path.name}", extra="bench")
    table = parquet.read_table(path)
    return _from_columns({name: table.column(name).to_pylist() for name in table.column_names})


def _from_csv(path: Path) -> _Raw:
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if len(lines) < 2:
        raise ValueError(f"it has {len(lines)} lines; it needs one of names and one for each instance")
    header, *rows = lines
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"rows differ in length from the header's {len(header)} columns")
    columns = zip(*rows, strict=True)
    return _from_columns({name: _parsed(column) for name, column in zip(header, columns, strict=True)})


def _parsed(column: Sequence[str]) -> list[Any]:
    """Numbers where every cell that is not missing is one, else texts."""
    cells = [None if cell in _MISSING else cell for cell in column]
    try:
        return [None if cell is None else float(cell) for cell in cells]
    except ValueError:
        return cells


def _from_columns(columns: dict[str, list[Any]]) -> _Raw:
    if "target" not in columns:
        raise ValueError(f"there is no column 'target' among {sorted(columns)}")
    target = columns.pop("target")
    if any(cell is None for cell in target):
        raise ValueError("column 'target' has missing values")
    mark = columns.pop("test", None)
    test = None if mark is None else _marked(mark)
    if not columns:
        raise ValueError("there is no input, that is a column beside 'target' and 'test'")
    kinds, inputs = [], []
    for column in columns.values():
        text = any(isinstance(cell, (str, bool)) for cell in column)
        kinds.append(text)
        inputs.append(_codes(column) if text else np.array(column, dtype=np.float64))
        if inputs[-1].ndim != 1:
            raise ValueError("a cell holds a list; one number, text or truth value is allowed")
    y = np.unique(np.array([str(cell) for cell in target]), return_inverse=True)[1]
    return _Raw(np.stack(inputs, axis=1), np.array(kinds), y.astype(np.int64), test)


def _marked(column: Sequence[Any]) -> NDArray[np.bool_]:
    """Which rows are for testing."""
    marks = ("0", "1") if any(isinstance(cell, str) for cell in column) else (0, 1)  # one text makes all cells texts
    for i, cell in enumerate(column):
        if cell not in marks:
            what = "is empty" if cell is None else f"holds {cell!r}"
            raise ValueError(f"column 'test' {what} in instance {i}, counted from 0; 0 or 1 is allowed")
    found = np.array([cell == marks[1] for cell in column])
    if found.all() or not found.any():
        raise ValueError(f"column 'test' marks {'every' if found.any() else 'no'} row; leave it out, or mark some")
    return found


def _codes(column: Sequence[Any]) -> NDArray[np.float64]:
    known = {text: i for i, text in enumerate(sorted({str(cell) for cell in column if cell is not None}))}
    return np.array([np.nan if cell is None else known[str(cell)] for cell in column])


def _cut(raw: _Raw, name: str, source: str, licence: str, checksums: Mapping[str, str]) -> Data:
    """Split, then learn the preparation from the training rows."""
    counts = np.bincount(raw.y)
    if len(counts) < 2 or counts.min() < 3:
        raise BenchmarkError(
            f"data {name!r} has classes of {counts.tolist()} rows. Needed: two classes or more, of three rows or more."
        )
    everything = np.arange(len(raw.y))
    if raw.test is None:
        order = stratified(raw.y, generator(SPLIT_SEED, "bench", _TEST))
        tests = np.sort(order[: round(TEST_SHARE * len(order))])
    else:
        tests = np.flatnonzero(raw.test)
    rest = np.setdiff1d(everything, tests)
    order = rest[stratified(raw.y[rest], generator(SPLIT_SEED, "bench", _VALIDATION))]
    cut = round(VALIDATION_SHARE * len(rest))
    valid, train = np.sort(order[:cut]), np.sort(order[cut:])
    X = prepared(raw.X, raw.categorical, train)
    parts = [Part(X[rows], raw.y[rows]) for rows in (train, valid, tests)]
    return Data(name, parts[0], parts[1], parts[2], len(counts), source, licence, checksums)


def prepared(X: NDArray[np.float64], categorical: NDArray[np.bool_], train: NDArray[np.int64]) -> Numbers:
    """Inputs as models take them, by what the training rows teach.

    Args:
        X: (n, d), categories as codes, NaN for missing.
        categorical: (d,) which columns are categories.
        train: Row numbers of the training rows.

    Returns:
        (n, features): a column for each category that a training row has (one that none has is all zeros), then the
        numbers with mean 0 and variance 1 over the training rows.
    """
    columns: list[NDArray[np.float64]] = []
    for column in X.T[categorical]:
        seen, counts = np.unique(column[train][~np.isnan(column[train])], return_counts=True)
        if len(seen):
            filled = np.where(np.isnan(column), seen[counts.argmax()], column)
            columns.extend((filled == one).astype(np.float64) for one in seen)
    for column in X.T[~categorical]:
        known = column[train][~np.isnan(column[train])]
        filled = np.where(np.isnan(column), np.median(known) if len(known) else 0.0, column)
        spread = filled[train].std()
        columns.append((filled - filled[train].mean()) / (spread if spread > 0 else 1.0))
    return np.stack(columns, axis=1).astype(np.float32)
