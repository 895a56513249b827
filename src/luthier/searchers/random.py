"""Random search: independent draws from the space, as its priors say."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.searchers._base import FEATURES, Searcher
from luthier.searchers._seen import Seen, draw
from luthier.space.problem import Problem


@register("searcher")
class Random(Searcher):
    """Draws each configuration by itself; the yardstick of every other searcher.

    Proposal k depends on (seed, k) alone. Where draws can be the same configuration, because the space or a branch of
    its conditions is finite, what was tried or is pending is not drawn again: on a finite space every configuration is
    tried once and then none is left.

    Args:
        problem: What is to be solved.
        seed: Decides every draw, >= 0.

    Source: Bergstra and Bengio 2012.
    Differs: no duplicates.
    Cost: O(d) a proposal; where draws can repeat O(n) memory, and on a finite space one listing of
        it when it is nearly used up.
    """

    # the past is ignored, which "transfer" would deny; everything else is sound for independent draws
    supports = FEATURES - {"transfer"}
    model_based = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        self._seen = Seen(problem)
        self._keyed = self._seen.repeats or bool(problem.past)  # else no draw can be what was tried

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note what was tried, if it can be drawn again; nothing else is learnt."""
        if self._keyed:
            self._seen.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        if not self._keyed:
            return [self.space.sample(1, self.rng(k + i))[0] for i in range(n)]
        taken = self._seen.taken(pending)
        proposed: list[Configuration] = []
        for i in range(n):
            found = draw(self._seen, taken, self.rng(k + i))
            if found is None:
                break
            taken.update(self._seen.keys([found]))
            proposed.append(found)
        return proposed
