"""The best configurations of the last earlier tasks first, the newest leading; then as gp."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.base.checks import check, check_flag
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.searchers.transfer._past_first import AFTER, Listed
from luthier.searchers.transfer._selection import POINTS, select
from luthier.space.problem import Problem


@register("searcher")
class SimpleOrdered(Listed):
    """Tries what was best on the last tasks, and goes on as `gp`, whose model sees today's trials alone.

    With five earlier tasks the first five proposals are their best configurations, the newest task's first. With fewer
    the second best follow, again the newest first, and so on; where fewer distinct configurations are known than
    `points` and than five, random ones (the draws of `random` under the same seed) fill up to five before the model
    takes over, which needs three results in any case.

    The rest of the list is left out while today's trials speak against the last task: of the pairs of trials of which
    that task clearly tells which should be better, more than half (and at least two) came the other way round.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        points: Configurations of earlier tasks (5, as in the published experiments).
        shuffled: Whether earlier tasks come in a random order, drawn from the seed anew for the best, the second best
            and so on: what is lost then is the worth of the order.
        guard: Whether to leave the rest out where the order is broken; False: as published.

    Raises:
        ArgumentError: an option is out of range.

    Source: Hellan, Shen, Aubet, Salinas, Klein 2023 (SimpleOrdered, SimpleOrderedShuffled).
    Differs: `gp` in place of BoTorch's process; the guard; of equal values the earlier trial comes first.
    Cost: O(n log n) for n earlier trials, once; then that of `gp`.
    """

    def __init__(
        self, problem: Problem, *, seed: int, points: int = POINTS, shuffled: bool = False, guard: bool = True
    ) -> None:
        points = check("points", points, at_least=1, whole=True)
        self._most, self._shuffled = points, check_flag("shuffled", shuffled)
        super().__init__(problem, seed=seed, guard=guard)

    def _list(self) -> Iterator[Configuration]:
        rng = generator(self.seed, "model", 0, 1) if self._shuffled else None
        yield from select(self._tasks, self._most, rng)

    @property
    def _initial(self) -> int:
        # fewer points than are wanted are filled up at random, up to those that were published
        return max(AFTER, POINTS if len(self._points) < min(self._most, POINTS) else 0)

    @property
    def _plan(self) -> str:
        order = "in random order" if self._shuffled else "the newest first"
        return f"{len(self._points)} of the best of {len(self._tasks)} earlier tasks, {order}, then gp"
