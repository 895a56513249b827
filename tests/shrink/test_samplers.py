"""Acceptance check 6: calibrated samplers, and the spaces that they draw from."""

import time

import numpy as np
import pytest
from _models import model
from scipy.stats import chisquare

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.nets.families import Sizes, layout
from luthier.shrink import PRESETS, CostModel, Sampler, SubNetSpec, custom, preset
from luthier.shrink.samplers import parsed

BERT = Sizes(width=768, depth=12, heads=12, groups=12, head_dim=64, inter=3072)


def large_layout(family="bert", **more):
    return layout(model(family, hidden_size=64, num_attention_heads=8, intermediate_size=256, **more))


@pytest.mark.parametrize(
    ("kind", "scale"), [("uniform_params", lambda x: x), pytest.param("log_params", np.log, marks=pytest.mark.slow)]
)
def test_sizes_are_uniform(kind, scale):
    found = large_layout(num_hidden_layers=4)
    costs, space = CostModel(found), preset(found.sizes, "small", multiple=1)
    sampler, rng = Sampler(space, costs, kind=kind), np.random.default_rng(0)
    sizes = costs.parameters(costs.arrays([sampler.draw(rng) for _ in range(5000)]))
    edges = np.linspace(scale(sampler.low), scale(sampler.high), 21)
    counts = np.histogram(np.clip(scale(sizes), edges[0], edges[-1]), bins=edges)[0]
    assert chisquare(counts).pvalue > 0.01, counts
    axes = Sampler(space, costs, kind="uniform_axes")
    plain = costs.parameters(costs.arrays([axes.draw(rng) for _ in range(2000)]))
    counts = np.histogram(np.clip(scale(plain), edges[0], edges[-1]), bins=edges)[0]
    assert chisquare(counts).pvalue < 1e-6  # what the calibrated ones are for


@pytest.mark.parametrize("name", ["small", "medium", "width", "joint"])
def test_a_target_is_met_within_a_percent(name):
    found = large_layout("llama", num_key_value_heads=4)
    costs, space = CostModel(found), preset(found.sizes, name, multiple=1)
    sampler, rng = Sampler(space, costs), np.random.default_rng(1)
    for target in np.linspace(sampler.low, sampler.high, 40):
        size = costs.cost(sampler.sized(float(target), rng)).parameters
        assert abs(size - target) <= 0.01 * target + 1


def test_a_range_that_does_not_exist_is_an_error_at_once():
    found = large_layout()
    begin = time.perf_counter()
    with pytest.raises(ArgumentError, match=r"the smallest possible has [\d,]+\."):
        Sampler(preset(found.sizes, "small"), CostModel(found), low=0.0001, high=0.0002)
    assert time.perf_counter() - begin < 1


def test_a_grid_has_both_ends():
    found = large_layout()
    space = preset(found.sizes, "small")
    sampler = Sampler(space, CostModel(found), kind="grid", bins=8)
    drawn = {sampler.draw(np.random.default_rng(i)) for i in range(200)}
    assert {space.smallest, space.largest} <= drawn
    assert len(drawn) <= 8


def test_around_a_target():
    found = large_layout()
    costs = CostModel(found)
    sampler = Sampler(preset(found.sizes, "small"), costs, kind="around", target=0.6, spread=0.05)
    full = costs.cost(SubNetSpec.full(found.sizes)).parameters
    drawn = [costs.cost(sampler.draw(np.random.default_rng(i))).parameters / full for i in range(100)]
    assert np.mean(drawn) == pytest.approx(0.6, abs=0.03)
    assert np.std(drawn) == pytest.approx(0.05, abs=0.02)


def test_a_target_that_no_sub_network_is_near_to_is_refused():
    found = large_layout()
    costs, space = CostModel(found), preset(found.sizes, "small")
    with pytest.raises(ArgumentError, match=r"target=0\.1 of [\d,]+ parameters.*Allowed: 0\.\d+ to 1\.000"):
        Sampler(space, costs, kind="around", target=0.1)
    with pytest.raises(ArgumentError, match=r"target=0\.9 .*Allowed: 0\.\d+ to 0\.800"):
        Sampler(space, costs, kind="around", target=0.9, high=0.8)


@pytest.mark.parametrize("kind", ["uniform_axes", "grid", "uniform_params"])
def test_a_range_holds_for_every_kind(kind):
    found = large_layout()
    costs = CostModel(found)
    sampler, rng = Sampler(preset(found.sizes, "small"), costs, kind=kind, low=0.4, high=0.6), np.random.default_rng(0)
    full = costs.cost(SubNetSpec.full(found.sizes)).parameters
    shares = [costs.cost(sampler.draw(rng)).parameters / full for _ in range(40)]
    assert min(shares) >= 0.4 * 0.99
    assert max(shares) <= 0.6 * 1.01
    assert max(shares) - min(shares) > 0.1
    narrow = Sampler(preset(found.sizes, "small"), costs, kind=kind, low=0.5, high=0.5001)  # hit by hardly any draw
    assert costs.cost(narrow.draw(rng)).parameters == pytest.approx(0.5 * full, rel=0.01)


@pytest.mark.parametrize("axes", [{"inter": [8, 40]}, {f"inter.{i}": [0, 8, 40] for i in range(3)}])
def test_neurons_are_of_the_numbers_that_are_allowed(axes):
    sizes = (found := layout(model("llama"))).sizes
    space = custom(sizes, {"depth": [1, 2, 3], "groups": [1, 2, 3], **axes})
    costs, rng = CostModel(found), np.random.default_rng(0)
    sampler = Sampler(space, costs)
    drawn = [sampler.draw(rng) for _ in range(100)]
    assert {layer.inter for spec in drawn for layer in spec.per_layer} <= {0, 8, 40}
    sizes = costs.parameters(costs.arrays(drawn))
    assert np.histogram(sizes, bins=4, range=(sampler.low, sampler.high))[0].min() >= 10


def test_a_sampler_is_named_with_its_numbers():
    assert parsed("uniform_params") == {"kind": "uniform_params"}
    assert parsed("grid(32)") == {"kind": "grid", "bins": 32}
    assert parsed("around(0.3, 0.05)") == {"kind": "around", "target": 0.3, "spread": 0.05}
    for wrong, allowed in (
        ("around(a)", r"around\(target, spread\)"),
        ("log_params(3)", "log_params, without numbers"),
        ("arond(0.3)", "Did you mean 'around'"),
    ):
        with pytest.raises(ArgumentError, match=allowed):
            parsed(wrong)


def test_spaces_are_as_large_as_the_papers_say():
    """BERT-base: 12 x 12 x 3072 with a layer at least; 2^12 - and none of them empty."""
    assert preset(BERT, "small", multiple=1).space.size == 12 * 12 * 3072
    assert preset(BERT, "layer").space.size == 2**12
    assert preset(BERT, "medium", multiple=1).space.size == (13 * 3073) ** 12
    with pytest.raises(ArgumentError, match="space 'large' has 37008 bits here"):
        preset(BERT, "large")


@pytest.mark.parametrize("name", PRESETS)
def test_every_configuration_names_a_sub_network(name):
    sizes = layout(model("llama")).sizes
    space = preset(sizes, name, multiple=8)
    rng = np.random.default_rng(0)
    assert space.largest == SubNetSpec.full(sizes)
    drawn = [space.smallest, *(space.decode(space.draw(rng)) for _ in range(50))]
    drawn += [space.decode(c) for c in space.space.sample(50, rng)]
    for spec in drawn:
        assert spec.check(sizes).layers
    if name not in ("layer", "sublayer"):
        assert len(set(drawn)) > 20


def test_bits_are_drawn_by_their_number():
    sizes = Sizes(width=48, depth=40, heads=6, groups=6, head_dim=8, inter=64)
    space, rng = preset(sizes, "layer"), np.random.default_rng(0)
    kept = [len(space.decode(space.draw(rng)).layers) for _ in range(400)]
    counts = np.histogram(kept, bins=8, range=(0.5, 40.5))[0]
    assert chisquare(counts).pvalue > 0.01  # fair coins would keep 20 nearly always


def test_depth_keeps_the_layers_that_rank_highest():
    sizes = layout(model("llama")).sizes
    space = preset(sizes, "small", ranking=(2, 0, 1))
    assert space.decode({"depth": 2, "groups": 3, "queries": 2, "inter": 40}).layers == (0, 2)
    assert space.decode({"depth": 1}).layers == (2,)
    guarded = preset(sizes, "small", ranking=(1, 2, 0), protect=True)
    assert guarded.decode({"depth": 2}).layers == (0, 2)


def test_own_spaces():
    sizes = layout(model("llama")).sizes
    space = custom(sizes, {"inter.1": lu.Int(8, 40, step=8), "mlp.0": [True, False], "width": [32, 48]})
    spec = space.decode({"inter.1": 16, "mlp.0": False, "width": 32})
    assert spec == SubNetSpec.of(32, [0, 1, 2], [(3, 2, 0), (3, 2, 16), (3, 2, 40)])
    with pytest.raises(ArgumentError, match=r"axis 'inter.1' reaches 99. Allowed: 0 to 40"):
        custom(sizes, {"inter.1": [8, 99]})
    with pytest.raises(ArgumentError, match="layers 0 to 2"):
        custom(sizes, {"inter.7": [8, 16]})
    with pytest.raises(ArgumentError, match="Did you mean 'inter'"):
        custom(sizes, {"intre": [8]})
