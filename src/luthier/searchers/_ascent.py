"""Search for the configuration with the highest score where the score has gradients: numbers climb, choices swap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luthier.searchers._maximise import Score, maximise
from luthier.searchers._seen import Seen, fresh
from luthier.space.space import Space
from luthier.space.values import Array

#: Features of rows, as `Features` lays them out, with more columns behind or not; (m, d) -> (m, p).
Features = Callable[[Array], Array]
#: Scores of features and their gradients; (m, p) -> (m,), (m, p).
Slope = Callable[[Array], tuple[Array, Array]]

STARTS = 5  # rows that climb: the best of the sample
ROUNDS = 2  # climb, swap, and again
STEPS = 40  # of a climb: enough to come within a thousandth of a bowl's top
FIRST, LARGEST = 0.05, 0.2  # steps
GROW, SHRINK = 1.2, 0.5  # published


def ascend(
    seen: Seen,
    taken: set[bytes],
    features: Features,
    slope: Slope,
    rng: np.random.Generator,
    *,
    near: Array,
    candidates: int,
) -> tuple[Array, Array]:
    """Rows with high scores that are not taken, best first.

    A space with no more configurations than candidates is scored whole. Otherwise the best five of a sample climb in
    the unit cube: their active numbers follow the gradient and are snapped at the end; no choice is relaxed, instead
    every other value of every active choice is tried, and the best kept.

    Args:
        seen: What was told, for its space.
        taken: Keys that are not allowed.
        features: From rows to what `slope` takes.
        slope: What is climbed.
        rng: Source of randomness, for the sample.
        near: (q, d) snapped rows worth searching around.
        candidates: Size of the sample.

    Returns:
        (m, d) snapped rows, and their (m,) scores, descending; both empty when the space is exhausted.

    Source: gradients from the best of a random sample: Tiao et al. 2021 and their code.
    Differs: another way of climbing than L-BFGS-B, whose single steps are dear beside gradients of networks this small;
        choices are swapped; whole numbers are snapped after the climb.
    Cost: candidates scores, and ROUNDS * STEPS calls for the gradients at STARTS rows.
    """
    space = seen.space

    def score(rows: Array) -> Array:
        return slope(features(rows))[0]

    rows, scores = maximise(seen, taken, score, rng, near=near, candidates=candidates, steps=())
    if len(rows) <= 1 or (space.size is not None and space.size <= candidates):
        return rows, scores
    best = rows[:STARTS]
    for _ in range(ROUNDS):
        best = np.concatenate([swap(space, score, row) for row in climb(space, features, slope, best)])
    best = fresh(space, np.unique(best, axis=0), taken)
    rows = np.concatenate([best, rows])
    scores = np.concatenate([score(best), scores]) if len(best) else scores
    order = np.argsort(-scores, kind="stable")
    return rows[order], scores[order]


def climb(space: Space, features: Features, slope: Slope, rows: Array) -> Array:
    """Each row's active numbers moved uphill, within the unit interval; a row stays when snapping undoes the gain.

    A number steps in the direction of its gradient; its step grows while the direction stays, and is halved when it
    turns. So nothing depends on the scale of the score, and all rows climb in the same calls.

    Args:
        space: Where the rows come from.
        features: From rows to what `slope` takes.
        slope: What is climbed.
        rows: (m, d) snapped rows.

    Returns:
        (m, d) snapped rows, none forbidden.

    Source: Riedmiller and Braun 1993 (Rprop).
    Differs: steps are kept inside the unit interval; the best point of the climb is returned.
    Cost: STEPS + 2 calls of `slope` with m rows.
    """
    columns, places = number_places(space)
    moving, at = space.active(rows)[:, columns], features(rows)
    best, highest = rows[:, columns], np.full(len(rows), -np.inf)
    x, step, before = best, np.full(best.shape, FIRST), np.zeros(best.shape)
    for _ in range(STEPS):
        at[:, places] = np.where(moving, x, at[:, places])
        score, gradient = slope(at)
        best = np.where((score > highest)[:, None], x, best)
        highest = np.maximum(score, highest)
        direction = np.where(moving, np.sign(gradient[:, places]), 0.0)
        turn = direction * before
        step = np.clip(step * np.where(turn > 0, GROW, np.where(turn < 0, SHRINK, 1.0)), 0.0, LARGEST)
        x, before = np.clip(x + direction * step, 0.0, 1.0), direction
    climbed = rows.copy()
    climbed[:, columns] = np.where(moving, best, climbed[:, columns])
    climbed = space.snap(climbed)
    better = space.allowed(climbed) & (slope(features(climbed))[0] > slope(features(rows))[0])
    return np.where(better[:, None], climbed, rows)


def swap(space: Space, score: Score, row: Array) -> Array:
    """The best of a row and of all rows in which one active choice has another value; (d,) -> (1, d)."""
    on = space.active(row[None])[0]
    others = [row]
    for column in np.flatnonzero(on & (np.array(space.kinds) == "choice")):
        levels = space.levels[column]
        for code in (np.arange(levels) + 0.5) / levels:
            other = row.copy()
            other[column] = code
            others.append(other)
    rows = space.snap(np.array(others))
    rows = rows[space.allowed(rows)]
    return rows[[np.argmax(score(rows))]]


def number_places(space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Columns of numbers (ordinals among them), and where `_features.Features` puts them."""
    columns, places, place = [], [], 0
    for column, (name, kind, levels) in enumerate(zip(space.columns, space.kinds, space.levels, strict=True)):
        if kind != "choice":
            columns.append(column)
            places.append(place)
        place += (levels if kind == "choice" and levels > 2 else 1) + (name in space.conditions)
    return np.array(columns, dtype=np.intp), np.array(places, dtype=np.intp)
