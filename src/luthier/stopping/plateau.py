"""plateau: no improvement over the last trials (of the best value, or of the hypervolume for several objectives)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from luthier.base.checks import check
from luthier.base.pareto import hypervolume
from luthier.base.records import Trial
from luthier.base.registry import register
from luthier.space.problem import Problem
from luthier.stopping._base import History, StoppingRule, Verdict, whole


@register("stopping")
class Plateau(StoppingRule):
    """Ends a study whose last trials have brought nothing.

    Compares the best feasible result at the full resource now with that of `trials` ended trials ago. Trials that were
    stopped early, failed or diverged count as trials, and bring nothing. With several objectives the hypervolume takes
    the place of the best value, measured from a point a tenth of the range beyond the worst value of each objective.

    Args:
        trials: Ended trials without an improvement (30: Optuna's default for its stagnation rule).
        least: What counts as an improvement: more than this in units of the objective; for several objectives more
            than this share of the hypervolume (None: 0 for one objective, 0.01 for several).
        advise: Say so and go on.

    Raises:
        ArgumentError: an argument is out of range.

    Source: Makarova et al. 2022, section 5 (the baseline "no improvement in i iterations").
    Differs: counts ended trials, not model updates; defined for several objectives.
    Cost: O(n) a check; several objectives: two hypervolumes.
    """

    supports: ClassVar[frozenset[str]] = StoppingRule.supports | {"multi_objective"}

    def __init__(
        self, problem: Problem, *, seed: int, trials: int = 30, least: float | None = None, advise: bool = False
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise)
        self.trials = whole("plateau trials", trials)
        if least is not None:
            check("plateau least", least, at_least=0)
        self.least = least if least is not None else (0.0 if len(problem.objectives) == 1 else 0.01)

    def due(self, history: History) -> bool:
        """Once there are trials before the last ones."""
        return len(history.ended) > self.trials

    def check(self, history: History) -> Verdict:
        """Compare now with then."""
        earlier = set(history.ended[: -self.trials])
        now = [trial for trial in self.results(history) if self.feasible(trial)]
        then = [trial for trial in now if trial.number in earlier]
        if not then:
            return Verdict(False, "nothing to compare with: no feasible result at the full resource yet")
        gain = self._gain(then, now)
        objectives = self.problem.objectives
        what = f"{objectives[0].name!r}" if len(objectives) == 1 else "the share of hypervolume"
        found = f"the last {self.trials} trials have improved {what} by {gain:.6g}"
        return Verdict(gain <= self.least, found, {"bound": gain, "threshold": self.least})

    def _gain(self, then: list[Trial], now: list[Trial]) -> float:
        before, after = self._values(then), self._values(now)
        if before.shape[1] == 1:
            return float(before.min() - after.min())
        nadir = after.max(axis=0)
        width = np.where(nadir > after.min(axis=0), nadir - after.min(axis=0), 1.0)
        old, new = (hypervolume((v - nadir) / width, np.full(v.shape[1], 0.1)) for v in (before, after))
        return 0.0 if new <= 0 else 1 - old / new

    def _values(self, trials: list[Trial]) -> np.ndarray:
        return np.array([[o.sign * t.metrics[o.name] for o in self.problem.objectives] for t in trials])
