"""The inside of a tool's environment: one tool, one run after another. Loaded by `luthier.bench.isolation.worker`.

It needs the standard library alone and Python 3.8 or newer, and so does every script beside it, but for its tool. A
script is a file with a function `make(setting)`, where `setting` is a `Setting`; it returns an object with

    ask(trial)                                  the next configuration, a dictionary; (configuration, until) from a
                                                tool that decides how far a trial runs; None: nothing for now
    tell(trial, value, resource, done, failed)  what came out, to be minimised; True ends the trial

Trials are numbered in the order of asking. `preload(configs, values)` is for what was evaluated before. Whatever is
random must follow from the seed; the global generators that tools draw from (Python's, numpy's, torch's) are seeded
before `make`.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from typing import Any


class Setting:
    """What a run begins with.

    Args:
        method: Which of the tool's methods.
        space: One dictionary a hyperparameter: name, kind ("float", "int", "ordinal", "choice"), low, high and log,
            or values; when: parent and values.
        seed: Decides all random draws.
        evaluations: How many evaluations at the full resource the budget is worth.
        axis: The fidelity: low, high, whole; None without one.
        options: The method's own arguments.
    """

    def __init__(
        self,
        method: str,
        space: list[dict[str, Any]],
        seed: int,
        evaluations: int,
        axis: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> None:
        self.method, self.space, self.seed, self.evaluations = method, space, seed, evaluations
        self.axis, self.options = axis, options


class Session:
    """What the worker calls.

    Args:
        script: The tool's script.
    """

    def __init__(self, script: str) -> None:
        sys.path.insert(0, os.path.dirname(script))
        spec = importlib.util.spec_from_file_location("luthier_tool", script)
        if spec is None or spec.loader is None:
            raise ImportError(f"{script} is no Python file")
        self._script = importlib.util.module_from_spec(spec)
        sys.modules["luthier_tool"] = self._script
        spec.loader.exec_module(self._script)
        self._tool: Any = None
        self._asked = 0

    def describe(self) -> dict[str, Any]:
        """Nothing: the worker wants it of benchmarks."""
        return {}

    def new(self, **given: Any) -> None:
        """Begin a run; the last one is forgotten."""
        self._tool, self._asked = None, 0
        seed_all(given["seed"])
        self._tool = self._script.make(Setting(**given))

    def ask(self) -> dict[str, Any] | None:
        """The next configuration."""
        found = self._tool.ask(self._asked)
        if found is None:
            return None
        self._asked += 1
        config, until = found if isinstance(found, tuple) else (found, None)
        return {"config": dict(config), "until": until}

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> bool:
        """What came out of a trial; whether it ends now."""
        return bool(self._tool.tell(trial, value, resource, done, failed))

    def preload(self, configs: list[dict[str, Any]], values: list[float]) -> None:
        """Observations from elsewhere."""
        self._tool.preload(configs, values)


def seed_all(seed: int) -> None:
    """Seed the global generators of what the script has imported."""
    random.seed(seed)
    numbers, tensors = sys.modules.get("numpy"), sys.modules.get("torch")
    if numbers is not None:
        numbers.random.seed(seed)
    if tensors is not None:
        tensors.manual_seed(seed)
        tensors.set_num_threads(1)


open = Session  # what the worker calls
