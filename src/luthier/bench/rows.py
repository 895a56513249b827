"""Recorded configurations: a list of what was evaluated once, without gaps filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import BenchmarkError
from luthier.base.records import Card, Configuration, Evaluation, Objective
from luthier.bench._base import BaseBenchmark
from luthier.space.space import Space

MISSING = ("error", "nearest")


class RowTable(BaseBenchmark):
    """Configurations with their metrics.

    Args:
        configs: The recorded configurations, of the space.
        metrics: Name to (n,) values.
        space: The space they were drawn from.
        objectives: Which metrics are improved.
        card: Its card; the optimum over the recorded rows is added for each objective.
        missing: What a configuration that was not recorded gets: "nearest" (the values of the recorded one that is
            nearest in the unit cube, categories counting 1) or "error".
        seconds: (n,) cost of each, None when it was not recorded.

    Raises:
        BenchmarkError: lengths differ, or a metric is not finite.

    Cost: a recorded configuration takes a dictionary look-up; a nearest one O(n d).
    """

    def __init__(
        self,
        configs: Sequence[Configuration],
        metrics: Mapping[str, NDArray[np.float64]],
        space: Space,
        objectives: tuple[Objective, ...],
        card: Card,
        *,
        missing: str = "nearest",
        seconds: NDArray[np.float64] | None = None,
    ) -> None:
        check("missing", missing, one_of=MISSING)
        for name, column in metrics.items():
            if len(column) != len(configs) or not np.isfinite(column).all():
                raise BenchmarkError(
                    f"benchmark {card.name!r}: metric {name!r} has {int(np.isfinite(column).sum())} finite values for "
                    f"{len(configs)} configurations. Every configuration needs one."
                )
        self.space, self.objectives = space, objectives
        self.configs = list(configs)
        self._metrics = {name: np.asarray(column, dtype=float) for name, column in metrics.items()}
        self._seconds = np.zeros(len(configs)) if seconds is None else np.asarray(seconds, dtype=float)
        self._missing = missing
        self._rows = {config: i for i, config in enumerate(self.configs)}
        self._units, _ = space.encode(self.configs)
        self._choices = np.array([kind == "choice" for kind in space.kinds])
        self.bounds = {name: (float(column.min()), float(column.max())) for name, column in self._metrics.items()}
        best = {o.name: self.bounds[o.name][0 if o.goal == "min" else 1] for o in objectives}
        self.card = Card(
            card.name, card.source, card.licence, card.checksum, best, "one recorded evaluation", card.description
        )

    def __len__(self) -> int:
        """Number of recorded configurations."""
        return len(self.configs)

    def row(self, config: Configuration) -> int:
        """Row of a configuration, or of the nearest one.

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

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        found = []
        for config in configs:
            i = self.row(config)
            values = {name: float(column[i]) for name, column in self._metrics.items()}
            info: dict[str, Any] = {} if config in self._rows else {"nearest": dict(self.configs[i])}
            found.append(Evaluation(values, float(self._seconds[i]), info=info))
        return found
