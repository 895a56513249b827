"""What is to be solved: a space with objectives, constraints, a fidelity and what is known from before."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, runtime_checkable

from luthier.base.errors import MetricError
from luthier.base.records import (
    Card,
    Configuration,
    Constraint,
    Evaluation,
    Fidelity,
    Objective,
    Observation,
    Status,
    as_float,
)
from luthier.space.space import Space


@dataclass(frozen=True)
class PastTask:
    """An earlier study, as a searcher may learn from it.

    Args:
        name: Its name.
        order: Where it stands in time (or in data size); later tasks have larger numbers.
        space: The space it was searched in.
        objectives: What it improved.
        observations: What was seen, to be minimised.
        about: Facts on the task, such as {"rows": 45312}.
    """

    name: str
    order: float
    space: Space
    objectives: tuple[Objective, ...]
    observations: tuple[Observation, ...]
    about: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Everything a searcher, scheduler or stopping rule may know before the first trial.

    Args:
        space: Where to search.
        objectives: What to improve, at least one.
        constraints: Metrics with upper bounds.
        fidelity: Axis of the resource, None when trials run to their end.
        past: Earlier tasks in order, oldest first.
        order: Where this task stands on the scale of the earlier ones' `order`; None: one after the last.
    """

    space: Space
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    fidelity: Fidelity | None = None
    past: tuple[PastTask, ...] = ()
    order: float | None = None

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        """Metrics that every report must have."""
        wanted: tuple[Objective | Constraint, ...] = (*self.objectives, *self.constraints)
        return tuple(metric.name for metric in wanted)

    @cached_property
    def _signed(self) -> tuple[tuple[str, float], ...]:
        return tuple((objective.name, objective.sign) for objective in self.objectives)

    def check_metrics(self, metrics: Mapping[str, Any], *, where: str) -> dict[str, float]:
        """Numbers of a report, complete for this problem.

        Args:
            metrics: What the program reported.
            where: Who reported, for the message ("trial 3").

        Returns:
            The metrics as floats, in the order given. NaN and infinity pass: they mean "diverged".

        Raises:
            MetricError: an objective or constraint is missing, or a value is no number.
        """
        if not isinstance(metrics, Mapping):
            raise MetricError(f"{where} reported {metrics!r}. Allowed: metrics by name, such as {{'loss': 0.3}}.")
        numbers: dict[str, float] = {}
        for name, value in metrics.items():
            try:
                numbers[name] = as_float(value)
            except (TypeError, ValueError):
                raise MetricError(
                    f"{where} reported {name}={value!r}. Allowed: a number. Report texts with a tag or in the log."
                ) from None
        wanted: tuple[Objective | Constraint, ...] = (*self.objectives, *self.constraints)
        for metric in wanted:
            if metric.name not in numbers:
                kind = "minimises" if isinstance(metric, Objective) and metric.goal == "min" else "maximises"
                does = kind if isinstance(metric, Objective) else "constrains"
                given = ", ".join(repr(name) for name in numbers) or "nothing"
                near = difflib.get_close_matches(metric.name, numbers, n=1, cutoff=0.5)
                # either side may be the one that is misspelt: the program's report, or the study's metric
                flag = "--maximize" if kind == "maximises" else "--minimize"
                other = f", or name {near[0]!r} as the study's metric (command line: {flag} {near[0]})" if near else ""
                raise MetricError(
                    f"{where} reported {given}; this study {does} {metric.name!r}. "
                    f"Report it: run.report({metric.name}=...){other}."
                )
        return numbers

    def check_folds(self, folds: Any, *, where: str) -> tuple[float, ...]:
        """Scores of single folds as floats; NaN and infinity pass.

        Args:
            folds: What the program reported beside its metrics.
            where: Who reported, for the message ("trial 3").

        Raises:
            MetricError: it is no list of numbers.
        """
        try:
            if isinstance(folds, (str, bytes, Mapping)):
                raise TypeError
            return tuple([as_float(score) for score in folds])
        except (TypeError, ValueError):
            shown = repr(folds)
            raise MetricError(
                f"{where} reported folds={shown if len(shown) <= 80 else shown[:77] + '...'}. Allowed: a list of "
                "numbers, one score a fold. Write folds=[0.31, 0.28, 0.35]."
            ) from None

    def usable(self, metrics: Mapping[str, float]) -> bool:
        """Whether every objective and constraint is a finite number."""
        for name in self._wanted:  # noqa: SIM110  # asked for every report, more than once: a generator takes thrice as long
            if not isfinite(metrics[name]):
                return False
        return True

    def observe(
        self,
        trial: int,
        config: Configuration,
        metrics: Mapping[str, float] | None,
        *,
        resource: float | None = None,
        status: Status = Status.COMPLETED,
    ) -> Observation:
        """Turn metrics into what searchers are told: to be minimised, constraints as violations."""
        if not metrics:
            return Observation(trial, config, resource, (), (), status)
        values = tuple([metrics[name] * sign for name, sign in self._signed])
        violations = tuple([metrics[c.name] - c.upper for c in self.constraints])
        return Observation(trial, config, resource, values, violations, status)


@runtime_checkable
class Benchmark(Protocol):
    """A problem with answers: it trains (raw), looks up (tabular) or predicts (surrogate)."""

    space: Space
    fidelity: Fidelity | None
    objectives: tuple[Objective, ...]
    card: Card

    def evaluate(self, config: Mapping[str, Any], *, resource: float | None = None, seed: int = 0) -> Evaluation:
        """Metrics and cost of one configuration; pure: equal arguments give equal answers."""
        ...

    def evaluate_batch(
        self, configs: Sequence[Mapping[str, Any]], *, resource: float | None = None, seed: int = 0
    ) -> list[Evaluation]:
        """Many at once."""
        ...
