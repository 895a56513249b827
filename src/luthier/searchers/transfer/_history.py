"""Earlier tasks as arrays: in today's space, oldest first, each with its best ones at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from luthier.base.records import Configuration
from luthier.space.problem import Problem
from luthier.space.translation import translate
from luthier.space.values import Array


@dataclass(frozen=True)
class EarlierTask:
    """What an earlier study left, as far as today's space can tell it.

    Args:
        name: Its name.
        order: Where it stands in time or size.
        configs: Its configurations, n of them, in the order of its trials.
        rows: (n, d), the same in the unit cube.
        values: (n,), the objective, to be minimised; finite.
        about: Facts on it.
    """

    name: str
    order: float
    configs: tuple[Configuration, ...]
    rows: Array
    values: Array
    about: Mapping[str, float | str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def best(self) -> Configuration:
        """The configuration with the lowest value; the earlier trial where two are equal."""
        return self.configs[int(np.argmin(self.values))]

    def levels(self) -> Iterator[list[Configuration]]:
        """Its configurations from the best value to the worst, those of equal value together."""
        for value in np.unique(self.values):
            yield [self.configs[i] for i in np.flatnonzero(self.values == value)]


def earlier_tasks(problem: Problem) -> tuple[EarlierTask, ...]:
    """The problem's past, oldest first; tasks of which nothing can be used are left out.

    Of a task with a fidelity only what was measured at its highest resource counts; infeasible trials count only where
    a task has no feasible one.
    """
    found = []
    for task in problem.past:
        told = translate(task, problem.space).comparable
        if told:
            configs = tuple(o.config for o in told)
            rows, _ = problem.space.encode(configs)
            values = np.array([o.values[0] for o in told])
            found.append(EarlierTask(task.name, task.order, configs, rows, values, task.about))
    return tuple(found)


def place(problem: Problem, tasks: tuple[EarlierTask, ...]) -> float:
    """Where today's task stands: its own order, else one mean step after the last."""
    if problem.order is not None:
        return problem.order
    if not tasks:
        return 0.0
    steps = len(tasks) - 1
    return tasks[-1].order + ((tasks[-1].order - tasks[0].order) / steps if steps else 1.0)
