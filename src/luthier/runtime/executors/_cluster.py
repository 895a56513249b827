"""What virtual machines are like: delays, speeds, stragglers, and how often runs on them break."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Status
from luthier.base.seeds import check_seed, generator


@dataclass(frozen=True)
class Cluster:
    """What the virtual machines are like. By default they are alike, at once there, and never fail.

    Args:
        start_seconds: From the decision to start a run until its program works.
        report_seconds: What a report costs the run.
        stop_seconds: From the decision to stop or pause a run until its worker is free.
        straggle: Spread of the runs' speeds: each run takes exp(straggle * z) times as long, z standard normal.
        crash: Probability that a run fails on its way, uniformly over its steps (FAILED).
        lose: Probability that a run's machine dies on its way (LOST; the study starts it again).
        speeds: Speed of each worker, 1 is the benchmark's own; repeated when there are more workers. Empty: all 1.
        seed: Decides stragglers, crashes and losses, for each run by its trial and attempt alone.
    """

    start_seconds: float = 0.0
    report_seconds: float = 0.0
    stop_seconds: float = 0.0
    straggle: float = 0.0
    crash: float = 0.0
    lose: float = 0.0
    speeds: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("start_seconds", "report_seconds", "stop_seconds", "straggle"):
            check(name, getattr(self, name), at_least=0)
        for name in ("crash", "lose"):
            check(name, getattr(self, name), at_least=0, at_most=1)
        if not isinstance(self.speeds, Sequence) or isinstance(self.speeds, str):
            raise ArgumentError(f"speeds={self.speeds!r}. Allowed: a number for each worker, such as (1.0, 0.5).")
        for speed in self.speeds:
            check("speeds", speed, above=0)
        check_seed(self.seed)

    @property
    def whims(self) -> bool:
        """Whether runs differ by chance."""
        return self.straggle > 0 or self.crash > 0 or self.lose > 0

    def luck(self, trial: int, attempt: int, first: int, end: int) -> tuple[float, tuple[int, float, Status] | None]:
        """What chance makes of a run: drawn by its trial and attempt, so that the order of events does not matter.

        Args:
            trial: Its trial.
            attempt: Which run of the trial it is.
            first: Position of its first step.
            end: Position after its last one.

        Returns:
            How many times as long its steps take; and the step on which it breaks, how far into it (a fraction), and
            how (FAILED or LOST), or None if it does not.
        """
        steps = end - first
        rng = generator(self.seed, "run", trial, attempt)
        slower, crash, lose, step, part = math.exp(self.straggle * rng.standard_normal()), *rng.random(4)
        if not steps or not (crash < self.crash or lose < self.lose):
            return slower, None
        return slower, (first + int(step * steps), float(part), Status.FAILED if crash < self.crash else Status.LOST)
