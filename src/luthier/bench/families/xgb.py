"""XGB: gradient boosting by xgboost on classification data; the fidelities are rounds and subsample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from luthier.base.imports import need
from luthier.base.records import Configuration, Fidelity
from luthier.base.registry import register
from luthier.bench._sets import Labels, Numbers
from luthier.bench.families._ml import SPARSE, MlFamily, Points
from luthier.bench.families._ml_fit import Fit, Shape, Trainee
from luthier.space.domains import Float, Int
from luthier.space.space import Space


def _xgboost() -> Any:
    return need("xgboost", what="a benchmark of the family 'xgb'", extra="bench")


class _Boosting(Trainee):
    """xgboost's booster, a round at a time; it keeps the margins of the rows watched, so each tree is asked once."""

    adds = True

    def __init__(self, config: Mapping[str, Any], fit: Fit) -> None:
        super().__init__(fit)
        self._xgboost = _xgboost()
        several = fit.classes > 2
        parameters = {
            **config,
            "booster": "gbtree",
            "objective": "multi:softmax" if several else "binary:logistic",
            **({"num_class": fit.classes} if several else {}),
            "tree_method": "hist",
            "base_score": 0.5,
            "seed": fit.state,
            "nthread": 1,
            "verbosity": 0,
        }
        self._rows = self._xgboost.DMatrix(fit.X, fit.y)
        self._watched = [self._xgboost.DMatrix(X) for X in fit.watched]
        self._model = self._xgboost.Booster(parameters, [self._rows, *self._watched])
        self._weighed = (0, 0)  # rounds counted, and their numbers

    def advance(self, step: int) -> None:
        while self.spent < step:
            self._model.update(self._rows, int(self.spent))
            self.spent += 1

    def predict(self, X: Numbers) -> Labels:
        return self._classes(self._model.predict(self._xgboost.DMatrix(X), output_margin=True))

    def labels(self, part: int) -> Labels:
        return self._classes(self._model.predict(self._watched[part], output_margin=True))

    def _classes(self, margins: Any) -> Labels:
        """Logarithm of the odds, or one margin for each class."""
        return np.asarray(margins.argmax(axis=1) if margins.ndim == 2 else (margins > 0).astype(np.int64))

    def size(self) -> int:
        """Feature, threshold and two children of a split, one number of a leaf."""
        now = int(self.spent)
        if now > self._weighed[0]:
            lines = "\n".join(self._model[self._weighed[0] : now].get_dump()).splitlines()
            leaves = sum("leaf=" in line for line in lines)
            splits = sum(bool(line) for line in lines) - leaves
            self._weighed = now, self._weighed[1] + 4 * splits + leaves
        return self._weighed[1]


@register("benchmark")
class Xgb(MlFamily):
    """HPOBench's XGB; it needs the package xgboost.

    Args:
        axis: The fidelity that moves: "n_estimators", "subsample", or "none" for a black box.
        n_estimators: Rounds, where they do not move.
        subsample: Share of the training rows, where it does not move.
        objectives: Metrics to improve, separated by commas.

    Source: Eggensperger et al. 2021, HPOBench, XGBoostBenchmark (version 0.0.10); the grid is of 9 x 10 x 10 x 10.
    Differs: trained on the training rows alone, also for the test values; subsamples are stratified, nested and without
        repeated rows; trees are grown on histograms, the way of xgboost from version 2 on, and boosting starts from
        even odds, the way of version 1, whatever the version.
    Cost: 2000 rounds on digits take about 2 s.
    """

    title = "gradient boosting by xgboost"
    published = "xgb"
    steps = Fidelity("n_estimators", 50, 2000)
    points: ClassVar[Points] = {
        "small": {"eta": 4, "max_depth": (1, 4, 10), "colsample_bytree": 2, "reg_lambda": (2**-10, 1.0)},
        "full": {"eta": 10, "max_depth": 10, "colsample_bytree": 10, "reg_lambda": 10},
    }
    shares = SPARSE

    def __init__(
        self, *, axis: str = "n_estimators", n_estimators: int = 2000, subsample: float = 1.0, objectives: str = "error"
    ) -> None:
        super().__init__(axis=axis, subsample=subsample, step=n_estimators, objectives=objectives)

    def ready(self) -> None:
        """Training needs xgboost; a table does not."""
        _xgboost()

    def space(self) -> Space:
        """Learning rate, depth of a tree, share of the features for a tree, weight of the L2 penalty."""
        return Space(
            eta=Float(2**-10, 1.0, log=True, default=0.3),
            max_depth=Int(1, 50, log=True, default=10),
            colsample_bytree=Float(0.1, 1.0, default=1.0),
            reg_lambda=Float(2**-10, 2**10, log=True, default=1.0),
        )

    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """One booster."""
        return _Boosting(config, fit)

    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """A tree for each class and round; what was measured lies within a factor of 3 or so."""
        trees = spent * (shape.classes if shape.classes > 2 else 1)
        levels = min(config["max_depth"], math.log2(shape.rows))
        counted = 6e-9 + 1e-10 * shape.features * config["colsample_bytree"]
        return float(trees * (1.2e-5 + shape.rows * levels * counted))
