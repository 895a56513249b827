"""Learning curves of NAS-Bench-201, from converted arrays, HPOBench's JSON export, or its older pickles.

Converted arrays are an .npz for each image set, rows in the C-order of the six edges:
    valid    (15625, r, 200) float32 accuracy in percent after each epoch, NaN where a repetition is missing
    test     (15625, r) float32 accuracy in percent after the last epoch, on test images alone
    seconds  (15625, r, 200) float32 time of training and evaluation from the first epoch on, in seconds
`convert` writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.bench.families._pickles import read_plain
from luthier.bench.families._recorded import read_arrays

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")
EPOCHS = 200
SEEDS = (777, 888, 999)
CELLS = len(OPERATIONS) ** len(EDGES)
#: Image set to its name in the export, and the keys of its validation and test values there. But for CIFAR-10, what
#: was recorded after each epoch is accuracy on validation and test images together.
SETS = {
    "cifar10": ("cifar10-valid", "x-valid", "ori-test"),
    "cifar100": ("cifar100", "ori-test", "x-test"),
    "imagenet": ("ImageNet16-120", "ori-test", "x-test"),
}
_SHAPES = {"valid": 3, "test": 2, "seconds": 3}

Read = Callable[[str, str, int], float]  # metric, split, epoch from 0


class Curves(NamedTuple):
    """The arrays of the module's documentation."""

    valid: NDArray[np.float32]
    test: NDArray[np.float32]
    seconds: NDArray[np.float32]


def read_npz(path: Path) -> Curves:
    """Converted arrays.

    Raises:
        BenchmarkError: the file does not have that form.
    """
    found = Curves(**read_arrays(path, _SHAPES, what="nasbench201"))
    cells, repetitions, epochs = found.valid.shape
    if cells != CELLS or found.seconds.shape != found.valid.shape or found.test.shape != (cells, repetitions):
        raise BenchmarkError(
            f"{path} has valid {found.valid.shape}, test {found.test.shape}, seconds {found.seconds.shape}. They must "
            f"be ({CELLS}, r, {epochs}), ({CELLS}, r) and ({CELLS}, r, {epochs})."
        )
    return found


@lru_cache(maxsize=3)  # one for each image set, some 80 MB each
def load(path: Path, task: str, unpickle: bool, changed: int, size: int) -> Curves:
    """The curves of an image set from any of the forms; kept, as reading the export takes minutes."""
    if path.suffix == ".npz":
        return read_npz(path)
    return read_pickles(path.parent, task) if unpickle else read_json(path, task)


def read_json(path: Path, task: str) -> Curves:
    """HPOBench's export (version 1.3): seed, then architecture, then metric, then epoch or split@epoch, from 0.

    Raises:
        BenchmarkError: the file is not of that form, or lacks a cell.
    """
    found = _empty()
    try:
        for seed, architecture, entry in _entries(path.read_text(encoding="utf-8")):
            _fill(found, task, SEEDS.index(int(seed)), architecture, _reader(entry))
    except (ValueError, KeyError, TypeError, IndexError) as error:  # IndexError: the text ends too early
        raise BenchmarkError(f"{path} is no export of NAS-Bench-201 by HPOBench ({error!r}).") from error
    return _finished(found, path)


def read_pickles(directory: Path, task: str) -> Curves:
    """HPOBench's older export: a pickle nb201_<image set>_<seed>_<metric>.pkl, architecture to epoch to value.

    Nothing but dictionaries, lists, texts and numbers is unpickled.

    Raises:
        BenchmarkError: a file is missing, holds anything else, or lacks a cell.
    """
    found = _empty()
    export = SETS[task][0]
    for repetition, seed in enumerate(SEEDS):
        parts = {}
        for metric in ("train_times", "eval_acc1es", "eval_times"):
            paths = sorted(directory.glob(f"nb201_{export}_*{seed}*{metric}.pkl"))
            if len(paths) != 1:
                raise BenchmarkError(f"{directory} has {len(paths)} files of {metric}, seed {seed}, {export}; not one.")
            parts[metric] = read_plain(paths[0])
        try:
            for architecture in parts["train_times"]:
                entry = {metric: part[architecture] for metric, part in parts.items()}
                _fill(found, task, repetition, architecture, _reader(entry))
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{directory}: the pickles of seed {seed} are of another form ({error!r}).") from error
    return _finished(found, directory)


def convert(source: str | Path, target: str | Path, task: str) -> None:
    """Make arrays of an image set of HPOBench's JSON export.

    Args:
        source: NAS-Bench-201-v1_1-096897_<image set>.json.
        target: The .npz; belongs at nasbench_201/<task>.npz in the data folder.
        task: "cifar10", "cifar100" or "imagenet".

    Raises:
        BenchmarkError: the source is not of the form.
    """
    np.savez(Path(target), **read_json(Path(source), task)._asdict())


def architecture(operations: tuple[str, ...]) -> str:
    """The data set's text of a cell: for each node the operations on its edges, from the nodes before it."""
    nodes = (operations[:1], operations[1:3], operations[3:])
    return "+".join("|" + "|".join(f"{op}~{i}" for i, op in enumerate(node)) + "|" for node in nodes)


_ROWS = {architecture(operations): row for row, operations in enumerate(product(OPERATIONS, repeat=6))}


def _empty() -> Curves:
    shape = (CELLS, len(SEEDS), EPOCHS)
    return Curves(*(np.full(s, np.nan, dtype=np.float32) for s in (shape, shape[:2], shape)))


def _reader(entry: Mapping[str, Any]) -> Read:
    """Values of an entry, whose epochs are texts in JSON, and numbers in some pickles."""

    def read(metric: str, split: str, epoch: int) -> float:
        values = entry[metric]
        for key in (f"{split}@{epoch}", str(epoch), epoch):
            if key in values:
                return float(values[key])
        raise KeyError(f"{metric} of {split}@{epoch}")

    return read


def _fill(found: Curves, task: str, repetition: int, text: str, read: Read) -> None:
    row = _ROWS[text]
    _, split, test = SETS[task]
    epochs = range(EPOCHS)
    found.valid[row, repetition] = [read("eval_acc1es", split, epoch) for epoch in epochs]
    # every epoch counts, the first too
    costs = [read("train_times", "", epoch) + read("eval_times", split, epoch) for epoch in epochs]
    found.seconds[row, repetition] = np.cumsum(costs)
    found.test[row, repetition] = read("eval_acc1es", test, EPOCHS - 1)


def _finished(found: Curves, path: Path) -> Curves:
    """Take away the repetitions that the export filled up with copies of another seed's, and check the rest."""
    for later in range(1, len(SEEDS)):
        for earlier in range(later):
            same = (found.valid[:, later] == found.valid[:, earlier]).all(axis=1)
            same &= (found.seconds[:, later] == found.seconds[:, earlier]).all(axis=1)
            for part in found:
                part[same, later] = np.nan
    lacking = np.flatnonzero(np.isnan(found.test).all(axis=1))
    if len(lacking):
        raise BenchmarkError(f"{path} lacks {len(lacking)} of {CELLS} cells. Fetch the complete export.")
    return found


def _entries(text: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Seed, architecture, entry: one entry is decoded at a time, as all at once would take some ten gigabytes."""
    decoder, space = json.JSONDecoder(), re.compile(r"[\s,:]*")

    def skip(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    at = skip(0)
    if text[at : at + 1] != "{":
        raise ValueError("it does not begin with an object")
    at = skip(at + 1)
    while text[at] != "}":
        seed, at = decoder.raw_decode(text, at)
        at = skip(at)
        if text[at] != "{":
            raise ValueError(f"seed {seed} holds no object")
        at = skip(at + 1)
        while text[at] != "}":
            name, at = decoder.raw_decode(text, at)
            entry, at = decoder.raw_decode(text, skip(at))
            yield seed, name, entry
            at = skip(at)
        at = skip(at + 1)
