"""Classifiers that rank points by how likely they are among the best; each is an ensemble that knows what it saw."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.models.forest import MOST_ROWS, SHARE, Forest, grow
from luthier.models.labels import Labels

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Our own forest, boosted trees of scikit-learn, small neural networks (extra "torch").
CLASSIFIERS = ("rf", "gbt", "mlp")
TREES = 8  # 16, 32 and 64 were no better on development tasks: few trees disagree more, which explores
LEAF = 2  # 3 was no better on tables; 1 needs deeper trees, and its leaves know one value each


class Classifier(ABC):
    """A fitted ensemble; every member has seen a part of the training rows.

    Attributes:
        inside: (members, n) which training rows each member has seen.
    """

    inside: Mask

    @abstractmethod
    def votes(self, X: Array) -> Array:
        """What each member says about each row, more for class 1; (m, p) -> (members, m)."""

    def score(self, X: Array) -> Array:
        """Mean over members, more for class 1; (m, p) -> (m,)."""
        found: Array = self.votes(X).mean(axis=0)
        return found

    def auc(self, X: Array, target: Array) -> float:
        """How well members rank the training rows that they have not seen.

        Args:
            X: (n, p) the training rows.
            target: (n,) their labels; those above 0 are positive.

        Returns:
            Probability that a positive row has a higher out-of-bag score than another one, ties counted half: near
            0.5 the ranking is worth nothing. NaN when every member has seen all of one class.
        """
        outside = ~self.inside
        of = outside.any(axis=0)
        score = np.where(outside, self.votes(X), 0.0)[:, of].sum(axis=0) / outside[:, of].sum(axis=0)
        return area(score, target[of] > 0)


class SmoothClassifier(Classifier):
    """A classifier whose score can be climbed."""

    @abstractmethod
    def slope(self, X: Array) -> tuple[Array, Array]:
        """Scores and their gradients; (m, p) -> (m,), (m, p)."""


class ForestClassifier(Classifier):
    """Randomised trees; a leaf votes with the share of class 1 in the weight that it holds.

    Args:
        forest: The trees.
        shares: (nodes,) votes of the leaves.
    """

    def __init__(self, forest: Forest, shares: Array) -> None:
        self._forest, self._shares = forest, shares
        self.inside = forest.inside

    def votes(self, X: Array) -> Array:
        """Share of class 1 in the leaf of each tree; (m, p) -> (trees, m)."""
        found: Array = self._shares.take(self._forest.leaves(X))
        return found


def fit_classifier(name: str, X: Array, labels: Labels, rng: np.random.Generator) -> Classifier:
    """Fit a classifier by its name.

    Args:
        name: One of `CLASSIFIERS`.
        X: (n, p) features, finite.
        labels: Of the n rows, some with a target above 0 and some without.
        rng: Decides what is random in the fit.

    Returns:
        The classifier; a `SmoothClassifier` for "mlp".

    Raises:
        ArgumentError: no such classifier.
        MissingExtra: it needs a package that is not installed.
    """
    check("classifier", name, one_of=CLASSIFIERS)
    if name == "gbt":
        from luthier.models.boosting import fit_boosted

        return fit_boosted(X, labels, rng)
    if name == "mlp":
        from luthier.models.perceptron import fit_perceptrons

        return fit_perceptrons(X, labels, rng)
    return fit_forest(X, labels, rng)


def fit_forest(
    X: Array, labels: Labels, rng: np.random.Generator, *, trees: int = TREES, leaf: int = LEAF
) -> ForestClassifier:
    """Fit a forest to soft labels.

    Splits lessen the squares of the targets (for hard labels: the Gini impurity) and count all rows alike; weights
    decide the shares in the leaves.

    Args:
        X: (n, p) features, finite.
        labels: Of the n rows.
        rng: Decides the trees.
        trees: How many.
        leaf: Fewest rows in a leaf.

    Returns:
        The classifier.

    Source: see `forest.grow`.
    Differs: see `forest.grow`; weights do not move splits.
    Cost: that of `forest.grow`, and a walk of n rows through the trees.
    """
    forest = grow(X, labels.target, rng, trees=trees, leaf=leaf)
    at = forest.leaves(X)[forest.inside]
    target, weight = (np.broadcast_to(one, forest.inside.shape)[forest.inside] for one in labels)
    nodes = len(forest.child)
    total, ones = np.bincount(at, weight, nodes), np.bincount(at, weight * target, nodes)
    return ForestClassifier(forest, ones / np.where(total > 0, total, 1.0))


def subsets(target: Array, rng: np.random.Generator, *, members: int, most: int = MOST_ROWS) -> Mask:
    """Which rows each member of an ensemble sees: a share of 1 - 1/e of each class.

    So no member lacks a class, however few rows it has.

    Args:
        target: (n,) labels; those above 0 are one class.
        rng: Decides the subsets.
        members: How many.
        most: Rows of a member (one more a class, by rounding); fewer than the share where there are many.

    Returns:
        (members, n), every member with equally many rows.
    """
    inside = np.zeros((members, len(target)), dtype=bool)
    share = min(SHARE, most / len(target))
    for of in (np.flatnonzero(target > 0), np.flatnonzero(target == 0)):
        size = int(np.ceil(share * len(of)))
        for row in inside:
            row[rng.permutation(of)[:size]] = True
    return inside


def area(score: Array, positive: Mask) -> float:
    """Area under the receiver operating characteristic, ties counted half; NaN when a class is empty.

    Args:
        score: (n,) more for what is thought to be positive.
        positive: (n,) what is.
    """
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    return float((rank[place][positive].sum() - n * (n + 1) / 2.0) / (n * m))
