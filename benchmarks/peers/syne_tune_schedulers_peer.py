"""Syne Tune: its ASHA with random search and with CQR at their defaults, driven as its Tuner drives them.

The scheduler hears of a new trial, of each report and of a trial that it has stopped; its stop at the full resource
is the trial's end. The scheduler draws brackets from numpy's global generator, which is seeded here.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import _protocol

_protocol.one_thread()

import numpy as np  # noqa: E402
from syne_tune.backend.trial_status import Trial  # noqa: E402
from syne_tune.optimizer import baselines  # noqa: E402
from syne_tune.optimizer.scheduler import SchedulerDecision  # noqa: E402
from syne_tune_peer import domain  # noqa: E402

logging.getLogger().setLevel(logging.ERROR)


class Schedulers:
    """One scheduler; `evaluations` is the full resource, `tool` is "asha:" or "cqr:" and the grace period."""

    def __init__(self, space: _protocol.Spec, tool: str, seed: int, evaluations: int) -> None:
        np.random.seed(seed)  # noqa: NPY002  # its schedulers draw from it
        kind, _, grace = tool.partition(":")
        kinds = {"asha": baselines.ASHA, "cqr": baselines.ASHACQR}
        domains = {one["name"]: domain(one) for one in space}
        self._scheduler = kinds[kind](
            domains,
            metric="loss",
            time_attr="epoch",
            max_t=evaluations,
            grace_period=int(grace),
            do_minimize=True,
            random_seed=seed,
        )
        self._trials: list[Trial] = []

    def ask(self) -> dict[str, Any]:
        config = dict(self._scheduler.suggest().config)
        trial = Trial(len(self._trials), config, datetime.now())
        self._trials.append(trial)
        self._scheduler.on_trial_add(trial)
        return config

    def report(self, trial: int, resource: int, value: float) -> bool:
        known = self._trials[trial]
        decision = self._scheduler.on_trial_result(known, {"loss": value, "epoch": resource})
        if decision == SchedulerDecision.CONTINUE:
            return False
        self._scheduler.on_trial_remove(known)
        return True


if __name__ == "__main__":
    _protocol.serve(Schedulers, ("syne-tune", "numpy", "xgboost-cpu", "scikit-learn"))
