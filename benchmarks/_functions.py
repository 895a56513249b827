"""The family "synthetic" as tasks: functions with known optima, two of them with noise that differs by place.

A noisy task gives the k-th asking of a configuration its own draw, from the run's seed; it is scored without noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np

from luthier.base.records import Configuration
from luthier.base.seeds import generator
from luthier.bench import load
from luthier.bench.families.synthetic import TASKS

POOL = 20_000  # random configurations; their median is the reference
VALUE = "value"


class Function:
    """A function of the values of a space, with its optimum.

    Args:
        name: A task of the family "synthetic", to be minimised.
    """

    def __init__(self, name: str) -> None:
        self._benchmark = load(f"synthetic/{name}")
        self.space, self.best = self._benchmark.space, self._benchmark.card.optimum[VALUE]
        self._sd = TASKS[name]().sd
        pool = self._benchmark.evaluate_batch(self.space.sample(POOL, generator(0, "bench")), seed=None)
        self.reference = float(np.median([one.metrics[VALUE] for one in pool]))

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search is told when it asks for a configuration the (again + 1)-th time."""
        if self._sd is None:
            return self.score(config)
        key = hashlib.blake2b(repr(sorted(config.items())).encode(), digest_size=4).digest()
        draw = generator(seed, "bench", int.from_bytes(key, "little"), again).standard_normal()
        [sd] = self._sd({name: np.array([value]) for name, value in config.items()})
        return self.score(config) + float(sd) * float(draw)

    def score(self, config: Configuration) -> float:
        """The value without noise."""
        return self._benchmark.evaluate(config, seed=None).metrics[VALUE]


#: Names as committed results have them.
FUNCTIONS: dict[str, Callable[[], Function]] = {
    name: partial(Function, name)
    for name in ("branin", "hartmann6", "noisy6", "ackley5", "rosenbrock4", "levy8", "noisy5", "mixed6")
}
