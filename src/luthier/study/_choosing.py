"""The rules by which one trial of many is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from luthier.base.records import Trial
from luthier.space.problem import Problem
from luthier.study._guard import judge

FEWEST = 3  # of the trials with the lowest values, among which the best is believed to be

#: A trial, and the rule that chose it in words.
Chosen = tuple[Trial, str]


def by_single(pool: Sequence[Trial], trials: Sequence[Trial], problem: Problem, seed: int) -> Chosen:
    """The lowest value."""
    return pool[0], "best single value"


def by_mean(pool: Sequence[Trial], trials: Sequence[Trial], problem: Problem, seed: int) -> Chosen:
    """The best posterior mean among the tenth of the trials with the lowest values (see `Gp.recommend` for why)."""
    from luthier.study._beliefs import beliefs  # here, for it brings the models along

    found = beliefs(pool, problem, seed)
    if found is None:
        return pool[0], "best single value (too little for a posterior mean)"
    lowest = pool[: max(FEWEST, len(pool) // 10)]
    best = min(lowest, key=lambda trial: (found.means[trial.number], trial.number))
    return best, "best posterior mean"


def by_error(pool: Sequence[Trial], trials: Sequence[Trial], problem: Problem, seed: int) -> Chosen:
    """Of those within one standard error of the lowest value the one that is nearest to the default.

    Source: Breiman, Friedman, Olshen, Stone 1984, section 3.4.3 (the one-standard-error rule).
    Differs: there the simplest tree is taken; here nearness to the default stands for simplicity.
    """
    objective = problem.objectives[0]
    error = standard_error(pool, problem, seed)
    if error is None:
        return pool[0], "best single value (no standard error is known)"
    limit = objective.sign * pool[0].metrics[objective.name] + error
    near = [trial for trial in pool if objective.sign * trial.metrics[objective.name] <= limit]
    distances = _distances(near, problem)
    best = min(zip(distances, near, strict=True), key=lambda pair: (pair[0], pair[1].number))[1]
    return best, f"nearest to the default within one standard error ({error:.3g}) of the best value"


def by_guard(pool: Sequence[Trial], trials: Sequence[Trial], problem: Problem, seed: int) -> Chosen:
    """What the confirmation on fresh splits says; see `_guard.judge`."""
    verdict = judge(pool, trials, problem)
    if verdict is None:
        return pool[0], "best single value, not confirmed on fresh splits"
    return next(trial for trial in pool if trial.number == verdict.trial), f"guarded: {verdict.words}"


CHOOSERS: dict[str, Callable[[Sequence[Trial], Sequence[Trial], Problem, int], Chosen]] = {
    "single": by_single,
    "posterior-mean": by_mean,
    "one-standard-error": by_error,
    "guarded": by_guard,
}


def standard_error(pool: Sequence[Trial], problem: Problem, seed: int) -> float | None:
    """Of the value of the best trial: over its repeats, else over its folds, else as a process believes.

    Args:
        pool: Trials, the best first.
        problem: The problem.
        seed: The study's.

    Returns:
        None where none of these is known, or it is zero.
    """
    best, name = pool[0], problem.objectives[0].name
    folds = best.reports[-1].folds if best.reports else ()
    if name in best.stderr:
        error = best.stderr[name]
    elif len(folds) > 1:
        error = float(np.std(folds, ddof=1)) / math.sqrt(len(folds))
    else:
        from luthier.study._beliefs import beliefs

        found = beliefs(pool, problem, seed)
        error = 0.0 if found is None else found.noise
    return error if error > 0.0 else None


def _distances(trials: Sequence[Trial], problem: Problem) -> list[float]:
    """Euclidean distances to the default in the unit cube; another choice is as far as the whole range."""
    space = problem.space
    rows, active = space.encode([space.default(), *(trial.config for trial in trials)])
    choice = np.array([kind == "choice" for kind in space.kinds], dtype=bool)
    gaps = np.where(choice, (rows[1:] != rows[0]).astype(float), np.abs(rows[1:] - rows[0]))
    gaps = np.where(active[1:] & active[0], gaps, (active[1:] != active[0]).astype(float))
    return [float(x) for x in np.sqrt((gaps**2).sum(axis=1))]
