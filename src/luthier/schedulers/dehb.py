"""DEHB: Hyperband's brackets whose trials are bred by differential evolution, one population for each resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.schedulers._brackets import Halving, Plan
from luthier.schedulers._rungs import Rung
from luthier.schedulers.hyperband import bracket_table
from luthier.searchers._base import Searcher
from luthier.searchers._population import filled, first_new
from luthier.searchers._seen import Seen
from luthier.space.problem import Problem
from luthier.space.values import Array

PARENTS = 3  # that a mixture takes


@dataclass
class Population:
    """The best trials at one resource, one for each slot.

    Args:
        size: Number of slots.
        results: Every result there.
        slots: Trial to the slot that it competes for.
        begun: How many trials were started on their way there.
    """

    size: int
    results: Rung
    slots: dict[int, int] = field(default_factory=dict)
    begun: int = 0

    @property
    def turn(self) -> int:
        """The slot that the next trial competes for."""
        return self.begun % self.size

    def members(self, failed: set[int]) -> dict[int, int]:
        """Slot to the trial that holds it, the best one first; among equals the one that came first stays."""
        held: dict[int, int] = {}
        for entry in self.results.ranked():
            if entry.trial not in failed:
                held.setdefault(self.slots[entry.trial], entry.trial)
        return held


@register("scheduler")
class Dehb(Halving):
    """Hyperband's brackets S, S-1, .., 0, and again, with a population for each of its resources.

    The first bracket is successive halving of what the searcher proposes, from checkpoints, and its trials are the
    first members. After it every trial is new, and runs from nothing up to the resource that its turn in the brackets
    says; there it is stopped. A population has as many slots as a bracket runs trials up to its resource at most, at
    least four. Trial after trial there competes for the next slot, and becomes the member if it is better. It is made
    from the member, the target:

    1. Three parents a, b, c are drawn. At the lowest rung of a bracket they come from the population itself, target
       excepted; at rung i from the best of the population one resource lower: as many as the rung takes, at least
       three. While these are fewer than three, the best at lower resources make up the number.
    2. a + weight (b - c) in the unit cube; what leaves it is drawn anew, uniformly.
    3. Each hyperparameter is taken from this mixture with probability `crossover`, at least one, and else from the
       target. A slot that is still empty has one of the parents' group for its target.

    Where that leaves fewer than three parents the searcher proposes. Given configurations take a turn like any other.
    Nothing waits: who is a member follows from the results that are there, whatever their order, so that any number of
    workers may be ahead or behind. Trials that failed or diverged are no members. With constraints feasible ones come
    first, with several objectives the order is that of non-dominated sorting.

    A full resource below eta * grace leaves one population: differential evolution of trials that run to the end.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes the first trials: `random` for searcher="auto", as in the paper.
        seed: Decides every random draw, >= 0.
        eta: Reduction factor, a whole number >= 2 (3: the paper's).
        grace: Least resource of a rung, in the unit of the fidelity; None: its lowest value.
        weight: Of the difference (0.5: the paper's).
        crossover: Probability that a hyperparameter is taken from the mixture (0.5: the paper's).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Awad, Mallik, Hutter 2021 (IJCAI), section 4.
    Differs: a slot without a member takes its target from the parents, not at random (on three smooth functions of
        1..27 the mean log10 of the loss was lower by 0.05 to 0.6 than with the searcher's proposals there, on 1..9 it
        made no clear difference); at least four slots; later brackets do not wait for their rungs; no configuration
        twice; an inactive hyperparameter of a parent gets a random value.
    Cost: O(n log n + d) a proposal, for n results at its resource and the one below (O(n^2) with several objectives).
    """

    proposer = "random"

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        eta: int = 3,
        grace: float | None = None,
        weight: float = 0.5,
        crossover: float = 0.5,
    ) -> None:
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace)
        check("weight", weight, above=0, at_most=2)
        check("crossover", crossover, at_least=0, at_most=1)
        self._weight, self._crossover = weight, crossover
        self._table = bracket_table(self._fidelity, eta=self.eta, grace=self.grace)
        self._turns = [(s, rung) for s, (levels, _) in enumerate(self._table) for rung in range(len(levels))]
        self._levels = self._table[0].levels
        self._populations = {
            level: Population(max(self._largest(level), PARENTS + 1), Rung(level)) for level in self._levels
        }
        self._seen = Seen(problem)

    def _largest(self, level: float) -> int:
        """The most trials that a bracket runs up to a resource."""
        return max(sizes[levels.index(level)] for levels, sizes in self._table if level in levels)

    def plan(self, number: int) -> Plan:
        """The first bracket whole, then each rung of each bracket by itself: its trials are new."""
        if number == 0:
            return self._table[0]
        s, rung = self._turn(number)
        levels, sizes = self._table[s]
        return Plan(levels[rung : rung + 1], sizes[rung : rung + 1])

    def _turn(self, number: int) -> tuple[int, int]:
        """Row of the table and rung of what comes after so many others."""
        return self._turns[(number - 1 + len(self._levels)) % len(self._turns)]

    def label(self, number: int) -> int:
        """Hyperband's bracket, counted from 0."""
        place = number - 1 + len(self._levels) if number else 0
        return place // len(self._turns) * len(self._table) + self._turns[place % len(self._turns)][0]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass observations to the searcher, and note what was tried."""
        self._seen.add(observations)
        super().tell(observations)

    def entered(self, trial: int, level: float) -> None:
        """A trial competes for the slot whose turn it is."""
        population = self._populations[level]
        population.slots[trial] = population.turn
        population.begun += 1

    def counted(self, trial: int, level: float, values: tuple[float, ...], violation: float) -> None:
        """A result at a resource may become a member there."""
        self._populations[level].results.add(trial, values, violation)

    def members(self, level: float) -> dict[int, int]:
        """Slot to the trial that holds it, best first, at one of the resources."""
        return self._populations[level].members({n for n, member in self._members.items() if member.failed})

    def propose(self, k: int) -> tuple[str, Configuration] | None:
        """The searcher's proposal in the first bracket and where parents are too few, a child afterwards."""
        number = len(self._brackets) - (1 if self._brackets and self._brackets[-1].takes else 0)
        parents = self._parents(number) if number else None
        if parents is None:
            return super().propose(k)
        rng = generator(self.seed, "scheduler", k)
        target, pool = parents
        drawn = rng.choice(pool, size=PARENTS, replace=False).tolist()
        trials = [target if target is not None else int(rng.choice(pool)), *drawn]
        rows, _ = self.problem.space.encode([self._members[trial].config for trial in trials])
        child = self._child(filled(self.problem.space, rows, rng), rng)
        found = first_new(self._seen, self._seen.taken(self._open.values()), child[None], rng)
        return None if found is None else (self.name, found)

    def _parents(self, number: int) -> tuple[int | None, list[int]] | None:
        """The target, if its slot is held, and the group that parents are drawn from; None where it is too small."""
        s, rung = self._turn(number)
        levels, sizes = self._table[s]
        own = self.members(levels[rung])
        target = own.get(self._populations[levels[rung]].turn)
        if rung:
            pool = list(self.members(levels[rung - 1]).values())[: max(sizes[rung], PARENTS)]
        else:
            pool = [trial for trial in own.values() if trial != target]
        for level in reversed(self._levels[: self._levels.index(levels[rung])]):
            if len(pool) < PARENTS:
                more = (trial for trial in self.members(level).values() if trial != target and trial not in pool)
                pool += islice(more, PARENTS - len(pool))
        return (target, pool) if len(pool) >= PARENTS and self.problem.space.dimensions else None

    def _child(self, rows: Array, rng: np.random.Generator) -> Array:
        """The mixture of a target and three parents, target first; (4, d) -> (d,)."""
        target, a, b, c = rows
        mixed = a + self._weight * (b - c)
        mixed = np.where((mixed < 0.0) | (mixed > 1.0), rng.random(len(target)), mixed)
        use = rng.random(len(target)) < self._crossover
        use[rng.integers(len(target))] = True
        child: Array = np.where(use, mixed, target)
        return child
