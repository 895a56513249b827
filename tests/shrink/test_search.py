"""Importance, search by studies, fronts, baselines, least squares, latency."""

import json
from dataclasses import replace

import numpy as np
import pytest
from _models import batch, model, torch

from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.shrink import (
    CostModel,
    Front,
    Latency,
    Moments,
    Point,
    Ranking,
    SubNetSpec,
    SuperNet,
    Task,
    baselines,
    extract,
    finetune,
    measure,
    preset,
    rank_units,
    repair,
    search,
    standard_search,
)
from luthier.shrink import latency as latency_module
from luthier.shrink.front import hypervolume_of
from luthier.shrink.importance import columns, projection
from luthier.shrink.latency import Measured
from luthier.shrink.searching import Evaluator, title
from luthier.shrink.supernet import output
from luthier.shrink.tasks import language


@pytest.fixture(scope="module")
def data():
    return language(synthetic(6000, vocabulary=97), size=8, length=16, evaluated=3)


@pytest.fixture
def net():
    return SuperNet.from_model(model("llama"))


# -- importance --


def test_scores_of_neurons_by_hand(net, data):
    """The root mean square of a neuron's activation times the norm of its outgoing weights, summed up here by hooks."""
    batches, seen = data.calibration(2), []
    handle = net.model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()))
    with torch.no_grad():
        for b in batches:
            net.model(input_ids=b["input_ids"])
    handle.remove()
    x = torch.cat([s.flatten(0, 1) for s in seen]).double()
    weight = net.model.model.layers[1].mlp.down_proj.weight.double()
    expected = x.square().mean(0).sqrt() * weight.square().sum(0).sqrt()
    found = rank_units(net, batches)
    assert np.allclose(found.inter[1], expected.detach().numpy())
    flap = rank_units(net, batches, method="flap").inter[1]
    assert np.allclose(flap, (x.var(0, unbiased=False) * weight.square().sum(0)).detach().numpy())
    magnitude = rank_units(net, method="magnitude", layers="first").inter[1]
    mlp = net.model.model.layers[1].mlp
    by_hand = mlp.gate_proj.weight.norm(dim=1) * mlp.up_proj.weight.norm(dim=1) * mlp.down_proj.weight.norm(dim=0)
    assert np.allclose(magnitude, by_hand.detach().numpy(), rtol=1e-5)


def test_scores_of_heads_by_hand(net, data):
    batches, seen = data.calibration(1), []
    handle = net.model.model.layers[0].self_attn.o_proj.register_forward_pre_hook(
        lambda m, x: seen.append(x[0].detach())
    )
    with torch.no_grad():
        net.model(input_ids=batches[0]["input_ids"])
    handle.remove()
    x, weight = seen[0].flatten(0, 1).double(), net.model.model.layers[0].self_attn.o_proj.weight.double()
    added = [(x[:, 8 * h : 8 * h + 8] @ weight[:, 8 * h : 8 * h + 8].T).square().sum(1).mean().sqrt() for h in range(6)]
    assert np.allclose(rank_units(net, batches).heads[0], [float(a.detach()) for a in added])


def test_taylor_is_the_change_without_a_unit_to_first_order(net, data):
    batches = data.calibration(1)
    found = rank_units(net, batches, method="taylor", task=data.task)
    down = net.model.model.layers[2].mlp.down_proj
    whole = data.task.loss(data.task.logits(net.model, batches[0]), batches[0])
    with torch.no_grad():
        down.weight[:, 5] *= 1 - 1e-2
        less = data.task.loss(data.task.logits(net.model, batches[0]), batches[0])
    assert found.inter[2, 5] == pytest.approx(abs(float((whole - less).detach())) / 1e-2, rel=0.05)
    assert all(p.grad is None for p in net.model.parameters())


def test_taylor_takes_frozen_parameters_too(net, data):
    expected = rank_units(net, data.calibration(1), method="taylor", layers="first", task=data.task)
    for p in net.model.parameters():
        p.requires_grad_(False)
    found = rank_units(net, data.calibration(1), method="taylor", layers="first", task=data.task)
    assert np.array_equal(found.inter, expected.inter)
    assert not any(p.requires_grad or p.grad is not None for p in net.model.parameters())


def test_a_dead_layer_ranks_last(net, data):
    with torch.no_grad():
        net.model.model.layers[1].self_attn.o_proj.weight.zero_()
        net.model.model.layers[1].mlp.down_proj.weight.zero_()
    for how in ("block_influence", "mse", "loss"):
        found = rank_units(net, data.calibration(2), layers=how, task=data.task)
        assert found.layers[1] == pytest.approx(0, abs=1e-6)
        assert how == "loss" or found.layer_order[-1] == 1


def test_order_and_ranking_survive_json(net, data):
    found = rank_units(net, data.calibration(1))
    again = Ranking.from_json(json.loads(json.dumps(found.to_json())))
    assert again.order(3) == found.order(3)
    assert again.layer_order == found.layer_order
    with pytest.raises(ArgumentError, match="needs data"):
        rank_units(net)
    with pytest.raises(ArgumentError, match="needs a task"):
        rank_units(net, data.calibration(1), method="taylor")


def test_the_best_come_first_after_permuting(net, data):
    """Check 9 in small: with the most important first, a prefix loses less than the worst first."""
    ranking = rank_units(net, data.calibration(4))
    order = ranking.order(net.sizes.groups)
    spec, batches = SubNetSpec.uniform(net.sizes, inter=20), data.search
    with torch.no_grad():
        whole = [output(net.model(input_ids=b["input_ids"])) for b in batches]

    def lost():
        with net.active(spec) as child, torch.no_grad():
            return sum(
                float((output(child(input_ids=b["input_ids"])) - w).square().mean()) for b, w in zip(batches, whole)
            )

    net.permute_(order, batches[:2])
    best = lost()
    ends = replace(order.identity(net.sizes), inter=(tuple(reversed(range(40))),) * 3)
    net.permute_(ends, batches[:2])
    assert best < lost()


# -- search --


@pytest.mark.parametrize("method", ["random", "local", "nsga2"])
def test_a_search_finds_a_front(net, data, method, tmp_path):
    space = preset(net.sizes, "small", multiple=4)
    front = search(net, space, data, method=method, evals=9, folder=tmp_path / "study")
    assert len(front.tried) == 9
    assert front.tried[0].spec == net.full
    assert front.tried[1].spec == space.smallest
    sizes = [p.metrics["parameters"] for p in front.points]
    losses = [p.metrics["loss"] for p in front.points]
    assert sizes == sorted(sizes)
    assert losses == sorted(losses, reverse=True)
    assert all("select_loss" in p.metrics for p in front.points)
    point = front.points[-1]
    child = extract(net, point.spec).model
    assert data.task.evaluate(child, data.search)["loss"] == pytest.approx(point.metrics["loss"], rel=1e-5)
    again = search(net, space, data, method=method, evals=9, folder=tmp_path / "study")
    assert again.to_json() == front.to_json()  # the study was read, not run again
    assert Front.read(front.save(tmp_path / "front.json")).to_json() == front.to_json()


def test_batches_may_be_the_resource(net, data):
    front = search(net, preset(net.sizes, "small", multiple=4), data, method="random", evals=9, parts=3)
    assert 1 <= len(front.tried) < 9  # the others were stopped on the way
    for point in front.points:
        with net.active(point.spec) as child:
            assert data.task.evaluate(child, data.search)["loss"] == pytest.approx(point.metrics["loss"])


def test_constraints_hold_or_the_least_is_told(net, data):
    space = preset(net.sizes, "small", multiple=4)
    full = CostModel(net.layout).cost(net.full).parameters
    front = search(net, space, data, evals=9, constraints={"parameters": 0.5 * full})
    assert all(p.metrics["parameters"] <= 0.5 * full for p in front.points)
    with pytest.raises(ArgumentError, match=r"keeps the constraints; the least found is parameters [\d,]+"):
        search(net, space, data, evals=4, constraints={"parameters": 10})
    with pytest.raises(ArgumentError, match="needs to be measured"):
        search(net, space, data, objectives=("loss", "latency_ms"))


def point(loss, parameters, **more):
    spec = SubNetSpec.of(8, [0], [(1, 1, parameters)])
    return Point(spec, {"loss": loss, "parameters": float(parameters), **more})


FULL = {"loss": 1.0, "parameters": 100.0}


def test_hypervolume_by_hand():
    """Losses 1 to 3 and sizes 0 to 100 become a unit square: (0.5, 0.2) and (0.25, 0.6) cover 0.4 + 0.25 x 0.4."""
    front = Front.of([point(2.0, 20), point(1.5, 60), point(2.5, 70)], ("loss", "parameters"), FULL, 3.0)
    assert [p.metrics["parameters"] for p in front.points] == [20, 60]
    assert front.hypervolume() == pytest.approx(0.5 * 0.8 + 0.25 * 0.4)
    assert hypervolume_of([], FULL, 3.0) == 0.0
    assert hypervolume_of([point(9.0, 10)], FULL, 3.0) == 0.0  # worse than a constant answer


def test_select_and_knee():
    points = [point(3.0, 10), point(1.4, 30), point(1.2, 60), point(1.0, 100)]
    front = Front.of(points, ("loss", "parameters"), FULL, 3.0)
    assert front.select(max_params=0.5).metrics["parameters"] == 30
    assert front.select(max_params=60).metrics["parameters"] == 60
    assert front.select().metrics["parameters"] == 100
    assert front.knee().metrics["parameters"] == 30
    with pytest.raises(ArgumentError, match=r"the least found is 10"):
        front.select(max_params=0.05)
    with pytest.raises(ArgumentError, match="latency_ms was not measured"):
        front.select(max_latency_ms=3.0)
    unseen = [point(1.4, 30, select_loss=1.5), point(1.2, 60, select_loss=1.9)]
    assert Front.of(unseen, ("loss", "parameters"), FULL, 3.0).select().metrics["parameters"] == 30


def test_the_error_of_a_constant_answer():
    told = [{"input_ids": torch.zeros(4, 1), "labels": torch.tensor([0, 0, 0, 1])}]
    net = SuperNet.from_model(model("bert"))
    data = language(synthetic(4000, vocabulary=97), size=8, length=16)
    classes = Evaluator(net, replace(data, task=Task("classification", 2), search=told))
    assert classes.chance() == pytest.approx(0.25)
    numbers = Evaluator(net, replace(data, task=Task("regression"), search=told))
    assert numbers.chance() == 1.0
    words = Evaluator(net, replace(data, search=[{"input_ids": told[0]["input_ids"], "targets": told[0]["labels"]}]))
    assert words.chance() == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


SPEC_A, SPEC_B = SubNetSpec.of(8, [0], [(1, 1, 4)]), SubNetSpec.of(8, [0, 1], [(1, 1, 4)] * 2)


def test_a_surer_classifier_is_not_a_worse_one():
    """Sub-networks are picked by their errors: of two the loss may say the opposite."""
    full = {"loss": 0.6, "error": 0.2, "parameters": 100.0}
    sure = Point(SPEC_B, {"loss": 0.9, "error": 0.2, "parameters": 60, "select_error": 0.2, "select_loss": 0.9})
    unsure = Point(SPEC_A, {"loss": 0.5, "error": 0.3, "parameters": 30, "select_error": 0.3, "select_loss": 0.5})
    front = Front.of([sure, unsure], ("error", "parameters"), full, 0.5)
    assert front.select(max_params=0.7) is sure
    assert front.select(max_params=0.5) is unsure
    # areas below (0, 1) to (1, 1): error 0.2 is the whole's, 0.3 a third of the way to chance
    assert front.hypervolume() == pytest.approx(0.4 + 0.3 * (1 - 1 / 3))


def test_the_other_way_trains_each_candidate(net, data):
    models = {}
    front = standard_search(net, preset(net.sizes, "small", multiple=4), data, steps=4, parts=4, evals=8, models=models)
    assert front.points
    assert {point.spec for point in front.tried} == set(models)  # also those that were stopped
    for point in front.tried:  # told as they are
        assert data.task.evaluate(models[point.spec], data.search)["error"] == pytest.approx(point.metrics["error"])
    assert front.about["method"] == "standard"


def test_a_search_is_named_by_what_is_particular_to_it():
    assert title() == title("nsga2", ["error", "parameters"], {}, seconds=3.0) == "search"
    assert title(constraints={"not_stock": 0.0}) == "search-not_stock=0"
    assert title("random", ["error", "macs"], {"latency_ms": 12.5}, 3) == (
        "search-random-error,macs-latency_ms=12.5-parts=3"
    )
    assert title("own/searcher.py") == "search-own_searcher.py"  # no folders within


# -- baselines and repair --


@pytest.mark.parametrize("way", [baselines.uniform, baselines.flap, baselines.layer_drop])
def test_baselines_reach_their_target_from_below(net, data, way):
    ranking, costs = rank_units(net, data.calibration(1), method="flap"), CostModel(net.layout)
    full = costs.cost(net.full).parameters
    for target in (0.7, 0.9):
        share = costs.cost(way(net, ranking, target)).parameters / full
        assert target - 0.35 <= share <= target
    assert way(net, ranking, 1.0) == net.full
    with pytest.raises(ArgumentError, match="The smallest possible here has"):
        way(net, ranking, 0.05)


def test_uniform_keeps_what_ranks_highest(net, data):
    ranking = rank_units(net, data.calibration(1))
    spec = baselines.uniform(net, ranking, 0.8)
    for layer, one in enumerate(spec.per_layer):
        kept = list(range(one.inter)) if isinstance(one.inter, int) else list(one.inter)
        gone = [u for u in range(40) if u not in kept]
        assert ranking.inter[layer][kept].min() >= ranking.inter[layer][gone].max()


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_least_squares_make_up_for_neurons_that_others_know(family):
    """Neurons 20 to 39 say what 0 to 19 say: cut, the others can say it for them, and nothing is lost."""
    net = SuperNet.from_model(model(family))
    with torch.no_grad():
        for entry in net.layout.entries.values():
            if entry.part == "mlp" and "inter" in entry.dims:
                p, dim = net.model.get_parameter(entry.name), entry.dims.index("inter")
                if not entry.inside.startswith(("mlp.down", "mlp.c_proj", "output.dense")):
                    p.narrow(dim, 20, 20).copy_(p.narrow(dim, 0, 20))
    batches = [batch(family, seed=k, rows=8) for k in range(6)]
    spec = SubNetSpec.uniform(net.sizes, inter=20)
    child = extract(net, spec).model
    given = batch(family, seed=99)
    with torch.no_grad():
        whole, before = output(net.model(**given)), output(child(**given))
        repair(net, spec, child, Moments(net).run(batches), ridge=1e-9)
        after = output(child(**given))
    assert float((before - whole).abs().max()) > 1e-2
    assert float((after - whole).abs().max()) < 1e-3 * float(whole.abs().max())


def test_repair_is_the_least_squares_answer(net, data):
    batches = data.calibration(4)
    moments = Moments(net).run(batches)
    spec = SubNetSpec.uniform(net.sizes, inter=16)
    child = extract(net, spec).model
    repair(net, spec, child, moments, ridge=1e-9)
    seen = []
    handle = projection(net, 0, "mlp").register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()))
    with torch.no_grad():
        for b in batches:
            net.model(input_ids=b["input_ids"])
    handle.remove()
    x = torch.cat([s.flatten(0, 1) for s in seen]).double().numpy()
    goal = x @ columns(projection(net, 0, "mlp")).double().numpy().T
    expected = np.linalg.lstsq(x[:, :16], goal, rcond=None)[0].T
    found = child.model.layers[0].mlp.down_proj.weight.detach().numpy()
    assert np.allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_finetuning_moves_a_child_only(net, data):
    before = {n: p.detach().clone() for n, p in net.model.named_parameters()}
    child = extract(net, SubNetSpec.uniform(net.sizes, inter=16)).model
    first = next(child.parameters()).detach().clone()
    finetune(child, data, teacher=net.model, steps=2)
    assert not torch.equal(first, next(child.parameters()))
    assert all(torch.equal(before[n], p) for n, p in net.model.named_parameters())


# -- latency --


def test_latency_is_measured_and_predicted(net):
    specs = [SubNetSpec.uniform(net.sizes, layers=range(n), inter=u) for n in (1, 2, 3) for u in (8, 40)]
    found = Latency.fitted(net, specs, held_out=specs[:3], tokens=8, runs=2, rounds=2)
    assert found(net.full) > 0
    assert found.predicted(specs[0]) <= found.predicted(net.full)
    assert Latency.from_json(net, found.to_json()).predicted(net.full) == found.predicted(net.full)
    one, two = measure([net.model, net.model], tokens=8, runs=2, rounds=2, decode=True)
    assert one.runs == two.runs == 4
    assert one.low_ms <= one.median_ms <= one.high_ms


@pytest.mark.parametrize(("tau", "predicts"), [(0.95, True), (float("nan"), True), (0.5, False)])
def test_latency_is_measured_where_predictions_rank_badly(net, monkeypatch, tau, predicts):
    asked = []

    def timed(models, **more):
        asked.append((sum(p.numel() for p in models[0].parameters()), more["tokens"], more["decode"]))
        return [Measured(7.0, 7.0, 7.0, 15, 1, 8, 1, "cpu")]

    monkeypatch.setattr(latency_module, "measure", timed)
    kept = Latency(net, np.zeros(6), tokens=8, batch=1, tau=tau, decode=True).to_json()
    found = Latency.from_json(net, kept)
    assert [found(net.full), found(net.full)] == ([0.0, 0.0] if predicts else [7.0, 7.0])
    full = CostModel(net.layout).cost(net.full).parameters
    assert asked == ([] if predicts else [(full, 8, True)])


def test_more_tokens_than_positions_are_told_before_anything_is_timed():
    with pytest.raises(ArgumentError, match=r"tokens=65: the model has 64 positions\. Allowed: at most so many"):
        measure([model("gpt2")], tokens=65)
    with pytest.raises(ArgumentError, match=r"tokens=64, and 1 more: .*Allowed: at most 63"):
        measure([model("gpt2")], tokens=64, decode=True)
