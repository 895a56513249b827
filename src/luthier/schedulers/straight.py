"""Every trial runs to the full resource, in the order in which the searcher proposes."""

from __future__ import annotations

from luthier.base.records import Decision, Report
from luthier.base.registry import register
from luthier.schedulers._base import Scheduler


@register("scheduler")
class Straight(Scheduler):
    """Starts trial after trial and ends none of them early.

    Reports are welcome and change nothing: at the full resource a trial ends by itself.

    Args:
        problem: What is to be solved, with a fidelity or without.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side; nothing is drawn here.

    Source: plain search, the yardstick of every other scheduler.
    Differs: nothing.
    Cost: O(1) per decision beside the searcher's own.
    """

    multi_objective = True

    def on_report(self, report: Report) -> Decision:
        """Go on."""
        return Decision.CONTINUE
