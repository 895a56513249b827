"""HW-GPT-Bench: decoders of GPT-2 shape; predicted perplexity, parameters, operations and memory, in three scales."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, BenchmarkError
from luthier.base.pareto import reference_point
from luthier.base.records import Card, Configuration, Evaluation, Objective
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark, Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, checksums, find
from luthier.space.domains import Choice, Ordinal
from luthier.space.space import Space

Array = NDArray[np.float64]

ORIGIN = (
    "GitHub automl/HW-GPT-Bench, commit 1f43ee8322e6, data_collection/gpt_datasets/predictor_ckpts, weights converted "
    "to float32 arrays"
)
#: Scale to the SHA-256 of its .npz and .json.
HASHES = {
    "s": (
        "5dcc080e14957b1f48ec3693bc6539110b5df9610a28646c78ee0ac466aa0215",
        "61dda698c745d0a54f6681f985040ebf400842c426182bb07b43741e535c86a1",
    ),
    "m": (
        "40310313e4d353b25d80c7cccf5fdd63a2213039d87dc8fd10187ffeb4f0f7ff",
        "28c24671fd2905151bb4b2f51d246c96326ef33ee492bcb7e77c34184c563b65",
    ),
    "l": (
        "40736c38e229e55cc1b8318ee0875105ba5d22a280c58a4181282b83cbb8d78d",
        "2ffcee21229195ad4f34617134aefd273863ba0ddbb4d3d06c303fa69b6cca72",
    ),
}
#: Metric to the name of its network: perplexity on the super-network, parameters in millions, operations in 1e12, MB.
TARGETS = {
    "perplexity": "perplexity",
    "params_m": "params",
    "tflops": "flops",
    "float16_memory_mb": "float16_memory",
    "bfloat16_memory_mb": "bfloat16_memory",
}
_LAYERS = 5
_POOL = 2000  # random configurations behind the reference point


class Shapes(NamedTuple):
    """Many networks: (n,) widths, depths and biases, (n, most layers) ratios and heads with -1 beyond the depth."""

    embed_dim: Array
    n_layer: Array
    mlp_ratio: Array
    n_head: Array
    bias: NDArray[np.bool_]


class HwGpt(BaseBenchmark):
    """One scale.

    A network has a width, a depth, and for each layer a ratio of the inner width and a number of heads; layers beyond
    the depth are inactive hyperparameters.

    Args:
        lists: Hyperparameter to its values.
        weights: "<target>/fc<i>.weight" and ".bias" of five layers each.
        objectives: Metrics to be minimised.
        card: Its card.

    Source: Sukthanker et al. 2024, HW-GPT-Bench, the authors' five-layer predictors.
    Differs: latency and energy are missing, for whose predictors no copy was at hand.
    Cost: 0.5 ms for one configuration, 0.1 ms each in batches.
    """

    def __init__(
        self, lists: Mapping[str, list[Any]], weights: Mapping[str, Array], objectives: Sequence[str], card: Card
    ) -> None:
        self._lists, self._weights, self.card = lists, weights, card
        self._most = max(lists["n_layer"])
        self.space = _space(lists)
        self.objectives = tuple(Objective(name) for name in objectives)
        self.bounds = {name: (1.0 if name == "perplexity" else 0.0, math.inf) for name in TARGETS}

    @cached_property
    def reference(self) -> Array:
        """Reference point of hypervolumes, from 2000 random configurations and the smallest and largest one; (m,)."""
        rows = self.space.sample_unit(_POOL, generator(0, "bench"))
        ends = np.stack([np.zeros(self.space.dimensions), np.ones(self.space.dimensions)])
        configs = self.space.decode(np.concatenate([rows, ends]))
        found = self.evaluate_batch(configs)
        return reference_point(np.array([[one.metrics[o.name] for o in self.objectives] for one in found]))

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        if not configs:
            return []
        shapes = self._shapes(configs)
        inputs = {True: self._one_hot(shapes), False: self._scaled(shapes)}
        metrics = {
            name: self._predict(target, inputs[target == "perplexity"]).tolist() for name, target in TARGETS.items()
        }
        return [Evaluation(dict(zip(metrics, row, strict=True))) for row in zip(*metrics.values(), strict=True)]

    def _shapes(self, configs: Sequence[Configuration]) -> Shapes:
        layers = range(self._most)
        ratios, heads = (
            np.array([[config.get(f"{name}_{i}", -1) for i in layers] for config in configs], dtype=float)
            for name in ("mlp_ratio", "n_head")
        )
        widths, depths = (np.array([c[name] for c in configs], dtype=float) for name in ("embed_dim", "n_layer"))
        return Shapes(widths, depths, ratios, heads, np.array([c["bias"] == "True" for c in configs]))

    def _one_hot(self, shapes: Shapes) -> Array:
        """Input of the perplexity's network: an indicator for each value, none beyond the depth; (n, inputs)."""
        parts = [
            values.reshape(len(values), -1, 1) == np.array(self._lists[name], dtype=float)
            for name, values in zip(shapes._fields[:4], shapes[:4], strict=True)
        ]
        told = np.array([value == "True" for value in self._lists["bias"]])
        parts.append(shapes.bias[:, None, None] == told)
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(float)

    def _scaled(self, shapes: Shapes) -> Array:
        """Input of the other networks: values scaled to [0, 1], -1 beyond the depth; (n, inputs)."""
        columns = []
        for name, values in zip(shapes._fields[:4], shapes[:4], strict=True):
            low, high = min(self._lists[name]), max(self._lists[name])
            scaled = np.where(values < 0, -1.0, (values - low) / (high - low))
            columns.append(scaled.reshape(len(values), -1))
        return np.concatenate([*columns, shapes.bias[:, None].astype(float)], axis=1)

    def _predict(self, target: str, rows: Array) -> Array:
        for layer in range(1, _LAYERS + 1):
            weight, bias = (self._weights[f"{target}/fc{layer}.{part}"] for part in ("weight", "bias"))
            rows = rows @ weight.T + bias
            rows = np.maximum(rows, 0.0) if layer < _LAYERS else rows
        found: Array = rows[:, 0]
        return found


def _space(lists: Mapping[str, list[Any]]) -> Space:
    depths = lists["n_layer"]
    domains: dict[str, Any] = {
        "embed_dim": Ordinal(*lists["embed_dim"]),
        "n_layer": Ordinal(*depths),
        "bias": Choice(*lists["bias"]),
    }
    for name in ("mlp_ratio", "n_head"):
        for layer in range(max(depths)):
            deep = [depth for depth in depths if depth > layer]
            when = None if len(deep) == len(depths) else ("n_layer", "in", deep)
            domains[f"{name}_{layer}"] = Ordinal(*lists[name], when=when)
    return Space(domains)


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in the benchmark's own form: width, depth, lists over layers, bias."""
    depth = config["n_layer"]
    layers = {name: [config[f"{name}_{i}"] for i in range(depth)] for name in ("mlp_ratio", "n_head")}
    return {"embed_dim": config["embed_dim"], "n_layer": depth, **layers, "bias": config["bias"]}


def configuration(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The way back from `architecture`."""
    layers = {f"{name}_{i}": v for name in ("mlp_ratio", "n_head") for i, v in enumerate(shape[name])}
    return {"embed_dim": shape["embed_dim"], "n_layer": shape["n_layer"], "bias": shape["bias"], **layers}


@register("benchmark")
class HwGptBench(Family):
    """Scales "s", "m" and "l": 10 to 12, 22 to 24 and 34 to 36 layers.

    Args:
        objectives: Metrics to minimise, separated by commas.
    """

    def __init__(self, *, objectives: str = "perplexity, params_m") -> None:
        self._objectives = [word.strip() for word in objectives.split(",") if word.strip()]
        for word in self._objectives:
            check("objectives", word, one_of=TARGETS)
        if not self._objectives or len(set(self._objectives)) < len(self._objectives):
            raise ArgumentError(f"objectives={objectives!r}. Allowed: one or more metrics, each once.")

    def tasks(self) -> Sequence[str]:
        """The scales."""
        return tuple(HASHES)

    def open(self, task: str) -> HwGpt:
        """One scale."""
        check_task("hw_gpt_bench", task, HASHES)
        name = f"hw_gpt_bench/{task}"
        arrays, lists = (
            DataFile(f"hw_gpt_bench/gpt_{task}{ending}", sha256)
            for ending, sha256 in zip((".npz", ".json"), HASHES[task], strict=True)
        )
        places = find(name, (arrays, lists), origin=ORIGIN)
        space = json.loads(places[lists.path].read_text(encoding="utf-8"))["space"]
        card = Card(
            name,
            ORIGIN,
            "Apache-2.0",
            checksums(places),
            description=f"Predicted perplexity, size and memory of decoders with {min(space['n_layer'])} to "
            f"{max(space['n_layer'])} layers. The optimum is not known.",
        )
        return HwGpt(space, _weights(places[arrays.path], space), self._objectives, card)


def _weights(place: Path, lists: Mapping[str, list[Any]]) -> dict[str, Array]:
    with np.load(place, allow_pickle=False) as file:
        found = {key: file[key].astype(float) for key in file.files}
    layers = max(lists["n_layer"])
    kinds = [len(lists[name]) for name in ("embed_dim", "n_layer", "bias")]
    wide = sum(kinds) + layers * (len(lists["mlp_ratio"]) + len(lists["n_head"]))
    for target in TARGETS.values():
        inputs = wide if target == "perplexity" else 3 + 2 * layers
        for layer in range(1, _LAYERS + 1):
            for part in ("weight", "bias"):
                if f"{target}/fc{layer}.{part}" not in found:
                    raise BenchmarkError(f"{place} lacks the array '{target}/fc{layer}.{part}'. Fetch the file again.")
        shape = found[f"{target}/fc1.weight"].shape
        if shape[-1] != inputs:
            raise BenchmarkError(
                f"{place}: the network of {target!r} takes {shape[-1]} numbers; the space has {inputs}."
            )
    return found
