"""BOHB's model: kernel densities of good and bad trials at the highest resource that has enough of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.imports import later
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.searchers._base import Searcher
from luthier.searchers._latest import Record, merit
from luthier.searchers._population import Results, places, propose
from luthier.searchers._seen import Seen, draw, fresh
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array, Mask

special = later("scipy.special")

#: Least density, relative to the uniform one: beyond it a ratio means nothing.
LEAST = 1e-32


class Levels(Results):
    """The last record of each trial, and what was measured at each resource.

    Args:
        space: Where configurations come from.

    Attributes:
        at: Resource (infinite where there is none) to the place of a trial to its record there, in order of arrival.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.at: dict[float, dict[int, Record]] = {}

    def _level(self, trial: int, record: Record) -> bool:
        """Note a measurement at its resource; says whether anything changed."""
        if not record.values:
            return False
        held = self.at.setdefault(math.inf if record.resource is None else record.resource, {})
        place = self._places[trial]
        if held.get(place) == record:
            return False
        held[place] = record
        return True


class Density:
    """A product of kernels around each of some rows, with one bandwidth for each column.

    Numbers have normal kernels of the bandwidth 1.06 sd n^(-1 / (d + 4)), with the standard deviation of the n rows
    that have the column, and d the columns that a row has on average (the normal reference rule). Choices of K values
    have Aitchison and Aitken's kernel, 1 - h where they agree and h / (K - 1) elsewhere, with the same rule for h and
    at most (K - 1) / K, where it is uniform. They have no order: any two different ones are 1/K apart, as neighbours
    among numbers are, so their variance is (1 - sum of the squared shares) / (2 K^2). A column that a row lacks has the
    uniform kernel, and one that a candidate lacks counts as 1. Densities are relative to the uniform one.

    Args:
        space: What the columns hold.
        rows: (n, d) snapped rows, at least one.
        least: Least bandwidth, >= 1e-6.

    Attributes:
        width: (d,) bandwidths.

    Source: Falkner, Klein, Hutter 2018, section 3.2, after statsmodels' KDEMultivariate.
    Cost: O(n p) to make, O(m n p) time and O(m n) memory for m densities, in p = 3 times the numbers and 1 for each
        value of a choice.
    """

    def __init__(self, space: Space, rows: Array, *, least: float) -> None:
        self._rows, self._active = rows, space.active(rows)
        self._choices = places(space, ("choice",))
        self._numbers = np.setdiff1d(np.arange(space.dimensions), self._choices)
        self._known = np.array(space.levels, dtype=np.int64)[self._choices]
        self.width = self._bandwidths(least)
        self._right = self._terms()

    def _bandwidths(self, least: float) -> Array:
        counts = np.maximum(self._active.sum(axis=0), 1)
        dimensions = max(float(self._active.sum()) / len(self._rows), 1.0)
        mean = (self._rows * self._active).sum(axis=0) / counts
        sd = np.sqrt((((self._rows - mean) * self._active) ** 2).sum(axis=0) / counts)
        for place, known in zip(self._choices, self._known, strict=True):
            shares = (self._hot(self._rows, place, known) & self._active[:, [place]]).sum(axis=0) / counts[place]
            sd[place] = math.sqrt(max(1.0 - float(shares @ shares), 0.0) / 2.0) / known
        found = np.maximum(1.06 * sd * counts ** (-1.0 / (dimensions + 4.0)), least)
        found[self._choices] = np.minimum(found[self._choices], 1.0 - 1.0 / self._known)
        return np.asarray(found)

    def _terms(self) -> Array:
        """What `_features` is multiplied with: a number's x^2, x and 1, a choice's values; (p, n)."""
        at, on, width = self._rows[:, self._numbers], self._active[:, self._numbers], self.width[self._numbers]
        constant = -0.5 * (at / width) ** 2 - np.log(width * math.sqrt(2.0 * math.pi))
        parts = [on * (-0.5 / width**2), on * (at / width**2), on * constant]
        for place, known in zip(self._choices, self._known, strict=True):
            h = self.width[place]
            same, other = np.log(known * np.array([1.0 - h, h / max(known - 1, 1)]) + LEAST)
            parts.append(np.where(self._hot(self._rows, place, known), same, other) * self._active[:, [place]])
        return np.ascontiguousarray(np.concatenate(parts, axis=1).T)

    @staticmethod
    def _hot(rows: Array, place: int, known: int) -> Mask:
        """Which value of a choice each row has; (n, d) -> (n, K)."""
        return np.asarray((rows[:, [place]] * known).astype(np.intp) == np.arange(known))

    def _features(self, rows: Array, active: Mask) -> Array:
        at, on = rows[:, self._numbers], active[:, self._numbers]
        parts = [on * at**2, on * at, on]
        for place, known in zip(self._choices, self._known, strict=True):
            parts.append(self._hot(rows, place, known) & active[:, [place]])
        return np.concatenate(parts, axis=1)

    def log(self, rows: Array, active: Mask) -> Array:
        """Logarithm of the density relative to the uniform one.

        Args:
            rows: (m, d) in [0, 1].
            active: (m, d) which columns a row has.

        Returns:
            (m,), not below the logarithm of 1e-32.
        """
        logs = self._features(rows, active) @ self._right  # (m, n): every kernel at every row
        top = logs.max(axis=1)
        found = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
        return np.asarray(np.maximum(found, math.log(LEAST)))

    def draw(self, uniform: Array, factor: float, rng: np.random.Generator) -> Array:
        """Draws around randomly chosen rows, cut off at 0 and 1.

        Args:
            uniform: (m, d) draws from the space, taken where a row lacks a column, and where a choice leaves its own.
            factor: What the numbers' bandwidths are multiplied with.
            rng: Source of randomness.

        Returns:
            (m, d) in [0, 1].
        """
        numbers, choices = self._numbers, self._choices
        chosen = rng.integers(len(self._rows), size=len(uniform))
        at = rng.random(uniform.shape)
        own, found = self._rows[chosen], self._rows[chosen]
        width = self.width[numbers] * factor
        low, high = special.ndtr(-own[:, numbers] / width), special.ndtr((1.0 - own[:, numbers]) / width)
        found[:, numbers] = np.clip(
            own[:, numbers] + width * special.ndtri(low + at[:, numbers] * (high - low)), 0.0, 1.0
        )
        found[:, choices] = np.where(at[:, choices] < self.width[choices], uniform[:, choices], own[:, choices])
        return np.where(self._active[chosen], found, uniform)


class _Model(NamedTuple):
    """What was learnt.

    Args:
        level: Resource that it was learnt at.
        good: Density of the good trials.
        bad: That of the others.
        best: How many are good.
    """

    level: float
    good: Density
    bad: Density
    best: int


@register("searcher")
class Kde(Searcher):
    """Models good and bad configurations by two densities, as measured at one resource, and tries the highest ratio.

    1. The model learns from the highest resource at which enough trials were measured: d + 1 good and d + 1 bad ones,
       with d hyperparameters. The best 15 % are good, and at least d + 1. Without a fidelity there is one resource.
    2. Candidates are drawn from the good density with bandwidths three times as wide, and the one with the highest
       ratio of the densities is proposed. What was tried or is pending is left out.
    3. A third of the proposals are random: those that `random` makes under the same seed. So are all until there is a
       model.

    A trial counts at every resource that it reported, so reports at equal resources are needed. Failed and diverged
    trials are bad at every resource. With constraints, feasible trials come first, then infeasible ones by how much
    they violate; several objectives are ordered by non-dominated fronts, and by crowding inside a front. Only the order
    of values matters. A hyperparameter that is inactive has no part in a density.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        candidates: Configurations compared for each proposal (64: the paper's).
        share: Share of the trials that are good (0.15: the paper's).
        random: Share of the proposals that are random (1/3: the paper's; it keeps Hyperband's guarantee).
        factor: Of the bandwidths when candidates are drawn (3: the paper's).
        least: Least bandwidth, as a share of the range (1e-3: the paper's).

    Raises:
        ArgumentError: an option is out of range.

    Source: Falkner, Klein, Hutter 2018 (BOHB), section 3.2 and algorithm 2.
    Differs: the two sets never share a trial; ordinals count as numbers; values of a choice have no order, and lie K
        times nearer than the reference's numbers 0 .. K - 1, which leave most choices uniform (on a table of cells
        6.25 % error after 70 trials, 5.66 % so); candidates are cut off at the bounds, kernels are not; no
        configuration twice.
    Cost: O(n log n + n d) for a fit after something new was told; O(candidates n d) a proposal.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        candidates: int = 64,
        share: float = 0.15,
        random: float = 1 / 3,
        factor: float = 3.0,
        least: float = 1e-3,
    ) -> None:
        super().__init__(problem, seed=seed)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        check("share", share, above=0, below=1)
        check("random", random, at_least=0, at_most=1)
        check("factor", factor, above=0)
        check("least", least, at_least=1e-6, at_most=1)  # squares of what is narrower would lose their digits
        self._candidates, self._share, self._random = candidates, share, random
        self._factor, self._least = factor, least
        self._seen = Seen(problem)
        self._levels = Levels(problem.space)
        self._fitted: tuple[int, _Model | None] = (0, None)  # a cache, keyed by the number of changes

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; densities are fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._levels.add(observations)

    def diagnostics(self) -> dict[str, float | str]:
        """The resource `level` that is learnt from, and how many trials are `good` there: 0 without a model."""
        model = self._model()
        if model is None:
            return {"good": 0.0}
        level = {} if math.isinf(model.level) else {"level": model.level}
        return {"good": float(model.best), **level}

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return propose(n, k, self._seen.taken(pending), self._seen, self._one)

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k, 1)  # not `self.rng(k)`, which makes the random proposals
        model = self._model()
        if model is None or rng.random() < self._random:
            return draw(self._seen, taken, self.rng(k))
        uniform = self.space.warp(rng.random((self._candidates, self.space.dimensions)))
        rows = self.space.snap(model.good.draw(uniform, self._factor, rng))
        rows = fresh(self.space, rows[self.space.allowed(rows)], taken)
        if not len(rows):
            return draw(self._seen, taken, self.rng(k))
        active = self.space.active(rows)
        score = model.good.log(rows, active) - model.bad.log(rows, active)
        return self.space.decode(rows[np.argmax(score)][None])[0]

    def _model(self) -> _Model | None:
        """The model of what was told; None while there is too little to learn from."""
        changes = self._levels.changes
        if self._fitted[0] != changes:
            self._fitted = (changes, self._fit())
        return self._fitted[1]

    def _fit(self) -> _Model | None:
        least = self.space.dimensions + 1
        told = self._levels.records
        failed = [place for place, record in enumerate(told) if not record.values]
        for level in sorted(self._levels.at, reverse=True):
            held = [(place, record) for place, record in self._levels.at[level].items() if told[place].values]
            if self.space.dimensions and len(held) >= least and len(held) + len(failed) >= 2 * least:
                break
        else:
            return None
        order = np.argsort(merit([record for _, record in held]), kind="stable")
        ranked = [held[i][0] for i in order] + failed
        count = min(max(math.ceil(self._share * len(ranked)), least), len(held))
        rows = self._levels.between(0, len(told))
        good, bad = (Density(self.space, rows[part], least=self._least) for part in (ranked[:count], ranked[count:]))
        return _Model(level, good, bad, count)
