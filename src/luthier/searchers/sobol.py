"""Sobol sequence: points that fill the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.base.errors import UnsupportedError
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.searchers._base import FEATURES, Searcher
from luthier.searchers._seen import LISTED, Seen, draw
from luthier.space.problem import Problem
from luthier.space.values import Array

BLOCK = 256  # points made at a time; a power of two keeps every prefix of blocks balanced
DRY = 40  # blocks in a row without anything new before what is left of a finite space is listed
MOST_DIMENSIONS = 21_201  # direction numbers that SciPy ships


@register("searcher")
class Sobol(Searcher):
    """Walks along a scrambled Sobol sequence.

    Proposal k is point k of the sequence, moved as the priors say; it depends on (seed, k) alone. Points that
    `forbid` excludes are left out, and on a finite space points that stand for a configuration met before, so the
    numbering runs over what is left. If the configuration of point k was tried already (by the user), the next point
    that was not is taken. Conditional hyperparameters have their own dimension also where they are inactive.

    Args:
        problem: What is to be solved.
        seed: Decides the scrambling, >= 0.

    Raises:
        UnsupportedError: more than 21 201 dimensions.

    Source: Owen 1998 (scrambling); direction numbers of Joe and Kuo 2008, as in SciPy.
    Differs: forbidden and repeated points are left out.
    Cost: O(d) a proposal, O(k d) memory for the points made so far.
    """

    # as for random search: what is proposed never depends on results
    supports = FEATURES - {"transfer"}

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        if problem.space.dimensions > MOST_DIMENSIONS:
            raise UnsupportedError(
                f"searcher 'sobol': the space has {problem.space.dimensions} dimensions. "
                f"Allowed: at most {MOST_DIMENSIONS}. Use searcher='random'."
            )
        self._seen = Seen(problem.space)
        self._finite = problem.space.size is not None
        self._points = _Points(self)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note what was tried, if the space is finite; nothing else is learnt."""
        if self._finite:
            self._seen.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        if not self.space.dimensions:  # only fixed values: there is one configuration
            found = draw(self._seen, self._seen.taken(pending), self.rng(k))
            return [] if found is None else [found]
        taken = self._seen.taken(pending) if self._finite else set()
        rows: list[Array] = []
        for i in range(n):
            row = self._next(k + i, taken)
            if row is None:
                break
            rows.append(row)
            if self._finite:
                taken.update(self.space.unit_keys(row[None]))
        return self.space.decode(np.array(rows)) if rows else []

    def _next(self, k: int, taken: set[bytes]) -> Array | None:
        """Point k, or the next one round the sequence that is not taken; None when all are."""
        row = self._points.at(k)
        if row is not None and (not taken or self.space.unit_keys(row[None])[0] not in taken):
            return row
        known = self._points.known
        start = k % known if row is None else k
        for step in range(known):
            row = self._points.at((start + step) % known)
            if row is not None and self.space.unit_keys(row[None])[0] not in taken:
                return row
        while (row := self._points.at(known)) is not None:
            if self.space.unit_keys(row[None])[0] not in taken:
                return row
            known += 1
        return None


class _Points:
    """The allowed, distinct points of the sequence, made on demand."""

    def __init__(self, searcher: Sobol) -> None:
        self._searcher, self._space = searcher, searcher.space
        self._rows: list[Array] = []  # (m, d) blocks
        self._starts: list[int] = [0]
        self._keys: set[bytes] = set()
        self._engine: object = None
        self._complete = False

    @property
    def known(self) -> int:
        """How many points are made."""
        return self._starts[-1]

    def at(self, k: int) -> Array | None:
        """Point k; None when a finite space has fewer."""
        while k >= self.known and not self._complete:
            self._more()
        if k >= self.known:
            return None
        block = int(np.searchsorted(self._starts, k, side="right")) - 1
        return self._rows[block][k - self._starts[block]]

    def _more(self) -> None:
        size = self._space.size
        for _ in range(DRY):
            rows = self._space.snap(self._space.warp(self._draw()))
            rows = self._distinct(rows[self._space.allowed(rows)])
            if len(rows):
                self._append(rows)
                self._complete = size is not None and self._space.size_is_exact and self.known >= size
                return
        self._rest()

    def _draw(self) -> Array:
        from scipy.stats import qmc

        if self._engine is None:
            # scrambled, and from its first point on: leaving that out would spoil the balance
            self._engine = qmc.Sobol(self._space.dimensions, scramble=True, seed=self._searcher.rng(0))
        drawn: Array = self._engine.random(BLOCK)  # type: ignore[attr-defined]
        return drawn

    def _distinct(self, rows: Array) -> Array:
        if self._space.size is None:
            return rows
        new = []
        for place, key in enumerate(self._space.unit_keys(rows)):
            if key not in self._keys:
                self._keys.add(key)
                new.append(place)
        return rows[new]

    def _rest(self) -> None:
        """Nothing new for long: append what the sequence did not hit, in random order."""
        rng = self._searcher.rng(0, 1)
        size = self._space.size
        if size is None or np.prod([float(levels) for levels in self._space.levels]) > LISTED:
            rows = self._distinct(self._space.sample_unit(BLOCK, rng))  # raises where forbid leaves nothing
        else:
            rows = self._distinct(self._space.all_rows(LISTED))
            rows = rows[rng.permutation(len(rows))]
        if len(rows):
            self._append(rows)
        self._complete = size is not None

    def _append(self, rows: Array) -> None:
        self._rows.append(rows)
        self._starts.append(self.known + len(rows))
