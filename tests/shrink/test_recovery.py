"""Ranking after recovery, and a repair that may not make things worse."""

from dataclasses import replace

import numpy as np
import pytest
from _models import model

from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.nets.training import History
from luthier.shrink import Front, Moments, SuperNet, extract, language, preset, recover, recovery, search, train
from luthier.shrink.recovery import _below, _best, mend


@pytest.fixture(scope="module")
def found():
    data = language(synthetic(6000, vocabulary=97, seed=0), size=8, length=16)
    net = SuperNet.from_model(model("llama"))
    space = preset(net.sizes, "small", multiple=4)
    train(net, space, data, steps=30, lr=3e-3)
    return net, data, search(net, space, data, evals=14, seed=0)


def test_candidates_are_ranked_by_what_a_few_steps_bring_back(found):
    net, data, front = found
    new = recover(net, front, data, steps=4, most=5, lr=3e-3)
    assert new.objectives == ("recovered_error", "parameters")
    assert 1 <= len(new.points) <= 5
    values = np.array([[p.metrics["recovered_error"], p.metrics["parameters"]] for p in new.points])
    assert (np.diff(values[:, 0]) < 0).all()  # of two points the larger is the better
    chosen = new.select(max_params=1.0)
    assert chosen.metrics["recovered_error"] == values[:, 0].min()
    # training itself is what the number is of: it differs from the loss before it
    assert all(p.metrics["recovered_error"] != p.metrics["loss"] for p in new.points)


def test_for_targets_what_is_small_enough_is_tried(found):
    net, data, front = found
    target = (min(p.metrics["parameters"] for p in front.tried) + 1) / front.full["parameters"]
    new = recover(net, front, data, steps=2, most=4, targets=[target], lr=3e-3)
    assert new.points
    assert all(p.metrics["parameters"] <= target * front.full["parameters"] for p in new.points)


def test_a_repair_that_hurts_is_taken_back(found):
    net, data, front = found
    spec = front.points[0].spec
    moments = Moments(net).run(data.calibration(2))
    child = extract(net, spec).model.eval()
    told = mend(net, spec, child, moments, data)
    assert data.task.evaluate(child, data.select)["loss"] == pytest.approx(told["after"], rel=1e-6)
    assert told["after"] <= told["before"]
    # moments that are nonsense make a repair that hurts: the weights come back as they were
    child = extract(net, spec).model.eval()
    before = {name: p.detach().clone() for name, p in child.named_parameters()}
    for key in moments.second:
        moments.second[key] = moments.second[key].flip(0) * 1e3 + moments.second[key].flip(1)
    told = mend(net, spec, child, moments, data)
    assert told["after"] == told["before"]
    assert all((p == before[name]).all() for name, p in child.named_parameters())


def test_what_breaks_the_constraints_of_the_search_is_not_tried(found):
    *_, front = found
    sizes = sorted(p.metrics["parameters"] for p in front.tried)
    limit = sizes[len(sizes) // 2]
    bound = replace(front, about={**front.about, "constraints": {"parameters": limit}})
    assert any(p.metrics["parameters"] > limit for p in _below(front, 6, [1.0]))
    for chosen in (_below(bound, 6, [1.0]), _best(bound, 6)):
        assert chosen
        assert all(p.metrics["parameters"] <= limit for p in chosen)


def test_nothing_to_try_is_told_before_anything_is_trained(found):
    net, data, front = found
    bound = replace(front, about={**front.about, "constraints": {"parameters": 1}})
    with pytest.raises(ArgumentError, match=r"none of the .* sub-networks tried keeps the search's constraints"):
        recover(net, bound, data, steps=1, lr=3e-3)
    with pytest.raises(ArgumentError, match=r"targets=\[0.01\]. Allowed: 0\.\d+ and more"):
        recover(net, front, data, steps=1, lr=3e-3, targets=[0.01])


def test_the_order_of_objectives_does_not_say_which_is_lost(found):
    *_, front = found
    turned = Front.of(front.tried, ("parameters", "error"), front.full, front.chance)
    assert turned.lost == front.lost == "error"
    assert _below(turned, 4, [0.9]) == _below(front, 4, [0.9])
    assert turned.knee().spec == front.knee().spec


def test_a_front_ranked_anew_has_the_hypervolume_of_its_search(found):
    net, data, front = found
    new = recover(net, front, data, steps=1, most=2, lr=3e-3)
    assert len(new.points) < len(front.points)
    assert new.hypervolume() == front.hypervolume() > 0


def test_what_diverges_is_left_out_and_all_of_it_is_an_error(found, monkeypatch):
    net, data, front = found
    seen = []

    def broken(child, *given, **more):
        seen.append(child)
        return History(diverged=len(seen) != 2, step=1)

    monkeypatch.setattr(recovery, "finetune", broken)
    assert len(recover(net, front, data, steps=3, most=3).points) == 1
    with pytest.raises(ArgumentError, match=r"recover: its training diverged at step 1 of 3.*lr=0\.5"):
        recover(net, front, data, steps=3, most=3, lr=0.5)
