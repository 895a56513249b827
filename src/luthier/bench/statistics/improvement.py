"""Probability that one method's run is better than another's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, check_finite
from luthier.bench.statistics.bootstrap import Band

_DRAWS = 2000  # bootstrap samples of each pair
OVER = ("tasks", "seeds")


def improvement_by_task(a: ArrayLike, b: ArrayLike) -> Array:
    """P(a run of A is better than a run of B) on each task, ties counting half; (tasks,).

    Args:
        a: (tasks, seeds) of A, smaller is better.
        b: (tasks, seeds) of B; the numbers of seeds may differ.
    """
    return np.asarray(_better(a, b).mean(axis=(1, 2)))


def improvement(
    a: ArrayLike, b: ArrayLike, *, over: str = "tasks", level: float = 0.95, draws: int = _DRAWS, seed: int = 0
) -> Band:
    """Probability of improvement, averaged over tasks, with an interval from a stratified bootstrap.

    Args:
        a: (tasks, seeds) of A, smaller is better.
        b: (tasks, seeds) of B.
        over: "seeds": runs are drawn again inside each task, and the interval speaks of exactly these tasks;
            "tasks": tasks are drawn again too.
        level: Of the interval.
        draws: Bootstrap samples.
        seed: Decides the draws.

    Raises:
        ArgumentError: the tasks are not the same, or values are not finite.

    Source: Agarwal et al. 2021 (rliable).
    Differs: with as many seeds of A as of B, common seeds are drawn together, as the runs are paired.
    """
    check("over", over, one_of=OVER)
    better = _better(a, b)
    tasks, seeds_a, seeds_b = better.shape
    rng = np.random.default_rng(seed)
    drawn_a = _counts(rng.integers(seeds_a, size=(tasks, draws, seeds_a)), seeds_a)
    drawn_b = drawn_a if seeds_a == seeds_b else _counts(rng.integers(seeds_b, size=(tasks, draws, seeds_b)), seeds_b)
    each = np.einsum("tdi,tij,tdj->td", drawn_a, better, drawn_b, optimize=True)  # (tasks, draws)
    if over == "tasks":
        picked = rng.integers(tasks, size=(tasks, draws))
        each = each[picked, rng.integers(draws, size=picked.shape)]
    low, high = np.quantile(each.mean(axis=0), [(1 - level) / 2, (1 + level) / 2])
    return Band(better.mean(axis=(1, 2)).mean(), low, high)


def improvement_matrix(values: ArrayLike) -> Array:
    """P(row is better than column) averaged over tasks, (methods, methods), 0.5 on the diagonal.

    Args:
        values: (methods, tasks, seeds), smaller is better.
    """
    table = np.asarray(values, dtype=float)
    found = np.full((len(table), len(table)), 0.5)
    for i in range(len(table)):
        for j in range(i):
            found[i, j] = improvement_by_task(table[i], table[j]).mean()
            found[j, i] = 1 - found[i, j]
    return found


def _better(a: ArrayLike, b: ArrayLike) -> Array:
    """1 where a run of A is better, 0.5 where both are equal; (tasks, seeds of A, seeds of B)."""
    runs: Sequence[Array] = [np.asarray(one, dtype=float) for one in (a, b)]
    if any(one.ndim != 2 for one in runs) or len(runs[0]) != len(runs[1]):
        raise ArgumentError(
            f"probability of improvement: shapes {runs[0].shape} and {runs[1].shape}. Allowed: (tasks, seeds) of the "
            "same tasks. Leave out tasks that one of the methods lacks, and say so."
        )
    for one in runs:
        check_finite(one, what="probability of improvement")
    left, right = runs[0][:, :, None], runs[1][:, None, :]
    return np.asarray((left < right) + 0.5 * (left == right))


def _counts(drawn: np.ndarray, seeds: int) -> Array:
    """How often each seed was drawn, as a share: (tasks, draws, seeds) -> the same shape."""
    tasks, draws, times = drawn.shape
    places = drawn.reshape(-1, times) + seeds * np.arange(tasks * draws)[:, None]
    counts = np.bincount(places.ravel(), minlength=tasks * draws * seeds)
    return np.asarray(counts.reshape(tasks, draws, seeds) / times)
