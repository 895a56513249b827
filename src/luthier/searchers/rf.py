"""Bayesian optimisation with a random forest, as SMAC does it: at home in mixed and conditional spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.pareto import nondominated, reference_point
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.acquisition import ehvi, log_ei, log_feasible
from luthier.models.quantile import normal_scores
from luthier.models.regression_forest import RegressionForest, fit_forest, roughness
from luthier.searchers._base import Searcher
from luthier.searchers._crash import Crash
from luthier.searchers._features import Features
from luthier.searchers._highest import trials_of
from luthier.searchers._maximise import Score, maximise
from luthier.searchers._scalarise import chebyshev
from luthier.searchers._seen import Seen, draw, one_by_one, unreported
from luthier.searchers._surrogates import signed
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

ACQUISITIONS = ("ei", "ucb", "ts")
NEAR = 10  # best configurations whose neighbourhoods are searched
#: Results from which noise is judged; the noise from which on trials are recommended by a mean; points in a leaf of the
#: forest that gives it. After 50 and 100 results seven development tasks without noise were never found noisy (the most
#: was 0.29), eight with noise in 70 of 96 runs. There the recommended trial had a mean regret of 0.215 and 0.180, the
#: one with the lowest value 0.222 and 0.181.
MEASURED, NOISY, LARGER = 40, 0.3, 3
LEAST = 1e-300  # added to an expected hypervolume, so that its logarithm is finite
_FOREST = 2  # coordinate of the first forest's generator; `Crash` has 1


class _Known(NamedTuple):
    """What is known at one moment, from trials that gave a result, and believed of pending ones.

    Args:
        X: (n, p) features.
        scores: (n, m) normal scores of each objective's values.
        feasible: (n,) which trials are; pending ones do not count.
        values: One forest an objective, on the scores.
        limits: One forest a constraint, on violations that are feasible where <= 0.
    """

    X: Array
    scores: Array
    feasible: Mask
    values: tuple[RegressionForest, ...]
    limits: tuple[RegressionForest, ...]


@register("searcher")
class Rf(Searcher):
    """Predicts the metric by a forest of randomised trees, and tries what promises the largest improvement.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. A forest is grown on the normal scores of the values' ranks. Its mean is that of the trees; its variance that of
       the trees' means, plus the variance inside leaves. Every tree goes through every point, so the variance is least
       where something was measured.
    3. The acquisition is maximised over random configurations and ever closer neighbours of the best.

    Acquisitions: "ei", the logarithm of the expected improvement (of two objectives: of the hypervolume, exact; of
    more: of a random weighting, a new one for each proposal); "ucb", the mean less `beta` standard deviations; "ts",
    Thompson sampling: the minimum of a function drawn for each proposal. Constraints have forests of their own, and
    multiply the expected improvement by the probability that they hold; from "ucb" and "ts", whose unit is a standard
    deviation, its negative logarithm is subtracted. Before anything feasible was found that probability alone is
    maximised. Trials that failed teach a model of where configurations crash, and nothing else. Pending configurations
    are believed to give what the forest predicts there, so that nothing is to be gained near them.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        acquisition: "ei", "ucb" or "ts".
        initial: Results before the model takes over (5: as the other models of this package).
        trees: Trees of the forest (64: as in `cqr`; SMAC has 10).
        leaf: Fewest points in a leaf (1: with 3 the regret on the development tasks was higher, 0.19 against 0.13 after
            50 results).
        candidates: Configurations compared before the search among neighbours (1000: with the neighbours, as many as
            `cqr` compares).
        beta: Width of the confidence bound of "ucb", in standard deviations (1: a wider one was no better on two toys).
        explore: Share of proposals that are random draws: trees cannot say what lies beyond what they saw (0.1: regret
            0.106 on the development tasks after 50 results, 0.127 with none and 0.111 with 0.2, which SMAC has).
        fidelity: What is learnt from results at several resources: "highest" (default), those at the highest resource
            that has `initial` of them, or "last", the last of each trial (behind for the other models).

    Raises:
        ArgumentError: an option is out of range.

    Source: Hutter, Hoos, Leyton-Brown 2011 (SMAC); Ament et al. 2023 (log EI); Gardner et al. 2014
        (constraints).
    Differs: random thresholds and no bootstrap; ranks instead of logarithms; all neighbourhoods of the best ten are
        searched at once.
    Cost: a fit O(trees s p log s) for each objective and constraint, with s = min(n, 256) points a tree and p features,
        when something new was told, and again for each pending set; a proposal scores some 2000 configurations, each
        O(trees log s).
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        acquisition: str = "ei",
        initial: int = 5,
        trees: int = 64,
        leaf: int = 1,
        candidates: int = 1000,
        beta: float = 1.0,
        explore: float = 0.1,
        fidelity: str = "highest",
    ) -> None:
        super().__init__(problem, seed=seed)
        check("acquisition", acquisition, one_of=ACQUISITIONS)
        initial = check("initial", initial, at_least=1, whole=True)
        trees = check("trees", trees, at_least=1, whole=True)
        leaf = check("leaf", leaf, at_least=1, whole=True)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        check("beta", beta, at_least=0)
        check("explore", explore, at_least=0, at_most=1)
        self._acquisition, self._initial, self._beta, self._explore = acquisition, initial, beta, explore
        self._trees, self._leaf, self._candidates = trees, leaf, candidates
        self._features = Features(problem.space)
        self._seen = Seen(problem)
        self._latest = trials_of(problem, fidelity, fewest=self._initial)
        self._crash = Crash(problem.space, seed=seed)
        # caches, keyed by the snapshot's number
        self._fitted: tuple[int, _Known | None] = (0, None)
        self._smoothed: tuple[int, Array, float] = (0, np.empty(0), 0.0)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the forest is grown when the next proposal is asked for."""
        self._seen.add(observations)
        self._latest.add(observations)

    def recommend(self) -> int | None:
        """The feasible trial with the lowest mean of a smoother forest, where values are noisy; else None.

        Noisy is what `diagnostics` gives a noise above 0.3, of one objective, from 40 results on: fewer lie too far
        apart to tell noise from slope.
        """
        known = self._now()
        if known is None or len(known.X) < MEASURED or known.scores.shape[1] > 1 or not known.feasible.any():
            return None
        mean, noise = self._smooth(known)
        if noise <= NOISY:
            return None
        place = int(np.argmin(np.where(known.feasible, mean, np.inf)))
        return self._latest.trials()[int(np.flatnonzero(~self._latest.snapshot.failed)[place])]

    def diagnostics(self) -> dict[str, float | str]:
        """Standard deviation of a value, found between neighbours, as a share of the better half's range.

        Near 0 without noise, once a search has come close to where it ends; given for one objective, from 40 results.
        """
        known = self._now()
        if known is None or len(known.X) < MEASURED or known.scores.shape[1] > 1:
            return {}
        return {"noise": self._smooth(known)[1]}

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return one_by_one(self._one, n, k, pending)

    def _one(self, k: int, waiting: list[Configuration]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        taken = self._seen.taken(waiting)
        known = self._now()
        if known is None or self.rng(k, 2).random() < self._explore:
            return draw(self._seen, taken, rng)
        silent = unreported(self.space, waiting, self._latest.rows())
        if len(silent):
            known = self._believe(known, self._features(silent))
        score = self._score(known, self.rng(k, 1))
        near = self._latest.best(NEAR)
        rows, _ = maximise(self._seen, taken, score, rng, near=near, candidates=self._candidates)
        return self.space.decode(rows[:1])[0] if len(rows) else draw(self._seen, taken, rng)

    # -- the model --

    def _now(self) -> _Known | None:
        """What the present snapshot says; None while there is nothing to learn from."""
        snapshot = self._latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._fit())
        return self._fitted[1]

    def _fit(self) -> _Known | None:
        snapshot = self._latest.snapshot
        good = ~snapshot.failed
        if len(good) < self._initial or not good.any() or not self.space.dimensions:
            return None
        X = self._features(self._latest.rows()[good])
        scores = np.stack([normal_scores(column) for column in snapshot.values()[good].T], axis=1)
        limits = [signed(column) for column in snapshot.violations()[good].T]
        first = _FOREST + scores.shape[1]
        return _Known(
            X,
            scores,
            snapshot.feasible[good],
            self._forests(X, scores),
            tuple(self._grow(X, column, first + i) for i, column in enumerate(limits)),
        )

    def _believe(self, known: _Known, waiting: Array) -> _Known:
        """The same as if pending configurations had given their predicted means; (q, p) features."""
        means = np.stack([forest.predict(waiting)[0] for forest in known.values], axis=1)
        X = np.concatenate([known.X, waiting])
        scores = np.concatenate([known.scores, means])
        feasible = np.concatenate([known.feasible, np.zeros(len(waiting), dtype=bool)])
        return known._replace(X=X, scores=scores, feasible=feasible, values=self._forests(X, scores))

    def _forests(self, X: Array, scores: Array) -> tuple[RegressionForest, ...]:
        return tuple(self._grow(X, column, _FOREST + i) for i, column in enumerate(scores.T))

    def _grow(self, X: Array, y: Array, number: int) -> RegressionForest:
        rng = generator(self.seed, "model", self._latest.snapshot.number, number)
        return fit_forest(X, y, rng, trees=self._trees, leaf=self._leaf)

    def _smooth(self, known: _Known) -> tuple[Array, float]:
        """Means of a forest with larger leaves at all trials, (n,), and the noise; see `diagnostics`."""
        snapshot = self._latest.snapshot
        if self._smoothed[0] != snapshot.number:
            rng = generator(self.seed, "model", snapshot.number, 0)
            forest = fit_forest(known.X, known.scores[:, 0], rng, trees=2 * self._trees, leaf=LARGER)
            mean = forest.predict(known.X)[0]
            noise = roughness(known.X, snapshot.values()[~snapshot.failed, 0], mean)
            self._smoothed = (snapshot.number, mean, noise)
        return self._smoothed[1:]

    # -- the acquisition --

    def _score(self, known: _Known, rng: np.random.Generator) -> Score:
        """What is maximised over rows."""
        inner = self._objective(known, rng)

        def whole(rows: Array) -> Array:
            X = self._features(rows)
            found = inner(X) + self._crash.log_success(self._latest, rows)
            if known.limits:
                predicted = [forest.predict(X) for forest in known.limits]
                mean, sd = (np.stack(parts, axis=1) for parts in zip(*predicted, strict=True))
                found = found + log_feasible(mean, sd)
            return found

        return whole

    def _objective(self, known: _Known, rng: np.random.Generator) -> Callable[[Array], Array]:
        """The part of the score that the objectives decide, of features."""
        m = known.scores.shape[1]
        if not known.feasible.any():  # first of all something feasible is to be found
            return lambda X: np.zeros(len(X))
        if m == 2 and self._acquisition == "ei":
            return _volume(known)
        if m == 1:
            return self._single(known.values[0], known.scores[known.feasible, 0].min(), rng)
        weighted = chebyshev(known.scores, rng.dirichlet(np.ones(m)))
        return self._single(self._grow(known.X, weighted, _FOREST), weighted[known.feasible].min(), rng)

    def _single(self, forest: RegressionForest, best: float, rng: np.random.Generator) -> Callable[[Array], Array]:
        weights = rng.standard_normal(self._trees)

        def score(X: Array) -> Array:
            if self._acquisition == "ts":
                return -forest.draw(X, weights)
            mean, sd = forest.predict(X)
            return self._beta * sd - mean if self._acquisition == "ucb" else log_ei(mean, sd, best)

        return score


def _volume(known: _Known) -> Callable[[Array], Array]:
    """Logarithm of the expected hypervolume improvement of two objectives, of features."""
    front = known.scores[known.feasible]
    front = front[nondominated(front)]
    reference = reference_point(front)

    def score(X: Array) -> Array:
        predicted = [forest.predict(X) for forest in known.values]
        mean, sd = (np.stack(parts, axis=1) for parts in zip(*predicted, strict=True))
        found: Array = np.log(ehvi(mean, sd, front, reference) + LEAST)
        return found

    return score
