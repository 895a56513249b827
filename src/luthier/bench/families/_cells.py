"""Cells of NAS-Bench-101: graphs of operations, what of them counts, and the hash under which the data set keeps them.

A cell is a directed graph without cycles: vertex 0 is the input, the last one the output, those between carry an
operation; an edge leads from a lower to a higher vertex.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

VERTICES, EDGES = 7, 9  # most of each in the data set
CONV1, CONV3, POOL = "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"
#: In the data set's own order: the hash is made of positions in it.
OPERATIONS = (CONV3, CONV1, POOL)
#: Pairs (from, to) of seven vertices, row by row.
PAIRS = tuple((a, b) for a in range(VERTICES) for b in range(a + 1, VERTICES))

Matrix = tuple[tuple[int, ...], ...]


class Cell(NamedTuple):
    """A cell without what does not count.

    Args:
        matrix: (v, v) 1 where an edge leads from the row's vertex to the column's.
        operations: Operation of each vertex between input and output.
    """

    matrix: Matrix
    operations: tuple[str, ...]


def matrix(edges: Sequence[tuple[int, int]], vertices: int = VERTICES) -> Matrix:
    """Adjacency matrix of edges (from, to); an edge that is listed twice is one edge."""
    there = set(edges)
    return tuple(tuple(int((a, b) in there) for b in range(vertices)) for a in range(vertices))


def prune(graph: Matrix, operations: Sequence[str]) -> Cell | None:
    """The cell without the vertices that no path from input to output passes.

    Args:
        graph: (v, v) upper triangular adjacency matrix.
        operations: Operation of each vertex between input and output, v - 2 of them.

    Returns:
        What is left; None when the output cannot be reached.
    """
    last = len(graph) - 1
    ahead, back = {0}, {last}
    for vertex in range(last + 1):
        if vertex in ahead:
            ahead.update(other for other in range(vertex + 1, last + 1) if graph[vertex][other])
    for vertex in range(last, -1, -1):
        if vertex in back:
            back.update(other for other in range(vertex) if graph[other][vertex])
    kept = sorted(ahead & back)
    if len(kept) < 2:
        return None
    left = tuple(tuple(graph[a][b] for b in kept) for a in kept)
    return Cell(left, tuple(operations[vertex - 1] for vertex in kept[1:-1]))


def valid(graph: Matrix, operations: Sequence[str]) -> Cell | None:
    """The pruned cell; None for one that the data set rejects.

    Rejected are more than nine edges, counted before pruning, and an output that cannot be reached.
    """
    if sum(map(sum, graph)) > EDGES:
        return None
    return prune(graph, operations)


@lru_cache(maxsize=1 << 14)  # a search asks for the same cells again and again, and for far fewer than these
def fingerprint(cell: Cell) -> str:
    """The data set's name of a pruned cell: equal for cells that differ in the order of their vertices alone.

    Every vertex is named by its degrees and its operation; v times all names are renewed from those of the
    neighbours and the own one; the sorted names are the cell's. All names are MD5 in hexadecimal.

    Source: Ying et al. 2019, NAS-Bench-101, appendix on isomorphism; the byte-exact form was read in GitHub
        google-research/nasbench, nasbench/lib/graph_util.py, commit 1a4485305ffa.
    Cost: about 0.1 ms for seven vertices.
    """
    graph, size = cell.matrix, len(cell.matrix)
    labels = [-1, *(OPERATIONS.index(operation) for operation in cell.operations), -2]
    before = [[a for a in range(size) if graph[a][b]] for b in range(size)]
    after = [[b for b in range(size) if graph[a][b]] for a in range(size)]
    names = [_md5(str((len(after[v]), len(before[v]), labels[v]))) for v in range(size)]
    for _ in range(size):
        names = [f"{_sorted(names, before[v])}|{_sorted(names, after[v])}|{names[v]}" for v in range(size)]
        names = [_md5(name) for name in names]
    return _md5(str(sorted(names)))


def _sorted(names: Sequence[str], places: Sequence[int]) -> str:
    return "".join(sorted(names[place] for place in places))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
