"""A session: one process's work on one study. It keeps log, engine and lease together, and starts trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from luthier.base.errors import StorageError
from luthier.base.records import Decision, Event, Job, Trial
from luthier.base.seeds import split_seed
from luthier.runtime.storage import Draft, Storage, dead, this_driver
from luthier.study._definition import Definition
from luthier.study._engine import Engine
from luthier.study._heart import Heart
from luthier.study._selection import CONFIRM

#: Workers of trials that no executor runs: given to the user by `ask`, evaluated elsewhere.
ASKED, ADDED = "ask", "elsewhere"


class Session:
    """What one driver knows and does.

    Args:
        storage: The store.
        study: The study's number there.
        definition: The study as it was made.
        heard: Called with every event of this driver, once it is on disk.
        lease: Seconds without a sign of life after which a driver on another machine counts as dead.
    """

    def __init__(
        self, storage: Storage, study: int, definition: Definition, heard: Callable[[Event], None], *, lease: float
    ) -> None:
        self.storage, self.study, self.definition, self.heard = storage, study, definition, heard
        self.engine = self._engine()
        self.me = this_driver(lease)
        self.joined = False
        self._torn = False  # whether an event was folded half: an error or Ctrl-C struck in the middle of it
        self.exhausted = False  # whether the searcher had nothing left to propose when last asked
        self._beaten = 0.0
        self._heart: Heart | None = None
        self.sync()

    def _engine(self) -> Engine:
        return Engine(self.definition, lambda head: self.storage.read(self.study, until=head))

    def _fold(self, events: Iterable[Event]) -> None:
        for event in events:
            self._torn = True
            self.engine.fold(event)
            self._torn = False

    def _mend(self) -> None:
        if self._torn:
            self.engine = self._engine()
            self._fold(self.storage.read(self.study))
            self._torn = False

    def sync(self) -> None:
        """Fold in what other drivers appended."""
        self._mend()
        head = self.engine.state.head
        if self.storage.head(self.study) != head:
            self._fold(self.storage.read(self.study, after=head))

    def append(self, drafts: Sequence[Draft], *, release: Iterable[int] = (), expect: int | None = None) -> int:
        """Append, fold, call back; the `seq` of the last event, 0 where the log did not end at `expect`."""
        self._mend()
        first = self.storage.append(self.study, drafts, release=release, expect=expect)
        if not first:
            self.sync()
            return 0
        head = self.engine.state.head
        if first != head + 1:
            self._fold(self.storage.read(self.study, after=head, until=first - 1))
        events = [Event(first + i, *draft) for i, draft in enumerate(drafts)]
        self._fold(events)
        for event in events:  # after all of them are folded: a callback may append events of its own
            self.heard(event)
        if events and self.definition.stopping:
            self._judge(events[-1])
        return first + len(drafts) - 1

    def _judge(self, event: Event) -> None:
        """Ask the stopping rules what they say of an event of our own, and log it."""
        state = self.engine.state
        if event.trial is None or state.stopped is not None or state.trials[event.trial].origin == CONFIRM:
            return  # what is measured once more is no step of the search
        timed = not state.begun.get("virtual")
        found = list(self.engine.judge.verdicts(event, timed=timed))
        if found:
            now = self.now()
            self.append([Draft(now, "verdict", None, event.seq, data) for data in found])

    def join(self) -> None:
        """Register as a driver, once; afterwards keep the lease alive."""
        now = time.monotonic()
        if not self.joined:
            self.storage.register(self.study, self.me)
            self.joined, self._beaten = True, now
            if self.storage.shared:
                self._heart = Heart(self.storage, self.study, self.me)
            self.recover()
        elif now - self._beaten > self.me.lease / 6:
            self._beat()
            self._beaten = now
            self.recover()

    def _beat(self) -> None:
        """Renew the lease. Who slept so long that others took it for dead joins again: late results count."""
        try:
            self.storage.beat(self.study, self.me.id)
        except StorageError:
            if any(driver.id == self.me.id for driver, _ in self.storage.drivers(self.study)):
                raise
            self.storage.register(self.study, self.me)

    def now(self) -> float:
        """The time of what does not come from an executor; a study in virtual time has no other clock than its log."""
        state = self.engine.state
        return state.time if state.begun.get("virtual") else time.time()

    def own(self) -> list[int]:
        """Trials that a run of this driver started and that have no end: not those that `ask` gave to the user."""
        state = self.engine.state
        mine = [number for number, driver in state.running.items() if driver == self.me.id]
        return [number for number in mine if state.trials[number].worker not in (ASKED, ADDED)]

    def rest(self) -> None:
        """Leave when nothing of this driver runs, so that nobody waits for it; the next `join` registers it again."""
        if self.me.id not in self.engine.state.running.values():
            self.leave()

    def leave(self) -> None:
        """Take this driver off the list."""
        if self.joined:
            self.joined = False
            if self._heart is not None:
                self._heart.stop()
            self.storage.leave(self.study, self.me.id)

    def recover(self) -> None:
        """Take over from drivers that died: their running trials are lost, unless they were decided already."""
        self.sync()
        alive = {self.me.id}
        gone = []
        for driver, age in self.storage.drivers(self.study):
            if driver.id == self.me.id:
                continue
            if dead(driver, age, self.me):
                gone.append(driver.id)
            else:
                alive.add(driver.id)
        state = self.engine.state
        orphans = [number for number, driver in state.running.items() if driver not in alive]
        if orphans:
            self.append([self.lose(number, "its driver died") for number in orphans])
        for driver_id in gone:
            self.storage.leave(self.study, driver_id)

    def lose(self, number: int, why: str, *, interrupted: bool = False) -> Draft:
        """The event that ends a run whose driver is gone."""
        now = self.now()
        decided = self.engine.pending.get(number)
        if decided is not None:
            return self.decided(number, now, *decided)
        data: dict[str, Any] = {"error": why, "attempt": self.engine.state.trials[number].runs}
        if interrupted:
            data["interrupted"] = True
        return Draft(now, "lost", number, None, data)

    def decided(self, number: int, now: float, seq: int, decision: Decision, seconds: float = 0.0) -> Draft:
        """The event that says what the scheduler answered to the report `seq`."""
        kind = "paused" if decision is Decision.PAUSE else "stopped"
        attempt = self.engine.state.trials[number].runs
        return Draft(now, kind, number, seq, {"reason": "scheduler", "seconds": seconds, "attempt": attempt})

    # proposals -------------------------------------------------------------------------------------------

    def next(self, worker: str, now: float, limit: int | None, *, busy: Collection[int] = ()) -> Trial | None:
        """Start whatever comes next, in the log: a trial that goes on, or a new one.

        Args:
            worker: Who will have it.
            now: Time of the start.
            limit: Trial numbers stay below this.
            busy: Trials that were paused and whose program has not ended yet: they cannot be started again, and
                nothing else is started in their place.

        Returns:
            The trial, or None when there is nothing to do at present.
        """
        self.join()
        state = self.engine.state
        for number in list(state.waiting):
            trial = state.trials[number]
            if self.claim(number, f"run {trial.runs + 1}"):
                self.append([self._start(number, worker, now, trial.until, None)])
                return state.trials[number]
        job = self.engine.continue_job()
        if job is not None and job.trial in busy:
            return None
        if job is not None and self.claim(job.trial, f"until {job.until}"):
            self.append([self._start(job.trial, worker, now, job.until, self.engine.state.head)])
            return self.engine.state.trials[job.trial]
        return self._new(worker, now, limit)

    def claim(self, number: int, what: str) -> bool:
        """Take what only one driver may do; when another has taken it, catch up with the log."""
        taken = self.storage.claim(self.study, number, what, self.me.id, head=self.engine.state.head)
        if not taken:
            self.sync()
        return taken

    def _new(self, worker: str, now: float, limit: int | None) -> Trial | None:
        if limit is not None and len(self.engine.state.trials) >= limit:
            return None
        with self.number(limit) as k:
            return None if k is None else self._new_numbered(k, worker, now)

    @contextmanager
    def number(self, limit: int | None = None) -> Iterator[int | None]:
        """A reserved trial number, None at the limit. It goes back when the block ends without having used it.

        A number that stays with a living driver would be missing for good: no run could come to its end.
        """
        k = self.storage.reserve(self.study, self.me.id, limit=limit)
        try:
            yield k
        except BaseException:
            if k is not None:
                with suppress(StorageError):  # the first error says more; `rest` gives back what is left
                    self.storage.vacate(self.study, k, self.me.id)
            raise
        if k is not None and k not in self.engine.state.trials:
            self.storage.vacate(self.study, k, self.me.id)

    def _new_numbered(self, k: int, worker: str, now: float) -> Trial | None:
        while True:
            proposal = self._propose(k)
            self.exhausted = proposal is None
            if proposal is None:
                return None
            if self._ask(k, *proposal, worker=worker, now=now):
                return self.engine.state.trials[k]

    def _ask(self, k: int, job: Job, extra: Mapping[str, int], *, worker: str, now: float) -> bool:
        """Log a proposal; False where another driver has just proposed the same, on a space where that is a waste."""
        asked = {"config": dict(job.config), "origin": job.origin, **extra}
        if job.parent is not None:
            asked["parent"] = job.parent
        split = self._split(k, extra)
        if split is not None:
            asked["split_seed"] = split
        state = self.engine.state
        start = self._start(k, worker, now, job.until, None, checkpoint=job.checkpoint)
        drafts = [Draft(now, "asked", k, state.head, asked), start]
        if extra or job.parent is not None or self.engine.state.space.size is None:
            self.append(drafts, release=[k])  # given or cloned, or a space where nothing meets twice
            return True
        before = set(state.trials)
        while not self.append(drafts, release=[k], expect=self.engine.state.head):
            trials = self.engine.state.trials
            if any(trials[number].config == job.config for number in trials.keys() - before):
                return False
        return True

    def _split(self, k: int, extra: Mapping[str, int]) -> int | None:
        """The split seed of a new trial, None for the study's own."""
        if "queued" in extra and extra["queued"] in self.engine.state.rounds:
            return self.engine.state.rounds[extra["queued"]]
        return split_seed(self.definition.seed, "trial", k) if self.definition.selection.reshuffle else None

    def _propose(self, k: int) -> tuple[Job, dict[str, int]] | None:
        queued: frozenset[int] = frozenset()
        initial: frozenset[int] = frozenset()
        while True:
            proposal = self.engine.new_job(k, taken=initial, skip=queued)
            if proposal is None:
                return None
            if proposal.initial is not None:
                if self.claim(proposal.initial, "initial"):
                    return proposal.job, {"initial": proposal.initial}
                initial |= {proposal.initial}  # another driver has just taken it: its event is on the way
            elif proposal.queued is not None:
                if self.claim(proposal.queued, "queued"):
                    return proposal.job, {"queued": proposal.queued}
                queued |= {proposal.queued}
            else:
                return proposal.job, {}

    def _start(
        self,
        number: int,
        worker: str,
        now: float,
        until: float | None,
        seen: int | None,
        *,
        checkpoint: str | None = None,
    ) -> Draft:
        known = self.engine.state.trials.get(number)
        data: dict[str, Any] = {
            "attempt": 1 if known is None else known.runs + 1,
            "worker": worker,
            "driver": self.me.id,
        }
        if until is not None:
            data["until"] = until
        if known is not None and known.checkpoint is not None:
            data["checkpoint"] = known.checkpoint
        elif checkpoint is not None:
            data["checkpoint"] = checkpoint
        return Draft(now, "started", number, seen, data)
