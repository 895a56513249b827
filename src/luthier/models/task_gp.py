"""Gaussian process over several tasks in order: what is near in order says more than what is far."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.imports import later
from luthier.models.bayes_linear import inverse_of
from luthier.models.factors import MEAN_WEIGHT, factored, solved
from luthier.models.gp import (
    GP,
    LENGTH,
    LENGTH_BOUNDS,
    NOISE,
    NOISE_BOUNDS,
    SIGNAL,
    SIGNAL_BOUNDS,
    Hyper,
    Squares,
    matern,
    matern_slope,
)

linalg = later("scipy.linalg")
optimize = later("scipy.optimize")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]

#: Kernels over tasks.
KERNELS = ("decay", "ordinal", "size", "none")
#: Priors, (mean, standard deviation). Logarithm of the reach: in steps of the order ("decay": a correlation of 0.8
#: between neighbours), or in units of the range from the first task to today's ("ordinal", "size": as a length scale).
#: Log odds of the own share: a tenth of a task is its own unless the data say otherwise.
STEPS_REACH, RANGE_REACH, OWN = (math.log(5.0), 1.0), LENGTH, (-2.2, 1.5)
REACH_BOUNDS, OWN_BOUNDS = (-4.0, 7.0), (-7.0, 7.0)
START_NOISE = 1e-2  # values of earlier tasks are noisy more often than not
STEPS = 60  # of the optimiser from the priors' means
FURTHER = 12  # from a start that was fitted to most of the data


@dataclass(frozen=True)
class TaskKernel:
    """Correlations between tasks: (1 - own) * near(distance / reach) + own where they are the same.

    "decay": near = exp(-distance), so rho^steps with rho = exp(-1 / reach). "ordinal" and "size": Matern-5/2.
    "none": all alike.

    Args:
        kind: One of `KERNELS`.
        places: (T,) where tasks stand, in units of `task_places`.
        reach: Distance over which correlation falls off.
        own: Share of a task that no other knows, in (0, 1).
        noise: Noise variance of the earlier tasks, in units of today's: what makes them differ in more than their own
            share is noise to today's, and must not be taken for noise of today's.
    """

    kind: str
    places: Array
    reach: float = math.exp(STEPS_REACH[0])
    own: float = 0.1
    noise: float = 1.0

    def _near(self) -> tuple[Array, Array]:
        """Correlation by distance, and its derivative by the logarithm of the reach; (T, T) each."""
        far = np.abs(self.places[:, None] - self.places[None, :]) / self.reach
        if self.kind == "decay":
            found = np.exp(-far)
            return found, found * far
        return matern(far**2, 1.0), matern_slope(far**2, 1.0) * (-2.0 * far**2)

    def correlations(self) -> Array:
        """(T, T)."""
        if self.kind == "none":
            return np.ones((len(self.places),) * 2)
        return (1.0 - self.own) * self._near()[0] + self.own * np.eye(len(self.places))

    def slopes(self) -> tuple[Array, Array]:
        """Derivatives of the (T, T) correlations by log reach and by the log odds of own."""
        near, by = self._near()
        return (1.0 - self.own) * by, self.own * (1.0 - self.own) * (np.eye(len(near)) - near)


def task_places(kind: str, order: Array) -> Array:
    """Where tasks stand for a kernel.

    Args:
        kind: One of `KERNELS`.
        order: (T,) ascending places in time or data size, today's last.

    Returns:
        (T,) "decay": in mean steps of the order; "ordinal": evenly spaced from 0 to 1; "size": from 0 to 1 in the
        logarithm of the order.

    Raises:
        ArgumentError: "size" and an order that is not above 0.
    """
    check("kernel", kind, one_of=KERNELS)
    if kind == "size":
        check("kernel='size', the least order", float(order.min()), above=0)
        order = np.log(order)
    elif kind in ("ordinal", "none"):
        order = np.arange(len(order), dtype=float)
    span = float(order[-1] - order[0])
    scale = (len(order) - 1 if kind == "decay" else 1.0) / span if span > 0 else 1.0
    found: Array = (order - order[0]) * scale
    return found


@dataclass(frozen=True)
class TaskGP(GP):
    """A process that has seen several tasks, and speaks of today's, the last one.

    k((x, s), (x', t)) = k(x, x') * correlation(s, t). Features of what was seen have one column more than those asked
    about: the number of their task.

    Args:
        correlation: (T, T) between tasks.
    """

    correlation: Array

    def bend(self, X: Array) -> Array:
        """Features with the number of today's task; (m, p) -> (m, p + 1)."""
        return _with_task(X, np.full(len(X), len(self.correlation) - 1, dtype=np.intp))

    def _kernel(self, A: Array, B: Array) -> Array:
        shared = self.correlation[A[:, -1].astype(np.intp)[:, None], B[:, -1].astype(np.intp)]
        return shared * matern(self.squares.scaled(A[:, :-1], B[:, :-1], self.hyper.lengths), self.hyper.signal)

    def slopes(self, x: Array) -> tuple[float, float, Array, Array]:
        """As `GP.slopes` at one point, (p,), of today's task."""
        shared = self.correlation[self.W[:, -1].astype(np.intp), -1]
        seen = self.W[:, :-1]
        squared = self.squares.scaled(seen, x[None], self.hyper.lengths)[:, 0]
        k = shared * matern(squared, self.hyper.signal)
        half = linalg.solve_triangular(self.factor, k, lower=True, check_finite=False)
        full = linalg.solve_triangular(self.factor, half, lower=True, trans=1, check_finite=False)
        rate = np.where(self.squares.categorical, 0.0, 2.0 / self.hyper.lengths**2)
        dk = (shared * matern_slope(squared, self.hyper.signal))[:, None] * ((x - seen) * rate)
        sd = math.sqrt(max(self.hyper.signal - float(half @ half), 1e-12 * self.hyper.signal))
        return self.mean + float(k @ self.alpha), sd, self.alpha @ dk, -(full @ dk) / sd

    def believing(self, X: Array, sure: float) -> TaskGP:
        """The process as if today's task had given its predicted means at some points.

        Args:
            X: (q, p) features.
            sure: Noise of what is believed, in units of a measurement's.
        """
        if not len(X):
            return self
        bent = self.bend(X)
        W = np.concatenate([self.W, bent])
        y = np.concatenate([self.y, self.predict(X)[0]])
        weights = np.concatenate([self.weights, np.full(len(X), sure)])
        # the factor grows by a few rows: what stands in it stays
        across = self._kernel(self.W, bent)
        half = linalg.solve_triangular(self.factor, across, lower=True, check_finite=False)
        rest = self._kernel(bent, bent) - half.T @ half
        rest[np.diag_indices(len(X))] += (self.hyper.noise * sure) + 1e-9 * self.hyper.signal
        try:
            corner = linalg.cholesky(rest, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return _conditioned(W, y, self.hyper, self.correlation, self.squares.categorical, weights)
        n = len(self.W)
        factor = np.zeros((len(W), len(W)))
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, half.T, corner
        mean, alpha = solved(factor, y)
        return replace(self, Z=W[:, :-1], W=W, y=y, mean=mean, factor=factor, alpha=alpha, weights=weights)


def _with_task(Z: Array, tasks: Codes) -> Array:
    return np.concatenate([Z, tasks[:, None].astype(float)], axis=1)


def condition_tasks(Z: Array, tasks: Codes, y: Array, hyper: Hyper, kernel: TaskKernel, categorical: Mask) -> TaskGP:
    """The process after seeing values of several tasks.

    Args:
        Z: (n, p) features, n >= 1.
        tasks: (n,) numbers of their tasks; today's is the last of the kernel's.
        y: (n,) values, standardised task by task.
        hyper: Parameters of the kernel over features; not bent.
        kernel: Over tasks.
        categorical: (p,) which features are categories.

    Cost: O(n^3) time, O(n^2) memory.
    """
    weights = np.where(tasks == len(kernel.places) - 1, 1.0, kernel.noise)
    return _conditioned(_with_task(Z, tasks), y, hyper, kernel.correlations(), categorical, weights)


def _conditioned(W: Array, y: Array, hyper: Hyper, correlation: Array, categorical: Mask, weights: Array) -> TaskGP:
    squares = Squares(categorical)
    tasks = W[:, -1].astype(np.intp)
    C = matern(squares.scaled(W[:, :-1], W[:, :-1], hyper.lengths), hyper.signal) * correlation[np.ix_(tasks, tasks)]
    diagonal = np.diag_indices(len(y))
    C[diagonal] = hyper.signal + hyper.noise * weights + 1e-9 * hyper.signal
    factor, jitter = factored(C, hyper.signal)
    mean, alpha = solved(factor, y)
    return TaskGP(W[:, :-1], W, y, hyper, squares, mean, factor, alpha, jitter, weights, correlation)


class _Loss:
    """Negative log posterior of (log lengths, log signal, log noises, log reach, log odds of own), and its gradient.

    Noises are today's and that of the earlier tasks.
    """

    def __init__(self, Z: Array, tasks: Codes, y: Array, categorical: Mask, kernel: TaskKernel) -> None:
        n, p = Z.shape
        self.y, self.p, self.kernel = y, p, kernel
        self.squares = Squares(categorical).each(Z, Z).reshape(p, n * n)
        self.tasks = np.ix_(tasks, tasks)
        self.member = (tasks[:, None] == np.arange(len(kernel.places))).astype(float)
        median = LENGTH[0] + 0.5 * math.log(max(p, 1))
        self.today = tasks == len(kernel.places) - 1
        rows = [(median, LENGTH[1], LENGTH_BOUNDS)] * p + [(*SIGNAL, SIGNAL_BOUNDS)] + [(*NOISE, NOISE_BOUNDS)] * 2
        if kernel.kind != "none":
            rows += [(*(STEPS_REACH if kernel.kind == "decay" else RANGE_REACH), REACH_BOUNDS), (*OWN, OWN_BOUNDS)]
        self.centre, self.spread = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        self.bounds = [row[2] for row in rows]

    def read(self, theta: Array) -> tuple[Hyper, TaskKernel]:
        p = self.p
        hyper = Hyper(np.exp(theta[:p]), math.exp(theta[p]), math.exp(theta[p + 1]), np.zeros((p, 2)))
        noise = math.exp(theta[p + 2] - theta[p + 1])
        if self.kernel.kind == "none":
            return hyper, replace(self.kernel, noise=noise)
        own = 1.0 / (1.0 + math.exp(-theta[p + 4]))
        return hyper, replace(self.kernel, reach=math.exp(theta[p + 3]), own=own, noise=noise)

    def write(self, hyper: Hyper, kernel: TaskKernel) -> Array:
        noises = [math.log(hyper.noise), math.log(hyper.noise * kernel.noise)]
        found = [*np.log(hyper.lengths), math.log(hyper.signal), *noises]
        if kernel.kind != "none":
            found += [math.log(kernel.reach), math.log(kernel.own / (1.0 - kernel.own))]
        inside: Array = np.clip(np.array(found), *np.array(self.bounds).T)
        return inside

    def __call__(self, theta: Array) -> tuple[float, Array]:
        p, n = self.p, len(self.y)
        hyper, kernel = self.read(theta)
        shared = kernel.correlations()[self.tasks]
        squared = (np.exp(-2.0 * theta[:p]) @ self.squares).reshape(n, n)
        K = matern(squared, hyper.signal)
        C = K * shared
        C[np.diag_indices(n)] += hyper.noise * np.where(self.today, 1.0, kernel.noise) + 1e-9 * hyper.signal
        found = inverse_of(C)
        if found is None:
            return 1e10, np.zeros(len(theta))
        inverse, factor = found
        row = inverse.sum(axis=1)
        mean = float(row @ self.y) / (float(row.sum()) + MEAN_WEIGHT)
        alpha = inverse @ self.y - mean * row
        value = 0.5 * float((self.y - mean) @ alpha) + float(np.log(np.diag(factor)).sum())
        value += 0.5 * MEAN_WEIGHT * mean * mean
        half = 0.5 * (inverse - np.outer(alpha, alpha))
        slope = np.empty(len(theta))
        by_squares = half * shared * matern_slope(squared, hyper.signal)
        slope[:p] = -2.0 * np.exp(-2.0 * theta[:p]) * (self.squares @ by_squares.ravel())
        by_shared = half * K
        slope[p] = float((by_shared * shared).sum())
        own = np.diag(half)
        slope[p + 1] = hyper.noise * float(own[self.today].sum())
        slope[p + 2] = hyper.noise * kernel.noise * float(own[~self.today].sum())
        if kernel.kind != "none":
            by_task = self.member.T @ by_shared @ self.member  # (T, T)
            slope[p + 3 :] = [float((by_task * one).sum()) for one in kernel.slopes()]
        z = (theta - self.centre) / self.spread
        return value + 0.5 * float(z @ z), slope + z / self.spread


def fit_tasks(
    Z: Array,
    tasks: Codes,
    y: Array,
    categorical: Mask,
    kernel: TaskKernel,
    *,
    start: tuple[Hyper, TaskKernel] | None = None,
) -> tuple[Hyper, TaskKernel]:
    """Parameters of highest posterior density.

    Args:
        Z: (n, p) features, numbers in [0, 1].
        tasks: (n,) numbers of their tasks.
        y: (n,) values, standardised task by task.
        categorical: (p,) which features are categories.
        kernel: Over tasks; its kind and places count.
        start: What was fitted to most of the same data; None: the priors' means.

    Source: Rasmussen, Williams 2006, equations 5.8 and 5.9; a product with a kernel over tasks: Bonilla, Chai, Williams
        2008.
    Differs: correlations of tasks come from their order, by two parameters.
    Cost: at most 60 steps (12 from a start) of O(n^3 + n^2 p).
    """
    loss = _Loss(Z, tasks, y, categorical, kernel)
    first, steps = loss.centre.copy(), STEPS
    first[len(categorical) + 2] = math.log(START_NOISE)
    if start is not None:
        first, steps = loss.write(*start), FURTHER
    options = {"maxiter": steps}
    found = optimize.minimize(loss, first, jac=True, method="L-BFGS-B", bounds=loss.bounds, options=options)
    return loss.read(np.asarray(found.x))
