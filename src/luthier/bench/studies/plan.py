"""What a study compares, decided before it runs, and hashed into its report; `plan_file` reads it from TOML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.runtime.executors import Cluster

PARTS = ("dev", "test")
CHECKPOINTS = (0.01, 0.1, 1.0)  # of the budget: where HPOBench's tables are read
ANYTIME = "anytime"
#: Of how runs are made and incumbents chosen; cells of another rule are not mixed with ours. 3: what a trial that
#: failed had reported counts no longer, and all that runs consumed counts as spent.
RULE = 3

Part = str | Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """Who is compared.

    Args:
        name: What it is called.
        searcher: Searcher of luthier, a name or a table with "name" and its arguments.
        scheduler: Scheduler of luthier, likewise.
        tool: Another tool in place of both: a name, or "FILE.py:CLASS" or "MODULE:CLASS", see `tools`.
        options: Keyword arguments of the tool.
        stretch: It runs so many times as long as the budget, and is shown with up to so many times the budget too.
    """

    name: str
    searcher: Part = "auto"
    scheduler: Part = "straight"
    tool: str | None = None
    options: Mapping[str, Any] | None = None
    stretch: float = 1.0

    def definition(self) -> dict[str, Any]:
        """All that its results depend on."""
        kept = {key: value for key, value in asdict(self).items() if key != "name"}
        if self.tool is not None:
            kept = {key: kept[key] for key in ("tool", "options", "stretch")}
        return json.loads(json.dumps(kept))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class TaskPlan:
    """What it is compared on.

    Args:
        name: A benchmark's full name.
        family: Tasks of a family are alike; families weigh alike in averages.
        part: "dev" (looked at while methods are designed; no part of any verdict) or "test".
        options: The benchmark family's own arguments.
    """

    name: str
    family: str
    part: str
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Its name, with the options that tell it from others."""
        extra = ",".join(f"{key}={value}" for key, value in sorted(self.options.items()))
        return f"{self.name}[{extra}]" if extra else self.name


@dataclass(frozen=True)
class Budget:
    """What one run may use.

    Args:
        clock: "evaluations": an evaluation at the full resource takes one unit of time, one at a part of it that
            part; "seconds": what the benchmark says it costs.
        evaluations: Full-resource evaluations in all; under the clock "seconds" the time in which the workers could
            make so many random ones, by their mean cost.
        seconds: Virtual seconds, in place of `evaluations`.
    """

    clock: str
    evaluations: float | None
    seconds: float | None


@dataclass(frozen=True)
class Machines:
    """What the virtual machines are like, and what thinking costs; by default nothing disturbs.

    Args:
        workers: Runs of the benchmark at once.
        overhead: What a method's thinking costs in virtual time: "ignore" (nothing; reproducible), "count" (the real
            seconds that it takes on this machine, as HPOBench does) or "fixed" (see `fixed`).
        fixed: Seconds of each new configuration, and more of them for each run that has ended.
        checkpoints: Whether a trial that goes on pays only for what is new.
        cluster: Arguments of `luthier.Cluster`: delays, stragglers, crashes, speeds.
    """

    workers: int = 1
    overhead: str = "ignore"
    fixed: tuple[float, float] = (0.0, 0.0)
    checkpoints: bool = True
    cluster: Mapping[str, Any] = field(default_factory=dict)

    def build(self, seed: int) -> Cluster:
        """The machines of a run.

        Raises:
            ArgumentError: an argument that is out of range.
        """
        given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in self.cluster.items()}
        return Cluster(**given, seed=seed)


@dataclass(frozen=True)
class Primary:
    """The one contrast with a p-value that needs no adjustment.

    Args:
        method: Claimed to be better.
        control: Than whom.
        at: Share of the budget at which they are compared, or "anytime".
    """

    method: str
    control: str
    at: float | str = 1.0


@dataclass(frozen=True)
class Plan:
    """A study before it runs.

    Args:
        name: What it is called.
        about: What it is for, in a sentence.
        question: "confirmatory" (has a primary contrast) or "exploratory".
        primary: The primary contrast, None without.
        control: Method that all others are compared with.
        methods: Who is compared.
        tasks: On what.
        seeds: Seeds of every method on every task; equal seeds are paired.
        budget: What one run may use.
        budgets: Pattern of task names to another budget; the first that fits counts.
        machines: What the runs have to themselves.
        checkpoints: Shares of the budget that tables are made for.
        pairs: (before, after): methods that HPOBench's protocol compares by one-sided sign tests.
        baselines: Control to the methods that the protocol compares with it, with Bonferroni's correction.
        missing: Whether tasks and methods that cannot run here are an "error", or "skip" (and listed).
        limit: Real seconds after which a run is ended and counts as failed.
    """

    name: str
    about: str
    question: str
    primary: Primary | None
    control: str
    methods: tuple[Method, ...]
    tasks: tuple[TaskPlan, ...]
    seeds: tuple[int, ...]
    budget: Budget
    budgets: tuple[tuple[str, Budget], ...] = ()
    machines: Machines = Machines()  # frozen
    checkpoints: tuple[float, ...] = CHECKPOINTS
    pairs: tuple[tuple[str, str], ...] = ()
    baselines: tuple[tuple[str, tuple[str, ...]], ...] = ()
    missing: str = "error"
    limit: float = 3600.0

    @property
    def workers(self) -> int:
        """Runs of the benchmark at once."""
        return self.machines.workers

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that stand for all of it."""
        return _hash(asdict(self))

    @property
    def question_hash(self) -> str:
        """Stands for what a verdict rests on: tasks, seeds, budgets, primary contrast and control, not the methods."""
        kept = asdict(self)
        for key in ("methods", "about", "pairs", "baselines", "missing", "limit"):
            del kept[key]
        return _hash(kept)

    def method(self, name: str) -> Method:
        """A method by name.

        Raises:
            ArgumentError: there is none.
        """
        for one in self.methods:
            if one.name == name:
                return one
        raise ArgumentError(
            f"study {self.name!r}: method {name!r}. {did_you_mean(name, [m.name for m in self.methods])}"
        )

    def budget_of(self, task: TaskPlan) -> Budget:
        """The budget of a task."""
        return next((budget for pattern, budget in self.budgets if fnmatchcase(task.name, pattern)), self.budget)

    def setting(self) -> dict[str, Any]:
        """What the cells of all methods have in common, beside the budget of their task."""
        return json.loads(json.dumps({**asdict(self.machines), "rule": RULE}))  # type: ignore[no-any-return]

    def to_json(self) -> dict[str, Any]:
        """As plain values, from which `from_json` makes it again."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        return cls(
            **{
                **kept,
                "primary": None if kept["primary"] is None else Primary(**kept["primary"]),
                "methods": tuple(Method(**one) for one in kept["methods"]),
                "tasks": tuple(TaskPlan(**one) for one in kept["tasks"]),
                "seeds": tuple(kept["seeds"]),
                "machines": Machines(**{**kept["machines"], "fixed": tuple(kept["machines"]["fixed"])}),
                "budget": Budget(**kept["budget"]),
                "budgets": tuple((pattern, Budget(**one)) for pattern, one in kept["budgets"]),
                "checkpoints": tuple(kept["checkpoints"]),
                "pairs": tuple((a, b) for a, b in kept["pairs"]),
                "baselines": tuple((control, tuple(others)) for control, others in kept["baselines"]),
            }
        )


def _hash(kept: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
