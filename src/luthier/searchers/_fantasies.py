"""What a Gaussian process may turn out to be at noisy and pending points: draws, and the improvement over them."""

from __future__ import annotations

import numpy as np

from luthier.base.imports import later
from luthier.models.acquisition import log_improvement
from luthier.models.factors import joint_factor
from luthier.models.gp import GP
from luthier.space.values import Array, Mask

linalg = later("scipy.linalg")

DRAWS = 16  # of the process; more moved the proposals' regret by less than the noise between seeds


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
    Cost: O(q^3 + q n^2) once, O(n^2 + q n) a prediction, with n points in the process.
    """

    def __init__(
        self, gp: GP, points: Array, rng: np.random.Generator, *, counted: Mask | None = None, draws: int = DRAWS
    ) -> None:
        self._gp, self._points = gp, points
        mean, covariance = gp.joint(points)
        self._factor = joint_factor(covariance, gp.hyper.signal)
        self._normal = rng.standard_normal((len(points), draws))
        values = mean[:, None] + self._factor @ self._normal
        self._known = gp.explained(points)
        self.best: Array = (values if counted is None else values[counted]).min(axis=0)

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean of every draw and the standard deviation that they share; (m, p) -> (m, draws), (m,)."""
        gp = self._gp
        mean, sd = gp.predict(X)
        covariance = gp.covariance(self._points, X) - self._known.T @ gp.explained(X)
        half = linalg.solve_triangular(self._factor, covariance, lower=True, check_finite=False)
        variance = sd**2 - np.einsum("ij,ij->j", half, half)
        return mean[:, None] + half.T @ self._normal, np.sqrt(np.maximum(variance, 1e-10 * gp.hyper.signal))

    def log_ei(self, X: Array) -> Array:
        """Logarithm of the expected improvement, mean over the draws; (m, p) -> (m,)."""
        mean, sd = self.predict(X)
        each = log_improvement((self.best - mean) / sd[:, None]) + np.log(sd)[:, None]
        highest = each.max(axis=1)
        found: Array = highest + np.log(np.exp(each - highest[:, None]).mean(axis=1))
        return found
