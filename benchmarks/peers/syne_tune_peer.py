"""Syne Tune: its CQR, BORE and BoTorch searchers at their defaults, single fidelity, asked and told directly.

It knows no conditions: it gets the flat space, and the caller drops what is inactive. An ordinal is one of its
`ordinal` domains of kind "equal" (equally spaced levels). BORE's and BoTorch's first draws come from numpy's global
generator, which is seeded here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import _protocol

_protocol.one_thread()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from syne_tune import config_space as cs  # noqa: E402
from syne_tune.optimizer import baselines  # noqa: E402

torch.set_num_threads(1)
logging.getLogger().setLevel(logging.ERROR)


def domain(one: Mapping[str, Any]) -> Any:
    if one["kind"] == "float":
        return (cs.loguniform if one["log"] else cs.uniform)(one["low"], one["high"])
    if one["kind"] == "int":
        return (cs.lograndint if one["log"] else cs.randint)(one["low"], one["high"])
    if one["kind"] == "ordinal":
        values = one["values"]
        if any(isinstance(value, float) for value in values):  # all must be of one type; 1.0 is read as 1 again
            values = [float(value) for value in values]
        return cs.ordinal(values, kind="equal")
    return cs.choice(one["values"])


class SyneTune:
    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        np.random.seed(seed)  # noqa: NPY002  # its searchers draw from it
        schedulers = {"cqr": baselines.CQR, "bore": baselines.BORE, "bo": baselines.BOTorch}
        domains = {one["name"]: domain(one) for one in space}
        self._searcher = schedulers[tool](domains, metric="loss", do_minimize=True, random_seed=seed).searcher
        self._number = 0

    def ask(self) -> dict[str, Any]:
        self._config = self._searcher.suggest()
        return dict(self._config)

    def tell(self, value: float) -> None:
        self._searcher.on_trial_complete(self._number, self._config, value)
        self._number += 1

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        for config, value in zip(configs, values, strict=True):
            if hasattr(self._searcher, "pending_trials"):  # BoTorch takes configurations from its own suggestions
                self._searcher.trial_configs[self._number] = dict(config)
            self._config = dict(config)
            self.tell(value)


if __name__ == "__main__":
    _protocol.serve(SyneTune, ("syne-tune", "numpy", "xgboost-cpu", "scikit-learn", "botorch", "torch"))
