"""Grid tables and recorded configurations: look-ups against brute force, repetitions, refusals."""

from __future__ import annotations

import itertools
import json
import os
import time

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, ChecksumError, DataMissing, SpaceError
from luthier.base.records import Card, Configuration, Fidelity, Objective
from luthier.base.seeds import generator
from luthier.bench.data import DataFile, checksum, find, shipped
from luthier.bench.families.fcnet import Fcnet
from luthier.bench.families.hpobench_mlp import HpobenchMlp
from luthier.bench.rows import RowTable
from luthier.bench.tables import GridTable, MappedGrid, keep_grid, read_grid
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space
from luthier.testing.benchmark import check_benchmark

CARD = Card("tiny/table", "made by this test", "none", {}, description="A test.")
LISTS = {"op": ["a", "b"], "width": [1, 2, 4], "rate": [0.1, 0.5]}
CELLS = list(itertools.product(*LISTS.values()))


def grid(goal="min"):
    values = np.arange(36, dtype=np.float32).reshape(12, 3)
    values[4, 0] = np.nan
    values[7] = [np.nan, 5.0, np.nan]
    return GridTable(values, LISTS, Objective("loss", goal), CARD)


def test_every_cell_is_found():
    table = grid()
    configs = [dict(zip(LISTS, cell, strict=True)) for cell in CELLS]
    assert [table.row(config) for config in configs] == list(range(12))
    units, _ = table.space.encode(configs)
    assert table.rows(units).tolist() == list(range(12))
    assert table.evaluate(configs[3], seed=2).metrics == {"loss": 11.0}
    assert [one.metrics["loss"] for one in table.evaluate_batch(configs[:3], seed=None)] == [1.0, 4.0, 7.0]


def test_missing_repetitions_are_passed_over():
    table = grid()
    four, seven = (dict(zip(LISTS, CELLS[i], strict=True)) for i in (4, 7))
    assert [table.evaluate(four, seed=s).metrics["loss"] for s in range(4)] == [13.0, 14.0, 13.0, 14.0]
    assert table.evaluate(four, seed=None).metrics["loss"] == 13.5
    assert [table.evaluate(seven, seed=s).metrics["loss"] for s in (0, 1, 7)] == [5.0] * 3
    assert table.at(np.array([4, 7, 0]), 1).tolist() == [14.0, 5.0, 1.0]


def test_the_optimum_is_the_best_mean():
    assert grid().card.optimum == {"loss": 1.0}
    assert grid("max").card.optimum == {"loss": 34.0}
    assert grid().card.noise == "3 recorded seeds"


def test_numpy_scalars_and_order_do_not_matter():
    table = grid()
    config = {"rate": np.float64(0.5), "op": np.str_("b"), "width": np.int64(4)}
    assert table.row(config) == table.row({"op": "b", "width": 4, "rate": 0.5}) == 11


@pytest.mark.parametrize(
    "config",
    [
        {"op": "c", "width": 1, "rate": 0.1},
        {"op": "a", "width": 3, "rate": 0.1},
        {"op": "a", "width": 1},
        {"op": "a", "width": 1, "rate": 0.1, "more": 1},
        {"op": ["a"], "width": 1, "rate": 0.1},
    ],
    ids=str,
)
def test_what_is_not_in_the_grid_is_refused(config):
    with pytest.raises(SpaceError):
        grid().evaluate(config)


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(BenchmarkError) as caught:
        GridTable(np.zeros((11, 2), dtype=np.float32), LISTS, Objective("loss"), CARD)
    assert str(caught.value) == (
        "benchmark 'tiny/table': the table has shape (11, 2); the lists have 12 combinations. Table and lists must "
        "come from the same release."
    )
    values = np.zeros((12, 2), dtype=np.float32)
    values[5] = np.nan
    with pytest.raises(BenchmarkError, match="cell 5 has no value at all"):
        GridTable(values, LISTS, Objective("loss"), CARD)


def test_files_of_the_true_form(tmp_path):
    values = np.random.default_rng(0).random((12, 3)).astype(np.float32)
    np.savez_compressed(tmp_path / "t.npz", one=values)
    (tmp_path / "t.json").write_text(json.dumps({"space": LISTS}))
    table = read_grid(
        tmp_path / "t.npz", tmp_path / "t.json", "one", objective=Objective("loss"), card=CARD, bounds=(0.0, 1.0)
    )
    assert table.means == pytest.approx(values.mean(axis=1))
    check_benchmark(table)
    with pytest.raises(BenchmarkError, match="the array 'two' of shape"):
        read_grid(tmp_path / "t.npz", tmp_path / "t.json", "two", objective=Objective("loss"), card=CARD, bounds=None)


def test_a_grid_that_stays_in_its_file(tmp_path):
    whole = grid()
    keep_grid(whole, tmp_path / "t.v1")
    mapped = MappedGrid(tmp_path / "t.v1")
    assert (mapped.space, mapped.objectives, mapped.card, mapped.bounds) == (
        whole.space, whole.objectives, whole.card, whole.bounds,
    )  # fmt: skip
    configs = [dict(zip(LISTS, cell, strict=True)) for cell in CELLS]
    for seed in (0, 1, 5, None):
        assert mapped.evaluate_batch(configs, seed=seed) == whole.evaluate_batch(configs, seed=seed)
        assert [mapped.evaluate(c, seed=seed) for c in configs] == [whole.evaluate(c, seed=seed) for c in configs]
    assert mapped.means.tolist() == whole.means.tolist()
    mapped.verify()
    check_benchmark(mapped)


def test_a_kept_grid_that_was_changed_is_refused(tmp_path):
    keep_grid(grid(), tmp_path / "t")
    data = tmp_path / "t.npy"
    content = bytearray(data.read_bytes())
    data.write_bytes(content[:-4])
    with pytest.raises(BenchmarkError, match=r"t\.npy and t\.json cannot be opened .* Write them anew"):
        MappedGrid(tmp_path / "t")
    content[-1] ^= 1
    data.write_bytes(content)
    with pytest.raises(ChecksumError, match="this benchmark was made for"):
        MappedGrid(tmp_path / "t").verify()
    np.save(data, np.zeros((6, 3), dtype=np.float32))
    with pytest.raises(BenchmarkError, match=r"has shape \(6, 3\), which is not that of the lists in t\.json"):
        MappedGrid(tmp_path / "t")
    with pytest.raises(BenchmarkError, match="cannot be opened"):
        MappedGrid(tmp_path / "nothing")


def test_the_shipped_table():
    table = bench.load("fcnet/protein_structure")
    assert len(table) == 62_208
    assert table.card.optimum["valid_mse"] == pytest.approx(0.22138, abs=5e-6)
    assert shipped("fcnet_protein_structure.npz").stat().st_size < 2**20
    assert shipped("NOTICE").exists()
    best = int(table.means.argmin())
    units = (np.array(np.unravel_index(best, [len(d) for d in _lists(table)])) + 0.5) / [len(d) for d in _lists(table)]
    [config] = table.space.decode(units[None])
    assert table.evaluate(config, seed=None).metrics["valid_mse"] == table.card.optimum["valid_mse"]


def _lists(table):
    return list(table._index.values())


@pytest.mark.slow
def test_looking_up_is_quick():
    table = bench.load("fcnet/protein_structure")
    configs = table.space.sample(2000, np.random.default_rng(0))
    began = time.process_time()
    for config in configs:
        table.evaluate(config)
    assert (time.process_time() - began) / len(configs) < 20e-6
    units = np.random.default_rng(0).random((500_000, 9))
    began = time.process_time()
    table.at(table.rows(units))
    assert 500_000 / (time.process_time() - began) > 1e6


# recorded configurations ---------------------------------------------------------------------------------


def rows(missing):
    space = Space(x=Float(0.0, 1.0), n=Int(0, 10), op=Choice("a", "b"))
    configs = [Configuration(x=0.1, n=2, op="a"), Configuration(x=0.9, n=8, op="a"), Configuration(x=0.1, n=2, op="b")]
    metrics = {"loss": np.array([3.0, 1.0, 2.0]), "size": np.array([1.0, 5.0, 2.0])}
    costs = np.array([1.0, 2.0, 3.0])
    return RowTable(configs, metrics, space, (Objective("loss"),), CARD, missing=missing, seconds=costs)


def test_recorded_and_nearest():
    table = rows("nearest")
    assert table.evaluate({"x": 0.1, "n": 2, "op": "a"}).info == {}
    near = table.evaluate({"x": 0.7, "n": 7, "op": "a"})
    assert (near.metrics, near.seconds) == ({"loss": 1.0, "size": 5.0}, 2.0)
    assert near.info == {"nearest": {"x": 0.9, "n": 8, "op": "a"}}
    # another category is as far as the whole range of a number
    assert table.evaluate({"x": 0.6, "n": 6, "op": "b"}).metrics["loss"] == 2.0
    assert table.card.optimum == {"loss": 1.0}
    check_benchmark(table)


def test_missing_is_an_error_when_asked_for():
    with pytest.raises(BenchmarkError) as caught:
        rows("error").evaluate({"x": 0.7, "n": 7, "op": "a"})
    assert str(caught.value) == (
        "benchmark 'tiny/table' has no record of {'x': 0.7, 'n': 7, 'op': 'a'}. Allowed: the 3 recorded configurations "
        "(benchmark.configs); load it with missing='nearest' to take the nearest of them."
    )
    with pytest.raises(ArgumentError, match="missing='closest'"):
        rows("closest")


def curves(missing):
    space = Space(x=Float(0.0, 1.0), op=Choice("a", "b"))
    configs = space.sample(60, generator(0, "bench", 0))
    x = np.array([c["x"] + (c["op"] == "b") for c in configs])
    loss = x[:, None] + 1 / np.arange(1, 4)
    costs = np.arange(1, 4) * (1 + x[:, None])
    axis = Fidelity("epoch", 1, 3)
    return RowTable(
        configs, {"loss": loss}, space, (Objective("loss"),), CARD, missing=missing, seconds=costs, fidelity=axis
    )


def test_recorded_curves_and_a_surrogate_for_the_rest():
    table = curves("surrogate")
    known = table.configs[7]
    exact = [one.metrics["loss"] for _, one in table.curve(known)]
    assert exact == pytest.approx([known["x"] + (known["op"] == "b") + 1 / e for e in (1, 2, 3)])
    new = table.evaluate({"x": 0.5, "op": "b"}, resource=2)
    assert new.info == {"predicted": True}
    assert new.metrics["loss"] == pytest.approx(2.0, abs=0.1)
    assert 0 < table.error["loss"] < 0.1
    assert 0 < table.error["seconds"] < 0.3
    again = curves("surrogate")
    assert again._forest[0] is table._forest[0], "equal contents are fitted once"
    for way in ("surrogate", "nearest"):
        check_benchmark(curves(way))
    with pytest.raises(BenchmarkError, match="shape"):
        RowTable([known], {"loss": np.ones((1, 2))}, table.space, table.objectives, CARD, fidelity=table.fidelity)


def test_a_configuration_that_was_recorded_twice_has_repetitions():
    space, loss = Space(x=Float(0.0, 1.0)), (Objective("loss"),)
    configs = [{"x": 0.1}, {"x": 0.5}, {"x": 0.1}, {"x": 0.2}]
    curve = np.array([[2.0, 1.0], [3.0, 2.5], [4.0, 3.0], [5.0, 4.0]])
    table = RowTable(configs, {"loss": curve}, space, loss, CARD, seconds=curve / 2, fidelity=Fidelity("epoch", 1, 2))
    assert table.card.optimum == {"loss": 2.0}
    assert table.card.noise == "up to 2 recorded evaluations of a configuration"
    assert (len(table), table.configs) == (3, [{"x": 0.1}, {"x": 0.5}, {"x": 0.2}])
    asked = [table.evaluate({"x": 0.1}, seed=seed).metrics["loss"] for seed in (0, 1, 2, None)]
    assert asked == [1.0, 3.0, 1.0, 2.0]
    assert [table.evaluate({"x": 0.12}, seed=seed).metrics["loss"] for seed in (0, 1, None)] == [1.0, 3.0, 2.0]
    assert [table.evaluate({"x": 0.5}, seed=seed).metrics["loss"] for seed in (0, 1, None)] == [2.5] * 3
    assert [one.metrics["loss"] for _, one in table.curve({"x": 0.1}, seed=None)] == [3.0, 2.0]
    assert [one.seconds for _, one in table.curve({"x": 0.1}, seed=1)] == [2.0, 2.0]
    check_benchmark(table)


def test_folds_keep_repetitions_together():
    space, rng = Space(x=Float(0.0, 1.0)), generator(0, "bench", 0)
    configs, noise = space.sample(30, rng), rng.normal(size=30)
    many = RowTable(configs * 4, {"loss": np.tile(noise, 4)}, space, (Objective("loss"),), CARD, missing="surrogate")
    assert many.error["loss"] > 0.7 * noise.std(), "a repetition would have told it all"


@pytest.mark.parametrize(
    ("configs", "metrics", "kind", "message"),
    [
        ([{"x": 0.1}], {"acc": [1.0]}, BenchmarkError, r"table': 1 .*\['acc'\]; the objective 'loss' is not"),
        ([], {"loss": []}, BenchmarkError, "table': 0 configurations .* no row"),
        ([{"x": 0.1}], {"loss": ["bad"]}, BenchmarkError, "table': metric 'loss' is no table of numbers"),
        ([{"x": 0.1}, {"x": 7.0}], {"loss": [1.0, 2.0]}, SpaceError, r"table': configs\[1\].* x.*7.0"),
        ([{"x": 0.1}, {"y": 0.5}], {"loss": [1.0, 2.0]}, SpaceError, r"table': configs\[1\] has .* 'y'"),
        ([{"x": 0.1}, 0.5], {"loss": [1.0, 2.0]}, SpaceError, r"table': configs\[1\]=0.5. Allowed: a mapping"),
    ],
)
def test_rows_that_are_no_table(configs, metrics, kind, message):
    space = Space(x=Float(0.0, 1.0))
    with pytest.raises(kind, match=message):
        RowTable(configs, {name: np.array(v) for name, v in metrics.items()}, space, (Objective("loss"),), CARD)


# names and files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcnett/protein_structure", {}, "benchmark 'fcnett/protein_structure' is not known. Did you mean 'fcnet'?"),
        ("fcnet/protein", {}, "benchmark family 'fcnet' has no task 'protein'. Did you mean 'protein_structure'?"),
        ("fcnet", {}, "benchmark 'fcnet' names a family. Give a task too, such as 'fcnet/diabetes@small'."),
        (
            "transfer_xgboost/heart",
            {"mising": "error"},
            "benchmark 'transfer_xgboost' has no argument 'mising'. Did you mean 'missing'?",
        ),
        (
            "transfer_nasbench201/cifar10",
            {"objectives": "error,latency"},
            "objectives='latency'. Did you mean 'latency_ms'?",
        ),
        ("digits/x", {}, "benchmark 'digits/x'. Allowed: digits/<split seed>, such as digits/0."),
    ],
)
def test_names_are_judged(name, options, message):
    with pytest.raises(ArgumentError) as caught:
        bench.load(name, **options)
    assert str(caught.value) == message


def test_names_are_listed():
    found = bench.names()
    assert {"fcnet/protein_structure", "hpobench_mlp/car", "digits/0", "transfer_xgboost/w6a"} <= set(found)
    assert bench.names("fcnet/p") == ["fcnet/protein_structure", "fcnet/parkinsons_telemonitoring"]
    assert bench.names("nothing") == []


def test_data_is_looked_for_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)
    with pytest.raises(DataMissing) as caught:
        bench.load("hpobench-mlp/car")
    npz, lists = HpobenchMlp.hashes
    assert str(caught.value).startswith(
        "benchmark 'hpobench_mlp/car' needs data that is not part of luthier: LUTHIER_DATA is not set. Set it to a "
        f"folder that holds tabular_hpo/hpobench_mlp.npz (SHA-256 {npz}), tabular_hpo/hpobench_mlp.json (SHA-256 "
        f"{lists}). Origin: GitHub "
    )
    assert "work/" not in str(caught.value)
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"is not there\. The folder of LUTHIER_DATA must hold tabular_hpo/"):
        bench.load("hpobench_mlp/car")


def test_a_file_with_another_content_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(tmp_path / "a.bin") == sha256
    asked = [DataFile("a.bin", sha256), DataFile("b.bin", needed=False)]
    assert find("x", asked, origin="nowhere") == {"a.bin": tmp_path / "a.bin"}
    (tmp_path / "a.bin").write_bytes(b"abd")
    with pytest.raises(ChecksumError, match=f"this benchmark was made for {sha256}"):
        find("x", asked, origin="nowhere")


def test_the_shipped_files_are_the_ones_that_the_card_names():
    card = bench.load("fcnet/protein_structure").card
    assert dict(card.checksum) == {name: checksum(shipped(name)) for name in card.checksum}
    assert len(card.checksum) == len(Fcnet.in_package["protein_structure"])


@pytest.mark.parametrize("name", ["fcnet/protein_structure", *(f"svm/{data}@small" for data in ("digits", "wine"))])
def test_the_optimum_of_a_shipped_table_is_that_of_a_search_through_all(name):
    table = bench.load(name)
    [objective] = table.objectives
    answers = table.evaluate_batch(table.space.decode(table.space.all_rows()), seed=None)
    values = [one.metrics[objective.name] for one in answers]
    assert len(values) == len(table)
    assert table.card.optimum == {objective.name: pytest.approx(np.nanmin(values), rel=1e-12)}


#: Best means over repetitions, as they were found in the published arrays (benchmarks/optima.py).
BEST = {
    "fcnet/protein_structure": 0.2213789, "fcnet/slice_localization": 1.915992e-4, "fcnet/naval_propulsion": 3.191e-5,
    "fcnet/parkinsons_telemonitoring": 6.705928e-3, "nasbench201/cifar10": 91.60667, "nasbench201/cifar100": 73.49333,
    "nasbench201/imagenet": 46.73333, "hpobench_mlp/car": 1.0, "hpobench_mlp/phoneme": 0.9444697,
    "hpobench_mlp/vehicle": 0.9515701, "hpobench_mlp/australian": 0.9446694, "hpobench_mlp/kc1": 0.8524412,
    "hpobench_mlp/segment": 0.9685131, "hpobench_mlp/blood_transfusion": 0.7466926, "hpobench_mlp/credit_g": 0.8852744,
}  # fmt: skip


@pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set: the tables are not at hand")
def test_the_shipped_table_is_the_published_one():
    from pathlib import Path

    with np.load(Path(os.environ["LUTHIER_DATA"]) / "tabular_hpo" / "fcnet.npz", allow_pickle=False) as file:
        assert np.allclose(bench.load("fcnet/protein_structure").means, file["protein_structure"].mean(axis=1))
    for name, best in BEST.items():
        [found] = bench.load(name).card.optimum.values()
        assert found == pytest.approx(best, rel=5e-4 if best < 1e-4 else 1e-5)
