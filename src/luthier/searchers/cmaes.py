"""CMA-ES: a normal distribution that learns where and in which directions to search; for many cheap trials."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from luthier.base.checks import check
from luthier.base.imports import later
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.searchers._latest import merit
from luthier.searchers._population import Evolving, Fold, first_new, places, reflected
from luthier.searchers._seen import draw
from luthier.space.columns import Levelled, column
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array

special = later("scipy.special")

SIGMA = 0.3  # of the unit range: uniform draws have 0.289, so that random ones pass for the first generation
DRAWS = 8  # for a proposal, of which the first that is allowed and new counts
MORE = 4  # times as many are made, for those inside the range to come first: better than turning all of them back
SMALLEST = 1e-9  # standard deviation at which numbers have converged: far below what any metric can tell apart
CONDITION = 1e14  # of the covariance, beyond which its directions are rounding errors
FLAT = 10  # generations in a row without any difference before a restart, and 30 d / size more (convention)


@dataclass(frozen=True)
class Distribution:
    """What is known after a number of results.

    Args:
        used: Results worked in.
        generation: Generations since the start or the last restart.
        size: Results of a generation.
        mean: (p,) of the numeric columns, in the unit interval.
        sigma: Step size, in units of the unit interval.
        covariance: (p, p) of a step, without sigma.
        axes: (p, p) eigenvectors of the covariance.
        lengths: (p,) square roots of its eigenvalues.
        step_path: (p,) path that steers sigma.
        shape_path: (p,) path that stretches the covariance.
        shares: For each choice the probabilities of its levels.
        flat: Generations in a row whose results were all alike.
    """

    used: int
    generation: int
    size: int
    mean: Array
    sigma: float
    covariance: Array
    axes: Array
    lengths: Array
    step_path: Array
    shape_path: Array
    shares: tuple[Array, ...]
    flat: int = 0

    @property
    def spread(self) -> Array:
        """Standard deviation of each numeric column; (p,)."""
        spread: Array = self.sigma * np.sqrt(np.diag(self.covariance))
        return spread


@register("searcher")
class Cmaes(Evolving):
    """Draws from a normal distribution, and moves, turns and stretches it after every generation.

    1. The first generation consists of the draws that `random` makes under the same seed.
    2. A generation is the next `population` results, in the order in which trials first had one. Its better half, with
       weights that fall with the rank, moves the mean; the path of the mean steers the step size; the good steps
       stretch the covariance, the bad ones (negative weights) shrink it.
    3. A proposal is drawn from the newest distribution, inside the range if one of some draws is; else what leaves the
       range turns back at its bound.

    So nothing waits: with many workers some results of a generation were drawn from an earlier distribution, or were
    proposed by someone else. They count as what they are, steps from the present mean, shortened where they are longer
    than a drawn one could be.

    Whole numbers and ordinals are drawn with at least so much spread that one configuration a generation leaves its
    level. A choice has a probability for each level, pulled towards the shares of the good half. An inactive
    hyperparameter has no value: the distribution's own draw stands in, which teaches nothing. When the numbers have
    converged, a restart with the double population begins. An optimum in a corner is approached slowly: in eight
    dimensions to some hundredths of each range by 1000 trials.

    Only the order inside a generation counts. A trial counts with its last value; failed and diverged ones are last;
    with constraints feasible trials come first, then infeasible ones by how much they violate; with several objectives
    the front and the crowding inside the generation decide.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        population: Results of a generation, at least 4; None: 4 + floor(3 ln d) with d hyperparameters (convention).
        sigma: First step size, as a share of the unit range (0.3: see `SIGMA`).

    Raises:
        ArgumentError: an option is out of range.

    Source: Hansen 2016 (arXiv 1604.00772), figure 6, active CMA-ES; external steps: Hansen 2011; restarts: Auger and
        Hansen 2005; least spread of whole numbers: Hamano, Saito, Nomura, Shirakawa 2022; product with choices after
        Hamano et al. 2024 (CatCMA).
    Differs: generations by arrival; bounds as above; snapped steps; least spread without moving the mean; choices
        by smoothed shares in place of the natural gradient.
    Cost: O(d^3) a generation, O(d^2) a proposal.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(self, problem: Problem, *, seed: int, population: int | None = None, sigma: float = SIGMA) -> None:
        super().__init__(problem, seed=seed)
        if population is not None:
            population = check("population", population, at_least=4, whole=True)
        check("sigma", sigma, above=0)
        space = problem.space
        self._population = population or 4 + math.floor(3 * math.log(max(space.dimensions, 1)))
        self._sigma = float(sigma)
        self._numbers, self._choices = places(space, ("float", "int", "ordinal")), places(space, ("choice",))
        self._cells = Cells(space, self._numbers)
        self._fold = Fold(self._results, self._start(0, self._population), self._step)

    def diagnostics(self) -> dict[str, float | str]:
        """The `generation` since the last restart, its `population`, and the largest `spread` of a number in [0, 1]."""
        state = self._fold.state()
        return {
            "generation": float(state.generation),
            "population": float(state.size),
            "spread": float(state.spread.max(initial=0.0)),
        }

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        state = self._fold.state()
        if state.generation == 0 or not self.space.dimensions:
            return draw(self._seen, taken, rng)
        return first_new(self._seen, taken, self._drawn(state, DRAWS, rng), rng)

    def _drawn(self, state: Distribution, n: int, rng: np.random.Generator) -> Array:
        """Positions drawn from a distribution, those first that had the fewest columns outside the range; (n, d)."""
        rows = np.empty((n, self.space.dimensions))
        steps = rng.standard_normal((MORE * n, len(state.mean))) * state.lengths @ state.axes.T
        drawn = state.mean + state.sigma * self._stretch(state) * steps
        outside = ((drawn < 0.0) | (drawn > 1.0)).sum(axis=1)
        rows[:, self._numbers] = reflected(drawn[np.argsort(outside, kind="stable")[:n]])
        for at, shares in zip(self._choices, state.shares, strict=True):
            level = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
            rows[:, at] = (level + 0.5) / len(shares)
        return rows

    def _stretch(self, state: Distribution) -> Array:
        """How much more than its own spread each numeric column is drawn with, for its level to be left; (p,)."""
        least = self._cells.least_spread(state.mean, self._least(state.size))
        return np.maximum(1.0, least / np.maximum(state.spread, 1e-300))

    def _least(self, size: int) -> float:
        """Probability that a draw leaves its level in one column: about one a generation does in any."""
        return 1.0 / (size * self.space.dimensions)

    # -- the fold --

    def _start(self, used: int, size: int) -> Distribution:
        """The distribution before anything is known."""
        p = len(self._numbers)
        shares = tuple(np.full(self.space.levels[at], 1.0 / self.space.levels[at]) for at in self._choices)
        eye, zero = np.eye(p), np.zeros(p)
        return Distribution(used, 0, size, np.full(p, 0.5), self._sigma, eye, eye, zero + 1.0, zero, zero, shares)

    def _step(self, state: Distribution) -> Distribution | None:
        """Work in the next generation; None while it is not complete."""
        last = state.used + state.size
        if len(self._results.records) < last:
            return None
        rows = self._results.between(state.used, last)
        order = merit(self._results.records[state.used : last])
        rng = generator(self.seed, "model", last)
        drawn = self._drawn(state, len(rows), rng)
        rows = np.where(self.space.active(rows), rows, drawn)
        weights = _Weights(len(self._numbers), state.size)
        good, bad = weights.of(order)
        flat = state.flat + 1 if order.min() == order.max() else 0
        following = replace(state, used=last, generation=state.generation + 1, flat=flat)
        following = replace(following, shares=self._shares(state, rows, good, weights.mass))
        if len(self._numbers):
            following = self._moved(following, rows[:, self._numbers], good, bad, weights)
        return self._start(last, 2 * state.size) if self._spent(following) else following

    def _shares(self, state: Distribution, rows: Array, weights: Array, mass: float) -> tuple[Array, ...]:
        """Shares of levels among the good, smoothed by the old ones: the more choices share the credit, the more."""
        found = []
        for at, old in zip(self._choices, state.shares, strict=True):
            levels = len(old)
            seen = np.bincount((rows[:, at] * levels).astype(np.int64), weights, levels)
            weight = levels * len(self._choices)  # in results
            new = (weight * old + mass * seen) / (weight + mass)
            new = np.maximum(new, self._least(state.size) / max(levels - 1, 1))
            found.append(new / new.sum())
        return tuple(found)

    def _moved(self, state: Distribution, rows: Array, good: Array, bad: Array, w: _Weights) -> Distribution:
        """Mean, step size and covariance after a generation; `rows` holds the numeric columns, (size, p)."""
        p, stretch = len(state.mean), self._stretch(state)
        steps, whitened, norms = _steps(state, (rows - state.mean) / (state.sigma * stretch))
        move = good @ steps
        along = state.axes @ (good @ whitened)
        step_path = (1 - w.c_sigma) * state.step_path + math.sqrt(w.c_sigma * (2 - w.c_sigma) * w.mass) * along
        length = float(np.linalg.norm(step_path))
        begun = math.sqrt(1 - (1 - w.c_sigma) ** (2 * state.generation))
        calm = length / begun < (1.4 + 2 / (p + 1)) * w.expected
        shape_path = (1 - w.c_c) * state.shape_path + calm * math.sqrt(w.c_c * (2 - w.c_c) * w.mass) * move
        each = good + bad * p / np.maximum(norms, 1e-9) ** 2
        kept = 1 - w.c_1 - w.c_mu * (good + bad).sum() + (1 - calm) * w.c_1 * w.c_c * (2 - w.c_c)
        covariance = kept * state.covariance + w.c_1 * np.outer(shape_path, shape_path)
        covariance += w.c_mu * (steps * each[:, None]).T @ steps
        covariance = (covariance + covariance.T) / 2  # rounding must not make it lopsided
        values, axes = np.linalg.eigh(covariance)
        return replace(
            state,
            mean=np.clip(state.mean + state.sigma * stretch * move, 0.0, 1.0),
            sigma=state.sigma * math.exp(min(1.0, w.c_sigma / w.damping * (length / w.expected - 1))),
            covariance=covariance,
            axes=axes,
            lengths=np.sqrt(np.maximum(values, 0.0)),
            step_path=step_path,
            shape_path=shape_path,
        )

    def _spent(self, state: Distribution) -> bool:
        """Whether a restart is due."""
        if state.flat > FLAT + 30 * self.space.dimensions / state.size:
            return True
        if not len(state.mean):
            return False
        low, high = state.lengths.min(), state.lengths.max()
        if not math.isfinite(state.sigma) or low <= 0 or (high / low) ** 2 > CONDITION:
            return True
        smooth = state.spread[self._cells.smooth]
        return bool(len(smooth) and smooth.max() < SMALLEST)


def _steps(state: Distribution, steps: Array) -> tuple[Array, Array, Array]:
    """Steps no longer than drawn ones are, in the distribution's own coordinates too, and their lengths there.

    Args:
        state: The distribution.
        steps: (size, p) from its mean, in units of sigma.

    Returns:
        (size, p) steps, (size, p) whitened ones, (size,) lengths of these.
    """
    p = len(state.mean)
    whitened = steps @ state.axes / state.lengths
    norms = np.sqrt((whitened**2).sum(axis=1))
    shorter = np.minimum(1.0, (math.sqrt(p) + 2 * p / (p + 2)) / np.maximum(norms, 1e-300))
    return steps * shorter[:, None], whitened * shorter[:, None], norms * shorter


class _Weights:
    """Weights of ranks and rates of learning; see the tutorial named in `Cmaes`, table 1.

    Args:
        p: Dimensions of the normal distribution.
        size: Results of a generation.
    """

    def __init__(self, p: int, size: int) -> None:
        p = max(p, 1)
        raw = math.log((size + 1) / 2) - np.log(np.arange(1, size + 1))
        good, bad = raw[: size // 2], np.minimum(raw[size // 2 :], 0.0)
        self.mass = mass = float(good.sum() ** 2 / (good**2).sum())
        self.c_sigma = (mass + 2) / (p + mass + 5)
        self.damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (p + 1)) - 1) + self.c_sigma
        self.c_c = (4 + mass / p) / (p + 4 + 2 * mass / p)
        self.c_1 = 2 / ((p + 1.3) ** 2 + mass)
        self.c_mu = min(1 - self.c_1, 2 * (0.25 + mass + 1 / mass - 2) / ((p + 2) ** 2 + mass))
        self.expected = math.sqrt(p) * (1 - 1 / (4 * p) + 1 / (21 * p**2))  # length of a standard normal vector
        bad_mass = float(bad.sum() ** 2 / (bad**2).sum())
        most = min(
            1 + self.c_1 / self.c_mu, 1 + 2 * bad_mass / (mass + 2), (1 - self.c_1 - self.c_mu) / (p * self.c_mu)
        )
        self._good = np.concatenate([good / good.sum(), np.zeros(len(bad))])
        self._bad = np.concatenate([np.zeros(len(good)), most * bad / -bad.sum()])

    def of(self, order: Array) -> tuple[Array, Array]:
        """Weights of results by merit, (size,) each: of the good half, sum 1, and of the bad. Equal ones share."""
        _, group, counts = np.unique(order, return_inverse=True, return_counts=True)
        ranked = np.sort(group)
        good, bad = (np.bincount(ranked, part) / counts for part in (self._good, self._bad))
        return good[group], bad[group]


class Cells:
    """The intervals of the unit interval that levels own, for the numeric columns.

    Args:
        space: Where configurations come from.
        numbers: (p,) its numeric columns.

    Attributes:
        smooth: (p,) which are continuous.
    """

    def __init__(self, space: Space, numbers: Array) -> None:
        names = [space.columns[at] for at in numbers]
        columns = [column(space[name]) for name in names]
        self._levelled = {at: one for at, one in enumerate(columns) if isinstance(one, Levelled)}
        self.smooth = np.array([at not in self._levelled for at in range(len(names))], dtype=bool)

    def _bounds(self, one: Levelled, positions: Array) -> tuple[Array, Array]:
        """Lower and upper ends of the cells that positions lie in, half-way to the neighbours; (n,) each."""
        level = one.level_array(positions)
        codes = one.level_codes(np.stack([np.maximum(level - 1, 0), level, np.minimum(level + 1, one.levels - 1)]))
        low = np.where(level == 0, 0.0, (codes[0] + codes[1]) / 2)
        high = np.where(level == one.levels - 1, 1.0, (codes[1] + codes[2]) / 2)
        return low, high

    def least_spread(self, mean: Array, leave: float) -> Array:
        """Standard deviations that leave the mean's level with some probability; 0 for smooth columns. (p,)."""
        found = np.zeros(len(mean))
        for at, one in self._levelled.items():
            if one.levels > 1:
                low, high = self._bounds(one, mean[at : at + 1])
                found[at] = (high - low)[0] / 2 / -special.ndtri(leave / 2)
        return found
