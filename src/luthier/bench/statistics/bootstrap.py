"""Intervals when tasks, and seeds inside them, are drawn again; the interquartile mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, check_finite

DRAWS = 10_000  # of the bootstrap: the ends of a 95 % interval then vary by a hundredth of its width
REPLICATES = 1000  # aggregates of one task over drawn seeds, which the draws of tasks pick from
_CHUNK = 2_000_000  # numbers held at once

INSIDE = ("mean", "iqm", "median")


class Band(NamedTuple):
    """An estimate with the two ends of its interval; each of the shape of one number, or (points,).

    Args:
        estimate: The aggregate of what was measured.
        low: Lower end.
        high: Upper end.
    """

    estimate: Array
    low: Array
    high: Array


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of (n,) values: a quarter is cut off at either end, a value in part where need be."""
    return float(_iqm(np.asarray(values, dtype=float), 0))


def _iqm(values: Array, axis: int) -> Array:
    ordered = np.sort(values, axis=axis)
    return np.asarray(np.tensordot(ordered, _middle(ordered.shape[axis]), axes=(axis, 0)))


def _middle(n: int) -> Array:
    """(n,) weights of the sorted values in the interquartile mean."""
    places = np.arange(n)
    weights = np.clip(np.minimum(places + 1, 3 * n / 4) - np.maximum(places, n / 4), 0.0, 1.0)
    return np.asarray(weights / weights.sum())


def inside(values: ArrayLike, how: str, axis: int = 1) -> Array:
    """Aggregate over the seeds of a task.

    Args:
        values: Seeds along `axis`.
        how: "mean", "iqm" (interquartile mean) or "median".
        axis: Which axis is aggregated.
    """
    check("inside", how, one_of=INSIDE)
    table = np.asarray(values, dtype=float)
    if how == "iqm":
        return _iqm(table, axis)
    return np.asarray(np.mean(table, axis=axis) if how == "mean" else np.median(table, axis=axis))


def aggregate(values: ArrayLike, *, how: str = "mean", families: Sequence[str] = ()) -> Array:
    """Over seeds inside a task, then over tasks inside a family, then over families.

    Args:
        values: (tasks, seeds) or (tasks, seeds, points), of one method.
        how: What is made of the seeds of a task, see `inside`; tasks and families are averaged.
        families: Family of each task; empty: all tasks weigh alike.

    Returns:
        One number, or (points,).
    """
    tasks = inside(values, how)
    return np.asarray(np.mean([tasks[list(places)].mean(axis=0) for places in _groups(families, len(tasks))], axis=0))


def hierarchical(
    values: ArrayLike,
    *,
    how: str = "mean",
    families: Sequence[str] = (),
    level: float = 0.95,
    draws: int = DRAWS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Band:
    """Percentile interval of `aggregate`: families are drawn again, tasks inside them, and seeds inside tasks.

    Such an interval speaks of tasks like these. One over seeds alone would speak of exactly these tasks, and covers
    the mean over all tasks in less than half of the cases where tasks differ as much as seeds do.

    Args:
        values: (tasks, seeds) or (tasks, seeds, points), of one method, finite.
        how: What is made of the seeds of a task, see `inside`.
        families: Family of each task; empty: all tasks weigh alike, and there is no third level.
        level: Of the interval.
        draws: Bootstrap samples.
        replicates: How many aggregates over drawn seeds are made for each task; each draw picks among them.
        seed: Decides the draws.

    Raises:
        ArgumentError: a shape that does not fit, or values that are not finite.

    Source: Davison and Hinkley 1997, section 3.8 (resampling at each level).
    Differs: the aggregates over drawn seeds come from a pool of `replicates` for each task.
    Cost: O(tasks * seeds * replicates + tasks * draws) for each point.
    """
    check("level", level, above=0, below=1)
    draws = check("draws", draws, at_least=1, whole=True)
    replicates = check("replicates", replicates, at_least=1, whole=True)
    table = np.asarray(values, dtype=float)
    if table.ndim not in (2, 3) or 0 in table.shape:
        raise ArgumentError(
            f"bootstrap: an array of shape {table.shape}. Allowed: (tasks, seeds) or (tasks, seeds, points) of one "
            "method. Call it for each method."
        )
    check_finite(table, what="bootstrap")
    rng = np.random.default_rng(seed)
    pool = _pool(table, how, replicates, rng)  # (tasks, replicates[, points])
    groups = _groups(families, len(table))
    found = np.concatenate([_drawn(pool, groups, part, rng) for part in _parts(draws, pool)])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Band(aggregate(table, how=how, families=families), low, high)


def interval(values: ArrayLike, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """95 % interval of the mean over tasks and seeds, values of the shape (tasks, seeds); see `hierarchical`."""
    band = hierarchical(values, draws=draws, seed=seed)
    return float(band.low), float(band.high)


def _pool(table: Array, how: str, replicates: int, rng: np.random.Generator) -> Array:
    """Aggregates over drawn seeds, (tasks, replicates[, points])."""
    tasks, seeds = table.shape[:2]
    drawn = rng.integers(seeds, size=(tasks, replicates, seeds))
    if how == "mean" and table.ndim == 3:  # a matrix product of how often each seed was drawn
        counts = (drawn[..., None] == np.arange(seeds)).sum(axis=2) / seeds
        return np.asarray(np.einsum("trs,ts...->tr...", counts, table, optimize=True))
    return np.stack([inside(table[task][drawn[task]], how, axis=1) for task in range(tasks)])


def _groups(families: Sequence[str], tasks: int) -> list[tuple[int, ...]]:
    if not families:
        return [tuple(range(tasks))]
    if len(families) != tasks:
        raise ArgumentError(f"families: {len(families)} names for {tasks} tasks. Give the family of each task.")
    return [tuple(i for i, name in enumerate(families) if name == one) for one in dict.fromkeys(families)]


def _parts(draws: int, pool: Array) -> Iterator[int]:
    """Numbers of draws that add up to all, so that no more than `_CHUNK` numbers are held at once."""
    size = max(1, _CHUNK // (pool.shape[0] * int(np.prod(pool.shape[2:], dtype=int))))
    while draws > 0:
        yield min(size, draws)
        draws -= size


def _drawn(pool: Array, groups: Sequence[Sequence[int]], draws: int, rng: np.random.Generator) -> Array:
    """Aggregates over drawn families and tasks, (draws[, points])."""
    total = np.zeros((draws, *pool.shape[2:]))
    for _ in groups:
        picked = rng.integers(len(groups), size=draws)
        for i, group in enumerate(groups):
            rows = np.flatnonzero(picked == i)
            total[rows] += _tasks_drawn(pool, group, len(rows), rng)
    return total / len(groups)


def _tasks_drawn(pool: Array, group: Sequence[int], draws: int, rng: np.random.Generator) -> Array:
    tasks = np.asarray(group)[rng.integers(len(group), size=(draws, len(group)))]
    return np.asarray(pool[tasks, rng.integers(pool.shape[1], size=tasks.shape)].mean(axis=1))
