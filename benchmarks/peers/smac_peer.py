"""SMAC3: the hyperparameter-optimisation facade ("rf") and the black-box facade ("gp") at their defaults, ask and tell.

`deterministic=True`: a configuration is evaluated once. Its initial design depends on the number of evaluations,
which it is told. Conditions are ConfigSpace's.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _protocol

_protocol.one_thread()

import ConfigSpace as C  # noqa: E402
from smac import BlackBoxFacade, HyperparameterOptimizationFacade, Scenario  # noqa: E402
from smac.runhistory.dataclasses import TrialInfo, TrialValue  # noqa: E402

logging.disable(logging.CRITICAL)


def space_of(space: _protocol.Spec) -> Any:
    found = C.ConfigurationSpace()
    for one in space:
        name, kind = one["name"], one["kind"]
        if kind == "float":
            found.add(C.UniformFloatHyperparameter(name, one["low"], one["high"], log=one["log"]))
        elif kind == "int":
            found.add(C.UniformIntegerHyperparameter(name, one["low"], one["high"], log=one["log"]))
        elif kind == "ordinal":
            found.add(C.OrdinalHyperparameter(name, one["values"]))
        else:
            found.add(C.CategoricalHyperparameter(name, one["values"]))
    for one in space:
        if one.get("when"):
            found.add(C.InCondition(found[one["name"]], found[one["when"]["parent"]], one["when"]["values"]))
    return found


class Smac:
    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        self._facade = {"rf": HyperparameterOptimizationFacade, "gp": BlackBoxFacade}[tool]
        self._space = space_of(space)
        self._seed, self._evaluations = seed, evaluations
        self._build({})

    def _build(self, design: dict[str, int]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            self._space,
            n_trials=self._evaluations,
            deterministic=True,
            seed=self._seed,
            output_directory=Path(self._folder.name),
        )
        self._smac = self._facade(
            scenario,
            target_function=lambda config, seed=0: 0.0,
            initial_design=self._facade.get_initial_design(scenario, **design),
            overwrite=True,
        )

    def ask(self) -> dict[str, Any]:
        self._info = self._smac.ask()
        return dict(self._info.config)

    def tell(self, value: float) -> None:
        self._smac.tell(self._info, TrialValue(cost=value, time=0.0), save=False)

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        self._build({"n_configs": 0})  # as its manual warm-starts: what is told replaces the initial design
        for config, value in zip(configs, values, strict=True):
            info = TrialInfo(C.Configuration(self._space, values=dict(config)), seed=0)
            self._smac.tell(info, TrialValue(cost=value, time=0.0), save=False)


if __name__ == "__main__":
    _protocol.serve(Smac, ("smac", "ConfigSpace", "numpy", "scikit-learn"))
