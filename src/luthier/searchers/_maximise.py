"""Search for the configuration with the highest score, without gradients and without relaxing choices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luthier.searchers._seen import Seen, fresh
from luthier.space.values import Array

#: Score of snapped rows, more is better; (m, d) -> (m,).
Score = Callable[[Array], Array]

ELITE = 10  # rows whose neighbourhoods are searched on
CHILDREN = 20  # neighbours of each in a round
#: Standard deviations of a number's step, round by round: coarse first, so that a basin is found before its bottom.
STEPS = (0.2, 0.1, 0.05, 0.02, 0.01)


def maximise(
    seen: Seen,
    taken: set[bytes],
    score: Score,
    rng: np.random.Generator,
    *,
    near: Array,
    candidates: int = 1000,
    steps: tuple[float, ...] = STEPS,
) -> tuple[Array, Array]:
    """Rows with high scores that are not taken, best first.

    A space with no more configurations than candidates, and small enough to be listed, is scored whole. Otherwise
    random rows (as the priors say) and neighbours of `near` are scored, and the best ten are searched on by neighbours
    at ever smaller steps: numbers move by normal steps, choices jump, so that mixed and conditional spaces need no
    relaxation.

    Args:
        seen: What was told, for its space.
        taken: Keys that are not allowed.
        score: What is maximised; must be finite or -inf.
        rng: Source of randomness.
        near: (p, d) snapped rows worth searching around, such as the best so far; may be empty.
        candidates: Rows drawn at first, a fifth of them neighbours.
        steps: One a round.

    Returns:
        (m, d) snapped rows that differ, and their (m,) scores, descending; both empty when the space is exhausted.

    Source: local search over acquisition values: Hutter, Hoos, Leyton-Brown 2011, section 4.3.
    Differs: all neighbourhoods are scored in one call a round; steps shrink.
    Cost: candidates + len(steps) * 200 scores.
    """
    space = seen.space
    size = space.size
    if seen.listed and size is not None and size <= candidates:
        rows = seen.left(taken)
        steps = ()
    else:
        about = candidates // 5 if len(near) else 0
        rows = space.sample_unit(candidates - about, rng)
        if about:
            rows = np.concatenate([rows, space.perturb(near[np.arange(about) % len(near)], rng)])
        rows = fresh(space, rows, taken)
    if not len(rows):
        rows = seen.left(taken)
    if not len(rows):
        return rows, np.empty(0)
    rows, scores = _ordered(rows, score(rows), len(rows) if not steps else ELITE)
    for step in steps:
        children = space.perturb(np.repeat(rows, CHILDREN, axis=0), rng, step=step)
        children = fresh(space, children, taken)
        if len(children):
            rows = np.concatenate([rows, children])
            scores = np.concatenate([scores, score(children)])
            rows, scores = _ordered(rows, scores, ELITE)
    return rows, scores


def _ordered(rows: Array, scores: Array, most: int) -> tuple[Array, Array]:
    """The best distinct rows, best first; among equal scores the earlier one."""
    order = np.argsort(-scores, kind="stable")
    rows, scores = rows[order], scores[order]
    _, first = np.unique(rows, axis=0, return_index=True)
    kept = np.sort(first)[:most]
    return rows[kept], scores[kept]
