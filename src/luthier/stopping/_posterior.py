"""What a Gaussian process says of a study's results, for the rules that ask how much is left to gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Trial
from luthier.base.seeds import generator
from luthier.models.factors import joint_factor
from luthier.models.gp import GP, condition, fit_hyper
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

Places = NDArray[np.intp]
#: Something to be minimised, from features.
Score = Callable[[Array], Array]

MOST = 500  # results that a process holds; beyond, the best half of them and others at random
FITTED = 200  # results that its hyperparameters are fitted to
FEWEST = 20  # results that are kept where only the better half is
SPREADS = 5.0  # interquartile ranges above the median at which the worst values are cut off
CANDIDATES = 4096  # configurations, evenly spread, at which the lowest bound is looked for
STARTS, NEAR = 8, 8  # the best of them, and neighbours of each in every round
STEPS = (0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0005)  # of the neighbours, round by round
LIKELY = 512  # candidates at which paths are drawn: those with the lowest lower bound


@dataclass(frozen=True)
class Results:
    """Results as a process sees them.

    Args:
        trials: (n,) those that are kept, in the order of their ends.
        rows: (n, d) configurations in the unit cube, which are the features as well: a choice by its code, what is
            inactive at its default.
        y: (n,) values, minimised, the worst ones cut off, with mean 0 and standard deviation 1; all 0 when flat.
        centre: What was subtracted, in units of the objective times its sign.
        scale: What they were divided by, in units of the objective; 0 when all values are equal.
        feasible: (n,) which keep the constraints.
        weights: (n,) variance of the noise of each, relative to the others.
    """

    trials: Sequence[Trial]
    rows: Array
    y: Array
    centre: float
    scale: float
    feasible: Mask
    weights: Array


def results_of(problem: Problem, found: Sequence[Trial], *, half: bool = False, seed: int) -> Results:
    """What a process is fitted to.

    Args:
        problem: What is solved.
        found: Trials with a result, in the order of their ends.
        half: Keep the better half alone, at least 20, as Optuna and Syne Tune do.
        seed: Decides which of many results are kept.
    """
    objective = problem.objectives[0]
    values = np.array([objective.sign * trial.metrics[objective.name] for trial in found])
    places = _kept(values, half=half, seed=seed)
    trials = [found[place] for place in places]
    y, centre, scale = standardised(cut(values[places]))
    feasible = [all(t.metrics[c.name] <= c.upper for c in problem.constraints) for t in trials]
    weights = np.array([1.0 / max(len(trial.repeats), 1) for trial in trials])
    rows = problem.space.encode([trial.config for trial in trials])[0]
    return Results(trials, rows, y, centre, scale, np.array(feasible, dtype=bool), weights / weights.mean())


def _kept(values: Array, *, half: bool, seed: int) -> Places:
    """Which results are kept, in their order."""
    n = len(values)
    order = np.argsort(values, kind="stable")
    if half:
        return np.sort(order[: max(n // 2, min(FEWEST, n))])
    if n <= MOST:
        return np.arange(n)
    best = MOST // 2
    rest = generator(seed, "stopping", n, 1).choice(order[best:], MOST - best, replace=False)
    return np.sort(np.concatenate([order[:best], rest]))


def cut(values: Array) -> Array:
    """Values with those far above the others moved to where these end: one diverged run must not set the scale."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    spread = high - low
    if spread <= 0.0:  # most are equal: nothing says how far is far
        return values
    found: Array = np.minimum(values, middle + SPREADS * spread)
    return found


def standardised(values: Array) -> tuple[Array, float, float]:
    """Values with mean 0 and standard deviation 1, the mean and the deviation; zeros and 0 when all are equal."""
    centre, scale = float(values.mean()), float(values.std())
    if values.min() == values.max() or scale == 0.0:
        return np.zeros_like(values), float(values[0]), 0.0
    return (values - centre) / scale, centre, scale


class Candidates:
    """The configurations at which the lowest value of something is looked for.

    All of them where the space has few, else a Latin hypercube, moved as the priors say; a search among neighbours
    follows from the best.

    Args:
        problem: What is solved.
        seed: Decides the points and the neighbours.
    """

    def __init__(self, problem: Problem, *, seed: int) -> None:
        self.space, self._seed = problem.space, seed
        self.whole = self.space.size is not None and self.space.size <= CANDIDATES
        self.rows: Array = self.space.all_rows() if self.whole else self._spread()

    def _spread(self) -> Array:
        """Points of a Latin hypercube: SciPy's sequences take longer to import than all checks of most studies."""
        rng = generator(self._seed, "stopping", 0, 2)
        cells = np.stack([rng.permutation(CANDIDATES) for _ in range(self.space.dimensions)], axis=1)
        rows = self.space.snap(self.space.warp((cells + rng.random(cells.shape)) / CANDIDATES))
        allowed = self.space.allowed(rows)
        if allowed.mean() < 0.5:  # `sample_unit` knows how to find what little is allowed
            return np.concatenate([rows[allowed], self.space.sample_unit(CANDIDATES // 2, rng)])
        return rows[allowed]

    def lowest(self, score: Score, tried: Array) -> float:
        """Lowest value of a score over the space and what was tried; (n, d) rows."""
        rows = np.concatenate([self.rows, tried])
        values = score(rows)
        if self.whole:
            return float(values.min())
        places = np.argsort(values, kind="stable")[:STARTS]
        rows, values = rows[places], values[places]
        rng = generator(self._seed, "stopping", len(tried), 3)
        for step in STEPS:
            near = self.space.perturb(np.repeat(rows, NEAR, axis=0), rng, step=step)
            found = score(near).reshape(len(rows), NEAR)
            best = found.argmin(axis=1)
            lower = found.min(axis=1) < values
            rows = np.where(lower[:, None], near.reshape(len(rows), NEAR, -1)[np.arange(len(rows)), best], rows)
            values = np.minimum(values, found.min(axis=1))
        return float(values.min())


@dataclass(frozen=True)
class Posterior:
    """A process that has seen results; everything here is in standardised units.

    Args:
        results: What it saw.
        process: The process.
        candidates: Where the lowest value is looked for.
    """

    results: Results
    process: GP
    candidates: Candidates

    @property
    def noise(self) -> float:
        """Standard deviation of the noise that was learnt, in units of the objective."""
        return math.sqrt(self.process.hyper.noise) * self.results.scale

    def tried(self) -> tuple[Array, Array]:
        """Mean and standard deviation of the function at the feasible results; (g,), (g,)."""
        return self.process.predict(self.results.rows[self.results.feasible])

    def incumbent(self) -> int:
        """Place of the feasible result that is believed best: the lowest value, by its mean where there are repeats."""
        results = self.results
        repeated = len(np.unique(results.rows, axis=0)) < len(results.rows) or any(t.repeats for t in results.trials)
        values = self.process.predict(results.rows)[0] if repeated else results.y
        return int(np.argmin(np.where(results.feasible, values, np.inf)))

    def optimism(self) -> float:
        """How much lower the lowest feasible value is than the process believes, in units of the objective."""
        results = self.results
        place = int(np.argmin(np.where(results.feasible, results.y, np.inf)))
        return float(self.process.predict(results.rows[place][None])[0][0] - results.y[place]) * results.scale

    def bound(self, multiplier: float) -> float:
        """Lowest upper bound among what was tried, less the lowest lower bound anywhere; never negative."""
        mean, sd = self.tried()
        lower = self.candidates.lowest(lambda Z: self.lower(Z, multiplier), self.results.rows)
        return float((mean + multiplier * sd).min()) - lower

    def lower(self, Z: Array, multiplier: float) -> Array:
        """Lower bound; (m, p) -> (m,)."""
        mean, sd = self.process.predict(Z)
        return mean - multiplier * sd

    def paths(self, draws: int, rng: np.random.Generator, *, multiplier: float = 2.0) -> tuple[Array, Array]:
        """Draws of the function where its lowest value may lie: at what is feasible and tried, and anywhere.

        Args:
            draws: How many, s.
            rng: Source of randomness.
            multiplier: The candidates with the lowest `mean - multiplier * sd` are those where it may lie.

        Returns:
            (g, s) values at the feasible results, and the (s,) lowest value of each draw.
        """
        tried = self.results.rows
        bounds = self.lower(self.candidates.rows, multiplier)
        likely = self.candidates.rows[np.argsort(bounds, kind="stable")[:LIKELY]]
        mean, covariance = self.process.joint(np.concatenate([tried, likely]))
        factor = joint_factor(covariance, self.process.hyper.signal)
        values = mean[:, None] + factor @ rng.standard_normal((len(mean), draws))
        at_tried: Array = values[: len(tried)][self.results.feasible]
        return at_tried, values.min(axis=0)


def fit(results: Results, candidates: Candidates, *, seed: int) -> Posterior:
    """The process after seeing results.

    Every check fits anew: at 100 results that takes some tens of milliseconds, and a start from the last check's
    parameters would make a verdict depend on which checks were skipped.

    Args:
        results: What to fit, not flat.
        candidates: Where the lowest value will be looked for.
        seed: Decides which of more than 200 results the hyperparameters are fitted to.

    Raises:
        numpy.linalg.LinAlgError, ValueError: numbers that no process can be fitted to.

    Cost: some 100 steps of O(n^3) with n <= 200, once O(n^3) with n <= 500.
    """
    categorical: Mask = np.array([kind == "choice" for kind in candidates.space.kinds], dtype=bool)
    some = np.arange(len(results.y))
    if len(some) > FITTED:
        order = np.argsort(results.y, kind="stable")
        rest = generator(seed, "stopping", len(some), 4).choice(order[FITTED // 2 :], FITTED // 2, replace=False)
        some = np.sort(np.concatenate([order[: FITTED // 2], rest]))
    rows, y, weights = results.rows, results.y, results.weights
    hyper = fit_hyper(rows[some], y[some], categorical, weights[some])
    return Posterior(results, condition(rows, y, hyper, categorical, weights), candidates)
