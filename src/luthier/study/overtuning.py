"""Overtuning: what the search has won on validation data and lost on data that it never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.base.records import Trial
from luthier.space.problem import Problem
from luthier.study._selection import CONFIRM


@dataclass(frozen=True)
class Incumbent:
    """The best trial at one moment of the search.

    Args:
        results: Results seen until then, itself included.
        trial: Its number.
        value: Its objective.
        untouched: Its value on the untouched data.
    """

    results: int
    trial: int
    value: float
    untouched: float


@dataclass(frozen=True)
class Overtuning:
    """What was lost on the untouched data.

    Args:
        incumbents: The best trials one after the other, by the objective.
        amount: Untouched value of the last one minus the best among them, >= 0, in units of the metric: 0 when the
            search went down to its end on the untouched data too.
        share: `amount` in units of what the search had won at its best, over the first incumbent: 1 and more means
            that the result is no better than where the search began. None when nothing was ever won.
        against_default: Untouched value of the last one minus that of the default configuration, > 0 when tuning has
            hurt; None when the default was not measured.
    """

    incumbents: tuple[Incumbent, ...]
    amount: float
    share: float | None
    against_default: float | None


@dataclass(frozen=True)
class Optimism:
    """How much better the best trial's value is than what a process believes of its configuration.

    Args:
        trial: Its number.
        value: Its value.
        mean: The posterior mean at its configuration, in the same units.
        amount: How much the mean is worse than the value; what is likely to be luck. Negative where the process
            believes in more.
        noise: Standard deviation of a single result, as the process sees it.
    """

    trial: int
    value: float
    mean: float
    amount: float
    noise: float


def optimism(found: Sequence[Trial], best: Trial, problem: Problem, seed: int) -> Optimism | None:
    """The optimism of the best trial.

    Args:
        found: Feasible trials with a result at one resource.
        best: One of them.
        problem: What they solve, with one objective.
        seed: The study's.
    """
    from luthier.study._beliefs import beliefs  # here, for it brings the models along

    believed = beliefs(found, problem, seed)
    if believed is None or best.number not in believed.means:
        return None
    objective = problem.objectives[0]
    value, mean = best.metrics[objective.name], objective.sign * believed.means[best.number]
    return Optimism(best.number, value, mean, objective.sign * (mean - value), believed.noise)


def in_order(found: Sequence[Trial]) -> list[Trial]:
    """Trials in the order of their results."""
    return sorted(found, key=lambda trial: (math.inf if trial.ended is None else trial.ended, trial.number))


def overtuning(found: Sequence[Trial], problem: Problem, chosen: Trial | None = None) -> Overtuning | None:
    """The overtuning of a search with one objective.

    The untouched metric is the objective on other data: it is minimised where the objective is.

    Args:
        found: Feasible trials with a result at one resource, in the order of their results.
        problem: What they solve.
        chosen: The result, where it was not chosen by the lowest value; it then ends the row of incumbents.

    Returns:
        None when fewer than two trials carry the untouched metric, or there are several objectives.

    Source: Schneider, Bischl, Feurer 2025, overtuning and relative overtuning.
    Differs: measured values stand for the expectations; the amounts have the metric's sign turned so that less is
        better.
    """
    known = [trial for trial in found if trial.untouched is not None and trial.origin != CONFIRM]
    if len(problem.objectives) > 1 or len(known) < 2:
        return None
    name, sign = problem.objectives[0].name, problem.objectives[0].sign
    row: list[Incumbent] = []
    for results, trial in enumerate(known, 1):
        if not row or sign * trial.metrics[name] < sign * row[-1].value:
            row.append(Incumbent(results, trial.number, trial.metrics[name], float(trial.untouched or 0.0)))
    last = next((t for t in known if chosen is not None and t.number == chosen.number), None)
    if last is not None and last.number != row[-1].trial:
        row.append(Incumbent(len(known), last.number, last.metrics[name], float(last.untouched or 0.0)))
    tests = [sign * one.untouched for one in row]
    amount, won = tests[-1] - min(tests), tests[0] - min(tests)
    default = next((t for t in known if t.origin == "default"), None)
    against = None if default is None else tests[-1] - sign * float(default.untouched or 0.0)
    return Overtuning(tuple(row), amount, amount / won if won > 0 else None, against)
