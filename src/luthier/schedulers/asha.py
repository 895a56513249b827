"""Asynchronous successive halving: of every eta trials at a rung the best goes on, without waiting for the others."""

from __future__ import annotations

from bisect import bisect_right

from luthier.base.checks import check
from luthier.base.records import Configuration, Decision, Job, Report, Status
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._base import Scheduler
from luthier.schedulers._rungs import Rung, bracket_weights, rung_levels
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

TYPES = ("stopping", "promotion")
SHARES = ("floor", "quantile")
_NOTHING = Configuration()


@register("scheduler")
class Asha(Scheduler):
    """Successive halving that decides about each trial as soon as its result is there.

    Rungs stand at grace, grace * eta, grace * eta^2, ... below the full resource, and at the full resource itself.

    *Stopping*: a trial runs until a rung shows that it is not among the best 1/eta of all that were seen there;
    while fewer than eta results are there, everything goes on. Equal results go on together: a tie is no evidence.
    *Promotion*: a trial pauses at each rung. When a worker is free, the rungs are looked through from the highest
    down for a paused trial within the best floor(n / eta) of its rung's n results that has not gone on yet;
    otherwise a new trial starts. Among equal results the earliest goes first.

    A report counts at the highest rung whose level it reaches, once: a program that reports at 1, 5 and 10 is
    judged at 5 for the rung at 3. Rungs that it jumped over are left alone (a value at 5 is no fair rival for values
    at 1), and a resource reported again, by a resumed or repeated run, changes nothing. A trial that diverged,
    failed or was lost for good keeps its places in the counts and never goes on. A paused trial that the end of a
    study stopped can be promoted when the study is continued; one that was stopped on its way to a rung cannot.

    With several objectives, results are ordered by non-dominated sorting; with constraints, feasible ones come
    first, then those that violate least.

    Several brackets are ladders of their own: bracket s begins at rung s, so that its trials are judged later. Each
    trial's bracket is drawn, in proportion to the sizes that Hyperband gives them.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides the brackets, >= 0.
        eta: Reduction factor, a whole number >= 2 (3: the paper's experiments use 4, most tools 3).
        grace: Resource of the first rung, in the unit of the fidelity; None: its lowest value.
        type: "stopping" or "promotion".
        brackets: Number of brackets, from 1 to the number of rungs (1, the most aggressive, as in the paper).
        share: What "the best 1/eta" of n results at a rung are. "floor" (default): the best floor(n / eta), as in the
            paper. "quantile": those up to the interpolated quantile of this level / the next one, about one more: the
            rule of Syne Tune 0.13, whose every decision it makes.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, algorithm 2 (promotion); the
        stopping type as in the tools that followed (Ray Tune, Syne Tune); sizes of brackets from Li et al. 2018.
    Differs: a promoted trial must have paused (its checkpoint is complete); ties as above.
    Cost: O(log n) per decision for n results at a rung, one list shift included; O(n^2) with several objectives.
    """

    needs_fidelity = True
    multi_objective = True

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        eta: int = 3,
        grace: float | None = None,
        type: str = "stopping",
        brackets: int = 1,
        share: str = "floor",
    ) -> None:
        super().__init__(problem, searcher, seed=seed)
        check("share", share, one_of=SHARES)
        fidelity = needed(problem, self.name)
        self._fidelity = fidelity
        check("type", type, one_of=TYPES)
        eta = check("eta", eta, at_least=2, whole=True)
        first = fidelity.low if grace is None else grace
        check("grace", first, at_least=fidelity.low, at_most=fidelity.high, whole=fidelity.whole)
        self.levels = rung_levels(fidelity, eta, first)
        brackets = check("brackets", brackets, at_least=1, at_most=len(self.levels), whole=True)
        self.eta, self.promotes = eta, type == "promotion"
        following = zip(self.levels, self.levels[1:], strict=False)
        self._parts = {low: low / high for low, high in following} if share == "quantile" else {}
        self._weights = bracket_weights(len(self.levels), self.eta, brackets)
        self._ladders = [[self._rung(level) for level in self.levels[s:]] for s in range(brackets)]
        self._top = len(self.levels) - 1  # highest rung that a trial may be promoted to
        self._brackets: dict[int, int] = {}  # drawn before: a cache
        self._configs: dict[int, Configuration] = {}  # of trials that may be promoted
        self._until: dict[int, float | None] = {}  # resource granted to the current run
        self._at: dict[int, int] = {}  # highest rung that counted a trial, within its bracket
        self._last: dict[int, tuple[float, tuple[float, ...], float]] = {}  # resource, values, violation of the newest
        self._over: set[int] = set()  # never to go on: judged, diverged, failed or lost

    def _rung(self, level: float) -> Rung:
        """An empty rung; methods with another order among several objectives replace it."""
        return Rung(level)

    def bracket_of(self, trial: int) -> int:
        """The bracket that a trial belongs to: drawn from its number, so that no state is needed."""
        if len(self._ladders) == 1:
            return 0
        if trial not in self._brackets:
            draw = generator(self.seed, "scheduler", trial)
            self._brackets[trial] = int(draw.choice(len(self._ladders), p=self._weights))
        return self._brackets[trial]

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """A promotion when no number is given, a new trial when one is."""
        if k is None:
            return self._promotion() if self.promotes else None
        found = self.new_configuration(k, given)
        if found is None:
            return None
        origin, config = found
        until = self._ladders[self.bracket_of(k)][0].level if self.promotes else None
        return Job(k, config, until, origin=origin)

    def _promotion(self) -> Job | None:
        """The paused trial that goes on next: highest rung first, best trial first, lowest bracket first."""
        for index in range(self._top - 1, -1, -1):
            for bracket, ladder in enumerate(self._ladders):
                i = index - bracket
                if i < 0:
                    continue
                trial = self._chosen(ladder[i])
                if trial is not None:
                    return Job(trial, self._configs[trial], ladder[i + 1].level)
        return None

    def _chosen(self, rung: Rung) -> int | None:
        """The best trial at rest at a rung, if it may be promoted."""
        trial = rung.best_open()
        if trial is None:
            return None
        if self._parts:  # a single result has no quantile
            best = len(rung) > 1 and rung.place(trial) <= (len(rung) - 1) * self._parts[rung.level]
        else:
            best = rung.place(trial) < len(rung) // self.eta
        return trial if best else None

    def _goes_on(self, rung: Rung, trial: int) -> bool:
        """Whether a trial that has just reached a rung runs on (the stopping type)."""
        if self._parts:
            return rung.better(trial) <= (len(rung) - 1) * self._parts[rung.level]
        return len(rung) < self.eta or rung.better(trial) < len(rung) // self.eta

    def on_start(self, job: Job) -> None:
        """A trial runs: it is no longer at rest, and on its way to what it was granted."""
        super().on_start(job)
        if not self.promotes:
            return
        self._configs[job.trial] = job.config
        self._until[job.trial] = job.until
        at = self._at.get(job.trial)
        if at is None:
            return
        rung = self._ladder(job.trial)[at]
        rung.close(job.trial)
        if job.until is None or job.until > rung.level:
            rung.passed.add(job.trial)

    def on_report(self, report: Report) -> Decision:
        """Count the report at the highest rung it reaches, and judge.

        Raises:
            ArgumentError: the report carries no resource.
        """
        trial, resource = report.trial, spent(report, self._fidelity, self.name)
        if trial in self._over or not self.problem.usable(report.metrics):
            self._over.add(trial)
            return Decision.STOP
        if trial not in self._last or resource > self._last[trial][0]:
            observed = self.problem.observe(trial, _NOTHING, report.metrics)
            self._last[trial] = (resource, observed.values, observed.violation)
            self._count(trial, resource)
        if not self.promotes:
            return Decision.STOP if trial in self._over else Decision.CONTINUE
        until = self._until.get(trial)
        # what has had the full resource, asked for or not, has nothing to wait for
        due = until is not None and until <= resource * SLACK and resource * SLACK < self._fidelity.high
        return Decision.PAUSE if due else Decision.CONTINUE

    def _count(self, trial: int, resource: float) -> None:
        """Enter a trial's newest result at the highest rung that `resource` reaches, if it is a new one for it."""
        ladder = self._ladder(trial)
        reached = bisect_right(ladder, resource * SLACK, key=_level) - 1
        if reached <= self._at.get(trial, -1):
            return
        _, values, violation = self._last[trial]
        self._at[trial] = reached
        rung = ladder[reached]
        rung.add(trial, values, violation)
        if self.promotes:
            return
        if reached == len(ladder) - 1 or self._goes_on(rung, trial):
            rung.passed.add(trial)
        else:
            self._over.add(trial)

    def on_end(self, trial: int, status: Status) -> None:
        """A trial that pauses, or was stopped while it paused, may be promoted; one that failed may not."""
        super().on_end(trial, status)
        if not self.promotes:
            return
        if status in (Status.DIVERGED, Status.FAILED, Status.COMPLETED):
            self._over.add(trial)
        if trial in self._last and status is Status.PAUSED:
            # a program that reports every few steps may pause without a word at the rung itself
            self._count(trial, max(self._last[trial][0], self._until.get(trial) or 0))
        at = self._at.get(trial)
        if at is None:
            return
        rung = self._ladder(trial)[at]
        if status in (Status.PAUSED, Status.STOPPED) and trial not in self._over:
            rung.open(trial)
        elif status.ended:
            rung.close(trial)

    def rungs(self) -> list[dict[str, object]]:
        """Every result at every rung, best first; `value` is the first objective as it was reported."""
        sign = self.problem.objectives[0].sign
        return [
            {
                "bracket": bracket,
                "resource": rung.level,
                "trial": entry.trial,
                "value": entry.values[0] * sign,
                "promoted": entry.trial in rung.passed,
            }
            for bracket, ladder in enumerate(self._ladders)
            for rung in ladder
            for entry in rung.ranked()
        ]

    def _ladder(self, trial: int) -> list[Rung]:
        return self._ladders[self.bracket_of(trial)]


def _level(rung: Rung) -> float:
    return rung.level
