"""fANOVA: how much of the variance of a model over the whole space each hyperparameter explains by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from luthier.report._ped_anova import Shares
from luthier.report._surrogate import Landscape
from luthier.space.values import Array

#: Points along a hyperparameter, and along each of two.
POINTS, PAIR_POINTS = 16, 8
#: Hyperparameters of which pairs are looked at: with four there are six pairs.
PAIRED = 4


def fanova(land: Landscape) -> Shares:
    """Shares of the variance of the forest's function over the space.

    For each tree: the variance of its mean along hyperparameter j, all others averaged out, over its variance on the
    whole space. What is missing to 1 belongs to interactions.

    Args:
        land: The forest's means.

    Returns:
        (d,) means over the trees; the intervals are the middle 80 % of the trees, each of which has seen another 63 %
        of the results.

    Source: Hutter, Hoos, Leyton-Brown 2014, main effects.
    Differs: averages over draws from the space in place of volumes of leaves, so that priors, conditions and forbidden
        combinations need no other formula; a conditional hyperparameter is judged where it is active, and counts by
        the share of the space in which it is; extremely randomised trees.
    Cost: O(trees * d * points * background * depth).
    """
    d = land.space.dimensions
    variance = land.whole.var(axis=1)
    parts = np.stack([_main(land, j, POINTS) for j in range(d)], axis=1)  # (trees, d)
    able = variance > 0
    shares = parts[able] / variance[able, None] if able.any() else np.zeros((1, d))
    shares = np.minimum(shares, 1.0)
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    share = shares.mean(axis=0)
    return Shares(share, np.minimum(low, share), np.maximum(high, share), np.full(d, np.nan))


def interactions(land: Landscape, columns: Sequence[int]) -> list[tuple[int, int, float]]:
    """What pairs of hyperparameters explain beyond what each explains by itself.

    Args:
        land: The forest's means.
        columns: Which hyperparameters; pairs of the first `PAIRED` are looked at.

    Returns:
        (first, second, share of the variance) for each pair, the largest first.
    """
    variance = float(np.mean(land.whole.var(axis=1)))
    found = []
    for i, j in combinations(sorted(columns[:PAIRED]), 2):
        grids = [land.grid(i, PAIR_POINTS), land.grid(j, PAIR_POINTS)]
        means, active = land.means((i, j), grids, background=64)
        more = active * _beyond(means.reshape(-1, len(grids[0]), len(grids[1]))) if active else 0.0
        found.append((i, j, more / variance if variance > 0 else 0.0))
    return sorted(found, key=lambda pair: -pair[2])


def _beyond(table: Array) -> float:
    """Variance of a table beyond what its rows and its columns explain, mean of the trees; (trees, p, q)."""
    known = ~np.isnan(table[0])
    table = table[:, known.any(axis=1)][:, :, known.any(axis=0)]  # values under which the other is never active
    if 0 in table.shape:
        return 0.0
    alone = np.nanmean(table, axis=2).var(axis=1) + np.nanmean(table, axis=1).var(axis=1)
    return float(np.mean(np.maximum(np.nanvar(table, axis=(1, 2)) - alone, 0.0)))


def _main(land: Landscape, j: int, points: int) -> Array:
    means, active = land.means((j,), [land.grid(j, points)])
    able = ~np.isnan(means[0])
    if active == 0.0 or able.sum() < 2:
        return np.zeros(len(means))
    found: Array = active * means[:, able].var(axis=1)
    return found
