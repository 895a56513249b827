"""A linear mixed model for methods that all ran on the same tasks and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import f as f_distribution
from scipy.stats import kurtosis, skew
from scipy.stats import t as t_distribution

from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import FEWEST, Array, check_finite

_WIDEST = 20.0  # logarithm of the largest ratio of family to task variance that is looked at
_NONE = 1e-8  # a ratio of variances below this is none
_ROUNDING = 1e-12  # of a contrast, relative to the values
_STEP = 1e-4  # relative step of numeric derivatives


@dataclass(frozen=True)
class Difference:
    """Method A minus method B, in the unit of the values.

    Args:
        estimate: The difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p-value, not adjusted.
    """

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Mixed:
    """What was fitted.

    Args:
        means: (methods,) fixed effects: the mean of each method over families, tasks and seeds.
        error: Standard error of a difference between two methods.
        df: Degrees of freedom of that error.
        F: Statistic for no method differing.
        p: Its p-value.
        components: Variances: "task" (with what tasks of a family have in common), "task:method", "task:seed",
            "residual", and with families "family:method".
        skew: Skewness of the interaction of task and method, 0 for the normal distribution that is assumed.
        kurtosis: Its excess kurtosis, 0 for the normal distribution.
    """

    means: Array
    error: float
    df: float
    F: float
    p: float
    components: Mapping[str, float]
    skew: float
    kurtosis: float

    def difference(self, a: int, b: int) -> Difference:
        """Method at position a minus the one at position b."""
        gap = float(self.means[a] - self.means[b])
        if self.error == 0:
            return Difference(gap, gap, gap, 1.0 if gap == 0 else 0.0)
        half = float(t_distribution.ppf(0.975, self.df)) * self.error
        p = 2 * float(t_distribution.sf(abs(gap) / self.error, self.df))
        return Difference(gap, gap - half, gap + half, p)


def mixed_model(values: ArrayLike, *, families: Sequence[str] = ()) -> Mixed:
    """Fit y ~ method + (method | task) + (1 | task:seed), with families also + (method | family).

    The error of a method's effect is its spread over tasks, not over runs; so seeds are never counted as tasks.

    Args:
        values: (methods, tasks, seeds), such as `log_regret` of normalised regret; all cells filled.
        families: Family of each task; empty: none.

    Raises:
        ArgumentError: fewer than two methods, six tasks or two families, or a cell without a finite value.

    Source: Gelman and Hill 2007, chapter 13, for the model; Satterthwaite 1946 for the degrees of freedom.
    Differs: every method has the same spread over tasks (compound symmetry), so that the balanced design separates
        into strata: without families the fit is the analysis of variance in closed form, with them REML over one
        ratio of variances. That is REML of all runs as long as no variance is estimated as 0; where one is, the
        F-test here keeps its own stratum, and the variance is reported as 0.
    Cost: O(methods * tasks * seeds).
    """
    y = np.asarray(values, dtype=float)
    if y.ndim != 3 or y.shape[0] < 2 or y.shape[1] < FEWEST or y.shape[2] < 1:
        raise ArgumentError(
            f"mixed model: shape {y.shape}. Allowed: (methods, tasks, seeds) with 2 methods and {FEWEST} tasks or more."
        )
    check_finite(y, what="mixed model")
    methods, tasks, seeds = y.shape
    cells = y.mean(axis=2)  # (methods, tasks)
    columns = cells.mean(axis=0)
    interaction = cells - cells.mean(axis=1, keepdims=True) - columns + cells.mean()
    below = (methods - 1) * (tasks - 1)
    squares = _squares(y, cells, columns, interaction)
    if families:
        means, variance, df, apart, within = _with_families(cells, families)
    else:
        means, variance, df, apart, within = cells.mean(axis=1), squares["cell"] / tasks, float(below), 0.0, 0.0
        within = squares["cell"]
    components = _components(squares, methods, seeds, within)
    if families:
        components["family:method"] = apart
    F, p = _f_test(means, variance, df, squares["cell"])
    spread = interaction.ravel()
    alike = np.ptp(spread) <= 1e-12 * max(1.0, float(np.abs(cells).max()))
    return Mixed(
        means,
        math.sqrt(2 * variance),
        df,
        F,
        p,
        components,
        0.0 if alike else float(skew(spread)),
        0.0 if alike else float(kurtosis(spread)),
    )


def _f_test(means: Array, variance: float, df: float, spread: float) -> tuple[float, float]:
    between = float(((means - means.mean()) ** 2).sum()) / (len(means) - 1)
    if variance <= 1e-24 * max(1.0, spread):
        return (0.0, 1.0) if between == 0 else (math.inf, 0.0)
    return between / variance, float(f_distribution.sf(between / variance, len(means) - 1, df))


def _squares(y: Array, cells: Array, columns: Array, interaction: Array) -> dict[str, float]:
    """Mean squares of the strata, each per cell of task and method: "cell", "seed", "residual", "task"."""
    methods, tasks, seeds = y.shape
    runs = y.mean(axis=0)  # (tasks, seeds)
    rest = y - cells[:, :, None] - runs[None] + columns[None, :, None]
    within = tasks * (seeds - 1)
    return {
        "cell": float((interaction**2).sum()) / ((methods - 1) * (tasks - 1)),
        "task": float(((columns - columns.mean()) ** 2).sum()) / (tasks - 1),
        "seed": float(((runs - columns[:, None]) ** 2).sum()) / within if within else 0.0,
        "residual": float((rest**2).sum()) / (within * (methods - 1)) if within else 0.0,
    }


def _components(squares: Mapping[str, float], methods: int, seeds: int, cell: float) -> dict[str, float]:
    """Variances from mean squares; `cell` is the variance of a cell's mean inside its family."""
    residual = squares["residual"]
    interaction = max(0.0, cell - residual / seeds)
    of_seed = max(0.0, squares["seed"] - residual / methods)
    of_task = max(0.0, squares["task"] - (of_seed + residual / methods) / seeds - interaction / methods)
    return {"task": of_task, "task:method": interaction, "task:seed": of_seed, "residual": residual}


# families ----------------------------------------------------------------------------------------------------


def _with_families(cells: Array, families: Sequence[str]) -> tuple[Array, float, float, float, float]:
    """Means, variance of a mean's contrast, its degrees of freedom, variance of families and of cells inside them."""
    methods, tasks = cells.shape
    if len(families) != tasks or len(set(families)) < 2:
        raise ArgumentError(
            f"mixed model: {len(families)} families ({len(set(families))} different) for {tasks} tasks. Allowed: one "
            "name for each task, two families or more."
        )
    member = np.array([[name == one for name in families] for one in dict.fromkeys(families)], dtype=float)
    sizes = member.sum(axis=1)  # (families,)
    contrasts = _helmert(methods).T @ cells  # (methods - 1, tasks)
    contrasts[np.abs(contrasts) <= _ROUNDING * max(1.0, float(np.abs(cells).max()))] = 0.0  # equal methods are equal
    fit = _Strata(contrasts, member, sizes)
    ratio = fit.ratio()
    within = fit.variance(ratio)
    weights = (sizes / (1 + ratio * sizes)) / fit.weight(ratio)  # of the families in a mean
    means = (cells @ member.T / sizes) @ weights
    variance = within / fit.weight(ratio)
    return np.asarray(means), variance, fit.df(ratio), ratio * within, within


def _helmert(n: int) -> Array:
    """Orthonormal contrasts, (n, n - 1)."""
    found = np.zeros((n, n - 1))
    for j in range(1, n):
        found[:j, j - 1], found[j, j - 1] = 1.0, -j
        found[:, j - 1] /= math.sqrt(j * (j + 1))
    return found


class _Strata:
    """REML of contrasts that are alike and independent: variance s inside families, s * ratio between them."""

    def __init__(self, contrasts: Array, member: Array, sizes: Array) -> None:
        self._sizes = sizes
        self._sums = contrasts @ member.T  # (contrasts, families)
        self._squares = float((contrasts**2).sum())
        self._contrasts, self._tasks = len(contrasts), len(member.T)

    def weight(self, ratio: float) -> float:
        """Information about a mean, in units of 1 / s."""
        return float((self._sizes / (1 + ratio * self._sizes)).sum())

    def _rest(self, ratio: float) -> float:
        """Generalised residual sum of squares."""
        shrunk = 1 + ratio * self._sizes
        between = (ratio / shrunk * self._sums**2).sum()
        means = ((self._sums / shrunk).sum(axis=1) ** 2).sum() / self.weight(ratio)
        return max(float(self._squares - between - means), 0.0)

    def variance(self, ratio: float) -> float:
        """REML estimate of s."""
        return self._rest(ratio) / (self._contrasts * (self._tasks - 1))

    def deviance(self, s: float, ratio: float) -> float:
        """Minus twice the restricted log-likelihood, up to a constant."""
        logs = float(np.log1p(ratio * self._sizes).sum()) + math.log(self.weight(ratio))
        free = self._contrasts * (self._tasks - 1)
        return free * math.log(s) + self._contrasts * logs + self._rest(ratio) / s

    def ratio(self) -> float:
        """REML estimate of the ratio."""
        if self.variance(0.0) <= 0:
            return 0.0

        def profile(ratio: float) -> float:
            return self.deviance(max(self.variance(ratio), 1e-300), ratio)

        logs = np.linspace(-_WIDEST, _WIDEST, 81)
        place = int(np.argmin([profile(math.exp(one)) for one in logs]))
        ends = logs[max(place - 1, 0)], logs[min(place + 1, len(logs) - 1)]
        found = minimize_scalar(lambda one: profile(math.exp(one)), bounds=ends, method="bounded")
        best = math.exp(float(found.x))
        return 0.0 if profile(0.0) <= float(found.fun) or best < _NONE else best

    def df(self, ratio: float) -> float:
        """Satterthwaite's degrees of freedom of a contrast's variance."""
        pooled = float(self._contrasts * (self._tasks - 1))
        if ratio == 0.0:
            return pooled
        theta = np.array([math.log(self.variance(ratio)), math.log(ratio)])

        def deviance(at: Array) -> float:
            return self.deviance(math.exp(at[0]), math.exp(at[1]))

        def log_variance(at: Array) -> float:  # of a mean
            return float(at[0]) - math.log(self.weight(math.exp(at[1])))

        steps = np.eye(2) * _STEP
        slope = np.array([log_variance(theta + h) - log_variance(theta - h) for h in steps]) / (2 * _STEP)
        bend = np.array([
            [
                deviance(theta + h + g) - deviance(theta + h - g) - deviance(theta - h + g) + deviance(theta - h - g)
                for g in steps
            ]
            for h in steps
        ]) / (4 * _STEP**2)  # fmt: skip
        try:
            spread = float(slope @ np.linalg.solve(bend / 2, slope))  # variance of the logarithm
        except np.linalg.LinAlgError:
            return pooled
        return min(pooled, max(1.0, 2 / spread)) if spread > 0 else pooled
