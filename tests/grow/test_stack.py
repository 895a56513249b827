"""The benchmark's stack of models is the one loop, run for run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from luthier.grow.hyper import Hyper  # noqa: E402
from luthier.grow.mu_plan import MuPlan  # noqa: E402
from luthier.grow.runs import run  # noqa: E402
from luthier.nets import synthetic  # noqa: E402
from luthier.nets.schedules import WSD  # noqa: E402

PROXY = {"vocabulary": 32, "d_model": 16, "heads": 1, "d_ff": 48, "layers": 2, "context": 16, "init_std": 0.1}


def test_a_stack_is_the_one_loop():
    """Three models of other seeds, rates and cursors, 20 steps, against three runs."""
    from _stack import One, Stack, train_stack

    text, held_out = synthetic(6_000, vocabulary=32).split(0.2)
    plan = MuPlan.infer("refgpt", proxy=PROXY).widened(2)
    hyper = Hyper(lr=2**-6, batch=4, length=16, warmup=0.1, fingerprint=plan.fingerprint)
    settings = [(2**-6, 0, 0), (2**-5, 1, 0), (2**-6, 0, 7)]
    models, found = [], []
    for lr, seed, start in settings:
        weights = {n: p.detach() for n, p in plan.build(seed=seed).named_parameters()}
        models.append(One(weights, lr, seed, start, WSD(0.1, 0.2).factor))
        own = Hyper.of({**vars(hyper), "lr": lr})
        history, model = run(plan, own, text, held_out, tokens=20 * 64, seed=seed, data_start=start, evaluations=4,
                             evaluate_every=10)  # fmt: skip
        found.append((history, dict(model.named_parameters())))
    stack = Stack(plan, models, device="cpu", bf16=False)
    done = train_stack(stack, text, held_out, steps=20, batch=4, length=16, evaluations=2, count=4)
    for i, (history, parameters) in enumerate(found):
        losses = [r["val_loss"] for r in history.records if "val_loss" in r]
        assert [loss for _, loss in done.curve(i)] == pytest.approx(losses, abs=2e-5)
        for name, tensor in done.of(i).items():
            assert torch.allclose(tensor, parameters[name], atol=2e-4), name
