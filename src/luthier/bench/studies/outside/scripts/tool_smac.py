"""SMAC3: its facades for hyperparameter optimisation ("rf"), black boxes ("gp") and several fidelities ("hb").

At their defaults, ask and tell. `deterministic=True`: a configuration is evaluated once (at each fidelity). The
initial design depends on the number of evaluations, which it is told. The multi-fidelity facade runs Hyperband with a
random forest, which HPOBench's paper calls SMAC-HB.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import ConfigSpace
from shared_configspace import space_of  # type: ignore[import-not-found,unused-ignore]
from smac import (  # type: ignore[import-not-found,unused-ignore]
    BlackBoxFacade,
    HyperparameterOptimizationFacade,
    MultiFidelityFacade,
    Scenario,
)
from smac.main.exceptions import ConfigurationSpaceExhaustedException  # type: ignore[import-not-found,unused-ignore]
from smac.runhistory.dataclasses import TrialInfo, TrialValue  # type: ignore[import-not-found,unused-ignore]

logging.disable(logging.CRITICAL)

FACADES = {"rf": HyperparameterOptimizationFacade, "gp": BlackBoxFacade, "hb": MultiFidelityFacade}


class Smac:
    """A facade that is asked and told."""

    def __init__(self, setting: Any) -> None:
        self._setting, self._space = setting, space_of(setting.space)
        self._facade = FACADES[setting.method]
        self._trials: dict[int, Any] = {}
        self._build({})

    def _build(self, design: dict[str, int]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        setting, several = self._setting, {}
        if setting.method == "hb":
            several = {"min_budget": setting.axis["low"], "max_budget": setting.axis["high"]}
        scenario = Scenario(
            self._space,
            n_trials=setting.evaluations,
            deterministic=True,
            seed=setting.seed,
            output_directory=Path(self._folder.name),
            **several,
        )
        self._smac = self._facade(
            scenario,
            target_function=_never if several else _never_whole,
            initial_design=self._facade.get_initial_design(scenario, **design),
            overwrite=True,
        )

    def ask(self, trial: int) -> Any:
        """The next configuration, with the budget that Hyperband gives it; None when the space is used up."""
        try:
            info = self._trials[trial] = self._smac.ask()
        except (StopIteration, ConfigurationSpaceExhaustedException):
            return None
        return dict(info.config), info.budget

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> None:
        """What came out."""
        self._smac.tell(self._trials.pop(trial), TrialValue(cost=value, time=0.0), save=False)

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """As its manual warm-starts: what is told replaces the initial design."""
        self._build({"n_configs": 0})
        for config, value in zip(configs, values):  # noqa: B905 - Python 3.8
            info = TrialInfo(ConfigSpace.Configuration(self._space, values=config), seed=0)
            self._smac.tell(info, TrialValue(cost=value, time=0.0), save=False)


def _never_whole(config: Any, seed: int = 0) -> float:
    return 0.0


def _never(config: Any, seed: int = 0, budget: float = 0.0) -> float:
    return 0.0


make = Smac
