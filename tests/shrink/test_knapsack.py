"""Packing sub-layers into a size."""

import itertools

import numpy as np
import pytest
from _models import batch, model, torch

from luthier.base.errors import ArgumentError
from luthier.shrink import CostModel, SubNetSpec, SuperNet, knapsack, pack


def test_a_pack_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        options = [[(int(c), float(s)) for c, s in zip(rng.integers(0, 40, 4), rng.random(4))] for _ in range(4)]
        budget = int(rng.integers(sum(min(o)[0] for o in options), 161))
        every = [
            (sum(options[i][n][1] for i, n in enumerate(picks)), picks)
            for picks in itertools.product(range(4), repeat=4)
            if sum(options[i][n][0] for i, n in enumerate(picks)) <= budget
        ]
        found = pack(options, budget)
        assert sum(options[i][n][1] for i, n in enumerate(found)) == pytest.approx(min(every)[0])
        assert sum(options[i][n][0] for i, n in enumerate(found)) <= budget


def test_a_budget_below_the_cheapest_is_refused():
    with pytest.raises(ArgumentError, match=r"budget=5. Allowed: at least 7"):
        pack([[(7, 0.0), (9, 0.0)]], 5)


class Distance:
    """A task whose loss is how far the logits are from the whole's."""

    def __init__(self, net, given):
        self.given = given
        with torch.no_grad():
            self.whole = net.model(**given).logits

    def evaluate(self, child, batches):
        with torch.no_grad():
            return {"loss": float((child(**self.given).logits - self.whole).square().mean())}


def test_what_does_nothing_goes_first():
    """Layer 1's feed-forward adds nothing: it goes whole before anything else, and other sizes keep to their budget."""
    net = SuperNet.from_model(model("llama"))
    with torch.no_grad():
        net.model.model.layers[1].mlp.down_proj.weight.zero_()
    costs = CostModel(net.layout)
    full = costs.cost(net.full).parameters
    without = SubNetSpec.of(48, [0, 1, 2], [(3, 2, 40), (3, 2, 0), (3, 2, 40)])
    targets = [0.4, 0.7, (costs.cost(without).parameters + 100) / full, 1.0]
    found = knapsack(net, Distance(net, batch("llama")), [], targets, levels=2)
    shares = [costs.cost(spec).parameters / full for spec in found]
    assert all(share <= target + 1e-9 for share, target in zip(shares, targets, strict=True))
    assert found[2] == without
    assert shares[0] < shares[1] < shares[2]


def test_every_size_keeps_to_its_target_or_the_smallest_is_told():
    """Where nothing at all would fit best, the best single sub-layer that is small enough is kept."""
    net = SuperNet.from_model(model("llama"))
    costs = CostModel(net.layout)
    full = costs.cost(net.full).parameters
    distance = Distance(net, batch("llama"))
    with pytest.raises(ArgumentError, match=r"target=0\.05: [\d,]+ parameters\. The smallest possible") as told:
        knapsack(net, distance, [], [0.9, 0.05], levels=2)
    least = float(str(told.value).partition("a share of ")[2][:5]) + 0.001
    targets = [least, least + 0.02, least + 0.04]
    found = [costs.cost(spec).parameters / full for spec in knapsack(net, distance, [], targets, levels=2)]
    assert all(share <= target for share, target in zip(found, targets, strict=True))
    with pytest.raises(ArgumentError, match=r"target=1\.5"):
        knapsack(net, distance, [], [1.5])
