"""Where configurations crash: the probability that one finishes, learnt from those that failed."""

from __future__ import annotations

import numpy as np

from luthier.base.seeds import generator
from luthier.models.forest import Forest, grow
from luthier.searchers._features import Features
from luthier.searchers._latest import Latest, Snapshot
from luthier.space.space import Space
from luthier.space.values import Array

TREES = 64  # the shares are then known to some 6 %
PRIOR = 1.0  # weight of the share seen over all, in trees: no region is ruled out for good


class Crash:
    """Probability that a configuration gives a result, by a forest over what finished and what failed.

    Args:
        space: Where configurations come from.
        seed: Decides the forest.

    Source: Gelbart, Snoek, Adams 2014 (probability of success as a factor of the acquisition).
    Differs: a forest instead of a Gaussian process, since regions of crashes have sharp edges.
    Cost: one forest for every snapshot with a failed trial; nothing before the first failure.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._features, self._seed = Features(space), seed
        self._fitted: tuple[int, tuple[Forest, Array] | None] = (0, None)  # a cache, keyed by the snapshot's number

    def log_success(self, latest: Latest, rows: Array) -> Array:
        """Logarithm of the probability of success; zeros while nothing has failed, or all has; (m, d) -> (m,)."""
        snapshot = latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._fit(snapshot, latest.rows()))
        if self._fitted[1] is None:
            return np.zeros(len(rows))
        forest, good = self._fitted[1]
        share = good[forest.members(self._features(rows))].mean(axis=0)
        found: Array = np.log((share * TREES + PRIOR * good.mean()) / (TREES + PRIOR))
        return found

    def _fit(self, snapshot: Snapshot, rows: Array) -> tuple[Forest, Array] | None:
        good = (~snapshot.failed).astype(float)
        if good.all() or not good.any() or not rows.shape[1]:
            return None
        rng = generator(self._seed, "model", snapshot.number, 1)
        return grow(self._features(rows), good, rng, trees=TREES), good
