"""A driver in virtual time: several workers, scrambled arrivals, crashes; its events can be replayed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.base.records import Configuration, Decision, Job, Observation, Report, Status
from luthier.base.seeds import generator
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import FEATURES, Searcher
from luthier.space.problem import Problem

#: Metrics of a configuration after so much resource (None: there is no fidelity).
Curve = Callable[[Configuration, float | None], dict[str, float]]
BuildScheduler = Callable[[], Scheduler]


class Uniform(Searcher):
    """Uniform draws that depend on the proposal's number alone; supports everything."""

    name = "uniform"
    supports = FEATURES

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem, seed=seed)
        self.told: list[Observation] = []

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return [self.space.sample(1, self.rng(k + i))[0] for i in range(n)]

    def tell(self, observations: Sequence[Observation]) -> None:
        self.told.extend(observations)


@dataclass
class Running:
    """A run on a virtual worker."""

    job: Job
    spent: float
    decision: Decision = Decision.CONTINUE


@dataclass
class Drive:
    """Runs a scheduler on a synthetic problem.

    Args:
        build: Makes the scheduler, fresh.
        problem: The problem it was made for.
        curve: What the trials report.
        seed: Decides arrivals and crashes.
        workers: Runs at once.
        trials: New trials to be started.
        steps: Resource between two reports of a trial, by the trial's number.
        fails: Chance per report that the program raises.
        loses: Chance per report that the machine dies; the trial starts again without a checkpoint.
        given: Configurations to be run in place of proposals, by trial number.
    """

    build: BuildScheduler
    problem: Problem
    curve: Curve
    seed: int = 0
    workers: int = 4
    trials: int = 40
    steps: Callable[[int], float] = lambda trial: 1.0
    fails: float = 0.0
    loses: float = 0.0
    given: dict[int, Configuration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scheduler = self.build()
        self.rng = generator(self.seed, "bench", 0)
        self.started = 0
        self.running: list[Running] = []
        self.waiting: list[Job] = []
        self.status: dict[int, Status] = {}
        self.jobs: list[Job] = []
        self.reports: dict[int, list[Report]] = {}
        self.saved: dict[int, float] = {}
        self.idle = 0
        self.log: list[tuple[str, Any, Any]] = []

    # what the study does ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Until no work is left."""
        self.log.append(("budget", self.trials, None))
        self.scheduler.on_budget(self.trials)
        limit = 50 * self.trials * max(1.0, self._high / min(self.steps(n) for n in range(self.trials)))
        for _ in range(int(limit)):
            while len(self.running) < self.workers and self._start():
                pass
            if not self.running:
                return
            self._advance(self.running[int(self.rng.integers(len(self.running)))])
        raise AssertionError(f"the study did not end after {int(limit)} reports of {self.trials} trials")

    def end_study(self) -> None:
        """What is paused is stopped, as at the end of a study."""
        for number, status in sorted(self.status.items()):
            if status is Status.PAUSED:
                self._end(number, Status.STOPPED)

    def replay(self) -> Scheduler:
        """A cold rebuild from the events; every decision is compared with the live one.

        Raises:
            AssertionError: a decision differs.
        """
        cold = self.build()
        for kind, given, answer in self.log:
            if kind == "ask":
                k, configuration = given
                found = cold.next_job(k, given=configuration)
                assert found == answer, f"cold rebuild: next_job({k}) gives {found}, live it gave {answer}"
            elif kind == "start":
                cold.on_start(given)
            elif kind == "report":
                decided = cold.on_report(given)
                assert decided is answer, f"cold rebuild: {given} gives {decided}, live it gave {answer}"
            elif kind == "end":
                cold.on_end(*given)
            elif kind == "budget":
                cold.on_budget(given)
            else:
                cold.tell(given)
        return cold

    @property
    def _high(self) -> float:
        return 1.0 if self.problem.fidelity is None else self.problem.fidelity.high

    def _ask(self, k: int | None) -> Job | None:
        configuration = None if k is None or k not in self.given else ("enqueued", self.given[k])
        look = len(self.log) < 200  # tables grow, and looking at them costs
        before = self.scheduler.rungs() if look else []
        found = self.scheduler.next_job(k, given=configuration)
        again = self.scheduler.next_job(k, given=configuration)
        assert found == again, f"next_job({k}) is not pure: {found}, then {again}"
        assert not look or self.scheduler.rungs() == before, f"next_job({k}) changed the rungs"
        self.log.append(("ask", (k, configuration), found))
        return found

    def _start(self) -> bool:
        if self.waiting:
            self._begin(self.waiting.pop(0))
            return True
        job = self._ask(None)
        if job is not None:
            self._check_old(job)
        elif self.started < self.trials:
            job = self._ask(self.started)
            if job is not None:
                assert job.trial == self.started, f"next_job({self.started}) numbered its trial {job.trial}"
                wanted = self.given.get(job.trial)
                assert wanted is None or (job.config, job.origin) == (wanted, "enqueued"), "a given job was changed"
                self.started += 1
        if job is None:
            work = self.started < self.trials and not self.scheduler.ends
            self.idle += work
            assert self.running or not work, "the scheduler waits although nothing runs: the study hangs"
            return False
        twice = any((job.trial, job.until) == (other.trial, other.until) for other in self.jobs)
        assert not twice, f"{job} was granted twice"
        self.jobs.append(job)
        self._begin(job)
        return True

    def _check_old(self, job: Job) -> None:
        status = self.status.get(job.trial)
        assert status in (Status.PAUSED, Status.STOPPED), f"{job} goes on, but its trial is {status}"
        values = self.reports[job.trial][-1].metrics.values()
        assert all(math.isfinite(v) for v in values), f"{job} goes on after reporting {list(values)}"

    def _begin(self, job: Job) -> None:
        spent = self.saved.get(job.trial, 0.0)
        if job.parent is not None and not spent:
            spent = self._start_of(job)
        self.status[job.trial] = Status.RUNNING
        self.running.append(Running(job, spent))
        self.log.append(("start", job, None))
        self.scheduler.on_start(job)

    def _start_of(self, job: Job) -> float:
        """Resource in the checkpoint that a clone starts from."""
        assert job.parent != job.trial, f"{job} is a clone of itself"
        parent, _, name = (job.checkpoint or "").rpartition("/r")
        known = [report.checkpoint for report in self.reports.get(job.parent or 0, [])]
        assert parent == str(job.parent), f"{job}: a clone's checkpoint is named PARENT/NAME"
        assert f"r{name}" in known, f"{job}: its parent wrote {known}"
        return float(name)

    def _advance(self, run: Running) -> None:
        number, luck = run.job.trial, self.rng.random()
        if run.decision is not Decision.CONTINUE:
            # between a decision and the end of the run other events come, and the program may fail as it saves
            obeyed = Status.PAUSED if run.decision is Decision.PAUSE else Status.STOPPED
            self._finish(run, Status.FAILED if luck < self.fails else obeyed)
            return
        if luck < self.fails:
            self._finish(run, Status.FAILED)
            return
        if luck < self.fails + self.loses:
            self._finish(run, Status.WAITING)
            self.waiting.append(run.job)
            return
        until = run.job.until or self._high
        run.spent = min(run.spent + self.steps(number), until)
        self._report(run)
        if not self.problem.usable(self.reports[number][-1].metrics):
            self._finish(run, Status.DIVERGED)
        elif run.decision is Decision.CONTINUE and run.spent >= until:
            self._finish(run, Status.COMPLETED if until >= self._high else Status.PAUSED)

    def _report(self, run: Running) -> None:
        job = run.job
        resource = None if self.problem.fidelity is None else run.spent
        report = Report(job.trial, resource, self.curve(job.config, resource), checkpoint=f"r{run.spent!r}")
        self.reports.setdefault(job.trial, []).append(report)
        told = self.problem.observe(job.trial, job.config, report.metrics, resource=resource, status=Status.RUNNING)
        self._tell(told)
        run.decision = self.scheduler.on_report(report)
        self.log.append(("report", report, run.decision))

    def _finish(self, run: Running, status: Status) -> None:
        number = run.job.trial
        self.running.remove(run)
        if status in (Status.PAUSED, Status.COMPLETED):
            self.saved[number] = run.spent
        self._end(number, status)
        if status.ended:
            metrics = self.reports[number][-1].metrics if status is Status.COMPLETED else None
            self._tell(self.problem.observe(number, run.job.config, metrics, resource=run.spent, status=status))

    def _end(self, number: int, status: Status) -> None:
        self.status[number] = status
        self.log.append(("end", (number, status), None))
        self.scheduler.on_end(number, status)

    def _tell(self, observation: Observation) -> None:
        self.log.append(("tell", [observation], None))
        self.scheduler.tell([observation])
