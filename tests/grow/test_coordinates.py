"""The coordinate check: muP is flat, standard parametrisation is not, and planted bugs are each found."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow import MuPlan, Options, coordinate_check  # noqa: E402
from luthier.grow.coordinates import Slope, _judge, _verdict, summary  # noqa: E402
from luthier.nets import Batches, synthetic  # noqa: E402

PROXY = {"vocabulary": 32, "d_model": 32, "heads": 2, "kv_heads": 1, "d_head": 16, "d_ff": 64, "layers": 2,
         "context": 32, "init_std": 0.06}  # fmt: skip
BATCHES = Batches(synthetic(20_000, vocabulary=32), 8, 32)
PLAN = MuPlan.infer("refgpt", proxy=PROXY)


@pytest.mark.parametrize(("optimiser", "lr"), [("adamw", 2**-7), ("sgd", 0.25)])
def test_mup_is_flat_and_the_control_is_not(optimiser, lr):
    """Widths 32 to 256, three seeds, four steps."""
    found = coordinate_check(PLAN, BATCHES, lr=lr, optimiser=optimiser)
    assert found.verdict == "pass", found.reasons
    assert max(s.slope for s in found.control if s.step == 4) > 1
    assert np.isfinite(found.losses).all()
    rows = summary(found.slopes)
    assert {r["quantity"] for r in rows} == {"activation", "change", "logits", "attention"}


def hidden_rates(plan, model):
    """Bug: hidden tensors keep the rate of the proxy."""
    wrong = {n: replace(r, role="input", m_in=1.0) if r.role == "hidden" else r for n, r in plan.rows.items()}
    return replace(plan, rows=wrong)


def readout(plan, model):
    """Bug: the readout's multiplier is forgotten."""
    model.lm_head.multiplier = 1.0
    return plan


def attention(plan, model):
    """Bug: attention is scaled by one over the root of the head's width, though heads grow."""
    for block in model.model.layers:
        block.self_attn.scale = 1 / math.sqrt(block.self_attn.head_dim)
    return plan


@pytest.mark.parametrize(("bug", "quantity"), [(hidden_rates, "change"), (readout, "logits")])
def test_planted_bugs_are_found(bug, quantity):
    found = coordinate_check(PLAN, BATCHES, lr=2**-7, seeds=2, control=False, prepare=bug)
    assert found.verdict == "fail"
    assert max(s.slope for s in found.slopes if s.quantity == quantity and s.verdict == "fail") > 0.3
    assert found.reasons[0].startswith("MU0")  # and the audit names it before any step


def test_a_forgotten_scale_of_attention_is_found():
    """Heads of 16 to 128: the audit names it (MU07); logits grow more steeply, if not steeply enough to fail."""
    delta = {**PROXY, "d_model": 64, "d_head": 32, "d_ff": 192}
    wide = MuPlan.infer("refgpt", proxy=PROXY, delta=delta, options=Options(zero_query=True))
    own = {"lr": 2**-7, "seeds": 2, "control": False}
    right, wrong = coordinate_check(wide, BATCHES, **own), coordinate_check(wide, BATCHES, **own, prepare=attention)
    slope = [max(s.slope for s in f.slopes if s.quantity == "attention" and s.step == 4) for f in (right, wrong)]
    assert slope[1] > slope[0] + 0.3
    assert wrong.verdict == "fail"
    assert wrong.reasons[0].startswith("MU07 error: model.layers.0.self_attn: scale is")
    assert not any(reason.startswith("MU") for reason in right.reasons)


def test_a_forgotten_inner_width_is_found():
    delta = {**PROXY, "d_model": 64, "heads": 4, "kv_heads": 2}
    with pytest.raises(ArgumentError, match="MU01"):
        coordinate_check(MuPlan.infer("refgpt", proxy=PROXY, delta=delta), BATCHES)


def test_a_flat_control_makes_the_check_void():
    flat = [Slope("change", "x", 4, 0.1, (1.0, 1.0), "pass")]
    verdict, reasons = _verdict(flat, flat, np.zeros((2, 5)), 4, True)
    assert verdict == "void"
    assert "take a larger rate" in reasons[-1]


def test_limits_by_hand():
    assert [_judge("activation", s, 1, 4) for s in (0.1, -0.15, 0.21)] == ["pass", "warning", "fail"]
    assert [_judge("change", s, 1, 4) for s in (0.15, 0.2, -0.25)] == ["pass", "warning", "fail"]
    assert [_judge("logits", s, 0, 4) for s in (-0.5, 0.2)] == ["pass", "fail"]
    assert [_judge("logits", s, 4, 4) for s in (0.2, 0.21)] == ["pass", "fail"]
    assert _judge("logits", 0.9, 2, 4) == ""
    with pytest.raises(ArgumentError, match="three widths"):
        coordinate_check(PLAN, BATCHES, ratios=(1, 2))


def test_widths_come_in_any_order_and_count_once():
    own = {"seeds": 1, "steps": 1, "control": False}
    mixed, sorted_ = (coordinate_check(PLAN, BATCHES, ratios=r, **own) for r in ((4, 1, 2, 2), (1, 2, 4)))
    assert mixed.widths == (1, 2, 4)
    assert mixed.slopes == sorted_.slopes
    with pytest.raises(ArgumentError, match="three widths"):
        coordinate_check(PLAN, BATCHES, ratios=(1, 2, 2))
