"""The contract of a scheduler: who spends the resource."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from luthier.base.records import Configuration, Decision, Job, Observation, Report, Status
from luthier.base.seeds import check_seed
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


class Scheduler(ABC):
    """Decides what runs next and for how long; owns the searcher.

    State changes by the `on_...` calls alone, which the study makes for every event of its log, in order;
    `next_job` is a function of that state and of `k`. A scheduler reads no clock.

    Args:
        problem: What is to be solved.
        searcher: Who proposes.
        seed: Decides every random draw, >= 0.
    """

    name: ClassVar[str] = ""
    #: Whether it needs `problem.fidelity`.
    needs_fidelity: ClassVar[bool] = False
    #: Whether it can judge by several objectives.
    multi_objective: ClassVar[bool] = False
    #: Whether it may leave a worker idle until other trials have reported (synchronous halving).
    waits: ClassVar[bool] = False
    #: Whether it comes to an end by itself, so that a run needs no budget (a population that has grown up).
    ends: ClassVar[bool] = False
    #: Whether trials start from checkpoints of other trials: every report must come with one.
    clones: ClassVar[bool] = False
    #: Whether the best configuration of every earlier task comes before all other trials, whatever the searcher.
    recalls: ClassVar[bool] = False
    #: What models learn from results at several resources where the user leaves it open: "last" where each of them
    #: estimates the same number, the more precisely the more was spent; "" leaves it to the searcher.
    learnt: ClassVar[str] = ""
    #: The searcher that stands for "auto" under this scheduler; "" leaves it to `auto` itself.
    proposer: ClassVar[str] = ""

    def __init__(self, problem: Problem, searcher: Searcher, *, seed: int) -> None:
        self.problem, self.searcher, self.seed = problem, searcher, check_seed(seed)
        self._open: dict[int, Configuration] = {}  # asked and not yet ended: what is pending

    @classmethod
    def settled(cls, own: Mapping[str, Any]) -> dict[str, Any]:
        """Own arguments as they are kept with the study: what a file holds now, and not its path."""
        return dict(own)

    def on_budget(self, trials: int | None) -> None:  # noqa: B027  # most have no use for it
        """A run begins: how many trials the study will have in all, those made elsewhere not counted; None: unknown.

        Synchronous schedulers need it: a rung that can no longer fill is complete with what it has.
        """

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """What to run next: here the next new configuration, to its end; there is never other work.

        Args:
            k: Number reserved for a new configuration; None asks only for work on trials that exist
                (a promotion, a clone).
            given: Origin and configuration to be evaluated as trial `k` in place of the searcher's proposal.

        Returns:
            The job, or None when there is nothing to do at present.
        """
        found = None if k is None else self.new_configuration(k, given)
        return None if k is None or found is None else Job(k, found[1], origin=found[0])

    def on_start(self, job: Job) -> None:
        """A job was started: a new trial, or one that goes on. Also called for a user's own configurations."""
        self._open[job.trial] = job.config

    def on_config(self, trial: int, config: Configuration) -> None:
        """A trial has named a hyperparameter while running: its configuration is now this one."""
        if trial in self._open:
            self._open[trial] = config

    @abstractmethod
    def on_report(self, report: Report) -> Decision:
        """A trial reported; say whether it goes on; the searcher hears of it separately, by `tell`."""

    def on_end(self, trial: int, status: Status) -> None:
        """A run ended: PAUSED (may go on), WAITING (lost, to be run again), or for good."""
        if status.ended:
            self._open.pop(trial, None)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass observations to the searcher. A scheduler that filters them overrides this."""
        self.searcher.tell(observations)

    def new_configuration(
        self, k: int, given: tuple[str, Configuration] | None = None
    ) -> tuple[str, Configuration] | None:
        """Origin and configuration of trial `k`: what is given, else the searcher's; None when exhausted."""
        if given is not None:
            return given
        proposed = self.searcher.ask(1, k=k, pending=tuple(self._open.values()))
        if not proposed:
            return None
        return ("past" if self.searcher.from_past(proposed[0]) else self.searcher.name), proposed[0]

    def rungs(self) -> list[dict[str, object]]:
        """What stands at each rung, as rows `{"bracket", "resource", "trial", "value", "promoted"}` for the report."""
        return []
