"""ASHA for several objectives: the best third of a rung is spread over its whole front."""

from __future__ import annotations

from luthier.base.checks import check
from luthier.base.registry import register
from luthier.schedulers._rungs import ORDERS, Rung
from luthier.schedulers.asha import Asha
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


@register("scheduler")
class MoAsha(Asha):
    """Asynchronous successive halving that ranks a rung by fronts, and each front by a greedy epsilon-net.

    The first of a front is its best trial in the first objective, the second the one farthest from it, the third the
    one farthest from both, and so on. So the trials that go on cover the front evenly, however few they are; by
    crowding distance, the order that `asha` has, the ends and the gaps of the front come first.

    When trials are stopped, one that comes to a small rung goes on only if it is the first of the net, which favours
    the first objective; promotion chooses among all that rest there. With one objective every decision is that of
    `asha` of the same type. Rungs, brackets and constraints are as there.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides the brackets, >= 0.
        eta: Reduction factor, a whole number >= 2 (3, as for `asha`).
        grace: Resource of the first rung, in the unit of the fidelity; None: its lowest value.
        type: "promotion" or "stopping" ("promotion": the paper's; on 24 small problems with two objectives it gave more
            hypervolume than random search at equal cost on all, the stopping type on 17).
        brackets: Number of brackets, from 1 to the number of rungs (1, the most aggressive, as for `asha`).
        order: "epsilon-net" or "crowding" ("epsilon-net": the paper's better one).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Schmucker, Donini, Zafar, Salinas, Archambeau 2021, Multi-objective Asynchronous Successive Halving
        (the variants EpsNet and NSGA-II); the net by Salinas et al. 2021 after Clarkson 2005.
    Differs: the net begins with the best trial in the first objective instead of a drawn one, and measures distances in
        units of the front's range; equal points are a tie, and go on together when trials are stopped.
    Cost: O(n^2 m) for a decision at a rung of n results of m objectives; that of `asha` with one objective.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        eta: int = 3,
        grace: float | None = None,
        type: str = "promotion",
        brackets: int = 1,
        order: str = "epsilon-net",
    ) -> None:
        check("order", order, one_of=ORDERS)
        self._order = order
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace, type=type, brackets=brackets)

    def _rung(self, level: float) -> Rung:
        return Rung(level, self._order)
