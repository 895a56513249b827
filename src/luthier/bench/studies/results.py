"""Reads a study's folder: which runs can be compared, and their regret at any moment of the budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, StorageError, did_you_mean
from luthier.bench.statistics._guards import Array
from luthier.bench.statistics.curves import MOMENTS, NOTHING_YET, at, normalised
from luthier.bench.studies.matching import strangers
from luthier.bench.studies.plan import PARTS, Plan, TaskPlan
from luthier.bench.studies.references import Reference
from luthier.bench.studies.running import PLAN, SESSIONS
from luthier.bench.studies.store import Cell, Store
from luthier.bench.studies.tasks import reference_path

YARDSTICKS = (2.0, 4.0)  # a method that ran so many times as long is shown with that budget too


class Shown(NamedTuple):
    """A row of every table.

    Args:
        name: What it is called there.
        method: Whose runs it reads.
        stretch: So many times as late.
    """

    name: str
    method: str
    stretch: float


@dataclass(frozen=True)
class Results:
    """Everything in a study's folder.

    Args:
        folder: The folder.
        plan: The study, as it was run last.
        stores: Method to its cells.
        references: Task's label to its fixed values.
        sessions: What each call of `run` noted.
    """

    folder: Path
    plan: Plan
    stores: Mapping[str, Store]
    references: Mapping[str, Reference]
    sessions: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Read a folder.

        Raises:
            StorageError: it holds no study.
        """
        home = Path(folder)
        if not (home / PLAN).is_file():
            raise StorageError(f"folder {home.name!r} holds no study ({PLAN} is not there). Run one first.")
        plan = Plan.from_json(json.loads((home / PLAN).read_text(encoding="utf-8")))
        stores = {method.name: Store(home, method.name) for method in plan.methods}
        paths = {task.label: reference_path(home, task) for task in plan.tasks}
        references = {label: Reference.read(path) for label, path in paths.items() if path.is_file()}
        log = home / SESSIONS
        lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        return cls(home, plan, stores, references, [json.loads(line) for line in lines])

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each method's file and of each reference, by file name."""
        files = [*sorted((self.folder / "cells").glob("*.npz")), *sorted((self.folder / "references").glob("*.npz"))]
        return {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def compare(self, *, methods: Collection[str] = (), part: str = "test") -> Comparison:
        """Runs that can be compared: the same tasks and seeds of every method.

        A method whose cells were made by another plan is left out, see `strangers`. One that cannot work on most tasks
        is left out too, else the tasks on which one cannot. Of the seeds those
        count that every method has on every task; a method without any such seed is left out. All of it is listed.

        Args:
            methods: Only these; empty: all.
            part: "test", or "dev" for a look that gives no verdict.

        Raises:
            ArgumentError: an unknown method, or nothing can be compared.
        """
        check("part", part, one_of=PARTS)
        names = [method.name for method in self.plan.methods]
        for name in methods:
            if name not in names:
                raise ArgumentError(f"study {self.plan.name!r}: method {name!r}. {did_you_mean(name, names)}")
        wanted = [name for name in names if not methods or name in methods]
        others = strangers(self.plan, {name: self.stores[name] for name in wanted}, self.references, part)
        left_out = dict(others)
        chosen, tasks = self._fitting([name for name in wanted if name not in others], part, left_out)
        kept, seeds = self._seeds(chosen, tasks, left_out)
        if not kept or not tasks or not seeds:
            raise ArgumentError(
                f"study {self.plan.name!r}: nothing can be compared ({part} tasks: {len(tasks)}, methods with a common "
                f"seed: {len(kept)}). Allowed: one method or more with one seed on every task. Run the missing cells."
                + "".join(f" {name}: {why}." for name, why in others.items())
            )
        return Comparison(self, tuple(kept), tuple(tasks), tuple(seeds), left_out)

    def _fitting(self, methods: Sequence[str], part: str, left_out: dict[str, str]) -> tuple[list[str], list[TaskPlan]]:
        """Methods and tasks that go together."""
        tasks = []
        for task in self.plan.tasks:
            if task.part == part and task.label in self.references:
                tasks.append(task)
            elif task.part == part:
                left_out[task.label] = "it could not be opened"
        unfit = {
            name: {task.label: why for task in tasks if (why := self._unfit(name, task)) is not None}
            for name in methods
        }
        chosen = []
        for name in methods:
            if len(unfit[name]) * 2 > len(tasks):
                why = next(iter(unfit[name].values()))
                left_out[name] = f"it cannot work on {len(unfit[name])} of {len(tasks)} tasks: {why}"
                continue
            chosen.append(name)
            for label, why in unfit[name].items():
                left_out.setdefault(label, f"{name} cannot work on it: {why}")
        return chosen, [task for task in tasks if task.label not in left_out]

    def _unfit(self, method: str, task: TaskPlan) -> str | None:
        """Why a method cannot work on a task, None if it can."""
        cells = self.stores[method].cells
        return next((one.error for (label, _), one in cells.items() if label == task.label and one.unfit), None)

    def _seeds(
        self, methods: Sequence[str], tasks: Sequence[TaskPlan], left_out: dict[str, str]
    ) -> tuple[list[str], list[int]]:
        """Methods with common seeds; those with the fewest are left out until there are any."""
        have = {name: self._complete(name, tasks) for name in methods}
        kept = list(methods)
        while kept:
            common = set.intersection(*(have[name] for name in kept))
            if common:
                return kept, sorted(common)
            fewest = min(kept, key=lambda name: len(have[name]))
            left_out[fewest] = f"{len(have[fewest])} seeds are complete on all tasks"
            kept.remove(fewest)
        return [], []

    def _complete(self, method: str, tasks: Sequence[TaskPlan]) -> set[int]:
        cells = self.stores[method].cells
        return {seed for seed in self.plan.seeds if all((task.label, seed) in cells for task in tasks)}


@dataclass(frozen=True)
class Comparison:
    """Methods with the same tasks and seeds.

    Args:
        results: Where they come from.
        methods: Names of the methods.
        tasks: The tasks.
        seeds: The seeds.
        left_out: Method or task to why it is not here.
    """

    results: Results
    methods: tuple[str, ...]
    tasks: tuple[TaskPlan, ...]
    seeds: tuple[int, ...]
    left_out: Mapping[str, str]

    @property
    def plan(self) -> Plan:
        """The study."""
        return self.results.plan

    @property
    def families(self) -> tuple[str, ...]:
        """Family of each task."""
        return tuple(task.family for task in self.tasks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each task."""
        return tuple(task.label for task in self.tasks)

    @cached_property
    def shown(self) -> tuple[Shown, ...]:
        """Rows of the tables: the methods, then those with more budget."""
        more = [
            Shown(f"{name}, {times:g} x budget", name, times)
            for name in self.methods
            for times in YARDSTICKS
            if times <= self.plan.method(name).stretch
        ]
        return (*(Shown(name, name, 1.0) for name in self.methods), *more)

    def cell(self, method: str, task: str, seed: int) -> Cell:
        """One run."""
        return self.results.stores[method].cells[task, seed]

    def cells(self, method: str) -> list[Cell]:
        """All runs of a method here."""
        return [self.cell(method, task, seed) for task in self.labels for seed in self.seeds]

    def values(self, shown: Sequence[Shown], moments: Sequence[float] | Array, kind: str = "scored") -> Array:
        """Values at shares of the budget, to be minimised; NaN before the first incumbent.

        Args:
            shown: Rows.
            moments: Shares of the budget.
            kind: "scored", "tested" or "seen".

        Returns:
            (rows, tasks, seeds, moments).
        """
        when = np.asarray(moments, dtype=float)
        found = np.empty((len(shown), len(self.tasks), len(self.seeds), len(when)))
        for i, row in enumerate(shown):
            for j, label in enumerate(self.labels):
                for k, seed in enumerate(self.seeds):
                    cell = self.cell(row.method, label, seed)
                    found[i, j, k] = at(cell.times, getattr(cell, kind), when * row.stretch * cell.horizon * _SLACK)
        return found

    def regret(self, shown: Sequence[Shown], moments: Sequence[float] | Array) -> Array:
        """Normalised regret; NaN before the first incumbent; (rows, tasks, seeds, moments)."""
        values = self.values(shown, moments)
        for j, label in enumerate(self.labels):
            reference = self.results.references[label]
            values[:, j] = normalised(values[:, j], reference.best, reference.median)
        return values

    def evaluations(self, task: TaskPlan) -> float:
        """Random full-resource evaluations that the budget of a task is worth."""
        budget = self.plan.budget_of(task)
        if budget.evaluations is not None:
            return budget.evaluations
        cell = self.cell(self.methods[0], task.label, self.seeds[0])
        return cell.horizon * self.plan.workers / self.results.references[task.label].mean_seconds

    def anytime(self, shown: Sequence[Shown]) -> Array:
        """Mean regret over log-spaced moments; (rows, tasks, seeds)."""
        return np.asarray(filled(self.regret(shown, MOMENTS)).mean(axis=-1))


_SLACK = 1 + 1e-9  # as runs have it: a result at the very end of the budget counts


def filled(regret: Array) -> Array:
    """Regret with that of a median random configuration where there is no incumbent yet."""
    return np.where(np.isnan(regret), NOTHING_YET, regret)
