"""Optuna: its TPE sampler and HyperbandPruner at their defaults, several trials at once.

The pruner is told the full resource (its default waits for the first complete trial to see it), as every other tool
is. A trial's bracket is a hash of the study's name: a name that follows from the seed makes runs repeatable. A trial
that is pruned is told as such; one that has reported the full resource is complete.
"""

from __future__ import annotations

from typing import Any

import _protocol

_protocol.one_thread()

import optuna  # noqa: E402
from optuna_peer import Optuna  # noqa: E402


class Pruning(Optuna):
    """As `Optuna`, with early stopping; `evaluations` is the full resource, `tool` is "tpe:" and the least one."""

    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        sampler, _, grace = tool.partition(":")
        if sampler != "tpe":
            raise ValueError(f"tool {tool!r}. Allowed: tpe:1, tpe:3 and so on.")
        self._space, self._full = space, evaluations
        self._study = optuna.create_study(
            study_name=f"seed-{seed}",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(min_resource=int(grace), max_resource=evaluations),
        )
        self._running: list[Any] = []

    def ask(self) -> dict[str, Any]:
        config = super().ask()
        self._running.append(self._trial)
        return config

    def report(self, trial: int, resource: int, value: float) -> bool:
        asked = self._running[trial]
        asked.report(value, resource)
        if resource >= self._full:
            self._study.tell(asked, value)
            return True
        if not asked.should_prune():
            return False
        self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        return True


if __name__ == "__main__":
    _protocol.serve(Pruning, ("optuna", "numpy", "scipy"))
