"""SVM: a support vector machine with RBF kernel, trained on classification data; the fidelity is the subsample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.bench._sets import Labels, Numbers
from luthier.bench.families._ml import MlFamily, Points
from luthier.bench.families._ml_fit import Fit, Shape, Trainee
from luthier.space.domains import Float
from luthier.space.space import Space


class _Machine(Trainee):
    """scikit-learn's SVC; it has one step."""

    def __init__(self, config: Mapping[str, Any], fit: Fit) -> None:
        from sklearn.svm import SVC

        super().__init__(fit)
        # 200 MB as in HPOBench; the kernel of a subsample is kept whole up to some 5000 rows
        self._model = SVC(C=config["C"], gamma=config["gamma"], cache_size=200, random_state=fit.state)

    def advance(self, step: int) -> None:
        if not self.spent:
            self._model.fit(self.fit.X, self.fit.y)
        self.spent = 1

    def predict(self, X: Numbers) -> Labels:
        return np.asarray(self._model.predict(X))

    def size(self) -> int:
        """Support vectors, their weights and the intercepts."""
        model = self._model
        return int(model.support_vectors_.size + model.dual_coef_.size + model.intercept_.size)


@register("benchmark")
class Svm(MlFamily):
    """HPOBench's SVM.

    Args:
        axis: "subsample", or "none" for a black box.
        subsample: Share of the training rows, with `axis="none"`.
        objectives: Metrics to improve, separated by commas.

    Source: Eggensperger et al. 2021, HPOBench, SVMBenchmark (version 0.0.10) and its grid of 21 x 21.
    Differs: trained on the training rows alone, also for the test values; subsamples are stratified, nested and without
        repeated rows.
    Cost: a fit on digits takes 0.02 to 0.2 s.
    """

    lock = "sklearn"
    title = "support vector machine with RBF kernel"
    published = "svm"
    draws = False
    points: ClassVar[Points] = {
        "small": {"C": 11, "gamma": 11},
        "full": {"C": 21, "gamma": 21},  # powers of two
    }

    def __init__(self, *, axis: str = "subsample", subsample: float = 1.0, objectives: str = "error") -> None:
        super().__init__(axis=axis, subsample=subsample, step=1, objectives=objectives)

    def space(self) -> Space:
        """Both on a logarithmic scale."""
        return Space(
            C=Float(2**-10, 2**10, log=True, default=1.0),
            gamma=Float(2**-10, 2**10, log=True, default=0.1),
        )

    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """One machine."""
        return _Machine(config, fit)

    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """The kernel of all pairs of rows; what was measured lies within a factor of 3 or so."""
        return 1.4e-3 + 4.8e-10 * shape.rows**2 * shape.features
