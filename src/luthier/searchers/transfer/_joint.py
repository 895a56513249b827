"""What searchers share whose model holds earlier tasks and today's together."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, Protocol

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Configuration
from luthier.models.acquisition import log_ei
from luthier.models.task_scale import scaled
from luthier.searchers._latest import Snapshot
from luthier.searchers._maximise import STEPS, Score, maximise
from luthier.searchers._seen import unreported
from luthier.searchers.gp import NEAR, Gp
from luthier.searchers.transfer._past_first import AFTER, PastFirst
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Of each earlier task, among which the first proposal is chosen.
WARM = 10
#: Noise variance of what is believed of pending points, in units of a measurement's.
SURE = 1e-3
#: Trials of today from which on earlier ones are left out: they say little then, and a model has room for 500.
LONG = 480


class Model(Protocol):
    """What is known of today's task, in units of the standardised values of the earlier ones."""

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function; (m, d) snapped rows -> (m,), (m,)."""
        ...

    def believing(self, rows: Array) -> Model:
        """As if these had given their predicted means."""
        ...


class Today(NamedTuple):
    """Today's trials.

    Args:
        rows: (n, d) snapped rows.
        merit: (n,) what orders them, less is better.
        values: (n,) the same as values, in units of the standardised values of the earlier tasks.
    """

    rows: Array
    merit: Array
    values: Array


def aligned(merit: Array, mean: Array, covariance: Array) -> Array:
    """Today's values on the scale of the earlier tasks' standardised ones.

    Mean and standard deviation of few trials say little of a task, and less where they were chosen to be good. So
    today's values get the mean and the spread that the earlier tasks lead to expect at just these configurations: one
    trial is what it was expected to be, and two lie as far apart as two of these do in the mean. Only their order and
    their proportions are today's; unit and origin of the metric do not matter.

    Args:
        merit: (n,) what orders today's trials.
        mean: (n,) expected values.
        covariance: (n, n) of what is expected, noise included.

    Returns:
        (n,).
    """
    n = len(merit)
    apart = mean - mean.mean()
    # E sum (z - mean z)^2 = sum (mu - mean mu)^2 + tr(H S)
    spread = float(apart @ apart) + float(np.trace(covariance)) - float(covariance.sum()) / n
    return scaled(merit, float(mean.mean()), np.sqrt(max(spread / n, 1e-6)))


class Joint(PastFirst):
    """Fits one model to earlier tasks and today's, and tries what promises the largest improvement today.

    A method writes `_expectation` and `_fit`.

    The first proposal is the configuration with the lowest expected value today among the best ten of each earlier
    task; the expected improvement decides from the first result on, over the lowest posterior mean at today's trials.
    Trials are ordered as in `merit`: feasible ones first, then by how much they violate; a failed one is the worst.
    Pending ones count as if they had given their predicted values. Beyond 480 trials it is `gp`.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        guard: Whether to leave the earlier tasks alone while today's trials speak against them.
        candidates: Configurations compared before the search among neighbours.
    """

    def __init__(self, problem: Problem, *, seed: int, guard: bool, candidates: int) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        self._candidates: int = check("candidates", candidates, at_least=1, whole=True)
        if not problem.space.dimensions:
            self._tasks = ()
        if self._tasks:
            self._process = Gp(problem, seed=seed, initial=AFTER)
        self._values = [scaled(task.values) for task in self._tasks]
        # caches, keyed by the numbers of snapshots
        self._model: tuple[int, Model | None] = (-1, None)
        self._start: Array | None = None

    #: Of the search among neighbours; see `maximise`.
    _steps_of_search: tuple[float, ...] = STEPS

    # what a method writes ------------------------------------------------------------------------------------------

    @abstractmethod
    def _expectation(self, rows: Array) -> tuple[Array, Array]:
        """What earlier tasks alone lead to expect today: mean, and covariance with noise; (n, d) -> (n,), (n, n)."""

    @abstractmethod
    def _fit(self, today: Today) -> Model:
        """The model of today's task; `today` may be empty."""

    # what they share -----------------------------------------------------------------------------------------------

    def _today(self, snapshot: Snapshot) -> Today:
        rows, merit = self._latest.rows(snapshot), snapshot.merit()
        if not len(merit):  # nothing to be expected of nothing
            return Today(rows, merit, merit)
        return Today(rows, merit, aligned(merit, *self._expectation(rows)))

    def _now(self) -> Model:
        """The model of the present snapshot."""
        number, model = self._model
        if model is None or number != self._latest.snapshot.number:
            model = self._fit(self._today(self._latest.snapshot))
            self._model = (self._latest.snapshot.number, model)
        return model

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        rows = self._latest.rows()
        if len(rows) > LONG:
            return None
        if not len(rows) and not waiting:
            first = self._first()[None]
            return self.space.decode(first)[0] if self.space.unit_keys(first)[0] not in taken else None
        pending = unreported(self.space, waiting, rows)
        model = self._now().believing(pending)
        best = float(model.predict(np.concatenate([rows, pending]))[0].min())
        near = np.concatenate([self._latest.best(NEAR), self._first()[None]])
        rng = self.rng(k)
        score = self._score(model, best, rng)
        steps = self._steps_of_search
        found, scores = maximise(self._seen, taken, score, rng, near=near, candidates=self._candidates, steps=steps)
        if not len(found):
            return None
        return self.space.decode(self._polished(model, best, found, scores, taken)[:1])[0]

    def _score(self, model: Model, best: float, rng: np.random.Generator) -> Score:
        """What is maximised over rows."""
        return lambda rows: log_ei(*model.predict(rows), best)

    def _polished(self, model: Model, best: float, rows: Array, scores: Array, taken: set[bytes]) -> Array:
        """Rows moved uphill, where the model has gradients; best first."""
        return rows

    def _first(self) -> Array:
        """The good configuration of earlier tasks with the lowest expected value today; (d,)."""
        if self._start is None:
            good = [task.rows[np.argsort(task.values, kind="stable")[:WARM]] for task in reversed(self._tasks)]
            rows = np.unique(np.concatenate(good), axis=0)
            rows = rows[self.space.allowed(rows)]
            self._start = rows[np.argmin(self._expected(rows))]
        return self._start

    def _expected(self, rows: Array) -> Array:
        return self._expectation(rows)[0]

    def from_past(self, config: Configuration) -> bool:
        """Whether a configuration is the first proposal, which an earlier task tried."""
        return bool(self._tasks) and self.space.decode(self._first()[None])[0] == config
