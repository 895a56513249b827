"""Bayesian linear regression on features: precisions of its weights by evidence, one each, one for all, or by order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later

linalg = later("scipy.linalg")
optimize = later("scipy.optimize")

Array = NDArray[np.float64]

#: Bounds of precisions: of weights of features with mean square 1, and of noise on standardised values (1e6 stopped the
#: search for the last digits: a mean log10 regret of -4.6 in place of -5.3 after 25 trials on quadratics).
ALPHA_BOUNDS, BETA_BOUNDS = (1e-4, 1e8), (1.0, 1e8)
UPDATES, TOLERANCE = 100, 1e-3  # of the fixed point; its test is the gradient by the logarithms
HALVINGS = 30  # of an update that loses evidence
#: Grid of `truncated`: log10 of the variance of a weight, and of the noise, in units of the values' mean square.
SIGNALS, NOISES = np.linspace(-3.0, 1.0, 13), np.linspace(-5.0, 0.0, 11)
SMALL = 1e-3  # truncations with less of the weight are left out


@dataclass(frozen=True)
class Linear:
    """What is known of the weights of y = w phi + noise.

    Args:
        mean: (D,) posterior mean of w.
        covariance: (D, D) of w.
        alpha: (D,) precisions of the prior.
        beta: Precision of the noise.
        evidence: log p(y).
    """

    mean: Array
    covariance: Array
    alpha: Array
    beta: float
    evidence: float

    @property
    def each(self) -> Array:
        """(D,) how far each weight is decided by the data, 0 to 1: the paper's gamma."""
        found: Array = 1.0 - self.alpha * np.diag(self.covariance)
        return found

    @property
    def effective(self) -> float:
        """Effective number of features: how complex the model is."""
        return float(self.each.sum())

    def predict(self, Phi: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, noise left out; (m, D) -> (m,), (m,)."""
        variance = np.einsum("ij,jk,ik->i", Phi, self.covariance, Phi)
        return Phi @ self.mean, np.sqrt(np.maximum(variance, 1e-12))


def regress(Phi: Array, y: Array, alpha: Array, beta: float, centre: Array | None = None) -> Linear:
    """Posterior of the weights, and the evidence.

    H = A + beta Phi'Phi, covariance H^-1, mean = beta H^-1 Phi'y; with fewer points than features by the N x N system
    C = Phi A^-1 Phi' + 1/beta, which gives the same.

    Args:
        Phi: (N, D) features.
        y: (N,) values.
        alpha: (D,) prior precisions.
        beta: Precision of the noise.
        centre: (D,) prior mean of the weights; None: 0.

    Source: MacKay 1992; Tipping 2001, equations 12, 13 and 36.
    Cost: O(min(N, D)^3 + N D^2).
    """
    n, d = Phi.shape
    r = y if centre is None else y - Phi @ centre
    if n < d:
        mean, covariance, fit, log_determinant = _dual(Phi, r, alpha, beta)
    else:
        mean, covariance, fit, log_determinant = _primal(Phi, r, alpha, beta)
    evidence = -0.5 * (fit + log_determinant + n * math.log(2.0 * math.pi))
    return Linear(mean if centre is None else mean + centre, covariance, alpha, beta, evidence)


def _primal(Phi: Array, y: Array, alpha: Array, beta: float) -> tuple[Array, Array, float, float]:
    """Mean, covariance, y'C^-1 y and log|C|."""
    H = beta * (Phi.T @ Phi)
    H[np.diag_indices(len(alpha))] += alpha
    # H in units of the precisions: it stays well conditioned where they differ by twelve decades
    root = np.sqrt(np.diag(H))
    factor = np.linalg.cholesky(H / np.outer(root, root))
    covariance = linalg.cho_solve((factor, True), np.eye(len(alpha))) / np.outer(root, root)
    mean = beta * covariance @ (Phi.T @ y)
    rest = y - Phi @ mean
    fit = beta * float(rest @ rest) + float(mean @ (alpha * mean))
    log_h = 2.0 * float(np.log(np.diag(factor) * root).sum())
    return mean, covariance, fit, log_h - float(np.log(alpha).sum()) - len(y) * math.log(beta)


def _dual(Phi: Array, y: Array, alpha: Array, beta: float) -> tuple[Array, Array, float, float]:
    """The same from C."""
    scaled = Phi / alpha
    C = scaled @ Phi.T
    C[np.diag_indices(len(y))] += 1.0 / beta
    factor = np.linalg.cholesky(C)
    solved = linalg.cho_solve((factor, True), np.column_stack([y, Phi]))
    a, G = solved[:, 0], solved[:, 1:]
    covariance = np.diag(1.0 / alpha) - scaled.T @ (G / alpha)
    return scaled.T @ a, covariance, float(y @ a), 2.0 * float(np.log(np.diag(factor)).sum())


def evidence_slope(Phi: Array, y: Array, alpha: Array, beta: float) -> tuple[Linear, Array]:
    """The posterior, and the (D + 1,) gradient of the evidence by (log alpha_1 .. log alpha_D, log beta).

    Arguments as those of `regress`: (N, D) features, (N,) values, (D,) precisions.
    """
    found = regress(Phi, y, alpha, beta)
    rest = y - Phi @ found.mean
    by_alpha = 0.5 * (found.each - alpha * found.mean**2)
    by_beta = 0.5 * (len(y) - found.effective - beta * float(rest @ rest))
    return found, np.append(by_alpha, by_beta)


def relevance(Phi: Array, y: Array, alpha: Array, beta: float, *, fixed_noise: bool = False) -> Linear:
    """Automatic relevance determination: a precision for each weight, all of highest evidence.

    alpha_j <- gamma_j / m_j^2, beta <- (N - sum gamma) / |y - Phi m|^2, in logarithms and bounded; an update that loses
    evidence is halved until it does not, so the evidence never falls.

    Args:
        Phi: (N, D) features.
        y: (N,) values.
        alpha: (D,) start.
        beta: Start.
        fixed_noise: Whether beta stays.

    Source: MacKay 1992; Tipping 2001, equations 16 to 18.
    Differs: halved steps.
    Cost: at most 100 posteriors.
    """
    low, high = np.log([ALPHA_BOUNDS, BETA_BOUNDS]).T
    theta = np.append(np.clip(np.log(alpha), low[0], high[0]), np.clip(math.log(beta), low[1], high[1]))
    floor, top = np.append(np.full(len(alpha), low[0]), low[1]), np.append(np.full(len(alpha), high[0]), high[1])
    found, slope = evidence_slope(Phi, y, np.exp(theta[:-1]), math.exp(theta[-1]))
    for _ in range(UPDATES):
        free = np.abs(np.where((theta <= floor) & (slope < 0) | (theta >= top) & (slope > 0), 0.0, slope))
        if free[: len(alpha) + (not fixed_noise)].max() < TOLERANCE:
            break
        step = np.clip(_update(Phi, y, found, fixed=fixed_noise), floor, top) - theta
        for _ in range(HALVINGS):
            tried = theta + step
            after, slope_after = evidence_slope(Phi, y, np.exp(tried[:-1]), math.exp(tried[-1]))
            if after.evidence >= found.evidence:
                theta, found, slope = tried, after, slope_after
                break
            step = 0.5 * step
        else:
            break
    return found


def _update(Phi: Array, y: Array, at: Linear, *, fixed: bool) -> Array:
    """Logarithms of the next precisions; (D + 1,)."""
    rest = y - Phi @ at.mean
    alpha = np.maximum(at.each, 1e-12) / np.maximum(at.mean**2, 1e-300)
    beta = max(len(y) - at.effective, 1e-12) / max(float(rest @ rest), 1e-300)
    return np.append(np.log(alpha), math.log(at.beta if fixed else beta))


def isotropic(Phi: Array, y: Array, *, beta: float | None = None) -> Linear:
    """One precision for all weights, by evidence: the head of adaptive Bayesian linear regression.

    Args:
        Phi: (N, D) features.
        y: (N,) values.
        beta: Precision of the noise; None: by evidence.

    Source: Perrone, Jenatton, Seeger, Archambeau 2018.
    Cost: O(N D min(N, D)) once, some 30 steps of O(N).
    """
    left, values, _ = np.linalg.svd(Phi, full_matrices=False)
    squares = values**2
    inside = left.T @ y
    outside = max(float(y @ y) - float(inside @ inside), 0.0)
    n, low, high = len(y), math.log(ALPHA_BOUNDS[0]), math.log(ALPHA_BOUNDS[1])

    def loss(theta: Array) -> tuple[float, Array]:
        signal, noise = np.exp(-theta[0]), np.exp(-(theta[1] if beta is None else math.log(beta)))
        total = signal * squares + noise
        share = inside**2 / total
        value = 0.5 * (share.sum() + outside / noise + np.log(total).sum() + (n - len(total)) * math.log(noise))
        by = 0.5 * (1.0 - share) / total
        slope = [-signal * (by @ squares)]
        if beta is None:
            slope.append(-noise * (by.sum() + 0.5 * ((n - len(total)) - outside / noise) / noise))
        return float(value), np.array(slope)

    start, bounds = [0.0], [(low, high)]
    if beta is None:
        start.append(math.log(100.0))
        bounds.append((math.log(BETA_BOUNDS[0]), math.log(BETA_BOUNDS[1])))
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    alpha = np.full(Phi.shape[1], math.exp(found[0]))
    return regress(Phi, y, alpha, math.exp(found[1]) if beta is None else beta)


@dataclass(frozen=True)
class Truncated:
    """Regressions on the first b features, b = 1, 2, ..., weighted by their evidence.

    Args:
        heads: Those that have weight, the fewest features first.
        weights: (k,) their weights, sum 1.
        evidences: (D,) logarithm of the evidence of each number of features.
    """

    heads: tuple[Linear, ...]
    weights: Array
    evidences: Array

    @property
    def effective(self) -> float:
        """Mean effective number of features."""
        return float(self.weights @ [head.effective for head in self.heads])

    def predict(self, Phi: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the mixture, noise left out; (m, D) -> (m,), (m,)."""
        parts = [head.predict(Phi[:, : len(head.mean)]) for head in self.heads]
        means, sds = (np.stack(part) for part in zip(*parts, strict=True))
        mean = self.weights @ means
        return mean, np.sqrt(np.maximum(self.weights @ (sds**2 + means**2) - mean**2, 1e-12))


def truncated(Phi: Array, y: Array, *, average: bool = True) -> Truncated:
    """The first b features with one precision, for every b; averaged, or the best alone.

    Where features are ordered, this respects the order: none is used without all that come before it.

    Args:
        Phi: (N, D) features, the most important first.
        y: (N,) values.
        average: Whether to weight by evidence; False: the b of highest evidence.

    Source: specified for this project; compare the evidence of nested models in MacKay 1992.
    Cost: O(D) singular value decompositions of N x b.
    """
    scale = max(float(y @ y) / len(y), 1e-12)
    best = [_best_on_grid(Phi[:, : b + 1], y, scale) for b in range(Phi.shape[1])]
    evidences = np.array([one[0] for one in best])
    weights = np.exp(evidences - evidences.max())
    if not average:
        weights = (np.arange(len(weights)) == weights.argmax()).astype(float)
    weights /= weights.sum()
    kept = np.flatnonzero(weights >= SMALL)
    heads = tuple(regress(Phi[:, : b + 1], y, np.full(b + 1, best[b][1]), best[b][2]) for b in kept)
    return Truncated(heads, weights[kept] / weights[kept].sum(), evidences)


def _best_on_grid(Phi: Array, y: Array, scale: float) -> tuple[float, float, float]:
    """Evidence, alpha and beta of the best pair on the grid."""
    left, values, _ = np.linalg.svd(Phi, full_matrices=False)
    inside = (left.T @ y) ** 2
    outside = max(float(y @ y) - float(inside.sum()), 0.0)
    signal = scale * 10.0 ** SIGNALS[:, None, None]
    noise = scale * 10.0 ** NOISES[None, :, None]
    total = signal * values**2 + noise
    rest = len(y) - len(values)
    log_p = -0.5 * ((inside / total + np.log(total)).sum(axis=2) + outside / noise[..., 0])
    log_p -= 0.5 * (rest * np.log(noise[..., 0]) + len(y) * math.log(2.0 * math.pi))
    i, j = np.unravel_index(int(np.argmax(log_p)), log_p.shape)
    return float(log_p[i, j]), 1.0 / float(signal[i, 0, 0]), 1.0 / float(noise[0, j, 0])


def inverse_of(C: Array) -> tuple[Array, Array] | None:
    """Inverse and lower factor of a covariance, None where it has none; (n, n) -> (n, n), (n, n)."""
    factor, info = linalg.lapack.dpotrf(C, lower=1, clean=1)
    if info != 0:
        return None
    inverse, _ = linalg.lapack.dpotri(factor, lower=1)
    return np.tril(inverse) + np.tril(inverse, -1).T, factor
