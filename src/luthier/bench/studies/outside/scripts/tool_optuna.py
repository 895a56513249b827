"""Optuna: its samplers and pruners at their defaults; conditions by define-by-run.

An ordinal is an integer, the index of its level. Pruners are told the full resource (the default waits for the first
complete trial to see it). A trial's bracket is a hash of the study's name: a name that follows from the seed makes
runs repeatable. Options: `grace`, the first resource at which Hyperband judges (default: the least one).
"""

from __future__ import annotations

from typing import Any

import optuna  # type: ignore[import-not-found,unused-ignore]
from optuna.distributions import (  # type: ignore[import-not-found,unused-ignore]
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)

SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "nsga2": "NSGAIISampler"}


def sampler(name: str, seed: int) -> Any:
    """One of its samplers."""
    return getattr(optuna.samplers, SAMPLERS[name])(seed=seed)


class Optuna:
    """A study that is asked and told."""

    def __init__(self, setting: Any) -> None:
        name, _, pruner = setting.method.partition("+")
        self._space, self._axis = setting.space, setting.axis
        self._study = optuna.create_study(
            study_name=f"seed-{setting.seed}", sampler=sampler(name, setting.seed), pruner=self._pruner(pruner, setting)
        )
        self._prunes = bool(pruner)
        self._trials: dict[int, Any] = {}

    @staticmethod
    def _pruner(name: str, setting: Any) -> Any:
        if not name:
            return optuna.pruners.NopPruner()
        if name == "median":
            return optuna.pruners.MedianPruner()
        low, high = (int(setting.axis[end]) for end in ("low", "high"))
        return optuna.pruners.HyperbandPruner(min_resource=int(setting.options.get("grace", low)), max_resource=high)

    def ask(self, trial: int) -> dict[str, Any]:
        """The next configuration."""
        asked = self._trials[trial] = self._study.ask()
        config: dict[str, Any] = {}
        for one in self._space:
            when = one.get("when")
            if when is None or config.get(when["parent"]) in when["values"]:
                config[one["name"]] = self._suggest(asked, one)
        return config

    @staticmethod
    def _suggest(asked: Any, one: dict[str, Any]) -> Any:
        name = one["name"]
        if one["kind"] == "float":
            return asked.suggest_float(name, one["low"], one["high"], log=one["log"])
        if one["kind"] == "int":
            return asked.suggest_int(name, one["low"], one["high"], log=one["log"])
        if one["kind"] == "ordinal":
            return one["values"][asked.suggest_int(name, 0, len(one["values"]) - 1)]
        return asked.suggest_categorical(name, one["values"])

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> bool:
        """What came out; with a pruner, whether the trial ends."""
        asked = self._trials[trial]
        if self._prunes and resource is not None:
            asked.report(value, int(resource))
            if not done and asked.should_prune():
                self._end(trial, state=optuna.trial.TrialState.PRUNED)
                return True
        if done:
            self._end(trial, value)
        return False

    def _end(self, trial: int, value: float | None = None, **more: Any) -> None:
        self._study.tell(self._trials.pop(trial), value, **more)

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """Complete trials from elsewhere."""
        kinds = {one["name"]: one for one in self._space}
        for config, value in zip(configs, values):  # noqa: B905 - Python 3.8
            params = {
                name: kinds[name]["values"].index(v) if kinds[name]["kind"] == "ordinal" else v
                for name, v in config.items()
            }
            distributions = {name: self._distribution(kinds[name]) for name in config}
            self._study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))

    @staticmethod
    def _distribution(one: dict[str, Any]) -> Any:
        if one["kind"] == "float":
            return FloatDistribution(one["low"], one["high"], log=one["log"])
        if one["kind"] == "int":
            return IntDistribution(one["low"], one["high"], log=one["log"])
        if one["kind"] == "ordinal":
            return IntDistribution(0, len(one["values"]) - 1)
        return CategoricalDistribution(one["values"])


make = Optuna
