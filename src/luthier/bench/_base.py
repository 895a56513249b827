"""What every benchmark has in common, and what a family of benchmarks is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from luthier.base.errors import ArgumentError, SpaceError, UnsupportedError
from luthier.base.records import Card, Configuration, Constraint, Evaluation, Fidelity, Objective
from luthier.base.seeds import check_seed
from luthier.bench._plain import Plain
from luthier.space.problem import Problem
from luthier.space.space import Space

Config = Mapping[str, Any]
_MANY = 10  # configurations from which on judging them by columns pays


class BaseBenchmark(ABC):
    """A problem with answers. A subclass sets the attributes and writes `_evaluate`.

    Evaluations are pure: equal arguments give equal answers, in any order and in any process. What belongs to the
    test set is answered by `evaluate_test` alone, which no optimiser calls.

    Attributes:
        space: Where to search.
        fidelity: Axis of the resource, None without.
        objectives: What is improved.
        constraints: Metrics with upper bounds that belong to the problem.
        card: Origin, licence, checksums, optimum, noise.
        bounds: Metric to the (low, high) that every value lies within.
        trains: Whether an answer costs a training now, so that nobody should ask for more of a curve than is needed.
        continues: Whether a run that is granted more of the resource goes on from what it has, and pays for the rest
            alone: epochs, trees and boosting rounds do, a share of the data does not, for its model is fitted anew.
            None: an axis in whole steps does, any other does not; say so where that is wrong.
    """

    space: Space
    fidelity: Fidelity | None = None
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    card: Card
    bounds: Mapping[str, tuple[float, float]] = {}
    trains: bool = False
    continues: bool | None = None
    _origin: tuple[str, dict[str, Any]] | None = None  # name and options: how to load it again

    @property
    def name(self) -> str:
        """Full name, such as "yahpo/lcbench/3945"."""
        return self.card.name

    @property
    def problem(self) -> Problem:
        """What an optimiser may know of it."""
        return Problem(self.space, self.objectives, self.constraints, self.fidelity)

    def evaluate(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Metrics and cost of one configuration.

        Args:
            config: A configuration of the space.
            resource: How much is spent, in the unit of the fidelity; None: the full amount.
            seed: Which of the recorded repetitions, or the seed of a training; None: the mean over repetitions.

        Raises:
            SpaceError: the configuration is not of the space.
            ArgumentError: the resource lies outside the fidelity or between its whole steps, or the seed is none.
        """
        return self.evaluate_batch([config], resource=resource, seed=seed)[0]

    def evaluate_batch(
        self, configs: Sequence[Config], *, resource: float | None = None, seed: int | None = 0
    ) -> list[Evaluation]:
        """Many at once; equal to evaluating one by one."""
        spent, seed = self._spent(resource), self._seeded(seed)
        if len(configs) < _MANY or not self._plain.all_of(configs):
            configs = [self._check(config) for config in configs]
        return self._evaluate(cast(Sequence[Configuration], configs), spent, seed)

    @cached_property
    def _plain(self) -> Plain:
        return Plain(self.space)

    def curve(
        self, config: Config, until: float | None = None, *, seed: int | None = 0
    ) -> list[tuple[float, Evaluation]]:
        """Resource and evaluation for each whole step up to `until`; the cost adds up and never falls.

        A fidelity that is not counted in whole steps has the one step `until`.
        """
        if self.fidelity is None:
            raise UnsupportedError(f"benchmark {self.name!r} has no fidelity and so no curves. Use evaluate(config).")
        last = self._spent(until)
        assert last is not None  # there is a fidelity
        return self._monotone(self._curve(self._check(config), last, self._seeded(seed)))

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, on the test set; for judging a finished search.

        Raises:
            UnsupportedError: the benchmark has no test values.
        """
        raise UnsupportedError(f"benchmark {self.name!r} has no test values. Judge by evaluate(config, seed=None).")

    @abstractmethod
    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        """Answers for configurations that were checked."""

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        """Step by step; a subclass that has all steps at hand overrides this."""
        return [(step, self._evaluate([config], step, seed)[0]) for step in self._steps(until)]

    def _steps(self, until: float) -> list[float]:
        assert self.fidelity is not None
        if not self.fidelity.whole:
            return [until]
        return [float(step) for step in range(int(self.fidelity.low), int(until) + 1)]

    @staticmethod
    def _monotone(steps: list[tuple[float, Evaluation]]) -> list[tuple[float, Evaluation]]:
        """A surrogate's predicted cost may dip from one step to the next; time does not run backwards."""
        cost, found = 0.0, []
        for step, one in steps:
            cost = max(cost, one.seconds)
            found.append((step, Evaluation(one.metrics, cost, one.status, one.info)))
        return found

    def _check(self, config: Config) -> Configuration:
        if not isinstance(config, Mapping):
            raise SpaceError(
                f"benchmark {self.name!r}: configuration={config!r}. Allowed: a mapping from names to values, such as "
                "benchmark.space.default()."
            )
        return self.space.check(config, where=f"benchmark {self.name!r}: configuration")

    def _spent(self, resource: float | None) -> float | None:
        axis = self.fidelity
        if axis is None:
            if resource is not None:
                raise ArgumentError(
                    f"benchmark {self.name!r} has no fidelity; resource={resource!r} was given. Leave it out."
                )
            return None
        if resource is None:
            return axis.high
        number = isinstance(resource, (int, float, np.integer, np.floating)) and not isinstance(resource, bool)
        if not (number and axis.low <= resource <= axis.high and not (axis.whole and resource % 1)):
            steps = " in whole steps" if axis.whole else ""
            raise ArgumentError(
                f"benchmark {self.name!r}: resource={resource!r}. Allowed: {axis.name} from {axis.low:g} to "
                f"{axis.high:g}{steps}."
            )
        return resource

    @staticmethod
    def _seeded(seed: int | None) -> int | None:
        return seed if seed is None or (type(seed) is int and seed >= 0) else check_seed(seed)

    def __reduce__(self) -> Any:
        if self._origin is None:
            return super().__reduce__()
        from luthier.bench._catalogue import _load_from

        return (_load_from, self._origin)

    def __repr__(self) -> str:
        return f"<benchmark {self.name}>"


class Family(ABC):
    """Benchmarks of one kind: a file of `bench/families/` holds one, its options are keyword-only arguments.

    Attributes:
        name: The family's public name, set by `register`.
        lock: Lock of the environment that it can run isolated in: a name in `bench/data/locks`, or a file; "": the
            one with the family's name, if there is one.
        requires_python: Versions of Python that it runs on, as packages write it; "": as luthier.
    """

    name: ClassVar[str] = ""
    lock: ClassVar[str | Path] = ""
    requires_python: ClassVar[str] = ""

    @abstractmethod
    def tasks(self) -> Sequence[str]:
        """Names of the benchmarks without the family's own; those that need no data come first."""

    @abstractmethod
    def open(self, task: str) -> BaseBenchmark:
        """A benchmark by its name.

        Raises:
            ArgumentError: there is no such task.
            DataMissing: its data has to be supplied.
        """
