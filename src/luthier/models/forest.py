"""A forest of extremely randomised trees in plain numpy, all trees grown together, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

# Each tree sees this share of the points, drawn without replacement: the expected share of distinct points in a
# bootstrap sample, at two thirds of its cost, and the rest are out of bag as they would be there.
SHARE = 1.0 - np.exp(-1.0)


@dataclass(frozen=True)
class Forest:
    """A fitted forest. Nodes of all trees stand in one table; node t is the root of tree t.

    A row goes to `child[node]` when `row[feature[node]] <= threshold[node]` and to `child[node] + 1` otherwise; a leaf
    is its own child with an infinite threshold, so that walking `depth` steps brings every row to its leaf.

    Args:
        feature: (nodes,) column that the node looks at.
        threshold: (nodes,) largest value that goes left.
        child: (nodes,) number of the left child.
        member: (nodes,) training row that stands for a leaf: one of those in it, drawn at random.
        inside: (trees, n) which training rows a tree has seen.
        depth: Steps from a root to the deepest leaf.
    """

    feature: Ints
    threshold: Array
    child: Ints
    member: Ints
    inside: NDArray[np.bool_]
    depth: int

    def members(self, X: Array) -> Ints:
        """Training row that each tree names for each row: a draw from the tree's own predictive law.

        Args:
            X: (m, p) features.

        Returns:
            (trees, m) row numbers of the training set.
        """
        trees, m = len(self.inside), len(X)
        columns = np.ascontiguousarray(X.T).ravel()  # (p * m,): feature f of row i stands at f * m + i
        offset = self.feature * m
        node = np.repeat(np.arange(trees), m)
        row = np.tile(np.arange(m), trees)
        for _ in range(self.depth):
            node = self.child[node] + (columns[offset[node] + row] > self.threshold[node])
        found: Ints = self.member[node].reshape(trees, m)
        return found


def grow(X: Array, y: Array, rng: np.random.Generator, *, trees: int, leaf: int = 1) -> Forest:
    """Fit a forest.

    At each node one threshold is drawn uniformly between the smallest and largest value of every feature, and the
    best of these splits by the sum of squares is taken. A node is a leaf when it holds fewer than `2 * leaf` rows,
    when its values are all equal, or when no split leaves `leaf` rows on both sides.

    Args:
        X: (n, p) features, finite.
        y: (n,) values, finite.
        rng: Decides subsamples, thresholds and the leaves' members.
        trees: How many.
        leaf: Fewest rows in a leaf.

    Returns:
        The forest.

    Source: Geurts, Ernst, Wehenkel 2006 (extremely randomised trees); leaves as empirical laws: Meinshausen 2006.
    Differs: subsampling at rate 1 - 1/e without replacement instead of the whole sample; one drawn member stands for
        a leaf instead of the weights of all its rows (equal in expectation over trees, and without an n x m table).
    Cost: O(trees * n * p * log n) time, O(trees * n * p) memory.
    """
    n = len(y)
    size = max(1, int(np.ceil(SHARE * n))) if n > 1 else 1
    drawn = np.argsort(rng.random((trees, n)), axis=1, kind="stable")[:, :size]
    inside = np.zeros((trees, n), dtype=bool)
    np.put_along_axis(inside, drawn, True, axis=1)
    return _Grower(np.ascontiguousarray(X.T), y, drawn.ravel(), trees, leaf, rng).forest(inside)


class _Grower:
    """Grows all trees by one level at a time; the rows of a node stand side by side in `rows`."""

    def __init__(self, columns: Array, y: Array, rows: Ints, trees: int, leaf: int, rng: np.random.Generator) -> None:
        self.columns, self.y, self.leaf, self.rng = columns, y, leaf, rng
        self.rows = rows
        self.counts = np.full(trees, len(rows) // trees, dtype=np.intp)
        self.node = np.arange(trees, dtype=np.intp)  # numbers of the nodes of this level, in the order of `rows`
        self.made = trees  # nodes so far
        self.parts: list[tuple[Ints, Ints, Array, Ints, Ints]] = []  # (node, feature, threshold, child, member)

    def forest(self, inside: NDArray[np.bool_]) -> Forest:
        depth = -1
        while len(self.node):
            self._level()
            depth += 1
        node, feature, threshold, child, member = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        order = np.argsort(node)
        return Forest(feature[order], threshold[order], child[order], member[order], inside, depth)

    def _level(self) -> None:
        feature, threshold, go_left, splits = self._best_splits()
        starts = np.cumsum(self.counts) - self.counts
        member = self.rows[starts + (self.rng.random(len(self.counts)) * self.counts).astype(np.intp)]
        rank = np.cumsum(splits) - 1
        child = np.where(splits, self.made + 2 * rank, self.node)
        self.parts.append((self.node, feature, np.where(splits, threshold, np.inf), child, member))
        self._descend(go_left, splits, starts)

    def _best_splits(self) -> tuple[Ints, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        starts = np.cumsum(self.counts) - self.counts
        values = self.columns[:, self.rows]  # (p, entries)
        y = self.y[self.rows]
        low = np.minimum.reduceat(values, starts, axis=1)  # (p, nodes)
        high = np.maximum.reduceat(values, starts, axis=1)
        threshold = low + self.rng.random(low.shape) * (high - low)
        threshold = np.where(threshold < high, threshold, low)  # rounding must not send every row left
        left = values <= np.repeat(threshold, self.counts, axis=1)
        n_left = np.add.reduceat(left, starts, axis=1, dtype=np.intp)
        n_right = self.counts - n_left
        total = np.add.reduceat(y, starts)
        centred = y - np.repeat(total / self.counts, self.counts)
        s_left = np.add.reduceat(left * centred, starts, axis=1)
        # centred values sum to 0 in each node, so the gain is s^2 (1/n_left + 1/n_right)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = s_left**2 * (1.0 / n_left + 1.0 / n_right)
        gain = np.where((high > low) & (n_left >= self.leaf) & (n_right >= self.leaf), gain, -1.0)
        feature = np.argmax(gain, axis=0)
        nodes = np.arange(len(self.counts))
        spread = np.maximum.reduceat(y, starts) > np.minimum.reduceat(y, starts)
        splits = (gain[feature, nodes] >= 0.0) & spread & (self.counts >= 2 * self.leaf)
        owner = np.repeat(nodes, self.counts)
        go_left = left[feature[owner], np.arange(len(owner))]
        return feature, threshold[feature, nodes], go_left, splits

    def _descend(self, go_left: NDArray[np.bool_], splits: NDArray[np.bool_], starts: Ints) -> None:
        """Move the rows of split nodes to their children, left before right, in their order."""
        keep = np.repeat(splits, self.counts)
        rows, left = self.rows[keep], go_left[keep]
        counts = self.counts[splits]
        pair = 2 * np.repeat(np.arange(len(counts)), counts) + ~left
        self.rows = rows[np.argsort(pair, kind="stable")]
        self.counts = np.bincount(pair, minlength=2 * len(counts))
        self.node = self.made + np.arange(2 * len(counts))
        self.made += 2 * len(counts)
