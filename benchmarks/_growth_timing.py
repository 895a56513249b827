"""What the muP wrapper costs: tokens per second and MFU of a plan's model beside the plain one, eager and compiled."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

import torch

from luthier.grow.mu_plan import MuPlan
from luthier.grow.runs import count
from luthier.nets.training import next_token

PEAK = 989e12  # an H100's dense bfloat16, as its maker says
PROXY = {"vocabulary": 4096, "d_model": 256, "heads": 4, "layers": 4, "context": 512, "d_ff": 688}
ROUNDS, STEPS = 21, 8


def timing(out: Path, device: str, *, small: bool = False) -> None:
    """One line a mode: both models in turn, so that a slow minute hits both."""
    torch.set_float32_matmul_precision("high")
    proxy = {**PROXY, "layers": 1, "d_model": 64, "heads": 2, "d_ff": 176, "context": 64} if small else PROXY
    plan = MuPlan.infer("refgpt", proxy=proxy).widened(1 if small else 4)
    batch = 2 if small else 16
    length, began = proxy["context"], time.time()
    tokens = torch.randint(
        0, 4096, (batch, length + 1), device=device, generator=torch.Generator(device).manual_seed(0)
    )
    data = {"input_ids": tokens[:, :-1].contiguous(), "targets": tokens[:, 1:].contiguous()}
    for mode in ("eager", "compiled"):
        try:
            found = _both(plan, data, device, mode, 2 if small else ROUNDS)
        except Exception as error:  # a machine without a compiler still has the first line
            print(mode, "failed:", repr(error)[:500], flush=True)
            continue
        per = batch * length
        cost = count(plan, length).flops_per_token
        row = {"part": "timing", "key": [mode], "mode": mode, "parameters": count(plan, length).total,
               "tokens_per_second": {k: per / median(v) for k, v in found.items()},
               "mfu": {k: per * cost / median(v) / PEAK for k, v in found.items()},
               "overhead": median([a / b - 1 for a, b in zip(found["mup"], found["plain"], strict=True)]),
               "steps": found, "torch": torch.__version__, "seconds": time.time() - began,
               "device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}  # fmt: skip
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(mode, row["tokens_per_second"], f"overhead {row['overhead']:+.2%}", row["mfu"], flush=True)


def _both(plan: MuPlan, data: dict, device: str, mode: str, rounds: int) -> dict[str, list[float]]:
    """Seconds per step, by model and round."""
    with torch.device(device):
        plain = plan._factory()(**plan.target)
    wrapped = plan.build(device=device)
    one = plan.param_groups(wrapped, lr=1e-3)
    fused = device == "cuda"
    bare = torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], 1e-3, fused=fused)
    steps = {
        "plain": _stepper(plain, bare, data, device, mode),
        "mup": _stepper(wrapped, torch.optim.AdamW(one, fused=fused), data, device, mode),
    }
    for step in steps.values():
        for _ in range(3):
            step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(rounds):
        for name in list(steps)[:: 1 if k % 2 else -1]:
            _wait(device)
            began = time.perf_counter()
            for _ in range(STEPS):
                steps[name]()
            _wait(device)
            found[name].append((time.perf_counter() - began) / STEPS)
    return found


def _stepper(model, optimiser, data, device: str, mode: str):
    forward = torch.compile(model) if mode == "compiled" else model

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = next_token(forward, data)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
