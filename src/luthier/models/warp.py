"""Output warping: values on a scale on which a Gaussian process can believe them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.models.quantile import normal_scores

Array = NDArray[np.float64]

#: Ways to warp; see `warp_values`.
WARPS = ("standard", "half-rank", "power", "rank")


def warp_values(y: Array, how: str = "half-rank", counted: NDArray[np.bool_] | None = None) -> Array:
    """Values with mean 0 and variance 1, in the same order.

    - "standard": shifted and scaled.
    - "half-rank": values worse than the median are replaced by what their rank would have in a normal distribution with
      the median and spread of the better half. One diverged loss of 1e7 then stands just above the bad ones.
    - "power": the Yeo-Johnson transformation of highest likelihood.
    - "rank": normal scores of the ranks; distances are lost, also among the best.

    Args:
        y: (n,) finite values, to be minimised, n >= 1.
        how: One of `WARPS`.
        counted: (n,) the values whose median divides the better half from the worse ("half-rank"), such as feasible
            ones; None: all.

    Returns:
        (n,) warped values; zeros when all are equal.

    Source: half-rank: Song et al. 2024 (the Gaussian process bandit of Vizier); power: Cowen-Rivers et al. 2022 (HEBO).
    """
    check("warp", how, one_of=WARPS)
    y = np.asarray(y, dtype=float)
    if y.max() == y.min():
        return np.zeros(len(y))
    y = y / np.abs(y).max()  # squares of the largest numbers would overflow
    counted = np.ones(len(y), dtype=bool) if counted is None or not counted.any() else counted
    if how == "half-rank":
        y = _half_rank(y, counted)
    elif how == "rank":
        y = normal_scores(y)
    elif how == "power":
        y = _power(_standard(_half_rank(y, counted)))
    return _standard(y)


def _standard(y: Array) -> Array:
    apart = y - y.mean()
    spread = _spread(apart)
    found: Array = apart / (spread if spread > 0.0 else 1.0)
    return found


def _spread(apart: Array) -> float:
    """Root of the mean square, also where squares would vanish: beside a loss of 1e200 good ones are some 1e-200."""
    unit = float(np.ldexp(1.0, np.frexp(np.abs(apart).max())[1]))  # a power of two: no digit changes
    return unit * float(np.sqrt(np.mean((apart / unit) ** 2)))


def _half_rank(y: Array, counted: NDArray[np.bool_]) -> Array:
    from scipy.special import ndtri

    median = float(np.median(y[counted]))
    good = y[y <= median]
    spread = _spread(good - median)
    if spread == 0.0:  # half of all values are equal
        spread = 1.0
    found = y.copy()
    bad = y > median
    _, place, count = np.unique(y[bad], return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[place]
    # the worse half of a normal distribution, whatever share of the values is worse
    found[bad] = median + spread * ndtri(0.5 + 0.5 * (rank - 0.5) / max(int(bad.sum()), 1))
    return found


def _power(y: Array) -> Array:
    from scipy.stats import yeojohnson

    try:
        found: Array = np.asarray(yeojohnson(y)[0])
    except (ValueError, RuntimeError, FloatingPointError):  # the likelihood has no finite maximum
        return y
    return found if np.isfinite(found).all() and found.std() > 0 else y
