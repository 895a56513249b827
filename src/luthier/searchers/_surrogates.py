"""The Gaussian processes of a study: one an objective, one a constraint; refitted in a rhythm that counts results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.seeds import generator
from luthier.models.gp import GP, SHARED, Hyper, condition, fit_hyper
from luthier.models.noise import SLOPE, fit_noise, noise_weights
from luthier.models.warp import warp_values
from luthier.searchers._highest import Trials
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._latest import Snapshot
from luthier.space.values import Array

Places = NDArray[np.intp]

MOST = 500  # trials that a process holds: a factor of 500 x 500 takes some 5 ms; see `chosen`
FITTED = 200  # trials that hyperparameters are fitted to
NOISY = 1e-2  # noise variance, in units of the signal's, above which values are taken as noisy
RESIDUALS = 10  # fewer of them say nothing about where the noise is large
EVIDENCE = 4.0  # gain in the logarithm of the posterior density at which noise is taken to differ by place
BEST = 0.5  # share of them that are the best ones, the rest are drawn
TURNS, TURN = 40, 20  # results up to which the two priors take turns one by one, and a turn's results beyond


@dataclass(frozen=True)
class Fit:
    """Parameters of one process.

    Args:
        hyper: Of the kernel.
        noise: Coefficients of `fit_noise`; None: the noise is the same everywhere.
    """

    hyper: Hyper
    noise: Array | None


@dataclass(frozen=True)
class Models:
    """What is known at one moment.

    Args:
        places: (n,) records of the snapshot that the processes hold, none of them failed.
        Z: (n, p) their features.
        objectives: One process an objective, on warped values.
        constraints: One a constraint, on violations divided by their spread: feasible where <= 0.
    """

    places: Places
    Z: Array
    objectives: tuple[GP, ...]
    constraints: tuple[GP, ...]


class Surrogates:
    """Fits and keeps the processes; everything kept is a cache, keyed by the numbers of snapshots.

    Up to 500 trials the processes are exact. Beyond, they hold 500 of them: the best half, and others drawn at random.
    Hyperparameters are fitted to the anchor's trials (at most 200, chosen the same way) and used until the next anchor.

    Args:
        latest: The trials.
        features: Of rows.
        seed: Decides what is drawn.
        warp: One of `warp.WARPS`.
        place: Whether noise may differ by place.
    """

    def __init__(self, latest: Trials, features: KernelFeatures, *, seed: int, warp: str, place: bool = True) -> None:
        self._place = place
        self._latest, self._features, self._seed, self._warp = latest, features, seed, warp
        self._models: tuple[int, Models | None] = (0, None)
        self._hypers: tuple[int, tuple[Fit, ...]] = (0, ())

    def now(self) -> Models | None:
        """The processes of the present snapshot; None while no trial has a result."""
        snapshot = self._latest.snapshot
        if self._models[0] != snapshot.number:
            self._models = (snapshot.number, self._build(snapshot))
        return self._models[1]

    def _build(self, snapshot: Snapshot) -> Models | None:
        anchor = self._latest.anchor
        if self._hypers[0] != anchor.number:
            Z, columns, _ = self._data(anchor, FITTED)
            shared = share(len(anchor.records))
            self._hypers = (anchor.number, tuple(self._fit(Z, column, shared) for column in columns))
        Z, columns, places = self._data(snapshot, MOST)
        if not len(Z):
            return None
        fits = self._hypers[1]
        if not fits:  # the anchor knows failures alone
            some, known, _ = self._data(snapshot, FITTED)
            fits = tuple(self._fit(some, column, share(len(snapshot.records))) for column in known)
        processes = [self._condition(Z, column, fit) for column, fit in zip(columns, fits, strict=True)]
        m = snapshot.values().shape[1]
        return Models(places, Z, tuple(processes[:m]), tuple(processes[m:]))

    def _fit(self, Z: Array, y: Array, shared: float) -> Fit:
        """Hyperparameters, and where there is noise how it differs by place."""
        categorical = self._features.categorical
        hyper = fit_hyper(Z, y, categorical, shared=shared)
        if not self._place or hyper.noise <= NOISY * hyper.signal or len(y) < RESIDUALS:
            return Fit(hyper, None)
        mean, variance = condition(Z, y, hyper, categorical).left_out()
        beta = fit_noise(Z, categorical, (y - mean) ** 2, variance)
        weighted = fit_hyper(Z, y, categorical, noise_weights(Z, categorical, beta), shared=shared)
        prior = 0.5 * float((beta[1:] ** 2).sum()) / SLOPE**2
        return Fit(weighted, beta) if weighted.loss + prior < hyper.loss - EVIDENCE else Fit(hyper, None)

    def _condition(self, Z: Array, y: Array, fit: Fit) -> GP:
        weights = None if fit.noise is None else noise_weights(Z, self._features.categorical, fit.noise)
        return condition(Z, y, fit.hyper, self._features.categorical, weights)

    def fit(self, Z: Array, y: Array) -> GP:
        """A process for other values at points that the models hold; fitted to the best and some others of many."""
        y = warp_values(y, "standard")
        some = np.arange(len(y))
        if len(y) > FITTED:
            some = chosen(y, some, FITTED, generator(self._seed, "model", len(y), 3))
        return self._condition(Z, y, self._fit(Z[some], y[some], share(len(y))))

    def _data(self, snapshot: Snapshot, most: int) -> tuple[Array, list[Array], Places]:
        """Features, one column of values a process, and the records they belong to."""
        places = np.flatnonzero(~snapshot.failed)
        if not len(places):
            return np.empty((0, 0)), [], places
        if len(places) > most:
            places = chosen(snapshot.merit(), places, most, generator(self._seed, "model", snapshot.number, 2))
        Z = self._features(self._latest.rows(snapshot)[places])
        values, violations = snapshot.values()[places], snapshot.violations()[places]
        # the optimum is among feasible trials: what is better and infeasible must not push them into the worse half
        counted = snapshot.feasible[places]
        columns = [warp_values(column, self._warp, counted) for column in values.T]
        return Z, [*columns, *(signed(column) for column in violations.T)], places


def share(results: int) -> float:
    """Spread of what length scales share a priori, when there are so many results: two priors take turns.

    With a shared factor a function that is rough in all its numbers is understood from few values, yet close trials
    around an optimum end by making everything rough; without it a few length scales are short and the rest long, yet
    few values are explained as noise. Neither is right for every task, and each finds out what the other overlooks.
    """
    turn = results if results <= TURNS else results // TURN
    return SHARED if turn % 2 == 0 else 0.0


def chosen(merit: Array, places: Places, most: int, rng: np.random.Generator) -> Places:
    """Some of many trials: the best half of what there is room for, the rest at random, in their order."""
    order = places[np.argsort(merit[places], kind="stable")]
    best = round(BEST * most)
    rest = rng.choice(order[best:], most - best, replace=False)
    found: Places = np.sort(np.concatenate([order[:best], rest]))
    return found


def signed(violation: Array) -> Array:
    """Violations on a scale that keeps 0 and tames what is far from it: asinh in units of the median distance to 0."""
    unit = float(np.median(np.abs(violation)))
    with np.errstate(over="ignore"):
        found: Array = np.arcsinh(np.clip(violation / (unit if unit > 0.0 else 1.0), -1e150, 1e150))
    return found
