"""Real-time tuning: hyperparameters move while the model trains, by forward derivatives that are never reset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from luthier.base.checks import check
from luthier.gradients._tree import Tensor, Tensors, detached, each, finite
from luthier.gradients.forward import Derivatives
from luthier.gradients.method import check_hyper
from luthier.gradients.problem import Bilevel

#: Called as `watch(step, loss, hyperparameters)` after each move of the hyperparameters; steps count from 1.
Watch = Callable[[int, float, Tensors], None]


@dataclass(frozen=True)
class Path:
    """What tuning during training has led to.

    Args:
        params: The trained parameters.
        hyper: The last hyperparameters.
        losses: The loss that was differentiated, before each move.
        hypers: Hyperparameters after each move.
        gradient: The last hypergradient.
        diverged: Whether it ended early, at the last numbers that were finite.
    """

    params: Tensors
    hyper: Tensors
    losses: list[float] = field(repr=False)
    hypers: list[Tensors] = field(repr=False)
    gradient: Tensors = field(repr=False, default_factory=dict)
    diverged: bool = False


class RealTime:
    """Real-time hyperparameter optimisation: one training run, whose hyperparameters follow the hypergradient.

    The derivative of the state by the hyperparameters is carried along as in forward mode, and goes on when they
    move, as if they had always been what they are now.

    Args:
        every: Training steps between two moves. 1 to 10 in the paper; 10 costs fewer validation gradients.
        rate: Length of a move: hyperparameters minus rate times gradient; 0 computes the gradient and moves nothing.
        forget: What is left of the derivative after a move; 1 as in the paper, less forgets what is stale.
        project: Brings hyperparameters back to where they are allowed; None: they may be anything.

    Source: Franceschi et al. 2017, section on real-time hyperparameter optimisation (RTHO), as restated in the family
        survey, whose `forget` this is.
    Differs: plain gradient moves; the paper's experiments move by Adam.
    Cost: as forward mode: time of T steps times m + 1, memory O(m d).
    """

    def __init__(
        self,
        *,
        every: int = 10,
        rate: float = 0.01,
        forget: float = 1.0,
        project: Callable[[Tensors], Tensors] | None = None,
    ) -> None:
        every = check("every", every, at_least=1, whole=True)
        check("rate", rate, at_least=0)
        check("forget", forget, above=0, at_most=1)
        self.every, self.rate, self.forget, self.project = every, rate, forget, project

    def train(self, problem: Bilevel, hyper: Mapping[str, Tensor], *, watch: Watch | None = None) -> Path:
        """Train once, and move the hyperparameters on the way.

        Args:
            problem: What is trained and what judges it.
            hyper: The first hyperparameters.
            watch: Called after each move.
        """
        now = check_hyper(hyper)
        derivatives = Derivatives(problem, now)
        losses: list[float] = []
        path: list[Tensors] = []
        gradient = each(lambda x: x * 0.0, now)
        for t in range(problem.steps):
            before = derivatives.state
            derivatives.advance(now, t)
            if (t + 1) % self.every:
                continue
            loss, gradient = derivatives.judged(now)
            moved = each(lambda h, g: h - self.rate * g, now, gradient)
            moved = moved if self.project is None else detached(self.project(moved))
            if loss != loss or not finite(moved):
                return Path(before["params"], now, losses, path, gradient, diverged=True)
            now = moved
            derivatives.scale(self.forget)
            losses.append(loss)
            path.append(now)
            if watch is not None:
                watch(t + 1, loss, now)
        return Path(derivatives.state["params"], now, losses, path, gradient)
