"""Many small steps seen as fewer: reports between rungs cost a simulation time and tell nobody more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.records import Configuration, Evaluation, Fidelity
from luthier.bench._base import BaseBenchmark

#: Steps of a whole fidelity beyond which several are taken as one; an epoch of lcbench (52) stays one.
MOST = 200


def unit(axis: Fidelity | None) -> int:
    """How many steps are taken as one: the least divisor of both ends that leaves at most `MOST`, else 1.

    A scheduler knows its axis by ratios alone, and they stay.
    """
    if axis is None or not axis.whole or axis.high <= MOST:
        return 1
    common = math.gcd(int(axis.low), int(axis.high))
    fitting = [n for n in range(1, common + 1) if common % n == 0 and axis.high / n <= MOST]
    return min(fitting, default=1)


def coarse(benchmark: BaseBenchmark) -> BaseBenchmark:
    """The benchmark, in fewer steps where it has many."""
    step = unit(benchmark.fidelity)
    return benchmark if step == 1 else Coarse(benchmark, step)


class Coarse(BaseBenchmark):
    """A benchmark whose resource is counted in multiples of its own steps.

    Args:
        inner: What answers.
        step: Its steps in one of ours; divides both ends of its fidelity.
    """

    def __init__(self, inner: BaseBenchmark, step: int) -> None:
        assert inner.fidelity is not None  # `unit` found it
        self.inner, self.step = inner, step
        axis = inner.fidelity
        self.space, self.objectives = inner.space, inner.objectives
        self.fidelity = Fidelity(axis.name, int(axis.low) // step, int(axis.high) // step)
        self.card, self.bounds, self.trains = inner.card, inner.bounds, inner.trains
        self.constraints, self.continues = inner.constraints, inner.continues

    def evaluate_test(
        self, config: Mapping[str, Any], *, resource: float | None = None, seed: int | None = 0
    ) -> Evaluation:
        """As the benchmark's own."""
        return self.inner.evaluate_test(config, resource=None if resource is None else resource * self.step, seed=seed)

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        return self.inner._evaluate(configs, None if resource is None else resource * self.step, seed)

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        if not self.trains:
            return super()._curve(config, until, seed)
        known = self.inner._curve(config, until * self.step, seed)  # one training has all steps
        return [(resource / self.step, one) for resource, one in known if resource % self.step == 0]
