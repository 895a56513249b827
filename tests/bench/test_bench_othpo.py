"""Ordered tasks: the simulated news-vendor against its published results, and files of the true form."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, ChecksumError
from luthier.bench.data import DataFile
from luthier.bench.families import _newsvendor as vendor
from luthier.bench.families import othpo
from luthier.testing.benchmark import check_benchmark

NEEDS_DATA = pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set")
PRICES = np.array(list(itertools.product(range(21), repeat=3)), dtype=float)


# -- order --


def test_sequences_are_in_order():
    assert othpo.sequence("newsvendor") == tuple(f"othpo/newsvendor/{time}" for time in range(1, 10))
    assert othpo.sequence("aknn/4538")[1] == "othpo/aknn/4538/0.25"
    assert len(othpo.sequence("xgboost_mnist")) == 28
    every = {name for key in ("newsvendor", "xgboost_mnist", "aknn/4538") for name in othpo.sequence(key)}
    assert every <= set(bench.names("othpo/"))
    with pytest.raises(ArgumentError, match=r"has no task 'newsvendors'\. Did you mean 'newsvendor'\?"):
        othpo.sequence("newsvendors")


def test_sizes_are_the_published_ones():
    assert othpo.SIZES[:4] + othpo.SIZES[-3:] == (56, 72, 93, 120, 33_571, 43_358, 56_000)


# -- the news-vendor --


def test_the_generator_is_mrg32k3a():
    drawn = vendor.uniforms((0, 0, 0))
    assert next(drawn) == pytest.approx(0.127011122046577, abs=1e-15)  # L'Ecuyer's seed
    drawn = vendor.uniforms((1, 2, 3))
    # the package mrg32k3a 2.0.2
    assert [next(drawn) for _ in range(3)] == [0.9861075871415386, 0.4648741380529992, 0.9129916857700494]


def test_one_day_by_hand():
    felt = np.full((1, 3, 3), -10.0)
    felt[0, 0] = (0.0, 1.0, 0.0)  # utilities 2, 3, 2 at prices 10: buys B
    felt[0, 1] = (0.0, 0.0, 0.1)  # C
    # the third finds nothing above 0
    got = vendor.profits(np.array([[10.0, 10.0, 10.0]]), (7, 7, 7), felt)
    assert got.tolist() == [[2 * 10 - 5 * 34]]


def test_what_is_sold_out_is_not_sold():
    felt = np.zeros((1, 30, 3))
    felt[0, :, 1] = 5.0  # everybody wants B, of which there are six; then A, eight; then C
    got = vendor.profits(np.array([[1.0, 2.0, 3.0]]), (7, 7, 6), felt)
    assert got.tolist() == [[6 * 2 + 8 * 1 + 16 * 3 - 170]]


@pytest.mark.parametrize("time", [1, 5, 8])
def test_the_stated_optimum_is_the_best_of_all(time):
    b = bench.load(f"othpo/newsvendor/{time}")
    every = vendor.profits(PRICES, vendor.WORTH[time - 1], vendor._usual()).mean(axis=1)
    assert every.max() == pytest.approx(b.card.optimum["profit"], abs=1e-9)
    best = dict(zip(vendor.PRICES, PRICES[every.argmax()].astype(int).tolist(), strict=True))
    assert b.evaluate(best).metrics["profit"] == every.max()
    assert b.order == time


def test_battery_of_the_news_vendor():
    check_benchmark(bench.load("othpo/newsvendor/2"))


@NEEDS_DATA
def test_the_published_runs_never_did_better_and_reached_the_optimum():
    parquet = pytest.importorskip("pyarrow.parquet")
    place = os.path.join(os.environ["LUTHIER_DATA"], "othpo/published_best_so_far.parquet")
    rows = parquet.read_table(place, columns=["task", "best_so_far"], filters=[("experiment", "=", "SimOpt")])
    task, best = rows["task"].to_numpy(), rows["best_so_far"].to_numpy()
    reached = [best[task == time].max() for time in range(9)]
    assert reached == pytest.approx(vendor.HIGHEST, rel=1e-6)  # stored as float32


@NEEDS_DATA
def test_the_landscape_agrees_up_to_chance():
    with np.load(os.path.join(os.environ["LUTHIER_DATA"], "othpo/newsvendor_landscape.npz")) as file:
        published = file["profit"]
    felt = vendor.whims(vendor.uniforms((1, 0, 0)), 200)
    prices = np.array([(a, b, 8) for a in range(2, 21, 4) for b in range(2, 21, 4)], dtype=float)
    cells = (prices[:, 0] * 21 + prices[:, 1]).astype(int)
    apart = []  # in standard errors of both means; theirs is over 100 days
    for worth, row in zip(vendor.WORTH, published, strict=True):
        days = vendor.profits(prices, worth, felt)
        error = np.maximum(days.std(axis=1), 1) * np.sqrt(1 / 200 + 1 / 100)
        apart.append((days.mean(axis=1) - row[cells]) / error)
    assert abs(np.mean(apart)) < 0.3
    assert np.square(apart).mean() < 1.5


# -- recorded tasks --


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    n, tasks = 30, 3
    arrays = {
        "data_sizes": np.array(othpo.SIZES[:tasks]),
        "test_error": rng.integers(300, 9000, (tasks, n)).astype(float),
        "train_error": rng.integers(0, 60, (tasks, n)).astype(float),
        "runtime_s": rng.uniform(0.03, 9, (tasks, n)).astype(np.float32),
        "learning_rates": 10 ** rng.uniform(-6, 0, n),
        "min_child_weight": 10 ** rng.uniform(-6, 1.5, n),
        "max_depth": rng.integers(2, 33, n).astype(float),
        "n_estimators": rng.integers(2, 257, n).astype(float),
    }
    place = tmp_path / othpo.MNIST.path
    place.parent.mkdir()
    np.savez(place, **arrays)
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setattr(othpo, "MNIST", DataFile(othpo.MNIST.path))
    return arrays


def test_mnist(mnist):
    b = bench.load("othpo/xgboost_mnist/72", missing="error")
    assert (len(b), b.order) == (30, 72.0)
    first = b.evaluate(b.configs[0])
    assert first.metrics == {"errors": mnist["test_error"][1, 0], "train_errors": mnist["train_error"][1, 0]}
    assert first.seconds == mnist["runtime_s"][1, 0]
    assert b.card.optimum == {"errors": mnist["test_error"][1].min()}
    check_benchmark(bench.load("othpo/xgboost_mnist/72"))
    with pytest.raises(BenchmarkError, match=r"has no task of 120 images\. It has \[56, 72, 93\]\. Fetch the"):
        bench.load("othpo/xgboost_mnist/120")


def test_another_file_under_its_name_is_refused(tmp_path, monkeypatch):
    place = tmp_path / othpo.MNIST.path
    place.parent.mkdir()
    place.write_bytes(b"something else")
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    with pytest.raises(ChecksumError, match="this benchmark was made for a90f4247"):
        bench.load("othpo/xgboost_mnist/56")


@pytest.fixture
def aknn(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    n = 20
    fixed = {
        "M": rng.integers(18, 51, n),
        "distance": rng.choice(["l2", "cosine", "ip"], n),
        "ef": rng.integers(8, 257, n),
        "ef_construction": rng.integers(8, 512, n),
        "k": rng.integers(1, 51, n),
        "num.impute.selected.cpo": rng.choice(["impute.mean", "impute.hist", "impute.median"], n),
    }
    parts = list(itertools.product(("4538", "1220"), othpo.FRACTIONS))
    columns = {name: np.tile(column, len(parts)) for name, column in fixed.items()}
    columns |= {name: rng.random(n * len(parts)).astype(np.float32) for name in ("f1", "acc", "auc", "auc_std")}
    columns["train_frac"] = np.repeat([fraction for _, fraction in parts], n)
    columns["config_id"] = np.tile(np.arange(n, dtype=np.int32), len(parts))
    columns["dataset"] = pa.array(np.repeat([dataset for dataset, _ in parts], n)).dictionary_encode()
    file = othpo.YAHPO["aknn"].file
    place = tmp_path / file.path
    place.parent.mkdir()
    parquet.write_table(pa.table(columns), place)
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    own = othpo.Yahpo(DataFile(file.path), othpo.YAHPO["aknn"].space, othpo.YAHPO["aknn"].datasets)
    monkeypatch.setattr(othpo, "YAHPO", {**othpo.YAHPO, "aknn": own})
    return columns


def test_aknn(aknn):
    b = bench.load("othpo/aknn/1220/0.5", missing="error")
    assert (len(b), b.order) == (20, 0.5)
    rows = np.arange(7 * 20, 8 * 20)  # second data set, third fraction
    assert [b.evaluate(config).metrics["auc"] for config in b.configs] == aknn["auc"][rows].tolist()
    assert b.configs[3]["num.impute.selected.cpo"] == aknn["num.impute.selected.cpo"][3]
    assert b.card.optimum["auc"] == aknn["auc"][rows].max()
    check_benchmark(bench.load("othpo/aknn/1220/0.5"))
    with pytest.raises(BenchmarkError, match=r"has no row of data set '4154' at 1\. Fetch the complete file\."):
        bench.load("othpo/aknn/4154/1")


def test_svm_and_ranger_in_the_same_layout(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow.parquet as parquet

    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    for scenario, dataset in (("svm", "458"), ("ranger", "40978")):
        one = othpo.YAHPO[scenario]
        space = one.space()
        configs = space.sample(12, np.random.default_rng(0))
        assert len({len(config) for config in configs}) > 1  # some hyperparameters are inactive
        columns = {name: [config.get(name) for config in configs] for name in space.names}
        columns |= {metric: np.linspace(0, 1, 12) for metric in ("auc", "acc", "f1")}
        columns |= {"dataset": [dataset] * 12, "train_frac": [0.25] * 12}
        place = tmp_path / one.file.path
        place.parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table(columns), place)
        b = bench.load(f"othpo/{scenario}/{dataset}/0.25", missing="error")
        assert b.configs == list(configs)
        assert b.evaluate(configs[-1]).metrics["auc"] == 1.0
        check_benchmark(bench.load(f"othpo/{scenario}/{dataset}/0.25"))


def test_a_column_that_is_not_there(aknn, tmp_path):
    import pyarrow.parquet as parquet

    place = tmp_path / othpo.YAHPO["aknn"].file.path
    parquet.write_table(parquet.read_table(place).drop_columns(["ef"]), place)
    with pytest.raises(BenchmarkError, match=r"lacks the columns \['ef'\]\. It has"):
        bench.load("othpo/aknn/1220/1")


@NEEDS_DATA
@pytest.mark.parametrize("name", ["xgboost_mnist/56", "xgboost_mnist/56000", "aknn/4538/0.25", "glmnet/375/1"])
def test_battery_with_data(name):
    b = bench.load(f"othpo/{name}")
    check_benchmark(b)
    best = {"xgboost_mnist/56": 7215, "xgboost_mnist/56000": 303}  # of the data's README
    if name in best:
        assert b.card.optimum == {"errors": best[name]}
        assert len(b) == 1000
    else:
        assert len(b) == 3000
