"""A scheduler and the simulator without a study."""

from __future__ import annotations

from typing import Any

import simulate

from luthier.base.records import Decision, Job, Report, Status
from luthier.base.registry import load as load_class
from luthier.runtime.executors._base import End, Launch, Message, Setting
from luthier.runtime.executors.simulated import Simulated

WORKERS = simulate.WORKERS


class Alone:
    """A scheduler and a simulator without a study: nothing is written down.

    Args:
        table: Recorded curves.
        scheduler: Name of a scheduler.
        configs: Its configurations, in the order in which they are tried.
    """

    def __init__(self, table: simulate.Recorded, scheduler: str, configs: list[Any]) -> None:
        problem = table.problem
        searcher = load_class("searcher", "random")(problem, seed=0)
        self._scheduler = load_class("scheduler", scheduler)(problem, searcher, seed=0)
        self._table, self._configs, self._axis = table, configs, problem.fidelity
        self.events = 0

    def run(self) -> None:
        """All configurations on `WORKERS` workers."""
        executor, begun = Simulated(), 0
        executor.open(Setting(self._table, workers=WORKERS), self)  # type: ignore[arg-type]
        self._running: set[int] = set()
        self._scheduler.on_budget(len(self._configs))
        while True:
            for worker in executor.free():
                if begun == len(self._configs):
                    break
                job = self._scheduler.next_job(begun, given=("enqueued", self._configs[begun]))
                if job is None:
                    break
                begun += 1
                self._begin(executor, job, worker)
            if not self._running:
                break
            executor.step(float("inf"))
        executor.close()

    def _begin(self, executor: Simulated, job: Job, worker: str) -> None:
        self._scheduler.on_start(job)
        self._running.add(job.trial)
        self.events += 1
        executor.submit(Launch(job.trial, 1, job.config, fidelity=self._axis, until=job.until), worker)

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """A report goes to the scheduler."""
        self.events += 1
        return self._scheduler.on_report(Report(launch.trial, message.resource, message.metrics))

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """Nobody asks."""
        raise AssertionError(name)

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """An end goes to the scheduler."""
        self.events += 1
        self._running.discard(launch.trial)
        self._scheduler.on_end(launch.trial, end.status or Status.COMPLETED)
