"""Optuna with several objectives or constraints: its NSGA-II, TPE and GP samplers at their defaults.

`tool` is "<sampler>:<objectives>:<constraints>". A value that is told is a list: the objectives, then the amounts by
which constraints are exceeded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import _protocol

_protocol.one_thread()

import optuna  # noqa: E402
from optuna_peer import Optuna  # noqa: E402

SAMPLERS = {
    "nsga2": optuna.samplers.NSGAIISampler,
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
}


class OptunaMo(Optuna):
    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        sampler, objectives, _ = tool.split(":")
        self._space, self._objectives = space, int(objectives)
        self._study = optuna.create_study(
            sampler=SAMPLERS[sampler](seed=seed), directions=["minimize"] * self._objectives
        )

    def tell(self, value: Any) -> None:
        for number, amount in enumerate(value[self._objectives :]):
            self._trial.set_constraint(str(number), amount)
        self._study.tell(self._trial, value[: self._objectives])

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> None:
        raise NotImplementedError("not needed here")


if __name__ == "__main__":
    _protocol.serve(OptunaMo, ("optuna", "numpy", "scipy", "torch"))
