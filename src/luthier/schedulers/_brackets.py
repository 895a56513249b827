"""Synchronous brackets: ladders of rungs that are decided when all of their trials have come; Hyperband's family."""

from __future__ import annotations

from abc import abstractmethod
from bisect import insort
from dataclasses import dataclass, field
from typing import NamedTuple

from luthier.base.checks import check
from luthier.base.records import Configuration, Decision, Fidelity, Job, Report, Status
from luthier.schedulers._ahead import Ahead
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._rungs import Rung
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

_NOTHING = Configuration()


class Plan(NamedTuple):
    """A bracket on paper.

    Args:
        levels: Resource of each rung, rising.
        sizes: Trials at each rung.
    """

    levels: tuple[float, ...]
    sizes: tuple[int, ...]


def steps(fidelity: Fidelity, *, eta: int, grace: float) -> int:
    """The largest s with grace * eta^s <= the full resource; whole numbers take no floating logarithm.

    Args:
        fidelity: The axis.
        eta: Factor between neighbouring rungs, >= 2.
        grace: Least resource, between `fidelity.low` and `fidelity.high`.
    """
    high = int(fidelity.high) if fidelity.whole else fidelity.high * SLACK
    level, s = int(grace) if fidelity.whole else grace, 0
    while level * eta <= high:
        level, s = level * eta, s + 1
    return s


def halved(n: int, *, eta: int, rungs: int) -> tuple[int, ...]:
    """floor(n / eta^i) trials at rung i, and at least one, so that somebody reaches the top."""
    return tuple(max(1, n // eta**i) for i in range(rungs))


@dataclass(slots=True, eq=False)
class Bracket:
    """A bracket that has begun.

    Args:
        number: How many were begun before it.
        levels: Resource of each rung.
        sizes: Trials at each rung; fewer than planned once it went on without being full.
        rungs: Results at each rung.
        at: The rung that is competed for.
        joined: Trials that were started in it.
        busy: Trials of that rung that have not come to rest yet.
    """

    number: int
    levels: tuple[float, ...]
    sizes: tuple[int, ...]
    rungs: list[Rung]
    at: int = 0
    joined: int = 0
    busy: set[int] = field(default_factory=set)

    @property
    def takes(self) -> bool:
        """Whether new trials may join."""
        return self.at == 0 and self.joined < self.sizes[0]


@dataclass(slots=True)
class Member:
    """A trial in a bracket.

    Args:
        config: Its configuration.
        bracket: Where it belongs.
        until: Resource that it was granted.
        rung: The rung at which it rests, or to which it is on its way.
        last: Resource, values and violation of its newest result.
        failed: Whether it failed, diverged or was lost for good.
        over: Whether it cannot go on: failed, at its end, or stopped on the way.
    """

    config: Configuration
    bracket: Bracket
    until: float
    rung: int = 0
    last: tuple[float, tuple[float, ...], float] | None = None
    failed: bool = False
    over: bool = False


class Halving(Ahead):
    """Brackets one after the other; a rung is decided when all of its trials have come or are over.

    What it does in each case is said where users read it, at `hyperband`.

    A subclass gives the plan of each bracket.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw, >= 0.
        eta: Reduction factor, a whole number >= 2.
        grace: Least resource of a rung, in the unit of the fidelity; None: its lowest value.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Cost: O(log n) an event, O(n log n) when a rung of n trials is decided (O(n^2) with several objectives).
    """

    needs_fidelity = True
    multi_objective = True

    def __init__(self, problem: Problem, searcher: Searcher, *, seed: int, eta: int, grace: float | None) -> None:
        super().__init__(problem, searcher, seed=seed)
        fidelity = needed(problem, self.name)
        eta = check("eta", eta, at_least=2, whole=True)
        first = fidelity.low if grace is None else grace
        check("grace", first, at_least=fidelity.low, at_most=fidelity.high, whole=fidelity.whole)
        self._fidelity, self.eta = fidelity, eta
        self.grace: float = int(first) if fidelity.whole else first
        self._brackets: list[Bracket] = []
        self._members: dict[int, Member] = {}
        self._queue: list[tuple[int, int, int]] = []  # who goes on: number of the bracket, place, trial
        self._budget: int | None = None
        self._started = 0  # new trials, those made elsewhere not counted

    @abstractmethod
    def plan(self, number: int) -> Plan:
        """The plan of a bracket; a trial at its last rung is stopped there, unless that is the full resource.

        Args:
            number: How many brackets were begun before it.
        """

    # what runs next --------------------------------------------------------------------------------------

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """A promotion when no number is given, a new trial when one is."""
        if k is None:
            return self._promotion(self._queue[0][2]) if self._queue else self._remainder()
        found = self.new_configuration(k, given)
        if found is None:
            return None
        origin, config = found
        return Job(k, config, self._joining().levels[0], origin=origin)

    def _promotion(self, trial: int) -> Job:
        member = self._members[trial]
        return Job(trial, member.config, member.bracket.levels[member.rung + 1])

    def _remainder(self) -> Job | None:
        """The best of a bracket that will never be full, when nothing runs and the searcher has nothing left."""
        bracket = self._brackets[-1] if self._brackets else None
        if self._running or bracket is None or not bracket.takes or len(bracket.levels) == 1:
            return None
        resting = self._resting(bracket)
        if not resting or not self.dry():
            return None
        return self._promotion(resting[0])

    def _joining(self) -> Plan:
        """The bracket that a new trial would join."""
        if self._brackets and self._brackets[-1].takes:
            return Plan(self._brackets[-1].levels, self._brackets[-1].sizes)
        return self.plan(len(self._brackets))

    # what happens ----------------------------------------------------------------------------------------

    def on_budget(self, trials: int | None) -> None:
        """A run begins: once so many trials were started, a bracket that is not full goes on as it is."""
        super().on_budget(trials)
        self._budget = trials
        for bracket in self._brackets[-1:]:
            self._settle(bracket)

    def on_start(self, job: Job) -> None:
        """A trial joins a bracket, or goes on in its own."""
        super().on_start(job)
        if job.until is None:  # made elsewhere: nothing was granted
            return
        member = self._members.get(job.trial)
        if member is None:
            self._started += 1
            member = self._join(job, job.until)
            self.entered(job.trial, member.bracket.levels[0])
        elif job.until > member.until * SLACK:
            self._rise(job.trial, member, job.until)

    def on_config(self, trial: int, config: Configuration) -> None:
        """A trial has named a hyperparameter."""
        super().on_config(trial, config)
        if trial in self._members:
            self._members[trial].config = config

    def _join(self, job: Job, until: float) -> Member:
        if not self._brackets or not self._brackets[-1].takes:
            levels, sizes = self.plan(len(self._brackets))
            self._brackets.append(Bracket(len(self._brackets), levels, sizes, [Rung(level) for level in levels]))
        bracket = self._brackets[-1]
        if bracket.levels[0] != until:  # another driver was faster, and filled the bracket that this one was meant for
            meant = [one for one in self._brackets[-3:] if one.at == 0 and one.levels[0] == until]
            bracket = meant[-1] if meant else bracket
        bracket.joined += 1
        bracket.busy.add(job.trial)
        self._members[job.trial] = Member(job.config, bracket, until)
        return self._members[job.trial]

    def _rise(self, trial: int, member: Member, until: float) -> None:
        bracket = member.bracket
        if bracket.at == member.rung:  # nobody was told that the bracket would not fill: see `_remainder`
            self._decide(bracket)
        self._queue = [waiting for waiting in self._queue if waiting[2] != trial]
        bracket.rungs[member.rung].passed.add(trial)
        member.rung, member.until = member.rung + 1, until
        self.entered(trial, bracket.levels[member.rung])

    def on_report(self, report: Report) -> Decision:
        """Note the result, and pause or stop where the grant ends.

        Raises:
            ArgumentError: the report carries no resource.
        """
        self._events += 1
        trial, resource = report.trial, spent(report, self._fidelity, self.name)
        member = self._members.get(trial)
        if member is None:
            return Decision.CONTINUE
        if member.over or not self.problem.usable(report.metrics):
            member.over = True
            return Decision.STOP
        if member.last is None or resource > member.last[0]:
            observed = self.problem.observe(trial, _NOTHING, report.metrics)
            member.last = (resource, observed.values, observed.violation)
            self._count(trial, member, resource)
        # what has had the full resource, asked for or not, has nothing to wait for
        if resource * SLACK < member.until or resource * SLACK >= self._fidelity.high:
            return Decision.CONTINUE
        return Decision.PAUSE if member.rung + 1 < len(member.bracket.levels) else Decision.STOP

    def _count(self, trial: int, member: Member, reached: float) -> None:
        """Enter a trial's newest result at the rung that it is on its way to, if it got there; once."""
        rung = member.bracket.rungs[member.rung]
        if member.last is None or trial in rung or reached * SLACK < rung.level:
            return
        _, values, violation = member.last
        rung.add(trial, values, violation)
        self.counted(trial, rung.level, values, violation)

    def on_end(self, trial: int, status: Status) -> None:
        """A trial came to rest or to its end; its rung may be complete."""
        super().on_end(trial, status)
        if status is Status.WAITING:
            return
        member = self._members.get(trial)
        if member is None:
            return
        if status is Status.STOPPED and any(trial == waiting for _, _, waiting in self._queue):
            return  # chosen to go on, and set aside by the end of a run: it goes on when the study does
        member.failed |= status in (Status.DIVERGED, Status.FAILED, Status.LOST)
        if status is Status.PAUSED:
            # a program that reports every few steps may pause without a word at the rung itself
            self._count(trial, member, member.until)
        rests = status in (Status.PAUSED, Status.STOPPED) and trial in member.bracket.rungs[member.rung]
        member.over |= not rests
        member.bracket.busy.discard(trial)
        self._settle(member.bracket)

    def _settle(self, bracket: Bracket) -> None:
        """Decide the rung that is competed for, if it is complete."""
        spent = self._budget is not None and self._started >= self._budget
        if not bracket.busy and bracket.joined and not (bracket.takes and not spent):
            self._decide(bracket)

    def _decide(self, bracket: Bracket) -> None:
        """Choose who goes on from the rung that is competed for."""
        if bracket.at + 1 == len(bracket.levels):
            return
        if bracket.takes:
            bracket.sizes = halved(bracket.joined, eta=self.eta, rungs=len(bracket.sizes))
        chosen = self._resting(bracket)[: bracket.sizes[bracket.at + 1]]
        bracket.at = bracket.at + 1 if chosen else len(bracket.levels) - 1
        bracket.busy = set(chosen)
        for place, trial in enumerate(chosen):
            insort(self._queue, (bracket.number, place, trial))

    def _resting(self, bracket: Bracket) -> list[int]:
        """Trials that may go on from the rung that is competed for, best first."""
        ranked = (entry.trial for entry in bracket.rungs[bracket.at].ranked())
        return [trial for trial in ranked if not self._members[trial].over]

    # for subclasses and reports --------------------------------------------------------------------------

    def entered(self, trial: int, level: float) -> None:
        """A trial was started on its way to a rung."""

    def counted(self, trial: int, level: float, values: tuple[float, ...], violation: float) -> None:
        """A trial's result entered the rung that it was on its way to."""

    def label(self, number: int) -> int:
        """What a bracket is called in `rungs`, where a subclass begins several for what users know as one."""
        return number

    def rungs(self) -> list[dict[str, object]]:
        """Every result at every rung, best first; `bracket` counts from 0, `value` is as it was reported."""
        sign = self.problem.objectives[0].sign
        return [
            {
                "bracket": self.label(bracket.number),
                "resource": rung.level,
                "trial": entry.trial,
                "value": entry.values[0] * sign,
                "promoted": entry.trial in rung.passed,
            }
            for bracket in self._brackets
            for rung in bracket.rungs
            for entry in rung.ranked()
        ]
