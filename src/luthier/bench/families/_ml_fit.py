"""Fitting one model step by step, and looking at it on the way: scores, sizes, times."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from luthier.bench._sets import Labels, Numbers, Part

_LONG_SECONDS = 5e-3
QUALITIES = ("accuracy", "balanced_accuracy", "f1", "precision")


class Diverged(Exception):
    """A fit ended in numbers that are not finite: an answer, no failure."""


class Fit(NamedTuple):
    """What a model is fitted to and asked about.

    Args:
        X: (n, features) training rows.
        y: (n,) their classes.
        classes: Number of classes.
        state: Seed of the model, in [0, 2**31).
        watched: Rows to classify, part after part.
    """

    X: Numbers
    y: Labels
    classes: int
    state: int
    watched: tuple[Numbers, ...]


class Shape(NamedTuple):
    """Size of a fit: training rows, features, classes."""

    rows: int
    features: int
    classes: int


class Trainee(ABC):
    """A model on its way through the steps of its fidelity.

    Attributes:
        adds: Whether the times of `labels` add up over the steps, as where each step asks the new trees alone.
        spent: Steps that were really done; fewer than asked for where a training ends by itself.
    """

    adds: ClassVar[bool] = False
    spent: float = 0

    def __init__(self, fit: Fit) -> None:
        self.fit = fit

    @abstractmethod
    def advance(self, step: int) -> None:
        """Train up to a step, which is at least the last one.

        Raises:
            Diverged: weights are not finite.
        """

    @abstractmethod
    def predict(self, X: Numbers) -> Labels:
        """Classes of rows: (n, features) -> (n,)."""

    @abstractmethod
    def size(self) -> int:
        """Numbers that the model consists of."""

    def labels(self, part: int) -> Labels:
        """Classes of the rows watched, by the number of their part."""
        return self.predict(self.fit.watched[part])


@dataclass
class Moment:
    """A model at a step.

    Args:
        step: The step.
        spent: Steps that were really done.
        size: Numbers that the model consists of; 0 when it diverged.
        found: Part to qualities; empty when it diverged.
        fit: CPU and wall seconds of the fit up to here.
        scoring: Part to CPU and wall seconds of classifying it.
        latency: Wall seconds of one row, None when not asked for.
    """

    step: int
    spent: float
    size: int
    fit: tuple[float, float]
    found: dict[str, dict[str, float]] = field(default_factory=dict)
    scoring: dict[str, tuple[float, float]] = field(default_factory=dict)
    latency: float | None = None


def qualities(true: Labels, predicted: Labels, classes: int) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and macro precision, as scikit-learn defines them.

    Args:
        true: (n,) class numbers.
        predicted: (n,) class numbers.
        classes: Number of classes.
    """
    table = np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    right, wanted, given = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    there = wanted + given > 0  # a class that neither side names has no say
    recall = right[wanted > 0] / wanted[wanted > 0]
    precision = right[there] / np.maximum(given[there], 1)
    f1 = 2 * right[there] / (wanted + given)[there]
    values = (right.sum() / len(true), recall.mean(), f1.mean(), precision.mean())
    return dict(zip(QUALITIES, map(float, values), strict=True))


def watch(
    trainee: Trainee, steps: Sequence[int], judged: Sequence[tuple[str, Part]], *, latency: bool
) -> Iterator[Moment]:
    fit, diverged = (0.0, 0.0), False
    scoring = {part: (0.0, 0.0) for part, _ in judged}
    for step in steps:
        began = _now()
        try:
            if not diverged:
                trainee.advance(step)
        except Diverged:
            diverged = True
        fit = _since(began, fit)
        if diverged:
            yield Moment(step, float(step), 0, fit)
            continue
        moment = Moment(step, trainee.spent, trainee.size(), fit)
        for i, (part, rows) in enumerate(judged):
            began = _now()
            labels = trainee.labels(i)
            scoring[part] = _since(began, scoring[part] if trainee.adds else (0.0, 0.0))
            moment.found[part] = qualities(rows.y, labels, trainee.fit.classes)
        moment.scoring = dict(scoring)
        if latency:
            moment.latency = _latency(trainee)
        yield moment


def _latency(trainee: Trainee) -> float:
    """Wall seconds of one row: the median of three, or one that takes so long that its noise is small."""
    taken: list[float] = []
    while len(taken) < 3 and sum(taken) < _LONG_SECONDS:
        began = _now()
        trainee.predict(trainee.fit.X[:1])
        taken.append(_since(began, (0.0, 0.0))[1])
    return sorted(taken)[len(taken) // 2]


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _since(began: tuple[float, float], before: tuple[float, float]) -> tuple[float, float]:
    now = _now()
    return before[0] + now[0] - began[0], before[1] + now[1] - began[1]
