"""Nevergrad: NGOpt, which picks an algorithm by dimension and budget; any other of its registry by name.

It knows no conditions: every hyperparameter is always active. A logarithmic number is `Log` (an integer is rounded),
an ordinal `TransitionChoice`, a choice `Choice`. Option: `optimizer`.
"""

from __future__ import annotations

import warnings
from typing import Any

import nevergrad as ng  # type: ignore[import-not-found,unused-ignore]

warnings.filterwarnings("ignore")


def parameter(one: dict[str, Any]) -> Any:
    """A hyperparameter as one of its."""
    if one["kind"] == "ordinal":
        return ng.p.TransitionChoice(one["values"])
    if one["kind"] == "choice":
        return ng.p.Choice(one["values"])
    kind = ng.p.Log if one["log"] else ng.p.Scalar
    found = kind(lower=one["low"], upper=one["high"])
    return found.set_integer_casting() if one["kind"] == "int" else found


class Nevergrad:
    """An optimiser that is asked and told."""

    def __init__(self, setting: Any) -> None:
        space = ng.p.Dict(**{f"p{i}": parameter(one) for i, one in enumerate(setting.space)})
        space.random_state.seed(setting.seed)
        self._names = [one["name"] for one in setting.space]
        made = ng.optimizers.registry[setting.options.get("optimizer", setting.method)]
        self._optimizer = made(parametrization=space, budget=max(2, setting.evaluations), num_workers=1)
        self._space, self._trials = space, {}  # type: ignore[var-annotated]

    def ask(self, trial: int) -> dict[str, Any]:
        """The next configuration."""
        found = self._trials[trial] = self._optimizer.ask()
        return {name: found.value[f"p{i}"] for i, name in enumerate(self._names)}

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> None:
        """What came out."""
        self._optimizer.tell(self._trials.pop(trial), value)

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """Observations from elsewhere."""
        for config, value in zip(configs, values):  # noqa: B905 - Python 3.8
            row = {f"p{i}": config[name] for i, name in enumerate(self._names)}
            self._optimizer.tell(self._space.spawn_child(new_value=row), value)


make = Nevergrad
