"""Hartmann's functions in three and six dimensions: constants, sums and minimisers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_SHARPNESS = {
    3: np.array([[3.0, 10.0, 30.0], [0.1, 10.0, 35.0], [3.0, 10.0, 30.0], [0.1, 10.0, 35.0]]),
    6: np.array(
        [
            [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
            [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
            [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
            [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
        ]
    ),
}
_CENTRES = {
    3: 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    6: 1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
}
# the zero of the gradient in 40 digits, rounded
MINIMISER = {
    3: (0.11458887665506897, 0.55564889461693004, 0.85254698468667744),
    6: (
        0.20168951100670542,
        0.15001069182345797,
        0.47687397422189699,
        0.27533243049405607,
        0.31165161660011324,
        0.65730053406562031,
    ),
}
MINIMUM = {3: -3.8627797873326625, 6: -3.3223680114155148}


def hartmann(x: Array, weights: Array = WEIGHTS) -> Array:
    """Minus a weighted sum of four bumps; (n, d) in the unit cube with d = 3 or 6 -> (n,).

    Args:
        x: Where.
        weights: (4,) heights of the bumps.

    Source: Dixon and Szegoe 1978; the constants as in Picheny, Wagner, Ginsbourger 2013.
    """
    d = x.shape[1]
    apart = x[:, None, :] - _CENTRES[d]  # (n, d) -> (n, 4, d)
    found: Array = -np.exp(-(_SHARPNESS[d] * apart**2).sum(axis=-1)) @ weights
    return found
