"""A forest of extremely randomised trees in plain numpy, all trees grown together, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int32]

# Each tree sees this share of the points, drawn without replacement: the expected share of distinct points in a
# bootstrap sample, at two thirds of its cost, and the rest are out of bag as they would be there.
SHARE = 1.0 - np.exp(-1.0)
# ... and at most this many, so that the cost of a fit levels off.
MOST_ROWS = 256
# Gains that differ by less than this share are equal, and chance decides.
TIES = 1e-6


@dataclass(frozen=True)
class Forest:
    """A fitted forest. Nodes of all trees stand in one table; node t is the root of tree t.

    A row goes to `child[node]` when `row[feature[node]] <= threshold[node]` and to `child[node] + 1` otherwise; a leaf
    is its own child with an infinite threshold, so that walking `depth` steps brings every row to its leaf. Features
    are compared in single precision, which halves the memory that a walk touches; values stay double.

    Args:
        feature: (nodes,) column that the node looks at.
        threshold: (nodes,) largest value that goes left.
        child: (nodes,) number of the left child.
        member: (nodes,) training row that stands for a leaf: one of those in it, drawn at random.
        inside: (trees, n) which training rows a tree has seen.
        depth: Steps from a root to the deepest leaf.
    """

    feature: Ints
    threshold: Singles
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
        found: Ints = self.member.take(self.leaves(X))
        return found

    def leaves(self, X: Array) -> Ints:
        """Leaf of each tree that each row falls into.

        Args:
            X: (m, p) features.

        Returns:
            (trees, m) numbers of nodes.
        """
        trees, m = len(self.inside), len(X)
        columns = np.ascontiguousarray(X.T, dtype=np.float32).ravel()  # feature f of row i stands at f * m + i
        offset = self.feature * np.int32(m)
        node = np.repeat(np.arange(trees, dtype=np.int32), m)
        row = np.tile(np.arange(m, dtype=np.int32), trees)
        for _ in range(self.depth):
            place = offset.take(node)
            place += row
            right = columns.take(place) > self.threshold.take(node)
            node = self.child.take(node)
            node += right
        found: Ints = node.reshape(trees, m)
        return found


def grow(
    X: Array,
    y: Array,
    rng: np.random.Generator,
    *,
    trees: int,
    leaf: int = 1,
    share: float = SHARE,
    most: int = MOST_ROWS,
) -> Forest:
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
        share: Share of the rows that a tree sees, in (0, 1].
        most: Most rows that a tree sees.

    Returns:
        The forest.

    Source: Geurts, Ernst, Wehenkel 2006 (extremely randomised trees); leaves as empirical laws: Meinshausen 2006.
    Differs: each tree sees a share of 1 - 1/e of the points, at most 256, unless told otherwise; one drawn member
        stands for a leaf instead of the weights of all its rows: equal in expectation, without an n x m table.
    Cost: O(trees * s * p * log s) time, O(trees * s * p) memory, with s = min(share n, most).
    """
    n = len(y)
    size = min(int(np.ceil(share * n)), most)
    # the `size` smallest of n random numbers: a subset drawn without replacement, for all trees in one call
    drawn = (
        np.argpartition(rng.random((trees, n)), size - 1, axis=1)[:, :size]
        if size < n
        else np.tile(np.arange(n), (trees, 1))
    )
    drawn = np.sort(drawn, axis=1)
    inside = np.zeros((trees, n), dtype=bool)
    np.put_along_axis(inside, drawn, True, axis=1)
    columns = np.ascontiguousarray(X.T, dtype=np.float32)
    return _Grower(columns, y, drawn.ravel().astype(np.int32), trees, leaf, rng).forest(inside)


class _Grower:
    """Grows all trees by one level at a time; the rows of a node stand side by side in `rows`."""

    def __init__(self, columns: Singles, y: Array, rows: Ints, trees: int, leaf: int, rng: np.random.Generator) -> None:
        self.columns, self.y, self.leaf, self.rng = columns, y, leaf, rng
        self.rows = rows
        self.counts = np.full(trees, len(rows) // trees)
        self.node = np.arange(trees)  # numbers of the nodes of this level, in the order of `rows`
        self.made = trees  # nodes so far
        self.parts: list[tuple[Ints, Ints, Singles, Ints, Ints]] = []  # (node, feature, threshold, child, member)
        self.depth = 0

    def forest(self, inside: NDArray[np.bool_]) -> Forest:
        """Grow until no node splits."""
        while len(self.node):
            self._level()
            self.depth += len(self.node) > 0
        node, feature, threshold, child, member = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        order = np.argsort(node)
        return Forest(feature[order], threshold[order], child[order], member[order], inside, self.depth)

    def _level(self) -> None:
        """Split the nodes of this level; their children become the next one."""
        starts = np.cumsum(self.counts) - self.counts
        member = self.rows[starts + (self.rng.random(len(self.counts)) * self.counts).astype(np.intp)]
        feature = np.zeros(len(self.counts), dtype=np.int32)
        threshold = np.full(len(self.counts), np.inf, dtype=np.float32)
        child = self.node.copy()
        open_ = self._open(starts)
        if open_.any():
            self._keep(open_)
            found, at, go_left, splits = self._best_splits()
            which = np.flatnonzero(open_)[splits]
            feature[which], threshold[which] = found[splits], at[splits]
            child[which] = self.made + 2 * np.arange(len(which))
            self._descend(go_left, splits)
        else:
            which = np.flatnonzero(open_)
        self.parts.append((self.node.astype(np.int32), feature, threshold, child.astype(np.int32), member))
        self.node = self.made + np.arange(2 * len(which))
        self.made += 2 * len(which)

    def _open(self, starts: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Nodes that hold rows enough, and different values."""
        y = self.y[self.rows]
        spread = np.maximum.reduceat(y, starts) > np.minimum.reduceat(y, starts)
        return spread & (self.counts >= 2 * self.leaf) & (len(self.columns) > 0)

    def _keep(self, nodes: NDArray[np.bool_]) -> None:
        """Leave only the rows of some nodes."""
        self.rows = self.rows[np.repeat(nodes, self.counts)]
        self.counts = self.counts[nodes]

    def _best_splits(self) -> tuple[Ints, Singles, NDArray[np.bool_], NDArray[np.bool_]]:
        """For each node the best feature and its threshold, whether rows go left, and whether the node splits."""
        starts = np.cumsum(self.counts) - self.counts
        values = self.columns[:, self.rows]  # (p, rows)
        low = np.minimum.reduceat(values, starts, axis=1)  # (p, nodes)
        high = np.maximum.reduceat(values, starts, axis=1)
        threshold = low + self.rng.random(low.shape, dtype=np.float32) * (high - low)
        threshold = np.where(threshold < high, threshold, low)  # rounding must not send every row left
        left = values <= np.repeat(threshold, self.counts, axis=1)
        n_left = np.add.reduceat(left, starts, axis=1, dtype=np.int32)
        n_right = self.counts - n_left
        y = self.y[self.rows]
        centred = y - np.repeat(np.add.reduceat(y, starts) / self.counts, self.counts)
        s_left = np.add.reduceat(np.where(left, centred, 0.0), starts, axis=1)
        # centred values sum to 0 in each node, so the gain in squares is s^2 (1 / n_left + 1 / n_right)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = s_left**2 * (1.0 / n_left + 1.0 / n_right)
        # small nodes split into the same parts by many features: rounding must not decide between them
        gain *= 1.0 + TIES * self.rng.random(gain.shape)
        gain = np.where((high > low) & (n_left >= self.leaf) & (n_right >= self.leaf), gain, -1.0)
        feature = np.argmax(gain, axis=0).astype(np.int32)
        nodes = np.arange(len(self.counts))
        go_left = left[np.repeat(feature, self.counts), np.arange(len(self.rows))]
        return feature, threshold[feature, nodes], go_left, gain[feature, nodes] >= 0.0

    def _descend(self, go_left: NDArray[np.bool_], splits: NDArray[np.bool_]) -> None:
        """Move the rows of split nodes to their children, left before right, in their order."""
        go_left = go_left[np.repeat(splits, self.counts)]
        self._keep(splits)
        pair = 2 * np.repeat(np.arange(len(self.counts)), self.counts) + ~go_left
        self.rows = self.rows[np.argsort(pair, kind="stable")]
        self.counts = np.bincount(pair, minlength=2 * len(self.counts))
