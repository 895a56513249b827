"""`cv_results_`: trials as the table that scikit-learn's searches keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.records import Trial
from luthier.integrations._sklearn_fits import Outcome
from luthier.integrations._sklearn_folds import Folds


def cv_results(trials: Sequence[Trial], folds: Folds, metrics: Sequence[str]) -> dict[str, Any]:
    """The table, one row a trial, in the order of their numbers.

    A trial that ended early has NaN for the folds that it did not reach, and its means are over the others; ranks put
    trials at a larger resource first. Of trials that an earlier process ran, only the means and the objective's single
    folds are known.

    Args:
        trials: Trials of the search.
        folds: The executor that ran them.
        metrics: Scorers.
    """
    rows = [_Row(trial, folds) for trial in trials]
    count = folds.splits.count
    results: dict[str, Any] = {}
    for word in ("fit_time", "score_time"):
        known = [[getattr(one, word) for one in row.outcomes.values()] for row in rows]
        results[f"mean_{word}"] = np.array([row.trial.metrics.get(word, np.nan) for row in rows])
        results[f"std_{word}"] = np.array([np.std(values) if values else np.nan for values in known])
    params = [row.params for row in rows]
    results.update(_columns(params))
    results["params"] = params
    for name in metrics:
        table = np.array([row.scores(name, count, folds.how.objective) for row in rows]).reshape(len(rows), count)
        _store(results, f"test_{name}", table, [row.trial.metrics.get(name, np.nan) for row in rows])
        results[f"rank_test_{name}"] = _ranks(results[f"mean_test_{name}"], [row.amount for row in rows])
        if folds.how.train_scores:
            train = np.array([row.train_scores(name, count) for row in rows]).reshape(len(rows), count)
            _store(results, f"train_{name}", train, [_mean(scores) for scores in train])
    results["trial"] = np.array([row.trial.number for row in rows])
    results["status"] = np.array([row.trial.status.value for row in rows], dtype=object)
    if folds.ladder.levels or folds.ladder.raced:
        results["n_resources"] = np.array([row.amount for row in rows])
    return results


class _Row:
    """One trial with what is known of its folds at its last resource."""

    def __init__(self, trial: Trial, folds: Folds) -> None:
        self.trial = trial
        level = trial.resource if folds.ladder.levels else None
        raced = folds.ladder.raced
        keys = [(i, (trial.number, trial.split_seed, i, float(i + 1) if raced else level)) for i in _range(folds)]
        self.outcomes: dict[int, Outcome] = {i: folds.outcomes[key] for i, key in keys if key in folds.outcomes}
        self.params = {**folds.parameters.params(trial.config), **folds.ladder.params(level)}
        self.amount = 0.0 if not trial.metrics else float(trial.resource or 0.0)
        self.folds = tuple(trial.reports[-1].folds) if trial.reports and trial.metrics else ()
        self._missing = np.nan if isinstance(folds.how.error_score, str) else float(folds.how.error_score)

    def scores(self, name: str, count: int, objective: str) -> list[float]:
        if not self.trial.metrics:
            return [np.nan] * count
        if name == objective:
            return [*self.folds, *[np.nan] * (count - len(self.folds))]
        return [self._score(self.outcomes.get(i), name) for i in range(count)]

    def _score(self, outcome: Outcome | None, name: str) -> float:
        return np.nan if outcome is None else outcome.scores.get(name, self._missing)

    def train_scores(self, name: str, count: int) -> list[float]:
        found = [self.outcomes.get(i) for i in range(count)]
        return [np.nan if one is None else one.train_scores.get(name, self._missing) for one in found]


def _range(folds: Folds) -> range:
    return range(folds.splits.count)


def _store(results: dict[str, Any], key: str, table: np.ndarray, mean: Sequence[float]) -> None:
    for i in range(table.shape[1]):
        results[f"split{i}_{key}"] = table[:, i]
    results[f"mean_{key}"] = np.array(mean, dtype=float)
    known = [row[~np.isnan(row)] for row in table]
    results[f"std_{key}"] = np.array([np.std(row) if len(row) else np.nan for row in known])


def _mean(scores: np.ndarray) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else np.nan


def _ranks(mean: np.ndarray, amount: Sequence[float]) -> np.ndarray:
    """1 for the best; equal ones share the lowest, and NaN comes last."""
    keys = [(-np.inf, 0.0) if np.isnan(m) else (a, m) for m, a in zip(mean, amount, strict=True)]
    return np.array([1 + sum(other > key for other in keys) for key in keys], dtype=np.int32)


def _columns(params: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`param_NAME` as masked arrays: masked where a parameter is not active."""
    names = list(dict.fromkeys(name for row in params for name in row))
    found = {}
    for name in names:
        kind: type = object
        values = [row.get(name) for row in params]
        active = [name in row for row in params]
        given = [value for value, on in zip(values, active, strict=True) if on]
        kinds = {type(value) for value in given}
        if kinds == {bool} or kinds == {int}:
            kind = kinds.pop()
        elif kinds <= {float, int}:
            kind = float
        column: Any = np.ma.array(np.zeros(len(params), dtype=kind), mask=True)
        for i, (value, on) in enumerate(zip(values, active, strict=True)):
            if on:
                column[i] = value
        found[f"param_{name}"] = column
    return found
