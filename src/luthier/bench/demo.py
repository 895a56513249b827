"""The demo: a digit classifier tuned epoch by epoch, and judged on images that the tuner never saw.

Data: the 1797 images of 8 x 8 pixels that come with scikit-learn (the test part of the optical digits of the UCI
repository, Alpaydin and Kaynak 1998). A split seed cuts them into 30 % test, and of the rest 70 % training and 30 %
validation. `train` is what is tuned; it sees training and validation alone.

Cost: one thread, 81 epochs: 0.2 s for a small network, 2 s for three layers of 256 units in batches of 32.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Fidelity, Objective
from luthier.base.seeds import generator
from luthier.bench._mlp import Array, Labels, Recipe, State, initial, probabilities, scores_with_error, train_epoch
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space

EPOCHS = 81
SAVE_EVERY = 9  # epochs; a checkpoint of 2 MB costs as much as an epoch. What a trial pauses at is always saved
CLASSES = 10
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.3

#: The validation log loss says more about 377 images than their count of errors does; `error` is reported beside it.
OBJECTIVE = Objective("log_loss")
FIDELITY = Fidelity("epoch", 1, EPOCHS)


class Split(NamedTuple):
    """Row numbers of the images of each part."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


class Interval(NamedTuple):
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float


def space() -> Space:
    """Eleven hyperparameters, one of them conditional; the defaults are those of scikit-learn's MLPClassifier."""
    return Space(
        width=Int(16, 256, log=True, default=100),
        depth=Int(1, 3, default=1),
        activation=Choice("relu", "tanh", default="relu"),
        solver=Choice("adam", "sgd", default="adam"),
        momentum=Float(0.0, 0.99, default=0.9, when=("solver", "sgd")),
        learning_rate=Float(1e-4, 1e-1, log=True, default=1e-3),
        decay=Float(0.0, 1.0, default=0.0),
        batch_size=Int(32, 256, log=True, default=200),
        alpha=Float(1e-6, 1e-1, log=True, default=1e-4),
        dropout=Float(0.0, 0.6, default=0.0),
        shift=Float(0.0, 1.0, default=0.0),
    )


@cache
def digits() -> tuple[Array, Labels]:
    """(1797, 64) images in [0, 1] and (1797,) class numbers."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), labels.astype(np.int64)


def split(split_seed: int) -> Split:
    """Cut the images into parts; equal seeds give equal parts."""
    _, labels = digits()
    order = generator(split_seed, "bench", 0).permutation(len(labels))
    tests = round(TEST_SHARE * len(labels))
    validations = round(VALIDATION_SHARE * (len(labels) - tests))
    return Split(order[tests + validations :], order[tests : tests + validations], order[:tests])


def recipe(config: Mapping[str, Any]) -> Recipe:
    """How to train, from a configuration; what is absent keeps its default."""
    known = {field.name for field in fields(Recipe)}
    return Recipe(**{name: value for name, value in config.items() if name in known})


@dataclass(frozen=True)
class Train:
    """What is tuned: a function of a run that trains a network epoch by epoch and resumes from checkpoints.

    Args:
        split_seed: Which split.
    """

    split_seed: int = 0

    def __call__(self, run: Any) -> None:
        """Train as `run.config` says; report `log_loss` (nats) and `error` (percent) of the validation images.

        With them goes `log_loss_stderr`, by which a stopping rule knows how well the log loss is known.
        """
        with one_thread():
            self._train(run)

    def _train(self, run: Any) -> None:
        images, labels = digits()
        parts = split(self.split_seed)
        how = recipe(run.config)
        state = State.load(run.checkpoint / "network.npz") if run.checkpoint else _fresh(how, run.seed)
        for epoch in run.resources():
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # divergence is reported as NaN
                train_epoch(state, how, images[parts.train], labels[parts.train], epochs=EPOCHS, seed=run.seed)
                found, known = scores_with_error(state, how, images[parts.validation], labels[parts.validation])
            if run.folder is not None and (epoch % SAVE_EVERY == 0 or epoch >= run.until):
                with run.save() as folder:
                    state.save(folder / "network.npz")
            run.report(found, log_loss_stderr=known, epoch=epoch)


def train(run: Any) -> None:
    """`Train(0)`: the target of the demo."""
    Train(0)(run)


def one_thread() -> AbstractContextManager[Any]:
    """Keep the linear algebra to one thread: for matrices of this size more threads only wait for each other."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return cast(AbstractContextManager[Any], threadpool_limits(1))


def _fresh(how: Recipe, seed: int) -> State:
    return initial(how, 64, CLASSES, seed)


def fit(config: Mapping[str, Any], rows: NDArray[np.int64], *, epochs: int, seed: int) -> tuple[State, Recipe]:
    """A network trained on some of the images.

    Args:
        config: A configuration of `space()`.
        rows: Row numbers of the images to learn from.
        epochs: How long, on the schedule of `EPOCHS`.
        seed: Decides weights, order, shifts and dropout.
    """
    images, labels = digits()
    how = recipe(config)
    state = _fresh(how, seed)
    with one_thread():
        for _ in range(epochs):
            train_epoch(state, how, images[rows], labels[rows], epochs=EPOCHS, seed=seed)
    return state, how


def held_out(
    config: Mapping[str, Any], epochs: int = EPOCHS, split_seed: int = 0, *, refits: int = 3
) -> NDArray[np.float64]:
    """How often each test image is classified correctly after training on training and validation images.

    Args:
        config: A configuration of `space()`.
        epochs: Epochs of each refit.
        split_seed: Which split.
        refits: Networks trained, with seeds 0, 1, ...

    Returns:
        (539,) shares of the refits that are right, in [0, 1].
    """
    images, labels = digits()
    parts = split(split_seed)
    rows = np.concatenate([parts.train, parts.validation])
    right = np.zeros(len(parts.test))
    for seed in range(refits):
        state, how = fit(config, rows, epochs=epochs, seed=seed)
        right += probabilities(state, how, images[parts.test]).argmax(axis=1) == labels[parts.test]
    return right / refits


def sklearn_default(split_seed: int = 0, *, refits: int = 3) -> NDArray[np.float64]:
    """As `held_out`, of scikit-learn's `MLPClassifier()` as it comes out of the box.

    It sees the same images, scaled to [0, 1] (which suits it better than the raw 0 .. 16).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    images, labels = digits()
    parts = split(split_seed)
    rows = np.concatenate([parts.train, parts.validation])
    right = np.zeros(len(parts.test))
    for seed in range(refits):
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its own limit of 200 epochs is part of the default
            model = MLPClassifier(random_state=seed).fit(images[rows], labels[rows])
        right += model.predict(images[parts.test]) == labels[parts.test]
    return right / refits


def difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval:
    """Mean gain in accuracy with a paired bootstrap interval over the test images, in percentage points.

    Args:
        ours: (n,) correctness per image, in [0, 1].
        theirs: (n,) correctness of the same images.
        level: Coverage of the interval.
        draws: Bootstrap samples.
        seed: Decides them.

    Source: Efron and Tibshirani 1993, chapter 13 (percentile interval).
    """
    return accuracy(ours - theirs, level=level, draws=draws, seed=seed)


def accuracy(right: NDArray[np.float64], *, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """Mean of per-image correctness with a bootstrap interval, in percent; arguments as of `difference`."""
    rng = generator(seed, "bench", 1)
    n = len(right)
    means = np.array([right[rng.integers(n, size=n)].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(100 * float(right.mean()), 100 * float(low), 100 * float(high))
