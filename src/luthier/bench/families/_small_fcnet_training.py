"""Trains small networks for the stand-ins of fcnet, and writes their files.

    python -m luthier.bench.families._small_fcnet_training FOLDER [DATA ...]

trains random configurations of FCNet's space, two networks each, 100 epochs, and fits the two forests that
`_small_fcnet` answers from. Some six minutes of one processor for both.

A network has two hidden layers and learns by Adam from mean squared errors, in batches; it is judged after every epoch.
As in FCNet, 60 % of the rows are for training, 20 % for validation and 20 % for testing; inputs and targets have mean 0
and variance 1 over the training rows. The original has four larger data sets.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Configuration
from luthier.base.seeds import generator
from luthier.bench.families._fcnet import EPOCHS, LISTS
from luthier.bench.families._held_out import agreement, held_out
from luthier.bench.families._recorded import Grid
from luthier.bench.families._small_fcnet import LIMIT, OUTPUTS, REPETITIONS, Forests, coded, decoded, features
from luthier.bench.families._trees import grown

Array = NDArray[np.float64]
Numbers = NDArray[np.float32]
#: Data set to the number of configurations that are trained.
CONFIGURATIONS = {"diabetes": 250, "friedman1": 120}
TREES, TREES_OF_SECONDS = 24, 8  # an error takes more of them than a time, which few hyperparameters decide
_TRAIN, _VALID = 0.6, 0.2
_DRAW, _SPLIT = 7, 8  # which decisions of the bench room draw and split are
_MOMENTA = np.float32(0.9), np.float32(0.999)
_PIECE = 1 << 14  # weights that are changed at a time: so many stay in a processor's cache
_GUIDES = (1, 3, 10, 30, 100)  # epochs that the trees are to tell apart
SHOWN = (1, 10, 50)  # epochs whose agreement with the last one is told


class Rows(NamedTuple):
    """Rows of one purpose.

    Args:
        X: (n, inputs).
        y: (n,) targets.
    """

    X: Numbers
    y: Numbers


class Split(NamedTuple):
    """A data set, cut and prepared."""

    valid: Rows
    test: Rows
    train: Rows


def load(data: str) -> Split:
    """A data set: "diabetes" (442 rows of 10 inputs) or "friedman1" (as many, made by formula)."""
    X, y = _SETS[data]()
    order = generator(0, "bench", _SPLIT).permutation(len(y))
    cuts = [round(_TRAIN * len(y)), round((_TRAIN + _VALID) * len(y))]
    train = order[: cuts[0]]
    X, y = (X - X[train].mean(axis=0)) / X[train].std(axis=0), (y - y[train].mean()) / y[train].std()
    parts = [Rows(X[rows].astype(np.float32), y[rows].astype(np.float32)) for rows in np.split(order, cuts)]
    return Split(parts[1], parts[2], parts[0])


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return X, y


def _friedman1() -> tuple[Array, Array]:
    from sklearn.datasets import make_friedman1

    X, y = make_friedman1(442, noise=1.0, random_state=0)
    return X, y


_SETS: dict[str, Callable[[], tuple[Array, Array]]] = {"diabetes": _diabetes, "friedman1": _friedman1}
_TITLES = {"diabetes": "scikit-learn's load_diabetes", "friedman1": "442 rows of scikit-learn's make_friedman1"}


def drawn(count: int) -> list[Configuration]:
    """The configurations that are trained, each once: the default, and random ones.

    Args:
        count: How many; the first ones are the same whatever it is.
    """
    space = Grid(LISTS).space
    rng = generator(0, "bench", _DRAW)
    found = {space.default(): None}
    while len(found) < count:
        found.setdefault(space.sample(1, rng)[0])
    return list(found)


class Networks:
    """The networks of a configuration side by side, one for each repetition.

    Args:
        config: The configuration.
        inputs: Number of inputs.
    """

    def __init__(self, config: Configuration, inputs: int) -> None:
        self._config = config
        self._rng = [np.random.default_rng([repetition, 0]) for repetition in range(REPETITIONS)]
        sizes = (inputs, config["n_units_1"], config["n_units_2"], 1)
        self._shapes = [shape for a, b in pairwise(sizes) for shape in ((a, b), (1, b))]
        total = sum(REPETITIONS * a * b for a, b in self._shapes)
        self._flat, self._slope, self._first, self._second = np.zeros((4, total), dtype=np.float32)
        self._weights, self._slopes = self._views(self._flat), self._views(self._slope)
        for weights in self._weights[::2]:
            bound = math.sqrt(6 / sum(weights.shape[1:]))  # Glorot's
            for one, rng in zip(weights, self._rng, strict=True):
                one[:] = rng.uniform(-bound, bound, one.shape)
        self._steps = 0

    def _views(self, flat: Numbers) -> list[Numbers]:
        ends = np.cumsum([REPETITIONS * a * b for a, b in self._shapes])[:-1]
        return [
            part.reshape(REPETITIONS, *shape) for part, shape in zip(np.split(flat, ends), self._shapes, strict=True)
        ]

    def epoch(self, number: int, rows: Rows) -> None:
        """Pass over the rows, every network in an order of its own; epochs count from 0."""
        config = self._config
        rate = config["init_lr"]
        if config["lr_schedule"] == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * number / EPOCHS))
        order = np.stack([rng.permutation(len(rows.y)) for rng in self._rng])
        for start in range(0, len(rows.y), config["batch_size"]):
            batch = order[:, start : start + config["batch_size"]]
            self._differentiate(rows.X[batch], rows.y[batch][:, :, None])
            self._adam(rate)

    def _differentiate(self, X: Numbers, y: Numbers) -> None:
        w1, b1, w2, b2, w3, b3 = self._weights
        s1, c1, s2, c2, s3, c3 = self._slopes
        h1, d1 = self._hidden(X @ w1 + b1, 1)
        h2, d2 = self._hidden(h1 @ w2 + b2, 2)
        delta = (h2 @ w3 + b3 - y) * np.float32(2 / y.shape[1])
        np.matmul(h2.transpose(0, 2, 1), delta, out=s3)
        delta.sum(axis=1, keepdims=True, out=c3)
        delta = delta * w3.transpose(0, 2, 1) * d2
        np.matmul(h1.transpose(0, 2, 1), delta, out=s2)
        delta.sum(axis=1, keepdims=True, out=c2)
        delta = (delta @ w2.transpose(0, 2, 1)) * d1
        np.matmul(X.transpose(0, 2, 1), delta, out=s1)
        delta.sum(axis=1, keepdims=True, out=c1)

    def _hidden(self, z: Numbers, layer: int) -> tuple[Numbers, Numbers]:
        """A layer's outputs, units left out, and how they change with z."""
        if self._config[f"activation_fn_{layer}"] == "relu":
            found, slope = np.maximum(z, 0), (z > 0).astype(np.float32)
        else:
            found = np.tanh(z)
            slope = 1 - found * found
        dropout = self._config[f"dropout_{layer}"]
        if dropout:
            keep = np.float32(1 - dropout)
            mask = np.stack([rng.random(z.shape[1:], dtype=np.float32) for rng in self._rng])
            mask = (mask < keep).astype(np.float32) / keep
            found, slope = found * mask, slope * mask
        return found, slope

    def _adam(self, rate: float) -> None:
        a, b = _MOMENTA
        self._steps += 1
        scale = np.float32(rate * math.sqrt(1 - float(b) ** self._steps) / (1 - float(a) ** self._steps))
        for start in range(0, len(self._flat), _PIECE):
            piece = slice(start, start + _PIECE)
            w, g, m, v = (one[piece] for one in (self._flat, self._slope, self._first, self._second))
            m *= a
            m += (1 - a) * g
            v *= b
            v += (1 - b) * g * g
            w -= scale * m / (np.sqrt(v) + np.float32(1e-8))

    def logarithms(self, rows: Rows) -> Array:
        """(repetitions,) logarithms of mean squared errors."""
        w1, b1, w2, b2, w3, b3 = self._weights
        x: Numbers = rows.X @ w1 + b1
        for layer, (w, b) in enumerate(((w2, b2), (w3, b3)), 1):
            found = np.maximum(x, 0) if self._config[f"activation_fn_{layer}"] == "relu" else np.tanh(x)
            x = found @ w + b
        errors = np.square(x[:, :, 0].astype(np.float64) - rows.y).mean(axis=1)
        return np.asarray(np.clip(np.nan_to_num(np.log(errors), nan=LIMIT), -LIMIT, LIMIT))


def train(config: Configuration, data: Split) -> tuple[Array, float]:
    """Train the networks of a configuration.

    Returns:
        (outputs, 100) logarithms of mean squared errors as `_small_fcnet` has them, and CPU seconds of one training.
    """
    networks, seconds = Networks(config, data.train.X.shape[1]), 0.0
    found = np.empty((OUTPUTS, EPOCHS))
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges is told by its error
        for number in range(EPOCHS):
            began = time.process_time()
            networks.epoch(number, data.train)
            seconds += time.process_time() - began
            valid, test, trained = (networks.logarithms(part) for part in data)
            found[:, number] = [*valid, *test, trained.mean()]
    return found, seconds / REPETITIONS


def run(directory: str | Path, data: str, configs: list[Configuration] | None = None) -> Path:
    """Train on a data set, and write the file of `fcnet/<data>@small`.

    Args:
        directory: Where to.
        data: A name that `load` knows.
        configs: What to train; None: as many as were trained for the package.

    Returns:
        The file.
    """
    from luthier.bench.demo import one_thread

    chosen, split = drawn(CONFIGURATIONS[data]) if configs is None else configs, load(data)
    with one_thread():
        trained = [train(config, split) for config in chosen]
    path = Path(directory) / f"fcnet_{data}_small.npz"
    fit(path, chosen, np.array([one for one, _ in trained]), np.array([one for _, one in trained]), _TITLES[data])
    return path


def fit(path: Path, configs: list[Configuration], errors: Array, seconds: Array, title: str) -> None:
    """Write the file of a data set.

    Args:
        path: The file.
        configs: n configurations.
        errors: (n, outputs, 100) logarithms.
        seconds: (n,) of a training.
        title: What was trained on.
    """
    X = np.array([features(config) for config in configs])
    kept, times = coded(errors), np.log(seconds).round(3)[:, None]
    guide = _guide(errors)
    found: dict[str, NDArray[Any]] = {
        f"error_{part}": a for part, a in grown(X, guide, kept.astype(float), trees=TREES).items()
    }
    found["error_values"] = kept
    found |= {f"seconds_{part}": a for part, a in grown(X, times[:, 0], times, trees=TREES_OF_SECONDS).items()}
    grid = Grid(LISTS)
    about = (
        f"luthier's own: {len(X)} configurations, {REPETITIONS} networks each, trained on {title} by "
        "luthier.bench.families._small_fcnet_training"
    )
    found |= {
        "trained": np.array(sorted(grid.row(config) for config in configs)),
        "about": np.array(about),
        "figures": np.array(_figures(X, guide, errors, times)),
    }
    np.savez_compressed(path, best=np.array(np.nan), **found)  # type: ignore[arg-type]
    # written twice: the first file is asked for its optimum
    np.savez_compressed(path, best=np.array(Forests(path).least()), **found)  # type: ignore[arg-type]


def _guide(errors: Array) -> Array:
    """What the trees are to tell apart: (n, epochs) places of means among the others, as errors have long tails."""
    means = errors[:, : 2 * REPETITIONS, [epoch - 1 for epoch in _GUIDES]].mean(axis=1)
    return np.asarray(means.argsort(axis=0).argsort(axis=0) / len(means))


def _figures(X: Array, guide: Array, errors: Array, times: Array) -> str:
    """What is told of the forests, measured on fifths that were held out."""
    values = decoded(coded(errors))
    predicted = held_out(X, guide, values, trees=TREES).reshape(errors.shape)[:, :REPETITIONS].mean(axis=1)
    true = errors[:, :REPETITIONS].mean(axis=1)
    off = np.median(np.abs(np.expm1(predicted[:, -1] - true[:, -1])))
    slow = np.median(np.abs(np.expm1(held_out(X, times[:, 0], times, trees=TREES_OF_SECONDS) - times)))
    low = ", ".join(f"{agreement(true[:, epoch - 1], true[:, -1]):.2f}" for epoch in SHOWN)
    return (
        f"Of configurations held out, final errors are off by {100 * off:.0f} % in the median and correlate in rank "
        f"by {agreement(predicted[:, -1], true[:, -1]):.2f}, costs are off by {100 * slow:.0f} %. Of those trained, "
        f"errors after {', '.join(map(str, SHOWN))} epochs correlate in rank with the last by {low}."
    )


if __name__ == "__main__":
    for name in sys.argv[2:] or _SETS:
        print(run(sys.argv[1], name))
