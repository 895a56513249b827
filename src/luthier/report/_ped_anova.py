"""PED-ANOVA: how differently the best trials are spread along each hyperparameter than all trials are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.report._results import Results
from luthier.space.values import Array

Ints = NDArray[np.integer[Any]]

#: Share of the trials that counts as the best: the paper's and Optuna's.
TOP = 0.1
#: ... and at least this many, or one trial would decide.
LEAST_TOP = 5
#: Cells of a number's axis: Optuna's; finer ones change nothing that kernels of this width show.
CELLS = 50
#: Resamples for the intervals, and as many permutations for the level of chance: 5 % is then the fifth of a hundred.
DRAWS = 100


@dataclass(frozen=True)
class Shares:
    """Shares of hyperparameters, in the order of the space's columns.

    Args:
        share: (d,) shares of the variance, as the method defines it.
        low: (d,) lower ends of the intervals.
        high: (d,) upper ends.
        chance: (d,) what a hyperparameter without any influence would reach in one of twenty studies; NaN where
            a method does not tell.
    """

    share: Array
    low: Array
    high: Array
    chance: Array


def ped_anova(results: Results, rng: np.random.Generator, *, top: float = TOP, draws: int = DRAWS) -> Shares:
    """Shares of the variance of "is among the best".

    Let b be 1 for the best share g of the trials and 0 for the others. The variance of b's mean along hyperparameter
    j is g^2 PE(p_j || q_j), where p_j is the law of j among the best, q_j that among all trials, and
    PE = sum of q (p / q - 1)^2 over cells. The share of j is this variance over the sum of all.

    Args:
        results: n >= 10 results that are not all equal.
        rng: Draws resamples and permutations.
        top: Share of the trials that are the best, in (0, 1).
        draws: Resamples of the trials for intervals (5 to 95 %), and permutations for the level of chance.

    Returns:
        Shares that sum to 1 over the d columns of the space.

    Source: Watanabe, Bansal, Hutter 2023, the closed form of the local importance with q from all trials.
    Differs: a hyperparameter that is active in a share a of the trials is judged among those, and its variance counts
        a-fold (for a = 1 that is the paper's); both laws share the bandwidth of the best trials, so that equal laws
        differ by their samples alone; one uniform trial is added to each law; trials tied at the edge of the best
        share the places left; intervals and the level of chance are ours.
    Cost: O(draws * n * d * cells).
    """
    n, d = results.rows.shape
    wanted = min(max(math.ceil(top * n), LEAST_TOP), n - 1)
    _, group = np.unique(results.values, return_inverse=True)
    everyone = np.ones((1, n))
    again = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(float)
    best = best_weights(group, everyone, wanted)
    shuffled = np.stack([rng.permutation(best[0]) for _ in range(draws)])
    found, drawn, null = np.zeros(d), np.zeros((draws, d)), np.zeros((draws, d))
    for j in range(d):
        kernels = _kernels(results, j, best[0])
        found[j] = _variance(kernels, best, everyone)[0]
        drawn[:, j] = _variance(kernels, best_weights(group, again, wanted), again)
        null[:, j] = _variance(kernels, shuffled, np.ones((draws, n)))
    total = float(found.sum())
    sums = drawn.sum(axis=1, keepdims=True)
    parts = np.divide(drawn, sums, out=np.zeros_like(drawn), where=sums > 0)
    share = found / total if total > 0 else found
    low, high = np.quantile(parts, [0.05, 0.95], axis=0)
    chance = np.quantile(null, 0.95, axis=0) / total if total > 0 else np.zeros(d)
    return Shares(share, np.minimum(low, share), np.maximum(high, share), chance)


def best_weights(group: Ints, weights: Array, wanted: int) -> Array:
    """How far each trial belongs to the best `wanted`; ties at the edge share what is left.

    Args:
        group: (n,) rank of each trial's value, equal for equal values, 0 for the lowest.
        weights: (b, n) how often each trial counts.
        wanted: How many are the best.

    Returns:
        (b, n) weights that sum to `wanted` in each row.
    """
    size = np.zeros((len(weights), int(group.max()) + 1))
    for row, counts in zip(size, weights, strict=True):
        row += np.bincount(group, counts, minlength=size.shape[1])
    before = np.cumsum(size, axis=1) - size
    part = np.clip(np.divide(wanted - before, size, out=np.zeros_like(size), where=size > 0), 0.0, 1.0)
    return np.asarray(weights * part[:, group])


def _kernels(results: Results, j: int, best: Array) -> Array:
    """Mass that each trial lays on each cell of a hyperparameter, 0 where it is not active; (n, cells)."""
    codes, on = results.rows[:, j], results.active[:, j]
    levels, kind = results.space.levels[j], results.space.kinds[j]
    if kind in ("choice", "ordinal") or 0 < levels <= CELLS // 4:
        cells = max(1, levels)
        place = np.minimum((codes * cells).astype(np.intp), cells - 1)
        found = (place[:, None] == np.arange(cells)).astype(float)
    else:
        edges = np.linspace(0.0, 1.0, CELLS + 1)
        width = _bandwidth(codes[on], best[on])
        mass = np.diff(_normal((edges - codes[:, None]) / width), axis=1)
        found = mass / mass.sum(axis=1, keepdims=True)
    return np.asarray(found * on[:, None])


def _bandwidth(codes: Array, best: Array) -> float:
    """Scott's rule for the best trials, at least half a cell."""
    count = float(best.sum())
    if count < 2.0:
        return 0.1
    mean = float((best @ codes) / count)
    spread = math.sqrt(float(best @ (codes - mean) ** 2) / count)
    return float(max(1.059 * spread * count**-0.2, 0.5 / CELLS))


def _normal(z: Array) -> Array:
    from scipy.special import ndtr

    found: Array = ndtr(z)
    return found


def _variance(kernels: Array, best: Array, everyone: Array) -> Array:
    """Variance of the mean of "is among the best" along one hyperparameter; one value for each row of weights."""
    cells = kernels.shape[1]
    on = kernels.sum(axis=1) > 0
    inside, top = everyone @ on, best @ on
    p = (best @ kernels + 1.0 / cells) / (top + 1.0)[:, None]
    q = (everyone @ kernels + 1.0 / cells) / (inside + 1.0)[:, None]
    divergence = np.sum((p - q) ** 2 / q, axis=1)
    rate = np.divide(top, inside, out=np.zeros_like(top), where=inside > 0)
    found: Array = inside / everyone.sum(axis=1) * rate**2 * divergence
    return found
