"""The log and the algorithms together: events are folded into both, and decisions are read off.

The engine writes nothing. It is the same for a live study, a resumed one and a replay, which is why the same
log gives the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from luthier.base.records import Configuration, Decision, Event, Job, Status, Trial
from luthier.base.threads import one_thread
from luthier.schedulers._base import Scheduler
from luthier.study._definition import Definition
from luthier.study._judge import Judge
from luthier.study._selection import CONFIRM
from luthier.study._state import State


@dataclass(frozen=True)
class Proposal:
    """A job that may be started, and where its configuration came from.

    Args:
        job: The job.
        initial: Position among the definition's first configurations, None if it is none of them.
        queued: `seq` of the event that enqueued it, None if none did.
    """

    job: Job
    initial: int | None = None
    queued: int | None = None


class Engine:
    """State, scheduler and searcher of one study.

    Args:
        definition: The study as it was made.
        read: Gives the events up to a `seq`; needed when the space widens and the models start afresh.
    """

    def __init__(self, definition: Definition, read: Callable[[int], list[Event]]) -> None:
        self.definition = definition
        self.state = State(definition)
        self.scheduler: Scheduler = definition.build()
        self.pending: dict[int, tuple[int, Decision]] = {}  # decided, and not yet in the log: trial -> (seq, what)
        self._read = read
        self._stale = False
        self._judge: Judge | None = None

    @property
    def judge(self) -> Judge:
        """The stopping rules, for the space as it is now."""
        if self._judge is None:
            self._judge = Judge(self.definition.with_space(self.state.space), self.state)
        return self._judge

    def fold(self, event: Event) -> None:
        """Take one event in."""
        if self._stale and event.kind == "reported" and self.definition.problem.fidelity is not None:
            self.refresh()  # it is judged at once: when the algorithms are built anew must not matter
        before = self._status(event.trial)
        self.state.apply(event)
        if event.kind == "widened":
            self._stale, self._judge = True, None
        elif not self._stale:
            self._drive(event, before)

    def refresh(self) -> None:
        """Build the algorithms anew if the space has changed since they were built."""
        if not self._stale:
            return
        # in a second engine, so that an interrupt leaves this one as it was
        anew = Engine(self.definition.with_space(self.state.space), self._read)
        anew.state = State(self.definition)
        for event in self._read(self.state.head):
            before = anew._status(event.trial)
            anew.state.apply(event)
            if event.kind != "widened":
                anew._drive(event, before)
        self.scheduler, self.pending, self._stale = anew.scheduler, anew.pending, False

    def _status(self, trial: int | None) -> Status | None:
        known = self.state.trials.get(trial) if trial is not None else None
        return None if known is None else known.status

    def _drive(self, event: Event, before: Status | None) -> None:
        """Tell the scheduler, and through it the searcher, what an event means to them."""
        if event.kind == "begun":
            self.scheduler.on_budget(event.data.get("trials"))
        if event.trial is None or event.kind in ("asked", "annotated"):
            return
        trial = self.state.trials[event.trial]
        if event.kind == "extended":
            self.scheduler.on_config(trial.number, trial.config)
            return
        if event.kind == "started":
            job = Job(trial.number, trial.config, trial.until, trial.parent, event.data.get("checkpoint"), trial.origin)
            self.scheduler.on_start(job)
        elif event.kind == "reported":
            self._report(trial, event)
        elif trial.status is not before:
            self._end(trial)

    def _report(self, trial: Trial, event: Event) -> None:
        report = trial.reports[-1]
        problem = self.definition.problem
        if not self.state.fresh or problem.fidelity is None or not problem.usable(report.metrics):
            return
        if self.definition.repeats == 1:
            told = problem.observe(
                trial.number, trial.config, report.metrics, resource=report.resource, status=Status.RUNNING
            )
            self.scheduler.tell([told])
        decision = self.scheduler.on_report(report)
        if decision is not Decision.CONTINUE:
            self.pending[trial.number] = (event.seq, decision)

    def _end(self, trial: Trial) -> None:
        self.pending.pop(trial.number, None)
        self.scheduler.on_end(trial.number, trial.status)
        if not trial.status.ended or trial.status is Status.LOST:
            return
        problem = self.definition.problem
        usable = trial.status not in (Status.FAILED, Status.DIVERGED) and trial.metrics
        told = problem.observe(
            trial.number,
            trial.config,
            trial.metrics if usable else None,
            resource=trial.resource,
            status=trial.status,
        )
        self.scheduler.tell([told])

    def continue_job(self) -> Job | None:
        """A trial that the scheduler wants to go on, if there is one."""
        with one_thread():
            self.refresh()
            return self.scheduler.next_job(None)

    def new_job(
        self, k: int, *, taken: Collection[int] = frozenset(), skip: Collection[int] = frozenset()
    ) -> Proposal | None:
        """Proposal number `k`: a first configuration, an enqueued one, or the searcher's.

        Args:
            k: The number reserved for it.
            taken: Positions among the first configurations that another driver has taken.
            skip: Events whose enqueued configuration another driver has taken.

        Returns:
            The proposal, or None when the space is exhausted or the scheduler wants to wait.
        """
        with one_thread():
            self.refresh()
            return self._new_job(k, taken, skip)

    def _new_job(self, k: int, taken: Collection[int], skip: Collection[int]) -> Proposal | None:
        state, definition = self.state, self.definition
        for i, (origin, config) in enumerate(definition.initial):
            if i not in state.initial and i not in taken:
                return self._given(k, self.today(config), origin, initial=i)
        for seq, config in state.queue.items():
            if seq not in skip:
                origin = CONFIRM if seq in state.rounds else "enqueued"
                return self._given(k, self.today(config), origin, queued=seq)
        if definition.open_space and not len(state.space):
            return self._given(k, Configuration(), definition.searcher[0])
        job = self.scheduler.next_job(k)
        return None if job is None else Proposal(job)

    def today(self, config: Configuration) -> Configuration:
        """A configuration that was given earlier, in the space as it is now: what has joined it is at its default."""
        if self.definition.open_space or self.state.space is self.definition.problem.space:
            return config
        return self.state.space.check(config, fill=True)

    def _given(
        self, k: int, config: Configuration, origin: str, *, initial: int | None = None, queued: int | None = None
    ) -> Proposal | None:
        job = self.scheduler.next_job(k, given=(origin, config))
        return None if job is None else Proposal(job, initial, queued)
