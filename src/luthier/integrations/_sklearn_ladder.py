"""What early stopping spends in a cross-validation: folds, rows, or a parameter of the estimator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Fidelity
from luthier.base.registry import load
from luthier.integrations._sklearn_fits import Splits
from luthier.integrations._sklearn_space import Parameters

#: Resources that are no parameter of the estimator.
FOLDS, SAMPLES = "folds", "n_samples"
#: Rungs below the full resource where the user names no smallest one: 1/27 at the factor 3 of most schedulers.
RUNGS = 3


@dataclass(frozen=True)
class Ladder:
    """What the resource of a trial is, and where on it a trial reports.

    Args:
        resource: "folds", "n_samples" or the name of an estimator's parameter.
        levels: Amounts at which all folds are fitted and reported; empty where the folds are the resource, or none is.
        raced: Whether the folds are the resource, so that each is reported.
    """

    resource: str
    levels: tuple[float, ...] = ()
    raced: bool = False

    def steps(self, folds: int, until: float | None) -> list[tuple[float | None, list[int]]]:
        """What is fitted between two reports: (resource, folds)."""
        if self.raced:
            last = folds if until is None else int(until)
            return [(float(fold + 1), [fold]) for fold in range(last)]
        if not self.levels:
            return [(None, list(range(folds)))]
        return [(level, list(range(folds))) for level in self.levels if until is None or level <= until]

    def params(self, level: float | None) -> dict[str, Any]:
        """Parameters of the estimator that belong to an amount of the resource."""
        if level is None or self.resource in (FOLDS, SAMPLES):
            return {}
        return {self.resource: int(level) if float(level).is_integer() else level}


def spends(scheduler: str) -> bool:
    """Whether a scheduler may end a trial before it has had all of the resource."""
    return scheduler not in ("straight", "auto")


def axis(
    scheduler: tuple[str, Mapping[str, Any]],
    wanted: tuple[str, float | None, float | None],
    splits: Splits,
    parameters: Parameters,
    estimator: Any,
) -> tuple[Fidelity | None, Ladder]:
    """The fidelity, and where on it trials report.

    Args:
        scheduler: Name and own arguments.
        wanted: The resource, its smallest and its largest amount.
        splits: Who trains on what.
        parameters: What is searched.
        estimator: Whose parameters they are.

    Raises:
        ArgumentError: no such resource, or bounds that do not fit.
    """
    resource = wanted[0]
    if not spends(scheduler[0]):
        return None, Ladder(FOLDS)
    if resource == FOLDS:
        if splits.count < 2:
            raise ArgumentError(
                f"resource='folds' with {splits.count} fold. Allowed: two and more. Choose another resource, or "
                "scheduler='straight'."
            )
        return Fidelity("fold", 1, splits.count), Ladder(FOLDS, raced=True)
    low, high = _bounds(wanted, splits, parameters, estimator)
    name, own = scheduler
    usual = inspect.signature(load("scheduler", name)).parameters.get("eta")
    eta = int(own.get("eta", 3 if usual is None else usual.default))
    levels, level = [], float(own.get("grace") or low)
    while level < high * (1 - 1e-9):
        levels.append(level)
        level *= eta
    return Fidelity(resource, low, high), Ladder(resource, (*levels, float(high)))


def _bounds(
    wanted: tuple[str, float | None, float | None], splits: Splits, parameters: Parameters, estimator: Any
) -> tuple[float, float]:
    resource, low, high = wanted
    if resource == SAMPLES:
        y = splits.data.y
        most = min(len(train) for train, _ in splits.of(splits.seed))
        classes = len(np.unique(y)) if is_classifier(estimator) and np.ndim(y) == 1 else 1
        high = most if high is None else min(high, most)
        least: float = max(2 * classes, math.ceil(high / 3**RUNGS))
    else:
        high = _largest(resource, high, parameters, estimator)
        least = max(1, math.ceil(high / 3**RUNGS)) if float(high).is_integer() else high / 3**RUNGS
    low = min(least, high) if low is None else low
    check("max_resources", high, above=0)
    check("min_resources", low, above=0, at_most=high)
    return low, high


def _largest(resource: str, high: float | None, parameters: Parameters, estimator: Any) -> float:
    known = estimator.get_params(deep=True)
    if resource not in known:
        check("resource", resource, one_of=[FOLDS, SAMPLES, *known])
    if resource in parameters.space:
        raise ArgumentError(
            f"resource={resource!r} is in the space too. Allowed: one of the two. Take it out of there."
        )
    if high is None:
        raise ArgumentError(
            f"resource={resource!r} without max_resources. Give the largest value of this parameter, such as "
            "max_resources=500."
        )
    return high
