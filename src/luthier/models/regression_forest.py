"""A forest as a normal prediction: a mean and a standard deviation from what trees and leaves say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.models.forest import MOST_ROWS, Forest, grow

Array = NDArray[np.float64]

#: Least standard deviation, for values of unit spread: where all trees agree the prediction is nearly certain, and
#: logarithms of an acquisition stay finite.
FLOOR = 1e-3


@dataclass(frozen=True)
class RegressionForest:
    """A fitted forest with the mean and the variance of the values in each leaf.

    Args:
        forest: The trees.
        mean: (nodes,) mean of the values of the training rows in a leaf; 0 for inner nodes.
        variance: (nodes,) their variance, divided by their number.
    """

    forest: Forest
    mean: Array
    variance: Array

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation; (m, p) -> (m,), (m,).

        The mean is that of the trees' leaf means; the variance is the variance of these plus the mean of the leaves'
        variances, by the law of total variance with a tree drawn at random.
        """
        leaves = self.forest.leaves(X)
        means = self.mean[leaves]
        spread = means.var(axis=0) + self.variance[leaves].mean(axis=0)
        return means.mean(axis=0), np.sqrt(np.maximum(spread, FLOOR**2))

    def means(self, X: Array) -> Array:
        """Leaf mean of each tree; (m, p) -> (trees, m)."""
        found: Array = self.mean[self.forest.leaves(X)]
        return found

    def draw(self, X: Array, weights: Array) -> Array:
        """Values of a function drawn from the normal process that has the trees' mean and covariance.

        A single tree never leaves the range of the values it has seen, so its minimum lies in the box of the best of
        them; this draw has the same mean and covariance, and does.

        Args:
            X: (m, p) features.
            weights: (trees,) standard normal; equal weights give the same function.

        Returns:
            (m,) mean + sum over trees of weight * (tree - mean) / sqrt(trees).
        """
        means = self.means(X)
        mean = means.mean(axis=0)
        found: Array = mean + weights @ (means - mean) / np.sqrt(len(means))
        return found


def fit_forest(
    X: Array,
    y: Array,
    rng: np.random.Generator,
    *,
    trees: int,
    leaf: int = 1,
    share: float = 1.0,
    most: int = MOST_ROWS,
) -> RegressionForest:
    """Fit a regression forest.

    Args:
        X: (n, p) features, finite.
        y: (n,) values, finite, of about unit spread (see `FLOOR`).
        rng: Decides subsamples and thresholds.
        trees: How many.
        leaf: Fewest rows in a leaf.
        share: Share of the rows that a tree sees. With all of them and single leaves every tree goes through every
            point, so that the standard deviation is least there and grows with the distance; trees differ by their
            thresholds.
        most: Most rows that a tree sees.

    Returns:
        The forest.

    Source: variance: Hutter, Xu, Hoos, Leyton-Brown 2014; trees: Geurts, Ernst, Wehenkel 2006.
    Differs: see `forest.grow`.
    Cost: that of `forest.grow`, and one walk of the training rows.
    """
    forest = grow(X, y, rng, trees=trees, leaf=leaf, share=share, most=most)
    leaves = forest.leaves(X)
    inside = forest.inside
    at, values = leaves[inside], np.broadcast_to(y, leaves.shape)[inside]
    nodes = len(forest.child)
    count = np.maximum(np.bincount(at, minlength=nodes), 1)
    mean = np.bincount(at, values, minlength=nodes) / count
    variance = np.bincount(at, (values - mean[at]) ** 2, minlength=nodes) / count
    return RegressionForest(forest, mean, variance)


def roughness(X: Array, y: Array, mean: Array) -> float:
    """How much neighbours differ where it is good: the noise, when points lie close.

    Args:
        X: (n, p) features, n >= 2.
        y: (n,) values.
        mean: (n,) what a model predicts for them; says which are good. Chosen by their own values, the lucky ones
            would be compared with what is no neighbour of them.

    Returns:
        Standard deviation of a value, from the median difference between each point of the better third and its
        nearest neighbour, divided by the distance from the median of all values to the third lowest; 0 when that is 0.
        The two lowest may be lucky draws, and would then hide the noise.

    Source: our own; differences between neighbours: Rice 1984.
    Cost: O(n p log n).
    """
    from scipy.spatial import cKDTree

    good = np.argsort(mean, kind="stable")[: max(len(y) // 3, 5)]
    _, near = cKDTree(X).query(X[good], k=2, p=1)
    neighbour = np.where(near[:, 0] == good, near[:, 1], near[:, 0])
    width = float(np.median(y) - np.sort(y)[min(2, len(y) - 1)])
    if not width > 0.0:
        return 0.0
    # half the variance of a difference; 0.6745: the median of a standard normal's absolute value
    return float(np.median(np.abs(y[good] / width - y[neighbour] / width)) / (0.6745 * np.sqrt(2.0)))
