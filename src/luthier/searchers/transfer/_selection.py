"""Which configurations of earlier tasks come first: the best of each, then the second best, and so on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from luthier.base.records import Configuration
from luthier.searchers.transfer._history import EarlierTask

#: Warm points (the published experiments).
POINTS = 5


def select(tasks: Sequence[EarlierTask], points: int, rng: np.random.Generator | None = None) -> list[Configuration]:
    """The best configurations of earlier tasks, the best of each before the second best of any.

    At each level the tasks are gone through, the newest first; each gives one configuration of its value at that
    level (the best value at the first, the second best at the next), and a task with more of equal value gives those
    after all others. What is there already is passed over.

    Args:
        tasks: Oldest first.
        points: How many.
        rng: Puts the tasks into a random order, anew at each level; None: the newest first.

    Returns:
        At most `points` configurations that differ; fewer where the tasks have no more.

    Source: Hellan et al. 2023 (SimpleOrdered), as in their code.
    Differs: of equal values the earlier trial comes first; there chance decides, by the seed of the interpreter.
    Cost: O(n log n) for n earlier trials.
    """
    found: dict[Configuration, None] = {}
    for candidate in _walk(tasks, rng):
        if len(found) >= points:
            break
        found.setdefault(candidate)
    return list(found)


def _walk(tasks: Sequence[EarlierTask], rng: np.random.Generator | None) -> Iterator[Configuration]:
    levels = [task.levels() for task in reversed(tasks)]
    while levels:
        if rng is not None:
            levels = [levels[i] for i in rng.permutation(len(levels))]
        ready = [(level, next(level, None)) for level in levels]
        levels = [level for level, equal in ready if equal is not None]
        queue = deque(deque(equal) for _, equal in ready if equal is not None)
        while queue:
            equal = queue.popleft()
            yield equal.popleft()
            if equal:
                queue.append(equal)
