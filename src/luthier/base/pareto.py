"""Pareto dominance, crowding and hypervolume; every objective is minimised.

Reference points: a hypervolume means something beside another one only when both have the same reference point, so it
is fixed before a study (or a comparison) and printed with every figure. Where a user or a benchmark names one, that is
it. Else `reference_point` takes one from values that do not depend on what is compared: a whole table, a fixed sample
of random configurations, or the union of all runs. Points that are no better than it in every objective count nothing.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError

Array = NDArray[np.float64]


def nondominated(values: Array) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    Args:
        values: (n, m), to be minimised. A row with NaN is dominated.

    Returns:
        (n,) mask. Equal points do not dominate each other.

    Cost: O(n log n) up to two objectives, O(n f m) beyond, with f points on the front.
    """
    values = np.asarray(values, dtype=float)
    keep: NDArray[np.bool_] = np.logical_not(np.isnan(values).any(axis=1))
    if not keep.any():
        return keep
    distinct, place = _distinct(values[keep])
    best = _lowest(distinct) if distinct.shape[1] <= 2 else _undominated(distinct)
    keep[keep] = best[place]
    return keep


def _distinct(values: Array) -> tuple[Array, NDArray[np.int64]]:
    """Distinct rows in lexicographic order, so that dominators come first; and where each given row is among them."""
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    new = np.ones(len(values), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return ordered[new], place


def _lowest(distinct: Array) -> NDArray[np.bool_]:
    """Of one or two objectives: whose last value is below all earlier ones."""
    last = distinct[:, -1]
    best = np.ones(len(distinct), dtype=bool)
    best[1:] = last[1:] < np.minimum.accumulate(last)[:-1]
    return best


def _undominated(distinct: Array) -> NDArray[np.bool_]:
    """Of three objectives and more: the first row left is never dominated; what it dominates leaves."""
    best = np.zeros(len(distinct), dtype=bool)
    left = np.arange(len(distinct))
    while len(left):
        best[left[0]] = True
        left = left[(distinct[left] < distinct[left[0]]).any(axis=1)]
    return best


def fronts(values: Array) -> NDArray[np.int64]:
    """Non-dominated sorting: front number of every point, 0 for the Pareto set.

    A point's front is the length of the longest chain of points that dominate each other and end in it.

    Args:
        values: (n, m), to be minimised; no NaN.

    Returns:
        (n,) front numbers; equal points share one.

    Source: the ranks of Deb, Pratap, Agarwal, Meyarivan 2002 (NSGA-II), section III-A.
    Differs: points are sorted first; with two objectives the fronts' lowest second values are searched by bisection
        (Jensen 2003).
    Cost: O(n log n) up to two objectives, O(n^2 m) beyond, vectorised over the earlier points.
    """
    distinct, place = _distinct(np.asarray(values, dtype=float))
    rank = np.zeros(len(distinct), dtype=np.int64)
    if distinct.shape[1] == 2:
        ends: list[float] = []  # the lowest second value of each front so far, ascending
        for i, second in enumerate(distinct[:, 1].tolist()):
            rank[i] = bisect_right(ends, second)
            ends[rank[i] : rank[i] + 1] = [second]
    elif distinct.shape[1] == 1:
        rank = np.arange(len(distinct))
    else:
        rest = np.ascontiguousarray(distinct[:, 1:])  # earlier rows are not worse in the first objective
        for i in range(1, len(rest)):
            above = rank[:i][(rest[:i] <= rest[i]).all(axis=1)]
            rank[i] = above.max() + 1 if len(above) else 0
    return rank[place]


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
    if not len(values):
        return found
    for column in np.asarray(values, dtype=float).T:
        order = np.lexsort((column, front))
        ordered, groups = column[order], front[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = groups[1:] != groups[:-1]
        last = np.append(first[1:], True)
        group = np.cumsum(first) - 1
        width = (ordered[last] - ordered[first])[group]
        inside = ~(first | last)
        gap = np.zeros(len(order))
        gap[1:-1] = ordered[2:] - ordered[:-2]
        wide = inside & (width > 0)
        found[order[wide]] += gap[wide] / width[wide]
        found[order[~inside]] = np.inf
    return found


def reference_point(values: Array, *, margin: float = 0.1) -> Array:
    """A reference point for hypervolumes: the nadir, and some of the front's range beyond it.

    The nadir is the worst value of each objective on the Pareto set of `values`, the range the distance from there to
    the best. Where the set has no range in an objective, the range of all values counts, and if that is zero too, the
    value's own size (1 for zero): so the reference is always worse than the nadir.

    Args:
        values: (n, m), to be minimised; rows with NaN or infinity do not count. See the head of this file for what
            they should be.
        margin: Share of the range beyond the nadir, > 0 (0.1: convention; so that the ends of the front count, and do
            not count more than the rest).

    Returns:
        (m,) reference point.

    Raises:
        ArgumentError: no row is finite.
    """
    check("margin", margin, above=0)
    values = np.asarray(values, dtype=float)
    finite = values[np.isfinite(values).all(axis=1)]
    if not len(finite):
        raise ArgumentError(f"reference_point: none of {len(values)} rows is finite. Give at least one.")
    front = finite[nondominated(finite)]
    nadir = front.max(axis=0)
    width = nadir - front.min(axis=0)
    width = np.where(width > 0, width, finite.max(axis=0) - finite.min(axis=0))
    width = np.where(width > 0, width, np.where(nadir != 0, np.abs(nadir), 1.0))
    reference: Array = nadir + margin * width
    return reference


def hypervolume(values: Array, reference: Array) -> float:
    """Volume that a set dominates, up to a reference point; exact.

    Slices along the last objective and recurses.

    Args:
        values: (n, m), to be minimised.
        reference: (m,), worse than what counts; see `reference_point`.

    Returns:
        The volume, in the product of the objectives' units; 0 when no point is better than the reference.

    Cost: O(n log n) in two dimensions, O(n^2) in three, exponential in the number of objectives beyond.
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
        return _area(points, reference)
    ends = np.append(points[1:, -1], reference[-1])
    total = 0.0
    slab = points[:0, :-1]  # what dominates below the present height, by the last but one objective
    for point, start, end in zip(points[:, :-1], points[:, -1], ends, strict=True):
        if not (slab <= point).all(axis=1).any():
            slab = slab[(slab < point).any(axis=1)]
            at = int(np.searchsorted(slab[:, -1], point[-1]))
            slab = np.concatenate([slab[:at], point[None], slab[at:]])
        if end > start:
            total += (end - start) * (_area if slab.shape[1] == 2 else _volume)(slab, reference[:-1])
    return float(total)


def _area(points: Array, reference: Array) -> float:
    """Area of two objectives, of points in ascending order of the second."""
    best = np.minimum.accumulate(points[:, 0])
    heights = np.diff(np.append(points[:, 1], reference[1]))
    return float(((reference[0] - best) * heights).sum())
