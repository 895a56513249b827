"""regret: what is left to gain is bounded by less than the noise of the objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.space.problem import Problem
from luthier.stopping._model import ModelRule, number
from luthier.stopping._posterior import Posterior
from luthier.stopping._threshold import Threshold

BOUNDS = ("bands", "paths")
POINTS = ("all", "half")
DRAWS, LEVEL = 256, 0.9  # paths, and the quantile of what they leave to gain: 1 - delta of the paper
DELTA, DIVISOR = 0.1, 5.0  # of the paper's multiplier


@register("stopping")
class Regret(ModelRule):
    """Says that a study may end when further tuning would gain less than the objective is known to.

    A Gaussian process is fitted to the results. The bound is the lowest upper confidence bound among what was tried,
    less the lowest lower confidence bound anywhere; the threshold is the standard error of the objective at the best
    configurations. Once the bound is no larger, a further gain could not be told from luck. By default it only says
    so, and the study goes on; every check is in the log.

    The error comes from what the program reports: scores of folds, or the standard error of a hold-out split, or
    repetitions; else the user has to give it. A fold's scores enter as they are: report them on the scale of the
    metric.

    Args:
        advise: Say so and go on; False: end the study.
        bound: "bands", the pointwise confidence bands of the paper, or "paths", the 0.9 quantile of what the incumbent
            leaves to gain over 256 joint draws of the function.
        multiplier: Width of the bands in standard deviations (2: valid in nine of ten checks on known functions; at 1
            in seven), or "srinivas", the paper's sqrt(2 log(d n^2 pi^2 / 0.6) / 5).
        patience: Checks in a row that must find the bound below the threshold (2: one may be a fit gone wrong).
        first: Results before the first check; None: 20 or 2 d, whichever is more.
        share: Share of the trials' time that checks may take (0.02: nobody notices).
        points: "all" results, or the better "half", as Optuna and Syne Tune fit.
        threshold: Where the error comes from: "auto", "folds", "holdout", "repeats", "model".
        epsilon: The error itself, in units of the objective.
        relative: The error as a share of what the first 20 results differ by, median less best.
        pool: The error is the median over so many of the best configurations; 1: of the incumbent, as in the paper.
        divisor: "k-1" (unbiased) or "k" (Optuna's) in the variance of scores.
        folds: Folds of one cross-validation, where scores of several are reported; or the sizes of its folds.
        ratio: Test over training examples, where the scores come from random splits.
        examples: Examples of the hold-out split, where the objective is a share of errors.

    Raises:
        UnsupportedError: several objectives; use "plateau".

    Source: Makarova, Shen, Perrone, Klein, Faddoul, Krause, Seeger, Archambeau 2022, sections 3 and 4 (version 4).
    Differs: all results are fitted, values standardised and the worst cut off; the lower bound is looked for over the
        whole space and what was tried, so that the bound is never negative; a constant multiplier; the error is pooled
        and not of the incumbent; two checks in a row; advice by default.
    Cost: a fit, O(n^3), and 4096 predictions, O(n^2) each; 0.1 s at 100 results in 8 dimensions.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool = True,
        bound: str = "bands",
        multiplier: float | str = 2.0,
        patience: int = 2,
        first: int | None = None,
        share: float | None = 0.02,
        points: str = "all",
        threshold: str = "auto",
        epsilon: float | None = None,
        relative: float | None = None,
        pool: int = 5,
        divisor: str = "k-1",
        folds: int | Sequence[int] | None = None,
        ratio: float | None = None,
        examples: int | None = None,
    ) -> None:
        check("regret bound", bound, one_of=BOUNDS)
        check("regret points", points, one_of=POINTS)
        if isinstance(multiplier, str):
            check("regret multiplier", multiplier, one_of=("srinivas",))
        else:
            check("regret multiplier", multiplier, above=0)
        super().__init__(
            problem, seed=seed, advise=advise, patience=patience, first=first, share=share, half=points == "half"
        )
        self.how, self.multiplier = bound, multiplier
        self.threshold = Threshold(
            problem.objectives[0],
            problem.fidelity,
            source=threshold,
            epsilon=epsilon,
            relative=relative,
            pool=pool,
            divisor=divisor,
            folds=folds,
            ratio=ratio,
            examples=examples,
        )

    def _first_words(self, found: Sequence[Trial]) -> str | None:
        return self.threshold.beforehand([trial for trial in found if self.feasible(trial)])

    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        results, name = posterior.results, self.problem.objectives[0].name
        bound = self._bound(posterior) * results.scale
        if not math.isfinite(bound):
            raise ValueError("the bound is no number")
        noise = self.threshold.of(found, posterior.noise)
        numbers = {
            "bound": bound,
            "incumbent": results.trials[posterior.incumbent()].number,
            "optimism": posterior.optimism(),
        }
        if noise.value is None:
            return False, f"up to {number(bound)} of {name!r} may be left to gain; {noise.words}", numbers
        below = bound <= noise.value
        words = "at most" if below else "up to"
        left = "is" if below else "may be"
        return (
            below,
            f"{words} {number(bound)} of {name!r} {left} left to gain, {'below' if below else 'above'} its noise of "
            f"{number(noise.value)} ({noise.words})",
            {**numbers, "threshold": noise.value, "source": noise.source},
        )

    def _bound(self, posterior: Posterior) -> float:
        """Bound in standardised units."""
        n = len(posterior.results.y)
        if self.how == "bands":
            return posterior.bound(self._width(n))
        values, lowest = posterior.paths(DRAWS, generator(self.seed, "stopping", n, 5))
        mean, _ = posterior.tried()
        return float(np.quantile(values[int(np.argmin(mean))] - lowest, LEVEL))

    def _width(self, n: int) -> float:
        if isinstance(self.multiplier, str):
            d = self.problem.space.dimensions
            return math.sqrt(2.0 * math.log(d * n * n * math.pi**2 / (6.0 * DELTA)) / DIVISOR)
        return float(self.multiplier)
