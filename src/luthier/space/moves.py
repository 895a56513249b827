"""Moves: small random changes of configurations, for local search."""

from __future__ import annotations

import numpy as np

from luthier.base.checks import check
from luthier.space.columns import Column, Continuous, Levelled
from luthier.space.encoding import Encoding
from luthier.space.values import Array, Mask

#: Times that a forbidden neighbour is drawn again before its row stays as it is.
ROUNDS = 8


def perturb(encoding: Encoding, rows: Array, rng: np.random.Generator, *, changes: int, step: float) -> Array:
    """Rows near given ones; see `Space.perturb`.

    Args:
        encoding: The space's encoding.
        rows: (n, d) snapped.
        rng: Source of randomness.
        changes: Most hyperparameters changed in a row.
        step: Standard deviation of a number's step.

    Returns:
        (n, d) snapped.
    """
    changes = check("changes", changes, at_least=1, whole=True)
    check("step", step, above=0)
    moved = rows.copy()
    left = np.arange(len(rows))
    for _ in range(ROUNDS if encoding.clauses else 1):
        found, allowed = _once(encoding, rows[left], rng, changes, step)
        moved[left[allowed]] = found[allowed]
        left = left[~allowed]
        if not len(left):
            break
    return moved


def _once(encoding: Encoding, rows: Array, rng: np.random.Generator, changes: int, step: float) -> tuple[Array, Mask]:
    columns = list(encoding.columns.values())
    before = encoding.encoded(encoding.on(rows))
    movable = before & np.array([column.levels != 1 for column in columns], dtype=bool)
    chosen = _choose(movable, rng, changes)
    moved = rows.copy()
    for place, column in enumerate(columns):
        which = chosen[:, place]
        if which.any():
            moved[which, place] = _move(column, rows[which, place], rng, step)
    on = encoding.on(moved)
    fresh = encoding.encoded(on) & ~before
    for _ in range(len(columns) if fresh.any() else 0):  # a hyperparameter woken up may wake others
        drawn = encoding.numeric(encoding.warp(rng.random(rows.shape)))
        moved = np.where(fresh, drawn, moved)
        before = before | fresh
        on = encoding.on(moved)
        fresh = encoding.encoded(on) & ~before
        if not fresh.any():
            break
    moved = encoding.settled(moved, on)
    return moved, encoding.allowed(moved, on)


def _choose(movable: Mask, rng: np.random.Generator, changes: int) -> Mask:
    """1 to `changes` movable columns in each row, all alike; (n, d) -> (n, d)."""
    n, d = movable.shape
    if d == 0:
        return movable
    wanted = rng.integers(1, min(changes, d) + 1, size=n)
    order = np.where(movable, rng.random((n, d)), 2.0)
    rank = order.argsort(axis=1).argsort(axis=1)
    chosen: Mask = movable & (rank < wanted[:, None])
    return chosen


def _move(column: Column, codes: Array, rng: np.random.Generator, step: float) -> Array:
    n = len(codes)
    if isinstance(column, Levelled) and column.kind == "choice":
        levels = column.level_array(codes)
        return column.level_codes((levels + rng.integers(1, column.levels, size=n)) % column.levels)
    shift = rng.normal(0.0, step, size=n)
    moved = codes + shift
    # what would leave the range turns back at its bound, so that bounds do not collect rows
    moved = np.where(moved < 0.0, -moved, np.where(moved > 1.0, 2.0 - moved, moved))
    moved = column.snap(np.clip(moved, 0.0, 1.0))
    stuck = moved == codes
    if stuck.any():
        moved[stuck] = _next(column, codes[stuck], shift[stuck] < 0)
    return moved


def _next(column: Column, codes: Array, down: Mask) -> Array:
    """The neighbouring value on one side, or on the other at a bound."""
    if isinstance(column, Levelled):
        levels = column.level_array(codes)
        last = column.levels - 1
        up = np.where(down, levels == 0, levels < last)
        return column.level_codes(np.where(up, levels + 1, levels - 1))
    assert isinstance(column, Continuous)
    down = np.where(codes <= 0.0, False, np.where(codes >= 1.0, True, down))
    return column.snap(codes + np.where(down, -1.0, 1.0) / column.grid)
