"""Optuna with several objectives or constraints: its NSGA-II, TPE and GP samplers at their defaults.

The option `objectives` says how many there are. A value that is told is a list: the objectives, then the amounts by
which constraints are exceeded.
"""

from __future__ import annotations

from typing import Any

import optuna
from tool_optuna import Optuna, sampler


class OptunaMo(Optuna):
    def __init__(self, setting: Any) -> None:
        super().__init__(setting)
        self._objectives = setting.options["objectives"]
        self._study = optuna.create_study(
            sampler=sampler(setting.method, setting.seed), directions=["minimize"] * self._objectives
        )

    def tell(self, trial: int, value: Any, resource: float | None, done: bool, failed: bool) -> bool:
        asked = self._trials.pop(trial)
        for number, amount in enumerate(value[self._objectives :]):
            asked.set_constraint(str(number), amount)
        self._study.tell(asked, value[: self._objectives])
        return False


make = OptunaMo
