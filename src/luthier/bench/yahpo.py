"""YAHPO Gym's surrogates: neural networks (ONNX) that predict what a training would have given."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import ArgumentError, BenchmarkError, NumericsWarning, did_you_mean
from luthier.base.imports import need
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.bench._base import BaseBenchmark
from luthier.space.configspace import from_configspace
from luthier.space.space import Space

#: Values that a metric cannot leave, by name; everything else that is minimised by nature is at least 0.
SHARES = frozenset({"acc", "bac", "auc", "f1", "mmce", "val_balanced_accuracy", "test_balanced_accuracy"})
PERCENT = frozenset({"val_accuracy", "test_accuracy"})
#: Upstream's meta data lists f1 among what is minimised.
MAXIMISED = frozenset({"f1"})
_INACTIVE = "#na#"
_CHUNK = 256  # rows given to the network at once: what lies between its layers then stays in the processor's cache


@dataclass(frozen=True)
class Scenario:
    """A surrogate's files, read.

    Args:
        model: Place of the network.
        categories: Categorical inputs in order, each with its codes.
        numbers: Numeric inputs in order.
        targets: Outputs in order.
        minimised: Output to whether less is better.
        fidelities: Names of the fidelities, the first is the resource.
        instance: Name of the input that chooses the task.
        instances: The tasks.
        runtime: Output that is the cost in seconds, None if there is none.
        memory: Output that is the memory, None if there is none.
        axes: Fidelity to (low, high).
        configspace: The space without task and fidelities, as ConfigSpace's JSON.
    """

    model: Path
    categories: Mapping[str, Mapping[str, int]]
    numbers: tuple[str, ...]
    targets: tuple[str, ...]
    minimised: Mapping[str, bool]
    fidelities: tuple[str, ...]
    instance: str
    instances: tuple[str, ...]
    runtime: str | None
    memory: str | None
    axes: Mapping[str, tuple[float, float]]
    configspace: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Scenario:
        """Read a folder with model.onnx, encoding.json, config_space.json and meta.json.

        Raises:
            BenchmarkError: a file lacks something.
        """
        try:
            meta, encoding, spec = (
                json.loads((folder / name).read_text(encoding="utf-8"))
                for name in ("meta.json", "encoding.json", "config_space.json")
            )
            entries = {entry["name"]: entry for entry in spec["hyperparameters"]}
            taken = {meta["instance_name"], *meta["fidelity"]}
            return cls(
                folder / "model.onnx",
                {name: encoding[name] for name in meta["x_cat"]},
                tuple(meta["x_cont"]),
                tuple(meta["targets"]),
                {t: bool(m) and t not in MAXIMISED for t, m in zip(meta["targets"], meta["minimize"], strict=True)},
                tuple(meta["fidelity"]),
                meta["instance_name"],
                tuple(entries[meta["instance_name"]]["choices"]),
                meta.get("runtime"),
                meta.get("memory"),
                {name: (entries[name]["lower"], entries[name]["upper"]) for name in meta["fidelity"]},
                {
                    **spec,
                    "hyperparameters": [entry for name, entry in entries.items() if name not in taken],
                    "conditions": [one for one in spec.get("conditions", []) if one["child"] not in taken],
                },
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{folder} is no YAHPO scenario in the layout that luthier reads ({error!r}). Expected: model.onnx, "
                "encoding.json, config_space.json as published, and meta.json with x_cat, x_cont, targets, minimize, "
                "fidelity, instance_name, runtime."
            ) from error

    def session(self) -> Any:
        """The network, loaded once per process; one thread."""
        return _session(str(self.model))

    def predict(self, x_cat: NDArray[np.int32], x_cont: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, categorical inputs) and (n, numeric inputs) -> (n, targets), as the network says it."""
        run = self.session().run
        parts = [
            run(None, {"x_cat": x_cat[i : i + _CHUNK], "x_cont": x_cont[i : i + _CHUNK]})[0]
            for i in range(0, len(x_cat), _CHUNK)
        ]
        return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))


@lru_cache(maxsize=8)
def _session(path: str) -> Any:
    runtime = need("onnxruntime", what="a YAHPO surrogate", extra="bench")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base class
        raise BenchmarkError(f"{path} cannot be loaded ({error}). Fetch the file again.") from error


class Surrogate(BaseBenchmark):
    """One task of a scenario.

    The first fidelity is the resource; further ones (such as `repl`, the number of repetitions) are at their most.
    Every target is a metric, but those of the test set, which `evaluate_test` answers. An inactive category has the
    code of "#na#", an inactive number is 0. What cannot be (a negative time, an accuracy above 100 percent) is
    clipped to what can, with one NumericsWarning per benchmark.

    Args:
        scenario: The surrogate.
        instance: The task.
        objectives: Names of the targets to improve; empty: the first that is neither time nor memory.
        card: Its card.

    Raises:
        ArgumentError: no such task or target.

    Source: Pfisterer et al. 2022, YAHPO Gym.
    Cost: one evaluation takes about 0.1 ms, in a batch about 0.01 ms.
    """

    def __init__(self, scenario: Scenario, instance: str, objectives: Sequence[str], card: Card) -> None:
        if instance not in scenario.instances:
            raise ArgumentError(f"benchmark {card.name!r}: {did_you_mean(instance, scenario.instances)}")
        self.scenario, self.instance, self.card = scenario, instance, card
        self.space: Space = from_configspace(scenario.configspace)
        first = scenario.fidelities[0]
        self.fidelity = Fidelity(first, *scenario.axes[first])
        self._tests = frozenset(target for target in scenario.targets if target.startswith("test_"))
        chosen = tuple(objectives) or (self._usual(),)
        for name in chosen:
            if name not in scenario.targets or name in self._tests:
                allowed = [target for target in scenario.targets if target not in self._tests]
                raise ArgumentError(f"benchmark {card.name!r}: objective {name!r}. {did_you_mean(name, allowed)}")
        self.objectives = tuple(Objective(name, "min" if scenario.minimised[name] else "max") for name in chosen)
        self.bounds = {target: limits(target) for target in scenario.targets if target not in self._tests}
        low_high = np.array([limits(target) for target in scenario.targets], dtype=np.float32)
        self._low, self._high = low_high.T
        self._warned = False
        runtime = scenario.runtime
        self._runtime = None if runtime is None else scenario.targets.index(runtime)
        places = list(enumerate(scenario.targets))
        self._shown = {tests: [(i, t) for i, t in places if (t in self._tests) == tests] for tests in (False, True)}

    def _usual(self) -> str:
        skip = {self.scenario.runtime, self.scenario.memory, *self._tests}
        return next(target for target in self.scenario.targets if target not in skip)

    def evaluate_test(
        self, config: Mapping[str, Any], *, resource: float | None = None, seed: int | None = 0
    ) -> Evaluation:
        """The test targets, for judging a finished search."""
        if not self._tests:
            return super().evaluate_test(config, resource=resource, seed=seed)
        spent = self._spent(resource)
        assert spent is not None  # there is a fidelity
        [values] = self._values([self._check(config)], [spent])
        return self._answer(values.tolist(), tests=True)

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None  # there is a fidelity
        if not configs:
            return []
        return [self._answer(values) for values in self._values(configs, [resource] * len(configs)).tolist()]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        steps = self._steps(until)
        rows = self._values([config] * len(steps), steps)
        return [(step, self._answer(values)) for step, values in zip(steps, rows.tolist(), strict=True)]

    def encode(
        self, configs: Sequence[Mapping[str, Any]], resources: Sequence[float]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The network's inputs: (n, categorical inputs) codes and (n, numeric inputs) on their natural scales."""
        scenario, axis = self.scenario, self.fidelity
        assert axis is not None  # set by the constructor
        fixed = {name: scenario.axes[name][1] for name in scenario.fidelities[1:]}
        x_cat = [
            [
                codes[self.instance] if name == scenario.instance else codes[config.get(name, _INACTIVE)]
                for name, codes in scenario.categories.items()
            ]
            for config in configs
        ]
        x_cont = [
            [spent if name == axis.name else fixed.get(name, config.get(name, 0.0)) for name in scenario.numbers]
            for config, spent in zip(configs, resources, strict=True)
        ]
        return np.array(x_cat, dtype=np.int32), np.array(x_cont, dtype=np.float32)

    def _values(self, configs: Sequence[Configuration], resources: Sequence[float]) -> NDArray[np.float64]:
        """(n, targets), clipped to what can be."""
        found = self.scenario.predict(*self.encode(configs, resources))
        raw = found.astype(np.float64)
        if not ((found < self._low) | (found > self._high)).any():
            return raw
        clipped = np.clip(raw, self._low, self._high)
        if not self._warned and (np.abs(raw - clipped) > 1e-6).any():
            self._warned = True
            worst = int(np.nanargmax(np.abs(raw - clipped).max(axis=0)))
            warnings.warn(
                NumericsWarning(
                    f"benchmark {self.name!r}: the surrogate predicts values that cannot be, such as "
                    f"{self.scenario.targets[worst]} beyond [{self._low[worst]:g}, {self._high[worst]:g}]; they are "
                    "clipped."
                ),
                stacklevel=4,
            )
        return np.asarray(clipped)

    def _answer(self, values: Sequence[float], *, tests: bool = False) -> Evaluation:
        metrics = {name: values[i] for i, name in self._shown[tests]}
        seconds = 0.0 if self._runtime is None else values[self._runtime]
        fine = all(map(math.isfinite, values))
        return Evaluation(metrics, seconds, Status.COMPLETED if fine else Status.DIVERGED)


def limits(target: str) -> tuple[float, float]:
    """What a target's values cannot leave."""
    if target in SHARES:
        return 0.0, 1.0
    return (0.0, 100.0) if target in PERCENT else (0.0, math.inf)
