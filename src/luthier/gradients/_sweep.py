"""The backward sweep that reverse and truncated differentiation share."""

from __future__ import annotations

from collections.abc import Iterable

from luthier.gradients._tree import Tensors, Tree, detached, plus, torch_for
from luthier.gradients.problem import WHAT, Bilevel


def sweep(
    problem: Bilevel, hyper: Tensors, visited: Iterable[tuple[int, Tree]], weight: Tree, gradient: Tensors
) -> tuple[Tree, Tensors]:
    """Go back through training steps.

    `gradient <- gradient + B_t' weight`, then `weight <- A_t' weight`, with A_t and B_t the Jacobians of step t by
    state and hyperparameters: two products a step, in one pass.

    Args:
        problem: What was trained.
        hyper: Hyperparameters.
        visited: Steps, last first, each with the state before it.
        weight: Gradient of the validation loss by the state after the last step.
        gradient: What is known of the hypergradient already.

    Returns:
        The gradient by the state before the earliest step, and the hypergradient.
    """
    vjp = torch_for(WHAT).func.vjp
    for t, state in visited:
        _, back = vjp(lambda s, h, t=t: problem.advance(s, h, t), state, hyper)
        by_state, by_hyper = back(weight)
        weight, gradient = detached(by_state), plus(gradient, detached(by_hyper))
    return weight, gradient
