"""What was tried already, and configurations that were not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from luthier.base.records import Configuration, Observation
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.translation import translate
from luthier.space.values import Array

#: Combinations of values up to which the rest of a finite space is listed rather than drawn.
LISTED = 100_000
#: Draws in a row that hit nothing new before what is left is listed.
DRAWS = 64
#: Times that so many are drawn, as the priors say and again without them, before a space that is too large to be listed
#: counts as exhausted.
ROUNDS = 30


def one_by_one(
    one: Callable[[int, list[Configuration]], Configuration | None],
    n: int,
    k: int,
    pending: Sequence[Configuration],
) -> list[Configuration]:
    """A batch from a rule that makes one proposal: each further one has those before it as pending.

    Args:
        one: Makes proposal number k beside what is pending; None when the space is exhausted.
        n: How many.
        k: Number of the first.
        pending: What is pending before it.
    """
    waiting = list(pending)
    for i in range(n):
        found = one(k + i, waiting)
        if found is None:
            break
        waiting.append(found)
    return waiting[len(pending) :]


class Seen:
    """The configurations of a study so far, as keys of their snapped rows.

    Args:
        problem: What is to be solved; its space is where they come from.
        past: Whether what earlier tasks tried counts as tried too, where a space has so many configurations that none
            recurs by chance: studies of one seed make the same draws, and would try all of it again.
    """

    def __init__(self, problem: Problem, *, past: bool = True) -> None:
        self.space = space = problem.space
        self._past = problem.past if past else ()
        self._keys: set[bytes] = set()
        self._trials: set[int] = set()
        self._waiting: list[Configuration] = []
        #: Whether two draws can be the same configuration: no continuous hyperparameter is active in all of them.
        self.repeats = all(
            levels or name in space.conditions for name, levels in zip(space.columns, space.levels, strict=True)
        )
        #: Whether the space is finite and small enough to be listed.
        self.listed = listed(space)

    def add(self, observations: Sequence[Observation]) -> None:
        """Note the configurations of observations; a trial's further observations cost nothing."""
        for observation in observations:
            if observation.trial not in self._trials:
                self._trials.add(observation.trial)
                self._waiting.append(observation.config)

    def taken(self, pending: Iterable[Configuration] = ()) -> set[bytes]:
        """Keys of what was told or is pending, and of what earlier tasks tried; a fresh set."""
        if self._past:
            if not self.repeats and self.space.dimensions:
                told = [translate(task, self.space).observations for task in self._past]
                self._keys.update(self.keys([o.config for one in told for o in one]))
            self._past = ()
        if self._waiting:
            self._keys.update(self.keys(self._waiting))
            self._waiting = []
        return self._keys | set(self.keys(list(pending)))

    def keys(self, configs: Sequence[Configuration]) -> list[bytes]:
        """A key for each configuration, equal for equal ones."""
        return self.space.unit_keys(self.space.encode(configs)[0]) if configs else []

    def left(self, taken: set[bytes]) -> Array:
        """Every configuration that is not taken, as snapped rows; none when the space is too large to be listed."""
        if not self.listed:
            return np.empty((0, self.space.dimensions))
        return fresh(self.space, self.space.all_rows(LISTED), taken)


def listed(space: Space) -> bool:
    """Whether a space is finite and small enough to be listed."""
    return 0 not in space.levels and math.prod(space.levels) <= LISTED


def fresh(space: Space, rows: Array, taken: set[bytes]) -> Array:
    """The rows that are not taken, in their order; (n, d) -> (m, d)."""
    return rows[[key not in taken for key in space.unit_keys(rows)]]


def unreported(space: Space, pending: Sequence[Configuration], known: Array) -> Array:
    """Snapped rows of pending configurations that are not among the rows a model learns from; (q, d).

    A running trial that has reported there speaks for itself; one that has reported only elsewhere is still waited for.
    """
    return fresh(space, space.encode(pending)[0], set(space.unit_keys(known))) if pending else known[:0]


def draw(seen: Seen, taken: set[bytes], rng: np.random.Generator) -> Configuration | None:
    """A random configuration that is not taken, as the priors say; None when the space is exhausted.

    Where the priors say only what is taken, it is drawn without them. An infinite space is never exhausted. The first
    draw is `space.sample(1, rng)`, so that searchers that share a generator share their initial design.

    Args:
        seen: What was told, for its space.
        taken: Keys that are not allowed.
        rng: Source of randomness.
    """
    space = seen.space
    [first] = space.sample(1, rng)
    if not taken or seen.keys([first])[0] not in taken:
        return first
    size = space.size
    if size is not None and space.size_is_exact and len(taken) >= size and not len(seen.left(taken)):
        return None
    for rows in _draws(seen, taken, rng):
        found = fresh(space, rows, taken)
        if len(found):
            return space.decode(found[:1])[0]
    return first if size is None else None


def _draws(seen: Seen, taken: set[bytes], rng: np.random.Generator) -> Iterator[Array]:
    """Blocks of snapped rows, among which is something new if there is anything new."""
    space = seen.space
    yield space.sample_unit(DRAWS, rng)
    if seen.listed:
        left = seen.left(taken)
        yield left[rng.permutation(len(left))[:1]]
        return
    for _ in range(ROUNDS):
        yield space.sample_unit(DRAWS, rng)
    for _ in range(ROUNDS):
        yield plain(space, DRAWS, rng)


def plain(space: Space, n: int, rng: np.random.Generator) -> Array:
    """Up to `n` random rows without regard to the priors, snapped; those that `forbid` excludes are left out."""
    rows = space.snap(rng.random((n, space.dimensions)))
    return rows[space.allowed(rows)]
