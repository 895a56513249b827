"""Synchronous successive halving: many start, of every rung the best go on once all are there."""

from __future__ import annotations

from luthier.base.checks import check
from luthier.base.registry import register
from luthier.schedulers._brackets import Halving, Plan, halved, steps
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


@register("scheduler")
class Sh(Halving):
    """Successive halving, one bracket after the other.

    Rungs stand at grace * eta^i for i < s and at the full resource R, with s the largest number such that
    grace * eta^s <= R: eta = 3 on 1..81 gives 1, 3, 9, 27, 81, and on 1..50 it gives 1, 3, 9, 50. Of the n trials that
    start, floor(n / eta^i) run up to rung i, and at least one. A rung is decided when all of its trials rest there or
    are over; meanwhile the next bracket begins, so that no worker is idle. Trials go on from their checkpoints.

    A full resource below eta * grace leaves one rung: every trial runs to its end.

    Failures, given configurations, several objectives and a bracket that the budget leaves half full are treated as
    `hyperband` says.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        n: Trials that start in a bracket (None: eta^s, so that one of them reaches the full resource).
        eta: Reduction factor, a whole number >= 2 (3: what most tools use; the paper halves).
        grace: Resource of the first rung, in the unit of the fidelity; None: its lowest value.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Karnin, Koren, Somekh 2013; for hyperparameters Jamieson and Talwalkar 2016, algorithm 1.
    Differs: the next bracket begins while a rung waits; at least one trial reaches the full resource.
    Cost: O(log n) an event, O(n log n) when a rung of n trials is decided (O(n^2) with several objectives).
    """

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        n: int | None = None,
        eta: int = 3,
        grace: float | None = None,
    ) -> None:
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace)
        s = steps(self._fidelity, eta=self.eta, grace=self.grace)
        if n is not None:
            n = check("n", n, at_least=1, whole=True)
        high = int(self._fidelity.high) if self._fidelity.whole else self._fidelity.high
        levels = (*(self.grace * self.eta**i for i in range(s)), high)
        self._plan = Plan(levels, halved(self.eta**s if n is None else n, eta=self.eta, rungs=s + 1))

    def plan(self, number: int) -> Plan:
        """The same for every bracket."""
        return self._plan
