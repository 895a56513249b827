"""A population: who stands at which place, what each has reported, and which places are empty. It decides nothing."""

from __future__ import annotations

from luthier.base.records import Job, Report
from luthier.schedulers._axis import SLACK
from luthier.schedulers._members import Mark, Member, Stand, Standings, Vacancy, standings
from luthier.space.problem import Problem


class Population:
    """Members by trial and by place.

    Args:
        problem: What is to be solved.
        high: The full resource.
        quantile: Share of members that count as best and as worst.

    Attributes:
        members: Member by trial, those that are gone too.
        places: Who stands at each place, alive or not.
        fresh: How many members are no clones.
        vacant: Places whose member is gone, the longest empty first.
        losses: Clones in a row that a place lost at their first decision.
    """

    def __init__(self, problem: Problem, high: float, quantile: float) -> None:
        self._problem, self._high, self._quantile = problem, high, quantile
        self.members: dict[int, Member] = {}
        self.places: list[Member] = []
        self.fresh = 0
        self.vacant: list[int] = []
        self.losses: dict[int, int] = {}
        self._surplus = 0  # members above the population: two drivers filled one place

    def alive(self) -> list[Member]:
        """Members with something left to do, by place."""
        return [m for m in self.places if m.stand.alive]

    def standings(self) -> Standings:
        """Who is ahead and who is behind, of those that are not at their end."""
        # who has just reported the full resource has nothing left to copy, although its run has not ended yet
        able = [m for m in self.alive() if m.resource * SLACK < self._high]
        return standings(able, self._quantile)

    def join(self, job: Job, vacancy: Vacancy | None) -> None:
        """A new member starts.

        Args:
            job: Its job; a clone's names its parent.
            vacancy: The place that was kept for it, None for a fresh member and for the longest empty place.
        """
        slot = self._place(job, vacancy)
        member = Member(job.trial, slot, job.config, job.until, job.parent)
        if job.parent is None:
            self.fresh += 1
        else:
            name = (job.checkpoint or "").rpartition("/")[2]
            member.base = self.members[job.parent].marks.get(name)
            member.judged = member.origin = 0.0 if member.base is None else member.base.resource
        self.members[job.trial] = member
        self.places[slot : slot + 1] = [member]

    def _place(self, job: Job, vacancy: Vacancy | None) -> int:
        if job.parent is None:
            return len(self.places)
        if vacancy is not None:
            if vacancy.old is not None:
                self.members[vacancy.old].stand = Stand.GONE
            return vacancy.slot
        if self.vacant:
            return self.vacant.pop(0)
        self._surplus += 1
        return len(self.places)

    def take_in(self, member: Member, report: Report, resource: float) -> None:
        """A member's newest result."""
        observed = self._problem.observe(member.trial, member.config, report.metrics)
        member.resource, member.values = resource, observed.values
        member.violation = observed.violation
        if report.checkpoint is not None:
            member.checkpoint = report.checkpoint
            member.marks.setdefault(report.checkpoint, Mark(resource, observed.values, member.violation))

    def lose(self, member: Member) -> None:
        """Count a clone that its place lost at its first decision."""
        self.losses[member.slot] = self.losses.get(member.slot, 0) + 1

    def leave(self, member: Member, *, refill: bool = True) -> None:
        """A member is gone; its place is to be filled unless there is one member too many, or not `refill`."""
        member.stand = Stand.GONE
        if self._surplus:
            self._surplus -= 1
        elif refill:
            self.vacant.append(member.slot)
