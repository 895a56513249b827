"""HEBO at its defaults. It knows no conditions: every hyperparameter is always active.

An ordinal is an integer, the index of its level. A logarithmic number is its `pow` kind; a logarithmic integer its
`pow_int`. It draws from the global generators of numpy and torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hebo.design_space.design_space import DesignSpace  # type: ignore[import-not-found,unused-ignore]
from hebo.optimizers.hebo import HEBO  # type: ignore[import-not-found,unused-ignore]


def parameter(one: dict[str, Any]) -> dict[str, Any]:
    """A hyperparameter as it is told them."""
    name, kind = one["name"], one["kind"]
    if kind in ("float", "int"):
        words = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
        return {"name": name, "type": words[kind, one["log"]], "lb": one["low"], "ub": one["high"]}
    if kind == "ordinal":
        return {"name": name, "type": "int", "lb": 0, "ub": len(one["values"]) - 1}
    return {"name": name, "type": "cat", "categories": one["values"]}


class Hebo:
    """An optimiser that suggests and observes."""

    def __init__(self, setting: Any) -> None:
        self._levels = {one["name"]: one["values"] for one in setting.space if one["kind"] == "ordinal"}
        space = DesignSpace().parse([parameter(one) for one in setting.space])
        self._hebo = HEBO(space, scramble_seed=setting.seed)
        self._rows: dict[int, Any] = {}

    def ask(self, trial: int) -> dict[str, Any]:
        """The next configuration."""
        row = self._rows[trial] = self._hebo.suggest(n_suggestions=1)
        config = row.iloc[0].to_dict()
        return {name: self._levels[name][int(v)] if name in self._levels else v for name, v in config.items()}

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> None:
        """What came out."""
        self._hebo.observe(self._rows.pop(trial), np.array([[value]]))

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """Observations from elsewhere."""
        rows = [
            {name: self._levels[name].index(v) if name in self._levels else v for name, v in config.items()}
            for config in configs
        ]
        self._hebo.observe(pd.DataFrame(rows), np.array(values, dtype=float)[:, None])


make = Hebo
