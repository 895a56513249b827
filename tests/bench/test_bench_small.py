"""Stand-ins for net, nb101, nb1shot1, fcnet and nasbench201: what they answer with, and how their files are made."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from luthier import bench
from luthier.base.errors import ChecksumError, UnsupportedError
from luthier.base.records import Configuration
from luthier.bench import _sets
from luthier.bench.families import (
    _held_out,
    _small_cells,
    _small_cells_training,
    _small_fcnet,
    _small_fcnet_training,
    _small_nb201,
    _small_nb201_training,
    _small_net_training,
    nasbench201,
    nb1shot1,
    nb101,
    net,
)
from luthier.bench.families._cells import CONV1, CONV3, POOL, Cell, fingerprint, matrix, prune
from luthier.bench.families._trees import PARTS, Trees, grown
from luthier.testing.benchmark import check_benchmark

NETS = [f"net/{data}@small" for data in net.OWN]
CELLS = [*(f"nb101/{encoding}@small" for encoding in "ABC"), *(f"nb1shot1/{space}@small" for space in "123")]
FCNETS = [f"fcnet/{data}@small" for data in _small_fcnet.OWN]
NB201 = "nasbench201/digits@small"


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)


@pytest.mark.parametrize("name", [*NETS, *CELLS, *FCNETS, NB201])
def test_battery(name):
    b = bench.load(name)
    check_benchmark(b)
    assert "not comparable" in b.card.description
    assert len(b.card.checksum) == 1


# forests -------------------------------------------------------------------------------------------------


def test_a_grown_forest_interpolates_and_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    X, guide, values = rng.random((40, 3)), rng.random((40, 2)), rng.random((40, 5))
    forest = Trees(grown(X, guide, values, trees=7), 3, "test")
    for row, known in zip(X, values, strict=True):
        assert forest.predict(row) == pytest.approx(known, abs=1e-6)
    again = Trees(grown(X, guide, guide, trees=7), 3, "test")
    theirs = ExtraTreesRegressor(7, random_state=0).fit(X, guide)
    asked = rng.random((50, 3))
    ours = np.array([again.predict(row) for row in asked])
    assert ours == pytest.approx(theirs.predict(asked), abs=1e-6)
    assert again.predict_many(asked, again.values[:, 1]) == pytest.approx(ours[:, 1], abs=1e-12)


def test_what_is_held_out_is_not_seen():
    rng = np.random.default_rng(0)
    X, noise = rng.random((60, 2)), rng.random((60, 1))
    found = _held_out.held_out(X, noise[:, 0], noise, trees=5)
    assert abs(_held_out.agreement(found[:, 0], noise[:, 0])) < 0.4  # seen, it would be 1
    smooth = X.sum(axis=1, keepdims=True)
    assert _held_out.agreement(_held_out.held_out(X, smooth[:, 0], smooth, trees=5)[:, 0], smooth[:, 0]) > 0.9


# net -----------------------------------------------------------------------------------------------------


def test_there_is_a_net_for_each_set_of_scikit_learn():
    assert list(net.OWN) == list(_sets.BUNDLED)
    assert bench.names("net/")[:4] == NETS


@pytest.mark.parametrize("name", NETS)
def test_time_and_steps_of_a_net_are_two_views_of_one_curve(name):
    steps, time = bench.load(name, axis="steps"), bench.load(name)
    assert (time.fidelity.low, time.fidelity.high) == (3, 81)
    for config in time.space.sample(5, np.random.default_rng(0)):
        whole = [one for _, one in steps.curve(config)]
        for budget in (3, 9, 27, 81):
            found = time.evaluate(config, resource=budget)
            done = sum(one.seconds <= budget for one in whole)
            assert found.info["epochs"] == done
            assert found.metrics == (whole[done - 1].metrics if done else {"error": 1.0})
            hidden = time.evaluate_test(config, resource=budget)
            assert (list(hidden.metrics), hidden.seconds) == (["test_error"], budget)


def test_a_net_made_anew_answers_with_what_was_trained(tmp_path):
    configs = _small_net_training.drawn(5)
    path = _small_net_training.run(tmp_path, "iris", configs)
    surrogate = net.read(path, "iris")
    data = _sets.load("iris", what="test")
    for config in configs:
        errors, _ = _small_net_training.train(config, data)
        row = net.columns(config, surrogate.base)
        assert surrogate.error.predict(row) == pytest.approx(errors[0], abs=1e-6)
        assert surrogate.test.predict(row) == pytest.approx(errors[1], abs=1e-6)
    assert surrogate.limits == (3, 81)
    assert surrogate.origin.startswith("luthier's own: 5 random configurations trained on scikit-learn's load_iris")


def test_the_shipped_net_holds_the_default_as_it_trains_today():
    """The errors alone: a rounding of one row may differ where another processor adds up in another order."""
    data = _sets.load("wine", what="test")
    b = bench.load("net/wine@small", axis="steps")
    errors, _ = _small_net_training.train(b.space.default(), data)
    shipped = [one.metrics["error"] for _, one in b.curve(b.space.default())]
    assert shipped == pytest.approx(errors[0], abs=2 / len(data.valid.y))


def test_nets_are_fitted_to_training_rows_alone(monkeypatch):
    data = _sets.load("iris", what="test")
    seen = []
    true = _small_net_training.train_epoch

    def spy(state, how, X, y, **more):
        seen.append(X is data.train.X and y is data.train.y)
        true(state, how, X, y, **more)

    monkeypatch.setattr(_small_net_training, "train_epoch", spy)
    _small_net_training.train(_small_net_training.drawn(1)[0], data)
    assert seen == [True] * 50


def test_a_net_has_no_full_space():
    with pytest.raises(UnsupportedError, match=r"space='full'\. Allowed: 'reduced', which was trained"):
        bench.load("net/iris@small", space="full")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (net, "net/iris@small"),
        (_small_cells, "nb101/A@small"),
        (_small_fcnet, "fcnet/diabetes@small"),
        (_small_nb201, NB201),
    ],
)
def test_a_changed_file_is_refused(module, name, tmp_path, monkeypatch):
    for file in ("net_iris_small.npz", "nb101_small.npz", "fcnet_diabetes_small.npz", _small_nb201.FILE):
        (tmp_path / file).write_bytes(b"changed")
    monkeypatch.setattr(module, "shipped", lambda file: tmp_path / file)
    with pytest.raises(ChecksumError):
        bench.load(name)


# cells ---------------------------------------------------------------------------------------------------


def test_channels_follow_the_rule_of_the_original():
    chain = prune(matrix([(0, 1), (1, 2), (2, 3)], 4), [CONV3, CONV1])
    assert _small_cells.channels(chain) == [0, 8, 8, 8]
    three = prune(matrix([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], 5), [CONV3] * 3)
    assert _small_cells.channels(three) == [0, 3, 3, 2, 8]
    # 1 leads to 2 and 3, and so is as wide as the wider of the two
    mixed = prune(matrix([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], 5), [CONV3] * 3)
    assert _small_cells.channels(mixed, 5) == [0, 3, 3, 2, 5]


def test_features_do_not_depend_on_the_order_of_vertices():
    left = prune(matrix([(0, 1), (0, 2), (1, 3), (2, 3)], 4), [CONV1, POOL])
    right = prune(matrix([(0, 1), (0, 2), (1, 3), (2, 3)], 4), [POOL, CONV1])
    other = prune(matrix([(0, 1), (1, 2), (2, 3)], 4), [CONV1, POOL])
    assert _small_cells.features(left) == _small_cells.features(right) != _small_cells.features(other)
    rng = np.random.default_rng(0)  # three ends share eight channels, which cannot be even
    graph = matrix([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], 5)
    ways = [prune(graph, order) for order in rng.permuted([[CONV3, CONV1, POOL]] * 5, axis=1).tolist()]
    assert len({tuple(_small_cells.features(cell)) for cell in ways}) == 1
    found = dict(zip(_small_cells.FEATURES, _small_cells.features(left), strict=True))
    assert (found["vertices"], found["edges"], found["paths"], found["conv1_wide"]) == (4, 4, 0.6931, 4)
    assert (found["operations_most"], found["convolutions_most"], found["convolutions_least"]) == (1, 1, 0)


def test_every_configuration_has_a_value_and_what_is_invalid_has_the_originals():
    b = bench.load("nb101/A@small")
    configs = b.space.sample(200, np.random.default_rng(0))
    full = b.space.default() | {f"edge_{i}": 1 for i in range(21)}
    bad = b.evaluate(full)
    assert (bad.metrics, bad.seconds, bad.info) == ({"valid_error": 1.0}, 0.0, {"valid": False})
    valid = [one for one in b.evaluate_batch(configs, seed=None) if one.info["valid"]]
    assert 20 < len(valid) < 180
    assert all(0 < one.metrics["valid_error"] < 1 and one.seconds > 0 for one in valid)


def test_encodings_and_spaces_share_the_cells():
    """The cell that leads the input straight to one convolution and on, in each encoding."""
    a, b, c = (bench.load(f"nb101/{encoding}@small") for encoding in "ABC")
    operations = {f"op_node_{i}": CONV3 for i in range(5)}
    first = a.evaluate({**operations, **{f"edge_{i}": int(i in (0, 10)) for i in range(21)}})
    scores = {f"edge_{i}": 0.9 if i in (0, 10) else 0.1 for i in range(21)}
    assert c.evaluate({**operations, "num_edges": 2, **scores}) == first
    # encoding B counts column by column from the last pair: (0, 1) is 20, (1, 6) is 4
    assert b.evaluate({**operations, **{f"edge_{i}": 20 if i < 4 else 4 for i in range(9)}}) == first


def test_trained_cells_are_among_the_spaces_and_said_to_be_trained():
    table = bench.load("nb1shot1/1@small")._table
    cells = _small_cells_training.drawn()
    names = {fingerprint(cell).encode() for cell in cells}
    assert table.trained == names
    assert len(names) == len(cells)
    assert table.record(cells[0]).info["trained"]


def test_more_budget_helps_and_costs():
    b = bench.load("nb1shot1/2@small")
    configs = b.space.sample(50, np.random.default_rng(0))
    errors, costs = [], []
    for budget in (4, 12, 36, 108):
        found = b.evaluate_batch(configs, resource=budget, seed=None)
        errors.append(np.mean([one.metrics["valid_error"] for one in found]))
        costs.append([one.seconds for one in found])
    assert errors == sorted(errors, reverse=True)
    assert np.array(costs[3]) == pytest.approx(27 * np.array(costs[0]))


def test_the_optimum_is_that_of_all_cells():
    """Checked on the smallest space, and on all cells of up to five vertices."""
    b = bench.load("nb101/A@small")
    best, table = b.card.optimum["valid_error"], b._table
    space = bench.load("nb1shot1/1@small")
    rows = _small_cells_training._rows(itertools.islice(nb1shot1.cells("1"), 0, None, 3))
    assert best <= space.card.optimum["valid_error"] <= table.least(rows)
    graphs = [set(map(fingerprint, _labelled(vertices))) for vertices in (2, 3, 4)]
    assert [len(one) for one in graphs] == [1, 6, 84]  # NAS-Bench-101's own counts
    assert best <= min(table.least(_small_cells_training._rows(_labelled(v))) for v in (2, 3, 4))


def _labelled(vertices):
    for graph in _small_cells_training._graphs(vertices):
        for chosen in itertools.product((CONV1, CONV3, POOL), repeat=vertices - 2):
            yield Cell(graph, chosen)


def test_the_file_holds_forests_alone():
    with np.load(_small_cells.shipped(_small_cells.FILE), allow_pickle=False) as file:
        assert set(file.files) == {f"{f}_{p}" for f in ("error", "seconds") for p in PARTS} | {"hash", "best", "about"}


@pytest.mark.slow
def test_cells_train_apart_from_each_other_on_training_rows_alone():
    torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')
    graph = matrix([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3)], 4)
    cell = prune(graph, [CONV3, POOL])
    torch.manual_seed(0)
    network = _small_cells_training._network(torch, cell).eval()
    images = torch.rand(5, 3, 8, 8)
    before = network(images)
    images[:, 1] += 1
    changed = (network(images) != before).any(2).any(0).tolist()
    assert changed == [False, True, False]

    data = _sets.load("digits", what="test")
    found = _small_cells_training.train(cell, 12, data)[0]
    assert _small_cells_training.train(cell, 12, data)[0] == found
    blind = _sets.Part(0 * data.valid.X, data.valid.y)
    other = _small_cells_training.train(cell, 12, _replaced(data, valid=blind, test=blind))[0]
    assert other["train"] == found["train"]
    assert other["valid"] != found["valid"]


def _replaced(data, **parts):
    from dataclasses import replace

    return replace(data, **parts)


@pytest.mark.slow
def test_a_file_of_cells_made_anew(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')
    monkeypatch.setattr(_small_cells_training, "add_optima", lambda path: None)
    cells = _small_cells_training._complete()[:6]
    path = _small_cells_training.run(tmp_path, cells)
    table = _small_cells.SmallCells(path)
    lines = (tmp_path / "cells.jsonl").read_text()
    again = _small_cells_training.run(tmp_path, cells)  # from the journal
    assert (again, (tmp_path / "cells.jsonl").read_text()) == (path, lines)
    import json

    for line, cell in zip(lines.splitlines(), cells, strict=True):
        entry, record = json.loads(line), table.record(cell)
        assert entry["hash"] == fingerprint(cell)
        assert record.values == pytest.approx(1 - np.array(entry["accuracies"][0]), abs=1e-6)
        assert record.test == pytest.approx(1 - np.array(entry["accuracies"][1]), abs=1e-6)
        assert record.seconds[:, -1] == pytest.approx(108 * entry["seconds"], rel=1e-2)
    assert nb101.ENCODINGS.keys() == {"A", "B", "C"}


# fcnet ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FCNETS)
def test_fcnet_has_the_originals_space_and_every_epoch(name):
    b = bench.load(name)
    assert b.space == bench.load("fcnet/protein_structure").space
    assert b.space.size == 62_208
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("budget", 1, 100)
    later = bench.load(name, first=3)
    [config] = b.space.sample(1, np.random.default_rng(0))
    assert later.fidelity.low == 3
    assert b.curve(config)[2:] == later.curve(config)
    costs = np.array([one.seconds for _, one in b.curve(config)])
    assert costs == pytest.approx(costs[-1] * np.arange(1, 101) / 100)
    hidden = b.evaluate_test(config, resource=7)
    assert (list(hidden.metrics), hidden.seconds) == (["test_mse"], pytest.approx(costs[6]))


@pytest.mark.parametrize("name", FCNETS)
def test_the_optimum_of_fcnet_is_that_of_all_configurations(name):
    b = bench.load(name)
    best = b.card.optimum["valid_mse"]
    assert b._forests.least() == pytest.approx(best)
    configs = b.space.sample(50, np.random.default_rng(0))
    assert best <= min(b.evaluate(config, seed=None).metrics["valid_mse"] for config in configs)
    rows = _small_fcnet.every()
    assert all((rows[b._grid.row(config)] == _small_fcnet.features(config)).all() for config in configs)


def test_an_fcnet_made_anew_answers_with_what_was_trained(tmp_path):
    narrow = [c for c in _small_fcnet_training.drawn(60) if c["n_units_1"] * c["n_units_2"] <= 32**2][:5]
    configs = [Configuration({**config, "batch_size": 64}) for config in narrow]
    path = _small_fcnet_training.run(tmp_path, "diabetes", configs)
    b = _small_fcnet.SmallFcnet(_small_fcnet.Forests(path), bench.load("fcnet/diabetes@small").card, 1)
    data = _small_fcnet_training.load("diabetes")
    for config in configs:
        errors, _ = _small_fcnet_training.train(config, data)
        for epoch in (1, 50, 100):
            valid, test, trained = np.split(np.exp(errors[:, epoch - 1]), [2, 4])
            found = b.evaluate(config, resource=epoch, seed=None)
            assert found.metrics["valid_mse"] == pytest.approx(valid.mean(), rel=2e-3)
            assert found.info == {"trained": True, "train_mse": pytest.approx(trained[0], rel=2e-3)}
            assert b.evaluate_test(config, resource=epoch, seed=1).metrics["test_mse"] == pytest.approx(
                test[1], rel=2e-3
            )
    other = next(one for one in b.space.sample(9, np.random.default_rng(0)) if one not in configs)
    assert b.evaluate(other).info["trained"] is False


def test_the_shipped_fcnet_holds_what_trains_today():
    """After one epoch, as later a rounding by another processor may have grown."""
    b, data = bench.load("fcnet/friedman1@small"), _small_fcnet_training.load("friedman1")
    small = [
        c for c in _small_fcnet_training.drawn(60) if c["n_units_1"] * c["n_units_2"] * 8 <= 2**10 * c["batch_size"]
    ]
    for config in small[:4]:
        networks = _small_fcnet_training.Networks(config, 10)
        networks.epoch(0, data.train)
        expected = np.exp(networks.logarithms(data.valid))
        shipped = [b.evaluate(config, resource=1, seed=seed) for seed in (0, 1)]
        assert [one.metrics["valid_mse"] for one in shipped] == pytest.approx(expected.tolist(), rel=0.01)
        assert all(one.info["trained"] for one in shipped)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_slopes_of_fcnet_are_those_of_finite_differences(activation):
    config = bench.load("fcnet/diabetes@small").space.default()
    config = Configuration(
        {**config, "activation_fn_1": activation, "activation_fn_2": "tanh", "dropout_1": 0.0, "dropout_2": 0.0}
    )
    networks, rng = _small_fcnet_training.Networks(config, 3), np.random.default_rng(0)
    networks._flat, networks._slope = networks._flat.astype(np.float64), networks._slope.astype(np.float64)
    networks._weights, networks._slopes = networks._views(networks._flat), networks._views(networks._slope)
    X, y = rng.normal(size=(2, 20, 3)), rng.normal(size=(2, 20, 1))
    networks._differentiate(X, y)

    def loss():
        w1, b1, w2, b2, w3, b3 = networks._weights
        hidden = networks._hidden(X @ w1 + b1, 1)[0]
        return np.square(networks._hidden(hidden @ w2 + b2, 2)[0] @ w3 + b3 - y).mean(axis=(1, 2)).sum()

    for place in rng.integers(len(networks._flat), size=20):
        true, step = networks._flat[place], 1e-6
        networks._flat[place] = true + step
        above = loss()
        networks._flat[place] = true - step
        assert networks._slope[place] == pytest.approx((above - loss()) / (2 * step), rel=1e-4, abs=1e-7)
        networks._flat[place] = true


def test_fcnets_are_fitted_to_training_rows_alone(monkeypatch):
    data = _small_fcnet_training.load("diabetes")
    assert [len(part.y) for part in data] == [89, 88, 265]
    seen = []
    monkeypatch.setattr(
        _small_fcnet_training.Networks, "epoch", lambda self, number, rows: seen.append(rows is data.train)
    )
    _small_fcnet_training.train(_small_fcnet_training.drawn(1)[0], data)
    assert seen == [True] * 100


def test_what_diverges_keeps_a_number():
    kept = _small_fcnet.decoded(_small_fcnet.coded(np.array([[[*np.linspace(-1, 1, 98), 50.0, -50.0]]])))
    assert kept[0] == pytest.approx([*np.linspace(-1, 1, 98), 13.8, -13.8], abs=1e-3)


# nasbench201 ---------------------------------------------------------------------------------------------


def test_nasbench201_has_the_originals_space_and_every_epoch():
    b = bench.load(NB201)
    assert list(b.space) == list(nasbench201.EDGES)
    assert b.space.size == 15_625
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("epoch", 1, 200)
    [config] = b.space.sample(1, np.random.default_rng(0))
    costs = np.array([one.seconds for _, one in b.curve(config)])
    assert costs == pytest.approx(costs[-1] * np.arange(1, 201) / 200)
    values = [b.evaluate(config, resource=epoch).metrics["valid_error"] for epoch in (100, 110, 125)]
    assert values[1] == pytest.approx(0.6 * values[0] + 0.4 * values[2])  # between two recorded epochs
    assert list(b.evaluate_test(config, resource=3).metrics) == ["test_error"]
    assert bench.load(NB201, first=12).evaluate(config, resource=12) == b.evaluate(config, resource=12)


def cell(text):
    """Edges by letters: none, skip, 1, 3 and pool, in the order of the benchmark."""
    return tuple(_small_nb201.OPERATIONS["ns13p".index(letter)] for letter in text)


def test_cells_that_compute_the_same_have_one_plain_form():
    plain = _small_nb201.plain
    assert plain(cell("3nn3nn")) == cell("nnn3nn")  # node 1 leads nowhere
    assert plain(cell("nn3n33")) == cell("nnnnnn")  # nothing comes in
    assert plain(cell("3n1n3n")) == plain(cell("3nnn3n")) == cell("n3nnn3")  # node 2 leads nowhere
    assert plain(cell("13nnps")) == plain(cell("31nnsp")) != plain(cell("13nnsp"))
    assert plain(cell("131nps")) == cell("131nps")
    everything = {plain(one) for one in itertools.product(_small_nb201.OPERATIONS, repeat=6)}
    assert all(plain(one) == one for one in everything)
    b = bench.load(NB201)
    left, right = (dict(zip(nasbench201.EDGES, cell(text), strict=True)) for text in ("13nnps", "31nnsp"))
    assert b.evaluate(left) == b.evaluate(right)


def test_features_and_weights_of_a_cell():
    found = _small_nb201.features(cell("3nn1sn"))  # two paths: 3 then skip, and 1
    assert found[24:36] == [1, 1, 2, 1, 1, 2, 1, 0, 1, 0, 0, 0]
    assert found[36:42] == [2, 3, 1, 1, 1, 0]
    assert _small_nb201.parameters(cell("3nn1sn")) - _small_nb201.parameters(cell("nnnnnn")) == 592 + 80
    b = bench.load(NB201)
    config = dict(zip(nasbench201.EDGES, cell("3nn1sn"), strict=True))
    assert b.evaluate(config).metrics["parameters"] == _small_nb201.parameters(cell("3nn1sn"))


def test_the_optimum_of_nasbench201_is_that_of_all_cells():
    b = bench.load(NB201)
    best = b.card.optimum["valid_error"]
    assert 100 * b._forests.least() == pytest.approx(best)
    configs = b.space.sample(50, np.random.default_rng(0))
    assert best <= min(b.evaluate(config, seed=None).metrics["valid_error"] for config in configs)


def test_trained_cells_are_known_and_the_dead_one_guesses():
    b = bench.load(NB201)
    cells = _small_nb201_training.drawn()
    configs = [dict(zip(nasbench201.EDGES, one, strict=True)) for one in cells]
    assert all(b.evaluate(config).info["trained"] for config in configs)
    assert len(b._forests.trained) == len(cells)
    assert b.evaluate(configs[0]).metrics["valid_error"] == pytest.approx(90, abs=2)
    assert np.median([b.evaluate(config).metrics["valid_error"] for config in configs]) < 30


@pytest.mark.slow
def test_a_file_of_nasbench201_made_anew(tmp_path):
    torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')
    network = _small_nb201_training._network(torch, cell("3psn13")).eval()
    images = torch.rand(5, 3, 8, 8)
    before = network(images)
    images[:, 1] += 1
    assert (network(images) != before).any(2).any(0).tolist() == [False, True, False]
    own = sum(one.numel() for one in network.parameters()) / 3
    assert own == _small_nb201.parameters(cell("3psn13"))

    cells = _small_nb201_training.drawn(5)
    forests = _small_nb201.Forests(_small_nb201_training.run(tmp_path, cells))
    data = _sets.load("digits", what="test")
    errors, _ = _small_nb201_training.train(cells[1], data)
    row = np.array(_small_nb201.features(cells[1]))
    assert forests.error.predict(row) == pytest.approx(errors.reshape(-1), abs=1e-6)
    blind = _sets.Part(0 * data.valid.X, data.valid.y)
    other, _ = _small_nb201_training.train(cells[1], _replaced(data, valid=blind, test=blind))
    assert (other[2] == errors[2]).all()
    assert (other[0] != errors[0]).any()
