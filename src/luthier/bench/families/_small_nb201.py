"""A stand-in for the curves of NAS-Bench-201: forests that answer for every cell, fitted to small trained ones.

`_small_nb201_training` trains them and writes the file: an .npz of a forest "error", in the arrays that `_trees`
documents, whose outputs are errors in [0, 1] of 3 parts (validation, test, training) x 3 repetitions x the epochs of
`RECORDED`, a forest "seconds" with one output, the logarithm of the seconds that an epoch takes, and
    trained  (n,) int64 rows, in the C-order of the six edges, of the plain cells that were trained
    best     () float64 least mean validation error after the last epoch, of all 15 625 cells
    about    () text: where it comes from
    figures  () text: how well the forests predict
Between two recorded epochs an error is interpolated. Cells that compute the same because of operations that do not
count, or because two nodes are exchanged, have one plain form, and one answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.bench.data import shipped, verify
from luthier.bench.families._nb201 import EDGES, EPOCHS, OPERATIONS
from luthier.bench.families._recorded import Grid, Record, Recorded
from luthier.bench.families._small_forests import SmallForests

PARTS = ("valid", "test", "train")
REPETITIONS = 3
CHANNELS, CLASSES = 8, 10
RECORDED = (1, 2, 3, 4, 6, 9, 12, 18, 27, 36, 50, 66, 81, 100, 125, 150, 175, 200)
TASK = "digits@small"
FILE = "nasbench201_digits_small.npz"
SHA256 = "ea61946eacfe8c09e7b802a1e09a87af005a2ff4cfe93228eac3c22ce1c0e117"
LICENCE = "Apache-2.0 (luthier); the data BSD-3-Clause (scikit-learn)"
DESCRIPTION = (
    "Error in percent of a cell of NAS-Bench-201's space on 8 x 8 digits, predicted by a forest. A stand-in of "
    "luthier's own: its numbers are not comparable with those of NAS-Bench-201."
)
NONE, SKIP, CONV1, CONV3, POOL = OPERATIONS
Cell = tuple[str, ...]
ENDS = tuple((int(edge[-1]), int(edge[0])) for edge in EDGES)  # (from, to)
_PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))  # places of the edges that lead from the input to the output
_EXCHANGED = (1, 0, 2, 3, 5, 4)  # places of the edges when nodes 1 and 2 are


def plain(operations: Sequence[str]) -> Cell:
    """The plain form of a cell: what does not lie on a path is none, and of two orders of nodes the first is taken.

    Args:
        operations: One for each edge.
    """
    alive = {place for path in living(operations) for place in path}
    found = tuple(one if place in alive else NONE for place, one in enumerate(operations))
    if found[2] != NONE:  # node 2 follows node 1
        return found
    return min(found, tuple(found[place] for place in _EXCHANGED), key=_places)


def living(operations: Sequence[str]) -> list[tuple[int, ...]]:
    """Paths from input to output on which no operation is none."""
    return [path for path in _PATHS if all(operations[place] != NONE for place in path)]


def _places(operations: Cell) -> list[int]:
    return [OPERATIONS.index(one) for one in operations]


def configuration(operations: Sequence[str]) -> Configuration:
    """The configuration of a cell."""
    return Configuration(zip(EDGES, operations, strict=True))


def parameters(operations: Sequence[str]) -> int:
    """Weights of the network: those of convolutions and normalisations of every edge, with stem and last layers."""
    wide = CHANNELS
    weights = {CONV1: wide**2 + 2 * wide, CONV3: 9 * wide**2 + 2 * wide}
    ends = 9 * wide + 2 * wide + 2 * wide + (wide + 1) * CLASSES
    return ends + sum(weights.get(one, 0) for one in operations)


def features(operations: Sequence[str]) -> list[float]:
    """What the forests know of a cell: the operation of each edge, and what lies on its paths.

    Of the paths that live: their number; the most and the least of operations, convolutions, convolutions 3 x 3 and
    pools along one, and over all of them. Of the edges: how many have each operation, and the logarithm of the weights.

    Args:
        operations: A plain cell.
    """
    found = [float(one == other) for one in operations for other in OPERATIONS[1:]]
    paths = living(operations)
    for kinds in ((CONV1, CONV3, POOL), (CONV1, CONV3), (CONV3,), (POOL,)):
        counts = [sum(operations[place] in kinds for place in path) for path in paths] or [-1]
        found += [max(counts), min(counts), sum(counts)]
    found += [len(paths), *(operations.count(one) for one in OPERATIONS)]
    return [*found, round(math.log(parameters(operations)), 4)]


COLUMNS = len(features((NONE,) * len(EDGES)))


class Forests(SmallForests):
    """The forests.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, what="nasbench201", columns=COLUMNS, outputs=len(PARTS) * REPETITIONS * len(RECORDED))

    def least(self) -> float:
        """Least mean validation error after the last epoch, of all cells.

        Cost: half a second.
        """
        rows = np.array([features(cell) for cell in {plain(one) for one in product(OPERATIONS, repeat=len(EDGES))}])
        ends = self.error.values.reshape(-1, len(PARTS), REPETITIONS, len(RECORDED))[:, 0, :, -1].mean(axis=1)
        return float(self.error.predict_many(rows, ends).min())


class SmallNasbench201(Recorded):
    """Predicted error after each epoch of the 200; "parameters" is told beside it.

    Args:
        forests: The forests.
        card: Its card.
        first: Lowest epoch.

    Source: Dong and Yang 2020 (space and fidelity).
    Differs: one cell of 8 channels in place of fifteen, other images, one step an epoch; some cells were trained, and
        a forest answers for all; test errors of every epoch.
    Cost: a walk down two forests, some 0.3 ms.
    """

    objectives = (Objective("valid_error"),)
    test_name = "test_error"

    def __init__(self, forests: Forests, card: Card, first: int) -> None:
        self._forests, self._grid = forests, Grid(dict.fromkeys(EDGES, OPERATIONS))
        self.space = self._grid.space
        self.levels = tuple(map(float, range(first, EPOCHS + 1)))
        # (recorded, levels): what each recorded epoch counts at a level, in percent
        self._between = 100 * np.array([np.interp(self.levels, RECORDED, one) for one in np.eye(len(RECORDED))])
        self.fidelity = Fidelity("epoch", first, EPOCHS)
        high = 100 * (1 + 1e-9)  # of a mean over trees
        self.bounds = {"valid_error": (0.0, high), "test_error": (0.0, high)}
        self.card = card

    def _record(self, config: Configuration) -> Record:
        cell = plain([config[edge] for edge in EDGES])
        row = np.array(features(cell))
        error = self._forests.error.predict(row).reshape(len(PARTS), REPETITIONS, -1) @ self._between
        epoch = math.exp(float(self._forests.seconds.predict(row)[0]))
        seconds = np.tile(epoch * np.array(self.levels), (REPETITIONS, 1))
        info = {
            "trained": self._grid.row(configuration(cell)) in self._forests.trained,
            "train_error": error[2].mean(axis=0),
            "parameters": parameters(cell),
        }
        return Record(error[0], seconds, error[1], info)

    def _answer(self, record: Record, column: int, seed: int | None) -> Evaluation:
        info = {**record.info, "train_error": float(record.info["train_error"][column])}
        size = info.pop("parameters")
        found = super()._answer(record._replace(info=info), column, seed)
        return replace(found, metrics={**found.metrics, "parameters": float(size)})


def load_small(first: int) -> SmallNasbench201:
    """The stand-in.

    Raises:
        ChecksumError: the file is not the one that was shipped.
    """
    path = shipped(FILE)
    verify(path, SHA256)
    forests = _load(path)
    card = Card(
        f"nasbench201/{TASK}",
        forests.about,
        LICENCE,
        {FILE: SHA256},
        {"valid_error": 100 * forests.best},
        f"{REPETITIONS} repetitions, each predicted",
        f"{DESCRIPTION} {forests.figures}",
    )
    return SmallNasbench201(forests, card, first)


@lru_cache(maxsize=1)
def _load(path: Path) -> Forests:
    return Forests(path)
