"""Families of recorded configurations, on tiny parquet files of the true form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import BenchmarkError
from luthier.base.records import Objective
from luthier.bench.data import DataFile
from luthier.bench.families import transfer_nasbench201, transfer_xgboost
from luthier.testing.benchmark import check_benchmark

pa = pytest.importorskip("pyarrow", reason='pyarrow is not installed: pip install "luthier[bench]"')
BOUNDS = {
    "log2_min_child_weight": (-8, 6), "subsample": (0.5, 1), "colsample_bytree": (0.3, 1), "log2_gamma": (-20, 6),
    "log2_lambda": (-10, 8), "eta": (0, 1), "max_depth_index": (0, 12), "log2_alpha": (-20, 8),
}  # fmt: skip


def write(folder, family, columns, monkeypatch):
    import pyarrow.parquet as parquet

    place = folder / family.FILE.path
    place.parent.mkdir(parents=True)
    parquet.write_table(pa.table(columns), place)
    monkeypatch.setenv("LUTHIER_DATA", str(folder))
    monkeypatch.setattr(family, "FILE", DataFile(family.FILE.path))


@pytest.fixture
def xgboost(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    columns = {
        f"hp_{name}": rng.integers(0, 13, 40).astype(np.int32)
        if name == "max_depth_index"
        else rng.uniform(low, high, 40).astype(np.float32)
        for name, (low, high) in BOUNDS.items()
    }
    columns["metric_error"] = rng.random(40).astype(np.float32)
    columns["task"] = ["heart", "a6a"] * 20
    write(tmp_path, transfer_xgboost, columns, monkeypatch)
    return columns


def test_xgboost(xgboost):
    b = bench.load("transfer_xgboost/a6a", missing="error")
    assert len(b) == 20
    mine = np.arange(1, 40, 2)
    assert [b.evaluate(config).metrics["error"] for config in b.configs] == xgboost["metric_error"][mine].tolist()
    assert b.card.optimum["error"] == xgboost["metric_error"][mine].min()
    with pytest.raises(BenchmarkError, match="has no record of"):
        b.evaluate(b.space.default())
    check_benchmark(bench.load("transfer_xgboost/a6a"))


def test_a_task_or_column_that_is_not_there(xgboost, tmp_path):
    with pytest.raises(BenchmarkError, match=r"has no row of task 'w6a'\. Fetch the complete file\."):
        bench.load("transfer_xgboost/w6a")
    import pyarrow.parquet as parquet

    place = tmp_path / transfer_xgboost.FILE.path
    parquet.write_table(parquet.read_table(place).drop_columns(["hp_eta"]), place)
    with pytest.raises(BenchmarkError, match=r"lacks the columns \['hp_eta'\]\. It has"):
        bench.load("transfer_xgboost/heart")


def test_nasbench201(tmp_path, monkeypatch):
    codes = np.array(list(itertools.product(range(5), repeat=6)), dtype=np.int32)
    rng = np.random.default_rng(0)
    columns = {f"hp_x{i}": codes[:, i] for i in range(6)}
    columns |= {
        "metric_error": 100 * rng.random(len(codes)),
        "metric_latency": 0.01 + 0.01 * rng.random(len(codes)),
        "metric_params_size": rng.random(len(codes)),
        "task": ["cifar10"] * len(codes),
    }
    write(tmp_path, transfer_nasbench201, columns, monkeypatch)
    b = bench.load("transfer_nasbench201/cifar10", objectives="error, latency_ms")
    assert b.objectives == (Objective("error"), Objective("latency_ms"))
    assert len(b) == b.space.size == 15_625
    row = 3 + 5 * 1  # op 1 on the fifth edge, op 3 on the last
    config = {f"Op{i}": "none" for i in range(4)} | {"Op4": "skip_connect", "Op5": "nor_conv_3x3"}
    assert b.evaluate(config).metrics == {
        "error": columns["metric_error"][row],
        "latency_ms": 1000 * columns["metric_latency"][row],
        "params_m": columns["metric_params_size"][row],
    }
    check_benchmark(b)
