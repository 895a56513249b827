"""A forest over a study's results, and its means along hyperparameters: what fANOVA, ablation and contours ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.models.regression_forest import RegressionForest, fit_forest
from luthier.report._results import Results
from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: Trees: the original's 16 gave shares that moved by several points between seeds, 64 by one (200 results, 6 columns).
TREES = 64
#: What an inactive number is set to: below every active one, so that one split tells them apart.
INACTIVE = -1.0
#: Rows that stand for the rest of the space when one hyperparameter is looked at.
BACKGROUND = 128
#: Rows from which the variance over the whole space is taken: its error is then about 2 % of it.
WHOLE = 4096


@dataclass(frozen=True)
class Surrogate:
    """A forest of the values, in their own unit and to be minimised.

    Args:
        space: The space.
        forest: Fitted on standardised values.
        mean: Mean of the values.
        scale: Their standard deviation.
    """

    space: Space
    forest: RegressionForest
    mean: float
    scale: float

    def each(self, rows: Array) -> Array:
        """What each tree predicts for snapped rows; (m, d) -> (trees, m)."""
        found: Array = self.mean + self.scale * self.forest.means(features(self.space, rows, self.space.active(rows)))
        return found


def fit(results: Results, rng: np.random.Generator, *, trees: int = TREES) -> Surrogate:
    """Fit a forest to results that are not all equal.

    Each tree sees a random 63 % of the results, so that the trees' disagreement speaks of the sample; leaves may hold
    one result.
    """
    mean, scale = float(results.values.mean()), float(results.values.std())
    X = features(results.space, results.rows, results.active)
    y = (results.values - mean) / scale
    # all results, not the 256 that searchers take: this runs once a page
    forest = fit_forest(X, y, rng, trees=trees, share=1.0 - float(np.exp(-1.0)), most=len(y))
    return Surrogate(results.space, forest, mean, scale)


def features(space: Space, rows: Array, active: Mask) -> Array:
    """Snapped rows for trees: numbers as they are, one column a value for choices of three and more; (n, p)."""
    columns: list[Array] = []
    for j, (kind, levels) in enumerate(zip(space.kinds, space.levels, strict=True)):
        code, on = rows[:, j], active[:, j]
        columns.append(np.where(on, code, INACTIVE)[:, None])
        if kind == "choice" and levels > 2:
            place = np.minimum((code * levels).astype(np.intp), levels - 1)
            columns.append(((place[:, None] == np.arange(levels)) & on[:, None]).astype(float))
    return np.concatenate(columns, axis=1)


class Landscape:
    """Means of a surrogate's trees along hyperparameters, the others drawn from the space's own law.

    Args:
        surrogate: The forest.
        rng: Draws the background.
        background: How many rows stand for the rest of the space.
    """

    def __init__(self, surrogate: Surrogate, rng: np.random.Generator, *, background: int = BACKGROUND) -> None:
        self.surrogate, self.space = surrogate, surrogate.space
        # not settled: a hyperparameter that becomes active when its parent is set has a value of its own
        self._raw = self.space.warp(_spread(background, self.space.dimensions, rng))
        whole = self.space.warp(_spread(WHOLE, self.space.dimensions, rng))
        rows = self.space.snap(whole)
        self.whole = surrogate.each(rows[self.space.allowed(rows)])

    def grid(self, j: int, most: int) -> Array:
        """Positions along a hyperparameter: all its values, or `most` cells of equal probability."""
        levels = self.space.levels[j]
        count = levels if 0 < levels <= most else most
        flat = np.full((count, self.space.dimensions), 0.5)
        flat[:, j] = (np.arange(count) + 0.5) / count
        # the codes of values: what a row must hold to mean them
        found: Array = self.space.warp(flat)[:, j]
        return found

    def means(
        self, columns: Sequence[int], grids: Sequence[Array], *, background: int | None = None
    ) -> tuple[Array, float]:
        """Mean of each tree over the background at each point of a grid, where all `columns` are active.

        Args:
            columns: The hyperparameters that are set.
            grids: Positions of each of them.
            background: How many of the background's rows to take; None: all.

        Returns:
            (trees, points) in the order of `itertools.product`; NaN where nothing is allowed; and the share of the
            background in which the columns are active.
        """
        mesh = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=1)
        rest = self._raw[:background]
        raw = np.repeat(rest[None], len(mesh), axis=0)
        raw[:, :, list(columns)] = mesh[:, None, :]
        flat = raw.reshape(-1, self.space.dimensions)
        rows = self.space.snap(flat)
        kept = self.space.active(flat)[:, list(columns)].all(axis=1)
        share = float(kept.mean())
        kept &= self.space.allowed(rows)
        predicted = np.zeros((len(self.surrogate.forest.forest.inside), len(flat)))
        if kept.any():
            predicted[:, kept] = self.surrogate.each(rows[kept])
        shape = (len(mesh), len(rest))
        count = kept.reshape(shape).sum(axis=1)
        total = predicted.reshape(-1, *shape).sum(axis=2)
        found = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        return found, share


def _spread(n: int, d: int, rng: np.random.Generator) -> Array:
    """A Latin hypercube; (n, d). Each column is filled evenly: no value of a choice is drawn more often by chance."""
    cells = np.stack([rng.permutation(n) for _ in range(d)], axis=1)
    return np.asarray((cells + rng.random((n, d))) / n)
