"""Hyperband: brackets of successive halving, from many short trials to few long ones, at about equal cost."""

from __future__ import annotations

from luthier.base.records import Fidelity
from luthier.base.registry import register
from luthier.schedulers._brackets import Halving, Plan, steps
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


def bracket_table(fidelity: Fidelity, *, eta: int = 3, grace: float | None = None) -> tuple[Plan, ...]:
    """Hyperband's brackets, the most aggressive one first.

    With R the full resource and S the largest number such that grace * eta^S <= R, bracket s = S, S-1, .., 0 starts

        n = ceil((S + 1) eta^s / (s + 1))

    trials; floor(n / eta^i) of them run up to the resource R eta^(i - s), for i = 0..s. Where the fidelity is counted
    in whole steps, resources are rounded down. eta = 3 on 1..81 starts 81, 34, 15, 8, 5 trials. The table of examples
    in the paper has 81, 27, 9, 6, 5: it rounds (S + 1) / (s + 1) down before it multiplies.

    Args:
        fidelity: The axis.
        eta: Reduction factor, a whole number >= 2.
        grace: Least resource, between `fidelity.low` and `fidelity.high`; None: the lowest.

    Returns:
        S + 1 plans, each with `levels` (resource of its rungs) and `sizes` (trials at them).

    Source: Li et al. 2018, algorithm 1.
    """
    least = fidelity.low if grace is None else grace
    top = steps(fidelity, eta=eta, grace=least)
    found = []
    for s in range(top, -1, -1):
        n = -(-(top + 1) * eta**s // (s + 1))
        levels = tuple(_share(fidelity, eta ** (s - i), least) for i in range(s + 1))
        found.append(Plan(levels, tuple(n // eta**i for i in range(s + 1))))
    return tuple(found)


def _share(fidelity: Fidelity, parts: int, least: float) -> float:
    """One of so many equal parts of the full resource, and not less than the least."""
    if fidelity.whole:
        return max(int(fidelity.high) // parts, int(least))
    return max(fidelity.high / parts, least)


@register("scheduler")
class Hyperband(Halving):
    """Brackets S, S-1, .., 0, and again: from many trials that are judged early to few that run to the end.

    `bracket_table` says how many trials each bracket starts, and at which resources they are judged. Inside a bracket
    a rung is decided when all of its trials rest there or are over; the best go on from their checkpoints, as many as
    the next rung takes, or those there are. The last bracket runs every trial to the end, which finds what shows its
    worth late.

    No worker is idle: while a rung waits for its last trials, new trials start, in the bracket that is not full, else
    in the next one. Decided promotions come before new trials, those of the oldest bracket first, the best of them
    first. Results are ordered with feasible ones first, then by value; with several objectives by non-dominated
    sorting; what is equal by arrival. A trial that failed, diverged, was lost for good or was stopped on its way keeps
    its place in the counts and never goes on; one that the end of a study stopped while it paused goes on when the
    study does. Given configurations join like any others; trials that were made elsewhere are in no bracket.

    The last bracket may never be full. Once the last trial of run(trials=...) was started, or when nothing runs and the
    searcher has nothing left, it goes on with those it has: of m, rung i takes floor(m / eta^i), and at least one.

    A full resource below eta * grace leaves one bracket of one rung: every trial runs to its end.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        eta: Reduction factor, a whole number >= 2 (3: the paper's).
        grace: Least resource of a rung, in the unit of the fidelity; None: its lowest value.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar 2018, algorithm 1.
    Differs: any searcher; the next bracket begins while a rung waits; the last bracket may be cut short.
    Cost: O(log n) an event, O(n log n) when a rung of n trials is decided (O(n^2) with several objectives).
    """

    def __init__(
        self, problem: Problem, searcher: Searcher, *, seed: int, eta: int = 3, grace: float | None = None
    ) -> None:
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace)
        self._table = bracket_table(self._fidelity, eta=self.eta, grace=self.grace)

    def plan(self, number: int) -> Plan:
        """The brackets of the table, in turn."""
        return self._table[number % len(self._table)]
