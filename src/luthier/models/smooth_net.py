"""A small neural network that predicts a mean, in plain numpy: a smooth function of many points, quickly fitted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH, HIDDEN = 50, 2  # units of a layer, and layers
BATCH, UPDATES = 64, 1000  # rows of an update, and updates of a round (the authors' code)
CHECK = 100  # updates after which the held-out rows are looked at
#: Rates of the rounds: the authors' code computes a decay by 5 and never uses it; here it is used.
RATES = (1e-2, 2e-3, 4e-4)
DECAY = 0.3  # pull of the matrices towards 0, in units of the rate: of 0.01 to 1 the least error on sums of sines
HELD_OUT = 0.1  # share of the rows by which the best state is chosen (the authors' code)
FEWEST = 20  # rows below which none is held out: two say nothing
MIDDLE, SPREAD = 0.5, 12**-0.5  # mean and standard deviation of a uniform column
_ADAM = (0.9, 0.999, 1e-8)


@dataclass(frozen=True)
class SmoothNet:
    """A fitted network: tanh layers, and a linear one.

    Args:
        weights: Matrix (in, out) and bias (out,) of each layer.
    """

    weights: tuple[Array, ...]

    def predict(self, X: Array) -> Array:
        """Mean; (m, p) -> (m,)."""
        return _forward(self.weights, _scaled(X))[-1][:, 0]


def fit_smooth_net(X: Array, y: Array, rng: np.random.Generator) -> SmoothNet:
    """Fit a network by least squares.

    Adam on batches, in three rounds of falling rate; of the states after every 100 updates the one with the least
    error on a held-out tenth is kept.

    Args:
        X: (n, p) features, finite, mostly in [0, 1].
        y: (n,) values of about unit spread, finite, n >= 1.
        rng: Decides first weights, batches, and what is held out.

    Returns:
        The network.

    Source: Salinas, Shen, Perrone 2020, and their code: Adam, rounds, held-out tenth.
    Differs: tanh layers of 50 units; the rate falls from round to round; decay of the weights. Theirs has a second
        head, for the standard deviation, and maximises the normal likelihood: see `searchers.transfer._copula`.
    Cost: 3000 updates of O(BATCH WIDTH (p + WIDTH)), a third of a second.
    """
    order = rng.permutation(len(y))
    held = int(np.ceil(HELD_OUT * len(y))) if len(y) >= FEWEST else 0
    apart, learnt = order[:held] if held else order, order[held:]
    scaled = _scaled(X)
    weights: list[Array] = []
    for fan, out in pairwise([X.shape[1], *[WIDTH] * HIDDEN, 1]):
        weights += [rng.standard_normal((fan, out)) / max(fan, 1) ** 0.5, np.zeros(out)]
    weights[-2] *= 0.1  # it begins near a constant
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    best: tuple[float, tuple[Array, ...]] = (np.inf, tuple(weights))
    batches = rng.integers(len(learnt), size=(len(RATES) * UPDATES, min(BATCH, len(learnt))))
    for step, batch in enumerate(batches, 1):
        rate, rows = RATES[(step - 1) // UPDATES], learnt[batch]
        _update(weights, moments, _gradients(weights, scaled[rows], y[rows]), rate, step)
        if step % CHECK == 0:
            loss = _loss(weights, scaled[apart], y[apart])
            if loss < best[0]:
                best = (loss, tuple(w.copy() for w in weights))
    return SmoothNet(best[1])


def _scaled(X: Array) -> Array:
    found: Array = (X - MIDDLE) / SPREAD
    return found


def _forward(weights: tuple[Array, ...] | list[Array], X: Array) -> list[Array]:
    """What comes out of each layer, the input first."""
    out = [X]
    for place in range(0, len(weights) - 2, 2):
        out.append(np.tanh(out[-1] @ weights[place] + weights[place + 1]))
    out.append(out[-1] @ weights[-2] + weights[-1])
    return out


def _loss(weights: list[Array], X: Array, y: Array) -> float:
    """Half the mean square of the errors."""
    return float(0.5 * ((_forward(weights, X)[-1][:, 0] - y) ** 2).mean())


def _gradients(weights: list[Array], X: Array, y: Array) -> list[Array]:
    """Of `_loss` by each of the weights."""
    out = _forward(weights, X)
    back = (out[-1] - y[:, None]) / len(y)
    found: list[Array] = []
    for place in range(len(weights) - 2, -1, -2):
        below = out[place // 2]
        found[:0] = [below.T @ back, back.sum(axis=0)]
        back = (back @ weights[place].T) * (1.0 - below**2)
    return found


def _update(
    weights: list[Array], moments: list[tuple[Array, Array]], gradients: list[Array], rate: float, step: int
) -> None:
    """One step of Adam, in place."""
    first, second, tiny = _ADAM
    size = rate * np.sqrt(1.0 - second**step) / (1.0 - first**step)
    for weight, (mean, square), gradient in zip(weights, moments, gradients, strict=True):
        mean *= first
        mean += (1.0 - first) * gradient
        square *= second
        square += (1.0 - second) * gradient**2
        if weight.ndim > 1:
            weight *= 1.0 - rate * DECAY
        weight -= size * mean / (np.sqrt(square) + tiny)
