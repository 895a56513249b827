"""What the rules that fit a Gaussian process have in common: when they look, and when they would rather not judge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from luthier.base.checks import check
from luthier.base.records import Status, Trial
from luthier.space.problem import Problem
from luthier.stopping._base import History, StoppingRule, Verdict, whole
from luthier.stopping._posterior import Candidates, Posterior, Results, fit, results_of

EARLIEST = 20  # results before the first check, as in Optuna; twice the dimensions where that is more
INITIAL = 10  # results after which at least one in two was proposed by a model
EVERY = 20  # a check follows a twentieth more results
FAILED = 0.3  # share of failures beyond which the process, which does not see them, knows too little


class ModelRule(StoppingRule):
    """Fits a process to the results at the full resource, and compares what it says with a threshold.

    Args:
        problem: What is solved.
        seed: Decides every random draw.
        advise: Say so and go on.
        patience: Checks in a row that must find the same before it is said.
        first: Results before the first check; None: max(20, 2 d).
        share: Share of the trials' time that checks may take; a check that would take more is skipped.
        half: Fit to the better half of the results.
    """

    traces: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        advise: bool,
        patience: int,
        first: int | None,
        share: float | None,
        half: bool = False,
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise)
        self.patience = whole(f"{self.name} patience", patience)
        d = problem.space.dimensions
        self.first = max(EARLIEST, 2 * d) if first is None else whole(f"{self.name} first", first, at_least=3)
        if share is not None:
            check(f"{self.name} share", share, above=0)
        self.share, self.half = share, half
        self._candidates: Candidates | None = None
        self._last: tuple[bytes, Posterior] | None = None

    # when it looks ---------------------------------------------------------------------------------------

    def due(self, history: History) -> bool:
        """Once there are enough results, then after every twentieth more; and when nothing is left to try."""
        last = self._looked(history)
        step = max(1, last // EVERY)
        if len(history.ended) < last + step:
            return False
        if self._exhausted(history):
            return True
        n = len(self.results(history))
        if last == 0 and n >= 1 and self._first_words(self.results(history)) is not None:
            return True
        return n >= self.first and n >= last + step

    @staticmethod
    def _looked(history: History) -> int:
        """Results at the last check."""
        for said in reversed(history.verdicts):
            if not said.get("skipped"):
                return int(said.get("results", 0))
        return 0

    def _exhausted(self, history: History) -> bool:
        """Whether every configuration was tried at the full resource, or failed."""
        size = self.problem.space.size
        if size is None or len(history.ended) < size or not self.problem.space.dimensions:
            return False
        over = (history.trials[n] for n in history.ended)
        return len({trial.config for trial in over if self.result(trial) or _failed(trial)}) >= size

    # what it says ----------------------------------------------------------------------------------------

    def check(self, history: History) -> Verdict:
        """Fit, and compare."""
        found = self.results(history)
        evidence: dict[str, Any] = {"results": len(found)}
        if self._exhausted(history) and found:
            return Verdict(True, "every configuration was tried", {**evidence, "bound": 0.0, "below": True})
        if len(found) < self.first:
            words = self._first_words(found) or "no result yet"
            return Verdict(False, f"looks from {self.first} results on; {words}", evidence)
        refused = self._refused(history, found)
        if refused:
            return Verdict(False, refused, evidence)
        results = results_of(self.problem, found, half=self.half, seed=self.seed)
        if results.scale == 0.0:
            return self._settled(True, "all results are equal", {**evidence, "bound": 0.0}, history)
        try:
            with np.errstate(all="ignore"):
                posterior = self._posterior(results)
                below, words, numbers = self._judge(posterior, [t for t in found if self.feasible(t)])
        except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
            times = 1 + sum("failures" in said for said in history.verdicts)
            return Verdict(False, f"the model could not be fitted ({error})", {**evidence, "failures": times})
        return self._settled(below, words, {**evidence, **numbers}, history)

    def _first_words(self, found: Sequence[Trial]) -> str | None:
        """What is worth saying after the first result already."""
        return None

    @abstractmethod
    def _judge(self, posterior: Posterior, found: Sequence[Trial]) -> tuple[bool, str, Mapping[str, Any]]:
        """Whether what is left is below the threshold, in words, and the numbers.

        Args:
            posterior: The process.
            found: Feasible trials with a result, in the order of their ends; not empty.
        """

    def _refused(self, history: History, found: Sequence[Trial]) -> str | None:
        """Why nothing can be judged."""
        if not self.problem.space.dimensions:
            return "the space has no hyperparameter that varies"
        failed = sum(_failed(history.trials[n]) for n in history.ended)
        if failed > FAILED * (failed + len(found)):
            return f"{failed} of {failed + len(found)} trials failed, which the model does not see"
        if not any(self.feasible(trial) for trial in found):
            return "no result keeps the constraints"
        return None

    def _posterior(self, results: Results) -> Posterior:
        """The process of these results; the last one is kept."""
        key = results.rows.tobytes() + results.y.tobytes() + results.weights.tobytes()
        if self._last is None or self._last[0] != key:
            if self._candidates is None:
                self._candidates = Candidates(self.problem, seed=self.seed)
            self._last = key, fit(results, self._candidates, seed=self.seed)
        posterior = self._last[1]
        return Posterior(results, posterior.process, posterior.candidates)

    def _settled(self, below: bool, words: str, evidence: dict[str, Any], history: History) -> Verdict:
        """The verdict, once as many checks in a row as it takes have found the same."""
        streak = int(below)
        for said in reversed(history.verdicts if below else ()):
            if said.get("skipped"):
                continue
            if not said.get("below"):
                break
            streak += 1
        stop = below and streak >= self.patience
        if below and not stop:
            words += f" ({streak} of {self.patience} checks in a row)"
        return Verdict(stop, words, {**evidence, "below": below})


def _failed(trial: Trial) -> bool:
    return trial.status in (Status.FAILED, Status.DIVERGED)


def number(value: float) -> str:
    """A number in three digits, for a reason."""
    return f"{value:.3g}"
