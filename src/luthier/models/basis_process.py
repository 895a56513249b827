"""What is known of today's task: learnt features with a precision each, and a Gaussian process for what they miss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later
from luthier.models.adaptive_basis import Basis, Places, Task
from luthier.models.bayes_linear import ALPHA_BOUNDS, BETA_BOUNDS, inverse_of, isotropic, regress, relevance, truncated
from luthier.models.factors import JITTERS
from luthier.models.gp import LENGTH, LENGTH_BOUNDS, Squares, fit_hyper, matern, matern_slope

linalg = later("scipy.linalg")
optimize = later("scipy.optimize")
special = later("scipy.special")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

HEADS = ("map", "ard", "truncated", "isotropic")
ROUNDS = 15  # of expectation and maximisation over the earlier tasks: the precisions move by a few percent after
SPREAD = 1.0  # prior standard deviation of the logarithm of a precision about that of the earlier tasks
#: Prior spreads of the logarithms of the noise's precision and of the rest's variance: what the earlier tasks left
#: unexplained may be noise or a shape of their own.
NOISE_SPREAD, REST_SPREAD = 1.5, 1.0
REST_BOUNDS = (math.log(1e-6), math.log(4.0))
NOISE_OF_REST = 0.1  # noise variance, in units of what the features missed, where a process takes up the rest
FEWEST = 5  # results below which the noise stays as the earlier tasks had it
STEPS = 25  # of the optimiser: it starts at the prior's mode, from which few results lead far


@dataclass(frozen=True)
class Prior:
    """What earlier tasks say of the weights of another one.

    Args:
        centre: (D,) their prior mean: their mean over the tasks, or zeros where tasks are not taken to agree.
        alpha: (D,) their precisions.
        missed: Variance of a task that the features do not explain, its noise included.
        average: (D,) their mean over the tasks.
    """

    centre: Array
    alpha: Array
    missed: float
    average: Array


def summarise(basis: Basis, tasks: Sequence[Task], held: Places, *, centred: bool) -> Prior:
    """Mean and precisions of the weights over tasks, by expectation and maximisation.

    One more task, with weights about zero, counts among them: of few tasks that agree it is not to be concluded that
    all do. What is missed is the median of the tasks that were held out; without such ones at least 1 / (T + 1), the
    chance that the next is not like them.

    Args:
        basis: The features.
        tasks: (n, p) features and (n,) standardised values of each.
        held: (h,) which of them the features were not trained on.
        centred: Whether weights have a mean.

    Cost: O(ROUNDS * T * D^3) after O(sum of N * D^2).
    """
    Phis = [basis(X) for X, _ in tasks]
    grams = np.stack([Phi.T @ Phi for Phi in Phis])  # (T, D, D)
    sides = np.stack([Phi.T @ y for Phi, (_, y) in zip(Phis, tasks, strict=True)])
    counts = np.array([len(y) for _, y in tasks], dtype=float)
    count, size = sides.shape
    beta = np.full(count, 100.0)
    alpha, centre = np.clip(1.0 / basis.variances, *ALPHA_BOUNDS), np.zeros(size)
    places = np.arange(size)
    for _ in range(ROUNDS):
        H = beta[:, None, None] * grams
        H[:, places, places] += alpha
        S = np.linalg.inv(H)  # (T, D, D)
        w = centre + beta[:, None] * np.einsum("tij,tj->ti", S, sides - grams @ centre)
        own = np.diagonal(S, axis1=1, axis2=2)
        left = np.maximum(counts - (size - (own * alpha).sum(axis=1)), 0.1)
        rest = np.array([float(((y - Phi @ one) ** 2).sum()) for Phi, (_, y), one in zip(Phis, tasks, w, strict=True)])
        beta = np.clip(left / np.maximum(rest, 1e-9), *BETA_BOUNDS)
        alone = (w**2 + own).mean(axis=0)
        if centred:
            centre = w.mean(axis=0)
        variance = (((w - centre) ** 2 + own).sum(axis=0) + alone) / (count + 1.0)
        alpha = np.clip(1.0 / np.maximum(variance, 1e-12), *ALPHA_BOUNDS)
    prior = Prior(centre, alpha, float(np.median(1.0 / beta)), w.mean(axis=0))
    if len(held):
        missed = float(np.median([_halves(Phis[i], tasks[i][1], prior) for i in held]))
    else:
        missed = max(prior.missed, 1.0 / (count + 1.0))
    return replace(prior, missed=min(max(missed, 1e-4), 1.0))


def _halves(Phi: Array, y: Array, prior: Prior) -> float:
    """Mean squared error of one half of a task predicted from the other, both ways; its mean square of a single value.

    In the order of its trials the first half would have been sought by the second; here odd and even ones.
    """
    odd = np.arange(len(y)) % 2 == 1
    errors = []
    for known in (odd, ~odd):
        mean = prior.centre
        if known.any():
            mean = regress(Phi[known], y[known], prior.alpha, 1.0 / prior.missed, prior.centre).mean
        errors.append((y[~known] - Phi[~known] @ mean) ** 2)
    return float(np.concatenate(errors).mean())


@dataclass(frozen=True)
class Precisions:
    """Parameters of a process.

    Args:
        variances: (D,) prior variances of the weights; 0 drops a feature.
        beta: Precision of the noise.
        rest: Variance of the process for what the features miss; 0: none.
        lengths: (p,) its length scales.
    """

    variances: Array
    beta: float
    rest: float
    lengths: Array


@dataclass(frozen=True)
class Heads:
    """Parameters of today's process: one set, or several.

    Args:
        sets: The sets.
        weights: Theirs, sum 1.
        loss: Negative logarithm of the evidence, or of the posterior density where there is a prior; as in
            `gp.Hyper`, without n/2 log 2 pi.
    """

    sets: tuple[Precisions, ...]
    weights: Array
    loss: float


class _Loss:
    """Negative log posterior of (log alpha, log beta, and with a rest log rest, log lengths), and its gradient."""

    def __init__(self, Phi: Array, Z: Array, r: Array, prior: Prior, categorical: Mask, rest: bool) -> None:
        self.Phi, self.r, self.rest = Phi, r, rest
        n, d, p = len(r), Phi.shape[1], Z.shape[1]
        self.squares = Squares(categorical).each(Z, Z).reshape(p, n * n) if rest else np.empty((0, n * n))
        noise = prior.missed * (NOISE_OF_REST if rest else 1.0)
        centre, spread = [*np.log(prior.alpha), -math.log(noise)], [SPREAD] * d + [NOISE_SPREAD]
        self.bounds = [tuple(np.log(ALPHA_BOUNDS))] * d + [tuple(np.log(BETA_BOUNDS))]
        if rest:
            centre += [math.log(prior.missed)] + [LENGTH[0] + 0.5 * math.log(max(p, 1))] * p
            spread += [REST_SPREAD] + [LENGTH[1]] * p
            self.bounds += [REST_BOUNDS] + [LENGTH_BOUNDS] * p
        if n < FEWEST:
            self.bounds[d] = (centre[d], centre[d])
        self.centre, self.spread = np.array(centre), np.array(spread)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        n, d = self.Phi.shape
        variances, noise = np.exp(-theta[:d]), math.exp(-theta[d])
        C = (self.Phi * variances) @ self.Phi.T
        squared = K = np.empty((0, 0))
        if self.rest:
            inverse = np.exp(-2.0 * theta[d + 2 :])
            squared = (inverse @ self.squares).reshape(n, n)
            K = matern(squared, math.exp(theta[d + 1]))
            C += K
        C[np.diag_indices(n)] += noise + 1e-9
        found = inverse_of(C)
        if found is None:
            return 1e10, np.zeros(len(theta))
        inverse_C, factor = found
        a = inverse_C @ self.r
        value = 0.5 * float(self.r @ a) + float(np.log(np.diag(factor)).sum())
        half = 0.5 * (inverse_C - np.outer(a, a))
        slope = np.empty(len(theta))
        slope[:d] = -variances * np.einsum("ij,ij->j", self.Phi, half @ self.Phi)
        slope[d] = -noise * float(np.trace(half))
        if self.rest:
            slope[d + 1] = float((half * K).sum())
            by = half * matern_slope(squared, math.exp(theta[d + 1]))
            slope[d + 2 :] = -2.0 * inverse * (self.squares @ by.ravel())
        z = (theta - self.centre) / self.spread
        return value + 0.5 * float(z @ z), slope + z / self.spread


def fit_map(Phi: Array, Z: Array, y: Array, prior: Prior, categorical: Mask, *, rest: bool) -> Heads:
    """Precisions of highest posterior density about those of the earlier tasks.

    Args:
        Phi: (N, D) learnt features.
        Z: (N, p) features of the process for the rest.
        y: (N,) standardised values; N may be 0.
        prior: Of the earlier tasks.
        categorical: (p,) which features are categories.
        rest: Whether a process takes up what the features miss.

    Source: the hyperprior is specified for this project; relevance is ignorant of the order, the earlier tasks are not.
    Cost: at most 25 steps of O(N^3 + N^2 (D + p)).
    """
    loss = _Loss(Phi, Z, y - Phi @ prior.centre, prior, categorical, rest)
    theta, value, d = loss.centre, 0.0, Phi.shape[1]
    if len(y):
        options = {"maxiter": STEPS}
        found = optimize.minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=loss.bounds, options=options)
        theta, value = found.x, float(found.fun)
    variance, lengths = (math.exp(theta[d + 1]), np.exp(theta[d + 2 :])) if rest else (0.0, np.ones(Z.shape[1]))
    return _single(Precisions(np.exp(-theta[:d]), math.exp(theta[d]), variance, lengths), value)


def _single(one: Precisions, loss: float) -> Heads:
    return Heads((one,), np.ones(1), loss)


@dataclass(frozen=True)
class BasisProcess:
    """y = w phi + g + noise after seeing values: w normal about a centre, g a Gaussian process.

    Args:
        Phi: (N, D) learnt features of what was seen.
        Z: (N, p) features of the process.
        y: (N,) values.
        centre: (D,) prior mean of the weights.
        precisions: Parameters.
        squares: Distances of the process.
        factor: (N, N) lower Cholesky factor of the covariance of the values.
        solved: (N,) inverse covariance times (values - Phi centre).
        mean: (D,) posterior mean of the weights.
    """

    Phi: Array
    Z: Array
    y: Array
    centre: Array
    precisions: Precisions
    squares: Squares
    factor: Array
    solved: Array
    mean: Array

    def _covariance(self, Phi: Array, Z: Array) -> Array:
        """Of what was seen with other points; (N, m)."""
        return _prior_covariance(self.Phi, self.Z, Phi, Z, self.precisions, self.squares)

    def predict(self, Phi: Array, Z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, noise left out; (m, D), (m, p) -> (m,), (m,)."""
        K = self._covariance(Phi, Z)
        half = linalg.solve_triangular(self.factor, K, lower=True, check_finite=False)
        prior = (Phi * Phi) @ self.precisions.variances + self.precisions.rest
        variance = prior - np.einsum("ij,ij->j", half, half)
        return Phi @ self.centre + K.T @ self.solved, np.sqrt(np.maximum(variance, 1e-9))

    def joint(self, Phi: Array, Z: Array) -> tuple[Array, Array]:
        """Mean and covariance at several points; (m, D), (m, p) -> (m,), (m, m)."""
        K = self._covariance(Phi, Z)
        half = linalg.solve_triangular(self.factor, K, lower=True, check_finite=False)
        prior = _prior_covariance(Phi, Z, Phi, Z, self.precisions, self.squares)
        return Phi @ self.centre + K.T @ self.solved, prior - half.T @ half

    @property
    def effective(self) -> float:
        """How many features the data decide on: the trace of Phi A^-1 Phi' C^-1."""
        root = np.sqrt(self.precisions.variances)
        half = linalg.solve_triangular(self.factor, self.Phi * root, lower=True, check_finite=False)
        return float((half * half).sum())

    def believing(self, Phi: Array, Z: Array, y: Array) -> BasisProcess:
        """The process as if these values had come without noise; (q, D), (q, p), (q,)."""
        Phi, Z = np.concatenate([self.Phi, Phi]), np.concatenate([self.Z, Z])
        sure = np.arange(len(Z)) >= len(self.y)
        both = np.concatenate([self.y, y])
        return condition(Phi, Z, both, self.centre, self.precisions, self.squares.categorical, sure)

    def draw(self, rng: np.random.Generator) -> Array:
        """A draw of the weights; (D,)."""
        root = np.sqrt(self.precisions.variances)
        half = linalg.solve_triangular(self.factor, self.Phi * root, lower=True, check_finite=False)
        values, vectors = np.linalg.eigh(np.eye(len(root)) - half.T @ half)
        drawn = vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(root)))
        found: Array = self.mean + root * drawn
        return found

    def path(self, weights: Array, Phi: Array, Z: Array) -> Array:
        """The function for drawn weights, the rest at its mean given these; (D,), (m, D), (m, p) -> (m,)."""
        found: Array = Phi @ weights
        given = self.precisions
        if not given.rest or not len(self.y):
            return found
        K = matern(self.squares.scaled(self.Z, self.Z, given.lengths), given.rest)
        K[np.diag_indices(len(K))] += 1.0 / given.beta + 1e-9
        left = np.linalg.solve(K, self.y - self.Phi @ weights)
        rest: Array = matern(self.squares.scaled(Z, self.Z, given.lengths), given.rest) @ left
        return found + rest


def _prior_covariance(Phi: Array, Z: Array, Phi2: Array, Z2: Array, given: Precisions, squares: Squares) -> Array:
    found: Array = (Phi * given.variances) @ Phi2.T
    if given.rest:
        found += matern(squares.scaled(Z, Z2, given.lengths), given.rest)
    return found


def condition(
    Phi: Array, Z: Array, y: Array, centre: Array, precisions: Precisions, categorical: Mask, sure: Mask | None = None
) -> BasisProcess:
    """The process after seeing values.

    Args:
        Phi: (n, D) learnt features.
        Z: (n, p) features of the process for the rest.
        y: (n,) standardised values.
        centre: (D,) prior mean of the weights.
        precisions: Of weights, rest and noise.
        categorical: (p,) which features are categories.
        sure: (n,) which points are free of noise, those that are only expected; None: none.

    Cost: O(n^3 + n^2 D).
    """
    squares = Squares(categorical)
    C = _prior_covariance(Phi, Z, Phi, Z, precisions, squares)
    noise = np.full(len(y), 1.0 / precisions.beta)
    if sure is not None:
        noise[sure] *= 1e-3
    size = float(np.mean(np.diag(C))) if len(y) else 1.0
    r = y - Phi @ centre
    for jitter in JITTERS:
        try:
            factor = np.linalg.cholesky(C + np.diag(noise + (1e-9 + jitter) * size))
        except np.linalg.LinAlgError:
            continue
        break
    else:
        factor = np.diag(np.sqrt(np.diag(C) + noise))
    solved = np.asarray(linalg.cho_solve((factor, True), r, check_finite=False))
    mean = centre + precisions.variances * (Phi.T @ solved)
    return BasisProcess(Phi, Z, y, centre, precisions, squares, np.asarray(factor), solved, mean)


def fit_head(Phi: Array, Z: Array, y: Array, prior: Prior, categorical: Mask, *, head: str, rest: bool) -> Heads:
    """Parameters of today's process.

    Args:
        Phi: (N, D) learnt features.
        Z: (N, p) features of the process for the rest.
        y: (N,) standardised values, N >= 1.
        prior: Of the earlier tasks.
        categorical: (p,) which features are categories.
        head: "map" (a precision each, near those of the earlier tasks), "ard" (a precision each, by evidence alone),
            "truncated" (the first b features, averaged by evidence) or "isotropic" (one precision for all).
        rest: Whether a process takes up what the features miss ("map").
    """
    if head == "map":
        return fit_map(Phi, Z, y, prior, categorical, rest=rest)
    r, lengths, few = y - Phi @ prior.centre, np.ones(Z.shape[1]), len(y) < FEWEST
    known, constant = 1.0 / prior.missed, 0.5 * len(y) * math.log(2.0 * math.pi)
    if head != "truncated":
        if head == "ard":
            found = relevance(Phi, r, prior.alpha, known, fixed_noise=few)
        else:
            found = isotropic(Phi, r, beta=known if few else None)
        return _single(Precisions(1.0 / found.alpha, found.beta, 0.0, lengths), -found.evidence - constant)
    mixed, sets = truncated(Phi, r), []
    for one in mixed.heads:
        variances = np.zeros(Phi.shape[1])
        variances[: len(one.alpha)] = 1.0 / one.alpha
        sets.append(Precisions(variances, one.beta, 0.0, lengths))
    mean = float(special.logsumexp(mixed.evidences)) - math.log(len(mixed.evidences))
    return Heads(tuple(sets), mixed.weights, -mean - constant)


def plain_loss(Z: Array, y: Array, categorical: Mask) -> float:
    """What `Heads.loss` is for a Gaussian process of today's trials alone, on values of any scale.

    Args:
        Z: (n, p) features.
        y: (n,) values.
        categorical: (p,) which features are categories.
    """
    unit = float(y.std())
    if unit <= 0.0:
        return math.inf
    return fit_hyper(Z, (y - y.mean()) / unit, categorical, bent=False).loss + len(y) * math.log(unit)
