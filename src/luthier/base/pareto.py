"""Pareto dominance and hypervolume; every objective is minimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def nondominated(values: Array) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    Args:
        values: (n, m), to be minimised. A row with NaN is dominated.

    Returns:
        (n,) mask. Equal points do not dominate each other.
    """
    n = len(values)
    keep: NDArray[np.bool_] = np.logical_not(np.isnan(values).any(axis=1))
    for i in range(n):
        if keep[i]:
            worse = keep & (values >= values[i]).all(axis=1) & (values > values[i]).any(axis=1)
            keep[worse] = False
    return keep


def fronts(values: Array) -> NDArray[np.int64]:
    """Non-dominated sorting: front number of every point, 0 for the Pareto set.

    Args:
        values: (n, m), to be minimised; no NaN.

    Returns:
        (n,) front numbers.
    """
    rank = np.full(len(values), -1, dtype=np.int64)
    left = np.arange(len(values))
    level = 0
    while len(left):
        mask = nondominated(values[left])
        rank[left[mask]] = level
        left = left[~mask]
        level += 1
    return rank


def crowding(values: Array, front: NDArray[np.int64]) -> Array:
    """How lonely each point is on its front: the gaps between its neighbours, summed over objectives.

    Gaps are measured in units of the front's range; the ends of a front are infinitely lonely.

    Args:
        values: (n, m), to be minimised; no NaN.
        front: (n,) front numbers, as from `fronts`.

    Returns:
        (n,) distances, without a unit; infinite at the ends.

    Source: Deb, Pratap, Agarwal, Meyarivan 2002 (NSGA-II), section III-B.
    """
    found = np.zeros(len(values))
    for number in np.unique(front):
        members = np.flatnonzero(front == number)
        for column in values[members].T:
            order = members[np.argsort(column, kind="stable")]
            ordered = np.sort(column)
            found[order[[0, -1]]] = np.inf
            if ordered[-1] > ordered[0]:
                found[order[1:-1]] += (ordered[2:] - ordered[:-2]) / (ordered[-1] - ordered[0])
    return found


def hypervolume(values: Array, reference: Array) -> float:
    """Volume that a set dominates, up to a reference point; exact.

    Slices along the last objective and recurses: O(n log n) in two dimensions, O(n^2 log n) in three,
    exponential in the number of objectives beyond.

    Args:
        values: (n, m), to be minimised.
        reference: (m,), worse than what counts.

    Returns:
        The volume, in the product of the objectives' units; 0 when no point is better than the reference.
    """
    values = np.asarray(values, dtype=float)
    inside = values[(values < reference).all(axis=1)] if len(values) else values
    if not len(inside):
        return 0.0
    return _volume(inside[nondominated(inside)], np.asarray(reference, dtype=float))


def _volume(points: Array, reference: Array) -> float:
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        best = np.minimum.accumulate(points[:, 0])
        heights = np.diff(np.append(points[:, 1], reference[1]))
        return float(((reference[0] - best) * heights).sum())
    ends = np.append(points[1:, -1], reference[-1])
    total = 0.0
    for i, (start, end) in enumerate(zip(points[:, -1], ends, strict=True)):
        if end > start:
            slab = points[: i + 1, :-1]
            total += (end - start) * _volume(slab[nondominated(slab)], reference[:-1])
    return float(total)
