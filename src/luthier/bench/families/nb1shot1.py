"""NAS-Bench-1Shot1: three spaces of NAS-Bench-101's cells, a fixed number of parents each; and a small stand-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, product

from luthier.base.records import Card, Configuration
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.families._cells import CONV1, CONV3, POOL, Cell, matrix, prune
from luthier.bench.families._nb101 import LICENCE, ORIGIN, UNVERIFIED, Cells, Table, load_modules
from luthier.bench.families._small_cells import SMALL, load_small
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed
from luthier.space.space import Space

#: Space to the number of parents of block 1, 2, ...; the last block is the output.
PARENTS = {"1": (1, 2, 2, 2, 2), "2": (1, 1, 2, 2, 3), "3": (1, 1, 1, 2, 2, 2)}
TASKS = tuple(PARENTS)
_OPERATIONS = (CONV1, CONV3, POOL)


def space(task: str) -> Space:
    """A space: an operation for each block but the output, then the parents of each, written as "(0, 2)"."""
    parents = _choices(task)
    found: dict[str, Domain] = {f"choice_block_{n}_op": Choice(*_OPERATIONS) for n in range(1, len(parents))}
    for n, sets in enumerate(parents, 1):
        words = [str(one) for one in sets]
        found[f"choice_block_{n}_parents"] = Choice(*words) if len(words) > 1 else Fixed(words[0])
    return Space(found)


def wiring(parents: Sequence[Sequence[int]], operations: Sequence[str]) -> Cell:
    """The pruned cell of blocks with their parents: block 0 is the input, the last one the output.

    No cell is invalid: every chain of parents ends at the input, and there are nine edges.
    """
    edges = [(parent, block) for block, ones in enumerate(parents, 1) for parent in ones]
    cell = prune(matrix(edges, len(parents) + 1), operations)
    assert cell is not None  # the output has parents, and theirs lead to the input
    return cell


def cell(task: str, config: Configuration) -> Cell:
    """The pruned cell of a configuration of a space."""
    sets = _choices(task)
    parents = [_words(ones)[config[f"choice_block_{n}_parents"]] for n, ones in enumerate(sets, 1)]
    return wiring(parents, [config[f"choice_block_{n}_op"] for n in range(1, len(sets))])


def cells(task: str) -> Iterator[Cell]:
    """All pruned cells of a space, each once; cells that differ in the order of vertices alone count as several."""
    graphs = {wiring(chosen, [""] * (len(chosen) - 1)).matrix for chosen in product(*_choices(task))}
    for graph in sorted(graphs):
        for operations in product(_OPERATIONS, repeat=len(graph) - 2):
            yield Cell(graph, operations)


def _words(sets: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {str(one): one for one in sets}


@lru_cache(maxsize=len(TASKS))
def _choices(task: str) -> list[list[tuple[int, ...]]]:
    """Sets of parents of block 1, 2, ..."""
    return [list(combinations(range(block), count)) for block, count in enumerate(PARENTS[task], 1)]


class Nb1shot1Cells(Cells):
    """One space.

    Sizes, counted by enumeration: the spaces 1, 2 and 3 have 14 580, 29 160 and 1 312 200 configurations. The paper's
    6 240 and 363 648 for the spaces 1 and 3 count the operations of blocks with a successor only (which makes 16 632
    for space 2); its 29 160 for space 2 counts all. Pruned, there are 2 685, 7 773 and 55 854 different modules.

    Args:
        task: "1", "2" or "3".
        table: What answers for cells.
        card: Its card, without optimum and noise.
        best: Least mean validation error in the space, None or NaN when nobody computed it.

    Source: Zela, Siems and Hutter 2020 (the spaces; read in GitHub automl/nasbench-1shot1, nasbench1shot1/core,
        commit 34f7b3c61676), as used by HPOBench (Eggensperger et al. 2021).
    Differs: the original pads spaces 1 and 2 to seven vertices; the padding is pruned, so the module is the same.
        Parents without a choice are fixed values. Seeds and costs as in nb101.
    Cost: 0.2 ms for a cell that was not asked for before.
    """

    def __init__(self, task: str, table: Table, card: Card, best: float | None) -> None:
        super().__init__(space(task), table, card, best)
        self._task = task

    def _cell(self, config: Configuration) -> Cell | None:
        return cell(self._task, config)


@register("benchmark")
class Nb1shot1(Family):
    """The spaces of Zela et al. 2020 over the table of NAS-Bench-101, and over luthier's own stand-in for it.

    "nb1shot1/1@small" answers as nb101's stand-in does; "nb1shot1/1" needs the same file as nb101.
    """

    def tasks(self) -> Sequence[str]:
        """Names of the spaces, the stand-in's first."""
        return (*(task + SMALL for task in TASKS), *TASKS)

    def open(self, task: str) -> Nb1shot1Cells:
        """One space."""
        check_task("nb1shot1", task, self.tasks())
        name, wanted = f"nb1shot1/{task}", task.removesuffix(SMALL)
        place = TASKS.index(wanted)
        if wanted != task:
            small, card = load_small(name)
            return Nb1shot1Cells(wanted, small, card, float(small.best[1 + place]))
        modules, checksums = load_modules(name)
        card = Card(
            name,
            ORIGIN,
            LICENCE,
            checksums,
            description="Validation error of a cell on CIFAR-10. The optimum comes with the converted arrays. "
            + UNVERIFIED,
        )
        return Nb1shot1Cells(wanted, modules, card, float(modules.best[place]))
