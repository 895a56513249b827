"""Regression forests as arrays: what a fitted forest predicts, without the package that fitted it.

The arrays of a forest, each under the forest's name and "_":
    roots      (t,) row of each tree's first node
    feature    (m,) column that an inner node looks at, -1 for a leaf
    threshold  (m,) an inner node's threshold: values up to it go left
    left       (m,) row of an inner node's left child; a leaf's row among the values
    right      (m,) row of an inner node's right child; 0 for a leaf
    values     (l, k) what the leaves predict, k outputs
Children stand below their parents, and so every path ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError

PARTS = {"roots": 1, "feature": 1, "threshold": 1, "left": 1, "right": 1, "values": 2}


class Trees:
    """A forest that predicts the mean of its trees.

    Args:
        arrays: Those of the module's documentation, without the forest's name.
        columns: Number of columns that it is asked about.
        what: The file, for the message.

    Raises:
        BenchmarkError: the arrays are no forest over so many columns.

    Cost: one pass down for each configuration, all trees at once: O(depth) NumPy calls.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], columns: int, what: str) -> None:
        self._roots, self._feature, self._left, self._right = (
            np.asarray(arrays[part], dtype=np.int64) for part in ("roots", "feature", "left", "right")
        )
        self._threshold = np.asarray(arrays["threshold"], dtype=np.float64)
        self.values = np.asarray(arrays["values"], dtype=np.float64)
        wrong = self._fault(columns)
        if wrong:
            raise BenchmarkError(f"{what}: {wrong}. Convert the forest again.")

    def _fault(self, columns: int) -> str:
        nodes = len(self._feature)
        if any(len(part) != nodes for part in (self._threshold, self._left, self._right)) or not len(self._roots):
            return "its arrays have different lengths, or there is no tree"
        inner = self._feature >= 0
        own = np.flatnonzero(inner)
        below = np.stack([self._left[inner], self._right[inner]])
        if (self._feature >= columns).any() or not np.isfinite(self._threshold[inner]).all():
            return f"a node looks beyond the {columns} columns, or has no finite threshold"
        if (below <= own).any() or (below >= nodes).any() or not (0 <= self._roots.min() <= self._roots.max() < nodes):
            return "a node's child does not stand below it"
        leaves = self._left[~inner]
        if (leaves < 0).any() or (leaves >= len(self.values)).any() or not np.isfinite(self.values).all():
            return "a leaf has no value"
        return ""

    def predict(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean prediction: (columns,) -> (k,)."""
        seen = row.astype(np.float32).astype(np.float64)  # forests are fitted to, and asked in, single precision
        at = self._roots.copy()
        walking = np.flatnonzero(self._feature[at] >= 0)
        while len(walking):
            here = at[walking]
            left = seen[self._feature[here]] <= self._threshold[here]
            at[walking] = np.where(left, self._left[here], self._right[here])
            walking = walking[self._feature[at[walking]] >= 0]
        return np.asarray(self.values[self._left[at]].mean(axis=0))
