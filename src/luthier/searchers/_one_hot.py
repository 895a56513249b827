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
        self._domains = [(space[name], levels) for name, levels in zip(space.columns, space.levels, strict=True)]

    def __call__(self, rows: Array) -> Array:
        """Features of snapped rows; (n, d) -> (n, p)."""
        columns: list[Array] = []
        for column, (domain, levels) in zip(rows.T, self._domains, strict=True):
            if not isinstance(domain, Number):
                columns.append(((column * levels).astype(np.intp)[:, None] == np.arange(levels)).astype(float))
            elif domain.log:
                columns.append((domain.low * (domain.high / domain.low) ** column)[:, None])
            else:
                columns.append((domain.low + column * (domain.high - domain.low))[:, None])
        return np.concatenate(columns, axis=1) if columns else np.empty((len(rows), 0))
