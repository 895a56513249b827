"""A small neural network that predicts a mean and a standard deviation at every point, in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH, HIDDEN = 50, 2  # units of a layer, and layers
BATCH, UPDATES = 64, 1000  # rows of an update, and updates of a round (the authors' code)
CHECK = 100  # updates after which the held-out rows are looked at
DECAY = 0.3  # pull of the matrices towards 0, in units of the rate: of 0.01 to 1 the least error on sums of sines
#: Rates of the rounds: the authors' code computes a decay by 5 and never uses it; here it is used.
RATES = (1e-2, 2e-3, 4e-4)
HELD_OUT = 0.1  # share of the rows by which the best state is chosen (the authors' code)
FEWEST = 20  # rows below which none is held out: two say nothing
LOG_SD = (-3.0, 1.0)  # bounds of the logarithm of the standard deviation, for values of about unit spread
MIDDLE, SPREAD = 0.5, 12**-0.5  # mean and standard deviation of a uniform column
_ADAM = (0.9, 0.999, 1e-8)


@dataclass(frozen=True)
class NormalNet:
    """A fitted network: tanh layers, and two linear heads.

    Args:
        weights: Matrix (in, out) and bias (out,) of each layer, the heads' last.
        widening: What standard deviations are multiplied by, so that they are right on held-out rows.
    """

    weights: tuple[Array, ...]
    widening: float = 1.0

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation; (m, p) -> (m,), (m,)."""
        heads = _forward(self.weights, _scaled(X))[-1]
        return heads[:, 0], self.widening * np.exp(_bounded(heads[:, 1]))


def fit_normal_net(X: Array, y: Array, rng: np.random.Generator) -> NormalNet:
    """Fit a network by the likelihood of normal errors.

    Adam on batches, in three rounds of falling rate; of the states after every 100 updates the one with the best
    likelihood of a held-out tenth is kept. Where its errors there are larger than it says, it says so much more.

    Args:
        X: (n, p) features, finite, mostly in [0, 1].
        y: (n,) values of about unit spread, finite.
        rng: Decides first weights, batches, and what is held out.

    Returns:
        The network.

    Source: Salinas, Shen, Perrone 2020, and their code: two heads, normal likelihood, Adam, rounds, held-out tenth.
    Differs: tanh layers of 50 units; the rate falls from round to round; decay of the weights; the widening.
    Cost: 3000 updates of O(BATCH WIDTH (p + WIDTH)).
    """
    order = rng.permutation(len(y))
    held = int(np.ceil(HELD_OUT * len(y))) if len(y) >= FEWEST else 0
    apart, learnt = order[:held] if held else order, order[held:]
    scaled = _scaled(X)
    sizes = [X.shape[1], *[WIDTH] * HIDDEN, 2]
    weights: list[Array] = []
    for fan, out in pairwise(sizes):
        weights += [rng.standard_normal((fan, out)) / max(fan, 1) ** 0.5, np.zeros(out)]
    weights[-2] *= 0.1  # the heads begin near the standard normal
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    best: tuple[float, tuple[Array, ...]] = (np.inf, tuple(weights))
    batches = rng.integers(len(learnt), size=(len(RATES) * UPDATES, min(BATCH, len(learnt))))
    for step, batch in enumerate(batches, 1):
        rate, rows = RATES[(step - 1) // UPDATES], learnt[batch]
        _update(weights, moments, _gradients(weights, scaled[rows], y[rows]), rate, step)
        if step % CHECK == 0:
            loss = _loss(_forward(weights, scaled[apart])[-1], y[apart])
            if loss < best[0]:
                best = (loss, tuple(w.copy() for w in weights))
    mean, sd = NormalNet(best[1]).predict(X[apart])
    return NormalNet(best[1], max(1.0, float(np.sqrt((((y[apart] - mean) / sd) ** 2).mean()))) if held else 1.0)


def _scaled(X: Array) -> Array:
    found: Array = (X - MIDDLE) / SPREAD
    return found


def _bounded(raw: Array) -> Array:
    """Logarithm of the standard deviation; smooth at the bounds, so that no gradient is lost for good."""
    low, high = LOG_SD
    found: Array = low + (high - low) / (1.0 + np.exp(-raw - np.log(-low / high)))
    return found


def _forward(weights: tuple[Array, ...] | list[Array], X: Array) -> list[Array]:
    """What comes out of each layer, the input first; the heads last."""
    out = [X]
    for place in range(0, len(weights) - 2, 2):
        out.append(np.tanh(out[-1] @ weights[place] + weights[place + 1]))
    out.append(out[-1] @ weights[-2] + weights[-1])
    return out


def _loss(heads: Array, y: Array) -> float:
    """Mean negative logarithm of the likelihood, up to a constant."""
    log_sd = _bounded(heads[:, 1])
    return float((log_sd + 0.5 * ((y - heads[:, 0]) * np.exp(-log_sd)) ** 2).mean())


def _gradients(weights: list[Array], X: Array, y: Array) -> list[Array]:
    """Of `_loss` by each of the weights."""
    out = _forward(weights, X)
    heads = out[-1]
    low, high = LOG_SD
    log_sd = _bounded(heads[:, 1])
    share = (log_sd - low) / (high - low)
    error = (heads[:, 0] - y) * np.exp(-2.0 * log_sd)
    spread = (1.0 - error * (heads[:, 0] - y)) * (high - low) * share * (1.0 - share)
    back = np.stack([error, spread], axis=1) / len(y)
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
