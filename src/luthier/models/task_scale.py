"""Values of different tasks on one scale, whatever their units, and with bad values brought near."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIMIT = 3.0  # what an infinitely bad value becomes, in standard deviations: a diverged loss then stands above bad ones
ROUNDS, HALVINGS, ENOUGH = 50, 20, 1e-10  # of Newton's method for location and scale: most often some ten rounds
FAR = 5.0  # widths above the median up to which values stay as they are; see `near`
SHRINKS, SHRINK = 12, 0.7  # of a spread that cannot be had together with the mean


def saturate(z: Array) -> Array:
    """Values up to 0 as they are, z / (1 + z / 3) above: good ones keep their distances, bad ones end at 3; (n,)."""
    bad = np.maximum(z, 0.0)
    found: Array = np.minimum(z, 0.0) + bad / (1.0 + bad / LIMIT)
    return found


def near(y: Array) -> Array:
    """Values up to 5 widths above the median as they are, those farther above between 5 and 10; (n,).

    A width is the way from the best value to the median. Among seven values one diverged loss would use up a
    spread of 1 even where it saturates, and all good values would become one. Half of what is farther above is told by
    how far, half by the rank among what is, so that the rest stays apart where most trials have gathered at the best.
    Where more than half of the values equal the best one, the median is that of the distinct values.

    Args:
        y: (n,) finite values, less is better, two distinct ones at least.
    """
    low, middle = y.min(), np.median(y)
    if middle == low:
        middle = np.median(np.unique(y))
    width, found = middle - low, y.copy()
    with np.errstate(over="ignore"):  # endlessly many widths become 10
        z = (y - middle) / width
    far = z > FAR
    if far.any():
        above = 1.0 - FAR / z[far]  # in (0, 1)
        distinct, place = np.unique(z[far], return_inverse=True)
        rank = above.max() * (place + 1.0) / len(distinct)
        found[far] = middle + width * FAR * (1.0 + 0.5 * (above + rank))
    return found


def scaled(y: Array, mean: float = 0.0, spread: float = 1.0) -> Array:
    """Values saturated after a shift and a scale such that they have a given mean and spread.

    One transformation for all tasks, up to location and scale: where two tasks agree but for their units, so do their
    values here, however many of them were tried and wherever they lie. Values that lie far above the good ones are an
    exception, see `near`. Rounded to nine digits, so that unit and origin of a metric change nothing that is computed
    from them.

    Args:
        y: (n,) finite values, less is better, n >= 1.
        mean: Wanted mean.
        spread: Wanted standard deviation, > 0.

    Returns:
        (n,) in the order of y; the mean for all where all are equal. The spread is less where it cannot be had.

    Source: specified for this project, in place of the warping by halves of Song et al. 2024, which depends on which
        half of the trials is the better one.
    Cost: O(n) a round.
    """
    y = np.asarray(y, dtype=float)
    if y.min() == y.max():
        return np.full(len(y), mean)
    y = near(0.5 * y)  # halves: the difference of the two largest numbers is none
    y = (y - y.min()) / (y.max() - y.min())
    for _ in range(SHRINKS):
        z, done = _solve(y, mean, spread)
        if done:
            break
        spread *= SHRINK
    return np.round(z, 9)


def _solve(y: Array, mean: float, spread: float) -> tuple[Array, bool]:
    """Values of that mean and spread, and whether there are such: Newton's method for shift and logarithmic scale."""
    middle = float(np.median(y))
    size = max(float(np.median(np.abs(y - middle))), 0.05)
    y = (y - middle) / size
    at = np.array([_unsaturate(mean), np.log(spread)])
    z, off, jacobian = _moments(y, at, mean, spread)
    for _ in range(ROUNDS):
        if np.abs(off).max() < ENOUGH:
            return z, True
        step = -np.linalg.lstsq(jacobian, off, rcond=None)[0]
        step /= max(1.0, float(np.abs(step).max()))
        for _ in range(HALVINGS):
            found = _moments(y, at + step, mean, spread)
            if np.abs(found[1]).max() < np.abs(off).max():
                break
            step *= 0.5
        else:
            break
        at, (z, off, jacobian) = at + step, found
    return z, False


def _unsaturate(z: float) -> float:
    return z if z <= 0.0 else z / max(1.0 - z / LIMIT, 0.1)


def _moments(y: Array, at: Array, mean: float, spread: float) -> tuple[Array, Array, Array]:
    """Values, what is off in their mean and the logarithm of their spread, and its derivatives."""
    by_scale = np.exp(at[1]) * y
    raw = at[0] + by_scale
    z = saturate(raw)
    slope = 1.0 / (1.0 + np.maximum(raw, 0.0) / LIMIT) ** 2
    apart = z - z.mean()
    wide = max(float(np.sqrt(np.mean(apart**2))), 1e-12)
    by = np.stack([slope, slope * by_scale])
    off = np.array([z.mean() - mean, np.log(wide / spread)])
    return z, off, np.stack([by.mean(axis=1), (by @ apart) / len(y) / wide**2])
