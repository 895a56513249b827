"""Parzen estimators: densities over mixed and conditional rows, one product kernel an observation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later

special = later("scipy.special")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Levels = NDArray[np.intp]

#: Observations up to which the least standard deviation of a kernel shrinks; 0.01 is the least of all.
FINEST = 100
#: Least probability that a kernel gives a value, so that logarithms stay finite.
LEAST = 1e-12
#: Kernels computed at a time: 256 kB stay in a core's cache, which made 512 x 500 of them more than twice as fast.
FITS = 2**15


class Axis(NamedTuple):
    """What a column of rows holds.

    Args:
        edges: (K + 1,) bounds of the cells of K values, ascending from 0 to 1; None: any number in [0, 1].
        ordered: Whether neighbouring values are alike; False for categories.
    """

    edges: Array | None = None
    ordered: bool = True

    def levels(self, column: Array) -> Levels:
        """Which cell each number lies in; (n,) -> (n,)."""
        assert self.edges is not None
        return np.searchsorted(self.edges[1:-1], column, side="right")

    def codes(self, levels: Levels) -> Array:
        """Middles of cells; (n,) -> (n,)."""
        assert self.edges is not None
        return ((self.edges[1:] + self.edges[:-1]) / 2.0)[levels]


class Parzen:
    """A mixture of one product kernel an observation and of the uniform density, which weighs as much as one of them.

    Numbers have normal kernels, cut off at 0 and 1, of the standard deviation

        max(width n^(-1 / (d + 4)),  1 / min(100, n + 1))

    with n observations that have the column, and d columns that an observation has on average. Values in cells get the
    same kernel's mass over their cell, and categories (1 + n) / (K + n) where they agree and 1 / (K + n) elsewhere: the
    mean of a Dirichlet distribution after n equal draws. A column that an observation lacks has the uniform kernel, and
    one that a row lacks counts as 1. This is a density over conditional rows when the columns that are present follow
    from the values of others: their kernels hold the probability of each combination.

    Densities are relative to the uniform one.

    Args:
        axes: What each of the d columns holds.
        rows: (n, d) observations in [0, 1]; none is allowed.
        active: (n, d) which columns an observation has.
        width: Standard deviation of a kernel after one observation, as a share of the range, > 0.
        weights: (n,) weights > 0 of mean 1; None: all 1.

    Attributes:
        sd: (d,) standard deviation of each column's kernels, where it holds numbers.

    Source: Bergstra, Bardenet, Bengio, Kegl 2011, section 4; multivariate kernels as in Falkner, Klein, Hutter 2018.
    Differs: bandwidths do not follow the spread of the observations, which shrinks when search narrows; columns that
        are absent; values in cells.
    Cost: O(n d + K n) to make, for axes of K values; O(m n d) time and O(m n) memory for m densities.
    """

    def __init__(
        self, axes: Sequence[Axis], rows: Array, active: Mask, *, width: float, weights: Array | None = None
    ) -> None:
        self._axes, self._rows, self._active = axes, rows, active
        self._weights = np.ones(len(rows)) if weights is None else weights
        self._total = float(self._weights.sum()) + 1.0
        #: Weight of the observations that have each column; (d,).
        self._counts = self._weights @ active
        self.sd = self._bandwidths(width)
        self._continuous = [place for place, axis in enumerate(axes) if axis.edges is None]
        self._edges = {place: axis.edges for place, axis in enumerate(axes) if axis.edges is not None}
        self._levels = {place: axes[place].levels(rows[:, place]) for place in self._edges}
        self._tables = {place: self._table(place) for place in self._edges if axes[place].ordered}
        self._grids = {place: self._grid(place) for place in self._edges}
        self._low, self._high = special.ndtr(-rows / self.sd), special.ndtr((1.0 - rows) / self.sd)
        self._right = self._terms()

    def _bandwidths(self, width: float) -> Array:
        dimensions = max(float(self._counts.sum()) / (self._total - 1.0), 1.0) if len(self._rows) else 1.0
        scott = width * np.maximum(self._counts, 1.0) ** (-1.0 / (dimensions + 4.0))
        return np.maximum(scott, 1.0 / np.minimum(FINEST, self._counts + 1.0))

    def _table(self, place: int) -> Array:
        """Probabilities of an ordered column's values (across) under a kernel at each of them (down); (K, K)."""
        edges = self._edges[place]
        middles = (edges[1:] + edges[:-1]) / 2.0
        mass = np.maximum(np.diff(special.ndtr((edges - middles[:, None]) / self.sd[place]), axis=1), LEAST)
        return np.asarray(mass / mass.sum(axis=1, keepdims=True))

    def _agreement(self, place: int) -> tuple[float, float]:
        """Probabilities of an observation's own category, and of each other one."""
        count, known = float(self._counts[place]), self._known(place)
        return (count + 1.0) / (count + known), 1.0 / (count + known)

    def _known(self, place: int) -> int:
        return len(self._edges[place]) - 1

    def _grid(self, place: int) -> Array:
        """Logarithms of the relative kernels: a row for each value and one for "absent"; (K + 1, n)."""
        levels, on, known = self._levels[place], self._active[:, place], self._known(place)
        found = np.zeros((known + 1, len(levels)))
        if place in self._tables:
            logs = np.log(self._tables[place] / np.diff(self._edges[place]))
            found[:-1] = logs.T[:, levels] * on
        else:
            same, other = np.log(np.multiply(known, self._agreement(place)))
            found[:-1] = other * on
            found[levels, np.arange(len(levels))] = same * on
        return found

    def _terms(self) -> Array:
        """What `_factors` is multiplied with: coefficients of x^2, x, 1 for each continuous column; (1 + 3 c, n)."""
        at, on, sd = (one[..., self._continuous] for one in (self._rows, self._active, self.sd))
        mass = self._high[:, self._continuous] - self._low[:, self._continuous]
        constant = -0.5 * (at / sd) ** 2 - np.log(sd * math.sqrt(2.0 * math.pi) * mass)
        parts = [np.log(self._weights)[:, None], on * (-0.5 / sd**2), on * (at / sd**2), on * constant]
        return np.ascontiguousarray(np.concatenate(parts, axis=1).T)

    def _factors(self, rows: Array, active: Mask) -> Array:
        at, on = rows[:, self._continuous], active[:, self._continuous]
        return np.concatenate([np.ones((len(rows), 1)), on * at**2, on * at, on], axis=1)

    def log_density(self, rows: Array, active: Mask) -> Array:
        """Logarithm of the density relative to the uniform one.

        Args:
            rows: (m, d) in [0, 1].
            active: (m, d) which columns a row has.

        Returns:
            (m,).
        """
        if not len(self._rows):
            return np.zeros(len(rows))
        step = max(FITS // len(self._rows), 1)
        parts = [self._part(rows[i : i + step], active[i : i + step]) for i in range(0, len(rows), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _part(self, rows: Array, active: Mask) -> Array:
        logs = self._factors(rows, active) @ self._right  # (m, n): every kernel at every row
        taken = np.empty_like(logs)
        for place in self._edges:
            grid = self._grids[place]
            levels = np.where(active[:, place], self._axes[place].levels(rows[:, place]), len(grid) - 1)
            logs += np.take(grid, levels, axis=0, out=taken, mode="clip")  # "clip": without a copy for safety
        top = np.maximum(logs.max(axis=1), 0.0)  # 0: of the uniform density
        logs -= top[:, None]
        np.exp(logs, out=logs)
        found: Array = np.log(logs.sum(axis=1) + np.exp(-top)) + top - math.log(self._total)
        return found

    def draw(self, uniform: Array, rng: np.random.Generator) -> Array:
        """Draws from the mixture.

        Args:
            uniform: (m, d) draws from what stands for the uniform density: kept whole where its turn comes, and where
                an observation lacks the column.
            rng: Source of randomness.

        Returns:
            (m, d) in [0, 1]; values in cells at the middle of their cell.
        """
        chosen = np.searchsorted(np.cumsum(self._weights), rng.random(len(uniform)) * self._total, side="right")
        at = rng.random(uniform.shape)
        found = uniform.copy()
        kept = np.flatnonzero(chosen < len(self._rows))
        for place in range(len(self._axes)):
            which = kept[self._active[chosen[kept], place]]
            found[which, place] = self._kernel_draw(place, chosen[which], at[which, place])
        return found

    def _kernel_draw(self, place: int, chosen: Levels, at: Array) -> Array:
        """Quantiles `at` of one column's kernels of some observations; (m,) and (m,) -> (m,)."""
        if place not in self._edges:
            low, high = self._low[chosen, place], self._high[chosen, place]
            found: Array = self._rows[chosen, place] + self.sd[place] * special.ndtri(low + at * (high - low))
            return np.clip(found, 0.0, 1.0)
        own = self._levels[place][chosen]
        if place in self._tables:
            cumulative = np.cumsum(self._tables[place], axis=1)[own, :-1]
            return self._axes[place].codes((at[:, None] > cumulative).sum(axis=1))
        same, other = self._agreement(place)
        rest = np.clip((at - same) / other, 0, self._known(place) - 2).astype(np.intp)  # which of the others, in order
        return self._axes[place].codes(np.where((at < same) | (self._known(place) == 1), own, rest + (rest >= own)))
