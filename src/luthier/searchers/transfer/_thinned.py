"""Which trials of earlier tasks a model holds that has room for some: the oldest tasks are thinned first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from luthier.space.values import Array

Places = NDArray[np.intp]

#: Trials that an old task keeps, while there is room for so many of each.
FEWEST = 10
#: Share of them that are its best ones; the rest are spread evenly over the ranks of the others.
BEST = 0.5


def thin(values: Sequence[Array], room: int) -> list[Places]:
    """Which trials of each task to keep: all while there is room; else the oldest task keeps ten, then the next.

    Where ten of each are too many, the oldest are left out altogether.

    Args:
        values: (n,) of each task, the oldest first.
        room: Trials to keep in all.

    Returns:
        Ascending places of each task's trials.
    """
    counts, room = np.array([len(one) for one in values], dtype=int), max(room, 0)
    for i in range(len(counts)):
        over = int(counts.sum()) - room
        if over > 0:
            counts[i] = max(counts[i] - over, min(counts[i], FEWEST))
    for i in range(len(counts)):
        over = int(counts.sum()) - room
        if over > 0:
            counts[i] = max(counts[i] - over, 0)
    return [some(one, int(count)) for one, count in zip(values, counts, strict=True)]


def some(values: Array, count: int) -> Places:
    """Places of some trials: the best half of the count, and others over all ranks; ascending."""
    if count >= len(values):
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    best = round(BEST * count)
    rest = np.linspace(best, len(order) - 1, count - best).round().astype(np.intp)
    found: Places = np.sort(np.concatenate([order[:best], order[rest]]))
    return found
