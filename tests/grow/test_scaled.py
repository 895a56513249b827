"""Multipliers on modules that torch passes by: its attention, its encoder's fast path, weights used directly."""

from __future__ import annotations

import copy
import pickle

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from torch import nn  # noqa: E402

from luthier.grow import MuPlan, Options, coordinate_check  # noqa: E402
from luthier.grow import diagnostics as mu  # noqa: E402

IDS = torch.arange(16).view(2, 8)


class Encoder(nn.Module):
    """torch's own encoder layers, as a list or as its stack of them."""

    def __init__(self, d=16, f=32, h=2, layers=2, stack=False):
        super().__init__()
        self.emb = nn.Embedding(32, d)

        def one():
            return nn.TransformerEncoderLayer(d, h, f, dropout=0.0, batch_first=True, norm_first=not stack)

        if stack:
            self.layers = nn.TransformerEncoder(one(), layers)
        else:
            self.layers = nn.ModuleList(one() for _ in range(layers))
        self.out = nn.Linear(d, 32)

    def forward(self, x, padding=None):
        x = self.emb(x)
        if isinstance(self.layers, nn.ModuleList):
            for layer in self.layers:
                x = layer(x, src_key_padding_mask=padding)
        else:
            x = self.layers(x, src_key_padding_mask=padding)
        return self.out(x)


def plan(stack=False, layers=8):
    proxy = {"d": 16, "f": 32, "h": 2, "layers": 2, "stack": stack}
    return MuPlan.infer(
        Encoder,
        proxy=proxy,
        delta={"d": 32, "f": 96, "h": 4},
        target={"layers": layers},
        options=Options(depth="completep", zero_readout=False),
        writers=[r"out_proj$", r"linear2$"],
    )


@pytest.mark.parametrize("stack", [False, True])
def test_every_branch_of_torchs_own_layers_is_multiplied(stack):
    """A branch whose multiplier is 0 is gone; training and evaluation are one function."""
    found = plan(stack)
    model = found.build(seed=0)
    assert {number for path, (number, _) in found.multipliers.items() if path != "out"} == {1 / 4}
    assert mu.audit_model(found, model) == []
    assert mu.audit_pass(found, model, lambda m: m(IDS)) == []
    padding = torch.zeros(2, 8, dtype=torch.bool)
    padding[1, 6:] = True
    with torch.no_grad():
        for more in ({}, {"padding": padding}):
            kept = ~padding if more else torch.ones_like(padding)
            trained, evaluated = model.train()(IDS, **more)[kept], model.eval()(IDS, **more)[kept]
            assert (trained - evaluated).abs().max() < 1e-5
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(model(IDS), other(IDS))
        layers = model.layers.layers if stack else model.layers
        for part in ("self_attn", "linear2"):
            getattr(layers[3], part).multiplier = 0.0
            assert (model(IDS) - other(IDS)).abs().max() > 1e-3, part
            getattr(layers[3], part).multiplier = 0.25
        weight = layers[3].self_attn.out_proj.weight
        weight *= 4
        layers[3].self_attn.out_proj.bias *= 4
        layers[3].self_attn.multiplier = 1 / 16
        assert (model(IDS) - other(IDS)).abs().max() < 1e-5
    assert model.state_dict().keys() == Encoder(**found.target).state_dict().keys()


def test_at_the_proxys_depth_the_fast_path_stays():
    model = plan(layers=2).build()
    assert all(layer.activation_relu_or_gelu for layer in model.layers)


class Past(nn.Module):
    """A readout whose weight is used and whose module is not called."""

    def __init__(self, width=8):
        super().__init__()
        self.inp = nn.Linear(4, width)
        self.mid = nn.Linear(width, width)
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        return nn.functional.linear(self.mid(self.inp(x)), self.out.weight, self.out.bias)


def test_a_multiplier_that_no_pass_reads_is_named():
    found = MuPlan.infer(Past, proxy={"width": 8}, delta={"width": 16})
    model = found.widened(2).build()
    x = torch.zeros(5, 4)
    [one] = mu.audit_pass(found.widened(2), model, lambda m: m(x))
    assert (one.id, one.level, one.where) == ("MU02", "error", "out")
    assert "its multiplier 0.5 does nothing in training" in one.words
    assert "forward" not in vars(model.out)
    assert model.training
    checked = coordinate_check(
        found,
        lambda k: {"x": x, "y": torch.zeros(5, dtype=torch.long)},
        ratios=(1, 2, 4),
        steps=1,
        seeds=1,
        loss=lambda m, b, moment: nn.functional.cross_entropy(m(b["x"]), b["y"]),
    )
    assert checked.verdict == "fail"
    assert any("never called" in reason for reason in checked.reasons)
