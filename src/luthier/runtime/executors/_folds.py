"""Scores of single folds, as a program reports them one by one, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.base.records import as_float


class Folds:
    """Keeps what a run has measured on its folds.

    Args:
        where: Who reports, for the message ("trial 3").
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._scores: dict[str, list[float]] = {}

    def add(self, metrics: Mapping[str, Any]) -> tuple[dict[str, float], tuple[float, ...], int]:
        """One more fold.

        Args:
            metrics: What was measured on it, the objective first.

        Returns:
            The means over the folds until now, the scores behind the first of them, and how many folds there are.

        Raises:
            ArgumentError: no metric, no number, or other metrics than on the fold before.
        """
        if not metrics:
            raise ArgumentError(f"{self._where}: report_fold() without a metric. Name one: run.report_fold(loss=0.3).")
        if self._scores and list(self._scores) != list(metrics):
            raise ArgumentError(
                f"{self._where}: fold {len(self._of_first()) + 1} reports {list(metrics)}, the folds before it "
                f"{list(self._scores)}. Allowed: the same metrics, in the same order. Report them on every fold."
            )
        for name, value in metrics.items():
            try:
                self._scores.setdefault(name, []).append(as_float(value))
            except (TypeError, ValueError):
                raise ArgumentError(f"{self._where}: report_fold({name}={value!r}). Allowed: a number.") from None
        means = {name: math.fsum(scores) / len(scores) for name, scores in self._scores.items()}
        return means, tuple(self._of_first()), len(self._of_first())

    def _of_first(self) -> list[float]:
        return next(iter(self._scores.values()), [])
