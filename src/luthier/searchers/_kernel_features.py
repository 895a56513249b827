"""Rows of the unit cube as features for kernels: numbers, categories, and which condition holds."""

from __future__ import annotations

import numpy as np

from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: What an inactive number is set to. All rows without it agree, so that only the shared active part tells them apart.
INACTIVE = 0.5


class KernelFeatures:
    """Turns snapped rows into features of a Gaussian process.

    Numbers and ordinals keep their codes, choices become the number of their value. What is inactive is alike
    everywhere: 0.5 for a number, a category of its own for a choice. Numbers under a condition share one more category,
    which says whether the condition holds; one a condition.

    Args:
        space: Where the rows come from.

    Attributes:
        categorical: (p,) which features are categories.
        smooth: Columns of the space, and their features, that a gradient may move: continuous numbers.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._kinds: Mask = np.array([kind == "choice" for kind in space.kinds], dtype=bool)
        conditions: dict[str, int] = {}
        for place, name in enumerate(space.columns):
            if name in space.conditions and not self._kinds[place]:
                conditions.setdefault(str(space.conditions[name]), place)
        self._switches = list(conditions.values())
        self.categorical: Mask = np.concatenate([self._kinds, np.ones(len(self._switches), dtype=bool)])
        self.smooth = [place for place, levels in enumerate(space.levels) if levels == 0]

    def __call__(self, rows: Array) -> Array:
        """Features of snapped rows; (n, d) -> (n, p)."""
        found = rows.copy()
        for place in np.flatnonzero(self._kinds):
            found[:, place] = np.floor(rows[:, place] * self._space.levels[place])
        if not self._space.conditions:
            return found
        active = self._space.active(rows)
        found = np.where(active, found, np.where(self._kinds, -1.0, INACTIVE))
        return np.concatenate([found, active[:, self._switches]], axis=1)
