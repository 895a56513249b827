"""What a Gaussian process may turn out to be at noisy and pending points: draws, and the improvement over them."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from luthier.models.acquisition import log_improvement
from luthier.models.gp import GP, JITTERS
from luthier.space.values import Array, Mask

DRAWS = 16  # of the process; more moved the proposals' regret by less than the noise between seeds
NUGGET = 1e-6  # on the diagonal, in units of the signal: points may coincide


class Fantasies:
    """Draws of the function at points, and the expected improvement over the best of each draw.

    Where values are noisy the lowest one is no yardstick: here every draw has its own best, at the points that were
    measured or are pending. At all of these points a draw is known, so that nothing is to be gained there: this also
    keeps parallel proposals apart.

    Args:
        gp: The process.
        points: (q, p) features of the measured and the pending points.
        rng: Source of randomness.
        counted: (q,) which points may be the best of a draw (feasible ones).
        draws: How many.

    Source: Letham, Karrer, Ottoni, Bakshy 2019 (noisy expected improvement); pending points: Snoek et al. 2012.
    Differs: the mean over draws is taken inside the logarithm, by log-sum-exp.
    Cost: O(q^3) once, O(q^2 + q draws) a prediction.
    """

    def __init__(
        self, gp: GP, points: Array, rng: np.random.Generator, *, counted: Mask | None = None, draws: int = DRAWS
    ) -> None:
        self._gp, self._points = gp, points
        mean, covariance = gp.joint(points)
        prior = gp.covariance(points, points)
        signal = gp.hyper.signal
        normal = rng.standard_normal((len(points), draws))
        values = mean[:, None] + _factor(covariance, signal) @ normal
        self._factor = _factor(prior, signal)
        half = solve_triangular(self._factor, values - gp.mean, lower=True, check_finite=False)
        self._alpha = solve_triangular(self._factor, half, lower=True, trans=1, check_finite=False)
        self.best: Array = (values if counted is None else values[counted]).min(axis=0)

    def log_ei(self, X: Array) -> Array:
        """Logarithm of the expected improvement, mean over the draws; (m, p) -> (m,)."""
        gp = self._gp
        K = gp.covariance(self._points, X)
        half = solve_triangular(self._factor, K, lower=True, check_finite=False)
        variance = gp.hyper.signal - np.einsum("ij,ij->j", half, half)
        sd = np.sqrt(np.maximum(variance, 1e-10 * gp.hyper.signal))[:, None]
        mean = gp.mean + K.T @ self._alpha  # (m, draws)
        each = log_improvement((self.best - mean) / sd) + np.log(sd)
        highest = each.max(axis=1)
        found: Array = highest + np.log(np.exp(each - highest[:, None]).mean(axis=1))
        return found


def _factor(covariance: Array, signal: float) -> Array:
    """Lower Cholesky factor with as little added to the diagonal as it takes."""
    C = covariance + NUGGET * signal * np.eye(len(covariance))
    for jitter in JITTERS:
        try:
            found: Array = np.asarray(np.linalg.cholesky(C + jitter * signal * np.eye(len(C))))
        except np.linalg.LinAlgError:
            continue
        return found
    return np.diag(np.sqrt(np.maximum(np.diag(C), NUGGET * signal)))
