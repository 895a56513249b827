"""Differential evolution (rand/1/bin): moves by differences between members, keeps what is no worse."""

from __future__ import annotations

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers._latest import merit
from luthier.searchers._population import Evolving, filled, first_new, places, reflected
from luthier.searchers._seen import draw
from luthier.space.problem import Problem
from luthier.space.values import Array

FEWEST = 4  # members that a difference needs: the target and three others


@register("searcher")
class De(Evolving):
    """Trial k competes for member k mod `population`, which is the best trial with such a number.

    1. The first `initial` trials are the draws that `random` makes under the same seed.
    2. A proposal takes three other members, the best of them as a, and mixes a + weight (b - c) into the member that it
       competes for, hyperparameter by hyperparameter, at least one. What leaves the range turns back at its bound. A
       choice is a's, unless b and c differ there: then it is random with a probability equal to the weight.
    3. It becomes the member if it is no worse.

    So the population is a function of the results, in whatever order they arrive, and nothing waits: a slot without a
    result yet gets a random draw, a trial that someone else proposed competes for the slot of its number.

    A trial counts with its last value. A failed or diverged one is never preferred; with constraints feasible trials
    come first, then infeasible ones by how much they violate; with several objectives the front and the crowding among
    all trials decide.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        population: Members (5: ahead of 6, 8 and 10 up to 100 trials; 20 is ahead of it from some 300 on).
        initial: Trials before the first mixture (10: each slot holds the better of two, ahead of 5 at 25 trials).
        weight: Of the difference (0.5: convention for small populations).
        crossover: Probability that a hyperparameter is taken from the mixture (0.5: convention).

    Raises:
        ArgumentError: an option is out of range.

    Source: Storn and Price 1997, scheme rand/1/bin; the best of three as a: Kaelo and Ali 2006.
    Differs: replacement by number, so that it does not depend on the order of arrival; choices, conditions and bounds
        as above; no configuration twice.
    Cost: O(n log n) for each new result, O(d) a proposal.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        population: int = 5,
        initial: int = 10,
        weight: float = 0.5,
        crossover: float = 0.5,
    ) -> None:
        super().__init__(problem, seed=seed)
        population = check("population", population, at_least=FEWEST, whole=True)
        initial = check("initial", initial, at_least=1, whole=True)
        check("weight", weight, above=0, at_most=2)
        check("crossover", crossover, at_least=0, at_most=1)
        self._population, self._initial = population, initial
        self._weight, self._crossover = weight, crossover
        self._choices = places(problem.space, ("choice",))
        self._levels = np.array(problem.space.levels, dtype=np.int64)[self._choices]
        # a cache, keyed by the number of changes: slot to the place of the result that holds it, and all merits
        self._found: tuple[int, dict[int, int], Array] = (0, {}, np.empty(0))

    def members(self) -> dict[int, int]:
        """Slot to the number of the trial that holds it, for slots that have a result."""
        return {slot: self._results.numbers[place] for slot, place in self._members()[0].items()}

    def _members(self) -> tuple[dict[int, int], Array]:
        """Slot to the place of the result that holds it, and the merits of all results."""
        if self._found[0] != self._results.changes:
            records, numbers = self._results.records, np.array(self._results.numbers, dtype=np.int64)
            merits = merit(records)
            failed = np.array([not record.values for record in records], dtype=bool)
            order = np.lexsort((-numbers, failed, merits))  # among equals the youngest, so that plateaus are crossed
            slots, first = np.unique(numbers[order] % self._population, return_index=True)
            held = dict(zip(slots.tolist(), order[first].tolist(), strict=True))
            self._found = (self._results.changes, held, merits)
        return self._found[1:]

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        members, merits = self._members()
        target = k % self._population
        if k < self._initial or target not in members or len(members) < FEWEST or not self.space.dimensions:
            return draw(self._seen, taken, rng)
        others = [place for slot, place in sorted(members.items()) if slot != target]
        three = rng.choice(others, size=3, replace=False)
        three = three[np.argsort(merits[three] > merits[three].min(), kind="stable")]  # the best of them first
        rows = np.concatenate([self._results.between(at, at + 1) for at in (members[target], *three.tolist())])
        return first_new(self._seen, taken, self._child(filled(self.space, rows, rng), rng)[None], rng)

    def _child(self, rows: Array, rng: np.random.Generator) -> Array:
        """The mixture of a target and three members, target first; (4, d) -> (d,)."""
        target, a, b, c = rows
        mixed = reflected(a + self._weight * (b - c))
        at = self._choices
        jump = (b[at] != c[at]) & (rng.random(len(at)) < self._weight)
        mixed[at] = np.where(jump, (rng.integers(self._levels) + 0.5) / self._levels, a[at])
        use = rng.random(len(target)) < self._crossover
        use[rng.integers(len(target))] = True
        child: Array = np.where(use, mixed, target)
        return child
