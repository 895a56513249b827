"""The records of trials at one resource: the highest that has enough of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Observation, Status
from luthier.searchers._latest import Latest, Record, Snapshot, merit
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Resources within this factor stand at one level, so that a program may report at any of them.
STEP = math.sqrt(2.0)
#: Numbers of snapshots that a level has for itself.
ROOM = 100_000_000


def level_of(resource: float | None, problem: Problem) -> int:
    """Level of a resource: 0 at the full one, larger at less; 0 without a fidelity."""
    axis = problem.fidelity
    if axis is None or resource is None:
        return 0
    at = min(max(resource, axis.low), axis.high)
    return math.ceil(math.log(axis.high / at, STEP) - 1e-9)


#: Snapshots that are kept: the present one and the anchor's, and what they were a moment ago.
KEPT = 4
#: Trials that went on, and their rank correlation, from which on a level says how trials stand further on.
FEWEST, TELLING = 5, 0.8


class _Whole(NamedTuple):
    """A snapshot with the rows and numbers of its trials."""

    snapshot: Snapshot
    rows: Array
    trials: list[int]


_Parts = Mapping[int, Snapshot]


class Highest:
    """What `Latest` is, of the measurements at one level of the resource alone.

    Early stopping gives many values at little resource and few at much. What is best at little need not be in the end,
    and a model of each trial's last value, whatever its resource, takes those that were stopped for bad and sends the
    search after fast starters. Here a model sees the values at the highest level that has `fewest` of them (where none
    has, at the one with the most): they compare like with like, and as near to the full resource as can be. A trial
    that failed is bad at every level, until it has a result after all. Without a fidelity there is one level.

    Where only the good get far, what did not get there would leave no trace, and the search would try its like again
    and again. So a trial that is still below counts too, with the worst values of those that were there ahead of it
    and went on: no worse is known of it, and no better is to be expected. One that nobody who went on was ahead of
    does not count yet, nor do any at a level that says little of how trials stand further on (`tells`).

    Args:
        problem: What is to be solved.
        fewest: Results that a level needs.

    Source: the level is chosen as by Falkner, Klein, Hutter 2018 (BOHB), section 3.2.
    Differs: resources within a factor of 1.41 share a level; trials below it count.
    Cost: as `Latest`, O(levels) for each result, and O(b a) for a snapshot, with b trials below the level and a at it.
    """

    def __init__(self, problem: Problem, *, fewest: int) -> None:
        self._problem, self._fewest = problem, fewest
        self._levels: dict[int, Latest] = {0: Latest(problem.space)}
        self._usable: dict[int, set[int]] = {0: set()}
        self._failures: dict[int, Observation] = {}
        self._active = 0
        self._then: dict[int, _Parts] = {}  # all levels as they were when the anchor of one was made
        self._made: dict[tuple[int, int], _Whole] = {}  # the last ones, by the changes at the level and below

    def add(self, observations: Sequence[Observation]) -> None:
        """Take over observations, in order."""
        for observation in observations:
            numbers = (*observation.values, *observation.violations)
            bad = observation.status in (Status.FAILED, Status.DIVERGED) or not all(map(math.isfinite, numbers))
            if bad:
                self._failures[observation.trial] = observation
                for level, latest in self._levels.items():
                    latest.add([observation])
                    self._usable[level].discard(observation.trial)
            elif observation.values:
                level = level_of(observation.resource, self._problem)
                if self._failures.pop(observation.trial, None):  # it was overcome
                    for latest in self._levels.values():
                        latest.forget_failure(observation.trial)
                    self._then.clear()  # trials have moved up
                self._at(level).add([observation])
                self._usable[level].add(observation.trial)
            else:
                continue
            self._active = self._choose()
            for level, latest in self._levels.items():
                if level not in self._then or self._then[level][level] is not latest.anchor:
                    self._then[level] = self._now() | {level: latest.anchor}

    def _at(self, level: int) -> Latest:
        if level not in self._levels:
            self._levels[level] = Latest(self._problem.space, first=level * ROOM)
            self._levels[level].add(list(self._failures.values()))
            self._usable[level] = set()
        return self._levels[level]

    def _choose(self) -> int:
        enough = [level for level, trials in self._usable.items() if len(trials) >= self._fewest]
        return min(enough) if enough else max(self._usable, key=lambda level: (len(self._usable[level]), -level))

    def _now(self) -> dict[int, Snapshot]:
        return {level: latest.snapshot for level, latest in self._levels.items()}

    @property
    def snapshot(self) -> Snapshot:
        """The trials now; see `Latest`."""
        return self._whole(self._now()).snapshot

    @property
    def anchor(self) -> Snapshot:
        """The trials when costly parts of a model are fitted; see `Latest`."""
        return self._whole(self._then.get(self._active, self._now())).snapshot

    def rows(self, snapshot: Snapshot | None = None) -> Array:
        """Snapped rows of a snapshot's trials, the present one's by default; (n, d)."""
        found = snapshot or self.snapshot
        for whole in self._made.values():
            if whole.snapshot.number == found.number:
                return whole.rows
        return self._problem.space.encode([record.config for record in found.records])[0]  # one of long ago

    def best(self, count: int) -> Array:
        """Snapped rows of the best trials by merit, the best first; (<= count, d)."""
        return self.rows()[np.argsort(self.snapshot.merit(), kind="stable")[:count]]

    @property
    def measured(self) -> int:
        """How many of the snapshot's first records were measured at its level; the others are known to be behind."""
        return len(self._levels[self._active].snapshot.records)

    def trials(self) -> list[int]:
        """Numbers of the snapshot's trials, in its order."""
        return self._whole(self._now()).trials

    def _whole(self, parts: _Parts) -> _Whole:
        """The trials at the active level, and those below it that are known to be behind."""
        below = sorted(level for level in parts if level > self._active)
        key = parts[self._active].number, sum(parts[level].number - level * ROOM for level in below)
        found = self._made.pop(key, None) or self._join(parts, below)
        self._made[key] = found  # the last one that was asked for
        while len(self._made) > KEPT:
            del self._made[next(iter(self._made))]
        return found

    def _join(self, parts: _Parts, below: Sequence[int]) -> _Whole:
        active = parts[self._active]
        if not below:
            latest = self._levels[self._active]
            return _Whole(active, latest.rows(active), latest.trials()[: len(active.records)])
        records, trials = list(active.records), self._levels[self._active].trials()[: len(active.records)]
        rows = [self._levels[self._active].rows(active)]
        ahead = {trial: record for trial, record in zip(trials, records, strict=True) if record.values}
        # who got further without a value at the active level is not behind
        above = (self._levels[level].trials()[: len(parts[level].records)] for level in parts if level < self._active)
        known = set(trials).union(*above)
        for level in below:  # the highest first: a trial counts where it got to
            latest, here = self._levels[level], parts[level].records
            numbers = latest.trials()[: len(here)]
            rest = [i for i, trial in enumerate(numbers) if trial not in known and here[i].values]
            went = [i for i, trial in enumerate(numbers) if trial in ahead and here[i].values]
            known.update(numbers[i] for i in rest)
            if not tells(here, went, [ahead[numbers[i]] for i in went]):
                continue
            for i, record in _behind(here, rest, went, [ahead[numbers[i]] for i in went]):
                records.append(record)
                trials.append(numbers[i])
                rows.append(latest.rows(parts[level])[i : i + 1])
        number = active.number
        if len(records) > len(active.records):  # every change below counts too: equal numbers mean equal trials
            number += ROOM // 2 + sum(parts[level].number - level * ROOM for level in below)
        return _Whole(Snapshot(number, tuple(records)), np.concatenate(rows), trials)


def tells(here: Sequence[Record], went: Sequence[int], ahead: Sequence[Record]) -> bool:
    """Whether what trials have at one level says how they stand further on.

    Args:
        here: Records of all trials at the level.
        went: Places of those that went on.
        ahead: Records of the latter further on.

    Returns:
        Whether the rank correlation of those that went on, corrected for the narrower spread among them (Thorndike's
        case 2), is at least `TELLING`; False for fewer than `FEWEST`.
    """
    if len(went) < FEWEST:
        return False
    standing = np.flatnonzero([bool(record.values) for record in here])
    start = ranks(merit([here[i] for i in standing.tolist()]))
    kept = start[np.isin(standing, went)]
    a, b = ranks(kept), ranks(merit(ahead))
    if a.std() == 0.0 or b.std() == 0.0:
        return False
    return widened(float(np.corrcoef(a, b)[0, 1]), start, kept) >= TELLING


def widened(correlation: float, everywhere: Array, kept: Array) -> float:
    """What a correlation among some would be among all, who spread wider: Thorndike's case 2; (n,), (k,)."""
    wider = max(float(everywhere.std() / kept.std()), 1.0)
    return correlation * wider / math.sqrt(1.0 - correlation**2 + (correlation * wider) ** 2)


def ranks(values: Array) -> Array:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    found: Array = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return found


def _behind(
    here: Sequence[Record], rest: Sequence[int], went: Sequence[int], ahead: Sequence[Record]
) -> list[tuple[int, Record]]:
    """Places of trials behind which others went on, and what they count with.

    Args:
        here: Records of all trials at their level.
        rest: Places of those that got no further.
        went: Places of those that did.
        ahead: Records of the latter further on.
    """
    if not rest or not went:
        return []
    mine, theirs = (_numbers([here[i] for i in places]) for places in (rest, went))
    further, found = _numbers(ahead), []
    objectives = len(ahead[0].values)
    for i, numbers in zip(rest, mine, strict=True):
        better = (theirs <= numbers).all(axis=1)
        if better.any():
            worst = tuple(further[better].max(axis=0).tolist())
            found.append((i, here[i]._replace(values=worst[:objectives], violations=worst[objectives:])))
    return found


def _numbers(records: Sequence[Record]) -> Array:
    return np.array([(*record.values, *record.violations) for record in records], dtype=float)


#: What a model of finished trials learns from.
Trials = Latest | Highest


def trials_of(problem: Problem, way: str, *, fewest: int) -> Trials:
    """The records of trials, for models that know one resource.

    Args:
        problem: What is to be solved.
        way: "highest" (`Highest`) or "last" (`Latest`: the last value of each trial, whatever its resource).
        fewest: Results that a level needs.

    Raises:
        ArgumentError: no such way.
    """
    check("fidelity", way, one_of=("highest", "last"))
    return Highest(problem, fewest=fewest) if way == "highest" else Latest(problem.space)
