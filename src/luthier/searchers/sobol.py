"""Sobol sequence: points that fill the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Sequence

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
    model_based = False

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
        if not self._finite:
            return [self._points.at(k + i) for i in range(n)]  # type: ignore[misc]
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            place = self._next(k + i, taken)
            if place is None:
                break
            proposed.append(self._points.configs[place])
            taken.add(self._points.keys[place])
        return proposed

    def _next(self, k: int, taken: set[bytes]) -> int | None:
        """Place of point k, or of the next one round the sequence that is not taken; None when all are."""
        points = self._points
        if points.at(k) is not None and points.keys[k] not in taken:
            return k
        known = len(points.configs)
        for step in range(known):
            place = (k + step) % known
            if points.keys[place] not in taken:
                return place
        while points.at(known) is not None:
            if points.keys[known] not in taken:
                return known
            known += 1
        return None


class _Points:
    """The allowed, distinct points of the sequence, made on demand."""

    def __init__(self, searcher: Sobol) -> None:
        self._searcher, self._space = searcher, searcher.space
        self.configs: list[Configuration] = []
        self.keys: list[bytes] = []  # of the same points, on a finite space only
        self._met: set[bytes] = set()
        self._engine: object = None
        self._complete = False

    def at(self, k: int) -> Configuration | None:
        """Point k; None when a finite space has fewer."""
        while k >= len(self.configs) and not self._complete:
            self._more()
        return self.configs[k] if k < len(self.configs) else None

    def _more(self) -> None:
        size = self._space.size
        for _ in range(DRY):
            rows = self._space.snap(self._space.warp(self._draw()))
            if self._append(rows[self._space.allowed(rows)]):
                self._complete = size is not None and self._space.size_is_exact and len(self.configs) >= size
                return
        self._rest()

    def _draw(self) -> Array:
        from scipy.stats import qmc

        if self._engine is None:
            # scrambled, and from its first point on: leaving that out would spoil the balance
            self._engine = qmc.Sobol(self._space.dimensions, scramble=True, seed=self._searcher.rng(0))
        drawn: Array = self._engine.random(BLOCK)  # type: ignore[attr-defined]
        return drawn

    def _append(self, rows: Array) -> int:
        """Take the rows that are new; says how many."""
        if self._space.size is not None:
            keys = self._space.unit_keys(rows)
            new = []
            for place, key in enumerate(keys):
                if key not in self._met:
                    self._met.add(key)
                    new.append(place)
            rows = rows[new]
            self.keys.extend(keys[place] for place in new)
        self.configs.extend(self._space.decode(rows))
        return len(rows)

    def _rest(self) -> None:
        """Nothing new for long: append what the sequence did not hit, in random order."""
        rng = self._searcher.rng(0, 1)
        if self._space.size is None:
            self._append(self._space.sample_unit(BLOCK, rng))  # raises where forbid leaves nothing
            return
        listed = self._searcher._seen.listed
        rows = self._space.all_rows(LISTED) if listed else self._space.sample_unit(BLOCK, rng)
        self._append(rows[rng.permutation(len(rows))])
        self._complete = True
