"""Syne Tune: its searchers CQR, BORE and BoTorch, and its ASHA with random search and CQR, at their defaults.

It knows no conditions: every hyperparameter is always active. An ordinal is one of its `ordinal` domains of kind
"equal" (equally spaced levels). Its searchers and the brackets of ASHA draw from numpy's global generator. A scheduler
is driven as its Tuner does: it hears of a new trial, of each report, and of a trial that it has stopped; its stop at
the full resource is the trial's end. Options: `grace`, the first resource at which ASHA judges (default: the least).
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from syne_tune import config_space as cs  # type: ignore[import-not-found,unused-ignore]
from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found,unused-ignore]
from syne_tune.optimizer import baselines  # type: ignore[import-not-found,unused-ignore]
from syne_tune.optimizer.scheduler import SchedulerDecision  # type: ignore[import-not-found,unused-ignore]

logging.getLogger().setLevel(logging.ERROR)


def domain(one: dict[str, Any]) -> Any:
    """A hyperparameter as its domain."""
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


class Searcher:
    """A searcher alone."""

    def __init__(self, setting: Any) -> None:
        schedulers = {"cqr": "CQR", "bore": "BORE", "bo": "BOTorch"}
        domains = {one["name"]: domain(one) for one in setting.space}
        made = getattr(baselines, schedulers[setting.method])
        self._searcher = made(domains, metric="loss", do_minimize=True, random_seed=setting.seed).searcher
        self._trials: dict[int, dict[str, Any]] = {}
        self._given = 0

    def ask(self, trial: int) -> Any:
        """The next configuration; None when the space is used up."""
        found = self._searcher.suggest()
        if found is None:
            return None
        self._trials[trial] = dict(found)
        return dict(found)

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> None:
        """What came out."""
        self._searcher.on_trial_complete(self._given + trial, self._trials.pop(trial), value)

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """Observations from elsewhere."""
        for config, value in zip(configs, values):  # noqa: B905 - Python 3.8
            if hasattr(self._searcher, "pending_trials"):  # BoTorch takes configurations from its own suggestions
                self._searcher.trial_configs[self._given] = dict(config)
            self._searcher.on_trial_complete(self._given, dict(config), value)
            self._given += 1


class Scheduler:
    """A scheduler that stops trials."""

    def __init__(self, setting: Any) -> None:
        kinds = {"asha": baselines.ASHA, "cqr-asha": baselines.ASHACQR}
        self._scheduler = kinds[setting.method](
            {one["name"]: domain(one) for one in setting.space},
            metric="loss",
            time_attr="epoch",
            max_t=int(setting.axis["high"]),
            grace_period=int(setting.options.get("grace", setting.axis["low"])),
            do_minimize=True,
            random_seed=setting.seed,
        )
        self._trials: dict[int, Trial] = {}

    def ask(self, trial: int) -> Any:
        """The next configuration; None when the space is used up."""
        found = self._scheduler.suggest()
        if found is None:
            return None
        config = dict(found.config)
        self._trials[trial] = Trial(trial, config, datetime.now())
        self._scheduler.on_trial_add(self._trials[trial])
        return config

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> bool:
        """A report; whether the trial ends."""
        known = self._trials[trial]
        if resource is None:  # it failed before its first report
            self._scheduler.on_trial_error(known)
            return True
        decision = self._scheduler.on_trial_result(known, {"loss": value, "epoch": int(resource)})
        if decision == SchedulerDecision.CONTINUE and not done:
            return False
        self._scheduler.on_trial_remove(known)
        del self._trials[trial]
        return True


def make(setting: Any) -> Any:
    """One of both."""
    return (Scheduler if setting.method.endswith("asha") else Searcher)(setting)
