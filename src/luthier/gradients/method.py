"""What every method of computing a hypergradient shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from luthier.base.errors import ArgumentError
from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, detached, finite, torch_for
from luthier.gradients.problem import Bilevel


@dataclass(frozen=True)
class Hypergradient:
    """A hypergradient and how far it can be trusted.

    Args:
        value: The validation loss after training.
        gradient: Its gradient by each hyperparameter.
        params: The trained parameters.
        method: Who computed it.
        products: Products with a Jacobian or a Hessian that it took.
        residual: Norm of what is left of the linear system, relative to its right-hand side; 0 without a system.
        unrest: How far training is from its end: length of one more step relative to that of the first one.
        unreliable: Why it should not be trusted; empty: nothing speaks against it.
        warm: What the next call can start from.
    """

    value: float
    gradient: Tensors
    params: Tensors
    method: str
    products: int
    residual: float = 0.0
    unrest: float | None = None
    unreliable: str = ""
    warm: Tree = field(default=None, repr=False)

    @property
    def finite(self) -> bool:
        """Whether value and gradient are numbers; if not, training diverged."""
        return self.value - self.value == 0.0 and finite(self.gradient)


class Method(ABC):
    """A way to differentiate the validation loss by the hyperparameters. Each file of this room holds one."""

    name: ClassVar[str]

    def gradient(self, problem: Bilevel, hyper: Mapping[str, Tensor], *, warm: Tree = None) -> Hypergradient:
        """Train and differentiate.

        Args:
            problem: What is trained and what judges it.
            hyper: Hyperparameters: floating-point tensors.
            warm: `warm` of an earlier answer, for methods that solve a system.

        Returns:
            Value, gradient and diagnostics. Training that diverged gives what is not `finite`, and no error.

        Raises:
            ArgumentError: a hyperparameter is no floating-point tensor.
            MissingExtra: torch is not installed.
        """
        return self._gradient(problem, check_hyper(hyper), warm)

    @abstractmethod
    def _gradient(self, problem: Bilevel, hyper: Tensors, warm: Tree) -> Hypergradient: ...


def check_hyper(hyper: Mapping[str, Any]) -> Tensors:
    """The hyperparameters as tensors without a history.

    Raises:
        ArgumentError: there are none, or one is no floating-point tensor.
    """
    torch = torch_for(WHAT)
    if not hyper:
        raise ArgumentError("no hyperparameters. Allowed: a dictionary of floating-point tensors.")
    for name, value in hyper.items():
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            shown = f"{value.dtype}" if isinstance(value, torch.Tensor) else repr(value)
            raise ArgumentError(
                f"hyperparameter {name!r}: {shown}. Allowed: a floating-point tensor, such as torch.tensor(0.1)."
            )
    found: Tensors = detached(dict(hyper))
    return found
