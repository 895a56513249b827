"""Two methods on one task, over seeds: permutation of paired runs, Cliff's delta. Such a claim ends at that task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, check_finite

_DRAWS = 10_000  # sign patterns where there are too many to try them all
_ALL = 13  # pairs up to which all 2^n sign patterns are tried


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """P(A > B) - P(A < B) over all pairs of runs, in [-1, 1]; smaller is better, so below zero speaks for A.

    Source: Cliff 1993.
    """
    first, second = np.asarray(a, dtype=float), np.sort(np.asarray(b, dtype=float))
    above = np.searchsorted(second, first, side="left").sum()
    below = len(second) * len(first) - np.searchsorted(second, first, side="right").sum()
    return float(above - below) / (len(first) * len(second))


def permutation(differences: ArrayLike, *, draws: int = _DRAWS, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of paired runs when each pair may as well be the other way round.

    All sign patterns are tried up to 13 pairs, else `draws` random ones (and the one observed).

    Args:
        differences: (n,) A minus B for each paired seed, or for each task.
        draws: Random sign patterns.
        seed: Decides them.
    """
    gap = np.asarray(differences, dtype=float)
    if gap.ndim != 1 or not len(gap):
        raise ArgumentError(f"permutation: shape {gap.shape}. Allowed: (n,) differences, n at least 1.")
    check_finite(gap, what="permutation")
    signs = _signs(len(gap), draws, seed)
    found = np.abs(signs @ gap)
    reached = int((found >= abs(gap.sum()) * (1 - 1e-12)).sum())
    return reached / len(signs) if len(gap) <= _ALL else (1 + reached) / (1 + len(signs))


class MaxStatistic(NamedTuple):
    """A permutation test at many moments at once.

    Args:
        p: (points,) p-values, adjusted for all points being looked at.
        threshold: Size of a standardised mean difference that one point in the whole curve exceeds in 5 % of studies
            in which nothing differs.
        statistic: (points,) standardised mean differences observed.
    """

    p: Array
    threshold: float
    statistic: Array


def max_statistic(differences: ArrayLike, *, level: float = 0.05, draws: int = _DRAWS, seed: int = 0) -> MaxStatistic:
    """Where along a curve do two methods differ, with the error of the whole curve held at `level`?

    Testing each of 20 checkpoints and reporting any that is significant errs in about a quarter of studies; here the
    largest statistic of each sign pattern is what an observed one has to exceed.

    Args:
        differences: (tasks, points), one curve of A minus B for each task.
        level: Of the error over the whole curve.
        draws: Random sign patterns.
        seed: Decides them.

    Source: Westfall and Young 1993, single step.
    """
    check("level", level, above=0, below=1)
    gap = np.asarray(differences, dtype=float)
    if gap.ndim != 2 or len(gap) < 2:
        raise ArgumentError(f"max_statistic: shape {gap.shape}. Allowed: (tasks, points), two tasks or more.")
    check_finite(gap, what="max_statistic")
    spread = np.sqrt((gap**2).sum(axis=0))  # of the sum when signs are random: no sign changes it
    scale = np.where(spread > 0, spread, 1.0)
    signs = _signs(len(gap), draws, seed)
    highest = np.abs(signs @ gap / scale).max(axis=1)
    observed = gap.sum(axis=0) / scale
    reached = (highest[:, None] >= np.abs(observed) * (1 - 1e-12)).sum(axis=0)
    p = reached / len(signs) if len(gap) <= _ALL else (1 + reached) / (1 + len(signs))
    return MaxStatistic(np.asarray(p), float(np.quantile(highest, 1 - level)), np.asarray(observed))


def _signs(n: int, draws: int, seed: int) -> Array:
    """Sign patterns, (patterns, n)."""
    if n <= _ALL:
        return np.asarray(1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1), dtype=float)
    return np.asarray(np.random.default_rng(seed).integers(2, size=(draws, n)) * 2.0 - 1.0)
