"""What earlier tasks have in common on the scale of normal scores: a mean and one standard deviation everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import ceil, log, pi, sqrt

import numpy as np

from luthier.base.checks import check
from luthier.base.imports import later
from luthier.base.seeds import generator
from luthier.models.smooth_net import fit_smooth_net
from luthier.searchers._features import Features
from luthier.searchers._seen import LISTED, listed
from luthier.searchers.transfer._boosted import Boosted
from luthier.searchers.transfer._history import EarlierTask
from luthier.space.space import Space
from luthier.space.values import Array

special = later("scipy.special")
stats = later("scipy.stats")

#: What learns from all trials of all tasks; see `Common`.
REGRESSORS = ("net", "trees")
HELD_OUT = 0.1  # share of the trials that the standard deviation is taken from (the authors' code)
FEWEST = 5  # of them; with fewer than ten trials it is that of all normal scores, 1
#: Least standard deviation, in normal scores: tasks that agree to the last digit would leave nothing to draw.
FLOOR = 0.05


def scores(values: Array) -> Array:
    """Values as normal quantiles of their empirical distribution, cut off at its ends.

    z = Phi^-1(min(max(F(y), delta), 1 - delta)) with delta = 1 / (4 n^(1/4) sqrt(pi log n)). F(y) is the share of
    values below y plus half of that of values equal to y, so that z(-y) = -z(y).

    Args:
        values: (n,) finite, n >= 1.

    Returns:
        (n,); unchanged by any increasing transformation of the values. Zeros for a single value.

    Source: Salinas, Shen, Perrone 2020, section 3.
    Differs: equal values count half.
    """
    n = len(values)
    if n == 1:
        return np.zeros(1)
    delta = 1.0 / (4.0 * n**0.25 * sqrt(pi * log(n)))
    share = (stats.rankdata(values) - 0.5) / n
    found: Array = special.ndtri(np.clip(share, delta, 1.0 - delta))
    return found


class Common:
    """The law of normal scores that earlier tasks share; fitted when first asked, and then kept.

    Its mean is what a regressor of all trials of all tasks says, its standard deviation, the same everywhere, what the
    regressor misses on a tenth of the trials that it has not seen.

    Args:
        space: Today's.
        tasks: One or more.
        seed: Decides what is held out, and the candidates.
        regressor: "net", a smooth network, or "trees", boosted ones.
        candidates: Configurations that are drawn once, compared at every draw.

    Raises:
        ArgumentError: an option is out of range.

    Source: Salinas, Shen, Perrone 2020, and for the standard deviation Syne Tune.
    Differs: the paper's network has a second head, for a standard deviation at each point. It was sure where it knew
        little: on the news-vendor tasks `gcp` with it had a normalised score of about 60 after 25 evaluations (mean of
        4 runs; 100 is random search), with one standard deviation 13, and `gp` without a past 11.
    Cost: one fit to all trials, and one prediction for all candidates; then O(candidates) a draw.
    """

    def __init__(
        self, space: Space, tasks: Sequence[EarlierTask], *, seed: int, regressor: str, candidates: int
    ) -> None:
        check("regressor", regressor, one_of=REGRESSORS)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        self._space, self._tasks, self._seed = space, tasks, seed
        self._regressor, self._most = regressor, candidates

    @cached_property
    def _fitted(self) -> tuple[Callable[[Array], Array], float]:
        """The mean of rows, and the standard deviation."""
        rows = np.concatenate([task.rows for task in self._tasks])
        z = np.concatenate([scores(task.values) for task in self._tasks])
        rng = generator(self._seed, "model", 0, 2)
        order = rng.permutation(len(z))
        held = max(ceil(HELD_OUT * len(z)), FEWEST) if len(z) >= 2 * FEWEST else 0
        apart, learnt = order[:held], np.sort(order[held:])
        mean = self._regress(rows[learnt], z[learnt], rng)
        return mean, max(float(np.std(z[apart] - mean(rows[apart]))), FLOOR) if held else 1.0

    def _regress(self, rows: Array, z: Array, rng: np.random.Generator) -> Callable[[Array], Array]:
        if self._regressor == "trees":
            return Boosted(self._space, rows, z, rng)
        features = Features(self._space)
        net = fit_smooth_net(features(rows), z, rng)
        return lambda some: net.predict(features(some))

    @property
    def sigma(self) -> float:
        """Standard deviation of a task's normal score about the mean."""
        return self._fitted[1]

    def mean(self, rows: Array) -> Array:
        """Mean normal score of snapped rows, less is better; (m, d) -> (m,)."""
        return self._fitted[0](rows)

    @cached_property
    def candidates(self) -> tuple[Array, Array]:
        """Snapped rows and their means; the whole space where it is no larger."""
        size = self._space.size
        if size is not None and size <= min(self._most, LISTED) and listed(self._space):
            rows = self._space.all_rows(LISTED)
        else:
            rows = self._space.sample_unit(self._most, generator(self._seed, "model", 0, 3))
        return rows, self.mean(rows)

    def draw(self, taken: set[bytes], rng: np.random.Generator) -> Array:
        """The candidate with the lowest draw of its score that is not taken; (1, d), or (0, d) when all are."""
        rows, mean = self.candidates
        drawn = mean + self.sigma * rng.standard_normal(len(rows))
        near = min(len(taken) + 1, len(rows))  # as many as may have to be passed over, but for candidates drawn twice
        for some in (np.argpartition(drawn, near - 1)[:near], np.arange(len(rows))):
            for i in some[np.argsort(drawn[some], kind="stable")]:
                row = rows[i : i + 1]
                if self._space.unit_keys(row)[0] not in taken:
                    return row
        return rows[:0]

    def lowest(self, count: int) -> Array:
        """The candidates with the lowest means; (<= count, d)."""
        rows, mean = self.candidates
        return rows[np.argsort(mean, kind="stable")[:count]]
