"""Optimisers whose every step can be differentiated: sgd, momentum, adam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.gradients._tree import Tensors, Tree, each, zeros

#: A learning rate: a number; the name of a hyperparameter (one number, or a vector with one number a step); or a
#: function of (hyperparameters, step number) that returns a number or a dictionary with one a parameter tensor.
Rate = float | str | Callable[[Tensors, int], Any]

#: (parameters, gradients, memory, hyperparameters, step number from 0) -> (parameters, memory)
Update = Callable[[Tensors, Tensors, Tree, Tensors, int], tuple[Tensors, Tree]]


@dataclass(frozen=True)
class Optimiser:
    """How parameters follow gradients.

    Args:
        name: For messages.
        memory: Makes the first memory (such as momentum) from the parameters; it belongs to the state that is
            differentiated through.
        update: One step, pure, built of differentiable operations.
    """

    name: str
    memory: Callable[[Tensors], Tree]
    update: Update


def sgd(rate: Rate = 0.1) -> Optimiser:
    """Gradient descent: `w - rate * g`.

    Args:
        rate: Learning rate, as a number, a name or a function (see `Rate`).
    """
    _check_rate(rate)

    def update(params: Tensors, grads: Tensors, memory: Tree, hyper: Tensors, t: int) -> tuple[Tensors, Tree]:
        return _moved(params, grads, _rate(rate, hyper, t)), memory

    return Optimiser("sgd", lambda params: {}, update)


def momentum(rate: Rate = 0.1, decay: float | str = 0.9) -> Optimiser:
    """Heavy ball: `m <- decay * m + g`, `w - rate * m`.

    Args:
        rate: Learning rate.
        decay: What is left of the momentum after a step, or the name of a hyperparameter; 0.9 by convention.
    """
    _check_rate(rate)
    if not isinstance(decay, str):
        check("decay", decay, at_least=0, below=1)

    def update(params: Tensors, grads: Tensors, memory: Tree, hyper: Tensors, t: int) -> tuple[Tensors, Tree]:
        kept = hyper[decay] if isinstance(decay, str) else decay
        moving = each(lambda m, g: kept * m + g, memory, grads)
        return _moved(params, moving, _rate(rate, hyper, t)), moving

    return Optimiser("momentum", zeros, update)


def adam(rate: Rate = 1e-3, *, decays: tuple[float, float] = (0.9, 0.999), floor: float = 1e-8) -> Optimiser:
    """Adam.

    Args:
        rate: Learning rate.
        decays: Of the mean and of the mean square, the authors' numbers.
        floor: Added below the root, squared; the authors' number.

    Source: Kingma and Ba 2015, algorithm 1.
    Differs: the floor stands inside of the root, `sqrt(v + floor^2)`: the root has no derivative at 0, where it
        would turn the hypergradient into NaN as soon as one gradient is exactly 0.
    """
    _check_rate(rate)
    first, second = decays

    def update(params: Tensors, grads: Tensors, memory: Tree, hyper: Tensors, t: int) -> tuple[Tensors, Tree]:
        mean = each(lambda m, g: first * m + (1 - first) * g, memory["mean"], grads)
        square = each(lambda v, g: second * v + (1 - second) * g * g, memory["square"], grads)
        one, two = 1 - first ** (t + 1), 1 - second ** (t + 1)
        way = each(lambda m, v: (m / one) / (v / two + floor**2) ** 0.5, mean, square)
        return _moved(params, way, _rate(rate, hyper, t)), {"mean": mean, "square": square}

    return Optimiser("adam", lambda params: {"mean": zeros(params), "square": zeros(params)}, update)


def _check_rate(rate: Rate) -> None:
    if not isinstance(rate, str) and not callable(rate):
        check("rate", rate, above=0)


def _rate(rate: Rate, hyper: Tensors, t: int) -> Any:
    if callable(rate):
        return rate(hyper, t)
    if not isinstance(rate, str):
        return rate
    if rate not in hyper:
        known = ", ".join(map(repr, hyper)) or "none"
        raise ArgumentError(f"learning rate {rate!r} is not among the hyperparameters. Allowed: {known}.")
    found = hyper[rate]
    if found.ndim == 0:
        return found
    if t >= len(found):
        raise ArgumentError(
            f"learning rate {rate!r} has {len(found)} numbers, and step {t + 1} is asked for. Allowed: one number a "
            "step, one for all, or a function of (hyperparameters, step)."
        )
    return found[t]


def _moved(params: Tensors, way: Tensors, rate: Any) -> Tensors:
    if isinstance(rate, dict):
        return {name: params[name] - rate[name] * way[name] for name in params}
    return {name: params[name] - rate * way[name] for name in params}
