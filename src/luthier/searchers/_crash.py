"""Where configurations crash: the probability that one finishes, learnt from those that failed."""

from __future__ import annotations

import numpy as np

from luthier.base.imports import later
from luthier.base.seeds import generator
from luthier.models.gp import GP, Hyper, condition, fit_hyper
from luthier.searchers._highest import Trials
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._latest import Snapshot
from luthier.space.space import Space
from luthier.space.values import Array

special = later("scipy.special")

MOST = 200  # trials that the process holds, drawn at random from more
SURE = 0.05  # least standard deviation of the latent value: no region is ruled out for good


class Crash:
    """Probability that a configuration gives a result: a process over +1 for what finished and -1 for what failed.

    Args:
        space: Where configurations come from.
        seed: Decides which of many trials are held.

    Source: Gelbart, Snoek, Adams 2014 (probability of success as a factor of the acquisition); labels as values of a
        Gaussian process: Rasmussen, Williams 2006, section 6.5.
    Differs: the probability is that of a latent value above zero. The share of a forest's votes fell too slowly.
    Cost: one fit for every anchor after the first failure, on at most 200 trials; nothing before.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._features, self._seed = KernelFeatures(space), seed
        # caches, keyed by the numbers of snapshots
        self._fitted: tuple[int, GP | None] = (0, None)
        self._hyper: tuple[int, Hyper | None] = (0, None)

    def log_success(self, latest: Trials, rows: Array) -> Array:
        """Logarithm of the probability of success; zeros while nothing has failed, or all has; (m, d) -> (m,)."""
        snapshot = latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._fit(latest))
        process = self._fitted[1]
        if process is None:
            return np.zeros(len(rows))
        mean, sd = process.predict(self._features(rows))
        found: Array = special.log_ndtr(mean / np.maximum(sd, SURE))
        return found

    def _fit(self, latest: Trials) -> GP | None:
        Z, labels = self._data(latest, latest.snapshot)
        if len(np.unique(labels)) < 2 or not Z.shape[1]:
            return None
        if self._hyper[0] != latest.anchor.number:
            old, known = self._data(latest, latest.anchor)
            one_sided = len(np.unique(known)) < 2
            self._hyper = (
                latest.anchor.number,
                None if one_sided else fit_hyper(old, known, self._features.categorical),
            )
        hyper = self._hyper[1] or fit_hyper(Z, labels, self._features.categorical)
        return condition(Z, labels, hyper, self._features.categorical)

    def _data(self, latest: Trials, snapshot: Snapshot) -> tuple[Array, Array]:
        labels = np.where(snapshot.failed, -1.0, 1.0)
        rows = latest.rows(snapshot)
        if len(labels) > MOST:
            rng = generator(self._seed, "model", snapshot.number, 1)
            some = np.sort(rng.choice(len(labels), MOST, replace=False))
            rows, labels = rows[some], labels[some]
        return self._features(rows), labels
