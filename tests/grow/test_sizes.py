"""Sizes of plans: multiplied whatever they are, functions that read values, defaults that are what is written."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from torch import nn  # noqa: E402

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow import MuPlan, coordinate_check  # noqa: E402
from luthier.grow import diagnostics as mu  # noqa: E402


def channels(channels=(3, 8, 16)):
    a, b, c = channels
    return nn.Sequential(nn.Conv2d(a, b, 3), nn.Conv2d(b, c, 3), nn.Flatten(1), nn.Linear(c, 3))


def share(width=1.0):
    n = int(16 * width)
    return nn.Sequential(nn.Linear(4, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 3))


def word(size="small"):
    return share(1.0 if size == "small" else 2.0)


def test_sizes_in_lists_and_fractions_are_multiplied():
    found = MuPlan.infer(channels, proxy={"channels": [3, 8, 16]}, delta={"channels": [3, 16, 48]}).widened(4)
    assert found.target == {"channels": [3, 32, 64]}
    assert found.rows["1.weight"].shape == (64, 32, 3, 3)
    part = MuPlan.infer(share, proxy={"width": 1.0}, delta={"width": 2.0}).widened(4)
    assert part.target == {"width": 4.0}
    assert part.rows["2.weight"].shape == (64, 64)


def test_the_coordinate_check_of_a_fraction_compares_models_of_different_widths():
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    found = coordinate_check(
        MuPlan.infer(share, proxy={"width": 1.0}, delta={"width": 2.0}),
        lambda k: {"x": x, "y": (x[:, 0] > 0).long()},
        ratios=(1, 2, 4),
        steps=2,
        seeds=1,
        lr=0.1,
        loss=lambda m, b, moment: nn.functional.cross_entropy(m(b["x"]), b["y"]),
    )
    assert any(slope.slope != 0 for slope in found.control if slope.step == 0)
    assert not any("slope is 0.00" in reason for reason in found.reasons)


def test_sizes_that_cannot_be_multiplied_are_refused():
    found = MuPlan.infer(word, proxy={"size": "small"}, delta={"size": "large"})
    assert found.widened(1) == found
    with pytest.raises(ArgumentError, match="size is 'small' in the proxy and 'large' in the delta"):
        found.widened(2)
    alone = MuPlan.infer(share, proxy={}, delta={"width": 2.0})
    with pytest.raises(ArgumentError, match=r"width is in the delta alone\. Name it in the proxy too"):
        alone.widened(2)
    uneven = MuPlan.infer(channels, proxy={"channels": [3, 8, 16]}, delta={"channels": [3, 16, 48]})
    with pytest.raises(ArgumentError, match=r"channels\[1\] would be 8.8"):
        uneven.widened(1.1)


def dropping(d=8, depth=2):
    """Rates of a stochastic depth, read as numbers: the meta device has none."""
    rates = [x.item() for x in torch.linspace(0, 0.1, depth)]
    return nn.Sequential(nn.Linear(4, d), nn.Dropout(rates[-1]), nn.Linear(d, 3))


def test_a_function_that_reads_values_is_built_for_real():
    before = torch.random.get_rng_state()
    found = MuPlan.infer(dropping, proxy={"d": 8}, delta={"d": 16}, target={"d": 32})
    assert torch.equal(before, torch.random.get_rng_state())
    assert found.rows["2.weight"].role == "readout"
    model = found.build(seed=0)
    assert mu.audit_model(found, model) == []
    assert found.check_shapes(found.build(device="meta")) is None
    with pytest.raises(ArgumentError, match=r"the model cannot be built: .*depth_"):
        MuPlan.infer(dropping, proxy={"d": 8, "depth_": 1}, delta={"d": 16})


def test_depth_is_not_scaled_unless_it_is_asked_for():
    """What `tables` says of the default."""
    from luthier.grow import tables

    proxy = {"vocabulary": 32, "d_model": 16, "heads": 1, "layers": 1, "context": 8}
    found = MuPlan.infer("refgpt", proxy=proxy, target={"layers": 4})
    assert found.options.depth == "none"
    assert "By default depth is not scaled" in (tables.__doc__ or "")
    assert [d.id for d in mu.inspect(found)] == ["MU09"]
