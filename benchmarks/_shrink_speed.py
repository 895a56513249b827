"""Ratios of shrink on a processor, each pair in turns and by the best of its runs: views, steps, switches, counting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shrink_runner import append, environment
from _shrink_start import SPECIES
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.nets.data import synthetic
from luthier.shrink import (
    CostModel,
    Distil,
    Sampler,
    SubNetSpec,
    SuperNet,
    language,
    preset,
    train,
)

TURNS = 12


def best(calls: dict[str, Callable[[], Any]], turns: int = TURNS) -> dict[str, float]:
    """The shortest time of each, in turns."""
    found = {name: float("inf") for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn:
                found[name] = min(found[name], time.perf_counter() - begin)
    return found


def run(out: Path) -> None:
    """Measure, and append a line."""
    torch.set_num_threads(1)
    told = _network()
    append(out, {"key": "speed", **environment("cpu"), **told})
    for name, value in told.items():
        print(f"{name}: {value:.4g}")


SHAPES = ((256, 64), (384, 64), (384, 256), (768, 64), (768, 256), (768, 1024))  # hidden size, rows


def slices(out: Path, rounds: int) -> None:
    """One feed-forward at half its inner size, forward and backward, by views and by indices, in turns; lines."""
    torch.set_num_threads(1)
    for hidden, rows in SHAPES:
        times = _feed_forward(hidden, rows, rounds)
        found: dict[str, Any] = {"hidden": hidden, "rows": rows, "rounds": rounds}
        for name in ("index", "whole"):
            found[name] = [float(q) for q in np.quantile(times[name] / times["view"], (0.25, 0.5, 0.75))]
        found["view_ms"] = 1000 * float(np.median(times["view"]))
        append(out, {"key": f"slices/{hidden}/{rows}", **environment("cpu"), **found})
        print(found, flush=True)


def _feed_forward(hidden: int, rows: int, rounds: int) -> dict[str, np.ndarray]:
    """Processor seconds a round of hidden -> half of four times hidden -> hidden."""
    inner = 4 * hidden
    up, down = (torch.randn(*shape, requires_grad=True) for shape in ((inner, hidden), (hidden, inner)))
    x, half, places = torch.randn(rows, hidden), inner // 2, torch.arange(inner // 2)

    def passed(first: torch.Tensor, second: torch.Tensor) -> None:
        y = torch.nn.functional.linear(torch.relu(torch.nn.functional.linear(x, first)), second)
        y.square().mean().backward()  # type: ignore[no-untyped-call]
        up.grad = down.grad = None

    calls: dict[str, Callable[[], None]] = {
        "view": lambda: passed(up[:half], down[:, :half]),
        "index": lambda: passed(up.index_select(0, places), down.index_select(1, places)),
        "whole": lambda: passed(up, down),
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 3):  # three to warm up
        for name, call in calls.items():
            begin = time.process_time()
            call()
            if turn >= 3:
                found[name].append(time.process_time() - begin)
    return {name: np.array(values) for name, values in found.items()}


def _network() -> dict[str, float]:
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**{**SPECIES, "num_hidden_layers": 24}))  # type: ignore[arg-type]
    deep = SuperNet.from_model(model)
    sampler = Sampler(preset(deep.sizes, "small"), CostModel(deep.layout))
    kinds = {
        "prefixes": [SubNetSpec.uniform(deep.sizes, groups=g, inter=i) for g, i in ((2, 352), (3, 512))],
        "fewer queries a group": [SubNetSpec.uniform(deep.sizes, queries=1, inter=i) for i in (352, 512)],
    }

    def switch(specs: list[SubNetSpec]) -> None:
        for spec in specs:
            with deep.active(spec):
                pass

    costs = CostModel(deep.layout)
    many = costs.arrays([sampler.draw(np.random.default_rng(i)) for i in range(2000)])
    first, second = kinds.values()
    calls = {"0": lambda: switch(first), "1": lambda: switch(second), "count": lambda: costs.parameters(many)}
    times = best(calls, 30)
    found = {f"switch, 24 layers, {name}, ms": 500 * times[str(i)] for i, name in enumerate(kinds)}
    found["counted a second"] = 2000 / times["count"]
    return {**found, **_steps()}


def _steps() -> dict[str, float]:
    """A sub-network's pass with prefixes and with scattered units of the same size; steps of two strategies."""
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**SPECIES))  # type: ignore[arg-type]
    net = SuperNet.from_model(model)
    data = language(synthetic(40_000, vocabulary=250), size=8, length=64)
    batch = {"input_ids": data.train(0)["input_ids"]}
    half = SubNetSpec.uniform(net.sizes, groups=2, inter=352)
    spread = SubNetSpec.uniform(net.sizes, groups=(1, 3), inter=tuple(range(0, 704, 2)))

    def passed(spec: SubNetSpec) -> None:
        with net.active(spec) as child:
            child(**batch).logits.square().mean().backward()
        net.model.zero_grad(set_to_none=True)

    space = preset(net.sizes, "small")

    def step(strategy: str, kd: Distil | None) -> None:
        train(net, space, data, strategy=strategy, kd=kd, steps=3, lr=1e-5, sampler="uniform_params", log_every=9)

    one = best({"prefix": lambda: passed(half), "spread": lambda: passed(spread)}, 8)
    two = best({"plain": lambda: step("standard", None), "sandwich": lambda: step("sandwich", Distil())}, 4)
    return {
        "sub-network: index / view": one["spread"] / one["prefix"],
        "sandwich / plain": two["sandwich"] / two["plain"],
    }
