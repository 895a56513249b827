"""Derivatives by torch's tape: the same numbers as torch.func, with fewer calls in small models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, each, tensors, torch_for


def leaves(tree: Tree) -> Tree:
    """The same numbers as the beginning of a new tape."""
    return each(lambda x: x.detach().requires_grad_(True), tree)


def slope(loss: Callable[..., Tensor], params: Tensors, hyper: Tensors, batch: Any, *, again: bool) -> Tensors:
    """The gradient of a training loss by the parameters.

    Args:
        loss: (parameters, hyperparameters, batch) -> one number.
        params: Parameters, on a tape.
        hyper: Hyperparameters.
        batch: The batch.
        again: Whether the gradient will be differentiated in turn.
    """
    autograd = torch_for(WHAT).autograd
    value = loss(params, hyper, batch)
    found = autograd.grad(value, list(params.values()), create_graph=again, allow_unused=True)
    return {
        name: param * 0.0 if part is None else part for (name, param), part in zip(params.items(), found, strict=True)
    }


def pulled(function: Callable[[Tree, Tensors], Tree], state: Tree, hyper: Tensors, weight: Tree) -> tuple[Tree, Tree]:
    """The products of the Jacobians of a function with a weight of its result, by state and by hyperparameters.

    Args:
        function: (state, hyperparameters) -> state.
        state: Where.
        hyper: Where.
        weight: Of each number of the result.
    """
    torch = torch_for(WHAT)
    with torch.enable_grad():
        begun, under = leaves(state), leaves(hyper)
        pairs = [
            (out, w)
            for out, w in zip(tensors(function(begun, under)), tensors(weight), strict=True)
            if out.requires_grad
        ]
        inputs = [*tensors(begun), *tensors(under)]
        found: list[Any] = [None] * len(inputs)
        if pairs:
            outs, weights = [out for out, _ in pairs], [w for _, w in pairs]
            found = list(torch.autograd.grad(outs, inputs, weights, allow_unused=True))
    filled = iter([x * 0.0 if part is None else part for x, part in zip(inputs, found, strict=True)])
    return _like(state, filled), _like(hyper, filled)


def _like(tree: Tree, parts: Any) -> Tree:
    """A tree of the same shape from its tensors in order."""
    if isinstance(tree, dict):
        made = {name: _like(tree[name], parts) for name in sorted(tree)}
        return {name: made[name] for name in tree}
    return next(parts).detach()
