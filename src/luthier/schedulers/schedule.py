"""A schedule of configurations is run as it is: each segment goes on from the checkpoint of the one before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Decision, Job, Report, Status
from luthier.base.registry import register
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem


@dataclass(slots=True)
class _Chain:
    """One run of the whole schedule.

    Args:
        at: Number of the segment that runs, or ran last.
        trial: The trial that does.
        over: Whether that segment is done.
        halted: Whether the end of a run of the study stopped it under way.
        broken: Whether it failed: no segment follows.
        checkpoint: Name of its newest checkpoint.
    """

    at: int
    trial: int
    over: bool = False
    halted: bool = False
    broken: bool = False
    checkpoint: str | None = None


@register("scheduler")
class Schedule(Scheduler):
    """Runs a schedule, such as population-based training found: one trial a segment, each a clone of the last.

    The same training function runs as under `pbt`: it starts from `run.checkpoint`, and finds the segment's
    configuration in `run.config`. With deterministic training the last trial ends as the one that the schedule was
    taken from, to the bit; for that, what is random in it must follow from the checkpoint and the step: `run.seed` is
    another one in each trial. A segment that fails ends its run of the schedule. The searcher is not asked.
    Configurations that a user gives are run by themselves, to the full resource (a study's default configuration too,
    unless `defaults_first=False`).

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Not used.
        seed: Not used: nothing is drawn.
        segments: [[until, {configuration}], ...], or the path of a file that `study.schedule().save(path)` wrote;
            the study keeps what the file holds. None: the default configuration to the full resource, the
            schedule without a change.
        runs: How often the whole is run (1).

    Raises:
        ArgumentError: no fidelity, or no schedule of this space and fidelity.
        SpaceError: a configuration is not of this space.

    Source: the schedules of Jaderberg et al. 2017; replayed as by a scheduler of Ray Tune.
    Differs: nothing.
    Cost: O(runs) per decision.
    """

    needs_fidelity = True
    multi_objective = True
    ends = True
    clones = True
    proposer = "random"

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        segments: Sequence[Any] | str | None = None,
        runs: int = 1,
    ) -> None:
        super().__init__(problem, searcher, seed=seed)
        self._fidelity = needed(problem, self.name)
        self.runs: int = check("runs", runs, at_least=1, whole=True)
        self._high = self._fidelity.high
        self._segments = self._checked(segments)
        self._chains: list[_Chain] = []
        self._of: dict[int, _Chain] = {}  # trial -> its chain

    @classmethod
    def settled(cls, own: Mapping[str, Any]) -> dict[str, Any]:
        """The segments themselves: the study must not depend on a file that is moved or changed."""
        given = own.get("segments")
        if isinstance(given, Sequence) and len(given) == 1 and isinstance(given[0], str):
            given = given[0]  # the command line gives a path as a list
        return {**own, "segments": [list(pair) for pair in _read(given)]} if isinstance(given, str) else dict(own)

    def _checked(self, given: Sequence[Any] | str | None) -> list[tuple[float, Configuration]]:
        """Until and configuration of each segment."""
        if given is None:
            return [(self._high, self.problem.space.default())]
        # the command line gives a path as a list
        alone = isinstance(given, Sequence) and len(given) == 1 and isinstance(given[0], str)
        pairs: Any = _read(given) if isinstance(given, str) else _read(given[0]) if alone else given
        try:
            rows = [(until, dict(config)) for until, config in pairs]
        except (TypeError, ValueError):
            raise ArgumentError(
                f"segments={given!r}. Allowed: [[until, {{configuration}}], ...] or the path of a schedule's file."
            ) from None
        if not rows:
            raise ArgumentError("segments=[]. Allowed: at least one segment, [until, {configuration}].")
        last = 0.0
        for i, (until, _) in enumerate(rows):
            check(f"segments[{i}]: until", until, above=last, at_most=self._high)
            last = float(until)
        space = self.problem.space
        return [(until, space.check(config, where=f"segments[{i}]")) for i, (until, config) in enumerate(rows)]

    def next_job(self, k: int | None = None, *, given: tuple[str, Configuration] | None = None) -> Job | None:
        """The next segment of the first run of the schedule that has one to come, or the next run's first."""
        if given is not None and k is not None:
            return Job(k, given[1], None, origin=given[0])
        if k is None:
            halted = next((c for c in self._chains if c.halted), None)
            return None if halted is None else Job(halted.trial, self._segments[halted.at][1], self._until(halted.at))
        for chain in self._chains:
            if chain.over and not chain.broken and chain.at + 1 < len(self._segments) and chain.checkpoint is not None:
                config = self._segments[chain.at + 1][1]
                start = f"{chain.trial}/{chain.checkpoint}"
                return Job(k, config, self._until(chain.at + 1), chain.trial, start, self.name)
        if len(self._chains) >= self.runs:  # two drivers may have begun the same run
            return None
        return Job(k, self._segments[0][1], self._until(0), origin=self.name)

    def _until(self, at: int) -> float:
        return self._segments[at][0]

    def on_start(self, job: Job) -> None:
        """A segment runs."""
        super().on_start(job)
        if job.trial in self._of:
            self._of[job.trial].halted = False
        elif job.origin != self.name:
            return  # a user's own
        elif job.parent in self._of:
            chain = self._of[job.parent]
            if chain.trial != job.parent:  # another driver made the same clone: what follows is run twice
                chain = _Chain(chain.at - 1, job.parent)
                self._chains.append(chain)
            chain.at, chain.trial, chain.over, chain.checkpoint = chain.at + 1, job.trial, False, None
            self._of[job.trial] = chain
        else:
            chain = _Chain(0, job.trial)
            self._chains.append(chain)
            self._of[job.trial] = chain

    def on_report(self, report: Report) -> Decision:
        """Go on to the end of the segment; there the trial ends, and the next one takes over.

        Raises:
            ArgumentError: the report carries no resource.
        """
        resource = spent(report, self._fidelity, self.name)
        chain = self._of.get(report.trial)
        if chain is None or chain.trial != report.trial:
            return Decision.CONTINUE
        if not self.problem.usable(report.metrics):
            return Decision.STOP
        chain.checkpoint = report.checkpoint or chain.checkpoint
        until = self._until(chain.at)
        if resource * SLACK < until or until * SLACK >= self._high:
            return Decision.CONTINUE
        chain.over = True
        return Decision.STOP

    def on_end(self, trial: int, status: Status) -> None:
        """A segment is done, broken, or was stopped under way."""
        super().on_end(trial, status)
        chain = self._of.get(trial)
        if chain is None or chain.trial != trial:
            return
        if status in (Status.FAILED, Status.DIVERGED, Status.LOST):
            chain.broken = True
        elif status in (Status.COMPLETED, Status.PAUSED):
            chain.over = True  # a program that reports every few steps may return without a word at the end
        elif status is Status.STOPPED and not chain.over:
            chain.halted = True

    def rungs(self) -> list[dict[str, object]]:
        """Nobody competes."""
        return []


def _read(path: str) -> list[tuple[Any, Any]]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return [(segment["until"], segment["config"]) for segment in data["segments"]]
    except OSError as error:
        raise ArgumentError(
            f"segments={path!r} cannot be read: {error.strerror}. Give the path of a schedule."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ArgumentError(
            f"segments={path!r} is no schedule. Allowed: a file of study.schedule().save(path)."
        ) from None
