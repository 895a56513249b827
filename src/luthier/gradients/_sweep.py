"""The backward sweep that reverse and truncated differentiation share."""

from __future__ import annotations

from collections.abc import Iterable

from luthier.gradients._tape import pulled
from luthier.gradients._tree import Tensors, Tree, plus
from luthier.gradients.problem import Bilevel


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
    for t, state in visited:
        weight, by_hyper = pulled(lambda s, h, t=t: problem.taped(s, h, t), state, hyper, weight)  # type: ignore[misc]
        gradient = plus(gradient, by_hyper)
    return weight, gradient
