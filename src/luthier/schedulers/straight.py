"""Every trial runs to the full resource, in the order in which the searcher proposes."""

from __future__ import annotations

from luthier.base.records import Configuration, Decision, Job, Report
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

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """The next new configuration; there is never other work."""
        if k is None:
            return None
        found = self.new_configuration(k, given)
        if found is None:
            return None
        origin, config = found
        return Job(k, config, origin=origin)

    def on_report(self, report: Report) -> Decision:
        """Go on."""
        return Decision.CONTINUE
