"""MLP: a multilayer perceptron on classification data; the fidelities are epochs and subsample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from luthier.base.records import Configuration, Fidelity
from luthier.base.registry import register
from luthier.bench._sets import Labels, Numbers
from luthier.bench.families._ml import SPARSE, MlFamily, Points
from luthier.bench.families._ml_fit import Diverged, Fit, Shape, Trainee
from luthier.space.domains import Float, Int
from luthier.space.space import Space

_TOLERANCE, _PATIENCE = 1e-4, 10  # scikit-learn's own tol and n_iter_no_change, which HPOBench leaves as they are


class _Network(Trainee):
    """scikit-learn's MLPClassifier, an epoch at a time; it ends by itself when the training loss falls no more."""

    def __init__(self, config: Mapping[str, Any], fit: Fit) -> None:
        from sklearn.neural_network import MLPClassifier
        from sklearn.utils import check_random_state

        super().__init__(fit)
        self._model = MLPClassifier(
            hidden_layer_sizes=[config["width"]] * config["depth"],
            activation="relu",
            solver="adam",
            batch_size=min(config["batch_size"], len(fit.X)),
            alpha=config["alpha"],
            learning_rate_init=config["learning_rate_init"],
            random_state=check_random_state(fit.state),
        )
        self._classes = np.arange(fit.classes)
        self._best, self._idle = math.inf, 0

    def advance(self, step: int) -> None:
        while self.spent < step and self._idle <= _PATIENCE:
            try:
                self._model.partial_fit(self.fit.X, self.fit.y, classes=self._classes)
            except ValueError as error:
                if "non-finite" not in str(error):
                    raise
                raise Diverged from error
            self.spent += 1
            loss = float(self._model.loss_)
            self._idle = self._idle + 1 if loss > self._best - _TOLERANCE else 0
            self._best = min(self._best, loss)

    def predict(self, X: Numbers) -> Labels:
        return np.asarray(self._model.predict(X))

    def size(self) -> int:
        """Weights and biases."""
        return int(sum(array.size for array in (*self._model.coefs_, *self._model.intercepts_)))


@register("benchmark")
class Mlp(MlFamily):
    """HPOBench's MLP.

    Args:
        axis: The fidelity that moves: "iter", "subsample", or "none" for a black box.
        iter: Epochs, where they do not move.
        subsample: Share of the training rows, where it does not move.
        objectives: Metrics to improve, separated by commas.

    Source: Eggensperger et al. 2021, HPOBench, NNBenchmark (version 0.0.10) and its grid of 3 x 10 x 10 x 10 x 10.
    Differs: trained on the training rows alone, also for the test values; subsamples are stratified, nested and without
        repeated rows; epochs are shuffled independently, so that a fit can be looked at after each.
    Cost: 243 epochs of the default on digits take about 2 s.
    """

    lock = "sklearn"
    title = "multilayer perceptron"
    published = "nn"
    steps = Fidelity("iter", 3, 243)
    points: ClassVar[Points] = {
        "small": {
            "depth": (1, 3),
            "width": (16, 128),
            "batch_size": (32, 256),
            "alpha": (1e-6, 1e-2),
            "learning_rate_init": (1e-4, 1e-3, 1e-2),
        },
        "full": {"depth": 3, "width": 10, "batch_size": 10, "alpha": 10, "learning_rate_init": 10},
    }
    shares = SPARSE

    def __init__(
        self, *, axis: str = "iter", iter: int = 243, subsample: float = 1.0, objectives: str = "error"
    ) -> None:
        super().__init__(axis=axis, subsample=subsample, step=iter, objectives=objectives)

    def space(self) -> Space:
        """`depth` layers of `width` units each."""
        return Space(
            depth=Int(1, 3, default=3),
            width=Int(16, 1024, log=True, default=64),
            batch_size=Int(4, 256, log=True, default=32),
            alpha=Float(1e-8, 1.0, log=True, default=1e-3),
            learning_rate_init=Float(1e-5, 1.0, log=True, default=1e-3),
        )

    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """One network."""
        return _Network(config, fit)

    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """A part for each epoch, each step with its weights, and each multiplication; within a third of measured."""
        sizes = [shape.features, *[config["width"]] * config["depth"], shape.classes]
        weights = sum(a * b for a, b in pairwise(sizes))
        steps = -(-shape.rows // min(config["batch_size"], shape.rows))
        each_step = 2.2e-4 + 4.8e-9 * weights
        return float(spent * (1.4e-3 + steps * each_step + 1.5e-10 * shape.rows * weights))
