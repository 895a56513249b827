"""Grid search: every combination of a few values of each hyperparameter, spread out, until none is left."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.registry import register
from luthier.searchers._sequence import BLOCK, Walk
from luthier.space.conditions import parents
from luthier.space.number import Number
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: Combinations of the hyperparameters that conditions and clauses mention, up to which the grid is counted out.
MOST_COMBINATIONS = 100_000
WIDE = 4096  # points judged at a time where they are more


@register("searcher")
class Grid(Walk):
    """Tries every point of a grid once, then proposes nothing more.

    Choices and ordinals take all their values. A number takes `levels` values at equal distances (logarithmic ones with
    `log=True`), both bounds among them; with a prior, at equal steps of its quantiles. A number that has at most twice
    as many values takes them all. Points that differ only in inactive hyperparameters are one, forbidden ones do not
    exist, and what was tried already is not proposed again.

    Points are never listed: point i is number (start + i g) mod N of the N points, with g next to N / 1.618 and without
    a factor in common with N. So the early ones are spread over all the grid, and a study that ends before the grid
    does has seen every part of it: the first 25 points of a 5 x 5 x 5 x 5 grid have half the discrepancy of a random
    choice of 25.

    Args:
        problem: What is to be solved.
        seed: Decides where on the grid the walk begins, >= 0.
        levels: Values of a number, at least 1 (5: both bounds, the middle, where the default configuration often is,
            and the quarters; four numbers then make 625 points).

    Raises:
        ArgumentError: `levels` is below 1, or `forbid` leaves no point of the grid.

    Source: the order is a Kronecker sequence with the golden ratio (Weyl 1916) over the numbers of the points.
    Differs: from a grid search in nested loops by the order.
    Cost: O(d) a proposal, O(k d) memory for the points made so far, whatever the size of the grid, and one listing of
        the combinations of those hyperparameters that conditions and clauses mention. If these are more than 100 000,
        points are judged one by one, and the grid counts as used up when 160 000 in a row give nothing new.
    """

    ends = True

    def __init__(self, problem: Problem, *, seed: int, levels: int = 5) -> None:
        levels = check("levels", levels, at_least=1, whole=True)
        self._cells = _Cells(problem.space, _values(problem.space, levels))
        if problem.space.dimensions and not self._cells.size:
            raise ArgumentError(f"searcher 'grid': forbid leaves no point of the grid with levels={levels}. Take more.")
        super().__init__(problem, seed=seed)

    def _blocks(self) -> Iterator[Array]:
        size = self._cells.size
        step = _golden(size)
        start = int(self.rng(0).integers(2**53)) * size >> 53
        block = BLOCK if self._cells.counted else WIDE
        for first in range(0, size, block):
            numbers = [(start + i * step) % size for i in range(first, min(first + block, size))]
            yield self._cells.rows(numbers)

    def _rest(self, made: int) -> Iterator[Array]:
        return iter(())


class _Cells:
    """The points of a grid, numbered without listing them.

    A cell is one combination of the hyperparameters that conditions and clauses mention; it says which of the others
    are active, and the values of these are the digits of a point's number within it.

    Args:
        space: Where the points lie.
        values: Codes of each column's values.

    Attributes:
        size: Number of points.
        counted: Whether all of them are distinct and allowed; False where there are too many cells.
    """

    def __init__(self, space: Space, values: list[Array]) -> None:
        mentioned = set().union(*map(parents, (*space.conditions.values(), *space.forbidden)))
        decisive = [place for place, name in enumerate(space.columns) if name in mentioned]
        self.counted = math.prod(len(values[place]) for place in decisive) <= MOST_COMBINATIONS
        self._corners, active = _combine(space, values, decisive if self.counted else [])
        self._values = values
        self._free = active
        self._free[:, decisive if self.counted else []] = False
        self._radices = np.where(self._free, [len(listed) for listed in values], 1)
        sizes = [math.prod(row) for row in self._radices.tolist()]  # Python's integers: products may be huge
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1] if sizes else 0

    def rows(self, numbers: list[int]) -> Array:
        """Points by number; (n, d)."""
        cells = [bisect_right(self._ends, number) for number in numbers]
        firsts = [self._ends[cell - 1] if cell else 0 for cell in cells]
        rest = np.array([number - first for number, first in zip(numbers, firsts, strict=True)], dtype=object)
        rows, free, radices = self._corners[cells], self._free[cells], self._radices[cells]
        for place, listed in enumerate(self._values):
            digit = (rest % radices[:, place]).astype(np.intp)
            rows[:, place] = np.where(free[:, place], listed[digit], rows[:, place])
            rest = rest // radices[:, place]
        return rows


def _combine(space: Space, values: list[Array], places: list[int]) -> tuple[Array, Mask]:
    """Distinct, allowed combinations of some columns' values, and what is active beside them; (cells, d) each."""
    if not places:  # everything counts as active: a point at a time is judged
        return space.default_row[None], np.ones((1, space.dimensions), dtype=bool)
    mesh = np.meshgrid(*(values[place] for place in places), indexing="ij")
    rows = np.tile(space.default_row, (mesh[0].size, 1))
    rows[:, places] = np.stack([one.ravel() for one in mesh], axis=1)
    rows = space.snap(rows)
    rows = rows[space.allowed(rows)]
    _, first = np.unique(rows[:, places], axis=0, return_index=True)
    rows = rows[np.sort(first)]
    return rows, space.active(rows)


def _values(space: Space, levels: int) -> list[Array]:
    """Codes of each column's values on the grid, ascending."""
    return [
        # by itself and without its condition, under which codes might be set to the default's
        _codes(Space.from_dict({"hyperparameters": [{key: v for key, v in entry.items() if key != "when"}]}), levels)
        for entry in space.to_dict()["hyperparameters"]
        if entry["name"] in space.columns
    ]


def _codes(alone: Space, levels: int) -> Array:
    """The same of the one column of a space."""
    [name], [known] = alone.columns, alone.levels
    domain = alone[name]
    if not isinstance(domain, Number):
        return (np.arange(known) + 0.5) / known
    if 0 < known <= 2 * levels:
        rows, _ = alone.encode([{name: domain.at(level)} for level in range(known)])
    else:
        spread = np.linspace(0.0, 1.0, levels) if levels > 1 else np.array([0.5])
        low, high = alone.snap(np.array([[0.0], [1.0]]))
        rows = alone.snap(low + (high - low) * alone.warp(spread[:, None]))
    return np.unique(rows[:, 0])


def _golden(size: int) -> int:
    """A step next to size / 1.618 that shares no factor with size."""
    step = max((math.isqrt(5 * size * size) - size) // 2, 1)
    while math.gcd(step, size) > 1:
        step += 1
    return step
