"""What a Gaussian process believes of the trials of a study: their means, with the luck of single results taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.records import Trial
from luthier.base.seeds import generator
from luthier.models.gp import condition, fit_hyper
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._surrogates import FITTED, MOST, chosen
from luthier.space.problem import Problem
from luthier.space.values import Array

LARGEST = 1e150  # size of a result: its square, which a variance needs, must stay a number
FEWEST = 5  # results; of fewer a process says what its priors say
TAIL = 5.0  # interquartile ranges above the median at which bad values are cut: one diverged loss would be all variance


@dataclass(frozen=True)
class Beliefs:
    """Means of a process at trials, in units of the objective.

    Args:
        means: By trial number, to be minimised.
        noise: Standard deviation of a single result around its mean.
    """

    means: dict[int, float]
    noise: float


def beliefs(trials: Sequence[Trial], problem: Problem, seed: int) -> Beliefs | None:
    """Fit a process to the results of trials.

    Args:
        trials: Trials with a result, all measured at the same resource.
        problem: With one objective.
        seed: Decides which of many trials are left out.

    Returns:
        What it believes of each of them; None of fewer than five, of equal results, of one beyond `LARGEST`, and in a
        space without hyperparameters.

    Cost: one fit of at most 200 results and one factor of at most 500; a few tenths of a second.
    """
    objective = problem.objectives[0]
    values = np.array([objective.sign * trial.metrics[objective.name] for trial in trials])
    if len(trials) < FEWEST or values.max() == values.min() or not problem.space.dimensions:
        return None
    if np.abs(values).max() > LARGEST:
        return None
    y, centre, spread = _standard(values)
    features = KernelFeatures(problem.space)
    Z = features(problem.space.encode([trial.config for trial in trials])[0])
    every = np.arange(len(y))
    some = every if len(y) <= FITTED else chosen(y, every, FITTED, generator(seed, "study", len(y), 1))
    held = every if len(y) <= MOST else chosen(y, every, MOST, generator(seed, "study", len(y), 2))
    hyper = fit_hyper(Z[some], y[some], features.categorical)
    process = condition(Z[held], y[held], hyper, features.categorical)
    means = centre + spread * process.predict(Z)[0]
    numbers = [trial.number for trial in trials]
    return Beliefs(dict(zip(numbers, means.tolist(), strict=True)), spread * float(np.sqrt(hyper.noise)))


def _standard(values: Array) -> tuple[Array, float, float]:
    """Values with mean 0 and variance 1, the tail of bad ones cut off; with mean and spread."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    if high > low:
        values = np.minimum(values, middle + TAIL * (high - low))
    centre, spread = float(values.mean()), float(values.std())
    spread = spread if spread > 0.0 else 1.0
    return (values - centre) / spread, centre, spread
