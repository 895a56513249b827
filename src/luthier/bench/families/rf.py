"""RF: a random forest on classification data; the fidelities are trees and subsample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Configuration, Fidelity
from luthier.base.registry import register
from luthier.bench._sets import Labels, Numbers
from luthier.bench.families._ml import SPARSE, MlFamily, Points
from luthier.bench.families._ml_fit import Fit, Shape, Trainee
from luthier.space.domains import Float, Int
from luthier.space.space import Space


class _Forest(Trainee):
    """scikit-learn's RandomForestClassifier, grown by warm starts: the first k trees are the forest of k trees."""

    adds = True

    def __init__(self, config: Mapping[str, Any], fit: Fit) -> None:
        from sklearn.ensemble import RandomForestClassifier

        super().__init__(fit)
        features = fit.X.shape[1]
        self._model = RandomForestClassifier(
            max_depth=config["max_depth"],
            min_samples_split=config["min_samples_split"],
            max_features=max(1, round(features ** config["max_features"])),
            min_samples_leaf=config["min_samples_leaf"],
            warm_start=True,
            random_state=fit.state,
        )
        self._sums: list[NDArray[np.float64]] = [np.zeros((len(X), fit.classes)) for X in fit.watched]
        self._counted = [0] * len(fit.watched)

    def advance(self, step: int) -> None:
        if step > self.spent:
            self._model.set_params(n_estimators=step).fit(self.fit.X, self.fit.y)
        self.spent = step

    def predict(self, X: Numbers) -> Labels:
        return np.asarray(self._model.predict(X))

    def labels(self, part: int) -> Labels:
        """The new trees' probabilities are added, in the order in which the forest itself adds them."""
        for tree in self._model.estimators_[self._counted[part] :]:
            self._sums[part] += tree.predict_proba(self.fit.watched[part], check_input=False)
        self._counted[part] = len(self._model.estimators_)
        return np.asarray(self._sums[part].argmax(axis=1))

    def size(self) -> int:
        """Feature, threshold and two children of a split, a number for each class of a leaf."""
        nodes = sum(tree.tree_.node_count for tree in self._model.estimators_)
        leaves = sum(tree.tree_.n_leaves for tree in self._model.estimators_)
        return int(4 * (nodes - leaves) + self.fit.classes * leaves)


@register("benchmark")
class Rf(MlFamily):
    """HPOBench's RF.

    Args:
        axis: The fidelity that moves: "n_estimators", "subsample", or "none" for a black box.
        n_estimators: Trees, where they do not move.
        subsample: Share of the training rows, where it does not move.
        objectives: Metrics to improve, separated by commas.

    Source: Eggensperger et al. 2021, HPOBench, RandomForestBenchmark (version 0.0.10) and its grid of 9 x 10 x 10 x 10.
    Differs: trained on the training rows alone, also for the test values; subsamples are stratified, nested and without
        repeated rows.
    Cost: 512 trees on digits take about 1 s.
    """

    lock = "sklearn"
    title = "random forest"
    published = "rf"
    steps = Fidelity("n_estimators", 16, 512)
    points: ClassVar[Points] = {
        "small": {
            "max_depth": (2, 7, 50),
            "min_samples_split": (2, 32),
            "max_features": 3,
            "min_samples_leaf": (1, 8),
        },
        "full": {"max_depth": 10, "min_samples_split": 10, "max_features": 10, "min_samples_leaf": 10},
    }
    shares = SPARSE

    def __init__(
        self, *, axis: str = "n_estimators", n_estimators: int = 512, subsample: float = 1.0, objectives: str = "error"
    ) -> None:
        super().__init__(axis=axis, subsample=subsample, step=n_estimators, objectives=objectives)

    def space(self) -> Space:
        """`max_features` is an exponent: of d features, round(d ** max_features) are looked at for a split."""
        return Space(
            max_depth=Int(1, 50, log=True, default=10),
            min_samples_split=Int(2, 128, log=True, default=32),
            max_features=Float(0.0, 1.0, default=0.5),
            min_samples_leaf=Int(1, 20, default=1),
        )

    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """One forest."""
        return _Forest(config, fit)

    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """On each level of a tree all rows are sorted by the features looked at; what was measured lies within a third.

        A tree has as many levels as it may, or as the least number of rows in a leaf leaves room for.
        """
        least = max(config["min_samples_leaf"], config["min_samples_split"] / 2)
        levels = min(config["max_depth"], math.log2(shape.rows / least + 1))
        tried = max(1, round(shape.features ** config["max_features"]))
        return float(spent * (9e-4 + shape.rows * levels * (4.7e-8 + 8.9e-9 * tried)))
