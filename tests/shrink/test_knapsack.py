"""Packing sub-layers into a size."""

import itertools

import numpy as np
import pytest
from _models import model

from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.shrink import CostModel, SuperNet, knapsack, pack
from luthier.shrink.tasks import language


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


def test_sub_networks_of_a_size():
    net = SuperNet.from_model(model("llama", num_hidden_layers=2))
    data = language(synthetic(4000, vocabulary=97), size=4, length=16, evaluated=1)
    costs = CostModel(net.layout)
    full = costs.cost(net.full).parameters
    found = knapsack(net, data.task, data.search, [0.5, 0.8, 1.0], levels=2)
    shares = [costs.cost(spec).parameters / full for spec in found]
    assert all(share <= target for share, target in zip(shares, (0.5, 0.8, 1.0), strict=True))
    assert shares == sorted(shares)
    with net.active(found[-1]) as child:
        best = data.task.evaluate(child, data.search)["loss"]
    assert best <= data.task.evaluate(net.model, data.search)["loss"] + 0.05
