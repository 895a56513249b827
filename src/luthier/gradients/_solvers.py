"""Linear systems that are known by their products alone: conjugate gradients, fixed-point iteration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from luthier.gradients._tree import Tree, dot, finite, norm, plus, times, zeros

Product = Callable[[Tree], Tree]


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    Args:
        solution: The tree.
        residual: Norm of what is left, relative to the right-hand side.
        products: Products spent.
        doubt: Why it should not be trusted; empty: no reason.
    """

    solution: Tree
    residual: float
    products: int
    doubt: str = ""


def conjugate_gradients(product: Product, aim: Tree, *, warm: Tree, iterations: int, tolerance: float) -> Solution:
    """Solve `H q = aim` for a symmetric positive H.

    Args:
        product: q -> H q.
        aim: Right-hand side.
        warm: Where to start; None: 0.
        iterations: Most steps; each takes one product.
        tolerance: Relative residual that is small enough.

    Cost: one product a step, one more with a warm start; memory of four trees.
    """
    size, spent = norm(aim), 0
    if size == 0.0:
        return Solution(zeros(aim), 0.0, 0)
    q = zeros(aim) if warm is None else warm
    left = aim
    if warm is not None:
        left, spent = plus(aim, product(warm), -1.0), 1
    way, rest = left, dot(left, left)
    for _ in range(iterations):
        if math.sqrt(rest) <= tolerance * size:
            break
        curved = product(way)
        spent += 1
        bend = dot(way, curved)
        if not bend > 0.0:
            doubt = "the training loss does not curve upwards here: give damping, or solver='fixed-point'"
            return Solution(q, math.sqrt(rest) / size, spent, doubt)
        step = rest / bend
        q, left = plus(q, way, step), plus(left, curved, -step)
        rest, before = dot(left, left), rest
        way = plus(left, way, rest / before)
    return Solution(q, math.sqrt(rest) / size, spent)


def fixed_point(product: Product, aim: Tree, *, warm: Tree, iterations: int, tolerance: float) -> Solution:
    """Solve `v = M v + aim` by iterating it, which is the Neumann series of M term by term.

    Args:
        product: v -> M v.
        aim: The constant part; K iterations from 0 give the sum of K terms M^j aim.
        warm: Where to start; None: 0.
        iterations: Most steps; the first from 0 needs no product.
        tolerance: Change, relative to `aim`, that is small enough.

    Cost: one product a step; memory of three trees.
    """
    size = norm(aim)
    if size == 0.0:
        return Solution(zeros(aim), 0.0, 0)
    v, spent, change, first = (aim, 0, size, 1) if warm is None else (warm, 0, math.inf, 0)
    before = math.inf
    for _ in range(first, iterations):
        after = plus(product(v), aim)
        spent += 1
        before, change = change, norm(plus(after, v, -1.0))
        v = after
        if change <= tolerance * size or not finite(v):
            break
    doubt = ""
    if not math.isfinite(change) or (change > before and change > tolerance * size):
        doubt = "the series grows: training steps are no contraction here"
    return Solution(v, change / size, spent, doubt)


def largest(product: Product, seed: Tree, *, products: int) -> float:
    """The largest absolute eigenvalue of a symmetric map, by the power method; from below.

    Args:
        product: v -> H v.
        seed: Where to start.
        products: Products to spend.
    """
    v, found = seed, 0.0
    for _ in range(products):
        size = norm(v)
        if size == 0.0 or not math.isfinite(size):
            break
        v = product(times(v, 1.0 / size))
        found = max(found, norm(v))
    return found or 1.0
