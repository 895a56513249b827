"""Truncated reverse differentiation: the last K steps alone, at the memory of K states."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from luthier.base.checks import check
from luthier.gradients._sweep import sweep
from luthier.gradients._tree import Tensors, Tree, detached, zeros
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.problem import Bilevel


class Truncated(Method):
    """Differentiate the last K steps of training, and take what came before for given.

    Where training has converged this is the sum of K terms of the Neumann series, and what is missing shrinks as
    (1 - rate * curvature)^K. Where it has not, whatever acts early (first weights, early learning rates) gets no
    gradient, or one of the wrong sign.

    Args:
        last: Steps, K. 20: as many as the survey gives the Neumann series.

    Source: Shaban et al. 2019, "Truncated back-propagation for bilevel optimization".
    Differs: as `Reverse`.
    Cost: time of T steps forward and K back; memory O(K d).
    """

    name: ClassVar[str] = "truncated"

    def __init__(self, *, last: int = 20) -> None:
        last = check("last", last, at_least=1, whole=True)
        self.last = last

    def _gradient(self, problem: Bilevel, hyper: Tensors, warm: Tree) -> Hypergradient:
        visited: deque[tuple[int, Tree]] = deque(maxlen=self.last)
        state = problem.run(hyper, visit=lambda t, before: visited.append((t, before)))
        value, by_params, direct = problem.judged(state, hyper)
        weight = {"params": by_params, "memory": zeros(state["memory"])}
        count = len(visited)
        _, gradient = sweep(problem, hyper, reversed(visited), weight, detached(direct))
        return Hypergradient(value, gradient, state["params"], self.name, 2 * count)
