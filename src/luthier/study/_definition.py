"""What a study is, before anything has happened: its arguments checked, and as JSON for the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

from luthier.base.errors import ArgumentError, SpaceError
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import Searcher
from luthier.space.problem import PastTask, Problem
from luthier.space.space import Space
from luthier.stopping._base import StoppingRule
from luthier.stopping._several import build
from luthier.study._selection import Selection

#: A part by name, or by name with its own arguments: "asha", {"name": "asha", "eta": 4}.
Part = str | Mapping[str, Any]


@dataclass(frozen=True)
class Definition:
    """The whole of a study but its log.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw.
        searcher: Name and own arguments of the searcher.
        scheduler: Name and own arguments of the scheduler.
        initial: Configurations tried before the searcher is asked, each with its origin.
        repeats: Times each configuration is evaluated, with different seeds.
        retries: Times a lost run is started again.
        open_space: Whether trials may name new hyperparameters while they run (define-by-run).
        stopping: Rules that end the whole study, each with its own arguments.
        selection: How the best trial is chosen, and on which splits.
        about: Facts on the task, for later studies that learn from this one.
    """

    problem: Problem
    seed: int
    searcher: tuple[str, Mapping[str, Any]]
    scheduler: tuple[str, Mapping[str, Any]]
    initial: tuple[tuple[str, Configuration], ...] = ()
    repeats: int = 1
    retries: int = 2
    open_space: bool = False
    stopping: tuple[Mapping[str, Any], ...] = ()
    selection: Selection = field(default_factory=Selection)
    about: Mapping[str, float | str] = field(default_factory=dict)

    def build(self) -> Scheduler:
        """A scheduler with its searcher, fresh: they know nothing of the log yet."""
        name, own = self.searcher
        searcher: Searcher = load("searcher", name)(self.problem, seed=self.seed, **own)
        name, own = self.scheduler
        scheduler: Scheduler = load("scheduler", name)(self.problem, searcher, seed=self.seed, **own)
        return scheduler

    def rules(self) -> list[StoppingRule]:
        """The stopping rules, fresh."""
        return [build(self.problem, rule, seed=self.seed) for rule in self.stopping]

    def with_space(self, space: Space) -> Definition:
        """The same study in another (wider) space."""
        return replace(self, problem=replace(self.problem, space=space))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-able values."""
        problem = self.problem
        return {
            "space": problem.space.to_dict(),
            "objectives": [{"name": o.name, "goal": o.goal} for o in problem.objectives],
            "constraints": [{"name": c.name, "upper": c.upper} for c in problem.constraints],
            "fidelity": None if problem.fidelity is None else _fidelity_json(problem.fidelity),
            "past": [_past_json(task) for task in problem.past],
            "order": problem.order,
            "about": dict(self.about),
            "searcher": {"name": self.searcher[0], **self.searcher[1]},
            "scheduler": {"name": self.scheduler[0], **self.scheduler[1]},
            "initial": [[origin, dict(config)] for origin, config in self.initial],
            "repeats": self.repeats,
            "retries": self.retries,
            "open_space": self.open_space,
            "stopping": [dict(rule) for rule in self.stopping],
            "selection": asdict(self.selection),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, seed: int) -> Definition:
        """Read what `to_json` wrote."""
        problem = Problem(
            Space.from_dict(data["space"]),
            tuple(Objective(**o) for o in data["objectives"]),
            # studies of earlier versions may have some without a bound: these bind nothing
            tuple(Constraint(**c) for c in data["constraints"] if isfinite(c["upper"])),
            None if data["fidelity"] is None else Fidelity(**data["fidelity"]),
            tuple(_past_from_json(task) for task in data["past"]),
            data.get("order"),
        )
        return cls(
            problem,
            seed,
            part(data["searcher"]),
            part(data["scheduler"]),
            tuple((origin, Configuration(config)) for origin, config in data["initial"]),
            data["repeats"],
            data["retries"],
            data["open_space"],
            tuple(data.get("stopping", ())),  # studies of earlier versions have none
            Selection(**data.get("selection", {})),
            data.get("about", {}),
        )

    def differences(self, other: Definition) -> list[str]:
        """Lines that say what differs in what may not change between two openings of a study."""
        mine, theirs = self.problem, other.problem
        lines = [] if self.open_space else _space_lines(theirs.space, mine.space)
        apart = bool(lines)  # then the default differs too, which needs no line of its own
        for word, a, b in (
            ("objectives", mine.objectives, theirs.objectives),
            ("constraints", mine.constraints, theirs.constraints),
            ("fidelity", mine.fidelity, theirs.fidelity),
            ("seed", self.seed, other.seed),
            ("searcher", self.searcher, other.searcher),
            ("scheduler", self.scheduler, other.scheduler),
            ("repeats", self.repeats, other.repeats),
            ("first configurations", self.initial, other.initial),
            ("stopping", self.stopping, other.stopping),
            ("selection", self.selection, other.selection),
        ):
            if a != b and not (apart and word == "first configurations"):
                lines.append(f"{word}: {a} in the store, {b} here")
        return lines


def _space_lines(here: Space, there: Space) -> list[str]:
    """What differs between a space that is asked for and the stored one, whose order of names is kept."""
    if list(here.names) != list(there.names) and set(here.names) == set(there.names):
        with suppress(SpaceError):  # a condition's parent that would come too late
            here = Space({name: here[name] for name in there.names}, forbid=here.forbidden)
    return list(here.difference(there))


def part(spec: Part) -> tuple[str, dict[str, Any]]:
    """Name and own arguments of a part."""
    if isinstance(spec, str):
        return spec, {}
    own = dict(spec)
    try:
        return str(own.pop("name")), own
    except KeyError:
        raise ArgumentError(f"{spec!r} has no name. Write it as {{'name': 'asha', 'eta': 3}}.") from None


def _fidelity_json(fidelity: Fidelity) -> dict[str, Any]:
    return {"name": fidelity.name, "low": fidelity.low, "high": fidelity.high}


def _past_json(task: PastTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "order": task.order,
        "space": task.space.to_dict(),
        "objectives": [{"name": o.name, "goal": o.goal} for o in task.objectives],
        "observations": [
            [o.trial, dict(o.config), o.resource, list(o.values), list(o.violations), o.status.value]
            for o in task.observations
        ],
        "about": dict(task.about),
    }


def _past_from_json(data: Mapping[str, Any]) -> PastTask:
    return PastTask(
        data["name"],
        data["order"],
        Space.from_dict(data["space"]),
        tuple(Objective(**o) for o in data["objectives"]),
        tuple(
            Observation(n, Configuration(c), r, tuple(v), tuple(x), Status(s), data["name"])
            for n, c, r, v, x, s in data["observations"]
        ),
        data.get("about", {}),
    )
