"""Rows of the unit cube as features without order: every list of values one-hot, numbers in their own unit."""

from __future__ import annotations

import numpy as np

from luthier.space.number import Number
from luthier.space.space import Space
from luthier.space.values import Array


class OneHot:
    """Features as the reference implementation of CQR makes them; it one-hot encodes ordered lists too.

    It knows no conditions: an inactive hyperparameter counts with its default.

    Args:
        space: Where the rows come from.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._columns = [(name, space[name], levels) for name, levels in zip(space.columns, space.levels, strict=True)]
        self._numbers = any(isinstance(domain, Number) for _, domain, _ in self._columns)

    def __call__(self, rows: Array) -> Array:
        """Features of snapped rows; (n, d) -> (n, p)."""
        configs = self._space.decode(rows) if self._numbers else []
        columns: list[Array] = []
        for column, (name, domain, levels) in zip(rows.T, self._columns, strict=True):
            if isinstance(domain, Number):
                values = [config.get(name, domain.default) for config in configs]
                columns.append(np.array(values, dtype=float)[:, None])
            else:
                columns.append(((column * levels).astype(np.intp)[:, None] == np.arange(levels)).astype(float))
        return np.concatenate(columns, axis=1) if columns else np.empty((len(rows), 0))
