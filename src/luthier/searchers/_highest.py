"""The records of trials at one resource: the highest that has enough of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luthier.base.checks import check
from luthier.base.records import Observation, Status
from luthier.searchers._latest import Latest, Snapshot
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


class Highest:
    """What `Latest` is, of the measurements at one level of the resource alone.

    Early stopping gives many values at little resource and few at much. What is best at little need not be in the end,
    and a model of each trial's last value, whatever its resource, takes those that were stopped for bad and sends the
    search after fast starters. Here a model sees the values at the highest level that has `fewest` of them (where none
    has, at the one with the most): they compare like with like, and as near to the full resource as can be. A trial
    that failed is bad at every level, until it has a result after all. Without a fidelity there is one level.

    Args:
        problem: What is to be solved.
        fewest: Results that a level needs.

    Source: the level is chosen as by Falkner, Klein, Hutter 2018 (BOHB), section 3.2.
    Differs: resources within a factor of 1.41 share a level.
    Cost: as `Latest`, and O(levels) for each failure.
    """

    def __init__(self, problem: Problem, *, fewest: int) -> None:
        self._problem, self._fewest = problem, fewest
        self._levels: dict[int, Latest] = {0: Latest(problem.space)}
        self._usable: dict[int, set[int]] = {0: set()}
        self._failures: dict[int, Observation] = {}
        self._active = 0

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
                self._at(level).add([observation])
                self._usable[level].add(observation.trial)
            else:
                continue
            self._active = self._choose()

    def _at(self, level: int) -> Latest:
        if level not in self._levels:
            self._levels[level] = Latest(self._problem.space, first=level * ROOM)
            self._levels[level].add(list(self._failures.values()))
            self._usable[level] = set()
        return self._levels[level]

    def _choose(self) -> int:
        enough = [level for level, trials in self._usable.items() if len(trials) >= self._fewest]
        return min(enough) if enough else max(self._usable, key=lambda level: (len(self._usable[level]), -level))

    @property
    def snapshot(self) -> Snapshot:
        """The trials now; see `Latest`."""
        return self._levels[self._active].snapshot

    @property
    def anchor(self) -> Snapshot:
        """The trials when costly parts of a model are fitted; see `Latest`."""
        return self._levels[self._active].anchor

    def rows(self, snapshot: Snapshot | None = None) -> Array:
        """Snapped rows of a snapshot's trials, the present one's by default; (n, d)."""
        return self._levels[self._active].rows(snapshot)

    def best(self, count: int) -> Array:
        """Snapped rows of the best trials by merit, the best first; (<= count, d)."""
        return self._levels[self._active].best(count)

    def trials(self) -> list[int]:
        """Numbers of the trials; see `Latest`."""
        return self._levels[self._active].trials()


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
