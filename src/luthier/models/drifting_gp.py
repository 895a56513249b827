"""Gaussian process of a function that drifts: what was seen long ago says less about today."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later

linalg = later("scipy.linalg")
optimize = later("scipy.optimize")

Array = NDArray[np.float64]

#: Priors of the logarithms, (mean, standard deviation): length scale in units of sqrt(p), signal and noise variance of
#: standardised values, forgetting rate per unit of time. Increments of a loss are noisy, hence the noise's mean of 0.2;
#: a rate of 0.1 halves a correlation in seven intervals.
LENGTH, SIGNAL, NOISE, RATE = (-0.7, 0.7), (0.0, 1.0), (math.log(0.2), 1.5), (math.log(0.1), 1.0)
BOUNDS = ((-3.0, 3.0), (-4.0, 3.0), (-9.0, 2.0), (-7.0, 2.0))
STEPS = 40  # of the optimiser, from the priors' means: three more starts were better on 1 of 40 data sets
JITTER = 1e-8  # added to the diagonal, in units of the signal


@dataclass(frozen=True)
class Drift:
    """Parameters of the kernel.

    Args:
        length: Length scale of all features alike.
        signal: Variance of the function.
        noise: Variance of the noise.
        forgets: Share of the correlation that is lost in two units of time, in (0, 1): the paper's epsilon.
    """

    length: float
    signal: float
    noise: float
    forgets: float

    def covariance(self, A: Array, a: Array, B: Array, b: Array) -> Array:
        """Prior covariance of points (A, a) and (B, b): features and times; (n, p), (n,), (m, p), (m,) -> (n, m)."""
        rate = -0.5 * math.log1p(-self.forgets)
        far = np.exp(-0.5 * _squared(A, B) / self.length**2 - rate * np.abs(a[:, None] - b[None, :]))
        return np.asarray(self.signal * far)


def _squared(A: Array, B: Array) -> Array:
    return np.asarray(((A[:, None, :] - B[None, :, :]) ** 2).sum(axis=2))


class DriftingGP:
    """A process that has seen values at several times.

    k((x, t), (x', t')) = signal * exp(-|x - x'|^2 / (2 length^2)) * (1 - forgets)^(|t - t'| / 2)

    Args:
        X: (n, p) features, in [0, 1].
        t: (n,) times.
        y: (n,) standardised values (zero mean, unit variance).
        drift: Parameters; None: those of highest posterior density.

    Source: Parker-Holder, Nguyen, Roberts 2020; Bogunovic, Scarlett, Cevher 2016 (the kernel of time).
    Differs: priors on the parameters.
    Cost: O(n^3) a fit's step, at most 40; O(n^2 m) a prediction.
    """

    def __init__(self, X: Array, t: Array, y: Array, drift: Drift | None = None) -> None:
        self.X, self.t, self.y = X, t, y
        self.drift = fit(X, t, y) if drift is None else drift
        self._factor = self._factorise(X, t)
        half = linalg.solve_triangular(self._factor, y, lower=True)
        self._alpha: Array = linalg.solve_triangular(self._factor, half, lower=True, trans=1)

    def _factorise(self, X: Array, t: Array) -> Array:
        C = self.drift.covariance(X, t, X, t)
        C[np.diag_indices(len(t))] += self.drift.noise + JITTER * self.drift.signal
        return np.asarray(linalg.cholesky(C, lower=True))

    def mean(self, X: Array, t: Array) -> Array:
        """Mean of the function; (m, p), (m,) -> (m,)."""
        return np.asarray(self.drift.covariance(X, t, self.X, self.t) @ self._alpha)

    def with_pending(self, X: Array, t: Array) -> DriftingGP:
        """The process that also expects values at (X, t), as its mean says: `sd` falls there, `mean` stays.

        Source: Desautels, Krause, Burdick 2014 (GP-BUCB).
        """
        if not len(X):
            return self
        y = np.concatenate([self.y, self.mean(X, t)])
        return DriftingGP(np.concatenate([self.X, X]), np.concatenate([self.t, t]), y, self.drift)

    def sd(self, X: Array, t: Array) -> Array:
        """Standard deviation of the function, noise left out; (m, p), (m,) -> (m,)."""
        half = linalg.solve_triangular(self._factor, self.drift.covariance(self.X, self.t, X, t), lower=True)
        variance = self.drift.signal - np.einsum("ij,ij->j", half, half)
        return np.asarray(np.sqrt(np.maximum(variance, 1e-12 * self.drift.signal)))


def fit(X: Array, t: Array, y: Array) -> Drift:
    """Parameters of highest posterior density, of (n, p) features, (n,) times and (n,) values."""
    squared, apart = _squared(X, X), np.abs(t[:, None] - t[None, :])
    centre = np.array([LENGTH[0] + 0.5 * math.log(max(X.shape[1], 1)), SIGNAL[0], NOISE[0], RATE[0]])
    spread = np.array([LENGTH[1], SIGNAL[1], NOISE[1], RATE[1]])

    def loss(theta: Array) -> tuple[float, Array]:
        value, slope = _evidence(theta, squared, apart, y)
        z = (theta - centre) / spread
        return value + 0.5 * float(z @ z), slope + z / spread

    found = optimize.minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=BOUNDS, options={"maxiter": STEPS})
    theta = np.asarray(found.x)
    length, signal, noise, rate = np.exp(theta).tolist()
    return Drift(length, signal, noise, -math.expm1(-2.0 * rate))


def _evidence(theta: Array, squared: Array, apart: Array, y: Array) -> tuple[float, Array]:
    """Negative log likelihood and its gradient by the logarithms of length, signal, noise and forgetting rate."""
    n = len(y)
    length, signal, noise, rate = np.exp(theta).tolist()
    K = signal * np.exp(-0.5 * squared / length**2 - rate * apart)
    C = K.copy()
    C[np.diag_indices(n)] += noise + JITTER * signal
    factor, info = linalg.lapack.dpotrf(C, lower=1, clean=1)
    if info != 0:
        return 1e10, np.zeros(4)
    inverse, _ = linalg.lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ y
    value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum())
    half = 0.5 * (inverse - np.outer(alpha, alpha))
    by_k = half * K
    jitter = JITTER * signal * float(np.trace(half))
    slope = [
        float((by_k * squared).sum()) / length**2,
        float(by_k.sum()) + jitter,
        noise * float(np.trace(half)),
        -rate * float((by_k * apart).sum()),
    ]
    return value, np.array(slope)
