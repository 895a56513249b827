"""A small image classifier in plain numpy: fully connected layers, trained one epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained; the defaults are those of scikit-learn's MLPClassifier.

    Args:
        width: Units of each hidden layer.
        depth: Hidden layers.
        activation: "relu" or "tanh".
        solver: "adam" or "sgd" (with Nesterov's momentum).
        momentum: Of "sgd".
        learning_rate: At the first step.
        decay: Part of the learning rate that is gone at the last epoch, along half a cosine; 0 keeps it constant.
        batch_size: Images per step.
        alpha: Weight of the L2 penalty, alpha / 2 * ||w||^2 / batch_size as in scikit-learn.
        dropout: Chance that a hidden unit is left out of a step.
        shift: Largest distance in pixels by which training images are moved, in each direction.
    """

    width: int = 100
    depth: int = 1
    activation: str = "relu"
    solver: str = "adam"
    momentum: float = 0.9
    learning_rate: float = 1e-3
    decay: float = 0.0
    batch_size: int = 200
    alpha: float = 1e-4
    dropout: float = 0.0
    shift: float = 0.0


@dataclass
class State:
    """A network in training.

    Args:
        weights: W1, b1, W2, b2, ...: (inputs, units) and (units,).
        first: First moments (adam) or velocities (sgd), shaped as the weights.
        second: Second moments of adam, shaped as the weights; unused by sgd.
        epoch: Epochs done.
        steps: Steps done.
    """

    weights: list[Array]
    first: list[Array]
    second: list[Array]
    epoch: int = 0
    steps: int = 0
    _names: tuple[str, ...] = field(default=("weights", "first", "second"), repr=False)

    def save(self, path: Path) -> None:
        """Write everything to an .npz file."""
        arrays = {f"{name}{i}": array for name in self._names for i, array in enumerate(getattr(self, name))}
        np.savez(path, epoch=self.epoch, steps=self.steps, **arrays)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("weights") for name in file.files)
            weights, first, second = (
                [file[f"{name}{i}"] for i in range(count)] for name in ("weights", "first", "second")
            )
            return cls(weights, first, second, int(file["epoch"]), int(file["steps"]))


def initial(recipe: Recipe, inputs: int, classes: int, seed: int) -> State:
    """A fresh network with Glorot's uniform weights."""
    rng = np.random.default_rng([seed, 0])
    sizes = [inputs, *[recipe.width] * recipe.depth, classes]
    weights: list[Array] = []
    for rows, columns in pairwise(sizes):
        bound = math.sqrt(6.0 / (rows + columns))
        weights.append(rng.uniform(-bound, bound, (rows, columns)).astype(np.float32))
        weights.append(np.zeros(columns, dtype=np.float32))
    return State(weights, [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights])


def train_epoch(state: State, recipe: Recipe, images: Array, labels: Labels, *, epochs: int, seed: int) -> None:
    """One pass over the training images; what is random depends on the seed and the epoch's number alone.

    Args:
        state: Changed in place.
        recipe: How to train.
        images: (n, side * side) in [0, 1].
        labels: (n,) class numbers.
        epochs: Length of the learning-rate schedule.
        seed: Decides order, shifts and dropout.
    """
    rng = np.random.default_rng([seed, 1, state.epoch])
    order = rng.permutation(len(images))
    images, labels = images[order], labels[order]
    if recipe.shift > 0:
        images = shifted(images, rng.uniform(-recipe.shift, recipe.shift, (len(images), 2)))
    phase = min(state.epoch / max(epochs - 1, 1), 1.0)
    rate = recipe.learning_rate * (1 - recipe.decay * 0.5 * (1 - math.cos(math.pi * phase)))
    for start in range(0, len(images), recipe.batch_size):
        batch = slice(start, start + recipe.batch_size)
        slopes = _slopes(state.weights, recipe, images[batch], labels[batch], rng)
        state.steps += 1
        (_adam if recipe.solver == "adam" else _sgd)(state, recipe, slopes, np.float32(rate))
    state.epoch += 1


def shifted(images: Array, by: NDArray[np.float64]) -> Array:
    """Move square images by parts of a pixel, with linear interpolation; zeros come in at the edges.

    Args:
        images: (n, side * side).
        by: (n, 2) pixels down and to the right.

    Returns:
        (n, side * side).
    """
    n, side = len(images), math.isqrt(images.shape[1])
    pixel = np.arange(side, dtype=np.float32)
    apart = pixel[:, None] - pixel[None, :]  # target minus source
    mixing = np.maximum(1 - np.abs(apart[None, None] - by.astype(np.float32)[:, :, None, None]), 0)
    square = images.reshape(n, side, side)
    return np.asarray(mixing[:, 0] @ square @ mixing[:, 1].transpose(0, 2, 1)).reshape(n, -1)


def probabilities(state: State, recipe: Recipe, images: Array) -> Array:
    """(n, classes) class probabilities."""
    x = images
    hidden = len(state.weights) - 2
    for i in range(0, hidden, 2):
        x = x @ state.weights[i] + state.weights[i + 1]
        x = np.maximum(x, 0) if recipe.activation == "relu" else np.tanh(x)
    return _softmax(x @ state.weights[hidden] + state.weights[hidden + 1])


def scores(state: State, recipe: Recipe, images: Array, labels: Labels) -> Mapping[str, float]:
    """Error in percent, and mean log loss in nats."""
    return scores_with_error(state, recipe, images, labels)[0]


def scores_with_error(state: State, recipe: Recipe, images: Array, labels: Labels) -> tuple[Mapping[str, float], float]:
    """As `scores`, with the standard error of the log loss over the images."""
    p = probabilities(state, recipe, images)
    wrong = float((p.argmax(axis=1) != labels).mean())
    if not np.isfinite(p).all():
        return {"error": 100 * wrong, "log_loss": math.nan}, math.nan
    losses = -np.log(np.maximum(p[np.arange(len(p)), labels].astype(np.float64), 1e-12))
    return {"error": 100 * wrong, "log_loss": float(losses.mean())}, float(losses.std(ddof=1)) / math.sqrt(len(p))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _slopes(weights: list[Array], recipe: Recipe, x: Array, labels: Labels, rng: np.random.Generator) -> list[Array]:
    """Gradient of the mean log loss plus penalty."""
    n, hidden = len(x), len(weights) - 2
    relu, keep = recipe.activation == "relu", 1 - recipe.dropout
    inputs, masks = [x], []
    for i in range(0, hidden, 2):
        z = inputs[-1] @ weights[i] + weights[i + 1]
        a = np.maximum(z, 0) if relu else np.tanh(z)
        slope = (z > 0).astype(np.float32) if relu else 1 - a * a
        if recipe.dropout > 0:
            kept = (rng.random(a.shape, dtype=np.float32) < keep) / np.float32(keep)
            a, slope = a * kept, slope * kept
        inputs.append(a)
        masks.append(slope)
    delta = _softmax(inputs[-1] @ weights[hidden] + weights[hidden + 1])
    delta[np.arange(n), labels] -= 1
    delta /= n
    slopes: list[Any] = [None] * len(weights)
    for i in range(hidden, -1, -2):
        slopes[i] = inputs[i // 2].T @ delta + np.float32(recipe.alpha / n) * weights[i]
        slopes[i + 1] = delta.sum(axis=0)
        if i:
            delta = (delta @ weights[i].T) * masks[i // 2 - 1]
    return slopes


def _adam(state: State, recipe: Recipe, slopes: list[Array], rate: np.float32) -> None:
    a, b = np.float32(0.9), np.float32(0.999)
    scale = np.float32(rate * math.sqrt(1 - 0.999**state.steps) / (1 - 0.9**state.steps))
    for w, m, v, g in zip(state.weights, state.first, state.second, slopes, strict=True):
        m *= a
        m += (1 - a) * g
        v *= b
        v += (1 - b) * g * g
        w -= scale * m / (np.sqrt(v) + np.float32(1e-8))


def _sgd(state: State, recipe: Recipe, slopes: list[Array], rate: np.float32) -> None:
    mu = np.float32(recipe.momentum)
    for w, m, g in zip(state.weights, state.first, slopes, strict=True):
        m *= mu
        m -= rate * g
        w += mu * m - rate * g
