"""Exact Gaussian process: Matern-5/2 with a length scale per feature, fitted by marginal likelihood with priors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later
from luthier.models.factors import MEAN_WEIGHT, factored, solved

linalg = later("scipy.linalg")
optimize = later("scipy.optimize")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Priors, each normal in the logarithm: (mean, standard deviation).
#: Length scales: median sqrt(p) e^0.35. Signal: near the values' own variance. Noise: little unless the data say more;
#: its width spans deterministic programs and recorded repetitions. Bends: none unless the data say so.
LENGTH, SIGNAL, NOISE, BEND_SPREAD = (0.35, 0.8), (0.0, 1.0), (-6.0, 2.0), 0.35
#: Standard deviation, in the logarithm, of a factor that all length scales may share: few values can then say that the
#: function is rough everywhere, for the price of one surprise in place of p.
SHARED = 1.0
#: Bounds of the logarithms, so that no fit leaves the range of double precision.
LENGTH_BOUNDS, SIGNAL_BOUNDS, NOISE_BOUNDS, BEND_BOUNDS = (-4.0, 7.0), (-4.0, 4.0), (math.log(1e-7), 1.0), (-2.0, 2.0)
EDGE = 1e-6  # numbers keep this distance from 0 and 1 when they are bent: slopes there may be infinite
#: Starts of the fit, (length scale in units of sqrt(d), noise variance): smooth and exact, wiggly and noisy.
STARTS = ((0.5, 1e-3), (0.2, 1e-1))
STEPS = 40  # of the optimiser from each start
BLOCK = 50_000  # covariances computed at once: larger arrays take the time of fetching fresh memory from the system


@dataclass(frozen=True)
class Hyper:
    """Parameters of the kernel.

    Args:
        lengths: (p,) length scales, in units of the features.
        signal: Variance of the function.
        noise: Variance of the noise, the same everywhere unless weights say otherwise.
        bends: (p, 2) see `bend`.
        loss: Negative logarithm of the posterior density at which it was found, up to a constant.
    """

    lengths: Array
    signal: float
    noise: float
    bends: Array = field(default_factory=lambda: np.zeros(2))
    loss: float = math.nan


class Squares:
    """Squared distances between points, feature by feature.

    Numbers differ by the square of their difference; categories by 1 when they are not the same. The latter is the
    distance of one-hot codes (up to a factor), so the kernel is positive definite.

    Args:
        categorical: (p,) which features are categories.
    """

    def __init__(self, categorical: Mask) -> None:
        self.categorical = categorical

    def each(self, A: Array, B: Array) -> Array:
        """(n, p), (m, p) -> (p, n, m)."""
        found = np.empty((A.shape[1], len(A), len(B)))
        for j, categorical in enumerate(self.categorical):
            np.subtract(A[:, j, None], B[None, :, j], out=found[j])
            if categorical:
                found[j] = found[j] != 0.0
            else:
                np.square(found[j], out=found[j])
        return found

    def scaled(self, A: Array, B: Array, lengths: Array) -> Array:
        """Sum over features of squared distance / length^2; (n, p), (m, p) -> (n, m)."""
        number = ~self.categorical
        a, b = A[:, number] / lengths[number], B[:, number] / lengths[number]
        found: Array = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
        np.maximum(found, 0.0, out=found)
        for j in np.flatnonzero(self.categorical):
            found += (A[:, j, None] != B[None, :, j]) / lengths[j] ** 2
        return found


def matern(squared: Array, signal: float) -> Array:
    """Matern-5/2 covariance of scaled squared distances; (...) -> (...)."""
    r = np.sqrt(5.0 * squared)
    found: Array = signal * (1.0 + r + r * r / 3.0) * np.exp(-r)
    return found


def matern_slope(squared: Array, signal: float) -> Array:
    """Derivative of `matern` by the scaled squared distance; (...) -> (...)."""
    r = np.sqrt(5.0 * squared)
    found: Array = (-5.0 / 6.0 * signal) * (1.0 + r) * np.exp(-r)
    return found


def bend(Z: Array, bends: Array, categorical: Mask) -> Array:
    """Numbers moved within [0, 1] by 1 - (1 - x^a)^b, so that one length scale may suit both ends of a range.

    Args:
        Z: (n, p) features, numbers in [0, 1].
        bends: (p, 2) logarithms of a and b; zeros leave a feature as it is.
        categorical: (p,) which features are categories; they stay.

    Returns:
        (n, p).

    Source: Snoek, Swersky, Zemel, Adams 2014 (input warping); the form of Kumaraswamy, as in Cowen-Rivers et al. 2022.
    """
    if not bends.any():
        return Z
    a, b = np.exp(bends).T
    moved = 1.0 - (1.0 - np.clip(Z, EDGE, 1.0 - EDGE) ** a) ** b
    return np.where(categorical, Z, moved)


class _Loss:
    """Negative log posterior of the hyperparameters and its gradient.

    Parameters are (log lengths, log signal, log noise, log a of each number, log b of each number).
    """

    def __init__(self, Z: Array, y: Array, categorical: Mask, weights: Array, shared: float = 0.0) -> None:
        self.n, self.p = Z.shape
        self.y, self.weights = y, weights
        self.numbers, self.categories = np.flatnonzero(~categorical), np.flatnonzero(categorical)
        self.x = np.clip(Z[:, self.numbers], EDGE, 1.0 - EDGE)
        self.log_x = np.log(self.x)
        self.differ = Squares(categorical[self.categories]).each(Z[:, self.categories], Z[:, self.categories])
        self.differ = self.differ.reshape(len(self.categories), self.n**2)
        q = len(self.numbers)
        median = LENGTH[0] + 0.5 * math.log(max(self.p, 1))
        self.centre = np.concatenate([np.full(self.p, median), [SIGNAL[0], NOISE[0]], np.zeros(2 * q)])
        self.spread = np.concatenate([np.full(self.p, LENGTH[1]), [SIGNAL[1], NOISE[1]], np.full(2 * q, BEND_SPREAD)])
        self.shared = shared**2 / (LENGTH[1] ** 2 + self.p * shared**2)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient."""
        p, n, q = self.p, self.n, len(self.numbers)
        inverse = np.exp(-2.0 * theta[:p])
        signal, noise = math.exp(theta[p]), math.exp(theta[p + 1])
        a, b = np.exp(theta[p + 2 : p + 2 + q]), np.exp(theta[p + 2 + q :])
        power = self.x**a
        rest = 1.0 - power
        tail = rest**b
        W = 1.0 - tail
        squared = _gram(W * np.sqrt(inverse[self.numbers]))
        if len(self.categories):
            squared += (inverse[self.categories] @ self.differ).reshape(n, n)
        K = matern(squared, signal)
        C = K.copy()
        C[np.diag_indices(n)] += noise * self.weights + 1e-9 * signal
        factor, info = linalg.lapack.dpotrf(C, lower=1, overwrite_a=0, clean=1)
        if info != 0:
            return 1e10, np.zeros(len(theta))
        inverse_C, _ = linalg.lapack.dpotri(factor, lower=1)
        inverse_C = np.tril(inverse_C) + np.tril(inverse_C, -1).T
        mean, alpha = _centre(inverse_C, self.y)
        value = 0.5 * float((self.y - mean) @ alpha) + float(np.log(np.diag(factor)).sum())
        value += 0.5 * MEAN_WEIGHT * mean * mean
        half = 0.5 * (inverse_C - np.outer(alpha, alpha))
        slope = half * matern_slope(squared, signal)
        # sums over pairs of slope times (w_i - w_k)^2, and of its derivative by w_i, without a matrix for each feature
        rows, product = slope.sum(axis=1), slope @ W
        pairs = 2.0 * ((W * W).T @ rows - (W * product).sum(axis=0))
        by_w = 4.0 * (W * rows[:, None] - product) * inverse[self.numbers]
        gradient = np.empty(len(theta))
        gradient[self.numbers] = -2.0 * inverse[self.numbers] * pairs
        gradient[self.categories] = -2.0 * inverse[self.categories] * (self.differ @ slope.ravel())
        gradient[p] = float((half * K).sum())
        gradient[p + 1] = float((np.diag(half) * self.weights).sum()) * noise
        gradient[p + 2 : p + 2 + q] = (by_w * (b * tail / rest * power * self.log_x * a)).sum(axis=0)
        gradient[p + 2 + q :] = (by_w * (-tail * np.log(rest) * b)).sum(axis=0)
        return self._prior(theta, value, gradient)

    def _prior(self, theta: Array, value: float, gradient: Array) -> tuple[float, Array]:
        """With the prior's part added.

        The covariance of the logarithms of length scales is s^2 I + t^2 1 1', t the spread of what they share; its
        inverse is (I - 1 1' t^2 / (s^2 + p t^2)) / s^2.
        """
        p = self.p
        z = (theta - self.centre) / self.spread
        steep = z.copy()
        steep[:p] -= self.shared * z[:p].sum()
        return value + 0.5 * float(z @ steep), gradient + steep / self.spread


def _gram(W: Array) -> Array:
    """Squared distances between all rows; (n, q) -> (n, n)."""
    norm = (W * W).sum(axis=1)
    found: Array = norm[:, None] + norm - 2.0 * (W @ W.T)
    np.maximum(found, 0.0, out=found)
    return found


def _centre(inverse: Array, y: Array) -> tuple[float, Array]:
    """Mean of the process, shrunk towards 0, and inverse @ (y - mean)."""
    row = inverse.sum(axis=1)
    mean = float(row @ y) / (float(row.sum()) + MEAN_WEIGHT)
    return mean, inverse @ y - mean * row


def fit_hyper(
    Z: Array, y: Array, categorical: Mask, weights: Array | None = None, *, bent: bool = True, shared: float = 0.0
) -> Hyper:
    """Hyperparameters of highest posterior density.

    Args:
        Z: (n, p) features, numbers in [0, 1].
        y: (n,) standardised values.
        categorical: (p,) which features are categories.
        weights: (n,) relative noise variances, mean about 1; None: all 1.
        bent: Whether numbers are bent, see `bend`; from the best of the straight fits on.
        shared: Standard deviation of the logarithm of a factor that all length scales share; 0: none.

    Returns:
        The best found.

    Source: Rasmussen, Williams 2006, equations 5.8 and 5.9.
    Differs: priors; the constant mean has its best value at every step, with a standard normal prior.
    Cost: at most 3 * 40 steps of O(n^3 + n^2 p), most often about half as many.
    """
    loss = _Loss(Z, y, categorical, np.ones(len(y)) if weights is None else weights, shared)
    p, q = Z.shape[1], len(loss.numbers)
    bounds = [LENGTH_BOUNDS] * p + [SIGNAL_BOUNDS, NOISE_BOUNDS]
    straight = np.zeros(2 * q)

    def plain(theta: Array) -> tuple[float, Array]:
        value, gradient = loss(np.concatenate([theta, straight]))
        return value, gradient[: p + 2]

    found = []
    for length, noise in STARTS:
        start = np.concatenate([np.full(p, math.log(length * math.sqrt(max(p, 1)))), [0.0, math.log(noise)]])
        found.append(
            optimize.minimize(plain, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
        )
    best = min(found, key=lambda one: float(one.fun))
    theta, least = np.concatenate([best.x, straight]), float(best.fun)
    if bent and q:
        further = optimize.minimize(
            loss,
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds + [BEND_BOUNDS] * (2 * q),
            options={"maxiter": STEPS},
        )
        theta, least = further.x, float(further.fun)
    bends = np.zeros((p, 2))
    bends[loss.numbers] = theta[p + 2 :].reshape(2, q).T
    return Hyper(np.exp(theta[:p]), math.exp(theta[p]), math.exp(theta[p + 1]), bends, least)


@dataclass(frozen=True)
class GP:
    """A process that has seen data.

    Args:
        Z: (n, p) features.
        W: (n, p) features, bent.
        y: (n,) values.
        hyper: Parameters.
        squares: Distances.
        mean: Of the process.
        factor: (n, n) lower Cholesky factor of the covariance of the values.
        alpha: (n,) inverse covariance times (values - mean).
        jitter: What was added to the diagonal, in units of the signal, for a factor to exist.
        weights: (n,) relative noise variances.
    """

    Z: Array
    W: Array
    y: Array
    hyper: Hyper
    squares: Squares
    mean: float
    factor: Array
    alpha: Array
    jitter: float
    weights: Array

    @property
    def noise_share(self) -> float:
        """Noise variance where it is largest, in units of the signal's."""
        return self.hyper.noise * float(self.weights.max()) / self.hyper.signal

    def bend(self, X: Array) -> Array:
        """Features as the kernel sees them; (m, p) -> (m, p)."""
        return bend(X, self.hyper.bends, self.squares.categorical)

    def covariance(self, A: Array, B: Array) -> Array:
        """Prior covariance; (n, p), (m, p) -> (n, m)."""
        return self._kernel(self.bend(A), self.bend(B))

    def _kernel(self, A: Array, B: Array) -> Array:
        """Covariance of bent features."""
        return matern(self.squares.scaled(A, B, self.hyper.lengths), self.hyper.signal)

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, noise left out; (m, p) -> (m,), (m,)."""
        size = max(BLOCK // max(len(self.W), 1), 1)
        if len(X) > size:
            parts = [self._predict(X[i : i + size]) for i in range(0, len(X), size)]
            return np.concatenate([mean for mean, _ in parts]), np.concatenate([sd for _, sd in parts])
        return self._predict(X)

    def _predict(self, X: Array) -> tuple[Array, Array]:
        K = self._kernel(self.W, self.bend(X))
        half = linalg.solve_triangular(self.factor, K, lower=True, check_finite=False)
        variance = self.hyper.signal - np.einsum("ij,ij->j", half, half)
        return self.mean + K.T @ self.alpha, np.sqrt(np.maximum(variance, 1e-12 * self.hyper.signal))

    def explained(self, X: Array) -> Array:
        """Factor^-1 times the covariance with what was seen; products of it are what is explained. (m, p) -> (n, m)."""
        found: Array = linalg.solve_triangular(
            self.factor, self._kernel(self.W, self.bend(X)), lower=True, check_finite=False
        )
        return found

    def joint(self, X: Array) -> tuple[Array, Array]:
        """Mean and covariance of the function at several points; (m, p) -> (m,), (m, m)."""
        bent = self.bend(X)
        K = self._kernel(self.W, bent)
        half = linalg.solve_triangular(self.factor, K, lower=True, check_finite=False)
        return self.mean + K.T @ self.alpha, self._kernel(bent, bent) - half.T @ half

    def slopes(self, x: Array) -> tuple[float, float, Array, Array]:
        """Mean, standard deviation and their gradients by the numbers among the features, at one point.

        Args:
            x: (p,) features.

        Returns:
            Mean, standard deviation, (p,) gradient of each; zero for categories.
        """
        w = self.bend(x[None])[0]
        squared = self.squares.scaled(self.W, w[None], self.hyper.lengths)[:, 0]
        k = matern(squared, self.hyper.signal)
        half = linalg.solve_triangular(self.factor, k, lower=True, check_finite=False)
        full = linalg.solve_triangular(self.factor, half, lower=True, trans=1, check_finite=False)
        rate = np.where(self.squares.categorical, 0.0, 2.0 / self.hyper.lengths**2) * self._bend_slope(x)
        dk = matern_slope(squared, self.hyper.signal)[:, None] * ((w - self.W) * rate)  # (n, p)
        sd = math.sqrt(max(self.hyper.signal - float(half @ half), 1e-12 * self.hyper.signal))
        return self.mean + float(k @ self.alpha), sd, self.alpha @ dk, -(full @ dk) / sd

    def _bend_slope(self, x: Array) -> Array:
        """Derivative of `bend` at one point; (p,) -> (p,)."""
        if not self.hyper.bends.any():
            return np.ones(len(x))
        a, b = np.exp(self.hyper.bends).T
        inside = np.clip(x, EDGE, 1.0 - EDGE)
        found: Array = a * b * inside ** (a - 1.0) * (1.0 - inside**a) ** (b - 1.0)
        return found

    def left_out(self) -> tuple[Array, Array]:
        """Mean and variance of each value, noise included, predicted from all others; (n,), (n,).

        Source: Rasmussen, Williams 2006, equations 5.10 to 5.12.
        """
        inverse = linalg.lapack.dpotri(self.factor, lower=1)[0]
        variance = 1.0 / np.diag(inverse)
        return self.y - self.alpha * variance, variance


def condition(Z: Array, y: Array, hyper: Hyper, categorical: Mask, weights: Array | None = None) -> GP:
    """The process after seeing values.

    Never fails on a covariance that is singular: ever more is added to its diagonal, up to a hundredth of the signal.

    Args:
        Z: (n, p) features, n >= 1.
        y: (n,) values.
        hyper: Parameters.
        categorical: (p,) which features are categories.
        weights: (n,) relative noise variances; None: all 1.

    Cost: O(n^3) time, O(n^2) memory.
    """
    squares = Squares(categorical)
    W = bend(Z, hyper.bends, categorical)
    C = matern(squares.scaled(W, W, hyper.lengths), hyper.signal)
    diagonal = np.diag_indices(len(y))
    weights = np.ones(len(y)) if weights is None else weights
    C[diagonal] = hyper.signal + hyper.noise * weights + 1e-9 * hyper.signal
    factor, jitter = factored(C, hyper.signal)
    mean, alpha = solved(factor, y)
    return GP(Z, W, y, hyper, squares, mean, factor, alpha, jitter, weights)
