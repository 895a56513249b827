"""One Gaussian process over all tasks with the task as one more number, as published or with its handicaps mended."""

from __future__ import annotations

import numpy as np

from luthier.base.checks import check_flag
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.models.acquisition import log_ei
from luthier.models.gp import condition, fit_hyper
from luthier.models.task_gp import TaskKernel, task_places
from luthier.models.warp import warp_values
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._maximise import maximise
from luthier.searchers.gp import NEAR
from luthier.searchers.transfer.task_gp import TaskGp
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array

#: Trials of all tasks that the published searcher holds.
HELD = 200


class _Placed(KernelFeatures):
    """Features with one more number at the end: where today's task stands."""

    def __init__(self, space: Space, place: float) -> None:
        super().__init__(space)
        self._place = place
        self.categorical = np.append(self.categorical, False)

    def __call__(self, rows: Array) -> Array:
        return np.concatenate([super().__call__(rows), np.full((len(rows), 1), self._place)], axis=1)


@register("searcher")
class TransferBo(TaskGp):
    """Models all tasks by one process in which the task is a further input: evenly spaced places in order of arrival.

    By default it is `task-gp` with that input in place of a kernel over tasks: no share of a task is its own, and what
    sets tasks apart must look like a smooth drift. Each task has a scale of its own, today's trials are never dropped,
    and the improvement is that on today's best.

    With `reference` it is the published searcher with its handicaps: all values are standardised together; of more
    than 200 trials of all tasks a random 200 are drawn anew at each proposal, today's among them or not; the incumbent
    is the best value of all tasks; what is pending is not considered; there is no first proposal from earlier tasks.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        reference: Whether to keep the handicaps.
        candidates: Configurations compared before the search among neighbours (1000, as in `gp`).
        guard: Whether to go on as `gp` while today's trials speak against the earlier tasks; never with `reference`.

    Raises:
        ArgumentError: an option is out of range.

    Source: Hellan, Shen, Aubet, Salinas, Klein 2023 (TransferBO), and its code.
    Differs: by default as said. With `reference` in the process, which is that of `gp`, in that nothing is proposed
        twice, and in that trials are ordered as in `merit`.
    Cost: that of `task-gp`; with `reference` a fit of some 100 steps of O(200^3) at each proposal.
    """

    def __init__(
        self, problem: Problem, *, seed: int, reference: bool = False, candidates: int = 1000, guard: bool = True
    ) -> None:
        self._reference = check_flag("reference", reference)
        super().__init__(problem, seed=seed, candidates=candidates, guard=guard and not self._reference)
        places = task_places("ordinal", np.arange(len(self._tasks) + 1.0))
        self._kernel = TaskKernel("none", places)
        self._features = _Placed(problem.space, float(places[-1]))

    def _past(self, room: int) -> tuple[Array, np.ndarray, Array]:
        Z, numbers, values = super()._past(room)
        Z[:, -1] = self._kernel.places[numbers]
        return Z, numbers, values

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        if not self._reference:
            return super()._recall(k, taken, waiting)
        rng = self.rng(k)
        rows = np.concatenate([*(task.rows for task in self._tasks), self._latest.rows()])
        values = np.concatenate([*(task.values for task in self._tasks), self._latest.snapshot.merit()])
        numbers = np.repeat(np.arange(len(self._tasks) + 1), [*map(len, self._tasks), len(self._latest.rows())])
        y = warp_values(values, "standard")
        some = rng.permutation(len(y))[:HELD] if len(y) > HELD else np.arange(len(y))
        Z = self._features(rows[some])
        Z[:, -1] = self._kernel.places[numbers[some]]
        categorical = self._features.categorical
        process, best = condition(Z, y[some], fit_hyper(Z, y[some], categorical), categorical), float(y.min())
        found, _ = maximise(
            self._seen,
            taken,
            lambda more: log_ei(*process.predict(self._features(more)), best),
            rng,
            near=self._latest.best(NEAR),
            candidates=self._candidates,
        )
        return self.space.decode(found[:1])[0] if len(found) else None

    def from_past(self, config: Configuration) -> bool:
        """Whether a configuration is the first proposal, which an earlier task tried."""
        return not self._reference and super().from_past(config)

    @property
    def _plan(self) -> str:
        return super()._plan if not self._reference else "TransferBO with the handicaps of the published code"

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind."""
        if self._reference:
            return self._process.diagnostics()
        found = super().diagnostics()
        for name in ("reach", "own", "correlation"):
            found.pop(name, None)
        return found
