"""Learning-rate schedules: a factor for each step, by which every group's own rate is multiplied."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from luthier.base.checks import check, check_fields


class Schedule(Protocol):
    """A factor for each step."""

    def factor(self, step: int, steps: int) -> float:
        """The factor of step `step` (from 0) out of `steps`."""
        ...

    def data(self) -> dict[str, Any]:
        """What a checkpoint says about it."""
        ...


@dataclass(frozen=True)
class WSD:
    """Warm up, stay, decay: linear up, constant, linear down.

    The constant part makes its last checkpoint one that can be grown or continued; `cooldown_starts` says where it is.

    Args:
        warmup: Share of the steps that the rate rises in; 0.01 as in the runs of the warmstarting paper.
        cooldown: Share of the steps that it falls in; 0.2, as there. 0: no cooldown (judge by merged checkpoints).
        least_warmup: Fewest warm-up steps. A grown model with fresh moments needs some (its variance estimate is 0).

    Source: the setting of Warmstarting for Scaling Language Models (2024); trapezoid schedules in general.
    """

    warmup: float = 0.01
    cooldown: float = 0.2
    least_warmup: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that overlap."""
        check("warmup", self.warmup, at_least=0, at_most=1)
        check("cooldown", self.cooldown, at_least=0, at_most=1 - self.warmup)
        check_fields(self, "least_warmup", at_least=0, whole=True)

    def cooldown_starts(self, steps: int) -> int:
        """The first step of the cooldown; `steps` when there is none."""
        return steps - round(self.cooldown * steps)

    def factor(self, step: int, steps: int) -> float:
        """Between 0 and 1, never 0: the first and the last step move too."""
        up = max(round(self.warmup * steps), self.least_warmup)
        down = steps - self.cooldown_starts(steps)
        rising = (step + 1) / (up + 1) if step < up else 1.0
        falling = (steps - step) / (down + 1) if step >= steps - down else 1.0
        return min(rising, falling)

    def data(self) -> dict[str, Any]:
        """Its numbers."""
        return {"kind": "wsd", **asdict(self)}


@dataclass(frozen=True)
class Constant:
    """Always 1: for checks that follow a few steps."""

    def factor(self, step: int, steps: int) -> float:
        """One."""
        return 1.0

    def data(self) -> dict[str, Any]:
        """Its name."""
        return {"kind": "constant"}


@dataclass(frozen=True)
class Stretch:
    """A part of a longer schedule: for a run whose model changes on the way (late growth).

    Args:
        whole: The schedule of the whole run.
        first: Step of the whole at which the part begins.
        steps: Steps of the whole.
    """

    whole: Schedule
    first: int
    steps: int

    def factor(self, step: int, steps: int) -> float:
        """The whole's factor at that place."""
        return self.whole.factor(self.first + step, self.steps)

    def cooldown_starts(self, steps: int) -> int:
        """The first step of the cooldown within the part; its end where the cooldown lies outside."""
        starts = getattr(self.whole, "cooldown_starts", None)
        place = self.steps if starts is None else int(starts(self.steps))
        return min(max(place - self.first, 1), steps)

    def data(self) -> dict[str, Any]:
        """The whole's numbers, and where it begins."""
        return {"kind": "stretch", "whole": self.whole.data(), "first": self.first, "steps": self.steps}
