"""What searchers with populations share: results without delay, states that results change, and new children."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from luthier.base.records import Configuration, Observation
from luthier.searchers._base import Searcher
from luthier.searchers._latest import Latest, Record
from luthier.searchers._seen import Seen, draw, fresh
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array

#: Neighbours of a child that exists already which are looked at before a random configuration is drawn.
NEIGHBOURS = 32
#: States that a fold keeps, the first one included.
KEPT = 256


class Results(Latest):
    """The last record of each trial, in the order of first results, at once: no snapshots, however many there are.

    A result's place counts first results from 0. A later report of the same trial replaces the record at its place.

    Args:
        space: Where configurations come from.

    Attributes:
        records: One a trial.
        numbers: The trials' numbers.
        revised: Places whose record was replaced, in the order in which that happened.
        changes: How many changes were told: equal numbers mean equal results.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.records: list[Record] = []
        self.numbers: list[int] = []
        self.revised: list[int] = []
        self._buffer = np.empty((64, space.dimensions))
        self._filled = 0

    @property
    def changes(self) -> int:
        """How many changes were told."""
        return self._changes

    def between(self, first: int, last: int) -> Array:
        """Snapped rows of the results at the places first .. last-1; (last - first, d)."""
        if self._filled < last:
            more, _ = self._space.encode([record.config for record in self.records[self._filled :]])
            while len(self._buffer) < len(self.records):
                self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
            self._buffer[self._filled : len(self.records)] = more
            self._filled = len(self.records)
        return self._buffer[first:last]

    def _newer(self, trial: int, record: Record) -> bool:
        place = self._places.get(trial)
        if not super()._newer(trial, record):
            return False
        if place is None:
            self.records.append(record)
            self.numbers.append(trial)
        else:
            self.records[place] = record
            self.revised.append(place)
        return True

    def _changed(self) -> None:
        self._changes += 1


class State(Protocol):
    """What a fold makes: it says how many results went into it."""

    @property
    def used(self) -> int: ...


S = TypeVar("S", bound=State)


class Fold(Generic[S]):
    """A state that results change in the order of their places; kept, so that each result is worked in once.

    The state is a function of the results alone: when a report replaces a record that was worked in, the states after
    it are made again.

    Args:
        results: What was told.
        first: The state before any result.
        step: The next state, or None while there are too few results for it.

    Cost: the steps for new results, and for results after one that was replaced; the last 256 states stay in memory.
    """

    def __init__(self, results: Results, first: S, step: Callable[[S], S | None]) -> None:
        self._results, self._step = results, step
        self._states = [first]
        self._heard = 0  # of the revisions

    def state(self) -> S:
        """The state of all results told."""
        revised = self._results.revised[self._heard :]
        self._heard += len(revised)
        while revised and self._states[-1].used > min(revised):
            self._states.pop()
        while (following := self._step(self._states[-1])) is not None:
            self._states.append(following)
            if len(self._states) > KEPT:
                del self._states[1]  # the first stays: from there everything can be made again
        return self._states[-1]


class Evolving(Searcher):
    """A searcher whose proposals follow from the last results of trials, one proposal after the other.

    A subclass writes `_one`.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
    """

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        self._seen = Seen(problem)
        self._results = Results(problem.space)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; what follows from them is worked out when the next proposal is asked for."""
        self._seen.add(observations)
        self._results.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return propose(n, k, self._seen.taken(pending), self._seen, self._one)

    @abstractmethod
    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""


def propose(
    n: int, k: int, taken: set[bytes], seen: Seen, one: Callable[[int, set[bytes]], Configuration | None]
) -> list[Configuration]:
    """The proposals k .. k+n-1, one after the other, each told what is taken; fewer when nothing is left."""
    proposed: list[Configuration] = []
    for i in range(n):
        found = one(k + i, taken)
        if found is None:
            break
        proposed.append(found)
        if i < n - 1:
            taken.update(seen.keys([found]))
    return proposed


def first_new(seen: Seen, taken: set[bytes], rows: Array, rng: np.random.Generator) -> Configuration | None:
    """The first of some children that is allowed and new, else a new neighbour of them, else a random configuration.

    Args:
        seen: What was told, for its space.
        taken: Keys that are not allowed.
        rows: (n, d) positions in the unit cube, at least one.
        rng: Source of randomness.

    Returns:
        The configuration; None when the space is exhausted.
    """
    space = seen.space
    for found in _stages(space, space.snap(rows), rng):
        found = fresh(space, found[space.allowed(found)], taken)
        if len(found):
            return space.decode(found[:1])[0]
    return draw(seen, taken, rng)


def _stages(space: Space, rows: Array, rng: np.random.Generator) -> Iterator[Array]:
    yield rows
    rows = rows[space.allowed(rows)]  # only a configuration that may be has neighbours that may be
    if len(rows):
        yield space.perturb(rows[np.arange(NEIGHBOURS) % len(rows)], rng, changes=1)


def filled(space: Space, rows: Array, rng: np.random.Generator) -> Array:
    """Rows with random values, as the priors say, where a hyperparameter is inactive; (n, d) -> (n, d).

    An inactive hyperparameter has no value of its own. With the default in its place, parents would look alike where
    they say nothing; with random values, one that a child wakes up is drawn as `random` draws it.
    """
    if not space.conditions:
        return rows
    return np.where(space.active(rows), rows, space.warp(rng.random(rows.shape)))


def reflected(rows: Array) -> Array:
    """Positions turned back at the bounds of the unit cube, however far outside; (n, d) -> (n, d)."""
    turned = np.mod(rows, 2.0)
    return np.where(turned > 1.0, 2.0 - turned, turned)


def places(space: Space, kinds: Sequence[str]) -> Array:
    """Which columns are of some kinds; (d,) numbers of columns."""
    return np.array([at for at, kind in enumerate(space.kinds) if kind in kinds], dtype=np.int64)
