"""prb: with high probability, something that was tried is within the noise of the best there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.imports import later
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.space.problem import Problem
from luthier.space.values import Array
from luthier.stopping._model import ModelRule, number
from luthier.stopping._posterior import Posterior
from luthier.stopping._threshold import Threshold

special = later("scipy.special")

TESTED = 5  # of what was tried, the lowest posterior means
SIZES = (64, 128, 256, 512, 1024)  # draws, until enough of them agree


@register("stopping")
class Prb(ModelRule):
    """Says that a study may end when a configuration was probably found that leaves no more to gain than the noise.

    The function is drawn from the process, jointly at what was tried and where its lowest value may lie. Counted is in
    how many draws one of the five most promising configurations exceeds the lowest value by more than the threshold;
    draws are added until an exact interval says whether the probability is below `delta`. No confidence band, and so
    no multiplier, is needed.

    Args:
        advise: Say so and go on; False: end the study.
        delta: Probability that more than the threshold is left to gain.
        risk: Probability that too few draws mislead a check.
        threshold: Where the threshold comes from, as for "regret": "auto", "folds", "holdout", "repeats", "model".
        epsilon: The threshold itself, in units of the objective.
        relative: The threshold as a share of what the first 20 results differ by, median less best.
        patience: Checks in a row that must find it (2: one may be a fit gone wrong).
        first: Results before the first check; None: 20 or 2 d, whichever is more.
        share: Share of the trials' time that checks may take.

    Raises:
        UnsupportedError: several objectives; use "plateau".

    Source: Wilson 2024, and its code.
    Differs: draws are exact at the 512 candidates with the lowest lower bounds, not approximate everywhere; the risk is
        that of a check, not of all; the five have the lowest means.
    Cost: as "regret", and O(m^3 + m^2 draws) with m <= n + 512.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool = True,
        delta: float = 0.1,
        risk: float = 0.05,
        threshold: str = "auto",
        epsilon: float | None = None,
        relative: float | None = None,
        patience: int = 2,
        first: int | None = None,
        share: float | None = 0.02,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise, patience=patience, first=first, share=share)
        for name, value in (("delta", delta), ("risk", risk)):
            check(f"prb {name}", value, above=0, below=1)
        self.delta, self.risk = float(delta), float(risk)
        self.threshold = Threshold(
            problem.objectives[0], problem.fidelity, source=threshold, epsilon=epsilon, relative=relative
        )

    def _first_words(self, found: Sequence[Trial]) -> str | None:
        return self.threshold.beforehand([trial for trial in found if self.feasible(trial)])

    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        name = self.problem.objectives[0].name
        noise = self.threshold.of(found, posterior.noise)
        if noise.value is None:
            return False, noise.words, {}
        bound, draws = self._exceeded(posterior, noise.value / posterior.results.scale)
        below = bound <= self.delta
        words = (
            f"more than the noise of {name!r}, {number(noise.value)} ({noise.words}), is left to gain with a "
            f"probability of at most {number(bound)}, {'below' if below else 'above'} {number(self.delta)}"
        )
        evidence = {"bound": bound, "threshold": self.delta, "epsilon": noise.value, "source": noise.source}
        return below, words, {**evidence, "draws": draws}

    def _exceeded(self, posterior: Posterior, epsilon: float) -> tuple[float, int]:
        """Upper limit of the probability that the best of the five leaves more than `epsilon`, and draws made."""
        rng = generator(self.seed, "stopping", len(posterior.results.y), 6)
        tested = np.argsort(posterior.tried()[0], kind="stable")[:TESTED]
        risk = self.risk / (2 * len(tested) * len(SIZES))
        values, lowest = posterior.paths(SIZES[-1], rng)
        exceeds = values[tested] > lowest + epsilon
        upper = np.ones(len(tested))
        for size in SIZES:
            count = exceeds[:, :size].sum(axis=1)
            upper = limit(count, size, risk)
            if upper.min() <= self.delta or (1.0 - limit(size - count, size, risk)).min() > self.delta:
                return float(upper.min()), size
        return float(upper.min()), SIZES[-1]


def limit(count: Array, size: int, risk: float) -> Array:
    """Upper limit of a probability of which `count` in `size` draws were seen, wrong with probability `risk`.

    Source: Clopper, Pearson 1934.
    """
    found: Array = np.where(
        count == size, 1.0, special.betaincinv(count + 1.0, np.maximum(size - count, 0.5), 1.0 - risk)
    )
    return found
