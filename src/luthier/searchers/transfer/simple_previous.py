"""The best configurations of the last earlier task first; then as gp, or replayed without a model."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.base.checks import check, check_flag
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers.transfer._past_first import AFTER, Listed
from luthier.searchers.transfer._selection import POINTS, select
from luthier.space.problem import Problem

#: Points of a replay (the published experiments: as many as evaluations, so that no model is ever asked).
REPLAYED = 25


@register("searcher")
class SimplePrevious(Listed):
    """Tries the best configurations of the task before this one, and goes on as `gp`.

    Everything older is forgotten. Where fewer distinct configurations are known than `points` and than five, random
    ones (the draws of `random` under the same seed) fill up to five before the model takes over, which needs three
    results in any case.

    The rest of the list is left out while today's trials speak against the last task: of the pairs of trials of which
    that task clearly tells which should be better, more than half (and at least two) came the other way round.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        points: Configurations of the last task (5, as in the published experiments).
        replay: Whether 25 configurations of the last task are tried, from its best to its worst, in place of `points`:
            what is lost then is the worth of a model of today's trials.
        guard: Whether to leave the rest out where the order is broken; False: as published.

    Raises:
        ArgumentError: an option is out of range.

    Source: Hellan, Shen, Aubet, Salinas, Klein 2023 (SimplePrevious, SimplePreviousNoBO).
    Differs: `gp` in place of BoTorch's process, also after the 25 of a replay; the guard; of equal values the earlier
        trial comes first.
    Cost: O(n log n) for n trials of the last task, once; then that of `gp`.
    """

    def __init__(
        self, problem: Problem, *, seed: int, points: int = POINTS, replay: bool = False, guard: bool = True
    ) -> None:
        points = check("points", points, at_least=1, whole=True)
        self._most = REPLAYED if check_flag("replay", replay) else points
        super().__init__(problem, seed=seed, guard=guard)

    def _list(self) -> Iterator[Configuration]:
        yield from select(self._tasks[-1:], self._most)

    @property
    def _initial(self) -> int:
        # fewer points than are wanted are filled up at random, up to those that were published
        return max(AFTER, POINTS if len(self._points) < min(self._most, POINTS) else 0)

    @property
    def _plan(self) -> str:
        return f"{len(self._points)} of the best of the last earlier task ({self._tasks[-1].name}), then gp"
