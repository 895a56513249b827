"""Conformalised quantile regression with a forest: one fit gives the quantiles and their correction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.models.conformal import RULES, correct, corrections, covered
from luthier.models.forest import Forest, grow

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Ways to get predictions for points without having learnt from them.
CONFORMAL = ("oob", "cross", "split", "none")
FOLDS = 5  # of "cross"
HELD_OUT = 0.1  # share of "split"
FEWEST = 10  # points below which nothing is corrected: fewer scores say less than the forest itself
OUT_OF_BAG = 5  # trees that must not have seen a point for it to give a score


def symmetric_levels(quantiles: int) -> Array:
    """The (q,) levels 1/(q+1), ..., q/(q+1).

    Args:
        quantiles: How many, odd: the median has no partner.

    Raises:
        ArgumentError: the number is even, or not positive.
    """
    quantiles = check("quantiles", quantiles, at_least=1, whole=True)
    if quantiles % 2 == 0:
        raise ArgumentError(
            f"quantiles={quantiles!r}. Allowed: an odd whole number (the median and symmetric pairs around it), "
            f"such as {quantiles + 1}."
        )
    return np.arange(1, quantiles + 1) / (quantiles + 1)


def normal_scores(y: Array) -> Array:
    """Values replaced by the normal quantiles of their ranks; equal values share the mean of their ranks.

    Quantiles keep their meaning under any increasing transformation, and what is chosen by comparing them does not
    depend on it, but the fit and the correction do: on this scale one diverged loss of 1e7 weighs no more than a
    merely bad one, and a proposal is the same for every increasing change of the metric's unit.

    Args:
        y: (n,) finite values, n >= 1.

    Returns:
        (n,) standard normal quantiles at rank / (n + 1).
    """
    from scipy.special import ndtri

    _, place, count = np.unique(y, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    scores: Array = ndtri(rank[place] / (len(y) + 1.0))
    return scores


@dataclass(frozen=True)
class QuantileModel:
    """A fitted model: predicts quantiles at given levels.

    Args:
        levels: (q,) symmetric, ascending.
        forest: Gives draws from the predictive law.
        y: (n,) values of the forest's training rows.
        widenings: (q // 2,) conformal correction of each pair, outermost first; 0 for none.
        raw_coverage: (q // 2,) share of points inside their uncorrected band, predicted without them; NaN if unknown.
        coverage: (q // 2,) the same for bands corrected with the other half of the points; NaN if unknown.
    """

    levels: Array
    forest: Forest
    y: Array
    widenings: Array
    raw_coverage: Array
    coverage: Array

    def predict(self, X: Array) -> Array:
        """Corrected quantiles; (m, p) -> (m, q), ascending in each row."""
        return correct(_quantiles(self.y[self.forest.members(X)], self.levels), self.widenings)


def fit_quantiles(
    X: Array,
    y: Array,
    rng: np.random.Generator,
    *,
    quantiles: int = 5,
    conformal: str = "oob",
    rule: str = "weibull",
    trees: int = 64,
    leaf: int = 1,
    groups: Rows | None = None,
) -> QuantileModel:
    """Fit conformalised quantile regression.

    The scores of the correction come from predictions for points that were not learnt from:

    - "oob": by the trees whose subsample left a point out. One fit, no data lost.
    - "cross": by forests fitted on four fifths of the points, scores of the five folds pooled; 6 fits.
    - "split": by one forest fitted on nine tenths, for the rest; the published way.
    - "none": no correction.

    Below 10 points nothing is corrected. Where points come in groups, such as one trial's results at several resources,
    a group is left out as a whole, and folds take the place of "oob": trees that have not seen a point have seen its
    group.

    Args:
        X: (n, p) features, finite.
        y: (n,) values, finite, n >= 1; on a scale where distances mean something, such as `normal_scores`.
        rng: Decides trees and folds.
        quantiles: How many levels, odd.
        conformal: One of `CONFORMAL`.
        rule: One of `conformal.RULES`.
        trees: How many.
        leaf: Fewest rows in a leaf.
        groups: (n,) number of each point's group, from 0; None: each is its own.

    Returns:
        The model.

    Raises:
        ArgumentError: an argument is out of range.

    Source: Romano, Patterson, Candes 2019; cross-conformal: Vovk 2015; out-of-bag scores: Johansson et al. 2014.
    Differs: see `forest.grow`; the level of the correction is `conformal.score_quantile`'s "weibull".
    Cost: one forest for "oob", "split" and "none", six for "cross".
    """
    levels = symmetric_levels(quantiles)
    quantiles = len(levels)
    check("conformal", conformal, one_of=CONFORMAL)
    check("level", rule, one_of=RULES)
    trees = check("trees", trees, at_least=1, whole=True)
    leaf = check("leaf", leaf, at_least=1, whole=True)
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    group = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(group.max(initial=-1)) + 1
    if count < FEWEST:
        conformal = "none"
    elif groups is not None and conformal == "oob":
        conformal = "cross"

    def fit(rows: Rows) -> tuple[Forest, Array]:
        return grow(X[rows], y[rows], rng, trees=trees, leaf=leaf), y[rows]

    held = np.zeros(len(y), dtype=bool)  # points that are never learnt from
    if conformal == "split":
        held = rng.permutation(count)[group] < np.ceil(HELD_OUT * count)
    forest, learnt = fit(np.flatnonzero(~held))
    of = np.arange(len(y))  # points that give scores, and quantiles predicted for them without having learnt them
    if conformal == "oob":
        apart, of = _out_of_bag(forest, X, y, levels)
    elif conformal == "cross":
        fold = rng.permutation(count)[group] % FOLDS
        apart = np.empty((len(y), quantiles))
        for i in range(FOLDS):
            part, values = fit(np.flatnonzero(fold != i))
            apart[fold == i] = _quantiles(values[part.members(X[fold == i])], levels)
    else:
        of = np.flatnonzero(held)
        apart = _quantiles(learnt[forest.members(X[of])], levels)
    widenings = corrections(levels, apart, y[of], rule)
    half = np.arange(len(of)) % 2 if groups is None else group[of] % 2
    return QuantileModel(levels, forest, learnt, widenings, *coverages(levels, apart, y[of], rule, half == 0))


def _quantiles(draws: Array, levels: Array) -> Array:
    """Empirical quantiles of the trees' draws, interpolated; (trees, m) -> (m, q)."""
    draws = np.sort(draws, axis=0)
    position = levels * (len(draws) - 1)
    below = position.astype(np.intp)
    above = np.minimum(below + 1, len(draws) - 1)
    part = (position - below)[:, None]
    found: Array = (draws[below] * (1.0 - part) + draws[above] * part).T
    return found


def _out_of_bag(forest: Forest, X: Array, y: Array, levels: Array) -> tuple[Array, Rows]:
    """Quantiles for training points by the trees that did not see them, and which points have trees enough."""
    draws = np.sort(np.where(forest.inside, np.inf, y[forest.members(X)]), axis=0)  # (trees, n), unseen first
    count = np.count_nonzero(~forest.inside, axis=0)
    of = np.flatnonzero(count >= OUT_OF_BAG)
    position = levels[:, None] * (count[of] - 1)  # (q, len(of))
    below = position.astype(np.intp)
    above = np.minimum(below + 1, count[of] - 1)
    part = position - below
    found: Array = (draws[below, of] * (1.0 - part) + draws[above, of] * part).T
    return found, of


def coverages(levels: Array, apart: Array, y: Array, rule: str, half: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Coverage without correction, and with one half's correction on the other half.

    Args:
        levels: (q,) symmetric, ascending.
        apart: (n, q) quantiles predicted for points that were not learnt from.
        y: (n,) their values.
        rule: One of `conformal.RULES`.
        half: (n,) which points belong to the first half.

    Returns:
        Two arrays (q // 2,), outermost pair first; NaN below 10 points.
    """
    if len(y) < FEWEST or half.all() or not half.any():
        unknown = np.full(len(levels) // 2, np.nan)
        return unknown, unknown
    halves = [
        covered(levels, correct(apart[here], corrections(levels, apart[~here], y[~here], rule)), y[here])
        for here in (half, ~half)
    ]
    return covered(levels, apart, y), np.average(halves, axis=0, weights=(half.sum(), (~half).sum()))
