"""The contract of a stopping rule: whether the whole study should end, with the evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from luthier.base.checks import check, check_flag
from luthier.base.errors import UnsupportedError
from luthier.base.records import Status, Trial
from luthier.base.seeds import check_seed
from luthier.space.problem import Problem


@dataclass(frozen=True)
class History:
    """What a rule may look at: the log, folded.

    Args:
        trials: Every trial by its number, with all its reports.
        ended: Numbers of the trials that are over or set aside, in the order in which they last became so; lost ones
            are left out.
        verdicts: What this rule said before and was recorded, oldest first (`Verdict.as_data`).
        latest: The trial that the newest event speaks of; None if it speaks of none.
        begun: Time of the first start of a trial, seconds; None before it.
        time: Time of the newest event, seconds. Virtual where the study runs in virtual time.
        frugal: Whether a check of the rule as a whole would take more of the trials' time than it may: of several rules
            in one, those with a share of their own do not look this time.
    """

    trials: Mapping[int, Trial]
    ended: Sequence[int]
    verdicts: Sequence[Mapping[str, Any]] = ()
    latest: int | None = None
    begun: float | None = None
    time: float = 0.0
    frugal: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a rule says.

    Args:
        stop: Whether the study may end.
        reason: Why, in words that a user reads after "stopping rule 'x': ".
        evidence: The numbers behind it, JSON-able: "bound" and "threshold" where a rule compares two.
        skipped: Whether the rule did not look this time, and goes on for want of a verdict.
    """

    stop: bool
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    skipped: bool = False

    def as_data(self) -> dict[str, Any]:
        """As the log keeps it."""
        return {"stop": self.stop, "reason": self.reason, "skipped": self.skipped, **self.evidence}


class StoppingRule(ABC):
    """Says when a study has done enough.

    `check` is a function of problem, seed and history alone: it draws from generators made of the seed and of counts,
    reads no clock, and keeps nothing but caches keyed by what it saw. So a replay gives the same verdicts.

    Args:
        problem: What is being solved, with the space as it is now.
        seed: Decides every random draw.
        advise: Say so and let the study go on; False: end it.

    Raises:
        UnsupportedError: the problem needs something that is not in `supports`.
    """

    name: ClassVar[str] = ""
    #: "multi_objective": two objectives and more. "constraints". "fidelity". "conditions": spaces with `when=`.
    supports: ClassVar[frozenset[str]] = frozenset({"constraints", "fidelity", "conditions"})
    #: Whether every verdict is worth a line of the log; else only one that differs from the last.
    traces: ClassVar[bool] = False
    #: Whether it looks after each report too, not only when a trial is over.
    eager: ClassVar[bool] = False
    #: Whether what runs is stopped with the study; else it is let run to its end, for it has been paid for.
    cancels: ClassVar[bool] = False
    #: Share of the time spent on trials that its checks may take, None: it is never skipped for its cost.
    share: float | None = None
    #: Whether it speaks of one event: that it said stop still holds after later events, among several rules.
    lasts: ClassVar[bool] = False
    #: Whether it goes on looking when those of its rules that have a share do not (`History.frugal`).
    several: ClassVar[bool] = False

    def __init__(self, problem: Problem, *, seed: int, advise: bool = False) -> None:
        self.problem, self.seed, self.advise = problem, check_seed(seed), check_flag("advise", advise)
        needs = {
            "multi_objective": len(problem.objectives) > 1,
            "constraints": bool(problem.constraints),
            "conditions": bool(problem.space.conditions),
            "fidelity": problem.fidelity is not None,
        }
        for feature, needed in needs.items():
            if needed and feature not in self.supports:
                raise UnsupportedError(
                    f"stopping rule {self.name!r} does not support {feature.replace('_', ' ')}, which this problem "
                    "needs. 'plateau' and 'budget' always work."
                )

    def due(self, history: History) -> bool:
        """Whether it is time to look; by counts of what happened, never by a clock."""
        return True

    @abstractmethod
    def check(self, history: History) -> Verdict:
        """Whether the study may end."""

    # what most rules need --------------------------------------------------------------------------------

    def result(self, trial: Trial) -> bool:
        """Whether a trial has the result that the study is about: completed, finite, and at the full resource."""
        axis = self.problem.fidelity
        return (
            trial.status is Status.COMPLETED
            and bool(trial.metrics)
            and self.problem.usable(trial.metrics)
            and (axis is None or (trial.resource or 0.0) >= axis.high)
        )

    def feasible(self, trial: Trial) -> bool:
        """Whether a trial with a result keeps every constraint."""
        return all(trial.metrics[c.name] <= c.upper for c in self.problem.constraints)

    def results(self, history: History) -> list[Trial]:
        """Trials with a result in the order of their ends, feasible or not."""
        return [history.trials[n] for n in history.ended if self.result(history.trials[n])]


def whole(name: str, value: Any, *, at_least: int = 1) -> int:
    """A count, checked.

    Raises:
        ArgumentError: it is none, or too small.
    """
    check(name, value, at_least=at_least, whole=True)
    return int(value)
