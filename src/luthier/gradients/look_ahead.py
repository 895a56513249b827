"""One step ahead: hyperparameters and weights in turn, as differentiable architecture search does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from luthier.base.checks import check
from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, detached, each, finite, torch_for, zeros
from luthier.gradients.method import check_hyper
from luthier.gradients.online import Path, Watch
from luthier.gradients.optimisers import Optimiser, adam
from luthier.gradients.problem import Bilevel


class LookAhead:
    """Move the hyperparameters by the gradient of the validation loss one training step ahead, then train a step.

    `h <- h - beta * d/dh E(w - rate * dL/dw(w, h), h)`; then `w` moves with the new h.

    Args:
        mover: How hyperparameters follow the gradient. Adam at 0.003 with decays (0.5, 0.999): the DARTS authors'.
        second_order: Differentiate through the step ahead; False: at its start, as if weights did not depend on
            hyperparameters: half the time, and all of the gradient only where `validate` depends on h directly.
        warmup: Steps before hyperparameters begin to move: untrained weights say little about them. 0: as the authors.
        project: Brings hyperparameters back to where they are allowed; None: they may be anything.

    Source: Liu, Simonyan and Yang 2019, "DARTS: differentiable architecture search", algorithm 1; second-order and
        first-order variants.
    Differs: the second-order term is an exact product, not a finite difference; with an optimiser that has memory, the
        step ahead is a step of that optimiser; the whole problem's data for validation unless `judge` is given.
    Cost: three to four times plain training, two without `second_order`; memory of one step.
    """

    def __init__(
        self,
        *,
        mover: Optimiser | None = None,
        second_order: bool = True,
        warmup: int = 0,
        project: Callable[[Tensors], Tensors] | None = None,
    ) -> None:
        warmup = check("warmup", warmup, at_least=0, whole=True)
        self.mover = adam(3e-3, decays=(0.5, 0.999)) if mover is None else mover
        self.second_order, self.warmup, self.project = second_order, warmup, project

    def train(
        self,
        problem: Bilevel,
        hyper: Mapping[str, Tensor],
        *,
        judge: Callable[[Tensors, Tensors, int], Tensor] | None = None,
        watch: Watch | None = None,
    ) -> Path:
        """Train once, hyperparameters and weights in turn.

        Args:
            problem: What is trained and what judges it.
            hyper: The first hyperparameters.
            judge: (parameters, hyperparameters, step) -> validation loss on that step's batch; None:
                `problem.validate`.
            watch: Called after each move.
        """
        now = check_hyper(hyper)
        state = detached(problem.begin(now))
        memory = self.mover.memory(now)
        losses: list[float] = []
        path: list[Tensors] = []
        gradient = zeros(now)
        for t in range(problem.steps):
            if t >= self.warmup:
                loss, gradient = self._gradient(problem, state, now, t, judge)
                moved, memory = self.mover.update(now, gradient, memory, now, t - self.warmup)
                moved = detached(moved if self.project is None else self.project(moved))
                if loss != loss or not finite(moved):
                    return Path(state["params"], now, losses, path, gradient, diverged=True)
                now = moved
                losses.append(loss)
                path.append(now)
                if watch is not None:
                    watch(t + 1, loss, now)
            state = problem.next(state, now, t)
        return Path(state["params"], now, losses, path, gradient)

    def _gradient(
        self,
        problem: Bilevel,
        state: Tree,
        hyper: Tensors,
        t: int,
        judge: Callable[[Tensors, Tensors, int], Tensor] | None,
    ) -> tuple[float, Tensors]:
        def ahead(h: Tensors) -> Tensor:
            params = problem.advance(state, h, t)["params"] if self.second_order else state["params"]
            return problem.validate(params, h) if judge is None else judge(params, h, t)

        slope, loss = torch_for(WHAT).func.grad_and_value(ahead)(hyper)
        return float(loss), each(lambda g: g.detach(), slope)
