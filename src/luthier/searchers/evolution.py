"""Regularised evolution: mutate the winner of a small tournament, let the oldest die."""

from __future__ import annotations

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers._latest import merit
from luthier.searchers._population import Evolving, first_new
from luthier.searchers._seen import draw
from luthier.space.problem import Problem

FINEST = 0.05  # smallest step as a share of the largest, so that it still improves near an optimum


@register("searcher")
class Evolution(Evolving):
    """Keeps the last results as its population, and changes the best of a random few of them.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. The population is the last `population` results, in the order of first results: who is old dies, however good.
    3. A tournament draws members at random; the best one's neighbour is proposed, with one or two hyperparameters
       changed. Numbers move by a normal step, small and large ones equally often; choices jump.

    Nothing waits for anything, so any number of workers may be behind or ahead. A trial counts with its last value. A
    failed or diverged one is the worst member; with constraints feasible members win by value over infeasible ones,
    which compete by how much they violate; with several objectives the front and the crowding inside the population
    decide.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        population: Results that live (20: ahead of 50 at 100 trials, 50 is ahead from some 300 on; the paper's 100 is
            for 20 000).
        tournament: Members drawn, with repetition, for each proposal (16: ahead of 5 and 8 up to 100 trials; the
            paper's share is 25 of 100, for 20 000).
        initial: Results before the first mutation (8: 5 to 10 made no clear difference).
        step: Largest standard deviation of a number's step, in the unit interval (0.3: ahead of 0.2 on surrogates).

    Raises:
        ArgumentError: an option is out of range.

    Source: Real, Aggarwal, Huang, Le 2019 (AAAI), algorithm 1.
    Differs: numbers as well as choices; the population starts small; one or two changes; no configuration twice.
    Cost: O(population) a proposal.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        population: int = 20,
        tournament: int = 16,
        initial: int = 8,
        step: float = 0.3,
    ) -> None:
        super().__init__(problem, seed=seed)
        population = check("population", population, at_least=2, whole=True)
        tournament = check("tournament", tournament, at_least=1, whole=True)
        initial = check("initial", initial, at_least=1, whole=True)
        check("step", step, above=0)
        self._population, self._tournament = population, tournament
        self._initial, self._step = initial, step

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        told = len(self._results.records)
        if told < self._initial or not self.space.dimensions:
            return draw(self._seen, taken, rng)
        first = max(0, told - self._population)
        drawn = rng.integers(first, told, size=self._tournament)
        winner = drawn[np.argmin(merit(self._results.records[first:])[drawn - first])]
        size = self._step * FINEST ** rng.random()
        parent = self._results.between(winner, winner + 1)
        return first_new(self._seen, taken, self.space.perturb(parent, rng, step=size), rng)
