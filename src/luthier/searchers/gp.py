"""Bayesian optimisation with an exact Gaussian process: few evaluations, smooth or noisy, several objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.pareto import nondominated, reference_point
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.models.acquisition import ehvi, log_ei, log_feasible
from luthier.models.gp import GP, condition
from luthier.models.warp import WARPS
from luthier.searchers._base import Searcher
from luthier.searchers._crash import Crash
from luthier.searchers._fantasies import Fantasies
from luthier.searchers._highest import trials_of
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._maximise import Score, maximise
from luthier.searchers._polish import polish
from luthier.searchers._scalarise import scalarise
from luthier.searchers._seen import Seen, draw, one_by_one, unreported
from luthier.searchers._surrogates import NOISY, Models, Surrogates
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

ACQUISITIONS = ("ei", "ucb", "ts")
NEAR = 10  # best configurations whose neighbourhoods are searched
FANTASIED = 200  # measured points that draws are made at; the best ones
FEWEST = 3  # of the trials with the lowest values, among which the best is believed to be
SAMPLED = 250  # measured points, the last ones, and as many random ones, at which Thompson sampling draws a function
SURE = 1e-3  # noise of what is believed of pending points, in units of a measurement's


@register("searcher")
class Gp(Searcher):
    """Models the metric by a Gaussian process and tries what promises the largest improvement.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. A process with a Matern-5/2 kernel and a length scale for each hyperparameter is fitted to the warped values.
       Choices differ or not; what is inactive is alike. Two priors take turns: length scales on their own, and length
       scales with a factor in common.
    3. The acquisition is maximised over random configurations and ever closer neighbours of the best, so no choice is
       relaxed; without noise the best few are then moved along the gradient of their continuous numbers.

    Noise may differ by place, as a line in the logarithm, where the evidence for it is strong.

    Acquisitions: "ei", the logarithm of the expected improvement, and where noise was found (or trials are pending) its
    mean over draws of the function at what is measured and pending; "ucb", the lower confidence bound; "ts", one draw
    of the function. Two objectives: the exact expected hypervolume improvement over the nadir of what was found and a
    tenth of its range, or the median of what was seen where that is worse; more: a random weighting for each
    proposal. To the acquisition, for "ei" a logarithm, the logarithms of two probabilities are added: that constraints
    hold, and that the program does not fail. While nothing is feasible, only they count.
    Several proposals at once are made one after the other, each pending for the next.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        acquisition: "ei", "ucb" or "ts".
        initial: Results before the model takes over; None: d + 1 for d hyperparameters, at least 5 and at most 8
            (10 were worse in 14 dimensions, 5 no better in fewer).
        warp: Scale of the values: "half-rank", "standard", "power" or "rank".
        candidates: Configurations compared before the search among neighbours (1000: as many cost some milliseconds).
        beta: Width of the confidence bound of "ucb", in standard deviations.
        fidelity: What is learnt from results at several resources: "highest" (default), those at the highest resource
            that has `initial` of them, or "last", the last of each trial (under asha, regret averaged over time
            on five development instances of lcbench 0.07, and 0.00 with "highest").

    Raises:
        ArgumentError: an option is out of range.

    Source: Jones, Schonlau, Welch 1998 (expected improvement); Ament et al. 2023 (its logarithm); Letham et al. 2019
        (noise); Gardner et al. 2014 (constraints); Hvarfner, Hellsten, Nardi 2024 (length scales).
    Differs: warped values, categories in the kernel, two priors in turns, zeroth-order search before the gradient.
    Cost: a fit of some 60 steps of O(n^3), twice that with noise, at every result up to 40 and at every twentieth more
        beyond; n is at most 200 there and 500 in the process itself. A proposal is O(candidates n^2).
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})
    _weighting = "chebyshev"  # of three objectives and more

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        acquisition: str = "ei",
        initial: int | None = None,
        warp: str = "half-rank",
        candidates: int = 1000,
        beta: float = 1.8,
        fidelity: str = "highest",
    ) -> None:
        super().__init__(problem, seed=seed)
        check("acquisition", acquisition, one_of=ACQUISITIONS)
        check("warp", warp, one_of=WARPS)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        check("beta", beta, above=0)
        if initial is not None:
            initial = check("initial", initial, at_least=1, whole=True)
        self._initial = initial or min(max(5, problem.space.dimensions + 1), 8)
        self._acquisition, self._candidates, self._beta = acquisition, candidates, beta
        self._features = KernelFeatures(problem.space)
        self._seen = Seen(problem)
        self._latest = trials_of(problem, fidelity, fewest=self._initial)
        self._crash = Crash(problem.space, seed=seed)
        self._surrogates = Surrogates(self._latest, self._features, seed=seed, warp=warp)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the process is fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._latest.add(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return one_by_one(self._one, n, k, pending)

    def _one(self, k: int, pending: list[Configuration]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        taken = self._seen.taken(pending)
        models = self._ready()
        if models is None:
            return draw(self._seen, taken, rng)
        waiting = self._features(unreported(self.space, pending, self._latest.rows()))
        score, process, best = self._score(models, waiting, k, rng)
        near = self._latest.best(NEAR)
        rows, scores = maximise(self._seen, taken, score, rng, near=near, candidates=self._candidates)
        if not len(rows):
            return draw(self._seen, taken, rng)
        if process is not None and self._features.smooth:
            rows = polish(self.space, self._features, process, best, rows, scores, taken)
        return self.space.decode(rows[:1])[0]

    def _ready(self) -> Models | None:
        """The processes; None while there is nothing to learn from."""
        snapshot = self._latest.snapshot
        if len(snapshot.records) < self._initial or not self.space.dimensions:
            return None
        return self._surrogates.now()

    def _score(
        self, models: Models, waiting: Array, k: int, rng: np.random.Generator
    ) -> tuple[Score, GP | None, float]:
        """What is maximised over rows; and the process and its yardstick where log EI has a gradient to follow."""
        if len(models.objectives) == 1:
            objective = models.objectives[0]
        elif self._exact(len(models.objectives)):
            return self._with_limits(models, self._volume(models, waiting)), None, 0.0
        else:
            objective = self._weighted(models, self.rng(k, 1))
        return self._single(models, objective, waiting, rng)

    def _exact(self, objectives: int) -> bool:
        """Whether the growth of the hypervolume is computed, in place of weighting the objectives."""
        return objectives == 2 and self._acquisition == "ei"

    def _single(
        self, models: Models, objective: GP, waiting: Array, rng: np.random.Generator
    ) -> tuple[Score, GP | None, float]:
        feasible = self._latest.snapshot.feasible[models.places]
        if not feasible.any():
            return self._with_limits(models, first_feasible(objective, waiting)), None, 0.0
        if self._acquisition == "ucb":
            known = believe(objective, waiting)
            return self._with_limits(models, lambda Z: lower_bound(known, Z, self._beta)), None, 0.0
        if self._acquisition == "ts":
            # one draw at many points; between them its mean given the draw
            more = self._features(self.space.sample_unit(SAMPLED, rng))
            path = Fantasies(believe(objective, waiting), np.concatenate([models.Z[-SAMPLED:], more]), rng, draws=1)
            return self._with_limits(models, lambda Z: -path.predict(Z)[0][:, 0]), None, 0.0
        if len(waiting) or objective.noise_share > NOISY:
            fantasies = self._fantasies(models, objective, feasible, waiting, rng)
            return self._with_limits(models, fantasies.log_ei), None, 0.0
        best = float(objective.y[feasible].min())
        free = not models.constraints and not self._latest.snapshot.failed.any()
        score = self._with_limits(models, lambda Z: log_ei(*objective.predict(Z), best))
        return score, objective if free else None, best

    def _fantasies(
        self, models: Models, objective: GP, feasible: Mask, waiting: Array, rng: np.random.Generator
    ) -> Fantasies:
        mean = objective.predict(models.Z)[0]
        kept = np.sort(np.argsort(np.where(feasible, mean, np.inf), kind="stable")[:FANTASIED])
        points = np.concatenate([models.Z[kept], waiting])
        counted = np.concatenate([feasible[kept], promising(models, waiting)])
        return Fantasies(objective, points, rng, counted=counted)

    def _volume(self, models: Models, waiting: Array) -> Score:
        """Logarithm of the expected hypervolume improvement of two objectives."""
        if not self._latest.snapshot.feasible[models.places].any():
            return first_feasible(models.objectives[0], waiting)
        known = [believe(process, waiting) for process in models.objectives]
        noisy = any(process.noise_share > NOISY for process in known)
        values = np.stack([process.predict(process.Z)[0] if noisy else process.y for process in known], axis=1)
        feasible = np.concatenate([self._latest.snapshot.feasible[models.places], promising(models, waiting)])
        seen = values[feasible]
        front = seen[nondominated(seen)]
        # a young front is short: beyond its ends counts what is better than half of what was seen
        reference = np.maximum(reference_point(front), np.median(seen, axis=0))

        def score(Z: Array) -> Array:
            predicted = [process.predict(Z) for process in known]
            mean, sd = (np.stack(parts, axis=1) for parts in zip(*predicted, strict=True))
            return np.log(ehvi(mean, sd, front, reference) + 1e-300)

        return score

    def _weighted(self, models: Models, rng: np.random.Generator) -> GP:
        """A process over the objectives, weighted at random."""
        values = np.stack([process.y for process in models.objectives], axis=1)
        return self._surrogates.fit(models.Z, scalarise(values, self._weighting, rng))

    def _with_limits(self, models: Models, score: Score) -> Score:
        """A score of features as one of rows, with the probabilities of feasibility and success."""

        def whole(rows: Array) -> Array:
            Z = self._features(rows)
            found = score(Z) + self._crash.log_success(self._latest, rows)
            if models.constraints:
                predicted = [process.predict(Z) for process in models.constraints]
                mean, sd = (np.stack(parts, axis=1) for parts in zip(*predicted, strict=True))
                found = found + log_feasible(mean, sd)
            return found

        return whole

    def recommend(self) -> int | None:
        """Where noise was found, the best posterior mean among the tenth of feasible trials with the lowest values.

        None where that is the lowest value itself. The mean alone trusts the model too much: on tables with recorded
        repetitions it chose worse than the lowest value did (normalised regret 0.092 against 0.077, 0.075 for this
        rule), on strong noise better (0.227, 0.263, 0.222); 40 and 8 runs of 50 trials on development tasks.
        """
        models = self._ready()
        if models is None or len(models.objectives) != 1:
            return None
        process = models.objectives[0]
        feasible = np.flatnonzero(self._latest.snapshot.feasible[models.places])
        if process.noise_share <= NOISY or not len(feasible):
            return None
        lowest = feasible[np.argsort(process.y[feasible], kind="stable")[: max(FEWEST, len(feasible) // 10)]]
        believed = int(np.argmin(process.predict(models.Z[lowest])[0]))
        return self._latest.trials()[int(models.places[lowest[believed]])] if believed else None

    def diagnostics(self) -> dict[str, float | str]:
        """Noise that was found, as a share of all variance, and the largest jitter that a factor needed."""
        models = self._ready()
        if models is None:
            return {}
        found: dict[str, float | str] = {}
        for objective, process in zip(self.problem.objectives, models.objectives, strict=True):
            hyper = process.hyper
            found[f"noise_share_{objective.name}"] = hyper.noise / (hyper.noise + hyper.signal)
        processes = (*models.objectives, *models.constraints)
        found["jitter"] = max(process.jitter for process in processes)
        return found


def believe(process: GP, waiting: Array) -> GP:
    """The process as if pending points had given their predicted means."""
    if not len(waiting):
        return process
    Z = np.concatenate([process.Z, waiting])
    y = np.concatenate([process.y, process.predict(waiting)[0]])
    weights = np.concatenate([process.weights, np.full(len(waiting), SURE)])
    return condition(Z, y, process.hyper, process.squares.categorical, weights)


def promising(models: Models, waiting: Array) -> Mask:
    """Which pending points the constraints' means allow; (q, p) -> (q,)."""
    found = np.ones(len(waiting), dtype=bool)
    for process in models.constraints if len(waiting) else ():
        found &= process.predict(waiting)[0] <= 0.0
    return found


def first_feasible(process: GP, waiting: Array) -> Score:
    """While nothing is feasible only that counts; pending points are kept apart by what is unknown beside them."""
    if not len(waiting):
        return lambda Z: np.zeros(len(Z))
    known = believe(process, waiting)
    return lambda Z: np.log(known.predict(Z)[1])


def lower_bound(process: GP, Z: Array, beta: float) -> Array:
    """Negative lower confidence bound; (m, p) -> (m,)."""
    mean, sd = process.predict(Z)
    return beta * sd - mean
