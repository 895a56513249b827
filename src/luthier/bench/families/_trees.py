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

    def predict_many(self, rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean predictions of one output: (n, columns) -> (n,).

        Args:
            rows: What is asked about.
            values: (l,) what the leaves predict, such as `forest.values.mean(axis=1)`.
        """
        seen, total = rows.astype(np.float32).astype(np.float64), np.zeros(len(rows))
        everyone = np.arange(len(rows))
        for root in self._roots.tolist():
            at = np.full(len(rows), root)
            walking = everyone if self._feature[root] >= 0 else everyone[:0]
            while len(walking):
                here = at[walking]
                left = seen[walking, self._feature[here]] <= self._threshold[here]
                at[walking] = np.where(left, self._left[here], self._right[here])
                walking = walking[self._feature[at[walking]] >= 0]
            total += values[self._left[at]]
        return total / len(self._roots)


def grown(
    X: NDArray[np.float64], guide: NDArray[np.float64], values: NDArray[np.float64], *, trees: int, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """The arrays of a forest that interpolates: each row gets its own values back, other places means of some rows.

    Trees with random thresholds are grown until each leaf holds one row, on all rows.

    Args:
        X: (n, columns) what is asked about, no row twice.
        guide: (n, m) or (n,) what the trees try to tell apart; of equal scale, as it is not changed.
        values: (n, k) what the leaves answer with.
        trees: Number of trees.
        seed: Decides the thresholds.

    Source: Geurts, Ernst and Wehenkel 2006, extremely randomised trees, as scikit-learn has them.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(trees, random_state=seed, n_jobs=1).fit(X, guide)
    parts: dict[str, list[NDArray[Any]]] = {part: [] for part in PARTS if part != "values"}
    nodes = 0
    for tree, leaves in zip(forest.estimators_, forest.apply(X).T, strict=True):
        inner = tree.tree_.children_left >= 0
        rows = np.zeros(len(inner), dtype=np.int64)
        rows[leaves] = np.arange(len(X))  # the one row of each leaf
        parts["roots"].append(np.array([nodes]))
        parts["feature"].append(np.where(inner, tree.tree_.feature, -1))
        parts["threshold"].append(np.where(inner, tree.tree_.threshold, 0.0))
        parts["left"].append(np.where(inner, tree.tree_.children_left + nodes, rows))
        parts["right"].append(np.where(inner, tree.tree_.children_right + nodes, 0))
        nodes += len(inner)
    kinds = {"feature": np.int16, "threshold": np.float32}  # single precision, as forests are asked in it
    found = {part: np.concatenate(pieces).astype(kinds.get(part, np.int32)) for part, pieces in parts.items()}
    return {**found, "values": values.astype(np.float32)}
