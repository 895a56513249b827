"""The contract of a searcher: who proposes the next configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.records import Configuration, Observation
from luthier.base.seeds import check_seed, generator
from luthier.space.problem import Problem

FEATURES = frozenset({"conditions", "constraints", "multi_objective", "transfer", "parallel", "fidelity"})


class Searcher(ABC):
    """Proposes configurations, and learns from observations.

    State changes by `tell` alone; `ask` changes nothing that a later decision depends on (a cache keyed by what
    was told is allowed). So the same problem, seed and observations give the same proposals, live or replayed.

    A subclass calls `super().__init__(problem, seed=seed)`, lists in `supports` what it can do, and writes
    `tell` and `_propose`. Its own options are keyword-only arguments with defaults.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.

    Raises:
        UnsupportedError: the problem needs something that is not in `supports`.
    """

    name: ClassVar[str] = ""
    #: What it can do, of `FEATURES`. "conditions": spaces with `when=`. "constraints": uses violations.
    #: "multi_objective": two objectives and more. "transfer": learns from `problem.past`. "parallel": takes
    #: pending configurations into account. "fidelity": uses reports of unfinished trials.
    supports: ClassVar[frozenset[str]] = frozenset()
    #: Whether results guide it; the contract battery then expects it to beat random search on smooth problems.
    model_based: ClassVar[bool] = True

    #: Whether it chooses by itself which configurations of earlier tasks come first; else the study puts the best of
    #: the last three before its proposals.
    warms: ClassVar[bool] = False

    @property
    def why(self) -> str:
        """Who proposes and for what reason, where that was decided for the user; else empty."""
        return ""

    def __init__(self, problem: Problem, *, seed: int) -> None:
        self.problem = problem
        self.space = problem.space
        self.seed = check_seed(seed)
        needs = {
            "multi_objective": len(problem.objectives) > 1,
            "constraints": bool(problem.constraints),
            "conditions": bool(problem.space.conditions),
        }
        for feature, needed in needs.items():
            if needed and feature not in self.supports:
                raise UnsupportedError(
                    f"searcher {self.name!r} does not support {feature.replace('_', ' ')}, which this problem needs. "
                    "`luthier list searchers` shows which do; 'random' always works."
                )

    def ask(self, n: int = 1, *, k: int, pending: Sequence[Configuration] = ()) -> list[Configuration]:
        """Propose configurations.

        Args:
            n: How many.
            k: Number of the first one in the study; decides the random draws.
            pending: Configurations asked and not yet finished.

        Returns:
            `n` configurations of the space (fewer, and at last none, when a finite space has no more).
        """
        if n < 1 or k < 0:
            raise ArgumentError(f"ask(n={n}, k={k}). Allowed: n >= 1, k >= 0.")
        return self._propose(n, k, pending)

    @abstractmethod
    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        """The proposals numbered k .. k+n-1; draw from `self.rng(k)`."""

    @abstractmethod
    def tell(self, observations: Sequence[Observation]) -> None:
        """Learn from new observations, in the order in which they happened.

        A trial may be told several times: at each report (status RUNNING) and at its end. A FAILED or DIVERGED
        trial may have no values; what does not finish as it should is never silently dropped.
        """

    def recommend(self) -> int | None:
        """Number of the trial believed to be best, where results are noisy; None: the lowest value seen is.

        A model averages noise over neighbours, a single value does not: the lowest of many noisy values is lucky
        first and good second.
        """
        return None

    def from_past(self, config: Configuration) -> bool:
        """Whether a proposal is a configuration of an earlier task as it was there: its trial's origin is "past" then.

        A scheduler may ask more of all others (`rush`).
        """
        return False

    def rng(self, k: int, *more: int) -> np.random.Generator:
        """Generator of proposal `k`."""
        return generator(self.seed, "searcher", k, *more)

    def diagnostics(self) -> dict[str, float | str]:
        """Numbers worth showing in a report (coverage, fall-backs, fit times are not among them)."""
        return {}
