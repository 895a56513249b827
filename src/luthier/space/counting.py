"""Counting and listing the configurations of a finite space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from luthier.base.errors import SpaceError
from luthier.space.columns import Levelled
from luthier.space.encoding import Encoding
from luthier.space.values import Array

#: Combinations of the hyperparameters that conditions and clauses mention, up to which they are counted out.
MOST_COMBINATIONS = 200_000


def size(encoding: Encoding, levels: Sequence[int]) -> tuple[int | None, bool]:
    """Number of distinct configurations.

    Args:
        encoding: The space's encoding.
        levels: Distinct values of every column, 0 for continuous.

    Returns:
        The number (None: infinite) and whether it is exact; if not, it is an upper bound.
    """
    if any(count == 0 for count in levels):
        return None, True
    product = math.prod(levels)
    if not encoding.rules and not encoding.clauses:
        return product, True
    decisive = sorted(encoding.decisive)
    if math.prod(levels[place] for place in decisive) > MOST_COMBINATIONS:
        return product, False
    rows = _combine(encoding, levels, decisive)
    on = encoding.on(rows)
    rows = encoding.settled(rows, on)
    keep = encoding.allowed(rows, on)
    # inactive ones hold their default now: what differed only there is one and the same
    _, first = np.unique(rows[:, decisive], axis=0, return_index=True)
    chosen = first[keep[first]]
    free = [place for place in range(len(levels)) if place not in encoding.decisive]
    patterns, counts = np.unique(encoding.encoded(on)[chosen][:, free], axis=0, return_counts=True)
    return (
        sum(
            int(count) * math.prod(levels[place] for place, active in zip(free, pattern, strict=True) if active)
            for pattern, count in zip(patterns, counts, strict=True)
        ),
        True,
    )


def all_rows(encoding: Encoding, levels: Sequence[int], limit: int) -> Array:
    """Every distinct configuration as a snapped row.

    Args:
        encoding: The space's encoding.
        levels: Distinct values of every column, 0 for continuous.
        limit: Most combinations of values to go through.

    Returns:
        (size, d), in the order of the values, the first column slowest.

    Raises:
        SpaceError: the space is infinite, or has more combinations than `limit`.
    """
    product = math.prod(levels)
    for name, count in zip(encoding.columns, levels, strict=True):
        if count == 0:
            raise SpaceError(
                f"hyperparameter {name!r} is continuous, so its configurations cannot be listed. Give it a step.",
                name=name,
            )
    if product > limit:
        raise SpaceError(f"the space has {product} combinations. Allowed: {limit} to list. Sample from it instead.")
    rows = _combine(encoding, levels, range(len(levels)))
    on = encoding.on(rows)
    rows = encoding.settled(rows, on)[encoding.allowed(rows, on)]
    if not encoding.rules:
        return rows
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]


def _combine(encoding: Encoding, levels: Sequence[int], places: Sequence[int]) -> Array:
    """All combinations of some columns' values, the others at their default; (product, d)."""
    columns = list(encoding.columns.values())
    total = math.prod(levels[place] for place in places)
    rows = np.tile(encoding.default_row, (total, 1))
    repeat = total
    for place in places:
        column = columns[place]
        assert isinstance(column, Levelled)
        codes = column.level_codes(np.arange(levels[place]))
        repeat //= levels[place]
        rows[:, place] = np.tile(np.repeat(codes, repeat), total // (repeat * levels[place]))
    return rows
