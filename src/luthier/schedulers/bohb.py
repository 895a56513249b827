"""BOHB: Hyperband whose trials are proposed by kernel densities of good and bad ones (`kde`), not at random."""

from __future__ import annotations

from luthier.base.registry import register
from luthier.schedulers.hyperband import Hyperband


@register("scheduler")
class Bohb(Hyperband):
    """Hyperband with the searcher `kde` where none is named; with another one it is Hyperband with that one.

    All else is said of `hyperband` and of `kde`.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes: `kde` for searcher="auto".
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        eta: Reduction factor, a whole number >= 2 (3: the paper's).
        grace: Least resource of a rung, in the unit of the fidelity; None: its lowest value.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Falkner, Klein, Hutter 2018, algorithms 1 and 2.
    Differs: as `hyperband` and `kde` do from theirs.
    Cost: that of `hyperband`, beside the searcher's own.
    """

    proposer = "kde"
