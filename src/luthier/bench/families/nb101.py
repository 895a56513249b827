"""NAS-Bench-101: 423 624 convolutional cells, trained three times at 4, 12, 36 and 108 epochs; and a small stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from luthier.base.records import Card, Configuration
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._cells import CONV1, CONV3, EDGES, PAIRS, POOL, VERTICES, Cell, Matrix, matrix, valid
from luthier.bench.families._nb101 import LICENCE, ORIGIN, UNVERIFIED, Cells, Table, load_modules, read_tfrecord
from luthier.bench.families._nb101 import write_npz as _write
from luthier.bench.families._small_cells import SMALL, load_small
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space

_NODES = tuple(f"op_node_{i}" for i in range(VERTICES - 2))


def space_a() -> Space:
    """Encoding A: a yes or no for each of the 21 possible edges."""
    return Space({**_operations(), **{f"edge_{i}": Choice(0, 1) for i in range(len(PAIRS))}})


def space_b() -> Space:
    """Encoding B: nine picks among the 21 possible edges; picks of the same edge are one edge."""
    return Space({**_operations(), **{f"edge_{i}": Choice(*range(len(PAIRS))) for i in range(EDGES)}})


def space_c() -> Space:
    """Encoding C: how many edges, and a score for each of the 21 possible ones; the best scored are taken."""
    count = Int(0, EDGES, default=4)  # the middle, rounded as ConfigSpace rounds it
    return Space({**_operations(), "num_edges": count, **{f"edge_{i}": Float(0, 1) for i in range(len(PAIRS))}})


def matrix_a(config: Configuration) -> Matrix:
    """Graph of a configuration of encoding A: edge i is the i-th of PAIRS."""
    return matrix([pair for i, pair in enumerate(PAIRS) if config[f"edge_{i}"]])


def matrix_b(config: Configuration) -> Matrix:
    """Graph of a configuration of encoding B.

    The picks are read as a number whose highest bit is edge 0, and its lowest bit is the first pair column by column:
    so the original does it, and so pick i is the (20 - i)-th pair in the order of the column.
    """
    return matrix([_COLUMNS[len(PAIRS) - 1 - config[f"edge_{i}"]] for i in range(EDGES)])


def matrix_c(config: Configuration) -> Matrix:
    """Graph of a configuration of encoding C; of equal scores the later edge is taken first.

    The original leaves the order of equal scores to an unstable sort, which its default (all scores 0.5) runs into.
    """
    scores = [config[f"edge_{i}"] for i in range(len(PAIRS))]
    best = np.argsort(scores, kind="stable")[::-1][: config["num_edges"]]
    return matrix([PAIRS[i] for i in best])


def operations(config: Configuration) -> list[str]:
    """Operations between input and output."""
    return [config[node] for node in _NODES]


_COLUMNS = tuple(sorted(PAIRS, key=lambda pair: (pair[1], pair[0])))
#: Encoding to its space, and to the graph of a configuration.
ENCODINGS: dict[str, tuple[Callable[[], Space], Callable[[Configuration], Matrix]]] = {
    "A": (space_a, matrix_a),
    "B": (space_b, matrix_b),
    "C": (space_c, matrix_c),
}


class Nb101Cells(Cells):
    """One encoding of the cells.

    With the complete file the optimum should come out as 0.0494458, the constant of Klein and Hutter's code; that has
    not been seen, as the file was not at hand.

    Args:
        encoding: "A", "B" or "C".
        table: What answers for cells.
        card: Its card, without optimum and noise.
        best: Least mean validation error of all cells, None or NaN when nobody computed it.

    Source: Klein and Hutter 2019 (the encodings; read in GitHub automl/nas_benchmarks, tabular_benchmarks/
        nas_cifar10.py, commit 29fc2c04ec4e), as used by HPOBench (Eggensperger et al. 2021).
    Differs: HPOBench draws one of the three repetitions at random in encodings B and C, whatever was asked for, and
        sums the costs of repetitions whose errors it averages; here a seed picks one in all encodings, and the cost
        is that of one training.
    Cost: 0.2 ms for a cell that was not asked for before.
    """

    def __init__(self, encoding: str, table: Table, card: Card, best: float | None) -> None:
        space, self._matrix = ENCODINGS[encoding]
        super().__init__(space(), table, card, best)

    def _cell(self, config: Configuration) -> Cell | None:
        return valid(self._matrix(config), operations(config))


@register("benchmark")
class Nb101(Family):
    """The table of Ying et al. 2019 in the three encodings of Klein and Hutter 2019, and a stand-in of luthier's own.

    "nb101/A@small" has the original's space, validity and budgets, and answers from forests fitted to small cells that
    were trained on scikit-learn's digits; "nb101/A" needs the original file.
    """

    def tasks(self) -> Sequence[str]:
        """Names of the encodings, the stand-in's first."""
        return (*(encoding + SMALL for encoding in ENCODINGS), *ENCODINGS)

    def open(self, task: str) -> Nb101Cells:
        """One encoding."""
        check_task("nb101", task, self.tasks())
        name, encoding = f"nb101/{task}", task.removesuffix(SMALL)
        if encoding != task:
            small, card = load_small(name)
            return Nb101Cells(encoding, small, card, float(small.best[0]))
        modules, checksums = load_modules(name)
        card = Card(
            name,
            ORIGIN,
            LICENCE,
            checksums,
            description="Validation error of a cell on CIFAR-10; an invalid cell has error 1 at no cost. " + UNVERIFIED,
        )
        return Nb101Cells(encoding, modules, card, modules.least())


def convert(source: str | Path, target: str | Path) -> None:
    """Make arrays of the original file, which are read in a second.

    Args:
        source: nasbench_full.tfrecord.
        target: The .npz; belongs at nasbench101/nasbench101.npz in the data folder.

    Raises:
        BenchmarkError: the source is damaged or not of the form.

    Cost: 15 microseconds for each record, and so one or two minutes for the 5 million of the original.
    """
    from luthier.bench.families.nb1shot1 import TASKS, cells

    _write(Path(target), read_tfrecord(Path(source)), (cells(task) for task in TASKS))


def _operations() -> dict[str, Choice]:
    return {node: Choice(CONV1, CONV3, POOL) for node in _NODES}
