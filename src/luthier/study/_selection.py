"""What a study may choose its best trial by, and on which splits of the data its trials are measured."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Trial
from luthier.base.seeds import split_seed
from luthier.space.problem import Problem

#: Origin of the trials that evaluate a configuration once more, to confirm it.
CONFIRM = "confirm"
#: Rules for the best trial; see `Study`.
RULES = ("auto", "single", "posterior-mean", "one-standard-error", "guarded")


@dataclass(frozen=True)
class Selection:
    """How the best trial is chosen.

    Args:
        untouched: Name of the metric on data that no part of the study may learn from; "" for none.
        reshuffle: Whether each trial has a split seed of its own.
        incumbent: One of `RULES`.

    Raises:
        ArgumentError: something else.
    """

    untouched: str = ""
    reshuffle: bool = False
    incumbent: str = "auto"

    def __post_init__(self) -> None:
        check("incumbent", self.incumbent, one_of=RULES)
        if not isinstance(self.untouched, str):
            raise ArgumentError(f"untouched={self.untouched!r}. Allowed: the name of a metric, such as 'test_loss'.")

    def check(self, problem: Problem, scheduler: str) -> None:
        """Whether it suits a study.

        Raises:
            ArgumentError: it does not.
        """
        used = [*(o.name for o in problem.objectives), *(c.name for c in problem.constraints)]
        used += [] if problem.fidelity is None else [problem.fidelity.name]
        if self.untouched in used:
            raise ArgumentError(
                f"untouched={self.untouched!r} is what the study works with. Allowed: a metric that is neither "
                "objective nor constraint nor fidelity. Report one more: run.report(..., test_loss=...)."
            )
        if self.incumbent != "auto" and len(problem.objectives) > 1:
            raise ArgumentError(
                f"incumbent={self.incumbent!r} with {len(problem.objectives)} objectives, which have a Pareto set. "
                "Leave it out."
            )
        if self.incumbent == "guarded" and scheduler != "straight":
            raise ArgumentError(
                f"incumbent='guarded' with scheduler {scheduler!r}. It evaluates the best trials again, to their end: "
                "use scheduler='straight'."
            )
        if self.reshuffle and scheduler == "race":
            raise ArgumentError(
                "reshuffle=True with scheduler 'race', which compares trials fold by fold. They need the same folds: "
                "leave reshuffle out."
            )

    def split_of(self, seed: int, trial: Trial, repeat: int) -> int:
        """The split seed of a run: its trial's; repetitions of a trial that has one of its own get others."""
        if repeat and self.reshuffle:
            return split_seed(seed, "trial", trial.number, repeat)
        return trial.split_seed
