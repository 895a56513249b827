"""Searchers that walk along a sequence of points which no result changes: Sobol, Halton, Latin hypercubes, grids."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from luthier.base.records import Configuration, Observation
from luthier.searchers._base import FEATURES, Searcher
from luthier.searchers._seen import LISTED, Seen, draw, plain
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array

BLOCK = 256  # points made at a time; a power of two keeps every prefix of Sobol blocks balanced
PLAIN = 4096  # points drawn without the priors, at last
DRY = 40  # blocks in a row without anything new before the rest is taken another way


class Walk(Searcher):
    """Proposal k is point k of a sequence; it depends on (seed, k) alone.

    Points that `forbid` excludes are left out, and, where the space or a branch of its conditions is finite, points
    that stand for a configuration met before, so the numbering runs over what is left. If the configuration of point k
    was tried already (by the user, or on an infinite space by an earlier task), the next point that was not is taken.
    Conditional hyperparameters have their own dimension also where they are inactive.

    A subclass writes `_blocks`.

    Args:
        problem: What is to be solved.
        seed: Decides every draw, >= 0.
    """

    # as for random search: what is proposed never depends on results
    supports = FEATURES - {"transfer"}
    model_based = False
    #: Whether the sequence ends also where the space is infinite. What was tried is then stepped over everywhere.
    ends: ClassVar[bool] = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        self._seen = Seen(problem, past=not self.ends)
        self._keyed = self.ends or self._seen.repeats or bool(problem.past)
        self._points = Points(problem.space, self._blocks(), self._rest, keyed=self._keyed)

    @abstractmethod
    def _blocks(self) -> Iterator[Array]:
        """The sequence: blocks of positions in the unit cube that follow the priors; (m, d) each."""

    def _rest(self, made: int) -> Iterator[Array]:
        """Rows for where the sequence has hit nothing new for long, (m, d) each; the first new ones follow it.

        Args:
            made: How many points there are already.
        """
        rng = self.rng(0, 1, made)
        listed = self.space.size is not None and self._seen.listed
        # to sample raises where forbid leaves nothing
        rows = self.space.all_rows(LISTED) if listed else self.space.sample_unit(BLOCK, rng)
        yield rows[rng.permutation(len(rows))]
        if not listed:  # the priors may say only what was met
            yield plain(self.space, PLAIN, rng)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note what was tried, if the points can be used up; nothing else is learnt."""
        if self._keyed:
            self._seen.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        if not self.space.dimensions:  # only fixed values: there is one configuration
            found = draw(self._seen, self._seen.taken(pending), self.rng(k))
            return [] if found is None else [found]
        if not self._keyed:
            return [self._points.at(k + i) for i in range(n)]  # type: ignore[misc]
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            place = self._points.free(k + i, taken)
            if place is None:
                break
            proposed.append(self._points.configs[place])
            taken.add(self._points.keys[place])
        return proposed


class Points:
    """The allowed, distinct points of a sequence, made on demand.

    Args:
        space: Where they lie.
        blocks: The sequence; positions that are not snapped.
        rest: Says what may follow after `DRY` blocks without anything new.
        keyed: Whether repeated points are left out, and keys kept.

    Attributes:
        configs: What was made so far.
        keys: Of the same points, if `keyed`.
    """

    def __init__(
        self, space: Space, blocks: Iterator[Array], rest: Callable[[int], Iterator[Array]], *, keyed: bool
    ) -> None:
        self._space, self._blocks, self._rest, self._keyed = space, blocks, rest, keyed
        self.configs: list[Configuration] = []
        self.keys: list[bytes] = []
        self._met: set[bytes] = set()
        self._complete = False

    def at(self, k: int) -> Configuration | None:
        """Point k; None when there are fewer."""
        while k >= len(self.configs) and not self._complete:
            self._more()
        return self.configs[k] if k < len(self.configs) else None

    def free(self, k: int, taken: set[bytes]) -> int | None:
        """Place of point k, or of the next one round the sequence that is not taken; None when all are."""
        if self.at(k) is not None and self.keys[k] not in taken:
            return k
        known = len(self.configs)
        for step in range(known):
            place = (k + step) % known
            if self.keys[place] not in taken:
                return place
        while self.at(known) is not None:
            if self.keys[known] not in taken:
                return known
            known += 1
        return None

    def _more(self) -> None:
        for _ in range(DRY):
            block = next(self._blocks, None)
            if block is None:
                self._complete = True
                return
            if self._append(block):
                self._complete = self._all()
                return
        self._complete = not any(self._append(rows) for rows in self._rest(len(self.configs))) or self._all()

    def _all(self) -> bool:
        return self._keyed and self._space.size_is_exact and len(self.configs) == self._space.size

    def _append(self, block: Array) -> int:
        """Take the points that are allowed and new; says how many."""
        rows = self._space.snap(block)
        rows = rows[self._space.allowed(rows)]
        if self._keyed:
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
