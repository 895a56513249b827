"""Muon beside AdamW: rates by the plan, updates whose spectral norm is right, resumed bit for bit."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')
if not hasattr(torch.optim, "Muon"):
    pytest.skip("this torch has no Muon", allow_module_level=True)

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow import MuPlan, muon_adamw  # noqa: E402
from luthier.nets import Batches, Recipe, next_token, synthetic, train  # noqa: E402

PROXY = {"vocabulary": 32, "d_model": 32, "heads": 2, "d_head": 16, "d_ff": 64, "layers": 1, "context": 16}
BATCHES = Batches(synthetic(3000, vocabulary=32), 2, 16)
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_updates_have_the_right_spectral_norm_at_every_width(adjust):
    """|dW| over sqrt(n_out / n_in) is the same at widths 32, 64 and 128, to the inexactness of Newton-Schulz."""
    found = []
    for ratio in (1, 2, 4):
        plan = MuPlan.infer("refgpt", proxy=PROXY).widened(ratio)
        model = plan.build(seed=0)
        with torch.no_grad():
            model.lm_head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
        optimiser = muon_adamw(plan, model, lr=0.01, adam_lr=0.001, adjust=adjust)
        before = dict(model.named_parameters())[UP].detach().clone()
        next_token(model, BATCHES(0)).backward()
        optimiser.step()
        step = dict(model.named_parameters())[UP].detach() - before
        found.append(float(torch.linalg.matrix_norm(step, 2)) / math.sqrt(step.shape[0] / step.shape[1]))
    assert max(found) / min(found) < 1.3


def test_every_tensor_is_in_one_group():
    plan = MuPlan.infer("refgpt", proxy={**PROXY, "gains": "trainable"}, target={"d_model": 64})
    model = plan.build()
    names = [name for group in muon_adamw(plan, model, lr=0.1, adam_lr=0.01).param_groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, p in model.named_parameters())


def test_it_is_resumed_bit_for_bit(tmp_path):
    plan = MuPlan.infer("refgpt", proxy=PROXY)

    def run(folder, halt=None):
        model = plan.build()

        def data(k):
            if k == halt:
                raise KeyboardInterrupt
            return BATCHES(k)

        train(
            model, data, muon_adamw(plan, model, lr=0.02, adam_lr=0.005), Recipe(steps=6, save_every=2), folder=folder
        )
        return model

    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", 5)
    cut = run(tmp_path / "b")
    assert all(torch.equal(x, y) for x, y in zip(whole.parameters(), cut.parameters(), strict=True))


def test_it_is_an_optimiser_of_torch():
    """Hooks run around a step, a schedule works, states are both parts', a copy has its own."""
    plan = MuPlan.infer("refgpt", proxy=PROXY)
    model = plan.build()
    optimiser = muon_adamw(plan, model, lr=0.1, adam_lr=0.01)
    calls = []
    optimiser.register_step_pre_hook(lambda *_: calls.append("before"))
    handle = optimiser.register_step_post_hook(lambda *_: calls.append("after"))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 1 / (k + 1))
    next_token(model, BATCHES(0)).backward()
    optimiser.step()
    schedule.step()
    assert calls == ["before", "after"]
    handle.remove()
    assert {g["lr"] for g in optimiser.param_groups} == {0.05, 0.005}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert set(optimiser.state) == set(trained)
    assert len(optimiser.state) == len(trained)
    assert "exp_avg" in optimiser.state[model.lm_head.weight]
    optimiser.state[model.lm_head.weight] = {}
    assert optimiser.parts[1].state[model.lm_head.weight] == {}
    other = copy.deepcopy(optimiser)
    other.param_groups[0]["lr"] = 7.0
    assert optimiser.param_groups[0]["lr"] == 0.05
    with pytest.raises(ArgumentError, match="one of `parts`"):
        optimiser.add_param_group({"params": []})
    with pytest.raises(ArgumentError, match="Register them with `parts`"):
        optimiser.register_state_dict_post_hook(lambda *_: None)
