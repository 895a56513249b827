"""Schedulers that must know beforehand whether the searcher has anything left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.base.records import Configuration, Job, Observation, Status
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


class Ahead(Scheduler):
    """Asks for the next configuration a moment before the study does, and keeps it: the searcher thinks once.

    Args:
        problem: What is to be solved.
        searcher: Who proposes.
        seed: Decides the random draws of the scheduler's side.
        own: Arguments of the scheduler that stands behind this one.
    """

    def __init__(self, problem: Problem, searcher: Searcher, *, seed: int, **own: Any) -> None:
        super().__init__(problem, searcher, seed=seed, **own)
        self._running: set[int] = set()  # those waiting to be run again included
        self._number = 0  # that the next trial will have, as far as one driver can tell
        self._events = 0
        # a cache, keyed by the number asked for and the events heard
        self._proposed: tuple[tuple[int, int], tuple[str, Configuration] | None] = ((0, -1), None)

    def dry(self) -> bool:
        """Whether nothing runs, and the searcher has nothing left."""
        return not self._running and self.new_configuration(self._number) is None

    def new_configuration(
        self, k: int, given: tuple[str, Configuration] | None = None
    ) -> tuple[str, Configuration] | None:
        """Origin and configuration of trial `k`: what is given, else a proposal; None when exhausted."""
        if given is not None:
            return given
        if self._proposed[0] != (k, self._events):
            self._proposed = ((k, self._events), self.propose(k))
        return self._proposed[1]

    def propose(self, k: int) -> tuple[str, Configuration] | None:
        """Origin and configuration of a trial that nobody gave; None when exhausted."""
        return super().new_configuration(k)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass observations to the searcher."""
        self._events += 1
        super().tell(observations)

    def on_budget(self, trials: int | None) -> None:
        """A run begins."""
        self._events += 1
        super().on_budget(trials)

    def on_start(self, job: Job) -> None:
        """A trial runs; one that was made elsewhere is nothing to wait for."""
        super().on_start(job)
        self._events += 1
        self._number = max(self._number, job.trial + 1)
        if job.until is not None:
            self._running.add(job.trial)

    def on_end(self, trial: int, status: Status) -> None:
        """A trial came to rest or to its end."""
        super().on_end(trial, status)
        self._events += 1
        if status is not Status.WAITING:
            self._running.discard(trial)
