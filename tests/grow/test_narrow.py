"""Maps from growing to fixed dimensions: forgotten sizes anywhere, fixed key heads whatever the delta says, advice."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from torch import nn  # noqa: E402

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow import MuPlan, Options  # noqa: E402
from luthier.grow import diagnostics as mu  # noqa: E402


class Mlp(nn.Module):
    def __init__(self, d=8, f=32, gated=False, between=0):
        super().__init__()
        self.inp = nn.Linear(4, d)
        self.up = nn.Linear(d, 2 * f if gated else f)
        self.mid = nn.Linear(f, between or f)
        self.down = nn.Linear(between or f, d)
        self.out = nn.Linear(d, 3)


class Image(nn.Module):
    def __init__(self, d=8, channels=16, wide=8):
        super().__init__()
        self.stem = nn.Conv2d(3, d, 3)
        self.conv = nn.Conv2d(d, channels, 3)
        self.flat = nn.Linear(channels * 4, wide)
        self.out = nn.Linear(wide, 10)


class Stacked(nn.Module):
    """A feed-forward as a list of layers inside a block."""

    def __init__(self, d=8, f=32):
        super().__init__()
        self.inp = nn.Linear(4, d)
        self.layers = nn.ModuleList(
            [nn.ModuleDict({"mlp": nn.Sequential(nn.Linear(d, f), nn.ReLU(), nn.Linear(f, d))})]
        )
        self.out = nn.Linear(d, 3)


def plain(d=8, f=32):
    return nn.Sequential(nn.Linear(4, d), nn.ReLU(), nn.Linear(d, f), nn.ReLU(), nn.Linear(f, d), nn.Linear(d, 3))


@pytest.mark.parametrize(
    ("make", "sizes", "where"),
    [
        (Mlp, {"d": 8, "f": 32}, "up.weight"),
        (Mlp, {"d": 8, "f": 32, "gated": True}, "up.weight"),
        (Mlp, {"d": 8, "f": 32, "between": 20}, "up.weight"),
        (plain, {"d": 8, "f": 32}, "2.weight"),
        (Stacked, {"d": 8, "f": 32}, "layers.0.mlp.0.weight"),
    ],
)
def test_a_forgotten_inner_size_is_found_anywhere(make, sizes, where):
    """It would be a readout: zero at the start, and nothing passes."""
    found = MuPlan.infer(make, proxy=sizes, delta={"d": 16}, target={"d": 32})
    assert [d.where for d in mu.inspect(found) if d.id == "MU01"] == [where]
    with pytest.raises(ArgumentError, match=r"MU01 error: .*a size is forgotten"):
        mu.validate(found)
    told = MuPlan.infer(make, proxy=sizes, delta={"d": 16, "f": 96, **({"between": 100} if "between" in sizes else {})})
    assert mu.validate(told) == []
    meant = MuPlan.infer(make, proxy=sizes, delta={"d": 16}, target={"d": 32}, overrides={where: "bottleneck"})
    mu.validate(meant)
    assert meant.build().get_parameter(where).abs().sum() > 0


def test_channels_that_are_flattened_are_followed():
    found = MuPlan.infer(Image, proxy={"d": 8, "wide": 8}, delta={"d": 16, "wide": 24})
    assert [d.where for d in mu.inspect(found) if d.id == "MU01"] == ["conv.weight"]


def test_a_narrow_code_is_a_bottleneck_and_a_last_layer_a_readout():
    found = MuPlan.infer(Mlp, proxy={"d": 32, "f": 4}, delta={"d": 64}, target={"d": 128})
    row = found.rows["up.weight"]
    assert (row.role, row.start, row.value) == ("bottleneck", "normal", pytest.approx(row.sigma / 4))
    assert [(d.id, d.where) for d in mu.inspect(found)] == [("MU11", "up.weight")]
    last = MuPlan.infer(plain, proxy={"d": 8, "f": 32}, delta={"d": 16, "f": 96}, target={"d": 32})
    assert (last.rows["5.weight"].role, last.multipliers) == ("readout", {"5": (0.25, "before")})


# -- MU11 --

PROXY = {"vocabulary": 32, "d_model": 32, "heads": 4, "kv_heads": 2, "layers": 1, "context": 16, "d_ff": 48}
KEYS = "model.layers.0.self_attn.k_proj.weight"


def test_fixed_key_heads_start_alike_whatever_the_delta():
    """sigma / 4 at four times the width, whether the delta changes the number of key heads or leaves it alone."""
    target = {"d_model": 128, "heads": 16, "kv_heads": 2, "d_ff": 192}
    kept = {"d_model": 64, "heads": 8, "kv_heads": 2, "d_ff": 144, "d_head": 8}
    plans = [MuPlan.infer("refgpt", proxy=PROXY, target=target, delta=delta) for delta in (None, kept)]
    for plan in plans:
        assert (plan.rows[KEYS].role, plan.rows[KEYS].value) == ("bottleneck", 0.02 / 4)
        assert {d.where.split(".")[-2] for d in mu.inspect(plan) if d.id == "MU11"} == {"k_proj", "v_proj"}
        assert not [d for d in mu.inspect(plan) if d.id == "MU02"]
    assert [vars(plans[0].factors(n)) for n in plans[0].rows] == [vars(plans[1].factors(n)) for n in plans[1].rows]
    assert plans[0].fingerprint == plans[1].fingerprint
    assert all(torch.equal(a, b) for a, b in zip(*(p.build().parameters() for p in plans), strict=True))


def test_a_width_that_stays_is_no_bottleneck():
    """Only the inner width grows: the map back to the model's width keeps sigma / sqrt(m), and no advice is given."""
    found = MuPlan.infer("refgpt", proxy=PROXY, target={"d_ff": 192})
    row = found.rows["model.layers.0.mlp.down_proj.weight"]
    assert (row.role, row.m_in, row.m_out, row.value) == ("hidden", 4, 1, 0.02 / 2)
    assert mu.inspect(found) == []


def test_advice_is_for_names_that_were_given_and_never_closes_a_block():
    target = {"d_model": 128, "heads": 16, "kv_heads": 2, "d_ff": 192}
    found = MuPlan.infer("refgpt", proxy=PROXY, target=target, overrides={"k_proj": "hidden", "lm_head": "hidden"})
    advice = {d.where: d.words for d in mu.inspect(found) if d.id == "MU02"}
    assert advice.keys() == {KEYS, "lm_head.weight"}
    assert advice[KEYS].endswith("name it 'bottleneck'.")
    assert advice["lm_head.weight"].endswith("Name it 'readout'.")


def test_queries_that_are_asked_to_be_zero_are_zero_in_a_bottleneck_too():
    target = {"d_model": 128, "heads": 16, "kv_heads": 2, "d_ff": 192}
    found = MuPlan.infer("refgpt", proxy=PROXY, target=target, options=Options(zero_query=True))
    assert found.rows[KEYS.replace("k_proj", "q_proj")].value == 0
    assert found.rows[KEYS].value > 0
