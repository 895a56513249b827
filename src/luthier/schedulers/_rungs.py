"""Rungs: the resource levels at which trials compete, and who stands where. Shared by the halving family."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.base.pareto import crowding, fronts
from luthier.base.records import Fidelity

#: (total violation, place, ...): tuples that sort the best first; the last entry is the order of arrival.
Key = tuple[float, ...]
#: What decides among results of one front; see `base.pareto.crowding` and `net_places`.
ORDERS = ("crowding", "epsilon-net")


def rung_levels(fidelity: Fidelity, eta: int, grace: float) -> tuple[float, ...]:
    """Resource levels grace, grace * eta, grace * eta^2, ... below the full resource, and the full resource.

    Whole numbers stay whole (no floating logarithm or power is taken). When the full resource is no power of eta
    above grace, the last step is shorter: eta = 3 on 1..50 gives 1, 3, 9, 27, 50.

    Args:
        fidelity: The axis.
        eta: Factor between neighbours, >= 2.
        grace: First level, between `fidelity.low` and `fidelity.high`.

    Returns:
        Levels in rising order; one level when grace is the full resource.
    """
    whole = fidelity.whole and float(grace).is_integer()
    level: float = int(grace) if whole else float(grace)
    high: float = int(fidelity.high) if whole else float(fidelity.high)
    levels = []
    while level < high * (1 - 1e-9):  # 1/27 * 27 is not always 1
        levels.append(level)
        level *= eta
    return (*levels, high)


def bracket_weights(levels: int, eta: int, brackets: int) -> NDArray[np.float64]:
    """Share of new trials that each bracket gets: in proportion to how many Hyperband starts in it.

    With s = levels - 1 - bracket, Hyperband's bracket starts (levels / (s + 1)) * eta^s configurations.

    Args:
        levels: Number of rungs of bracket 0.
        eta: Reduction factor.
        brackets: How many brackets, <= levels.

    Returns:
        (brackets,) shares that sum to 1; the most aggressive bracket comes first and is the largest.
    """
    s = levels - 1 - np.arange(brackets)
    sizes = levels / (s + 1) * float(eta) ** s
    return np.asarray(sizes / sizes.sum())


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial's result at a rung.

    Args:
        trial: The trial's number.
        values: One per objective, to be minimised.
        violation: Sum over constraints of what exceeds the bound, 0 when feasible.
        arrival: How many results the rung held before it: breaks ties.
    """

    trial: int
    values: tuple[float, ...]
    violation: float
    arrival: int


class Rung:
    """The results at one resource level, best first.

    Feasible results come before infeasible ones, which are ordered by their total violation. One objective: by
    value. Several: by front number of the non-dominated sorting, then by crowding distance (lonely points first) or
    by place in an epsilon-net. What is still equal is ordered by arrival.

    Args:
        level: Its resource.
        order: One of `ORDERS`; only several objectives need it.

    Cost: adding and ranking O(log n) comparisons and one shift of a list with one objective; with several, the
        first question after an addition sorts anew, O(n^2).
    """

    def __init__(self, level: float, order: str = "crowding") -> None:
        self.level, self.order = level, order
        self.entries: dict[int, Entry] = {}
        self.passed: set[int] = set()  # trials that went on from here
        self._keys: dict[int, Key] = {}
        self._order: list[Key] = []
        self._ready: list[tuple[Key, int]] = []
        self._several = False
        self._stale = False

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, trial: int) -> bool:
        return trial in self.entries

    def add(self, trial: int, values: tuple[float, ...], violation: float) -> None:
        """Take a trial's result in; each trial counts once."""
        entry = Entry(trial, values, violation, len(self.entries))
        self.entries[trial] = entry
        if len(values) > 1:
            self._several = self._stale = True
            self._keys[trial] = ()
            return
        key = (violation, values[0], float(entry.arrival))
        self._keys[trial] = key
        insort(self._order, key)

    def better(self, trial: int) -> int:
        """How many results are strictly better than a trial's (equal ones are not)."""
        self._sort()
        return bisect_left(self._order, self._keys[trial][:-1])

    def place(self, trial: int) -> int:
        """Position of a trial in the order, from 0; equal results in order of arrival."""
        self._sort()
        return bisect_left(self._order, self._keys[trial])

    def merit(self, trial: int) -> tuple[float, float]:
        """A trial's total violation and its value, or with several objectives its front: less is better."""
        self._sort()
        violation, value = self._keys[trial][:2]
        return violation, value

    def open(self, trial: int) -> None:
        """A trial is at rest here and may go on."""
        self._sort()
        item = (self._keys[trial], trial)
        if trial not in self.passed and not self._is_open(item):
            insort(self._ready, item)

    def close(self, trial: int) -> None:
        """A trial may not go on from here (it has, or it cannot)."""
        self._sort()
        item = (self._keys[trial], trial)
        if self._is_open(item):
            del self._ready[bisect_left(self._ready, item)]

    def is_open(self, trial: int) -> bool:
        """Whether a trial is at rest here and may go on."""
        if trial not in self.entries:
            return False
        self._sort()
        return self._is_open((self._keys[trial], trial))

    def best_open(self) -> int | None:
        """The best trial at rest here, None when there is none."""
        self._sort()
        return self._ready[0][1] if self._ready else None

    def ranked(self) -> list[Entry]:
        """All results, best first."""
        self._sort()
        return sorted(self.entries.values(), key=lambda entry: self._keys[entry.trial])

    def _is_open(self, item: tuple[Key, int]) -> bool:
        i = bisect_left(self._ready, item)
        return i < len(self._ready) and self._ready[i] == item

    def _sort(self) -> None:
        """Recompute the order; only several objectives need it."""
        if not self._stale:
            return
        self._stale = False
        keys = several_keys(list(self.entries.values()), self.order)
        self._keys = dict(zip(self.entries, keys, strict=True))
        self._order = sorted(self._keys.values())
        self._ready = sorted((self._keys[trial], trial) for _, trial in self._ready)


def several_keys(entries: Sequence[Entry], order: str = "crowding") -> list[Key]:
    """Sorting keys of results with several objectives.

    Args:
        entries: n results, in order of arrival.
        order: One of `ORDERS`.

    Returns:
        n tuples (violation, front, -crowding distance or place in the net, arrival).
    """
    front = np.zeros(len(entries), dtype=np.int64)
    within = np.zeros(len(entries))
    feasible = np.array([i for i, entry in enumerate(entries) if entry.violation == 0], dtype=np.int64)
    if len(feasible):
        values = np.array([entries[i].values for i in feasible])
        front[feasible] = fronts(values)
        if order == "crowding":
            within[feasible] = -crowding(values, front[feasible])
        else:
            for number in range(int(front.max()) + 1):
                chosen = front[feasible] == number
                within[feasible[chosen]] = net_places(values[chosen])
    return [
        (entry.violation, float(front[i]), float(within[i]), float(entry.arrival)) for i, entry in enumerate(entries)
    ]


def net_places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place of each point of a front in a greedy epsilon-net: every next point is the one farthest from all before it.

    The first is the best in the first objective (of several, the best in the next one). Distances are Euclidean, each
    objective in units of the front's range, so that units do not matter. Equal distances are decided by position;
    equal points share a place.

    Args:
        values: (n, m) points of one front, to be minimised.

    Returns:
        (n,) places, from 0.

    Source: Clarkson 2005, Nearest-Neighbor Searching and Metric Space Dimensions, the greedy permutation; used on
        fronts by Salinas et al. 2021 and Schmucker et al. 2021.
    Differs: the first point is not drawn; distances are scaled.
    Cost: O(n^2 m).
    """
    span = values.max(axis=0) - values.min(axis=0)
    points = (values - values.min(axis=0)) / np.where(span > 0, span, 1.0)
    places = np.full(len(points), -1.0)
    gap = np.full(len(points), math.inf)  # squared distance to the nearest point that has a place
    chosen = int(np.lexsort(values.T[::-1])[0])
    for place in range(len(points)):
        places[chosen] = place
        away = points - points[chosen]
        np.minimum(gap, np.einsum("ij,ij->i", away, away), out=gap)
        chosen = int(gap.argmax())
        if gap[chosen] == 0:
            break
    placed = np.flatnonzero(places >= 0)
    for i in np.flatnonzero(places < 0):  # what is left lies on points that have a place
        places[i] = places[placed[np.abs(points[placed] - points[i]).sum(axis=1).argmin()]]
    return places
