"""Tables over random configurations: what was trained is answered as it came out, what was not by a stated stand-in.

A space with many numbers has no grid that is both fine and affordable. Such a table keeps configurations that were
drawn, and says of any other one what a forest makes of those that it has.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import BenchmarkError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench._planned import STATES
from luthier.models.forest import Forest, grow
from luthier.space.space import Space

Array = NDArray[np.float64]

MISSING = ("surrogate", "nearest", "error")
#: What a step cost, since the start of the training.
CPU, WALL = "fit_cpu_seconds", "fit_wall_seconds"
_TREES = 300  # chance moves a prediction by some thousandths of the recorded spread
_FOLDS = 5
_DRAWS = 4  # which decisions of the bench room these are; 0 to 3 are those of the data and the models


class Task(NamedTuple):
    """What is tuned: that of the benchmark that was trained."""

    space: Space
    fidelity: Fidelity
    objective: Objective


def drawn(space: Space, box: Mapping[str, tuple[float, float]], n: int) -> tuple[Configuration, ...]:
    """Random configurations, the first from a box, the last from the whole space, the others from what lies between.

    A space in which nearly nothing learns would give a table of failures; the box is where something does.

    Args:
        space: Where to draw.
        box: Hyperparameter to its range; what is not named ranges over all.
        n: How many, at least 2.
    """
    ends = np.zeros((2, len(space))), np.ones((2, len(space)))
    base, names = dict(space.default()), list(space)
    for name, (low, high) in box.items():
        rows, _ = space.encode([{**base, name: low}, {**base, name: high}])
        ends[0][0, names.index(name)], ends[1][0, names.index(name)] = rows[:, names.index(name)]
    part = np.linspace(0, 1, n)[:, None] ** 2  # half of them within a quarter of the way
    lows, highs = ((1 - part) * end[0] + part * end[1] for end in ends)
    return tuple(space.decode(lows + (highs - lows) * generator(0, "bench", _DRAWS).random((n, len(space)))))


class DesignTable(BaseBenchmark):
    """Recorded configurations of a space, and what fills the room between them.

    A seed picks one of the recorded trainings (seed modulo their number), None gives the mean. Between two recorded
    steps the metrics are those of the step before, and the cost lies on the line between the two. The cost is the CPU
    time of the training.

    A configuration that was not recorded is answered by `missing`: "surrogate" weighs the recorded ones by how many
    trees of a forest put them into the same leaf, and `info` says "predicted"; "nearest" answers with the recorded one
    that is nearest in the unit cube, categories counting 1, and `info` says which; "error" refuses. The forest of the
    values is grown on the means at the full amount, another one on costs; values are averaged as the logarithm of what
    they are above the best, so that a prediction lies between recorded ones and no mean beats the best that was
    recorded. What diverged counts as the worst that was recorded.

    Args:
        task: Space, fidelity, objective.
        name: Full name.
        about: What the table says of itself.
        arrays: `values`, `fidelities` and `status`, as in the file.
        checksums: File to SHA-256.
        missing: As above.

    Cost: a look-up takes up to a tenth of a millisecond, a prediction one or two.
    """

    def __init__(
        self,
        task: Task,
        name: str,
        about: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        checksums: Mapping[str, str],
        *,
        missing: str = "surrogate",
    ) -> None:
        check("missing", missing, one_of=MISSING)
        self.about, self._missing = about, missing
        self.space, self.fidelity, self.objectives = task.space, task.fidelity, (task.objective,)
        design, metrics = about["design"], about["metrics"]
        self.configs = [Configuration(config) for config in design["configs"]]
        self._rows = {config: i for i, config in enumerate(self.configs)}
        self._amounts: list[float] = arrays["fidelities"][:, 0].tolist()
        every = arrays["values"].astype(float)
        self._seeds = every.shape[1]
        # the mean over seeds is one more of them, the last
        every = np.concatenate([every, every.mean(axis=1, keepdims=True)], axis=1)
        self._failed = (arrays["status"] == STATES.index(Status.FAILED)).any(axis=1)
        shown, hidden = task.objective.name, f"test_{task.objective.name}"
        self._values = every[..., metrics.index(shown)]
        self._tests = every[..., metrics.index(hidden)] if hidden in metrics else None
        self._costs = np.maximum.accumulate(every[..., metrics.index(CPU)], axis=2)
        self._logs: dict[tuple[str, int], Array] = {}  # by metric and seed, what predictions average
        self._last: tuple[tuple[Configuration, int], tuple[_Line, _Line]] | None = None  # read step by step
        self._unit = float(design["unit"])
        low, high = float(np.nanmin(self._values)), float(np.nanmax(self._values))
        self.bounds = {shown: (low, high)}
        best = np.nanmin if task.objective.goal == "min" else np.nanmax
        self.card = Card(
            name,
            about["source"],
            about["licence"],
            checksums,
            {shown: float(best(self._values[:, -1, -1]))},
            f"{self._seeds} recorded seeds",
            f"{about['title']}: {len(self.configs)} recorded configurations, {design['how']}. {self._stands()}",
        )

    def __len__(self) -> int:
        """Number of recorded configurations."""
        return len(self.configs)

    def _stands(self) -> str:
        """What answers for the rest, in words."""
        if self._missing == "error":
            return "No other one is answered."
        if self._missing == "nearest":
            return "Any other one is answered by the nearest of them."
        errors = self.about.get("surrogate")
        judged = "" if errors is None else (
            f"; in five-fold cross-validation its rank correlation is {errors['rank']:.2f}, and half of its errors are "
            f"below {errors['median']:.3g}"
        )  # fmt: skip
        return f"Any other one is predicted by a forest{judged}."

    # answers -------------------------------------------------------------------------------------------------

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None  # there is a fidelity
        return [self._line(config, seed)[0].at(resource) for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        line, _ = self._line(config, seed)
        return [(step, line.at(step)) for step in self._steps(until)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """The objective on test rows, where the table has it."""
        spent = self._spent(resource)
        assert spent is not None  # there is a fidelity
        if self._tests is None:
            return super().evaluate_test(config, resource=resource, seed=seed)
        return self._line(self._check(config), self._seeded(seed))[1].at(spent)

    def _line(self, config: Configuration, seed: int | None) -> tuple[_Line, _Line]:
        """Answers along the fidelity: the objective, and the test values (the objective again without them)."""
        pick = self._seeds if seed is None else seed % self._seeds
        if self._last is None or self._last[0] != (config, pick):
            self._last = (config, pick), self._answered(config, pick)
        return self._last[1]

    def _answered(self, config: Configuration, pick: int) -> tuple[_Line, _Line]:
        row = self._rows.get(config)
        info: dict[str, Any] = {}
        if row is None and self._missing == "error":
            raise BenchmarkError(
                f"benchmark {self.name!r} has no record of {dict(config)}. Allowed: the {len(self)} recorded "
                "configurations (benchmark.configs); load it with missing='surrogate' or 'nearest' for others."
            )
        if row is None and self._missing == "nearest":
            row = int(np.argmin(((self._features - features(self.space, [config])) ** 2).sum(axis=1)))
            info = {"nearest": dict(self.configs[row])}
        name = self.objectives[0].name
        tables = {name: self._values, f"test_{name}": self._values if self._tests is None else self._tests}
        if row is None:
            info = {"predicted": True}
            by_value, by_cost = self._weights(config)
            costs = np.exp(by_cost @ self._log_costs[:, pick])
            for metric, table in tables.items():
                if (metric, pick) not in self._logs:
                    self._logs[metric, pick] = self._forth(table[:, pick])
            found = {metric: self._back(by_value @ self._logs[metric, pick]) for metric in tables}
        else:
            costs = self._costs[row, pick]
            found = {metric: table[row, pick] for metric, table in tables.items()}
            if self._failed[row]:
                info["error"] = "ran out of time when the table was made"
        shown, hidden = (_Line(self._amounts, m, values.tolist(), costs.tolist(), info) for m, values in found.items())
        return shown, hidden

    # predictions ---------------------------------------------------------------------------------------------

    def _forth(self, values: Array) -> Array:
        """Logarithm of one and what lies above the best recorded, in `unit`s: differences below it count as such."""
        (low, high), sign = self.bounds[self.objectives[0].name], self.objectives[0].sign
        worst, best = (high, low) if sign > 0 else (low, high)
        above = sign * (np.where(np.isfinite(values), values, worst) - best)
        found: Array = np.sign(above) * np.log1p(np.abs(above) / self._unit)  # test values may be better than the best
        return found

    def _back(self, logs: Array) -> Array:
        (low, high), sign = self.bounds[self.objectives[0].name], self.objectives[0].sign
        found: Array = (low if sign > 0 else high) + sign * np.sign(logs) * self._unit * np.expm1(np.abs(logs))
        return found

    def _weights(self, config: Configuration) -> tuple[Array, Array]:
        """(n,) of each recorded configuration, for values and for costs."""
        X = features(self.space, [config])
        found = [np.bincount(forest.members(X)[:, 0], minlength=len(self)) / _TREES for forest in self._forests]
        return found[0], found[1]

    @cached_property
    def _log_costs(self) -> Array:
        found: Array = np.log(np.maximum(self._costs, 1e-9))
        return found

    @cached_property
    def _features(self) -> Array:
        return features(self.space, self.configs)

    @cached_property
    def _forests(self) -> list[Forest]:
        return [self._grown(self._features, y) for y in self._targets()]

    def _targets(self) -> tuple[Array, Array]:
        """(n,) logarithms of values and costs at the full amount, means over seeds."""
        return self._forth(self._values[:, -1, -1]), self._log_costs[:, -1, -1]

    def _grown(self, X: Array, y: Array) -> Forest:
        # every tree sees all rows and ends in single ones: few are recorded, and these are to be met exactly
        return grow(X, y, generator(0, "bench", _DRAWS), trees=_TREES, leaf=1, share=1.0, most=len(y))

    def cross_validated(self) -> dict[str, float]:
        """How far predictions of the objective at the full amount are off, each made without a fifth of the rows.

        Returns:
            rank: Spearman's correlation of predicted and recorded; median: median of the absolute errors; rms: root
            of the mean squared error; cost: root mean squared error of the natural logarithm of the cost.
        """
        X, (values, costs) = self._features, self._targets()
        fold = generator(0, "bench", _DRAWS).permutation(len(X)) % _FOLDS
        held = np.empty((2, len(X)))
        for place in range(_FOLDS):
            train, test = np.flatnonzero(fold != place), np.flatnonzero(fold == place)
            for line, y in enumerate((values, costs)):
                held[line, test] = y[train][self._grown(X[train], y[train]).members(X[test])].mean(axis=0)
        true, said = self._values[:, -1, -1], self._back(held[0])
        true = np.where(np.isfinite(true), true, self._back(values))
        off = np.abs(said - true)
        return {
            "rank": _rank_correlation(said, true),
            "median": float(np.median(off)),
            "rms": float(np.sqrt(np.mean(off**2))),
            "cost": float(np.sqrt(np.mean((held[1] - costs) ** 2))),
        }


class _Line:
    """Values and costs of one training at its recorded steps, and what stands for the steps between."""

    def __init__(
        self, amounts: Sequence[float], metric: str, values: Sequence[float], costs: Sequence[float], info: Any
    ) -> None:
        self._amounts, self._metric, self._values, self._costs, self._info = amounts, metric, values, costs, info

    def at(self, resource: float) -> Evaluation:
        """The answer at a resource, which is at least the first step."""
        amounts, costs = self._amounts, self._costs
        place = bisect_right(amounts, resource * (1 + 1e-9)) - 1
        value, cost, info = self._values[place], costs[place], self._info
        if not math.isclose(amounts[place], resource, rel_tol=1e-9):
            part = (resource - amounts[place]) / (amounts[place + 1] - amounts[place])
            cost, info = cost + part * (costs[place + 1] - cost), {**info, "recorded_at": amounts[place]}
        status = Status.COMPLETED if math.isfinite(value) else Status.DIVERGED
        if "error" in info:
            status = Status.FAILED
        return Evaluation({self._metric: value}, cost, status, info)


def features(space: Space, configs: Sequence[Config]) -> Array:
    """Unit cube with a column for each word of a choice, so that two words are 1 apart in all; (n, p)."""
    units, _ = space.encode(configs)
    columns = []
    for i, (kind, levels) in enumerate(zip(space.kinds, space.levels, strict=True)):
        if kind == "choice":
            codes = np.minimum((units[:, i] * levels).astype(int), levels - 1)
            columns.append(np.eye(levels)[codes] / math.sqrt(2))
        else:
            columns.append(units[:, i : i + 1])
    return np.hstack(columns)


def _rank_correlation(a: Array, b: Array) -> float:
    """Spearman's, with mean ranks for ties; 0 where all values of a side are equal."""
    ranks = [np.unique(x, return_inverse=True)[1] for x in (a, b)]
    means = [(np.cumsum(np.bincount(r)) - (np.bincount(r) - 1) / 2)[r] for r in ranks]
    spread = means[0].std() * means[1].std()
    return float(np.mean((means[0] - means[0].mean()) * (means[1] - means[1].mean())) / spread) if spread else 0.0
