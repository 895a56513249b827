"""Rows of the unit cube as features for trees."""

from __future__ import annotations

import numpy as np

from luthier.space.space import Space
from luthier.space.values import Array

#: What an inactive number is set to: below every active one, so that one split tells them apart.
INACTIVE = -1.0


class Features:
    """Turns snapped rows into features: numbers as they are, one column a value for choices of three and more.

    A hyperparameter that can be inactive has a column more, which says whether it is active; where it is not, its
    number is -1 and its choice columns are 0.

    Args:
        space: Where the rows come from.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._spread = [
            levels if kind == "choice" and levels > 2 else 0
            for kind, levels in zip(space.kinds, space.levels, strict=True)
        ]
        self._conditional = [name in space.conditions for name in space.columns]

    def __call__(self, rows: Array) -> Array:
        """Features of snapped rows; (n, d) -> (n, p)."""
        active = self._space.active(rows)
        columns: list[Array] = []
        for place, (levels, conditional) in enumerate(zip(self._spread, self._conditional, strict=True)):
            column, on = rows[:, place], active[:, place]
            if levels:
                hot = (column * levels).astype(np.intp)[:, None] == np.arange(levels)
                columns.append((hot & on[:, None]).astype(float) if conditional else hot.astype(float))
            else:
                columns.append((np.where(on, column, INACTIVE) if conditional else column)[:, None])
            if conditional:
                columns.append(on[:, None].astype(float))
        return np.concatenate(columns, axis=1) if columns else np.empty((len(rows), 0))
