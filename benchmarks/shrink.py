"""Encoder end to end on real weights: one super-network beside pruning each size on its own, at equal steps.

    python benchmarks/shrink.py run --model DIR --data FILE --seeds 0:5     # resumable: a row a cell, skipped if there
    python benchmarks/shrink.py table                                       # docs/results/shrink.md

The profile fits two processors: 64 tokens, 16 rows, 200 steps for the super-network, three targets, 40 steps of
fine-tuning each. Baselines train each target for a third of all these steps, so every method makes 320 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
ROWS = Path(os.environ.get("LUTHIER_SHRINK_ROWS", ROOT / "docs" / "results" / "shrink" / "encoder.jsonl"))
PAGE = ROOT / "docs" / "results" / "shrink.md"
TARGETS = (0.65, 0.75, 0.85)  # of all parameters; the tables of MiniLM are 52 % of it
STEPS, TUNING, LR, EVALS = 200, 40, 1e-4, 60
BASELINES = ("magnitude", "activation", "flap", "random", "layer_drop", "scratch")


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def write(row: dict[str, Any]) -> None:
    ROWS.parent.mkdir(parents=True, exist_ok=True)
    with ROWS.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def start(model: str, data: str, seed: int) -> tuple[Any, Any]:
    """The model with a new head, as a super-network, and the data, split by the seed."""
    from luthier.shrink import SuperNet, read_data
    from luthier.shrink.workspace import open_model

    task = read_data(data, model, size=16, length=64, seed=seed)
    return SuperNet.from_model(open_model(model, task.task, seed=seed)), task


def shared(model: str, data: str, seed: int, scale: float) -> list[dict[str, Any]]:
    """Rank, permute, train with sandwich and distillation, search, extract, tune."""
    from luthier.shrink import extract, finetune, preset, rank_units, search, train, verify

    net, task = start(model, data, seed)
    ranking = rank_units(net, task.calibration(8))
    net.permute_(ranking.order(net.sizes.groups), task.calibration(2))
    space = preset(net.sizes, "small", ranking=ranking.layer_order)
    train(net, space, task, steps=round(scale * STEPS), lr=LR, seed=seed)
    part = type(task)(task.task, task.train, task.search[:16], task.select[:16], task.test, task.about)
    front = search(net, space, part, evals=max(6, round(scale * EVALS)), seed=seed)
    found = [
        {
            "method": "whole",
            "target": 1.0,
            **task.task.evaluate(net.model, task.test),
            "parameters": front.full["parameters"],
        }
    ]
    for target in TARGETS:
        spec = front.select(max_params=target).spec
        child = extract(net, spec).model
        verify(net, spec, child, task.search[:1])
        row = {"target": target, "parameters": sum(p.numel() for p in child.parameters()), "spec": str(spec)}
        found.append({"method": "shared", **row, **task.task.evaluate(child, task.test)})
        finetune(child, task, teacher=net.model, steps=max(1, round(scale * TUNING)), lr=LR, seed=seed)
        found.append({"method": "shared, tuned", **row, **task.task.evaluate(child, task.test)})
    return found


def alone(model: str, data: str, seed: int, scale: float, method: str) -> list[dict[str, Any]]:
    """One baseline: each target is pruned from the pre-trained model and trained for a third of the steps."""
    from luthier.base.errors import ArgumentError
    from luthier.shrink import baselines, extract, finetune, rank_units
    from luthier.shrink.workspace import scratch

    steps = max(1, round(scale * (STEPS + TUNING * len(TARGETS)) / len(TARGETS)))
    found = []
    for target in TARGETS:
        net, task = start(model, data, seed)
        by = {"layer_drop": "activation", "scratch": "magnitude"}.get(method, method)
        ranking = rank_units(net, task.calibration(8), method=by, seed=seed)
        way = {"flap": baselines.flap, "layer_drop": baselines.layer_drop}.get(method, baselines.uniform)
        try:
            spec = way(net, ranking, target)
        except ArgumentError as error:  # a size that this way cannot reach
            print(method, target, error, flush=True)
            continue
        child = scratch(net, spec, seed=seed) if method == "scratch" else extract(net, spec).model
        finetune(child, task, steps=steps, lr=LR, seed=seed)
        count = sum(p.numel() for p in child.parameters())
        measured = task.task.evaluate(child, task.test)
        found.append({"method": method, "target": target, "parameters": count, "spec": str(spec), **measured})
    return found


def run(args: argparse.Namespace) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    first, last = (int(word) for word in args.seeds.split(":"))
    name = Path(args.data).stem
    for seed in range(first, last):
        for method in ("shared", *BASELINES):
            done = {(row["data"], row["seed"], row["cell"]) for row in rows()}
            if (name, seed, method) in done:
                continue
            begin = time.process_time()
            one = shared if method == "shared" else alone
            more = () if method == "shared" else (method,)
            found = one(args.model, args.data, seed, args.scale, *more)
            for row in found:
                write({"data": name, "seed": seed, "cell": method, **row, "cpu_seconds": time.process_time() - begin})
            print(name, seed, method, f"{time.process_time() - begin:.0f} s of processor time", flush=True)


def table(args: argparse.Namespace) -> None:
    known = rows()
    lines = [
        "# shrink: an encoder end to end",
        "",
        (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[2].strip(),
        "",
    ]
    for name in dict.fromkeys(row["data"] for row in known):
        mine = [row for row in known if row["data"] == name]
        score = next(word for word in ("accuracy", "correlation") if word in mine[0])
        seeds = sorted({row["seed"] for row in mine})
        lines += [f"## {name}, seeds {seeds}", "", f"Test {score}, median over seeds (parameters).", ""]
        lines += ["| method | " + " | ".join(f"{t:g}" for t in TARGETS) + " |", "|---|" + "---|" * len(TARGETS)]
        for method in dict.fromkeys(row["method"] for row in mine):
            cells = []
            for target in TARGETS if method != "whole" else (1.0,):
                picked = [row for row in mine if row["method"] == method and row["target"] == target]
                middle = statistics.median(row[score] for row in picked)
                size = statistics.median(row["parameters"] for row in picked)
                cells.append(f"{middle:.3f} ({size / 1e6:.1f}M)")
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--model", required=True)
    one.add_argument("--data", required=True)
    one.add_argument("--seeds", default="0:5")
    one.add_argument("--scale", type=float, default=1.0, help="Of all steps; below 1 for a trial run.")
    one.set_defaults(call=run)
    two = commands.add_parser("table")
    two.set_defaults(call=table)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    sys.exit(main())
