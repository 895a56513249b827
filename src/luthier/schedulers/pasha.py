"""ASHA that begins with little resource, and grants more only while longer training changes the ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Decision, Report
from luthier.base.registry import register
from luthier.schedulers._rungs import Rung
from luthier.schedulers.asha import Asha
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

#: Percentile of the differences between noisy curves that counts as the noise; the paper's.
PERCENTILE = 90


@register("scheduler")
class Pasha(Asha):
    """Asynchronous successive halving (promotion type) whose top rung rises while the ranking there is unstable.

    At first the second rung is the top, and trials pause there for good. Whenever a trial reaches the top rung, those
    that stand there are ranked by their results at it and at the rung below. The rankings agree when at every place the
    two trials were alike at the lower rung: they differed by epsilon at most. If they do not agree, the top rises by
    one rung, up to the full resource. So a study may end without a trial at the full resource: its best trial is to
    be trained on, and is known for less.

    Epsilon, when not given, is the noise of the curves: of all pairs of curves that crossed and crossed back, the 90th
    percentile of their differences, each at the newest resource that both reported between the two top rungs. While no
    pair has done that, the last estimate counts, at first zero: the ranking must be exact.

    Equal results at the top rung contradict nothing. Infeasible results are alike. With several objectives the rung's
    fronts are ranked, and trials of one front are alike.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        eta: Reduction factor, a whole number >= 2 (3, as in the paper's experiments).
        grace: Resource of the first rung, in the unit of the fidelity; None: its lowest value.
        epsilon: How far two results may be apart and count as alike, >= 0, in the unit of the objective; None:
            estimated.

    Raises:
        ArgumentError: no fidelity, an argument out of range, or an epsilon for several objectives.

    Source: Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella 2023, PASHA: Efficient HPO and NAS with Progressive
        Resource Allocation.
    Differs: rankings are compared when a trial reaches the top rung, not at every report; ties; several objectives and
        constraints; the rules of `asha`.
    Cost: that of `asha`, and where rankings differ O(m^2 e) for m curves that reached beyond the rung below the top,
        with e resources each.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        eta: int = 3,
        grace: float | None = None,
        epsilon: float | None = None,
    ) -> None:
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace, type="promotion")
        if epsilon is not None:
            check("epsilon", epsilon, at_least=0)
            if len(problem.objectives) > 1:
                raise ArgumentError(
                    f"epsilon={epsilon!r} with {len(problem.objectives)} objectives. Allowed: None; with several "
                    "objectives the trials of one front are alike."
                )
        self._top = min(1, len(self.levels) - 1)
        self._estimates = epsilon is None and len(problem.objectives) == 1
        self._epsilon = 0.0 if epsilon is None else float(epsilon)
        self._curves: dict[int, dict[float, float]] = {}  # trial -> resource -> value, to be minimised

    @property
    def top(self) -> float:
        """Resource of the rung that trials may be promoted to at present."""
        return self.levels[self._top]

    def on_report(self, report: Report) -> Decision:
        """Note the curve, then as `asha`."""
        if self._estimates and report.resource is not None and self.problem.usable(report.metrics):
            objective = self.problem.objectives[0]
            value = report.metrics[objective.name] * objective.sign
            self._curves.setdefault(report.trial, {}).setdefault(report.resource, value)
        return super().on_report(report)

    def _count(self, trial: int, resource: float) -> None:
        before = self._at.get(trial)
        super()._count(trial, resource)
        arrived = self._at.get(trial) == self._top != before
        if arrived and self._top < len(self.levels) - 1 and not self._stable():
            self._top += 1

    def _stable(self) -> bool:
        """Whether the two top rungs rank alike those that stand at both."""
        lower, upper = self._ladders[0][self._top - 1], self._ladders[0][self._top]
        if agree(lower, upper, self._epsilon if not self._estimates else 0.0):
            return True
        if not self._estimates:
            return False
        curves = [curve for curve in self._curves.values() if max(curve) > lower.level]
        found = noise(curves, lower.level, upper.level)
        self._epsilon = self._epsilon if found is None else found
        return agree(lower, upper, self._epsilon)


def agree(lower: Rung, upper: Rung, epsilon: float) -> bool:
    """Whether two rungs rank alike the trials that stand at both.

    At each place, the trial that the upper rung puts there and the one that the lower rung puts there must have been
    alike at the lower rung: both infeasible, or both feasible with values (fronts) at most epsilon apart.

    Args:
        lower: The rung with less resource.
        upper: The rung with more.
        epsilon: In the unit of the objective; 0 for several objectives.
    """
    common = [trial for trial in upper.entries if trial in lower]
    before = sorted(common, key=lower.place)
    after = sorted(common, key=lambda trial: (upper.merit(trial), lower.place(trial)))
    for old, new in zip(before, after, strict=True):
        (bad, value), (worse, other) = lower.merit(old), lower.merit(new)
        if (bad > 0) != (worse > 0) or (bad == 0 and abs(value - other) > epsilon):
            return False
    return True


def noise(curves: Sequence[Mapping[float, float]], low: float, high: float) -> float | None:
    """How far apart two curves are that cross and cross back.

    Args:
        curves: n curves, resource to value.
        low: Differences are taken beyond this resource.
        high: And up to this one; nothing later counts.

    Returns:
        90th percentile of the differences of all such pairs, each at the newest resource that both have, in the unit
        of the values; None when there is no such pair.

    Cost: O(n^2 e) time for e resources, O(n^2) memory.
    """
    n = len(curves)
    lead = np.zeros((n, n), dtype=np.int8)  # who was ahead when last they differed
    turns = np.zeros((n, n), dtype=np.int64)
    apart = np.full((n, n), math.nan)
    for resource in sorted({r for curve in curves for r in curve if r <= high * (1 + 1e-9)}):
        column = np.array([curve.get(resource, math.nan) for curve in curves])
        difference = column[:, None] - column[None, :]
        sign = np.nan_to_num(np.sign(difference)).astype(np.int8)
        turns += sign * lead < 0
        lead = np.where(sign != 0, sign, lead)
        if resource > low:
            apart = np.where(np.isnan(difference), apart, np.abs(difference))
    noisy = np.triu((turns >= 2) & ~np.isnan(apart), 1)
    return float(np.percentile(apart[noisy], PERCENTILE)) if noisy.any() else None
