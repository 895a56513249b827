"""Recorded configurations: a list of what was evaluated once; what fills the gaps is chosen explicitly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, BenchmarkError, SpaceError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.bench._base import BaseBenchmark, Config
from luthier.space.space import Space

Array = NDArray[np.float64]

MISSING = ("error", "nearest", "surrogate")
_FOLDS = 5
_fitted: dict[str, tuple[Any, dict[str, float]]] = {}  # content hash -> forest and its errors: fitted once a process


class RowTable(BaseBenchmark):
    """Configurations with their metrics, at one resource or along curves.

    Equal configurations are recorded repetitions of one: a seed picks one of them (seed modulo their number), None
    gives their mean.

    Args:
        configs: The recorded configurations, of the space.
        metrics: Name to (n,) values; with a fidelity (n, s), one column for each whole step from its lowest on.
        space: The space they were drawn from.
        objectives: Which metrics are improved.
        card: Its card; the optimum (at the full resource, over means of repetitions) is added for each objective.
        missing: What a configuration that was not recorded gets: "nearest" (the values of the recorded one that is
            nearest in the unit cube, categories counting 1), "surrogate" (a forest fitted to all that was recorded,
            once; `error` tells how far it is off), or "error".
        seconds: (n,) or (n, s) cost of each, None when it was not recorded.
        fidelity: Axis of the resource in whole steps, None without.

    Attributes:
        configs: The recorded configurations, each of them once, in the order in which they were given.

    Raises:
        BenchmarkError: no configurations, shapes that differ, an objective without a metric, or one that is not finite.
        SpaceError: a configuration is not of the space.

    Cost: a recorded configuration takes a dictionary look-up; a nearest one O(n d); a surrogate's some milliseconds.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        metrics: Mapping[str, NDArray[np.float64]],
        space: Space,
        objectives: tuple[Objective, ...],
        card: Card,
        *,
        missing: str = "nearest",
        seconds: NDArray[np.float64] | None = None,
        fidelity: Fidelity | None = None,
    ) -> None:
        check("missing", missing, one_of=MISSING)
        self.space, self.objectives, self.fidelity, self.card = space, objectives, fidelity, card
        lacking = [objective.name for objective in objectives if objective.name not in metrics]
        if lacking or not len(configs):
            what = f"the objective {lacking[0]!r} is not among them" if lacking else "there is no row"
            raise BenchmarkError(
                f"benchmark {card.name!r}: {len(configs)} configurations with metrics {sorted(metrics)}; {what}. "
                "Needed: one configuration or more, and a value of every objective for each."
            )
        rows = self._recorded(configs)
        self._rows = {config: i for i, config in enumerate(dict.fromkeys(rows))}
        self.configs = list(self._rows)
        self._of = np.array([self._rows[config] for config in rows])  # which configuration a recorded row is of
        order = np.argsort(self._of, kind="stable")
        self._places = np.split(order, np.cumsum(np.bincount(self._of))[:-1])
        self._first = 1 if fidelity is None else int(fidelity.low)
        steps = 1 if fidelity is None else int(fidelity.high) - self._first + 1
        if fidelity is not None and not fidelity.whole:
            raise ArgumentError(f"benchmark {card.name!r}: fidelity {fidelity}. Allowed: one counted in whole steps.")
        self._metrics = {name: _table(column, len(configs), steps, name, card) for name, column in metrics.items()}
        costs = np.zeros((len(configs), steps)) if seconds is None else seconds
        self._seconds = np.maximum.accumulate(_table(costs, len(configs), steps, "seconds", card), axis=1)
        self._missing = missing
        self._units, _ = space.encode(self.configs)
        self._choices = np.array([kind == "choice" for kind in space.kinds])
        self.bounds = {name: (float(column.min()), float(column.max())) for name, column in self._metrics.items()}
        most = max(map(len, self._places))
        ends = {o.name: self._metrics[o.name][:, -1] for o in objectives}
        if most > 1:
            ends = {name: np.array([end[at].mean() for at in self._places]) for name, end in ends.items()}
        best = {o.name: float(ends[o.name].min() if o.goal == "min" else ends[o.name].max()) for o in objectives}
        noise = "one recorded evaluation" if most == 1 else f"up to {most} recorded evaluations of a configuration"
        self.card = Card(card.name, card.source, card.licence, card.checksum, best, noise, card.description)

    def _recorded(self, configs: Sequence[Config]) -> list[Configuration]:
        """What was recorded, as the space writes it."""
        if self._plain.all_of(configs):
            return list(cast(Sequence[Configuration], configs))
        found = []
        for i, config in enumerate(configs):
            where = f"benchmark {self.name!r}: configs[{i}]"
            if not isinstance(config, Mapping):
                raise SpaceError(f"{where}={config!r}. Allowed: a mapping from names to values, such as {{'x': 0.5}}.")
            found.append(self.space.check(config, where=where))
        return found

    def __len__(self) -> int:
        """Number of recorded configurations, each of them counted once."""
        return len(self.configs)

    @property
    def error(self) -> dict[str, float]:
        """Root mean squared error of the surrogate for each metric, by five-fold cross-validation over rows."""
        return dict(self._forest[1])

    def row(self, config: Configuration) -> int:
        """Position among `configs` of a configuration, or of the nearest one.

        Raises:
            BenchmarkError: it was not recorded, and `missing="error"`.
        """
        found = self._rows.get(config)
        if found is not None:
            return found
        if self._missing == "error":
            raise BenchmarkError(
                f"benchmark {self.name!r} has no record of {dict(config)}. Allowed: the {len(self)} recorded "
                "configurations (benchmark.configs); load it with missing='nearest' to take the nearest of them."
            )
        units, _ = self.space.encode([config])
        apart = np.abs(self._units - units[0])
        apart[:, self._choices] = apart[:, self._choices] > 0
        return int(np.argmin((apart**2).sum(axis=1)))

    def evaluate(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As the base class says; what was recorded is of the space and needs no other judge."""
        spent, seed = self._spent(resource), self._seeded(seed)
        try:
            i = self._rows.get(Configuration(config))
        except (TypeError, ValueError):  # nothing of a space: the space says which
            i = None
        if i is None:
            return self._evaluate([self._check(config)], spent, seed)[0]
        step, at = 0 if spent is None else int(spent) - self._first, self._repetition(i, seed)
        if at is None:
            return self._answers(self.configs[i], None)[step]
        metrics = {name: float(table[at, step]) for name, table in self._metrics.items()}
        return Evaluation(metrics, float(self._seconds[at, step]))

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        step = 0 if resource is None else int(resource) - self._first
        return [self._answers(config, seed)[step] for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        return list(zip(self._steps(until), self._answers(config, seed), strict=False))

    def _repetition(self, i: int, seed: int | None) -> int | None:
        """Recorded row that answers for a configuration; None: the mean of several does."""
        places = self._places[i]
        if seed is None and len(places) > 1:
            return None
        return int(places[(seed or 0) % len(places)])

    def _answers(self, config: Configuration, seed: int | None) -> list[Evaluation]:
        """One evaluation for each step."""
        info: dict[str, Any] = {}
        if config not in self._rows and self._missing == "surrogate":
            tables, costs = self._predicted(config)
            info = {"predicted": True}
        else:
            i = self.row(config)
            at = self._repetition(i, seed)
            some = self._places[i] if at is None else np.array([at])
            tables = {name: table[some].mean(axis=0) for name, table in self._metrics.items()}
            costs = self._seconds[some].mean(axis=0)
            if config not in self._rows:
                info = {"nearest": dict(self.configs[i])}
        rows = zip(*(table.tolist() for table in tables.values()), strict=True)
        return [
            Evaluation(dict(zip(tables, row, strict=True)), cost, info=info)
            for row, cost in zip(rows, costs.tolist(), strict=True)
        ]

    def _predicted(self, config: Configuration) -> tuple[dict[str, Array], Array]:
        forest, _ = self._forest
        flat = forest.predict(self._features([config]))[0].reshape(len(self._metrics) + 1, -1)
        return dict(zip(self._metrics, flat[:-1], strict=True)), np.maximum.accumulate(flat[-1])

    def _features(self, configs: Sequence[Configuration]) -> Array:
        """Unit cube with a column for each category of a choice."""
        units, _ = self.space.encode(configs)
        columns = []
        for i, levels in enumerate(self.space.levels):
            if self._choices[i]:
                codes = np.minimum((units[:, i] * levels).astype(int), levels - 1)
                columns.append(np.eye(levels)[codes])
            else:
                columns.append(units[:, i : i + 1])
        return np.hstack(columns)

    @cached_property
    def _forest(self) -> tuple[Any, dict[str, float]]:
        X = self._features(self.configs)[self._of]
        y = np.hstack([*self._metrics.values(), self._seconds])
        names = [*self._metrics, "seconds"]
        key = hashlib.sha256(repr(names).encode() + X.tobytes() + y.tobytes()).hexdigest()
        if key not in _fitted:
            _fitted[key] = _fit(X, y, names, self._of)
        return _fitted[key]


def _table(column: Array, rows: int, steps: int, name: str, card: Card) -> Array:
    try:
        found = np.asarray(column, dtype=float)
    except (TypeError, ValueError) as error:
        raise BenchmarkError(
            f"benchmark {card.name!r}: metric {name!r} is no table of numbers ({error}). Every one needs a number."
        ) from None
    found = found[:, None] if found.ndim == 1 else found
    if found.shape != (rows, steps) or not np.isfinite(found).all():
        raise BenchmarkError(
            f"benchmark {card.name!r}: metric {name!r} has shape {found.shape} with {int(np.isfinite(found).sum())} "
            f"finite values for {rows} configurations and {steps} steps. Every one needs a value."
        )
    return found


def _fit(X: Array, y: Array, names: Sequence[str], of: NDArray[np.int64]) -> tuple[Any, dict[str, float]]:
    """A forest over all columns at once, and its cross-validated error by name, in the units of each.

    Rows of one configuration (equal in `of`) are in one fold: a repetition would tell what its others are.
    """
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import KFold

    def forest() -> Any:
        return ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0, n_jobs=1)

    held = np.empty_like(y)
    folds = min(_FOLDS, len(np.unique(of)))
    if folds > 1:
        for _, apart in KFold(folds, shuffle=True, random_state=0).split(np.unique(of)):
            aside = np.isin(of, apart)
            train, test = np.flatnonzero(~aside), np.flatnonzero(aside)
            held[test] = forest().fit(X[train], y[train]).predict(X[test]).reshape(len(test), -1)
    else:
        held = np.full_like(y, np.nan)
    squared = ((held - y) ** 2).reshape(len(X), len(names), -1).mean(axis=(0, 2))
    error = dict(zip(names, np.sqrt(squared).tolist(), strict=True))
    fitted = forest().fit(X, y if y.shape[1] > 1 else y[:, 0])
    return fitted, error
