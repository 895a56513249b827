"""NSGA-II: evolves a Pareto set by non-dominated sorting and crowding; for several objectives and many trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.pareto import crowding, fronts
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers._latest import Record
from luthier.searchers._population import Evolving, Fold, filled, first_new, places
from luthier.searchers._seen import draw
from luthier.space.problem import Problem
from luthier.space.values import Array

CROSS = 0.9  # probability that two parents are mixed at all (the paper's)
CROSS_SPREAD = 15.0  # distribution index of the crossover: usual, the paper has 20
MUTATE_SPREAD = 20.0  # of the mutation: drawn from 1 to the usual 20, which alone is too fine for 100 trials


class Population(NamedTuple):
    """Who lives.

    Args:
        used: Results worked in.
        members: Places of the results that live, the best first.
    """

    used: int
    members: tuple[int, ...]


@register("searcher")
class Nsga2(Evolving):
    """Keeps the best results by front and crowding, and mixes and mutates the winners of tournaments.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. After every `offspring` results these and the population are sorted together: feasible before infeasible, then by
       non-dominated front, inside a front the loneliest first; the best `population` live.
    3. Two tournaments between two members each give the parents. Numbers are crossed by SBX and mutated by a polynomial
       step, choices are taken from either parent and redrawn with probability 1/d; one of the two children is proposed.

    Results are taken in the order in which trials first had one, so nothing waits, whoever proposed them. A trial
    counts with its last value; failed and diverged ones are last; infeasible ones are ordered by how much they violate,
    the amounts of several constraints added in units of the largest present. One objective works as well.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        population: Results that live (10: ahead of 20 and 40 at 50 and 100 trials; the paper's 100 is for 25 000).
        offspring: Results between two sortings (1: nothing waits; as many as `population` is the paper's generation).
        initial: Results before the first child (10: a tenth of usual budgets).

    Raises:
        ArgumentError: an option is out of range.

    Source: Deb, Pratap, Agarwal, Meyarivan 2002 (IEEE TEC 6), sections III and VI.
    Differs: steady state (Durillo, Nebro, Luna, Alba 2009); coarse mutations too; choices and conditions; no
        configuration twice.
    Cost: O(m s log s) for every `offspring` results with s = population + offspring and two objectives, O(m s^2)
        beyond; O(d) a proposal.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self, problem: Problem, *, seed: int, population: int = 10, offspring: int = 1, initial: int = 10
    ) -> None:
        super().__init__(problem, seed=seed)
        population = check("population", population, at_least=2, whole=True)
        offspring = check("offspring", offspring, at_least=1, whole=True)
        initial = check("initial", initial, at_least=2, whole=True)
        self._population, self._offspring, self._initial = population, offspring, initial
        space = problem.space
        self._numbers, self._choices = places(space, ("float", "int", "ordinal")), places(space, ("choice",))
        self._levels = np.array(space.levels, dtype=np.int64)[self._choices]
        self._fold = Fold(self._results, Population(0, ()), self._step)

    def members(self) -> list[int]:
        """Numbers of the trials that live, the best first."""
        return [self._results.numbers[place] for place in self._fold.state().members]

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        members = self._fold.state().members
        if len(self._results.records) < self._initial or len(members) < 2 or not self.space.dimensions:
            return draw(self._seen, taken, rng)
        # the members are sorted: the lower place of two wins the tournament
        mother, father = (members[min(rng.choice(len(members), size=2, replace=False))] for _ in range(2))
        parents = np.concatenate([self._results.between(place, place + 1) for place in (mother, father)])
        children = self._children(filled(self.space, parents, rng), rng)
        return first_new(self._seen, taken, children, rng)

    def _step(self, state: Population) -> Population | None:
        """Work in the next results; None while there are too few."""
        last = state.used + self._offspring
        if len(self._results.records) < last:
            return None
        living = [*state.members, *range(state.used, last)]
        order = survivors([self._results.records[place] for place in living], self._population)
        return Population(last, tuple(living[place] for place in order))

    def _children(self, parents: Array, rng: np.random.Generator) -> Array:
        """Two children in random order; (2, d) -> (2, d)."""
        children = parents.copy()
        if rng.random() < CROSS:
            children[:, self._numbers] = sbx(parents[:, self._numbers], rng)
            swap = rng.random(len(self._choices)) < 0.5
            children[:, self._choices] = np.where(swap, parents[::-1, self._choices], parents[:, self._choices])
        share = 1 / self.space.dimensions
        children[:, self._numbers] = mutated(children[:, self._numbers], share, rng)
        redrawn = (rng.integers(self._levels, size=(2, len(self._levels))) + 0.5) / np.maximum(self._levels, 1)
        jump = rng.random((2, len(self._choices))) < share
        children[:, self._choices] = np.where(jump, redrawn, children[:, self._choices])
        return children[rng.permutation(2)]


def survivors(records: Sequence[Record], most: int) -> list[int]:
    """Who lives on, the best first, by constrained domination, fronts and crowding.

    Args:
        records: Results, the older first.
        most: How many live.

    Returns:
        Places among the records; equal ones in their order.
    """
    good = np.array([place for place, record in enumerate(records) if record.values], dtype=np.int64)
    failed = [place for place, record in enumerate(records) if not record.values]
    amounts = np.maximum(_matrix([records[place].violations for place in good]), 0.0)
    worst = amounts.max(axis=0, initial=0.0)
    total = (amounts / np.where(worst > 0, worst, 1.0)).sum(axis=1)
    values = _matrix([records[place].values for place in good[total == 0]])
    found: list[int] = []
    if len(values):
        front = fronts(values)
        found += good[total == 0][np.lexsort((-crowding(values, front), front))].tolist()
    found += good[total > 0][np.argsort(total[total > 0], kind="stable")].tolist()
    return (found + failed)[:most]


def _matrix(rows: Sequence[tuple[float, ...]]) -> Array:
    return np.array(rows, dtype=float).reshape(len(rows), len(rows[0]) if rows else 0)


def sbx(parents: Array, rng: np.random.Generator) -> Array:
    """Simulated binary crossover inside the unit interval: children as far apart as parents, more or less.

    Each column is crossed with probability 1/2, and then swapped with probability 1/2.

    Args:
        parents: (2, p) positions in [0, 1].
        rng: Source of randomness.

    Returns:
        (2, p) children.

    Source: Deb and Agrawal 1995; with bounds: Deb and Goyal 1996.
    """
    low, high = parents.min(axis=0), parents.max(axis=0)
    apart = high - low
    u: Array = rng.random(apart.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [
            (low + high) / 2 + side * _spread(u, 1 + 2 * room / apart) * apart / 2
            for side, room in ((-1.0, low), (1.0, 1.0 - high))
        ]
    cross = (rng.random(parents.shape[1]) < 0.5) & (apart > 1e-12)
    swap = rng.random(parents.shape[1]) < 0.5
    children = np.where(swap, np.stack(found[::-1]), np.stack(found))
    return np.where(cross, np.clip(children, 0.0, 1.0), parents)


def _spread(u: Array, reach: Array) -> Array:
    """How far apart the children are, in units of the parents' distance, so that the bound is just reached at most."""
    power = CROSS_SPREAD + 1
    alpha = 2 - reach**-power
    spread: Array = np.where(u <= 1 / alpha, u * alpha, 1 / (2 - u * alpha)) ** (1 / power)
    return spread


def mutated(rows: Array, share: float, rng: np.random.Generator) -> Array:
    """Polynomial mutation inside the unit interval.

    Args:
        rows: (n, p) positions in [0, 1].
        share: Probability that a position is moved.
        rng: Source of randomness.

    Returns:
        (n, p) positions.

    Source: Deb and Goyal 1996, with bounds.
    """
    u, power = rng.random(rows.shape), MUTATE_SPREAD ** rng.random() + 1
    down = (2 * u + (1 - 2 * u) * (1 - rows) ** power).clip(0) ** (1 / power) - 1
    up = 1 - (2 * (1 - u) + (2 * u - 1) * rows**power).clip(0) ** (1 / power)
    moved = np.clip(rows + np.where(u < 0.5, down, up), 0.0, 1.0)
    return np.where(rng.random(rows.shape) < share, moved, rows)
