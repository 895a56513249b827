"""One fit of a cross-validation: on which rows, and how it is scored."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params


@dataclass(frozen=True)
class Outcome:
    """What one fit gave.

    Args:
        scores: Scorer to its value on the test part.
        train_scores: The same on the training part; empty unless asked for.
        fit_time: Seconds of the fit.
        score_time: Seconds of the scoring on the test part.
        error: Traceback of a fit or scorer that raised; "" otherwise.
    """

    scores: dict[str, float]
    train_scores: dict[str, float] = field(default_factory=dict)
    fit_time: float = 0.0
    score_time: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Data:
    """What every fit shares.

    Args:
        X: The rows.
        y: The target, or None.
        fit: Arguments of the estimator's fit, those of a row's length split with the rows.
        score: Arguments of the scorer, likewise.
    """

    X: Any
    y: Any
    fit: Mapping[str, Any] = field(default_factory=dict)
    score: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class How:
    """How a fit is made and judged.

    Args:
        estimator: The estimator, not fitted.
        scorer: Gives a number, or a mapping of them.
        train_scores: Whether the training part is scored too.
        error_score: Score of a fit that raised; "raise" lets the error out.
        objective: The score whose single folds are reported.
    """

    estimator: Any
    scorer: Any
    train_scores: bool
    error_score: float | str
    objective: str


def fit_and_score(how: How, data: Data, params: Mapping[str, Any], train: Any, test: Any) -> Outcome:
    """Fit on one part of the rows, score on the other."""
    begun = time.perf_counter()
    fitted = begun
    try:
        # parameters may be estimators themselves: a fit must not change those of the next one
        model = clone(how.estimator).set_params(**clone(dict(params), safe=False))
        X, y = _safe_split(how.estimator, data.X, data.y, train)
        X_test, y_test = _safe_split(how.estimator, data.X, data.y, test, train)
        arguments = _check_method_params(data.X, params=dict(data.fit), indices=train)
        model.fit(X, **arguments) if y is None else model.fit(X, y, **arguments)
        fitted = time.perf_counter()
        scores = _scores(
            how, model, X_test, y_test, _check_method_params(data.X, params=dict(data.score), indices=test)
        )
        scored = time.perf_counter()
        on_train: dict[str, float] = {}
        if how.train_scores:
            wanted = _check_method_params(data.X, params=dict(data.score), indices=train)
            on_train = _scores(how, model, X, y, wanted)
    except Exception:
        if how.error_score == "raise":
            raise
        return Outcome({}, {}, time.perf_counter() - begun, 0.0, traceback.format_exc(limit=-4))
    return Outcome(scores, on_train, fitted - begun, scored - fitted)


def _scores(how: How, model: Any, X: Any, y: Any, arguments: Mapping[str, Any]) -> dict[str, float]:
    found = how.scorer(model, X, **arguments) if y is None else how.scorer(model, X, y, **arguments)
    named = found if isinstance(found, Mapping) else {"score": found}
    for name, value in named.items():
        if isinstance(value, str):  # where a scorer of several metrics writes what one of them raised
            raise ValueError(f"scorer {name!r} raised: {value}")
        if not np.isscalar(value) and np.ndim(value) != 0:
            raise ValueError(f"scoring must return a number, got {value!r:.100} ({type(value)}) from {name!r}.")
    return {str(name): float(value) for name, value in named.items()}


class Splits:
    """Who trains on what: the folds for a split seed, and nested samples of their training rows.

    Args:
        cv: As scikit-learn takes it.
        data: Rows and target.
        arguments: Arguments of `cv.split`, such as the groups.
        classifier: Whether folds and samples should hold the classes in their shares.
        seed: The study's split seed: with it `cv` is as the user gave it.
    """

    def __init__(self, cv: Any, data: Data, arguments: Mapping[str, Any], *, classifier: bool, seed: int) -> None:
        self._given, self.data, self._arguments, self.seed = cv, data, dict(arguments), seed
        self._classifier = classifier
        self._cv = check_cv(cv, data.y, classifier=classifier)
        if self._shuffles and getattr(self._cv, "random_state", 0) is None:
            self._cv = self._reseeded(seed)  # else a study that is opened again would have other folds
        self.count = int(self._cv.get_n_splits(data.X, data.y, **self._arguments))
        self._known: dict[int, list[tuple[Any, Any]]] = {}

    @property
    def _shuffles(self) -> bool:
        return hasattr(self._cv, "random_state") and getattr(self._cv, "shuffle", True)

    @property
    def renewable(self) -> bool:
        """Whether there are fresh splits for another seed."""
        return self._shuffles or (
            (self._given is None or isinstance(self._given, int)) and self._arguments.get("groups") is None
        )

    def of(self, seed: int) -> list[tuple[Any, Any]]:
        """The folds as (training rows, test rows)."""
        if seed not in self._known:
            cv = self._cv if seed == self.seed else self._reseeded(seed)
            folds = list(cv.split(self.data.X, self.data.y, **self._arguments))
            if len(folds) != self.count:
                raise ValueError(
                    f"cv.split and cv.get_n_splits return inconsistent results. Expected {self.count} splits, "
                    f"got {len(folds)}"
                )
            self._known[seed] = folds
        return self._known[seed]

    def _reseeded(self, seed: int) -> Any:
        if isinstance(self._cv, (KFold, StratifiedKFold)) and not self._cv.shuffle:
            return type(self._cv)(self._cv.n_splits, shuffle=True, random_state=seed)
        again = copy.copy(self._cv)
        again.random_state = seed
        return again

    def sample(self, train: Any, size: int, seed: int, fold: int) -> Any:
        """`size` of the training rows, in their order; a smaller sample is part of a larger one."""
        train = np.asarray(train)
        if size >= len(train):
            return train
        rng = np.random.default_rng([seed, fold])
        if not self._classifier or np.ndim(self.data.y) != 1:
            return np.sort(rng.permutation(train)[:size])
        # the j-th of m rows of a class stands at (j + u) / m: every beginning holds the classes in their shares
        labels = np.asarray(self.data.y)[train]
        place = np.empty(len(train))
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            place[rng.permutation(rows)] = (np.arange(len(rows)) + rng.random()) / len(rows)
        return np.sort(train[np.argsort(place, kind="stable")[:size]])


def means(found: Sequence[Outcome], how: How) -> tuple[dict[str, float], list[float]]:
    """Mean of each score and time over folds, and the single scores of the objective."""
    names = next((list(one.scores) for one in found if one.scores), [how.objective])
    missing = float("nan") if isinstance(how.error_score, str) else float(how.error_score)
    scores = {name: [one.scores.get(name, missing) for one in found] for name in names}
    metrics = {name: float(np.mean(values)) for name, values in scores.items()}
    for word in ("fit_time", "score_time"):
        metrics.setdefault(word, float(np.mean([getattr(one, word) for one in found])))
    return metrics, scores.get(how.objective, [])
