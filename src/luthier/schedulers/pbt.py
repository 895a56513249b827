"""Population-based training: members that fall behind are replaced, as they train, by changed copies of those ahead."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check, check_flag
from luthier.base.records import Configuration, Decision, Job, Observation, Report, Status
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._base import Scheduler
from luthier.schedulers._members import Mark, Member, Stand, Vacancy, check_factors, explore, standings
from luthier.schedulers._population import Population
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

#: Clones in a row that a place may lose at their first decision; the next one goes on. Where all copies of the best are
#: worse than they, a place would be filled for ever, and who rests would never get a worker. Where they all fail before
#: it, the place stays empty.
PATIENCE = 3


@register("scheduler")
class Pbt(Scheduler):
    """Trains a population side by side, and lets what works take over: weights and hyperparameters alike.

    Whenever a member has spent `every` since its last decision (or its start as a clone), the newest results of all
    members that are not at their end are ordered. Who is in the worst quantile, and worse than everybody in the best
    one, is stopped. A new trial takes its place: it starts from the newest checkpoint of a random member of the best
    quantile, with that member's configuration explored (`luthier.schedulers._members.explore`), and runs on to the
    full resource. So a trial's result belongs to a *schedule* of configurations: `study.schedule()` gives the winner's.

    *Asynchronous* (the default): a member is judged when it gets there, against what the others reported last. Nobody
    is judged before every member of the first population has a result. A failed or diverged member is replaced at
    once. With fewer workers than members they take turns: one that reaches its decision point pauses while others
    wait; the least advanced goes on first. Clones then start from members that have not come as far, and cost more:
    one worker spent 1047 epochs on 16 members of 52 epochs. Take the synchronous form if workers are few.
    *Synchronous*: all pause at `every`, 2 * `every`, ...; when the last is there, the worst, and whoever failed, are
    replaced, then the others go on, both in order of their places. What is drawn depends on seed, generation and place
    alone, so the order of arrival does not matter: any number of workers, and a study that was killed and resumed, end
    the same, as far as the training itself does.

    Members are ordered as rungs order trials: feasible ones first, then those that violate least; several objectives
    by non-dominated sorting. Equal results are no evidence: who equals one of the best is not replaced. A lost member
    is run again by the study. A member that the end of a run stopped goes on when the study is continued. Without a
    trial left in the budget, or with nobody to copy, members go on as they are. Configurations that a user gives join
    the population; beyond its size, they enlarge it.

    The searcher proposes the first population and is told of it alone: a clone's result owes to several
    configurations, and would be taken for the merit of its last. When a finite space runs out, the first population
    holds repetitions. Several drivers of one study may fill a place twice: the population is then that much larger.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes the first population.
        seed: Decides who is copied, and how copies are changed, >= 0.
        population: Members (16: with 4, the default of some tools, the best and the worst quantile are one member
            each, and the copies of one member soon are the population), >= 2.
        every: Resource between two decisions of a member; None: a tenth of the full resource, at least its lowest
            value (nine decisions: enough to move a value by a factor of five).
        quantile: Share of members that count as best and as worst, in (0, 0.5]: n * quantile rounded up, at most half
            (0.25: as in Ray Tune and Syne Tune; the paper's truncation selection has 0.2).
        resample: Probability that a hyperparameter is drawn anew (0.25: as in Ray Tune and Syne Tune).
        factors: What numbers are multiplied by (0.8 and 1.2, the paper's).
        synchronous: Whether all wait for each other (False: workers do not idle).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Jaderberg et al. 2017, Population Based Training of Neural Networks, algorithm 1, with truncation selection.
    Differs: a replaced member is a new trial; a clone counts among the others from its first report on; choices are
        always drawn anew; ties; members at their full resource are neither copied nor compared with.
    Cost: O(n) comparisons per report at a decision, n members; O(n^2) with several objectives.
    """

    needs_fidelity = True
    multi_objective = True
    waits = True  # the synchronous form
    ends = True
    clones = True
    proposer = "random"

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        population: int = 16,
        every: float | None = None,
        quantile: float = 0.25,
        resample: float = 0.25,
        factors: Sequence[float] = (0.8, 1.2),
        synchronous: bool = False,
    ) -> None:
        super().__init__(problem, searcher, seed=seed)
        fidelity = self._fidelity = needed(problem, self.name)
        population = check("population", population, at_least=2, whole=True)
        check("quantile", quantile, above=0, at_most=0.5)
        check("resample", resample, at_least=0, at_most=1)
        synchronous = check_flag("synchronous", synchronous)
        tenth = fidelity.high / 10
        step = max(fidelity.low, round(tenth) if fidelity.whole else tenth) if every is None else every
        check("every", step, at_least=fidelity.low, at_most=fidelity.high, whole=fidelity.whole)
        self.every: float = int(step) if fidelity.whole else float(step)
        self.population, self.quantile, self.synchronous = population, float(quantile), synchronous
        self.resample, self.factors = float(resample), check_factors(factors)
        self._high = fidelity.high
        # a run in fractions reports where its grant ends, and nowhere else
        self._halts = synchronous or not fidelity.whole
        count = math.ceil(fidelity.high / self.every / SLACK)
        self.levels = (*(self.every * i for i in range(1, count)), fidelity.high)
        self._crowd = Population(problem, fidelity.high, quantile)
        self.members = self._crowd.members
        self._started = 0  # trials that use the budget
        self._budget: int | None = None
        self._formed = False  # whether the whole first population has results
        self._clones: list[Vacancy] = []  # synchronous: decided, and not yet started
        self._onward: list[int] = []  # synchronous: trials that may go on
        self._rows: list[dict[str, object]] = []

    # what runs next --------------------------------------------------------------------------------------

    def on_budget(self, trials: int | None) -> None:
        """A clone uses one of these trials; when none is left, nobody is replaced."""
        self._budget = trials
        self._look_round()

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """A member that goes on when no number is given, a fresh member or a clone when one is."""
        if k is None:
            return None if self._new_is_due() else self._continued()
        if given is not None or self._crowd.fresh < self.population:
            origin, config = self._first(k, given)
            return Job(k, config, self.levels[0] if self._halts else None, origin=origin)
        if self.synchronous:
            return self._planned(k)
        best = self._crowd.standings().best if self._crowd.vacant else ()
        return self._clone(k, best, generator(self.seed, "scheduler", k), None)

    def _first(self, k: int, given: tuple[str, Configuration] | None) -> tuple[str, Configuration]:
        found = self.new_configuration(k, given)
        if found is None:  # a finite space is used up; two members may share a configuration, their copies will differ
            [drawn] = self.problem.space.sample(1, generator(self.seed, "scheduler", k))
            return "random", drawn
        return found

    def _planned(self, k: int) -> Job | None:
        """The clone for the first empty place."""
        if not self._clones:
            return None
        first = self._clones[0]
        rng = generator(self.seed, "scheduler", first.generation, first.slot)
        return self._clone(k, first.best, rng, self.levels[min(first.generation + 1, len(self.levels) - 1)])

    def _clone(
        self, k: int, best: tuple[tuple[int, str], ...], rng: np.random.Generator, until: float | None
    ) -> Job | None:
        if not best:
            return None
        trial, checkpoint = best[int(rng.integers(len(best)))]
        parent = self.members[trial]
        at = parent.marks[checkpoint].resource
        config = self._explored(parent, at, rng)
        if until is None and self._halts:
            until = min(at + self.every, self._high)
        return Job(k, config, until, trial, f"{trial}/{checkpoint}", self.name)

    def _explored(self, parent: Member, at: float, rng: np.random.Generator) -> Configuration:
        """The configuration of a clone that starts at resource `at`."""
        return explore(self.problem.space, parent.config, rng, resample=self.resample, factors=self.factors)

    def _continued(self) -> Job | None:
        """The member at rest that goes on next."""
        if self.synchronous:
            halted = next((m for m in self._crowd.places if m.stand is Stand.HALTED), None)
            if halted is not None:
                return Job(halted.trial, halted.config, halted.until)
            # with no trial left for a clone, whoever it would have replaced goes on
            trials = [*self._onward, *(v.old for v in self._clones if v.old is not None)]
            if not trials:
                return None
            member = min((self.members[trial] for trial in trials), key=lambda m: m.slot)
            return Job(member.trial, member.config, self._next_level(member.judged))
        resting = [m for m in self._crowd.places if m.stand in (Stand.RESTING, Stand.HALTED)]
        if not resting:
            return None
        member = min(resting, key=lambda m: (m.judged, m.slot))
        until = member.judged + self.every
        return Job(member.trial, member.config, self._high if until * SLACK >= self._high else until)

    def _new_is_due(self) -> bool:
        """Whether a fresh member or a clone must start before anybody goes on."""
        if self._left() < 1:
            return False
        if self._crowd.fresh < self.population:
            return True
        if self.synchronous:
            return bool(self._clones)
        return bool(self._crowd.vacant and self._crowd.standings().best)

    def _left(self) -> float:
        return math.inf if self._budget is None else self._budget - self._started

    def _next_level(self, resource: float) -> float:
        """The first decision point above a resource; the full resource in the end."""
        return self.levels[min(bisect_left(self.levels, resource * SLACK), len(self.levels) - 1)]

    # what happened ---------------------------------------------------------------------------------------

    def on_start(self, job: Job) -> None:
        """A member is new, or runs on."""
        super().on_start(job)
        if job.origin == "added":
            return  # made elsewhere: there is nothing to be trained
        known = self.members.get(job.trial)
        if known is not None:
            known.stand, known.until = Stand.RUNNING, job.until
            self._onward = [trial for trial in self._onward if trial != job.trial]
            self._clones = [v for v in self._clones if v.old != job.trial]
            return
        self._started += 1
        self._crowd.join(job, self._clones.pop(0) if self._clones and job.parent is not None else None)

    def on_config(self, trial: int, config: Configuration) -> None:
        """A member has named a hyperparameter."""
        super().on_config(trial, config)
        if trial in self.members:
            self.members[trial].config = config

    def on_report(self, report: Report) -> Decision:
        """Take a result in, and judge its member if it is due.

        Raises:
            ArgumentError: the report carries no resource.
        """
        resource = spent(report, self._fidelity, self.name)
        member = self.members.get(report.trial)
        if member is None:
            return Decision.CONTINUE
        if member.stand is Stand.GONE or not self.problem.usable(report.metrics):
            return Decision.STOP
        if resource > member.resource or not member.values:
            self._crowd.take_in(member, report, resource)
            self._look_round()
        full = member.resource * SLACK >= self._high
        reached = member.until is not None and member.until <= resource * SLACK
        if self.synchronous or full:
            return Decision.PAUSE if reached and not full else Decision.CONTINUE
        if reached or member.resource * SLACK >= member.judged + self.every:
            return self._judge(member, reached)
        return Decision.CONTINUE

    def _judge(self, member: Member, reached: bool) -> Decision:
        """The asynchronous decision about a member at its decision point."""
        crowd = self._crowd
        if member.resource > member.judged:
            first = member.parent is not None and member.judged == member.origin
            self._pass(member, member.resource)
            losses = crowd.losses.get(member.slot, 0)
            may_be = self._formed and self._left() > len(crowd.vacant) and losses < PATIENCE
            behind = may_be and any(m is member for m in crowd.standings().behind)
            self._note(member, goes_on=not behind)
            crowd.losses[member.slot] = losses + 1 if behind and first else 0
            if behind:
                crowd.leave(member)
                return Decision.STOP
        waiting = self._left() >= 1 and self._crowd.fresh < self.population
        waiting = waiting or any(
            m.stand in (Stand.RESTING, Stand.HALTED) and m.judged <= member.judged for m in self._crowd.places
        )
        return Decision.PAUSE if reached or waiting else Decision.CONTINUE

    def _pass(self, member: Member, resource: float) -> None:
        """A member stands at a decision point with a result."""
        self._learn(member)
        member.judged, member.base = resource, Mark(member.resource, member.values, member.violation)

    def _learn(self, member: Member) -> None:
        """What the interval that ends here says about its configuration; for heirs of this class."""

    def _fell(self, member: Member) -> None:
        """A member failed or diverged on its way to its next decision; for heirs of this class."""

    def _note(self, member: Member, *, goes_on: bool) -> None:
        value = member.values[0] * self.problem.objectives[0].sign
        row: dict[str, object] = {
            "bracket": 0,
            "resource": member.resource,
            "trial": member.trial,
            "value": value,
            "promoted": goes_on,
        }
        self._rows.append(row)

    def on_end(self, trial: int, status: Status) -> None:
        """A run is over: the member rests, is grown up, or leaves its place empty."""
        super().on_end(trial, status)
        member = self.members.get(trial)
        if member is None or member.stand is Stand.GONE:
            return
        if status is Status.PAUSED:
            member.stand = Stand.RESTING
            reached = max(member.resource, min(member.until or 0.0, self._high))
            # the program may have paused without a word at the point itself
            if member.values and reached > member.judged:
                self._pass(member, reached)
            member.judged = max(member.judged, reached)
        elif status is Status.STOPPED:
            member.stand = Stand.RESTING if member.stand is Stand.RESTING else Stand.HALTED
        elif status is Status.COMPLETED:
            member.stand = Stand.GROWN
        elif status.ended:
            self._onward = [other for other in self._onward if other != trial]
            if member.parent is not None and member.judged == member.origin:
                self._crowd.lose(member)
            if status is not Status.LOST:
                self._fell(member)
            tried = self._crowd.losses.get(member.slot, 0)
            self._crowd.leave(member, refill=self.synchronous or tried <= PATIENCE)
        self._look_round()

    # decisions about all ---------------------------------------------------------------------------------

    def _look_round(self) -> None:
        """See whether the population has formed, and whether a synchronous decision is due."""
        started = self._crowd.fresh >= self.population or self._left() < 1
        if self._left() < 1:  # what a user gave has used the trials that clones were to have
            self._crowd.vacant += [v.slot for v in self._clones if v.old is None]
            self._clones = [v for v in self._clones if v.old is not None]
        if not self._formed:
            self._formed = started and all(m.values or not m.stand.alive for m in self._crowd.places)
        if self.synchronous and started and not self._clones and not self._onward:
            alive = self._crowd.alive()
            behind = min((self._generation(m) for m in alive), default=-1)
            # who joined late is judged among its like; the others wait for it when it has caught up
            group = [m for m in alive if self._generation(m) == behind]
            if group and all(m.stand is Stand.RESTING for m in group):
                self._decide(group, behind)

    def _generation(self, member: Member) -> int:
        """Number of the decision point that a member stands at or runs to."""
        return bisect_left(self.levels, (member.until or self._high) / SLACK)

    def _decide(self, group: list[Member], generation: int) -> None:
        """All have arrived: say who is replaced, and who goes on."""
        found = standings(group, self.quantile)
        left = int(min(self._left(), len(self._crowd.places))) if found.best else 0
        empty = sorted(self._crowd.vacant)[:left]
        worst = {m.slot: m.trial for m in found.behind[: left - len(empty)]}
        self._crowd.vacant = [slot for slot in self._crowd.vacant if slot not in empty]
        for member in found.ranked:
            self._note(member, goes_on=member.slot not in worst)
        slots = sorted([*empty, *worst])
        self._clones = [Vacancy(slot, generation, worst.get(slot), found.best) for slot in slots]
        self._onward = [m.trial for m in group if m.slot not in worst]

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass on what says something about a single configuration: all but clones."""
        told = [o for o in observations if o.trial not in self.members or self.members[o.trial].parent is None]
        if told:
            self.searcher.tell(told)

    def rungs(self) -> list[dict[str, object]]:
        """Every decision about a member; `value` is the first objective as it was reported."""
        return list(self._rows)
