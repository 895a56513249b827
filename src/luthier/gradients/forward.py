"""Forward differentiation: along with training, for few hyperparameters; memory does not grow with the steps."""

from __future__ import annotations

from typing import Any, ClassVar

from luthier.base.checks import check
from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, detached, each, entries, torch_for
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.problem import Bilevel


class Forward(Method):
    """Carry the derivative of the state by each hyperparameter along with training.

    Args:
        chunk: Hyperparameters whose derivatives are computed at once; fewer need less memory during a step. None: all.

    Source: Franceschi et al. 2017, forward mode, as restated in the family survey.
    Differs: nothing.
    Cost: time of T steps times m + 1 for m hyperparameters, less where steps are so small that calls cost more than
        arithmetic; memory O(m d), whatever T.
    """

    name: ClassVar[str] = "forward"

    def __init__(self, *, chunk: int | None = None) -> None:
        if chunk is not None:
            chunk = check("chunk", chunk, at_least=1, whole=True)
        self.chunk = chunk

    def _gradient(self, problem: Bilevel, hyper: Tensors, warm: Tree) -> Hypergradient:
        derivatives = Derivatives(problem, hyper, chunk=self.chunk)
        for t in range(problem.steps):
            derivatives.advance(hyper, t)
        value, gradient = derivatives.judged(hyper)
        products = entries(hyper) * (problem.steps + 1)
        return Hypergradient(value, gradient, derivatives.state["params"], self.name, products)


class Derivatives:
    """A state with its derivatives by all hyperparameters, which moves one training step at a time.

    Args:
        problem: What is trained.
        hyper: Hyperparameters.
        chunk: Hyperparameters at once.
    """

    def __init__(self, problem: Bilevel, hyper: Tensors, *, chunk: int | None = None) -> None:
        self._torch = torch_for(WHAT)
        self.problem, self.chunk = problem, chunk
        self.state = detached(problem.begin(hyper))
        self._units = _units(hyper, self._torch)
        self.columns = each(lambda x: x.new_zeros((entries(hyper), *x.shape)), self.state)  # (m, ...) each
        if callable(problem.start):
            self.columns = self._along(problem.begin, (hyper,), (self._units,))

    def _along(self, function: Any, at: tuple[Tree, ...], directions: tuple[Tree, ...]) -> Tree:
        """Derivatives of a function along many directions at once."""
        func = self._torch.func
        found: Tree = func.vmap(lambda *way: func.jvp(function, at, way)[1], chunk_size=self.chunk)(*directions)
        return detached(found)

    def advance(self, hyper: Tensors, t: int) -> None:
        """One training step: `Z <- A Z + B`."""
        with self._torch.no_grad():
            self.columns = self._along(
                lambda s, h: self.problem.advance(s, h, t), (self.state, hyper), (self.columns, self._units)
            )
        self.state = self.problem.next(self.state, hyper, t)

    def scale(self, factor: float) -> None:
        """Shrink the derivatives, so that what happened long ago counts less."""
        self.columns = each(lambda z: z * factor, self.columns)

    def judged(self, hyper: Tensors) -> tuple[float, Tensors]:
        """Validation loss and hypergradient at the present state."""
        value, by_params, direct = self.problem.judged(self.state, hyper)
        parts = [
            self.columns["params"][name].reshape(entries(hyper), -1) @ slope.flatten()
            for name, slope in by_params.items()
        ]  # (m,) each
        flat = sum(parts[1:], parts[0])
        found, place = {}, 0
        for name, value_of in hyper.items():
            size = value_of.numel()
            found[name] = direct[name] + flat[place : place + size].reshape(value_of.shape)
            place += size
        return value, detached(found)


def _units(hyper: Tensors, torch: Any) -> Tensors:
    """The unit direction of each single hyperparameter: (m, ...) for each name."""
    count, place, found = entries(hyper), 0, {}
    for name, value in hyper.items():
        unit: Tensor = value.new_zeros((count, value.numel()))
        unit[place : place + value.numel()] = torch.eye(value.numel(), dtype=value.dtype, device=value.device)
        found[name] = unit.reshape(count, *value.shape)
        place += value.numel()
    return found
