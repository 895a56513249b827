"""Conformal correction: make predicted bands cover what they promise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check

Array = NDArray[np.float64]

#: Rules for the order statistic of the scores; see `score_quantile`.
RULES = ("weibull", "split", "reference")


def band_scores(lower: Array, upper: Array, y: Array) -> Array:
    """How far each value lies outside its band; negative inside, by the distance to the nearer edge.

    Args:
        lower: (n,) lower edges, predicted without these values.
        upper: (n,) upper edges.
        y: (n,) values.

    Returns:
        (n,) scores max(lower - y, y - upper), in the unit of the values.

    Source: Romano, Patterson, Candes 2019 (conformalized quantile regression), equation 6.
    """
    scores: Array = np.maximum(lower - y, y - upper)
    return scores


def score_quantile(scores: Array, coverage: float, rule: str = "weibull") -> float:
    """The amount by which a band is widened (shrunk, if negative) to cover a share of values.

    With n scores and coverage c:

    - "weibull": position c (n + 1) among the sorted scores, interpolated; its expected coverage is c itself.
    - "split": the ceil(c (n + 1))-th smallest, the textbook rule; never less than c in expectation, more for small n.
    - "reference": the quantile at c / (1 + 1/n), as a known implementation has it; too small, kept to reproduce.

    Positions beyond the last score mean the largest score.

    Args:
        scores: (n,) at least one.
        coverage: Share of values to be covered, in (0, 1).
        rule: One of `RULES`.

    Returns:
        The amount, in the unit of the scores.

    Raises:
        ArgumentError: no such rule.
    """
    check("level", rule, one_of=RULES)
    n = len(scores)
    if rule == "reference":
        return float(np.quantile(scores, coverage / (1.0 + 1.0 / n)))
    if rule == "split":
        place = min(math.ceil((n + 1) * coverage - 1e-9), n)  # 0.6 * 5 is a little more than 3 in floating point
        return float(np.sort(scores)[place - 1])
    return float(np.quantile(scores, coverage, method="weibull"))


def corrections(levels: Array, predicted: Array, y: Array, rule: str = "weibull") -> Array:
    """Widenings of all symmetric pairs of quantiles.

    Args:
        levels: (q,) symmetric, ascending, odd in number.
        predicted: (n, q) quantiles predicted without the values they are compared with, ascending in each row.
        y: (n,) values.
        rule: One of `RULES`.

    Returns:
        (q // 2,) widenings, outermost pair first; zeros without values.
    """
    pairs = len(levels) // 2
    if not len(y):
        return np.zeros(pairs)
    found = [
        score_quantile(band_scores(predicted[:, j], predicted[:, -1 - j], y), 1.0 - 2.0 * levels[j], rule)
        for j in range(pairs)
    ]
    return np.array(found)


def widen(predicted: Array, widenings: Array) -> Array:
    """Predicted quantiles moved outwards pair by pair, the median untouched; see `correct`. (n, q) -> (n, q)."""
    shift = np.concatenate([-widenings, [0.0], widenings[::-1]])
    found: Array = predicted + shift
    return found


def correct(predicted: Array, widenings: Array) -> Array:
    """Predicted quantiles moved outwards pair by pair, the median untouched, and sorted again.

    Args:
        predicted: (n, q) quantiles, ascending in each row.
        widenings: (q // 2,) outermost pair first.

    Returns:
        (n, q), ascending in each row. Sorting never increases the pinball loss summed over levels.
    """
    return np.sort(widen(predicted, widenings), axis=1)


def covered(levels: Array, predicted: Array, y: Array) -> Array:
    """Share of values inside each pair's band; (q // 2,), outermost first.

    Args:
        levels: (q,) symmetric.
        predicted: (n, q) quantiles.
        y: (n,) values, n >= 1.
    """
    pairs = len(levels) // 2
    return np.array([np.mean(band_scores(predicted[:, j], predicted[:, -1 - j], y) <= 0.0) for j in range(pairs)])
