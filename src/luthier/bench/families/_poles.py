"""A pole on a cart, many at once: the physics and the rules of CartPole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LONGEST = 200  # steps of an episode, as in version 0
_GRAVITY, _CART, _POLE, _HALF_LENGTH, _FORCE, _SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
_FARTHEST, _STEEPEST, _START = 2.4, 12 * 2 * math.pi / 360, 0.05

#: From (n, 4) states and (n,) uniform numbers to (n,) actions and the probabilities they were taken with.
Act = Callable[[Array, Array], tuple[NDArray[np.int64], NDArray[np.float32]]]


class Episodes(NamedTuple):
    """What happened, step by step; the episodes one after the other.

    Args:
        states: (t, 4) positions, speeds, angles, angular speeds before each step.
        actions: (t,) 0 for left, 1 for right.
        chances: (t,) probabilities of the actions.
        lengths: (n,) steps of each episode, which is its reward too.
        rounds: Steps of the longest.
    """

    states: Array
    actions: NDArray[np.int64]
    chances: NDArray[np.float32]
    lengths: NDArray[np.int64]
    rounds: int


def start(n: int, rng: np.random.Generator) -> Array:
    """(n, 4) states near upright rest."""
    return rng.uniform(-_START, _START, (n, 4))


def push(states: Array, actions: NDArray[np.int64]) -> Array:
    """States a step later; (n, 4), (n,) -> (n, 4).

    Source: Barto, Sutton, Anderson 1983, with the constants and Euler's method of gymnasium's CartPole.
    """
    _, speed, angle, turn = states.T
    force = np.where(actions == 1, _FORCE, -_FORCE)
    cos, sin, mass = np.cos(angle), np.sin(angle), _CART + _POLE
    part = (force + _POLE * _HALF_LENGTH * turn**2 * sin) / mass
    bend = (_GRAVITY * sin - cos * part) / (_HALF_LENGTH * (4.0 / 3.0 - _POLE * cos**2 / mass))
    pull = part - _POLE * _HALF_LENGTH * bend * cos / mass
    found: Array = states + _SECONDS * np.stack([speed, pull, turn, bend], axis=1)
    return found


def fallen(states: Array) -> NDArray[np.bool_]:
    """Whether the pole leans too far or the cart has left the track; (n, 4) -> (n,)."""
    found: NDArray[np.bool_] = (np.abs(states[:, 0]) > _FARTHEST) | (np.abs(states[:, 2]) > _STEEPEST)
    return found


def play(act: Act, n: int, rng: np.random.Generator) -> Episodes:
    """Play n episodes with one way to act, side by side.

    Args:
        act: The policy.
        n: Episodes.
        rng: Decides starts and actions.
    """
    states = start(n, rng)
    luck = rng.random((LONGEST, n))
    shape = (n, LONGEST)
    seen, done, chances = np.empty((*shape, 4)), np.empty(shape, np.int64), np.empty(shape, np.float32)
    lengths = np.full(n, LONGEST)
    alive = np.arange(n)
    rounds = 0
    for t in range(LONGEST):
        rounds = t + 1
        actions, chance = act(states, luck[t, alive])
        seen[alive, t], done[alive, t], chances[alive, t] = states, actions, chance
        states = push(states, actions)
        down = fallen(states)
        if down.any():
            lengths[alive[down]] = t + 1
            states, alive = states[~down], alive[~down]
            if not len(alive):
                break
    kept = np.arange(LONGEST) < lengths[:, None]
    return Episodes(seen[kept], done[kept], chances[kept], lengths, rounds)


def returns(lengths: NDArray[np.int64], discount: float) -> NDArray[np.float32]:
    """Discounted sum of the rewards from each step on, a reward of 1 for each step; (t,)."""
    left = np.concatenate([np.arange(length, 0, -1) for length in lengths.tolist()])
    if discount == 1.0:
        return left.astype(np.float32)
    found: NDArray[np.float32] = ((1 - discount**left) / (1 - discount)).astype(np.float32)
    return found
