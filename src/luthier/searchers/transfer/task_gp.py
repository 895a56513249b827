"""One Gaussian process over earlier tasks and today's: what is near in order says more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from luthier.base.checks import check
from luthier.base.registry import register
from luthier.models.gp import Hyper
from luthier.models.task_gp import TaskGP, TaskKernel, condition_tasks, fit_tasks, task_places
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._polish import polish
from luthier.searchers.transfer._history import place
from luthier.searchers.transfer._joint import SURE, Joint, Model, Today
from luthier.searchers.transfer._thinned import some, thin
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Of one process, earlier tasks and today together: a factor of 500 x 500 takes some 5 ms.
MOST = 500
#: Of those that hyperparameters are fitted to: a step then takes some 3 ms.
FITTED = 200


@dataclass(frozen=True)
class _Known:
    """A process of rows in place of features."""

    process: TaskGP
    features: KernelFeatures

    def predict(self, rows: Array) -> tuple[Array, Array]:
        return self.process.predict(self.features(rows))

    def believing(self, rows: Array) -> Model:
        return replace(self, process=self.process.believing(self.features(rows), SURE)) if len(rows) else self


@register("searcher")
class TaskGp(Joint):
    """Models all tasks by one process, k((x, s), (x', t)) = k(x, x') * correlation(s, t).

    The correlation of two tasks falls with their distance in order; a share of each task is its own:
    (1 - own) * near(distance / reach) + own where s = t. With kernel "decay" near(u) = exp(-u), that is rho to the
    power of the distance in steps of the order; with "ordinal" it is a Matern-5/2 kernel of evenly spaced places, and
    with "size" one of the logarithm of the order, for tasks that are one problem at several data sizes. Reach, own
    share, length scales, signal and noise have the highest posterior density given at most 200 trials.

    Each task has a scale of its own; today's values get theirs from what the earlier tasks lead to expect at today's
    configurations. The process holds 500 trials: all of today's, and of the earlier tasks the oldest are thinned
    first. While today's trials speak against the earlier tasks, and from 480 trials on, it is `gp`.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        kernel: "decay", "ordinal" or "size".
        candidates: Configurations compared before the search among neighbours (1000, as in `gp`).
        guard: Whether to go on as `gp` while today's trials speak against the earlier tasks.

    Raises:
        ArgumentError: an option is out of range, or "size" and an order that is not above 0.

    Source: Hellan et al. 2023, TransferBO, the process over all tasks; Bonilla, Chai, Williams 2008, a product with a
        kernel over tasks; the kernels are specified for this project.
    Differs: from TransferBO: kernels over tasks with an own share, a scale for each task, all of today's trials and
        those alone for the incumbent, pending ones count. `transfer-bo` is that searcher.
    Cost: 60 steps of O(200^3) once, 12 at each result up to 40 and at every twentieth more beyond; O(500^3) a result,
        O(candidates * 500^2) a proposal.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        kernel: str = "decay",
        candidates: int = 1000,
        guard: bool = True,
    ) -> None:
        check("kernel", kernel, one_of=("decay", "ordinal", "size"))
        super().__init__(problem, seed=seed, guard=guard, candidates=candidates)
        orders = np.array([task.order for task in self._tasks] + [place(problem, self._tasks)])
        self._kernel = TaskKernel(kernel, task_places(kernel, orders))
        self._base: tuple[Hyper, TaskKernel] | None = None  # a cache: of the earlier tasks alone
        self._fitted: tuple[int, tuple[Hyper, TaskKernel]] | None = None  # a cache, keyed by the anchor
        self._alone: TaskGP | None = None  # a cache: the process of the earlier tasks alone

    def _past(self, room: int) -> tuple[Array, np.ndarray, Array]:
        """Features, numbers of tasks and values of earlier trials, as many as there is room for."""
        kept = thin(self._values, room)
        rows = np.concatenate([task.rows[some] for task, some in zip(self._tasks, kept, strict=True)])
        values = np.concatenate([values[some] for values, some in zip(self._values, kept, strict=True)])
        numbers = np.repeat(np.arange(len(kept)), [len(some) for some in kept])
        return self._features(rows), numbers, values

    def _with(self, today: Today, most: int) -> tuple[Array, np.ndarray, Array]:
        """The same, with today's trials at the end."""
        Z, numbers, values = self._past(most - len(today.values))
        last = np.full(len(today.values), len(self._tasks))
        return (
            np.concatenate([Z, self._features(today.rows)]),
            np.concatenate([numbers, last]),
            np.concatenate([values, today.values]),
        )

    def _parameters(self) -> tuple[Hyper, TaskKernel]:
        """Of the earlier tasks alone."""
        if self._base is None:
            self._base = fit_tasks(*self._past(FITTED), self._features.categorical, self._kernel)
        return self._base

    def _expectation(self, rows: Array) -> tuple[Array, Array]:
        if self._alone is None:
            self._alone = condition_tasks(*self._past(MOST), *self._parameters(), self._features.categorical)
        mean, covariance = self._alone.joint(self._features(rows))
        return mean, covariance + self._alone.hyper.noise * np.eye(len(rows))

    def _fit(self, today: Today) -> Model:
        found = self._refitted() if len(today.values) else self._parameters()
        return _Known(condition_tasks(*self._with(today, MOST), *found, self._features.categorical), self._features)

    def _refitted(self) -> tuple[Hyper, TaskKernel]:
        """Parameters given today's trials at the anchor, from those of the earlier tasks."""
        anchor = self._latest.anchor
        if self._fitted is None or self._fitted[0] != anchor.number:
            then = self._today(anchor)
            kept = some(then.merit, FITTED // 2)
            data = self._with(Today(*(part[kept] for part in then)), FITTED)
            found = fit_tasks(*data, self._features.categorical, self._kernel, start=self._parameters())
            self._fitted = (anchor.number, found)
        return self._fitted[1]

    def _polished(self, model: Model, best: float, rows: Array, scores: Array, taken: set[bytes]) -> Array:
        if not self._features.smooth or not isinstance(model, _Known):
            return rows
        return polish(self.space, self._features, model.process, best, rows, scores, taken)

    @property
    def _plan(self) -> str:
        kept = sum(map(len, thin(self._values, MOST - len(self._latest.snapshot.records))))
        return (
            f"one process of {len(self._tasks)} earlier tasks ({kept} trials) and today's, kernel {self._kernel.kind}"
        )

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind; reach and own share of tasks, and the correlation of today's with the last one."""
        found = super().diagnostics()
        if self._tasks and len(self._latest.snapshot.records):
            kernel = self._refitted()[1]
            found |= {"reach": kernel.reach, "own": kernel.own, "correlation": float(kernel.correlations()[-1, -2])}
        return found
