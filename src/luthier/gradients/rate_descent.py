"""Hypergradient descent: a learning rate that follows the agreement of one gradient with the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.gradients._tree import WHAT, Tensor, Tensors, detached, dot, finite, norm, plus, torch_for
from luthier.gradients.method import check_hyper
from luthier.gradients.online import Path, Watch
from luthier.gradients.problem import Bilevel


class RateDescent:
    """Gradient descent whose learning rate is tuned by its own gradient, one step back, while it goes.

    It descends on the *training* loss: a way to need no learning rate, and not a tuning for validation.

    Args:
        speed: Step of the learning rate, beta. 0.02: the multiplicative rule changes the rate by at most 2 % a step.
        multiplicative: `rate *= 1 + speed * cosine`; False: `rate += speed * inner product`, whose speed has units of
            its own.

    Source: Baydin et al. 2018, "Online learning rate adaptation with hypergradient descent", rules of gradient
        descent, as restated in the family survey.
    Differs: the rate never falls below 0.
    Cost: that of training, and one inner product and one more gradient in memory.
    """

    def __init__(self, *, speed: float = 0.02, multiplicative: bool = True) -> None:
        check("speed", speed, at_least=0)
        self.speed, self.multiplicative = speed, multiplicative

    def train(
        self,
        problem: Bilevel,
        hyper: Mapping[str, Tensor],
        *,
        rate: str = "lr",
        watch: Watch | None = None,
    ) -> Path:
        """Train by gradient descent from the problem's start.

        Args:
            problem: What is trained; its optimiser and validation loss are not used.
            hyper: Hyperparameters.
            rate: Name of the one that is the learning rate, a single number.
            watch: Called after each step, with the training loss.
        """
        now = check_hyper(hyper)
        if rate not in now or now[rate].ndim:
            raise ArgumentError(f"rate={rate!r}. Allowed: the name of a hyperparameter that is a single number.")
        if problem.train is None:
            raise ArgumentError("RateDescent needs the training loss. Give Bilevel(train=...).")
        slope_of = _slope(problem)
        params, last = detached(problem.begin(now))["params"], None
        losses: list[float] = []
        path: list[Tensors] = []
        for t in range(problem.steps):
            loss, slope = slope_of(params, now, problem.batch(t))
            if not (math.isfinite(loss) and finite(slope)):
                return Path(params, now, losses, path, diverged=True)
            if last is not None:
                now = {**now, rate: self._moved(now[rate], dot(slope, last), norm(slope) * norm(last))}
            params, last = plus(params, slope, -now[rate]), slope
            losses.append(loss)
            path.append(now)
            if watch is not None:
                watch(t + 1, loss, now)
        return Path(params, now, losses, path)

    def _moved(self, rate: Tensor, agreement: float, lengths: float) -> Tensor:
        if not self.multiplicative:
            return (rate + self.speed * agreement).clamp(min=0.0)
        cosine = agreement / lengths if lengths > 0 else 0.0
        return (rate * (1 + self.speed * cosine)).clamp(min=0.0)


def _slope(problem: Bilevel) -> Callable[[Tensors, Tensors, object], tuple[float, Tensors]]:
    both = torch_for(WHAT).func.grad_and_value(problem.train)

    def slope(params: Tensors, hyper: Tensors, batch: object) -> tuple[float, Tensors]:
        found, loss = both(params, hyper, batch)
        return float(loss), detached(found)

    return slope
