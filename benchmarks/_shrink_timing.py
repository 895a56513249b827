"""Times of shrink on one device, to be run alone: the super-network's steps, five extracted models, peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _shrink_runner import Cell, Setting
from scipy.stats import kendalltau

from luthier.nets.data import Batches, Tokens
from luthier.shrink import (
    CostModel,
    Data,
    Distil,
    Latency,
    Sampler,
    SuperNet,
    Task,
    measure,
    preset,
    search,
    train,
)
from luthier.shrink.extraction import cut

Row = dict[str, Any]
#: 111 million parameters: the shape that check 18 names, with grouped queries.
LARGE = {
    "vocab_size": 16384,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 2560,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
SMALL = {
    **LARGE,
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
}


def model_of(setting: Setting) -> tuple[SuperNet, Data, int, int]:
    """A decoder with random weights, tokens of a skewed distribution, rows and length of a batch."""
    from transformers import LlamaConfig, LlamaForCausalLM

    large = setting.device == "cuda"
    sizes = LARGE if large else SMALL
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**sizes)).to(setting.device)  # type: ignore[arg-type]
    rows, length = (16, 1024) if large else (4, 64)
    rng = np.random.default_rng(0)
    values = (rng.zipf(1.3, size=2_000_000 if large else 20_000) % sizes["vocab_size"]).astype(np.int32)
    batches = Batches(Tokens(values, int(sizes["vocab_size"]), "zipf"), rows, length, seed=0)
    held = [batches(10_000 + i) for i in range(2)]
    return SuperNet.from_model(model), Data(Task("lm"), batches, held, held, held, {}), rows, length


def _wait(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


def _peak(setting: Setting, call: Callable[[], Any]) -> float:
    if setting.device != "cuda":
        call()
        return float("nan")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / 2**20


def steps(cell: Cell, setting: Setting) -> Row:
    """Seconds of a step, tokens a second of the pass of the whole, and peak memory, by strategy, in turns."""
    net, data, rows, length = model_of(setting)
    space = preset(net.sizes, "small", multiple=64 if setting.device == "cuda" else 8)
    ways: dict[str, tuple[str, Distil | None]] = {
        "plain": ("standard", None),
        "sandwich": ("sandwich", None),
        "sandwich+kd": ("sandwich", Distil()),
        "random": ("random", None),
    }
    count, found = (6, 3) if setting.device == "cuda" else (2, 2), {}
    each, turns = count
    times: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, float] = {}
    for turn in range(turns):
        for name, (strategy, kd) in ways.items():

            def call(strategy: str = strategy, kd: Distil | None = kd, turn: int = turn) -> None:
                train(
                    net,
                    space,
                    data,
                    strategy=strategy,
                    kd=kd,
                    steps=each,
                    lr=1e-5,
                    precision="bfloat16",
                    sampler="uniform_params",
                    seed=turn,
                    log_every=1000,
                )

            call_once = call
            if turn == 0:
                peaks[name] = _peak(setting, call_once)  # warms up too
            _wait(setting)
            begin = time.perf_counter()
            call_once()
            _wait(setting)
            times[name].append((time.perf_counter() - begin) / each)
    for name, values in times.items():
        found[name] = {"seconds": statistics.median(values), "all": values, "peak_mib": peaks[name]}
    return {
        "steps": found,
        "rows": rows,
        "length": length,
        "full_pass": _full_pass(net, data, setting, rows * length),
        "parameters": sum(p.numel() for p in net.model.parameters()),
    }


def _full_pass(net: SuperNet, data: Data, setting: Setting, tokens: int) -> Row:
    """Forward and backward of the whole as a sub-network, without the optimiser."""
    batch = {k: v.to(setting.device) for k, v in data.train(0).items()}
    values = []
    net.model.train()
    for turn in range(8):
        _wait(setting)
        begin = time.perf_counter()
        with torch.autocast(setting.device, dtype=torch.bfloat16), net.active(net.full) as whole:
            loss = data.task.loss(data.task.logits(whole, batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        _wait(setting)
        if turn > 2:
            values.append(time.perf_counter() - begin)
        net.model.zero_grad(set_to_none=True)
    seconds = statistics.median(values)
    return {"seconds": seconds, "tokens_per_second": tokens / seconds}


def points(cell: Cell, setting: Setting) -> Row:
    """Five points of a front over loss and predicted latency, extracted, in half precision, prefill and decode."""
    net, data, _, length = model_of(setting)
    large = setting.device == "cuda"
    space = preset(net.sizes, "small", multiple=64 if large else 8)
    train(net, space, data, steps=20 if large else 2, lr=3e-4, precision="bfloat16", log_every=1000)
    if large:
        net.model.to(torch.bfloat16)
    net.model.eval()
    sampler = Sampler(space, CostModel(net.layout))
    drawn = [sampler.draw(np.random.default_rng([7, k])) for k in range(24 if large else 6)]
    fit, held = drawn[: len(drawn) * 2 // 3], drawn[len(drawn) * 2 // 3 :]
    found: Row = {}
    predictors = {}
    for kind in ("prefill", "decode"):
        shape = {"batch": 8 if kind == "prefill" else 1, "tokens": length if kind == "prefill" else length // 2}
        predictors[kind] = Latency.fitted(net, fit, held_out=held, runs=5, rounds=2, decode=kind == "decode", **shape)
        found[kind] = {**shape, "tau_held_out": predictors[kind].tau}
    objectives = ("loss", "latency_ms")
    front = search(net, space, data, objectives=objectives, latency=predictors["prefill"], evals=40 if large else 8)
    order = sorted(front.points, key=lambda p: p.metrics["latency_ms"])
    picked = [order[i] for i in sorted({round(i) for i in np.linspace(0, len(order) - 1, 5)})]
    models = [cut(net, p.spec).eval() for p in picked]
    for kind, predictor in predictors.items():
        shape = {"batch": found[kind]["batch"], "tokens": found[kind]["tokens"]}
        measured = measure(models, runs=10, rounds=3, decode=kind == "decode", **shape)
        said = [predictor(p.spec) for p in picked]
        took = [m.median_ms for m in measured]
        found[kind] |= {
            "predicted_ms": said,
            "median_ms": took,
            "low_ms": [m.low_ms for m in measured],
            "high_ms": [m.high_ms for m in measured],
            "runs": measured[0].runs,
            "tau": float(kendalltau(said, took).statistic),
        }
    sizes = [
        {"parameters": int(p.metrics["parameters"]), "spec": str(p.spec), "loss": p.metrics["loss"]} for p in picked
    ]
    return {"points": sizes, **found}


WORK: dict[str, Callable[[Cell, Setting], Row]] = {"steps": steps, "points": points}


def cells() -> list[Cell]:
    """Both."""
    return [Cell("steps", "timing", 0), Cell("points", "timing", 0)]


def told(cells: dict[str, Row]) -> str:
    """Both cells as text."""
    parts = ["## Times"]
    if "steps" in cells:
        row = cells["steps"]
        plain = row["steps"]["plain"]
        parts.append(
            f"A decoder of {row['parameters'] / 1e6:.0f} million parameters, {row['rows']} rows of "
            f"{row['length']} "
            f"tokens, bfloat16: forward and backward of the whole as a sub-network take "
            f"{1000 * row['full_pass']['seconds']:.0f} ms, "
            f"{row['full_pass']['tokens_per_second']:,.0f} tokens a second."
        )
        lines = ["| step | ms | of plain | peak memory, MiB | of plain |", "|---|---|---|---|---|"]
        lines += [
            f"| {name} | {1000 * one['seconds']:.0f} | {one['seconds'] / plain['seconds']:.2f} | "
            f"{one['peak_mib']:,.0f} "
            f"| {one['peak_mib'] / plain['peak_mib']:.2f} |"
            for name, one in row["steps"].items()
        ]
        parts.append("\n".join(lines))
    if "points" in cells:
        row = cells["points"]
        lines = ["| sub-network | parameters | prefill, ms | predicted | decode, ms | predicted |"]
        lines.append("|---|---|---|---|---|---|")
        for i, point in enumerate(row["points"]):
            cells_ = [
                f"{row[k]['median_ms'][i]:.2f} [{row[k]['low_ms'][i]:.2f}, {row[k]['high_ms'][i]:.2f}] | "
                f"{row[k]['predicted_ms'][i]:.2f}"
                for k in ("prefill", "decode")
            ]
            lines.append(f"| {point['spec']} | {point['parameters']:,} | {' | '.join(cells_)} |")
        shapes = "; ".join(
            f"{k}: batch {row[k]['batch']}, {row[k]['tokens']} tokens, tau with the predicted latency "
            f"{row[k]['tau']:.2f} (on {8} sub-networks that it was not fitted to "
            f"{row[k]['tau_held_out']:.2f})"
            for k in ("prefill", "decode")
        )
        parts += [
            "Five points of a front over loss and predicted latency, extracted, bfloat16, medians and quartiles "
            "of "
            f"{row['prefill']['runs']} runs in turns. {shapes}.",
            "\n".join(lines),
        ]
    return "\n\n".join(parts)
