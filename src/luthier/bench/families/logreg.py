"""LogReg: logistic regression by stochastic gradient descent; the fidelities are passes over the data and subsample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from luthier.base.records import Configuration, Fidelity
from luthier.base.registry import register
from luthier.bench._sets import Labels, Numbers
from luthier.bench.families._ml import SPARSE, MlFamily, Points
from luthier.bench.families._ml_fit import Diverged, Fit, Shape, Trainee
from luthier.space.domains import Float
from luthier.space.space import Space


class _Regression(Trainee):
    """scikit-learn's SGDClassifier, one pass at a time; each pass shuffles anew."""

    def __init__(self, config: Mapping[str, Any], fit: Fit) -> None:
        from sklearn.linear_model import SGDClassifier
        from sklearn.utils import check_random_state

        super().__init__(fit)
        # tol=None as in HPOBench: the "adaptive" rate then never falls, and every pass is done
        self._model = SGDClassifier(
            loss="log_loss",
            alpha=config["alpha"],
            eta0=config["eta0"],
            learning_rate="adaptive",
            tol=None,
            random_state=check_random_state(fit.state),
        )
        self._classes = np.arange(fit.classes)

    def advance(self, step: int) -> None:
        model = self._model
        while self.spent < step:
            try:
                model.partial_fit(self.fit.X, self.fit.y, classes=self._classes)
            except ValueError as error:
                if "overflow" not in str(error):
                    raise
                raise Diverged from error
            self.spent += 1

    def predict(self, X: Numbers) -> Labels:
        return np.asarray(self._model.predict(X))

    def size(self) -> int:
        """Weights and intercepts."""
        return int(self._model.coef_.size + self._model.intercept_.size)


@register("benchmark")
class Logreg(MlFamily):
    """HPOBench's LogReg.

    Args:
        axis: The fidelity that moves: "iter", "subsample", or "none" for a black box.
        iter: Passes over the data, where they do not move.
        subsample: Share of the training rows, where it does not move.
        objectives: Metrics to improve, separated by commas.

    Source: Eggensperger et al. 2021, HPOBench, LRBenchmark (version 0.0.10) and its grid of 25 x 25.
    Differs: trained on the training rows alone, also for the test values; subsamples are stratified, nested and without
        repeated rows; passes are shuffled independently, so that a fit can be looked at after each.
    Cost: 1000 passes over digits take about 1 s.
    """

    lock = "sklearn"
    title = "logistic regression by stochastic gradient descent"
    published = "lr"
    steps = Fidelity("iter", 10, 1000)
    points: ClassVar[Points] = {
        "small": {"alpha": 5, "eta0": 5},
        "full": {"alpha": 25, "eta0": 25},
    }
    shares = SPARSE

    def __init__(
        self, *, axis: str = "iter", iter: int = 1000, subsample: float = 1.0, objectives: str = "error"
    ) -> None:
        super().__init__(axis=axis, subsample=subsample, step=iter, objectives=objectives)

    def space(self) -> Space:
        """Weight of the L2 penalty and learning rate, both on a logarithmic scale."""
        return Space(
            alpha=Float(1e-5, 1.0, log=True, default=1e-3),
            eta0=Float(1e-5, 1.0, log=True, default=1e-2),
        )

    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """One regression for each class against the rest, or one for two classes."""
        return _Regression(config, fit)

    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """A pass over the rows for each class; what was measured lies within a tenth."""
        machines = shape.classes if shape.classes > 2 else 1
        return spent * (2e-4 + machines * (3e-4 + shape.rows * (6e-8 + 1e-9 * shape.features)))
