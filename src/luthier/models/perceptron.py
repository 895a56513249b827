"""Small neural networks that rank points by how likely they are among the best: smooth, with gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import need
from luthier.models.classifier import Mask, SmoothClassifier, subsets
from luthier.models.labels import Labels

Array = NDArray[np.float64]

MEMBERS = 5  # one network is sure where it knows nothing; the mean of a few is less so
WIDTH, HIDDEN = 32, 2  # the authors' width; their helper's extra layer is left out
STEPS = 100  # gradient steps a fit, each on all rows: the number of the authors' experiments; 200 ranked no better
RATE = 0.01
DECAY = 1e-3  # pull of the weights towards 0
MIDDLE, SPREAD = 0.5, 12**-0.5  # mean and standard deviation of a uniform column


class Perceptrons(SmoothClassifier):
    """Several networks of one shape, evaluated together, without torch; votes are logits.

    Args:
        weights: Matrix and bias of each layer, stacked over members: (members, in, out) and (members, 1, out).
        inside: (members, n) which rows each has seen.
    """

    def __init__(self, weights: list[Array], inside: Mask) -> None:
        self._matrices, self._biases, self.inside = weights[::2], weights[1::2], inside

    def votes(self, X: Array) -> Array:
        """Logit of class 1; (m, p) -> (members, m)."""
        return self._forward(X)[-1][:, :, 0]

    def slope(self, X: Array) -> tuple[Array, Array]:
        """Mean logits and their gradients; (m, p) -> (m,), (m, p)."""
        *hidden, logits = self._forward(X)
        back = np.broadcast_to(self._matrices[-1].swapaxes(1, 2), (MEMBERS, len(X), WIDTH))
        for sums, matrix in zip(reversed(hidden), reversed(self._matrices[:-1]), strict=True):
            back = (back * np.exp(np.minimum(sums, 0.0))) @ matrix.swapaxes(1, 2)
        return logits[:, :, 0].mean(axis=0), back.mean(axis=0) / SPREAD

    def _forward(self, X: Array) -> list[Array]:
        """What goes into the units of each layer; (m, p) -> (members, m, WIDTH), ..., (members, m, 1)."""
        sums = [_scaled(X) @ self._matrices[0] + self._biases[0]]
        for matrix, bias in zip(self._matrices[1:], self._biases[1:], strict=True):
            at = sums[-1]
            sums.append(np.where(at > 0.0, at, np.expm1(np.minimum(at, 0.0))) @ matrix + bias)  # elu
        return sums


def fit_perceptrons(X: Array, labels: Labels, rng: np.random.Generator) -> Perceptrons:
    """Fit networks to soft labels, all at once, by Adam on the weighted cross-entropy.

    Args:
        X: (n, p) features, finite, mostly in [0, 1].
        labels: Of the n rows, some with a target above 0 and some without.
        rng: Decides the first weights and which rows each network sees.

    Returns:
        The classifier.

    Raises:
        MissingExtra: torch is not installed.

    Source: Tiao et al. 2021, the networks of their experiments: width 32, elu, cross-entropy on logits, Adam.
    Differs: five networks, each on 63 % of the rows; all rows in each step; fitted from scratch each time, so that
        a fit depends on its data alone.
    Cost: O(STEPS * MEMBERS * s (p + WIDTH) WIDTH) with s = min(0.63 n, 256) rows a network.
    """
    torch = need("torch", what="classifier 'mlp'", extra="torch")
    inside = subsets(labels.target, rng, members=MEMBERS)
    rows = np.nonzero(inside)[1].reshape(MEMBERS, -1)  # (members, s)
    sizes = [X.shape[1], *[WIDTH] * HIDDEN, 1]
    with _one_thread(torch):
        weights = []
        for fan, out in pairwise(sizes):
            first = rng.standard_normal((MEMBERS, fan, out)) / max(fan, 1) ** 0.5
            weights += [torch.from_numpy(one).requires_grad_() for one in (first, np.zeros((MEMBERS, 1, out)))]
        given, target, weight = (
            torch.from_numpy(np.ascontiguousarray(one[rows])) for one in (_scaled(X), labels.target, labels.weight)
        )
        weight = weight / weight.mean(dim=1, keepdim=True)
        optimiser = torch.optim.Adam(weights, lr=RATE, weight_decay=DECAY)
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                _logits(torch, weights, given), target, weight=weight, reduction="none"
            )
            loss.mean(dim=1).sum().backward()  # a sum over members: each has the gradient that it would have alone
            optimiser.step()
    return Perceptrons([one.detach().numpy() for one in weights], inside)


def _logits(torch: Any, weights: list[Any], given: Any) -> Any:
    """Each member's logits for rows of its own; (members, s, p) -> (members, s)."""
    hidden = given
    for matrix, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = torch.nn.functional.elu(torch.baddbmm(bias, hidden, matrix))
    return torch.baddbmm(weights[-1], hidden, weights[-2])[:, :, 0]


def _scaled(X: Array) -> Array:
    """Columns with the mean and spread that the first weights are made for."""
    found: Array = (X - MIDDLE) / SPREAD
    return found


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """So that sums have one order, and small products no overhead; the setting comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
