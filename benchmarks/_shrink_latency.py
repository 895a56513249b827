"""Latency of extracted models in a process of their own, in turns with the whole and with models built natively."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from _shrink_runner import append, environment

from luthier.shrink import CostModel, SubNetSpec, SuperNet, load, measure

Row = dict[str, Any]


def run(
    whole: Path, children: list[Path], out: Path, *, batches: tuple[int, ...], tokens: int, runs: int, rounds: int
) -> None:
    """Measure, and append lines.

    Args:
        whole: Folder of the super-network's whole.
        children: Folders of extracted models.
        out: Lines.
        batches: Rows.
        tokens: Length.
        runs: A round.
        rounds: Turns.
    """
    torch.set_num_threads(1)
    net = SuperNet.from_model(load(whole))
    costs = CostModel(net.layout)
    names, models, rows = ["whole"], [net.model.eval()], [{"flops": 1.0}]
    for folder in children:
        model: Any = load(folder).eval()
        spec = SubNetSpec.from_json((folder / "spec.json").read_text())
        cost, full = costs.cost(spec, tokens), costs.cost(net.full, tokens)
        names.append(folder.name)
        models.append(model)
        rows.append({"flops": cost.macs / full.macs, "parameters": cost.parameters, "spec": str(spec)})
        if _stock(folder):
            names.append(f"{folder.name}, natively built")
            models.append(type(model)(model.config).eval())
            rows.append({"native_of": folder.name})
    for batch in batches:
        told = measure(models, batch=batch, tokens=tokens, runs=runs, rounds=rounds)
        for name, row, one in zip(names, rows, told, strict=True):
            quartiles = {"median_ms": one.median_ms, "low_ms": one.low_ms, "high_ms": one.high_ms, "runs": one.runs}
            speed = {"times_as_fast": told[0].median_ms / one.median_ms, "apart": one.high_ms < told[0].low_ms}
            shape = {"batch": batch, "tokens": tokens}
            append(out, {"key": f"latency/{name}/{batch}", "name": name, **shape, **row, **quartiles, **speed,
                         **environment("cpu")})  # fmt: skip
            print(f"{name:<32} batch {batch}: {one.median_ms:.2f} ms [{one.low_ms:.2f}, {one.high_ms:.2f}], "
                  f"{speed['times_as_fast']:.2f} times as fast", flush=True)  # fmt: skip


def _stock(folder: Path) -> bool:
    return '"format": "hf-stock"' in (folder / "luthier.json").read_text()
