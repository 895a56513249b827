"""One value a trial: the last one, so that any model of finished trials can learn from running ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.records import Configuration, Observation, Status
from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: Trials up to which every result makes a snapshot; beyond, every ceil(n / 500) results.
EVERY = 500


class Record(NamedTuple):
    """What counts of a trial.

    Args:
        config: Its configuration.
        resource: Where it was measured last, None without a fidelity.
        value: The first objective, to be minimised; NaN for a trial that failed or diverged.
        violations: One a constraint, `metric - upper`.
    """

    config: Configuration
    resource: float | None
    value: float
    violations: tuple[float, ...]


class Snapshot(NamedTuple):
    """The trials at one moment.

    Args:
        number: How many changes were told before: equal numbers mean equal snapshots.
        records: One a trial, in the order of their first results.
    """

    number: int
    records: tuple[Record, ...]

    @property
    def failed(self) -> Mask:
        """Which trials failed or diverged; (n,)."""
        return np.isnan([record.value for record in self.records])

    def merit(self) -> Array:
        """What orders trials, less is better: feasible ones by value, then infeasible ones by violation; (n,).

        Violations of several constraints are added, each in units of the largest one seen. A failed or diverged trial
        equals the worst of the others.
        """
        values = np.array([record.value for record in self.records])
        failed = np.isnan(values)
        if failed.all():
            return np.zeros(len(values))
        if self.records[0].violations or any(record.violations for record in self.records):
            left = np.flatnonzero(~failed)
            values[left] = _feasible_first(values[left], [self.records[place].violations for place in left])
        values[failed] = values[~failed].max()
        return values


def _feasible_first(values: Array, violations: Sequence[tuple[float, ...]]) -> Array:
    width = max(len(one) for one in violations)
    amounts = np.array([one if len(one) == width else (0.0,) * width for one in violations])
    amounts = np.maximum(amounts, 0.0)
    total = (amounts / np.where(amounts.max(axis=0) > 0, amounts.max(axis=0), 1.0)).sum(axis=1)
    order = np.lexsort((values, total))
    feasible = total == 0.0
    same = (total[order][1:] == total[order][:-1]) & (~feasible[order][1:] | (values[order][1:] == values[order][:-1]))
    found = np.empty(len(values))
    found[order] = np.concatenate([[0.0], np.cumsum(~same)])
    return found


class Latest:
    """Keeps the last value of each trial, and takes snapshots in a rhythm that counts results.

    The last value is the one at the highest resource; a report at a resource seen before replaces the earlier one, so a
    trial that is resumed or run again keeps its progress. A trial that failed or diverged has no value, one that was
    stopped keeps what it had.

    Args:
        space: Where configurations come from.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._records: dict[int, Record] = {}
        self._rows = np.empty((0, space.dimensions))
        self._changes = 0
        self.snapshot = Snapshot(0, ())

    def add(self, observations: Sequence[Observation]) -> None:
        """Take over observations, in order."""
        for observation in observations:
            record = _record(observation)
            if record is None or not self._newer(observation.trial, record):
                continue
            self._records[observation.trial] = record
            self._changes += 1
            if self._changes - self.snapshot.number >= math.ceil(len(self._records) / EVERY):
                self.snapshot = Snapshot(self._changes, tuple(self._records.values()))

    def rows(self) -> Array:
        """Snapped rows of the snapshot's trials; (n, d)."""
        records = self.snapshot.records
        if len(self._rows) < len(records):
            more, _ = self._space.encode([record.config for record in records[len(self._rows) :]])
            self._rows = np.concatenate([self._rows, more])
        return self._rows[: len(records)]

    def _newer(self, trial: int, record: Record) -> bool:
        old = self._records.get(trial)
        if old is None:
            return True
        if _same(old, record):
            return False
        return math.isnan(record.value) or old.resource is None or (record.resource or math.inf) >= old.resource


def _record(observation: Observation) -> Record | None:
    """What an observation says about its trial, None for nothing."""
    numbers = (*observation.values[:1], *observation.violations)
    if observation.status in (Status.FAILED, Status.DIVERGED) or not all(math.isfinite(x) for x in numbers):
        return Record(observation.config, observation.resource, math.nan, ())
    if not observation.values:
        return None
    return Record(observation.config, observation.resource, float(numbers[0]), observation.violations)


def _same(a: Record, b: Record) -> bool:
    values = a.value == b.value or (math.isnan(a.value) and math.isnan(b.value))
    return values and a.resource == b.resource and a.violations == b.violations
