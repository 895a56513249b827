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

    Proposal k depends on (seed, k) alone. On a finite space what was tried or is pending is not drawn again, so that
    every configuration is tried once and then none is left.

    Args:
        problem: What is to be solved.
        seed: Decides every draw, >= 0.

    Source: Bergstra and Bengio 2012.
    Differs: no duplicates on finite spaces.
    Cost: O(d) a proposal; on a finite space O(n) memory, and one listing of it when it is nearly used up.
    """

    # the past is ignored, which "transfer" would deny; everything else is sound for independent draws
    supports = FEATURES - {"transfer"}
    model_based = False

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        self._seen = Seen(problem.space)
        self._finite = problem.space.size is not None

    def tell(self, observations: Sequence[Observation]) -> None:
        """Note what was tried, if the space is finite; nothing else is learnt."""
        if self._finite:
            self._seen.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        if not self._finite:
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
