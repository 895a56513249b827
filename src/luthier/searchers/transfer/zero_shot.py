"""A list of configurations that complement each other on the earlier tasks; today's results change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from luthier.base.checks import check_flag
from luthier.base.imports import later
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.task_scale import near
from luthier.models.warp import warp_values
from luthier.searchers.transfer._boosted import Boosted
from luthier.searchers.transfer._history import EarlierTask
from luthier.searchers.transfer._past_first import PastFirst
from luthier.searchers.transfer._trust import expected
from luthier.space.problem import Problem
from luthier.space.values import Array

stats = later("scipy.stats")

#: Random candidates: 5^d for fewer than 6 hyperparameters, else this many (the reference's numbers).
A_SIDE, FEW, MANY = 5, 6, 10_000


@register("searcher")
class ZeroShot(PastFirst):
    """Proposes, one after the other, what lowers the mean of the best ranks on the earlier tasks the most.

    Every candidate has a rank on every task, by its value there or by what a regressor of that task's trials predicts.
    The first proposal has the lowest mean rank; each further one lowers the mean over tasks of the best rank so far
    the most. When nothing can lower it, the list begins anew with what is left.

    Candidates are all configurations that the earlier tasks tried, and random ones. Where all tasks tried the same
    configurations (or there is one task) these alone are the candidates, and no regressor is needed. `gp` takes over
    when the list has come to its end, or where today's trials speak against it.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        reference_compat: Whether each task is asked about random candidates of its own, which are then taken for the
            last task's, as Syne Tune does by mistake: for comparisons with what was published by it.
        guard: Whether to leave the list where today's trials speak against it; False: as published.

    Source: Wistuba, Schilling, Schmidt-Thieme 2015, Sequential model-free hyperparameter tuning; as in Hellan et al.
        2023.
    Differs: one candidate set for all tasks; what was tried is among it, with its true values; boosted trees of
        scikit-learn; values far above the median are brought near before trees learn them.
    Cost: a regressor for each of T tasks and T predictions of C candidates, once; then O(T C) a proposal.
    """

    def __init__(self, problem: Problem, *, seed: int, reference_compat: bool = False, guard: bool = True) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        self._compat = check_flag("reference_compat", reference_compat)
        self._greedy: Greedy | None = None  # a cache: made when first asked

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        if self._greedy is None:
            self._greedy = Greedy(*self._table())
        place = 0
        while (row := self._greedy.row(place)) is not None:
            key = self.space.unit_keys(row)[0]
            if key not in taken:
                return self._tried.get(key) or self.space.decode(row)[0]
            place += 1
        return None

    def from_past(self, config: Configuration) -> bool:
        """Whether an earlier task has tried it."""
        return bool(self._tasks) and self._seen.keys([config])[0] in self._tried

    @cached_property
    def _tried(self) -> dict[bytes, Configuration]:
        """What earlier tasks tried, as they did: a row is rounded a little."""
        configs = [config for task in self._tasks for config in task.configs]
        return dict(zip(self._seen.keys(configs), configs, strict=True))

    def _table(self) -> tuple[Array, Array]:
        """Candidates, and what each task says of them; (C, d), (T, C)."""
        tried = _same_rows(self._tasks)
        if tried is not None:
            return tried
        count = A_SIDE**self.space.dimensions if self.space.dimensions < FEW else MANY
        if self._compat:
            return self._mistaken(count)
        drawn = self.space.sample_unit(count, generator(self.seed, "model", 0, 4))
        rows = np.unique(np.concatenate([drawn, *(task.rows for task in self._tasks)]), axis=0)
        return rows, np.stack([self._says(i, rows) for i in range(len(self._tasks))])

    def _says(self, place: int, rows: Array) -> Array:
        """Values on a task: its own where it tried a row, else predicted. (C, d) -> (C,)."""
        task, values = self._tasks[place], _told(self._tasks[place].values)
        found = Boosted(self.space, task.rows, values, generator(self.seed, "model", 1 + place, 4))(rows)
        known: dict[bytes, float] = {}
        for key, value in zip(self.space.unit_keys(task.rows), values, strict=True):
            known[key] = min(float(value), known.get(key, np.inf))
        for i, key in enumerate(self.space.unit_keys(rows)):
            found[i] = known.get(key, found[i])
        return found

    def _mistaken(self, count: int) -> tuple[Array, Array]:
        """Candidates of the last task, with what each task says of candidates of its own."""
        told = []
        rows = np.empty((0, self.space.dimensions))
        for i, task in enumerate(self._tasks):
            rows = self.space.sample_unit(count, generator(self.seed, "model", 0, 4, i))
            values = _told(task.values)
            told.append(Boosted(self.space, task.rows, values, generator(self.seed, "model", 1 + i, 4))(rows))
        return rows, np.stack(told)

    def _expected(self, rows: Array) -> Array:
        return expected(self._tasks, self._features, rows)

    @property
    def _plan(self) -> str:
        return f"a list that complements itself on {len(self._tasks)} earlier tasks"


def _told(values: Array) -> Array:
    """A task's values as its regressor learns them: standardised, and no diverged loss makes all others equal."""
    return warp_values(near(values) if values.min() < values.max() else values, "standard")


def _same_rows(tasks: Sequence[EarlierTask]) -> tuple[Array, Array] | None:
    """Rows that all tasks tried, none of them another one, and the tasks' values; None where they differ."""
    rows = np.unique(tasks[-1].rows, axis=0)
    values = []
    for task in tasks:
        mine, place = np.unique(task.rows, axis=0, return_inverse=True)
        if mine.shape != rows.shape or not np.array_equal(mine, rows):
            return None
        best = np.full(len(mine), np.inf)
        np.minimum.at(best, place.ravel(), task.values)
        values.append(best)
    return rows, np.stack(values)


class Greedy:
    """Candidates in an order in which each complements those before it.

    Args:
        rows: (C, d) candidates that differ.
        values: (T, C) what each task says of them, less is better.
    """

    def __init__(self, rows: Array, values: Array) -> None:
        self._rows, self._values = rows, values
        self._left = np.ones(len(rows), dtype=bool)
        self._order: list[int] = []
        self._ranks, self._best = self._anew()

    def _anew(self) -> tuple[Array, Array]:
        """Ranks among what is left, and the best rank so far on each task; (T, C), (T,)."""
        ranks = np.full(self._values.shape, np.inf)
        ranks[:, self._left] = stats.rankdata(self._values[:, self._left], axis=1)
        return ranks, np.full(len(ranks), np.inf)

    def row(self, place: int) -> Array | None:
        """The candidate at a place of the order, from 0; (1, d), None beyond the last."""
        while len(self._order) <= place:
            if not self._left.any():
                return None
            if (self._best[:, None] <= self._ranks).all():  # nothing can lower a rank
                self._ranks, self._best = self._anew()
            chosen = int(np.argmin(np.minimum(self._ranks, self._best[:, None]).mean(axis=0)))
            self._order.append(chosen)
            self._left[chosen] = False
            self._best = np.minimum(self._best, self._ranks[:, chosen])
            self._ranks[:, chosen] = np.inf
        i = self._order[place]
        return self._rows[i : i + 1]
