"""Random search as a yardstick: how many random configurations are as good as a value?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, check_finite

_HALVINGS = 80  # of a bracket: exact to the last digits


@dataclass(frozen=True)
class RandomPool:
    """Values of random configurations, sorted, to be minimised.

    Args:
        values: (n,) sorted.
        whole: Whether these are all configurations there are, each equally likely: random search then draws without
            putting back. Else they are a sample of what random search draws from.
    """

    values: Array
    whole: bool = False

    @classmethod
    def of(cls, values: ArrayLike, *, whole: bool = False) -> RandomPool:
        """Sort and check.

        Raises:
            ArgumentError: no values, or some are not finite.
        """
        found = np.sort(np.asarray(values, dtype=float).ravel())
        if not len(found):
            raise ArgumentError("a pool of random configurations is empty. Allowed: one value or more.")
        check_finite(found, what="a pool of random configurations")
        return cls(found, whole)

    @property
    def median(self) -> float:
        """Value of a median random configuration."""
        return float(np.median(self.values))

    def at_most(self, value: ArrayLike) -> Array:
        """Number of configurations with this value or a better one."""
        return np.searchsorted(self.values, value, side="right").astype(float)

    def beaten(self, m: ArrayLike, value: ArrayLike) -> Array:
        """P(the best of m random configurations is worse than a value)."""
        n, good = float(len(self.values)), self.at_most(value)
        draws = np.asarray(m, dtype=float)
        if not self.whole:
            return np.asarray((1 - good / n) ** draws)
        left = n - good - draws  # configurations that are neither good nor drawn
        with np.errstate(invalid="ignore"):
            logs = gammaln(n - good + 1) - gammaln(left + 1) - gammaln(n + 1) + gammaln(n - draws + 1)
        return np.where(left > -1, np.exp(np.minimum(logs, 0.0)), 0.0)

    def equivalent(self, value: float) -> float:
        """Random configurations that reach a value with probability one half, a real number of them.

        Returns:
            At least the number of which one is expected to be enough; infinity where none in the pool is as good.

        Source: order statistics; P(best of m > v) = C(n - k, m) / C(n, m) for k of n as good as v without putting
            back, (1 - k / n)^m else. Between whole numbers the binomials are continued by the gamma function.
        """
        n, good = len(self.values), float(self.at_most(value))
        if good == 0:
            return math.inf
        if not self.whole:
            return math.log(0.5) / math.log1p(-good / n) if good < n else 0.0
        low, high = 0.0, n - good + 1
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if float(self.beaten(middle, value)) > 0.5:
                low = middle
            else:
                high = middle
        return high


def speed_up(pool: RandomPool, value: float, evaluations: float) -> float:
    """Evaluations that random search would need for a value, over those that were used.

    Above 1: faster than random search. Infinite where nothing in the pool is as good. The random search thought of
    here judges by the score itself, without noise, so that a noisy task shows a smaller number.
    """
    if not evaluations > 0:
        raise ArgumentError(f"speed_up: evaluations={evaluations!r}. Allowed: a number above 0.")
    return pool.equivalent(value) / evaluations
