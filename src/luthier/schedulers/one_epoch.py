"""The plain yardstick: every trial runs for the lowest resource, then the best three of a pool run to the end."""

from __future__ import annotations

from luthier.base.checks import check
from luthier.base.records import Configuration, Job, Status
from luthier.base.registry import register
from luthier.schedulers._ahead import Ahead
from luthier.schedulers._rungs import Rung
from luthier.schedulers.asha import Asha
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

#: Trials of a pool when the study does not know how many it will have: three of them are then 3 %, about the share
#: that `asha` with eta = 3 lets beyond its third rung.
POOL = 100


@register("scheduler")
class OneEpoch(Ahead, Asha):
    """Trains every configuration at the lowest resource, and only the best few in full.

    Trials pause at the lowest resource. When as many of them as a pool holds have paused or ended, the pool is
    complete: the best `top` of all that have not gone on yet, those of earlier pools among them, run to the full
    resource. Meanwhile the next pool begins, so that no worker waits. A pool that the study's trials cannot fill,
    or that a finite space of known size or a searcher that has nothing left cannot, is complete with what it has.
    What fails on its way to the full resource is not replaced.

    Results are ordered as at the rungs of `asha`: feasible first; several objectives by fronts, lonely points first.

    A comparison of methods that use early reports must include this one: where it is not beaten, the curves are too
    easy to tell such methods apart.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        pool: Trials in a pool, a whole number >= 1; None: all trials of the study, 100 when their number is unknown
            (a study that is limited by time alone).
        top: How many of a pool run to the full resource, a whole number >= 1 (3, as in the paper).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Egele, Guyon, Sun, Balaprakash 2023, Is One Epoch All You Need For Multi-Fidelity Hyperparameter
        Optimization?
    Differs: pools, so that a study without an end in sight, and one that is continued, promote as well.
    Cost: O(log n) per decision for n trials; O(n^2) with several objectives.
    """

    def __init__(
        self, problem: Problem, searcher: Searcher, *, seed: int, pool: int | None = None, top: int = 3
    ) -> None:
        super().__init__(problem, searcher, seed=seed, type="promotion")
        if pool is not None:
            pool = check("pool", pool, at_least=1, whole=True)
        top = check("top", top, at_least=1, whole=True)
        self.levels = (self.levels[0], self.levels[-1]) if len(self.levels) > 1 else self.levels
        self._ladders = [[Rung(level) for level in self.levels]]
        self._top = len(self.levels) - 1
        self._pool, self._share = pool, top
        self._budget: int | None = None
        self._elsewhere = 0  # trials that were made elsewhere
        self._tried: set[int] = set()  # trials that have paused at the lowest resource, or ended
        self._complete = 0  # how many of them were in pools that are complete
        self._best: list[int] = []  # who goes on, best first; those that have started are still here

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """A promotion when no number is given, a new trial when one is; a pool that can never be full is complete."""
        found = super().next_job(k, given=given)
        if found is None and k is None and len(self._tried) > self._complete and self.dry():
            self._take()
            found = super().next_job()
        return found

    def on_budget(self, trials: int | None) -> None:
        """A run begins; a pool that it can no longer fill is complete."""
        super().on_budget(trials)
        self._budget = trials
        self._close()

    def on_start(self, job: Job) -> None:
        """A trial runs; what was made elsewhere is in no pool."""
        if job.trial in self._tried and job.trial not in self._best:
            self._take()  # nobody was told that the pool would not fill: see `next_job`
        super().on_start(job)
        self._elsewhere += job.until is None

    def on_end(self, trial: int, status: Status) -> None:
        """A trial has shown what it can at the lowest resource, or has ended: it counts in its pool."""
        super().on_end(trial, status)
        granted = self._until.get(trial) is not None  # else it was made elsewhere, and is in no pool
        if granted and (status is Status.PAUSED or status.ended):
            self._tried.add(trial)
            self._close()

    def _close(self) -> None:
        """Choose who goes on from every pool that is complete."""
        while self._complete < self._bound() <= len(self._tried):
            self._take(self._bound())

    def _take(self, complete: int | None = None) -> None:
        """Choose who goes on: the first so many, all that there are by default, make complete pools."""
        self._complete = len(self._tried) if complete is None else complete
        self._best += self._leading()

    def _bound(self) -> int:
        """How many trials there must be for the present pool to be complete."""
        budget = self._budget if self._budget is not None and self._budget > self._complete else None
        if self._pool is None:
            bound = self._complete + POOL if budget is None else budget
        else:
            bound = self._complete + int(self._pool)
            bound = bound if budget is None else min(bound, budget)
        size = self.problem.space.size
        size = None if size is None else size - self._elsewhere
        return bound if size is None or size <= self._complete else min(bound, size)

    def _leading(self) -> list[int]:
        """The best trials at rest that were not chosen before, best first."""
        rung = self._ladders[0][0]
        open_now = [e.trial for e in rung.ranked() if rung.is_open(e.trial) and e.trial not in self._best]
        return open_now[: self._share]

    def _chosen(self, rung: Rung) -> int | None:
        return next((trial for trial in self._best if rung.is_open(trial)), None)
