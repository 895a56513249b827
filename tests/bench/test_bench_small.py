"""Stand-ins for net, nb101 and nb1shot1: what they answer with, and how their files are made."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from luthier import bench
from luthier.base.errors import ChecksumError, UnsupportedError
from luthier.bench import _sets
from luthier.bench.families import _small_cells, _small_cells_training, _small_net_training, nb1shot1, nb101, net
from luthier.bench.families._cells import CONV1, CONV3, POOL, Cell, fingerprint, matrix, prune
from luthier.bench.families._trees import PARTS, Trees, grown
from luthier.testing.benchmark import check_benchmark

NETS = [f"net/{data}@small" for data in net.OWN]
CELLS = [*(f"nb101/{encoding}@small" for encoding in "ABC"), *(f"nb1shot1/{space}@small" for space in "123")]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)


@pytest.mark.parametrize("name", [*NETS, *CELLS])
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


@pytest.mark.parametrize(("module", "name"), [(net, "net/iris@small"), (_small_cells, "nb101/A@small")])
def test_a_changed_file_is_refused(module, name, tmp_path, monkeypatch):
    for file in ("net_iris_small.npz", "nb101_small.npz"):
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
