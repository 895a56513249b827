"""What the report needs to know of a study: the few attributes that every picture is drawn from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from luthier.base.records import Event, Trial
from luthier.space.problem import Problem

if TYPE_CHECKING:
    from luthier.study.overtuning import Optimism, Overtuning


class StudyView(Protocol):
    """A study as the report sees it. `luthier.Study` has this shape; so may anything read from elsewhere."""

    @property
    def name(self) -> str:
        """Name of the study."""
        ...

    @property
    def problem(self) -> Problem:
        """Space, objectives, constraints and fidelity."""
        ...

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials, by number."""
        ...

    @property
    def searcher_name(self) -> str:
        """Who proposed."""
        ...

    @property
    def scheduler_name(self) -> str:
        """Who spent the resource."""
        ...

    @property
    def seed(self) -> int:
        """The seed that decides every draw."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it was run: `trials` and `seconds` (the budget), `workers`, `executor`, and `resume`, the command line
        that continues or reproduces it. Each may be missing.
        """
        ...

    @property
    def best(self) -> Trial | None:
        """The incumbent; None without a usable result, or with several objectives."""
        ...

    @property
    def rule(self) -> str:
        """How the incumbent was chosen, in words."""
        ...

    @property
    def pareto(self) -> Sequence[Trial]:
        """The Pareto set; with one objective the incumbent alone."""
        ...

    def events(self) -> Sequence[Event]:
        """The log, in order."""
        ...

    def diagnostics(self) -> Mapping[str, float | str]:
        """What the searcher's model says of itself, such as its coverage."""
        ...

    def diagnostics_over_time(self) -> Sequence[Mapping[str, Any]]:
        """The same at some moments, in order; asked for only when the diagnostics tell a coverage."""
        ...

    def rungs(self) -> Sequence[Mapping[str, Any]]:
        """Rows `{"bracket", "resource", "trial", "value", "promoted"}` of the scheduler; empty without rungs."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment, read once: the tables then agree with each other while the study goes on."""

    name: str
    problem: Problem
    trials: Sequence[Trial]
    searcher_name: str
    scheduler_name: str
    seed: int
    settings: Mapping[str, Any]
    best: Trial | None
    rule: str
    pareto: Sequence[Trial]
    log: Sequence[Event]
    told: Mapping[str, float | str]
    course: Sequence[Mapping[str, Any]]
    ladder: Sequence[Mapping[str, Any]]
    untouched: str | None = None
    overtuning: Overtuning | None = None
    optimism: Optimism | None = None

    def events(self) -> Sequence[Event]:
        """The log, in order."""
        return self.log

    def diagnostics(self) -> Mapping[str, float | str]:
        """What the searcher's model says of itself."""
        return self.told

    def diagnostics_over_time(self) -> Sequence[Mapping[str, Any]]:
        """What it said at some moments; empty without a coverage."""
        return self.course

    def rungs(self) -> Sequence[Mapping[str, Any]]:
        """Rows of the scheduler's rungs."""
        return self.ladder


def snapshot(study: StudyView, *, quick: bool = False) -> Snapshot:
    """Read everything that the report needs of a study, once.

    Args:
        study: The study.
        quick: Leave out what a model has to be fitted for (diagnostics, their course, optimism): a page that follows
            a running study reads that more rarely.
    """
    settings = dict(study.settings)
    where = getattr(study, "where", None)
    # a study in memory ends with its process: nothing can continue it
    if not settings.get("resume") and where and not str(where).startswith("memory:"):
        settings["resume"] = f"luthier resume {shlex.quote(str(where))}"
    told = {} if quick else dict(study.diagnostics())
    return Snapshot(
        name=study.name,
        problem=study.problem,
        trials=list(study.trials),
        searcher_name=study.searcher_name,
        scheduler_name=study.scheduler_name,
        seed=study.seed,
        settings=settings,
        best=study.best,
        rule=study.rule,
        pareto=list(study.pareto),
        log=list(study.events()),
        told=told,
        course=list(study.diagnostics_over_time()) if "coverage" in told else [],
        ladder=list(study.rungs()),
        # what only a study of our own knows
        untouched=getattr(study, "untouched", None),
        overtuning=getattr(study, "overtuning", None),
        optimism=None if quick else getattr(study, "optimism", None),
    )
