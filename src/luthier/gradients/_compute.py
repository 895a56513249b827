"""A method by its name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.gradients._tree import Tensor, Tree
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.problem import Bilevel

_NAMES = {
    "reverse": ("reverse", "Reverse", {}),
    "reverse-sqrt": ("reverse", "Reverse", {"keep": "sqrt"}),
    "truncated": ("truncated", "Truncated", {}),
    "forward": ("forward", "Forward", {}),
    "implicit-cg": ("implicit", "Implicit", {"solver": "cg"}),
    "implicit-neumann": ("implicit", "Implicit", {"solver": "neumann"}),
    "implicit-fixed-point": ("implicit", "Implicit", {"solver": "fixed-point"}),
}


def method_of(given: str | Method) -> Method:
    """The method itself, or the one of that name with its usual arguments."""
    if isinstance(given, Method):
        return given
    if given not in _NAMES:
        raise ArgumentError(f"method={given!r}. {did_you_mean(str(given), _NAMES)}")
    file, name, own = _NAMES[given]
    found: Method = getattr(importlib.import_module(f"luthier.gradients.{file}"), name)(**own)
    return found


def hypergradient(
    problem: Bilevel, hyper: Mapping[str, Tensor], *, method: str | Method = "reverse", warm: Tree = None
) -> Hypergradient:
    """Train, and differentiate the validation loss by the hyperparameters.

    Args:
        problem: What is trained and what judges it.
        hyper: Hyperparameters: floating-point tensors of any shape, by name.
        method: "reverse" (exact, the memory of all states), "reverse-sqrt" (of their root, one more training),
            "truncated" (the last 20 steps), "forward" (for few hyperparameters), "implicit-cg", "implicit-neumann",
            "implicit-fixed-point" (where training converges), or an instance such as `Truncated(last=5)`.
        warm: `warm` of an earlier answer.

    Returns:
        Value, gradient and diagnostics.
    """
    return method_of(method).gradient(problem, hyper, warm=warm)
