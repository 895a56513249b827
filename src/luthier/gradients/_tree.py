"""Arithmetic on trees: tensors in nested dictionaries, as parameters and optimiser states are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from luthier.base.imports import need

Tensor = Any  # torch.Tensor; torch is optional, and type checkers may not have it
Tree = Any  # a tensor, or a dictionary of trees
Tensors = dict[str, Any]  # name -> tensor

WHAT = "luthier.gradients"  # the feature that a missing torch is told to stop


def torch_for(what: str) -> ModuleType:
    """The torch module.

    Raises:
        MissingExtra: it is not installed.
    """
    return need("torch", what=what, extra="torch")


def tensors(tree: Tree) -> Iterator[Tensor]:
    """The tensors of a tree, in order of their names."""
    if isinstance(tree, dict):
        for name in sorted(tree):
            yield from tensors(tree[name])
    else:
        yield tree


def each(function: Callable[..., Tensor], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to the tensors of trees of one shape."""
    if isinstance(tree, dict):
        return {name: each(function, tree[name], *(other[name] for other in others)) for name in tree}
    return function(tree, *others)


def plus(a: Tree, b: Tree, scale: Any = 1.0) -> Tree:
    """`a + scale * b`."""
    return each(lambda x, y: x + scale * y, a, b)


def times(a: Tree, scale: Any) -> Tree:
    """`scale * a`."""
    return each(lambda x: x * scale, a)


def dot(a: Tree, b: Tree) -> float:
    """The inner product."""
    return math.fsum(float((x * y).sum()) for x, y in zip(tensors(a), tensors(b), strict=True))


def norm(a: Tree) -> float:
    """The Euclidean norm."""
    return math.sqrt(dot(a, a))


def detached(tree: Tree) -> Tree:
    """The same numbers without their history."""
    return each(lambda x: x.detach(), tree)


def zeros(tree: Tree) -> Tree:
    """Zeros of the same shape."""
    return each(lambda x: x.detach() * 0.0, tree)


def finite(tree: Tree) -> bool:
    """Whether every number is finite."""
    return all(bool(x.isfinite().all()) for x in tensors(tree))


def entries(tree: Tree) -> int:
    """How many numbers there are."""
    return sum(x.numel() for x in tensors(tree))


def noise(tree: Tree, generator: Any) -> Tree:
    """Standard normal numbers of the same shape."""
    torch = torch_for(WHAT)
    return each(lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device), tree)
