"""The problem within the problem: training whose result depends on hyperparameters, and what judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.base.checks import check_fields
from luthier.base.errors import ArgumentError
from luthier.gradients._tape import leaves, slope
from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, detached, torch_for
from luthier.gradients.optimisers import Optimiser, sgd


@dataclass(frozen=True, kw_only=True)
class Bilevel:
    """Minimise `validate(w, h)` over the hyperparameters h, where w is what training with h leads to.

    Every function is pure and built of torch operations. Hyperparameters and parameters are dictionaries of tensors.
    A module becomes such functions by `torch.func.functional_call`.

    Args:
        validate: (parameters, hyperparameters) -> the validation loss, one number.
        start: The first parameters, or a function that makes them from the hyperparameters.
        steps: Training steps, T.
        train: (parameters, hyperparameters, batch) -> the training loss, one number. May be left out with `step`, if
            no method needs it (implicit differentiation by "cg" or "neumann" does).
        optimiser: How the parameters follow the gradient of `train`.
        step: A training step of one's own in its place: (parameters, memory, hyperparameters, batch) -> (parameters,
            memory).
        memory: The first memory of `step`.
        batches: Step number, from 0 -> batch; it must return the same for the same number, for steps are computed
            again (draw with a generator seeded by the number, and take seeds of dropout from the batch). None: `train`
            is given None.
        whole: The batch on which implicit differentiation looks at the end of training, the whole data; None: that
            of the step after the last.
    """

    validate: Callable[[Tensors, Tensors], Tensor]
    start: Tensors | Callable[[Tensors], Tensors]
    steps: int
    train: Callable[[Tensors, Tensors, Any], Tensor] | None = None
    optimiser: Optimiser = field(default_factory=sgd)
    step: Callable[[Tensors, Tree, Tensors, Any], tuple[Tensors, Tree]] | None = None
    memory: Tree = field(default_factory=dict)
    batches: Callable[[int], Any] | None = None
    whole: Any = None

    def __post_init__(self) -> None:
        check_fields(self, "steps", at_least=1, whole=True)
        if self.train is None and self.step is None:
            raise ArgumentError(
                "Bilevel without train and without step. Give train=loss, or step= for steps of your own."
            )

    def begin(self, hyper: Tensors) -> Tree:
        """The state before the first step: parameters and memory; differentiable in `hyper`."""
        params = self.start(hyper) if callable(self.start) else self.start
        if self.step is not None:
            return {"params": dict(params), "memory": self.memory}
        return {"params": dict(params), "memory": self.optimiser.memory(dict(params))}

    def batch(self, t: int) -> Any:
        """The batch of step `t`."""
        return None if self.batches is None else self.batches(t)

    def last_batch(self) -> Any:
        """The batch on which the end of training is looked at."""
        return self.whole if self.whole is not None else self.batch(self.steps)

    def advance(self, state: Tree, hyper: Tensors, t: int, batch: Any = None) -> Tree:
        """The state after step `t`; differentiable in `state` and `hyper` by torch.func."""
        given = self.batch(t) if batch is None else batch
        if self.step is not None:
            return self._own(state, hyper, given)
        return self._moved(state, torch_for(WHAT).func.grad(self.train)(state["params"], hyper, given), hyper, t)

    def taped(self, state: Tree, hyper: Tensors, t: int) -> Tree:
        """The same by torch's tape, on which `state` stands: faster, and no part of a transformation by torch.func."""
        if self.train is None or self.step is not None:
            return self._own(state, hyper, self.batch(t))
        return self._moved(state, slope(self.train, state["params"], hyper, self.batch(t), again=True), hyper, t)

    def _own(self, state: Tree, hyper: Tensors, batch: Any) -> Tree:
        assert self.step is not None
        params, memory = self.step(state["params"], state["memory"], hyper, batch)
        return {"params": params, "memory": memory}

    def _moved(self, state: Tree, way: Tensors, hyper: Tensors, t: int) -> Tree:
        params, memory = self.optimiser.update(state["params"], way, state["memory"], hyper, t)
        return {"params": params, "memory": memory}

    def next(self, state: Tree, hyper: Tensors, t: int) -> Tree:
        """The state after step `t`, without any history."""
        torch = torch_for(WHAT)
        if self.train is None or self.step is not None:
            with torch.no_grad():
                return detached(self._own(state, hyper, self.batch(t)))
        with torch.enable_grad():
            way = slope(self.train, leaves(state["params"]), hyper, self.batch(t), again=False)
        with torch.no_grad():
            return detached(self._moved(state, detached(way), hyper, t))

    def run(
        self, hyper: Mapping[str, Tensor], *, steps: int | None = None, visit: Callable[[int, Tree], None] | None = None
    ) -> Tree:
        """Train, without any differentiation by hyperparameters.

        Args:
            hyper: Hyperparameters.
            steps: How many steps; None: all.
            visit: Called as `visit(t, state)` before each step t.

        Returns:
            The state after the last step.
        """
        fixed = detached(dict(hyper))
        with torch_for(WHAT).no_grad():
            state = detached(self.begin(fixed))
        for t in range(self.steps if steps is None else steps):
            if visit is not None:
                visit(t, state)
            state = self.next(state, fixed, t)
        return state

    def value(self, hyper: Mapping[str, Tensor]) -> float:
        """The validation loss after training with these hyperparameters."""
        fixed = detached(dict(hyper))
        with torch_for(WHAT).no_grad():
            return float(self.validate(self.run(fixed)["params"], fixed))

    def judged(self, state: Tree, hyper: Tensors) -> tuple[float, Tensors, Tensors]:
        """Validation loss, and its gradients by the parameters and, directly, by the hyperparameters."""
        slopes, value = torch_for(WHAT).func.grad_and_value(self.validate, argnums=(0, 1))(state["params"], hyper)
        return float(value), slopes[0], slopes[1]
