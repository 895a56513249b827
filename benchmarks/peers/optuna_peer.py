"""Optuna: its TPE and GP samplers at their defaults; conditions by define-by-run.

An ordinal is an integer, the index of its level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import _protocol

_protocol.one_thread()

import optuna  # noqa: E402
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Optuna:
    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        samplers = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}
        self._space = space
        self._study = optuna.create_study(sampler=samplers[tool](seed=seed))

    def ask(self) -> dict[str, Any]:
        self._trial = self._study.ask()
        config: dict[str, Any] = {}
        for one in self._space:
            when = one.get("when")
            if when is None or config.get(when["parent"]) in when["values"]:
                config[one["name"]] = self._suggest(one)
        return config

    def _suggest(self, one: Mapping[str, Any]) -> Any:
        name, trial = one["name"], self._trial
        if one["kind"] == "float":
            return trial.suggest_float(name, one["low"], one["high"], log=one["log"])
        if one["kind"] == "int":
            return trial.suggest_int(name, one["low"], one["high"], log=one["log"])
        if one["kind"] == "ordinal":
            return one["values"][trial.suggest_int(name, 0, len(one["values"]) - 1)]
        return trial.suggest_categorical(name, one["values"])

    def tell(self, value: float) -> None:
        self._study.tell(self._trial, value)

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        kinds = {one["name"]: one for one in self._space}
        for config, value in zip(configs, values, strict=True):
            params = {
                name: kinds[name]["values"].index(v) if kinds[name]["kind"] == "ordinal" else v
                for name, v in config.items()
            }
            distributions = {name: self._distribution(kinds[name]) for name in config}
            self._study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))

    @staticmethod
    def _distribution(one: Mapping[str, Any]) -> Any:
        if one["kind"] == "float":
            return FloatDistribution(one["low"], one["high"], log=one["log"])
        if one["kind"] == "int":
            return IntDistribution(one["low"], one["high"], log=one["log"])
        if one["kind"] == "ordinal":
            return IntDistribution(0, len(one["values"]) - 1)
        return CategoricalDistribution(one["values"])


if __name__ == "__main__":
    _protocol.serve(Optuna, ("optuna", "numpy", "scipy", "torch"))
