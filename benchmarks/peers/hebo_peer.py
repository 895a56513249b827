"""HEBO at its defaults. It knows no conditions: it gets the flat space.

An ordinal is an integer, the index of its level. A logarithmic number is its `pow` kind; a logarithmic integer its
`pow_int`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import _protocol

_protocol.one_thread()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from hebo.design_space.design_space import DesignSpace  # noqa: E402
from hebo.optimizers.hebo import HEBO  # noqa: E402

torch.set_num_threads(1)


def parameter(one: Mapping[str, Any]) -> dict[str, Any]:
    name, kind = one["name"], one["kind"]
    if kind in ("float", "int"):
        words = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
        return {"name": name, "type": words[kind, one["log"]], "lb": one["low"], "ub": one["high"]}
    if kind == "ordinal":
        return {"name": name, "type": "int", "lb": 0, "ub": len(one["values"]) - 1}
    return {"name": name, "type": "cat", "categories": one["values"]}


class Hebo:
    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        np.random.seed(seed)  # noqa: NPY002  # it draws from both global generators
        torch.manual_seed(seed)
        self._levels = {one["name"]: one["values"] for one in space if one["kind"] == "ordinal"}
        self._hebo = HEBO(DesignSpace().parse([parameter(one) for one in space]), scramble_seed=seed)

    def ask(self) -> dict[str, Any]:
        self._row = self._hebo.suggest(n_suggestions=1)
        config = self._row.iloc[0].to_dict()
        return {name: self._levels[name][int(v)] if name in self._levels else v for name, v in config.items()}

    def tell(self, value: float) -> None:
        self._hebo.observe(self._row, np.array([[value]]))

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        rows = [
            {name: self._levels[name].index(v) if name in self._levels else v for name, v in config.items()}
            for config in configs
        ]
        self._hebo.observe(pd.DataFrame(rows), np.array(values, dtype=float)[:, None])


if __name__ == "__main__":
    _protocol.serve(Hebo, ("HEBO", "numpy", "torch"))
