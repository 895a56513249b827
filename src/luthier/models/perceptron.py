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
    """Several networks of one shape, evaluated together; votes are logits.

    Args:
        torch: The module.
        weights: Matrix and bias of each layer, stacked over members.
        inside: (members, n) which rows each has seen.
    """

    def __init__(self, torch: Any, weights: list[Any], inside: Mask) -> None:
        self._torch, self._weights, self.inside = torch, weights, inside

    def votes(self, X: Array) -> Array:
        """Logit of class 1; (m, p) -> (members, m)."""
        with _one_thread(self._torch), self._torch.no_grad():
            found: Array = _logits(self._torch, self._weights, self._torch.from_numpy(_scaled(X))).numpy()
        return found

    def slope(self, X: Array) -> tuple[Array, Array]:
        """Mean logits and their gradients; (m, p) -> (m,), (m, p)."""
        with _one_thread(self._torch):
            given = self._torch.from_numpy(_scaled(X)).requires_grad_()
            score = _logits(self._torch, self._weights, given).mean(dim=0)
            score.sum().backward()
        return score.detach().numpy(), given.grad.numpy() / SPREAD


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
    return Perceptrons(torch, [one.detach() for one in weights], inside)


def _logits(torch: Any, weights: list[Any], given: Any) -> Any:
    """(m, p), or (members, m, p) where members have rows of their own, -> (members, m)."""
    hidden = given if given.dim() == 3 else given.expand(MEMBERS, *given.shape)
    for matrix, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = torch.nn.functional.elu(torch.baddbmm(bias, hidden, matrix))
    return torch.baddbmm(weights[-1], hidden, weights[-2])[:, :, 0]


def _scaled(X: Array) -> Array:
    """Columns with the mean and spread that the first weights are made for."""
    found: Array = (X - MIDDLE) / SPREAD
    return found


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """So that sums have one order, and small products no overhead; the caller's setting comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
