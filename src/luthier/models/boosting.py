"""Boosted trees that rank points by how likely they are among the best, with settings for few points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.models.classifier import Classifier, Mask, subsets
from luthier.models.labels import Labels

Array = NDArray[np.float64]

BAGS = 5  # one boosted model ties at many points; a few of them smooth the ranking
ROUNDS, RATE = 20, 0.2  # 100 trees in all: a library's usual number at its usual cost
DEPTH = 3  # a few points carry no deeper interactions
# Libraries bound what a leaf must hold by sums of hessians or by 20 points; with a quarter of few points in class 1
# that gives a constant model. Three points are what the bound 3 gamma (1 - gamma) means at the root.
LEAF = 3


class BoostedClassifier(Classifier):
    """Boosted trees, each boosted on rows of its own.

    Args:
        members: Fitted models of scikit-learn.
        inside: (members, n) which rows each has seen.
    """

    def __init__(self, members: list[Any], inside: Mask) -> None:
        self._members, self.inside = members, inside

    def votes(self, X: Array) -> Array:
        """Probability of class 1; (m, p) -> (members, m)."""
        return np.stack([member.predict_proba(X)[:, 1] for member in self._members])


def fit_boosted(X: Array, labels: Labels, rng: np.random.Generator) -> BoostedClassifier:
    """Fit boosted trees to soft labels.

    A row whose label is soft stands in both classes, with its weight split between them. Nothing is calibrated, since
    only the ranking is used, and classes are not balanced.

    Args:
        X: (n, p) features, finite.
        labels: Of the n rows, some with a target above 0 and some without.
        rng: Decides the bags and scikit-learn's seeds.

    Returns:
        The classifier.

    Source: Friedman 2001, as scikit-learn's GradientBoostingClassifier.
    Differs: bags, and leaves of three points.
    Cost: O(BAGS * ROUNDS * s p log s) with s = min(0.63 n, 256) rows a bag.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    inside = subsets(labels.target, rng, members=BAGS)
    members = []
    for rows in inside:
        target, weight = labels.target[rows], labels.weight[rows]
        one, zero = target > 0, target < 1
        model = GradientBoostingClassifier(
            n_estimators=ROUNDS,
            learning_rate=RATE,
            max_depth=DEPTH,
            min_samples_leaf=LEAF,
            random_state=int(rng.integers(2**31)),
        )
        model.fit(
            np.concatenate([X[rows][one], X[rows][zero]]),
            np.repeat([1, 0], [one.sum(), zero.sum()]),
            np.concatenate([(weight * target)[one], (weight * (1 - target))[zero]]),
        )
        members.append(model)
    return BoostedClassifier(members, inside)
