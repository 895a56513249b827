"""One record a trial, the last one, so that any model of finished trials can learn from running ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.pareto import crowding, fronts
from luthier.base.records import Configuration, Observation, Status
from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: Trials up to which every result makes a snapshot; beyond, every ceil(n / 500) results.
EVERY = 500
#: Results up to which every snapshot is an anchor; beyond, one for each twentieth more.
ANCHORS, GROWTH = 40, 1.05


class Record(NamedTuple):
    """What counts of a trial.

    Args:
        config: Its configuration.
        resource: Where it was measured, None without a fidelity.
        values: One an objective, to be minimised; empty for a trial that failed or diverged.
        violations: One a constraint, `metric - upper`; empty for a trial that failed or diverged.
    """

    config: Configuration
    resource: float | None
    values: tuple[float, ...]
    violations: tuple[float, ...]


class Level(NamedTuple):
    """A measurement of a trial at one resource.

    Args:
        place: Where its trial stands among the snapshot's records.
        record: What was measured.
    """

    place: int
    record: Record


class Snapshot(NamedTuple):
    """The trials at one moment.

    Args:
        number: How many changes were told before: equal numbers mean equal snapshots.
        records: One a trial, in the order of their first results.
        levels: Every measurement at every resource, in the order of arrival; empty unless `Latest` was asked to keep
            them.
    """

    number: int
    records: tuple[Record, ...]
    levels: tuple[Level, ...] = ()

    @property
    def failed(self) -> Mask:
        """Which trials failed or diverged; (n,)."""
        return np.array([not record.values for record in self.records], dtype=bool)

    def values(self) -> Array:
        """Objectives, NaN for what failed; (n, m)."""
        return _matrix([record.values for record in self.records])

    def violations(self) -> Array:
        """Constraints, feasible where <= 0, NaN for what failed; (n, c)."""
        return _matrix([record.violations for record in self.records])

    @property
    def feasible(self) -> Mask:
        """Which trials have a result and violate nothing; (n,)."""
        return np.array([bool(r.values) and max(r.violations, default=0.0) <= 0.0 for r in self.records], dtype=bool)

    def merit(self) -> Array:
        """What orders trials, less is better; see `merit`. (n,)."""
        return merit(self.records)


def merit(records: Sequence[Record]) -> Array:
    """What orders trials, less is better; (n,).

    Feasible ones first, then infeasible ones by how much they violate: violations of several constraints are added,
    each in units of the largest one seen. Feasible ones are ordered by their value, or, with several objectives, by
    their front in the non-dominated sorting and inside a front by crowding, the loneliest first. A failed or diverged
    trial equals the worst of the others.
    """
    failed = np.array([not record.values for record in records], dtype=bool)
    if failed.all():
        return np.zeros(len(records))
    found = np.empty(len(records))
    good = [record for record in records if record.values]
    values = _matrix([record.values for record in good])
    feasible = np.array([max(record.violations, default=0.0) <= 0.0 for record in good], dtype=bool)
    order = values[:, 0].copy()
    if values.shape[1] > 1:  # what is infeasible must not shade what is feasible
        order[:] = 0.0
        if feasible.any():
            order[feasible] = _several(values[feasible])
    if any(record.violations for record in good):
        order = _feasible_first(order, _matrix([record.violations for record in good]))
    found[~failed] = order
    found[failed] = found[~failed].max()
    return found


def _matrix(rows: Sequence[tuple[float, ...]]) -> Array:
    width = max((len(row) for row in rows), default=0)
    return np.array([row if len(row) == width else (math.nan,) * width for row in rows]).reshape(len(rows), width)


def _several(values: Array) -> Array:
    """Rank by front, then by crowding; equal points share a rank."""
    front = fronts(values)
    lonely = crowding(values, front)
    order = np.lexsort((-lonely, front))
    same = (front[order][1:] == front[order][:-1]) & (lonely[order][1:] == lonely[order][:-1])
    found = np.empty(len(values))
    found[order] = np.concatenate([[0.0], np.cumsum(~same)])
    return found


def _feasible_first(values: Array, violations: Array) -> Array:
    amounts = np.maximum(np.nan_to_num(violations), 0.0)
    total = (amounts / np.where(amounts.max(axis=0) > 0, amounts.max(axis=0), 1.0)).sum(axis=1)
    order = np.lexsort((values, total))
    feasible = total == 0.0
    same = (total[order][1:] == total[order][:-1]) & (~feasible[order][1:] | (values[order][1:] == values[order][:-1]))
    found = np.empty(len(values))
    found[order] = np.concatenate([[0.0], np.cumsum(~same)])
    return found


class Latest:
    """Keeps the last record of each trial, and takes snapshots in a rhythm that counts results.

    The last record is the one at the highest resource; a report at a resource seen before replaces the earlier one, so
    a trial that is resumed or run again keeps its progress. A trial that failed or diverged has no value, one that was
    stopped keeps what it had.

    Args:
        space: Where configurations come from.
        levels: Whether to keep every measurement at every resource, not the last of each trial alone.
        first: Number of the first, empty snapshot: several of these can count without meeting.

    Attributes:
        snapshot: The trials now.
        anchor: The trials when costly parts of a model are fitted: now, up to 40 results, and then as of the last of
            some moments that lie further and further apart. A rebuild from the log finds the same anchor.
    """

    def __init__(self, space: Space, *, levels: bool = False, first: int = 0) -> None:
        self._space, self._first = space, first
        self._records: dict[int, Record] = {}
        self._places: dict[int, int] = {}
        self._levels: dict[tuple[int, float | None], Level] | None = {} if levels else None
        self._rows = np.empty((0, space.dimensions))
        self._changes = 0
        self._next_anchor = 0.0
        self.snapshot = self.anchor = Snapshot(first, ())

    def add(self, observations: Sequence[Observation]) -> None:
        """Take over observations, in order."""
        for observation in observations:
            record = _record(observation)
            if record is not None and (self._newer(observation.trial, record) | self._level(observation.trial, record)):
                self._changed()

    def forget_failure(self, trial: int) -> None:
        """Take a trial out again whose record is a failure, as if nothing had been told of it."""
        record = self._records.get(trial)
        if record is None or record.values:
            return
        del self._records[trial]
        self._places = {kept: place for place, kept in enumerate(self._records)}
        self._rows = self._rows[:0]
        self._changes += 1
        # at once, the anchor too: rows are those of the records that are left
        self.snapshot = self.anchor = Snapshot(self._first + self._changes, tuple(self._records.values()))

    def _changed(self) -> None:
        self._changes += 1
        if self._changes - (self.snapshot.number - self._first) < math.ceil(len(self._records) / EVERY):
            return
        levels = tuple(self._levels.values()) if self._levels is not None else ()
        self.snapshot = Snapshot(self._first + self._changes, tuple(self._records.values()), levels)
        if self._changes >= self._next_anchor:
            self.anchor = self.snapshot
            self._next_anchor = self._changes * GROWTH if self._changes >= ANCHORS else 0.0

    def rows(self, snapshot: Snapshot | None = None) -> Array:
        """Snapped rows of a snapshot's trials, the present one's by default; (n, d)."""
        records = (snapshot or self.snapshot).records
        if len(self._rows) < len(records):
            more, _ = self._space.encode([record.config for record in records[len(self._rows) :]])
            self._rows = np.concatenate([self._rows, more])
        return self._rows[: len(records)]

    def best(self, count: int) -> Array:
        """Snapped rows of the best trials by merit, the best first; (<= count, d)."""
        return self.rows()[np.argsort(self.snapshot.merit(), kind="stable")[:count]]

    @property
    def measured(self) -> int:
        """How many of the snapshot's records were measured: all of them."""
        return len(self.snapshot.records)

    def trials(self) -> list[int]:
        """Numbers of the trials, in the order of their first results; the first ones are the snapshot's."""
        return list(self._records)

    def _newer(self, trial: int, record: Record) -> bool:
        """Take over a record that is newer than what the trial has; says whether it was."""
        old = self._records.get(trial)
        if old is not None:
            if old == record:
                return False
            if record.values and old.resource is not None and (record.resource or math.inf) < old.resource:
                return False
        self._places.setdefault(trial, len(self._records))
        self._records[trial] = record
        return True

    def _level(self, trial: int, record: Record) -> bool:
        """Note a measurement at its resource; says whether anything changed."""
        if self._levels is None:
            return False
        key, level = (trial, record.resource), Level(self._places[trial], record)
        if self._levels.get(key) == level:
            return False
        self._levels[key] = level
        return True


def _record(observation: Observation) -> Record | None:
    """What an observation says about its trial, None for nothing."""
    numbers = (*observation.values, *observation.violations)
    if observation.status in (Status.FAILED, Status.DIVERGED) or not all(math.isfinite(x) for x in numbers):
        return Record(observation.config, observation.resource, (), ())
    if not observation.values:
        return None
    return Record(
        observation.config, observation.resource, tuple(map(float, observation.values)), observation.violations
    )
