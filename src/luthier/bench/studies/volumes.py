"""Several objectives as one number: the hypervolume that a set of configurations dominates, with its sign turned.

So it is minimised as any other value, and regrets, ranks and tests take it as it is: 0 where nothing is better than the
reference point, and the best known where the whole of the known front was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from luthier.base.pareto import crowding, fronts, hypervolume, nondominated
from luthier.bench.statistics._guards import Array
from luthier.space.space import Space

RESAMPLES = 100  # orders of the pool: the median of the volume of m random configurations
STEPS = 40  # numbers m, evenly on a logarithmic scale


def worth(values: Array, point: Array) -> float:
    """Minus the hypervolume of a set; 0 for nothing.

    Args:
        values: (n, m), to be minimised; rows with NaN count nothing.
        point: (m,) reference point.
    """
    finite = values[np.isfinite(values).all(axis=1)] if len(values) else values
    return -hypervolume(finite, point) if len(finite) else 0.0


def singles(values: Array, point: Array) -> Array:
    """The same of each configuration alone, (n,)."""
    inside = np.where(np.isfinite(values).all(axis=1, keepdims=True), point - values, 0.0)
    return -np.asarray(np.maximum(inside, 0.0).prod(axis=1))


def of_random(values: Array, point: Array, rng: np.random.Generator) -> Array:
    """Numbers of random configurations and the median over `RESAMPLES` orders of what they are worth; (2, steps).

    Args:
        values: (n, m) of a pool of random configurations, drawn without putting back.
        point: (m,) reference point.
        rng: Decides the orders.
    """
    numbers = np.unique(np.geomspace(1, len(values), STEPS).round().astype(int))
    found = np.empty((RESAMPLES, len(numbers)))
    for i in range(RESAMPLES):
        order = rng.permutation(len(values))
        front, last = values[:0], 0
        for j, number in enumerate(numbers):
            front = np.concatenate([front, values[order[last:number]]])
            front, last = front[nondominated(front)], int(number)
            found[i, j] = worth(front, point)
    return np.stack([numbers.astype(float), np.median(found, axis=0)])


def equivalent(random: Array, value: float) -> float:
    """Random configurations that are worth as much, between the numbers looked at by their logarithm.

    Returns:
        At least one where one random configuration is worth anything, infinity where the whole pool is worth less.
    """
    numbers, worths = random
    reached = np.flatnonzero(worths <= value)
    if not len(reached):
        return float("inf")
    j = int(reached[0])
    if j == 0 or worths[j - 1] == worths[j]:
        return float(numbers[j])
    share = (worths[j - 1] - value) / (worths[j - 1] - worths[j])
    return float(np.exp(np.log(numbers[j - 1]) + share * (np.log(numbers[j]) - np.log(numbers[j - 1]))))


def searched(
    space: Space,
    rows: Array,
    values: Array,
    ask: Callable[[Array], Array],
    rng: np.random.Generator,
    *,
    rounds: int,
    kept: int,
    width: int,
    step: float,
) -> Array:
    """A front beyond the pool: the children of the loneliest of its best members, again and again.

    Args:
        space: Where.
        rows: (n, d) of the pool.
        values: (n, m) of them, to be minimised; NaN: not usable.
        ask: From rows to values.
        rng: Decides the children.
        rounds: Times.
        kept: Members that have children.
        width: Children of each.
        step: How far they go, as a share of a dimension; half of them three times as far.

    Returns:
        (k, m) front of all that was seen.
    """
    fine = np.isfinite(values).all(axis=1)
    rows, values = rows[fine], values[fine]
    for _ in range(rounds):
        level = fronts(values)
        order = np.lexsort((-crowding(values, level), level))[:kept]
        best = nondominated(values)
        new = _children(space, rows[order], width, rng, step)
        found = ask(new)
        usable = np.isfinite(found).all(axis=1)
        keep = best.copy()
        keep[order] = True
        rows = np.concatenate([rows[keep], new[usable]])
        values = np.concatenate([values[keep], found[usable]])
    return values[nondominated(values)]


def _children(space: Space, parents: Array, width: int, rng: np.random.Generator, step: float) -> Array:
    """Each parent's neighbours, near and far, half of them crossed with another parent; (parents * width, d)."""
    mine = np.repeat(parents, width, axis=0)
    other = parents[rng.integers(len(parents), size=len(mine))]
    swap = (rng.random(mine.shape) < 0.5) & (np.arange(len(mine)) % 2 == 0)[:, None]
    crossed = np.where(swap, other, mine)
    far = np.arange(len(mine)) % 4 < 2
    found = np.empty_like(crossed)
    found[far] = space.perturb(crossed[far], rng, step=3 * step)
    found[~far] = space.perturb(crossed[~far], rng, step=step)
    return found


def igd_plus(found: Array, front: Array) -> float:
    """How far a set is from the known front: mean over the front of the least distance by which it falls short.

    Objectives are scaled by the front's ranges.

    Args:
        found: (n, m), to be minimised.
        front: (k, m) known front.

    Returns:
        0 where every point of the front is reached; NaN for an empty set.

    Source: Ishibuchi, Masuda, Tanigaki, Nojima 2015 (IGD+).
    """
    if not len(found) or not len(front):
        return float("nan")
    width = np.ptp(front, axis=0)
    width = np.where(width > 0, width, 1.0)
    short = np.maximum(found[None] - front[:, None], 0.0) / width  # (k, n, m)
    return float(np.sqrt((short**2).sum(axis=2)).min(axis=1).mean())


def attained(sets: Sequence[Array], at: Array) -> Array:
    """Median attainment surface of two objectives: what half of the runs reach or beat.

    Args:
        sets: (n, 2) of each run, to be minimised.
        at: (k,) values of the first objective, rising.

    Returns:
        (k,) the second objective; infinite where fewer than half of the runs get there.

    Source: Fonseca and Fleming 1996.
    """
    heights = np.full((len(sets), len(at)), np.inf)
    for i, points in enumerate(sets):
        if len(points):
            order = np.argsort(points[:, 0], kind="stable")
            least = np.minimum.accumulate(points[order, 1])
            place = np.searchsorted(points[order, 0], at, side="right")
            heights[i] = np.where(place > 0, least[np.maximum(place - 1, 0)], np.inf)
    return np.asarray(np.sort(heights, axis=0)[(len(sets) - 1) // 2])
