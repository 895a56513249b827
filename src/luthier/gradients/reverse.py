"""Reverse differentiation through all of training: for many hyperparameters, at the memory of the trajectory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from luthier.base.checks import check
from luthier.gradients._sweep import sweep
from luthier.gradients._tree import WHAT, Tensors, Tree, detached, plus, torch_for, zeros
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.problem import Bilevel


class Reverse(Method):
    """Differentiate the whole of training, from its end to its beginning.

    Args:
        keep: "all": keep the state before every step. "sqrt": keep one of every sqrt(T), and train each stretch
            again on the way back.

    Source: Franceschi et al. 2017 ("Forward and reverse gradient-based hyperparameter optimization"), reverse mode;
        for "sqrt" the checkpointing of Chen et al. 2016, both as restated in the family survey's section on gradients.
    Differs: what is kept is the state, d numbers a step, and not what the step computed on its way: each step is
        computed once more when the sweep comes by.
    Cost: time of T steps forward, and T times a step with its backward pass ("sqrt": one more training); memory
        O(T d), with "sqrt" O(sqrt(T) d). The number of hyperparameters does not matter.
    """

    name: ClassVar[str] = "reverse"

    def __init__(self, *, keep: str = "all") -> None:
        check("keep", keep, one_of=("all", "sqrt"))
        self.keep = keep

    def _gradient(self, problem: Bilevel, hyper: Tensors, warm: Tree) -> Hypergradient:
        stride = 1 if self.keep == "all" else math.isqrt(problem.steps - 1) + 1
        kept: dict[int, Tree] = {}

        def visit(t: int, state: Tree) -> None:
            if t % stride == 0:
                kept[t] = state

        last = problem.run(hyper, visit=visit)
        value, by_params, direct = problem.judged(last, hyper)
        weight = {"params": by_params, "memory": zeros(last["memory"])}
        weight, gradient = sweep(problem, hyper, _backwards(problem, hyper, kept, stride), weight, detached(direct))
        if callable(problem.start):
            _, back = torch_for(WHAT).func.vjp(problem.start, hyper)
            gradient = plus(gradient, detached(back(weight["params"])[0]))
        return Hypergradient(value, gradient, last["params"], self.name, 2 * problem.steps)


def _backwards(problem: Bilevel, hyper: Tensors, kept: dict[int, Tree], stride: int) -> Iterator[tuple[int, Tree]]:
    """Steps, last first, each with the state before it; stretches that were not kept are trained again."""
    for first in range((problem.steps - 1) // stride * stride, -1, -stride):
        stretch = [kept.pop(first)]
        for t in range(first, min(first + stride, problem.steps) - 1):
            stretch.append(problem.next(stretch[-1], hyper, t))
        while stretch:
            yield first + len(stretch) - 1, stretch.pop()
