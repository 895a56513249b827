"""Implicit differentiation at the end of training: by conjugate gradients, Neumann series or fixed point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.gradients._solvers import Solution, conjugate_gradients, fixed_point, largest
from luthier.gradients._tree import WHAT, Tensors, Tree, detached, finite, norm, plus, times, torch_for, zeros
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.problem import Bilevel

UNSOLVED = 0.01  # a residual, relative to the right-hand side, beyond which the answer is a rough one
RESTLESS = 1e-3  # one more step as long as this share of the first: training has not converged (the survey's number)


class Implicit(Method):
    """Differentiate the condition that training has come to rest, and not the way there.

    `gradient = direct - (d2L/dh dw)' q` with `H q = dE/dw`, H the Hessian of the training loss ("cg", "neumann"); or
    `direct + B' v` with `v = A' v + dE/dw`, A and B the Jacobians of a training step ("fixed-point", which needs no
    training loss, only a step that comes to rest; memory of the optimiser included).

    Args:
        solver: "cg": few iterations, needs H positive. "neumann": as many terms of the series of H. "fixed-point": as
            many terms of the series of A.
        iterations: Most products to spend; 20 is the survey's number, with the solution of the last call to start from.
        tolerance: Residual, relative to the right-hand side, at which to stop. 1e-10: as the reference code.
        damping: Added to H, where it is not positive or nearly singular; 0: none.
        scale: Of "neumann", below 1 over the largest curvature; None: 0.9 of that, measured by 10 products.

    Source: Pedregosa 2016 and Grazzi et al. 2020 (conjugate gradients, fixed point), Lorraine et al. 2020 (Neumann),
        as restated in the family survey.
    Differs: "neumann" measures its scale.
    Cost: time of T steps forward and one product with H or A' an iteration; memory O(d), whatever T. Exact only at a
        point of rest: `unreliable` says when one more step is longer than 0.001 of the first.
    """

    name: ClassVar[str] = "implicit"

    def __init__(
        self,
        *,
        solver: str = "cg",
        iterations: int = 20,
        tolerance: float = 1e-10,
        damping: float = 0.0,
        scale: float | None = None,
    ) -> None:
        check("solver", solver, one_of=("cg", "neumann", "fixed-point"))
        iterations = check("iterations", iterations, at_least=1, whole=True)
        check("tolerance", tolerance, at_least=0)
        check("damping", damping, at_least=0)
        if scale is not None:
            check("scale", scale, above=0)
        self.solver, self.iterations, self.tolerance = solver, iterations, tolerance
        self.damping, self.scale = damping, scale

    def _gradient(self, problem: Bilevel, hyper: Tensors, warm: Tree) -> Hypergradient:
        first: list[Tree] = []
        state = problem.run(hyper, visit=lambda t, before: None if len(first) == 2 else first.append(before))
        after = detached(problem.advance(state, hyper, problem.steps, problem.last_batch()))
        begun = _length(first[0], first[1] if len(first) > 1 else state)
        unrest = _length(state, after) / begun if begun > 0 else 0.0
        value, by_params, direct = problem.judged(state, hyper)
        name = f"{self.name}-{self.solver}"
        if not (math.isfinite(value) and finite(state)):
            return Hypergradient(math.nan, times(hyper, math.nan), state["params"], name, 0, unreliable="diverged")
        solve = self._by_step if self.solver == "fixed-point" else self._by_curvature
        indirect, found = solve(problem, hyper, state, by_params, warm)
        return Hypergradient(
            value,
            plus(detached(direct), indirect),
            state["params"],
            name,
            found.products + 1,
            found.residual,
            unrest,
            _doubts(unrest, found),
            found.solution,
        )

    def _by_step(
        self, problem: Bilevel, hyper: Tensors, state: Tree, by_params: Tensors, warm: Tree
    ) -> tuple[Tensors, Solution]:
        batch = problem.last_batch()
        _, back = torch_for(WHAT).func.vjp(lambda s, h: problem.advance(s, h, problem.steps, batch), state, hyper)
        aim = {"params": detached(by_params), "memory": zeros(state["memory"])}
        found = fixed_point(
            lambda v: detached(back(v)[0]), aim, warm=warm, iterations=self.iterations, tolerance=self.tolerance
        )
        return detached(back(found.solution)[1]), found

    def _by_curvature(
        self, problem: Bilevel, hyper: Tensors, state: Tree, by_params: Tensors, warm: Tree
    ) -> tuple[Tensors, Solution]:
        if problem.train is None:
            raise ArgumentError(
                f"solver={self.solver!r} needs the training loss, and this problem has steps of its own. Give "
                "Bilevel(train=...), or take solver='fixed-point'."
            )
        func, train, batch, params = torch_for(WHAT).func, problem.train, problem.last_batch(), state["params"]
        _, curve = func.vjp(lambda w: func.grad(train)(w, hyper, batch), params)

        def product(v: Tree) -> Tree:
            return plus(detached(curve(v)[0]), v, self.damping) if self.damping else detached(curve(v)[0])

        aim = detached(by_params)
        if self.solver == "cg":
            found = conjugate_gradients(product, aim, warm=warm, iterations=self.iterations, tolerance=self.tolerance)
        else:
            found = self._neumann(product, aim, warm)
        _, mixed = func.vjp(lambda h: func.grad(train)(params, h, batch), hyper)
        return times(detached(mixed(found.solution)[0]), -1.0), found

    def _neumann(self, product: Callable[[Tree], Tree], aim: Tree, warm: Tree) -> Solution:
        spent, scale = 0, self.scale
        if scale is None:
            spent = 10  # products that measure the largest curvature to a few percent where it matters
            scale = 0.9 / largest(product, aim, products=spent)
        found = fixed_point(
            lambda v: plus(v, product(v), -scale),
            times(aim, scale),
            warm=warm,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        return Solution(found.solution, found.residual, found.products + spent, found.doubt)


def _length(before: Tree, after: Tree) -> float:
    return norm(plus(after["params"], before["params"], -1.0))


def _doubts(unrest: float, found: Solution) -> str:
    said = []
    if not unrest <= RESTLESS:
        said.append(f"training has not come to rest: one more step is {unrest:.1g} of the first, above {RESTLESS:g}")
    if found.doubt:
        said.append(found.doubt)
    elif found.residual > UNSOLVED:
        said.append(f"{found.products} products left {found.residual:.1g} of the system unsolved: give more iterations")
    return "; ".join(said)
