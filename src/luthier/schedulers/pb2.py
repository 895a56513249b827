"""Population-based bandits: as population-based training, with the copies' numbers chosen by a time-varying GP."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.models.drifting_gp import DriftingGP
from luthier.schedulers._members import Member
from luthier.schedulers.pbt import Pbt
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Score of snapped rows; (m, d) -> (m,).
Bound = Callable[[Array], Array]
#: Newest increments that the process is fitted to. A population of 16 makes at most 16 in an interval: these span
#: sixteen intervals, and what lies further back is all but forgotten; a fit to 250 takes 0.1 to 0.2 s.
WINDOW = 250
FEWEST = 4  # increments below which copies are explored as by `pbt`: as many as the process has parameters
CANDIDATES, ELITE, CHILDREN = 500, 5, 40
STEPS = (0.1, 0.03, 0.01)  # standard deviations of moves in the unit cube, round by round


@dataclass(frozen=True, slots=True)
class _Increment:
    """What an interval brought.

    Args:
        at: Resource at its end.
        trial: Who trained.
        config: With which configuration.
        gains: Decrease of each objective per `every`, and with constraints of the violation; None where the
            training broke.
    """

    at: float
    trial: int
    config: Configuration
    gains: tuple[float, ...] | None


@register("scheduler")
class Pb2(Pbt):
    """Population-based training whose copies explore by a model rather than by random factors.

    Who is replaced by a copy of whom, and when, is decided as by `pbt`. The copy's numbers and ordinals are those of
    the highest upper confidence bound on what the next interval will bring: a Gaussian process of the objectives'
    decrease over one interval, by configuration and time, whose kernel is a squared exponential times
    (1 - epsilon)^(|t - t'| / 2), so that old intervals count ever less. Where other members train already, the bound
    is narrower (the variance alone is told of them), so that copies made together differ. Choices are drawn anew, as
    by `pbt`; the process does not see them. Hyperparameters that become active are chosen with the others.

    Before four increments are known, copies are explored as by `pbt`. With several objectives the mean of their
    standardised decreases counts; with constraints the decrease of the violation is one of them.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes the first population.
        seed: Decides who is copied, and the search for the highest bound, >= 0.
        population: Members, >= 2 (8: the model needs fewer than `pbt`; the paper's smallest population is 4).
        every: Resource between two decisions of a member; None: a tenth of the full resource, at least its lowest.
        quantile: Share of members that count as best and as worst, in (0, 0.5] (0.25: the paper's).
        resample: Of the copies explored as by `pbt`.
        factors: Of the copies explored as by `pbt`.
        synchronous: Whether all wait for each other.

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Parker-Holder, Nguyen, Roberts 2020, Provably Efficient Online Hyperparameter Optimization with
        Population-Based Bandits; Desautels, Krause, Burdick 2014 for copies made together.
    Differs: beta is 0.2 p log(2 n), as in Kandasamy, Schneider, Poczos 2015 (the theory's constant explores far more);
        priors on the kernel's parameters; the newest 250 increments; an interval that is longer or shorter counts by
        its length.
    Cost: a clone O(w^3) for the fit to w <= 250 increments and O(w^2) for each of 1100 candidates: 0.03 s at 50, 0.2 s
        at 250.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        population: int = 8,
        every: float | None = None,
        quantile: float = 0.25,
        resample: float = 0.25,
        factors: Sequence[float] = (0.8, 1.2),
        synchronous: bool = False,
    ) -> None:
        super().__init__(
            problem,
            searcher,
            seed=seed,
            population=population,
            every=every,
            quantile=quantile,
            resample=resample,
            factors=factors,
            synchronous=synchronous,
        )
        self._increments: list[_Increment] = []
        self._fitted: tuple[tuple[float, ...], DriftingGP] | None = None  # a cache
        self._choices = np.array([kind == "choice" for kind in problem.space.kinds], dtype=bool)

    def _learn(self, member: Member) -> None:
        base = member.base
        if base is None or member.resource <= base.resource:
            return
        scale = self.every / (member.resource - base.resource)
        gains = [(old - new) * scale for old, new in zip(base.values, member.values, strict=True)]
        if self.problem.constraints:
            gains.append((base.violation - member.violation) * scale)
        self._increments.append(_Increment(member.resource, member.trial, member.config, tuple(gains)))

    def _fell(self, member: Member) -> None:
        at = min(member.judged + self.every, self._high) if member.until is None else member.until
        self._increments.append(_Increment(at, member.trial, member.config, None))

    def _explored(self, parent: Member, at: float, rng: np.random.Generator) -> Configuration:
        space = self.problem.space
        known = sorted(self._increments, key=lambda one: (one.at, one.trial))
        if self.synchronous:  # clones of this decision may have reported while others waited for a worker
            known = [one for one in known if one.at <= at * (1 + 1e-9)]
        known = known[-WINDOW:]
        rows, active = space.encode([parent.config])
        fresh = space.warp(rng.random((1, space.dimensions)))
        row = space.snap(np.where(active & ~self._choices, rows, fresh))[0]
        free = space.active(row[None])[0] & ~self._choices
        if sum(one.gains is not None for one in known) < FEWEST or not free.any():
            return super()._explored(parent, at, rng)
        process = self._process(known)
        others, now = self._pending(), at / self.every + 1.0
        widths = process.with_pending(others, np.full(len(others), now))
        kappa = math.sqrt(0.2 * int(free.sum()) * math.log(2.0 * len(known)))

        def bound(candidates: Array) -> Array:
            X, t = candidates[:, ~self._choices], np.full(len(candidates), now)
            return process.mean(X, t) + kappa * widths.sd(X, t)

        best = self._highest(bound, row, free, rng)
        return super()._explored(parent, at, rng) if best is None else space.decode(best[None])[0]

    def _process(self, known: list[_Increment]) -> DriftingGP:
        """The process of what an interval brings, fitted; clones that are made together share it."""
        key = (known[0].at, known[0].trial, len(self._increments), len(known))
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, self._fit(known)
        return self._fitted[1]

    def _fit(self, known: list[_Increment]) -> DriftingGP:
        X = self.problem.space.encode([one.config for one in known])[0][:, ~self._choices]
        told = np.array([one.gains for one in known if one.gains is not None])
        # what breaks a training is as bad as the worst interval yet
        gains = np.array([told.min(axis=0) if one.gains is None else one.gains for one in known])
        spread = gains.std(axis=0)
        y = ((gains - gains.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).mean(axis=1)
        return DriftingGP(X, np.array([one.at / self.every for one in known]), y / (y.std() or 1.0))

    def _pending(self) -> Array:
        """Configurations that others will train, or train already; (m, p)."""
        leaving = {vacancy.slot for vacancy in self._clones}
        members = self._crowd.alive()
        if self.synchronous:  # whoever stands at a place: how far it has come, or whether it has failed, is chance
            members = [m for m in self._crowd.places if m.slot not in leaving]
        if not members:
            return np.empty((0, int((~self._choices).sum())))
        return np.asarray(self.problem.space.encode([m.config for m in members])[0][:, ~self._choices])

    def _highest(self, bound: Bound, row: Array, free: Array, rng: np.random.Generator) -> Array | None:
        """The row of the highest bound, as `row` but for the columns `free`; None where all are forbidden."""
        space = self.problem.space
        candidates = np.repeat(row[None], CANDIDATES, axis=0)
        candidates[1:, free] = rng.random((CANDIDATES - 1, int(free.sum())))
        found, scores = np.empty((0, len(row))), np.empty(0)
        for step in (*STEPS, None):
            candidates = space.snap(candidates)
            candidates = candidates[space.allowed(candidates)]
            if len(candidates):
                found = np.concatenate([found, candidates])
                scores = np.concatenate([scores, bound(candidates)])
            if not len(found):
                return None
            order = np.argsort(-scores, kind="stable")[:ELITE]
            found, scores = found[order], scores[order]
            if step is None:
                break
            candidates = np.repeat(found, CHILDREN, axis=0)
            moves = rng.normal(0.0, step, (len(candidates), int(free.sum())))
            candidates[:, free] = np.clip(candidates[:, free] + moves, 0.0, 1.0)
        return np.asarray(found[0])
