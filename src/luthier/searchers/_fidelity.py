"""What a model of finished trials learns from trials measured at several resources, behind one argument."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import NumericsWarning
from luthier.base.records import Fidelity, Observation
from luthier.searchers._highest import STEP, Highest, ranks, widened
from luthier.searchers._latest import Latest, Record, Snapshot, merit
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

Ints = NDArray[np.intp]

#: Ways to make one table of measurements at several resources; see `Aggregation`.
WAYS = ("last", "rank", "level", "mature", "rung", "highest")
#: The correlation is looked at between resources this far apart: the rungs of halving by three.
RUNG = 3.0
#: A running trial counts as mature from this quantile of all trials' last resources on: below the first rung of a
#: halving scheduler stand its few running trials, at it more than half of all.
MATURE = 0.25
#: Rank correlation below which lower resources mislead, and the shared trials from which on it is computed: 20, then
#: 40, 80, ..., so that there are few looks.
WEAK, SHARED = 0.3, 20
#: Standard normal quantile by which it must lie below: 95 %, one-sided.
SURE = 1.645


class Table(NamedTuple):
    """What a model learns from: m rows of features, each with a merit.

    Args:
        place: (m,) where each row's trial stands in the snapshot; for grouping rows of one trial.
        rows: (m, d) snapped rows.
        level: (m,) 0 at the full resource, larger at less.
        resource: (m,) logarithm of the resource, 0 at the lowest and 1 at the full one: a feature more when
            `feature` is true. Predict at 1.
        merit: (m,) less is better.
        weight: (m,) in (0, 1], how much a row counts.
        feature: Whether rows of several resources stand side by side.
        excess: (m,) how a row stands to the constraints, in [-1, 1]: feasible where <= 0. Each constraint's violations
            are replaced by their ranks on either side of 0, and the largest counts; a failure has 1. None unless asked
            for, and without constraints.
    """

    place: Ints
    rows: Array
    level: Ints
    resource: Array
    merit: Array
    weight: Array
    feature: bool
    excess: Array | None = None


class Aggregation:
    """Turns reports at several resources into a table for a model that knows only one.

    - "last": one row a trial, with its last value, whatever its resource. Halving stops weak trials early, so that
      their last value ranks them low.
    - "rank": one row a trial. Each of its values is replaced by its quantile among all values seen at the same level,
      and the mean of these is taken, weighted by resource. For metrics whose values at different resources cannot be
      compared; it is unkind to trials that had to compete with the survivors of several rungs.
    - "level": one row a measurement, with the resource as a feature; the model predicts at the full resource.
    - "mature": as "last", without trials that have neither ended nor reached the lower quartile of all trials' last
      resources: those look bad because they are young.
    - "highest": one row a trial, of those at the highest level that has `fewest` of them; see `_highest.Highest`.
    - "rung": one row a measurement, ranked among the values of its own level, weighted by resource, with the resource
      as a feature.

    Resources within a factor of 1.41 share a level, the full resource has its own; at each level a trial counts with
    its last value. In all of them feasible measurements come first and several objectives are ordered by fronts, as
    `merit` does. A trial that failed or diverged is the worst of all; where rows are measurements, that row stands at
    the full resource, which the trial cannot reach, beside what it reported before. Without a fidelity all are "last".

    When values at one rung say little about the next, one NumericsWarning says so: a Spearman correlation that is
    surely below 0.3, over 20 trials or more. Trials that survive a rung differ less than all that were there, which
    alone weakens the correlation among them; the comparison makes up for that.

    Args:
        problem: What is to be solved.
        way: One of `WAYS`.
        apart: Whether constraints are kept apart, for models of their own: `merit` then is that of the objectives.
        fewest: Results that "highest" wants at a level.

    Attributes:
        latest: What was told.

    Raises:
        ArgumentError: no such way.

    Source: "last": Salinas et al. 2023 (CQR); "rung": after Tiao et al. 2021 (BORE), who let one recurrent network
        classify all rungs.
    Differs: the others are our own.
    Cost: `table` O(m log m) for m rows; telling O(1), with "rank", "level" and "rung" O(m) for each change.
    """

    def __init__(self, problem: Problem, way: str = "last", *, apart: bool = False, fewest: int = 1) -> None:
        check("fidelity", way, one_of=WAYS)
        self.fidelity = problem.fidelity
        self.way = way if self.fidelity is not None else "last"
        self._apart, self._fewest = apart and bool(problem.constraints), fewest
        self.latest: Latest | Highest
        if self.way == "highest":
            self.latest = Highest(problem, fewest=fewest)
        else:
            self.latest = Latest(problem.space, levels=self.way in ("rank", "level", "rung"))
        self._over: dict[int, int] = {}  # trials that have ended, numbered; kept for "mature" alone
        self._ended = 0  # ... as many as had when the snapshot was taken, so that its number stands for the table
        self._trend = None if self.fidelity is None else _Trend(problem, self.fidelity)

    def add(self, observations: Sequence[Observation]) -> None:
        """Take over observations, in order."""
        if self._trend is not None:
            self._trend.add(observations)
        if self.way != "mature":
            self.latest.add(observations)
            return
        for one in observations:
            before = self.latest.snapshot
            self.latest.add([one])
            if one.status.ended:
                self._over.setdefault(one.trial, len(self._over))
            if self.latest.snapshot is not before:
                self._ended = len(self._over)

    @property
    def snapshot(self) -> Snapshot:
        """The trials now; equal numbers mean equal tables."""
        return self.latest.snapshot

    def table(self) -> Table:
        """What there is to learn from now; m = 0 rows when nothing was told.

        Warns:
            NumericsWarning: once, when lower resources mislead.
        """
        if self._trend is not None:
            self._trend.warn()
        if self.way in ("level", "rung"):
            return self._measurements()
        records = self.latest.snapshot.records
        place = np.arange(len(records))
        if self.way == "mature":
            place = place[self._mature()]
        found = [records[i] for i in place.tolist()]
        return self._table(place, found, self._ranks() if self.way == "rank" else self._merit(found))

    def _measurements(self) -> Table:
        place, records = self._at_levels()
        level = self._level(self._resources(records))
        return self._table(
            place, records, self._merit(records) if self.way == "level" else self._within(records, level)
        )

    def _table(self, place: Ints, records: list[Record], merits: Array) -> Table:
        resource = self._resources(records)
        return Table(
            place,
            self.latest.rows()[place],
            self._level(resource),
            self._scaled(resource),
            merits,
            resource / self._full if self.way == "rung" else np.ones(len(place)),
            self.way in ("level", "rung"),
            _excess(records) if self._apart else None,
        )

    def _merit(self, records: list[Record]) -> Array:
        return merit([record._replace(violations=()) for record in records] if self._apart else records)

    def _at_levels(self) -> tuple[Ints, list[Record]]:
        """One record for each trial and level, its last one there, in the order of first arrival.

        Failures count only while they are the trial's present state: a run that was repeated may have gone well.
        """
        snapshot = self.latest.snapshot
        found = [one for one in snapshot.levels if one.record.values or not snapshot.records[one.place].values]
        level = self._level(self._resources([one.record for one in found]))
        kept: dict[tuple[int, int], Record] = {}
        for one, at in zip(found, level.tolist(), strict=True):
            old = kept.get((one.place, at))
            if old is None or not one.record.values or (old.values and self._later(one.record, old)):
                kept[one.place, at] = one.record
        return np.array([place for place, _ in kept], dtype=np.intp), list(kept.values())

    def _later(self, record: Record, old: Record) -> bool:
        new, before = self._resources([record, old])
        return bool(new >= before)

    def _ranks(self) -> Array:
        """For each trial the mean of its quantiles at all its levels, weighted by resource; failed ones have 1."""
        place, records = self._at_levels()
        resource = self._resources(records)
        quantile = self._within(records, self._level(resource))
        count = len(self.latest.snapshot.records)
        total = np.bincount(place, weights=resource, minlength=count)
        found: Array = np.bincount(place, weights=resource * quantile, minlength=count) / total
        found[self.latest.snapshot.failed] = 1.0
        return found

    def _within(self, records: list[Record], level: Ints) -> Array:
        """Quantile of each record among those of its own level, in (0, 1); equal ones share it, failures have 1."""
        found = np.ones(len(records))
        for at in np.unique(level):
            here = np.flatnonzero(level == at)
            found[here] = (ranks(self._merit([records[i] for i in here.tolist()])) - 0.5) / len(here)
        found[[not record.values for record in records]] = 1.0
        return found

    def _mature(self) -> Mask:
        snapshot = self.latest.snapshot
        failed, resource = snapshot.failed, self._resources(snapshot.records)
        trials = self.latest.trials()[: len(failed)]
        over = np.array([self._over.get(trial, self._ended) < self._ended for trial in trials], dtype=bool)
        if failed.all():
            return failed
        found: Mask = failed | over | (resource >= np.quantile(resource[~failed], MATURE, method="lower"))
        return found

    # -- resources --

    @property
    def _full(self) -> float:
        return 1.0 if self.fidelity is None else float(self.fidelity.high)

    def _resources(self, records: Sequence[Record]) -> Array:
        """Where each record stands, (m,): failures at the full resource, as what has no resource and ran to its end."""
        found = [r.resource if r.values and r.resource is not None else self._full for r in records]
        clipped: Array = np.clip(np.array(found, dtype=float), self._low, self._full)
        return clipped

    @property
    def _low(self) -> float:
        return 1.0 if self.fidelity is None else float(self.fidelity.low)

    def _level(self, resource: Array) -> Ints:
        return np.ceil(np.log(self._full / resource) / math.log(STEP) - 1e-9).astype(np.intp)

    def _scaled(self, resource: Array) -> Array:
        if self._low == self._full:
            return np.ones(len(resource))
        found: Array = np.log(resource / self._low) / math.log(self._full / self._low)
        return found


def _excess(records: Sequence[Record]) -> Array:
    """See `Table`."""
    found = np.ones(len(records))
    good = np.flatnonzero([bool(record.values) for record in records])
    if len(good):
        amounts = np.array([records[i].violations for i in good.tolist()])
        standing = np.stack([ranks(np.abs(column)) for column in amounts.T], axis=1) / len(good)
        found[good] = (np.sign(amounts) * standing).max(axis=1)
    return found


class _Trend:
    """Watches whether values at one rung say something about the next; warns once when they do not."""

    def __init__(self, problem: Problem, fidelity: Fidelity) -> None:
        self._objectives = [objective.name for objective in problem.objectives]
        self._fidelity = fidelity
        self._seen: dict[int, dict[int, tuple[float, tuple[float, ...]]]] = {}  # trial -> rung -> resource and values
        self._shared: dict[tuple[int, int], list[int]] = {}  # lower and higher rung -> trials that were at both
        self._next: dict[tuple[int, int], int] = {}  # shared trials at which it is looked at again
        self._warned = False

    def add(self, observations: Sequence[Observation]) -> None:
        for one in observations:
            if one.resource is None or not one.values or not all(map(math.isfinite, one.values)):
                continue
            at = min(max(one.resource, self._fidelity.low), self._fidelity.high)
            rung = math.ceil(math.log(self._fidelity.high / at, RUNG) - 1e-9)
            seen = self._seen.setdefault(one.trial, {})
            if rung in seen:
                continue
            if rung + 1 in seen:
                self._shared.setdefault((rung + 1, rung), []).append(one.trial)
            seen[rung] = (one.resource, one.values)

    def warn(self) -> None:
        """Look at the rungs at which enough has come together since the last time."""
        for pair, trials in self._shared.items():
            if self._warned or len(trials) < self._next.get(pair, SHARED):
                continue
            self._next[pair] = 2 * len(trials)
            self._look(pair, trials)

    def _look(self, pair: tuple[int, int], trials: list[int]) -> None:
        everywhere = [trial for trial, seen in self._seen.items() if pair[0] in seen]
        survived = np.isin(everywhere, trials)
        below, above = ([self._seen[trial][rung] for trial in sorted(trials, key=everywhere.index)] for rung in pair)
        for i, objective in enumerate(self._objectives):
            start = ranks(np.array([self._seen[trial][pair[0]][1][i] for trial in everywhere]))
            found, most = _correlation(start, survived, np.array([values[i] for _, values in above]))
            if most < WEAK:
                self._warned, name = True, self._fidelity.name
                low, high = (float(np.median([resource for resource, _ in side])) for side in (below, above))
                warnings.warn(
                    f"{objective!r} at {name} {low:g} says little about {name} {high:g}: rank correlation "
                    f"{found:.2f} over {len(trials)} trials. Trials that were stopped early mislead the search. Let "
                    "trials run longer before they are judged (the scheduler's grace), or use no early stopping.",
                    NumericsWarning,
                    stacklevel=2,
                )
                return


def _correlation(start: Array, survived: Mask, end: Array) -> tuple[float, float]:
    """Spearman's correlation among survivors, and the most that it may be among all.

    Args:
        start: (n,) ranks of all values at the lower rung.
        survived: (n,) which trials went on.
        end: (k,) their values at the higher rung, in the same order.

    Returns:
        The correlation; and its upper 95 % bound (Fisher's z), corrected for the narrower spread of the survivors
        (Thorndike's case 2). Both are 1 where one side is constant.
    """
    a, b = ranks(start[survived]), ranks(end)
    if a.std() == 0.0 or b.std() == 0.0:
        return 1.0, 1.0
    found = float(np.corrcoef(a, b)[0, 1])
    most = math.tanh(math.atanh(min(max(found, -0.999), 0.999)) + SURE / math.sqrt(len(a) - 3))
    return found, widened(most, start, start[survived])
