"""Labels of density-ratio estimation: which values are among the best, and how much each counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]

#: What a classifier of labelled points estimates: the probability of improvement, or the expected improvement.
ACQUISITIONS = ("pi", "ei")
MOSTLY = 0.5  # share of failures above which the threshold is taken from the other values alone
TIED = 2.0  # so many times more values than asked for come from ties: those at the threshold are left out
MOST = 2000  # rows beyond which class 0 is thinned out: what is known about it by then changes little


class Labels(NamedTuple):
    """Soft labels: a row belongs to class 1 to the extent of its target, and counts with its weight.

    Args:
        target: (n,) in [0, 1].
        weight: (n,) > 0.
    """

    target: Array
    weight: Array


def best_share(y: Array, gamma: float, *, failed: Mask | None = None, among: Mask | None = None) -> Mask:
    """Which values are among the best `gamma`: y <= their gamma-quantile.

    The quantile is numpy's, which interpolates. What is not above it is not above the largest value below it either,
    so only the order of the values matters. When ties put more than twice as many values into the best share as were
    asked for (and more than two), those equal to the threshold are left out, unless nothing would be left. Failures
    are never among the best; the quantile counts them as the worst, unless they are more than half.

    Args:
        y: (n,) values, less is better, finite.
        gamma: Share, in (0, 1).
        failed: (n,) which are failures; none by default.
        among: (n,) values that the quantile is taken of, such as the feasible ones; all by default.

    Returns:
        (n,) whether each is among the best; none when the quantile would be that of failures alone.

    Raises:
        ArgumentError: gamma is out of range.

    Source: Tiao et al. 2021, section 3.
    Differs: ties and failures, which the paper leaves open.
    Cost: O(n log n).
    """
    check("gamma", gamma, above=0, below=1)
    failed = np.zeros(len(y), dtype=bool) if failed is None else failed
    counted = _counted(np.where(failed, np.inf, y), failed, among)
    if not np.isfinite(counted).any():
        return np.zeros(len(y), dtype=bool)
    threshold = np.sort(counted)[int(gamma * (len(counted) - 1))]
    best: Mask = (y <= threshold) & ~failed
    below: Mask = (y < threshold) & ~failed
    tied = np.count_nonzero(counted <= threshold) > TIED * gamma * len(counted)
    return below if tied and below.any() else best


def label(
    y: Array, gamma: float, *, acquisition: str = "pi", failed: Mask | None = None, among: Mask | None = None
) -> Labels:
    """Labels of values.

    "pi": the best share is class 1, the rest class 0, all with weight 1. A calibrated classifier then gives the
    probability to be below the threshold.

    "ei": each value is class 0 with weight 1, and each of the best is class 1 besides, with its improvement
    u = threshold - y as weight, scaled to mean 1. A calibrated classifier then gives u / (1 + u), with the expected
    improvement for u. Both at once are one soft label: target u / (1 + u), weight 1 + u.

    Args:
        y: (n,) values, less is better, finite.
        gamma: Share that is best, in (0, 1).
        acquisition: One of `ACQUISITIONS`.
        failed: (n,) which are failures; none by default.
        among: (n,) values that the threshold is taken from; all by default.

    Returns:
        The labels; targets are all 0 when all failed.

    Raises:
        ArgumentError: gamma is out of range, or no such acquisition.

    Source: "pi": Tiao et al. 2021, section 3. "ei": Song, Yu, Neiswanger, Ermon 2022 (LFBO), with the improvement as
        utility.
    Differs: see `best_share`; u has mean 1 over what is below the threshold.
    Cost: O(n log n).
    """
    check("acquisition", acquisition, one_of=ACQUISITIONS)
    failed = np.zeros(len(y), dtype=bool) if failed is None else failed
    best = best_share(y, gamma, failed=failed, among=among)
    if acquisition == "pi" or not best.any():
        return Labels(best.astype(float), np.ones(len(y)))
    gain = _improvement(y, best, gamma, failed, among)
    return Labels(gain / (1.0 + gain), 1.0 + gain)


def _counted(y: Array, failed: Mask, among: Mask | None) -> Array:
    """The values that the quantile is taken of."""
    among = np.ones(len(y), dtype=bool) if among is None else among
    return y[among & ~failed] if failed[among].mean() > MOSTLY else y[among]


def _improvement(y: Array, best: Mask, gamma: float, failed: Mask, among: Mask | None) -> Array:
    """How far the best are below the gamma-quantile, with mean 1 over those that are below it at all."""
    y = y / max(float(np.abs(y).max()), 1e-300)  # so that differences of huge values stay finite
    worst = np.where(failed, y[~failed].max(), y)
    threshold = np.quantile(_counted(worst, failed, among), gamma)
    gain = np.where(best, np.maximum(threshold - y, 0.0), 0.0)
    if not gain.any():  # all of the best lie at the threshold
        return best.astype(float)
    scaled: Array = gain / gain[gain > 0].mean()
    return scaled


def thin(labels: Labels, rng: np.random.Generator, most: int = MOST) -> tuple[Ints, Labels]:
    """Leave out rows of class 0 where there are many; those that stay weigh more.

    Args:
        labels: Of n rows, (n,) targets and weights.
        rng: Decides which ones stay.
        most: Rows to keep. Class 1 stays whole, and as many of class 0 at least.

    Returns:
        (k,) numbers of the rows that stay, ascending, and their labels.
    """
    other = np.flatnonzero(labels.target == 0)
    ones = len(labels.target) - len(other)
    kept = max(most - ones, ones)
    if kept >= len(other):
        return np.arange(len(labels.target)), labels
    weight = labels.weight.copy()
    weight[other] *= len(other) / kept
    left_out = rng.permutation(other)[kept:]
    rows = np.delete(np.arange(len(weight)), left_out)
    return rows, Labels(labels.target[rows], weight[rows])
