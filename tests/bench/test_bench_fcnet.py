"""FCNet: curves from arrays and from the original file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError
from luthier.bench.families import _fcnet
from luthier.testing.benchmark import check_benchmark


def test_curves_of_fcnet(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    place = tmp_path / "fcnet_tabular_benchmarks" / "naval_propulsion.npz"
    place.parent.mkdir()
    rng = np.random.default_rng(0)
    cells = math.prod(len(values) for values in _fcnet.LISTS.values())
    assert cells == 62_208
    rows = rng.random((cells, 2)).astype(np.float32)
    shape = np.linspace(2, 1, 100, dtype=np.float32)
    np.savez(place, valid=rows[:, :, None] * shape, test=rows + 5, runtime=100 * rows + 50)
    b = bench.load("fcnet/curves/naval_propulsion")
    check_benchmark(b)
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("budget", 3, 100)
    assert b.space == bench.load("fcnet/protein_structure").space
    config = b.space.default()
    units, _ = b.space.encode([config])
    sizes = [len(values) for values in _fcnet.LISTS.values()]
    row = np.ravel_multi_index(tuple((units[0] * sizes).astype(int)), sizes)
    for budget in (3, 50, 100):
        found = b.evaluate(config, resource=budget, seed=1)
        assert found.metrics["valid_mse"] == pytest.approx(rows[row, 1] * shape[budget - 1], rel=1e-6)
        assert found.seconds == pytest.approx((100 * rows[row, 1] + 50) * budget / 100, rel=1e-6)
    for seed in (0, 1, None):
        assert b.evaluate_test(config, seed=seed).metrics["test_mse"] == pytest.approx(rows[row].mean() + 5, rel=1e-6)
    with pytest.raises(ArgumentError, match="Allowed: budget=100, where alone"):
        b.evaluate_test(config, resource=50)
    assert b.card.optimum["valid_mse"] == pytest.approx(rows.mean(axis=1).min(), rel=1e-6)
    assert bench.load("fcnet/curves/naval_propulsion", first=1).fidelity.low == 1
    with pytest.raises(ArgumentError, match="first=0"):
        bench.load("fcnet/curves/naval_propulsion", first=0)


def test_the_original_file_of_fcnet(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py", reason='h5py is not installed: pip install "luthier[bench]"')
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    place = tmp_path / "fcnet_tabular_benchmarks" / "fcnet_slice_localization_data.hdf5"
    place.parent.mkdir()
    space = bench.load("fcnet/protein_structure").space
    configs = [space.default(), *space.sample(3, np.random.default_rng(0))]
    with h5py.File(place, "w") as file:
        for i, config in enumerate(configs):
            group = file.create_group(json.dumps(config, sort_keys=True))
            group["valid_mse"] = np.full((4, 100), 1.0 + i) / np.arange(1, 101)
            group["final_test_error"] = np.arange(4.0) + i
            group["runtime"] = np.arange(100.0, 104.0)
    b = bench.load("fcnet/curves/slice_localization")
    assert b.card.noise == "4 seeds, optimum not computed"
    assert b.evaluate(configs[1], resource=10, seed=2).metrics["valid_mse"] == 0.2
    assert b.evaluate(configs[1], resource=10, seed=2).seconds == pytest.approx(10.2)
    assert b.evaluate_test(configs[1]).metrics == {"test_mse": 2.5}
    check_benchmark(b, configs=configs)
    with pytest.raises(BenchmarkError, match="has no group"):
        _fcnet.convert(place, tmp_path / "a.npz")
