"""Pareto fronts that are curves with gaps: their pieces, evenly spread points, and areas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Plain = Callable[[float], float]


@dataclass(frozen=True)
class Curve:
    """A curve that falls over its pieces and is dominated between them.

    Args:
        height: Second objective over the first.
        area: A function whose slope is `height`.
        pieces: (start, end) of each piece, ascending; the height at an end is that at the next start.
    """

    height: Plain
    area: Plain
    pieces: Sequence[tuple[float, float]]

    def below(self, until: float) -> float:
        """Integral, from the first piece's start to `until`, of the lowest height so far."""
        total, level, at = 0.0, 0.0, self.pieces[0][0]
        for start, end in self.pieces:
            total += level * (start - at) + self.area(end) - self.area(start)
            level, at = self.height(end), end
        return total + level * (until - at)

    def points(self, n: int) -> Array:
        """About n first objectives, spread over the pieces by their lengths, the end of each among them; (n,)."""
        whole = sum(end - start for start, end in self.pieces)
        parts = [np.linspace(a, b, max(2, round(n * (b - a) / whole) + 1)) for a, b in self.pieces]
        # the start of a later piece is dominated by the end of the one before
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def root(f: Plain, low: float, high: float) -> float:
    """Where f changes its sign between low and high, to the last digit."""
    sign = f(low) > 0
    for _ in range(80):
        middle = (low + high) / 2
        if (f(middle) > 0) == sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def falling(height: Plain, slope: Plain, *, low: float, high: float, step: float = 1e-3) -> list[tuple[float, float]]:
    """The pieces of [low, high] on which a height is lower than everywhere before.

    Args:
        height: The height; it falls at `low`.
        slope: Its slope.
        low: Start.
        high: End.
        step: Less than half the distance between a valley and the next.
    """
    pieces: list[tuple[float, float]] = []
    start: float | None = low
    lowest = height(low)
    grid = [*np.arange(low, high, step).tolist(), high]
    for a, b in pairwise(grid):
        if start is None and height(b) < lowest:  # behind a valley, and deeper than it
            start = root(lambda x, level=lowest: height(x) - level, a, b)  # type: ignore[misc]
        if start is not None and slope(a) < 0 <= slope(b):  # a valley
            end = root(slope, a, b)
            pieces.append((start, end))
            start, lowest = None, height(end)
    if start is not None:
        pieces.append((start, high))
    return pieces
