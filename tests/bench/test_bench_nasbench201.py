"""NB201: its export, its curves, its final values."""

from __future__ import annotations

import itertools
import json
import os
import pickle

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError
from luthier.bench.data import DataFile
from luthier.bench.families import _nb201, nasbench201
from luthier.testing.benchmark import check_benchmark

EPOCHS = 2


def curves201():
    """Arrays of the cells with one, two or three seeds in turn."""
    rng = np.random.default_rng(0)
    shape = (_nb201.CELLS, 3, EPOCHS)
    valid_, test = rng.uniform(10, 90, shape).astype(np.float32), rng.uniform(10, 90, shape[:2]).astype(np.float32)
    seconds = np.cumsum(rng.integers(1, 9, shape), axis=2).astype(np.float32)
    for seeds in (1, 2):
        for part in (valid_, test, seconds):
            part[seeds - 1 :: 3, seeds:] = np.nan
    return _nb201.Curves(valid_, test, seconds)


@pytest.fixture
def tiny201(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setattr(_nb201, "EPOCHS", EPOCHS)
    (tmp_path / "nasbench_201").mkdir()
    return tmp_path / "nasbench_201"


@pytest.fixture
def few201(tiny201, monkeypatch):
    """As if there were the first 50 cells only."""
    monkeypatch.setattr(_nb201, "_ROWS", dict(itertools.islice(_nb201._ROWS.items(), 50)))
    monkeypatch.setattr(_nb201, "CELLS", 50)
    return tiny201


def entry(found, row, seed, split, test):
    """One training as the export has it; a missing one repeats the first seed's, as there."""
    seed = 0 if np.isnan(found.test[row, seed]) else seed
    costs = np.diff(found.seconds[row, seed], prepend=0)
    return {
        "train_acc1es": {str(e): 50.0 for e in range(EPOCHS)},
        "train_times": {str(e): float(costs[e]) - 0.5 for e in range(EPOCHS)},
        "eval_acc1es": {
            **{f"{split}@{e}": float(found.valid[row, seed, e]) for e in range(EPOCHS)},
            f"{test}@{EPOCHS - 1}": float(found.test[row, seed]),
        },
        "eval_times": {**{f"{split}@{e}": 0.5 for e in range(EPOCHS)}, f"{test}@{EPOCHS - 1}": 77.0},
        "params": 1.5,
        "latency": [0.01],
    }


def test_architecture_strings():
    ops = ("avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_3x3", "skip_connect")
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"
    assert _nb201.architecture(ops) == text
    assert _nb201._ROWS[text] == sum(_nb201.OPERATIONS.index(op) * 5 ** (5 - i) for i, op in enumerate(ops))
    assert len(_nb201._ROWS) == 15_625


def test_the_export_of_nasbench201(few201):
    known = curves201()
    export = {
        str(seed): {text: entry(known, row, i, "ori-test", "x-test") for text, row in _nb201._ROWS.items()}
        for i, seed in enumerate((777, 888, 999))
    }
    source = few201 / "NAS-Bench-201-v1_1-096897_cifar100.json"
    source.write_text(json.dumps(export))
    nasbench201.convert(source, few201 / "cifar100.npz", "cifar100")
    found = _nb201.read_npz(few201 / "cifar100.npz")
    for part, expected in zip(found, known, strict=True):
        assert np.array_equal(part, expected, equal_nan=True)
    source.write_text(json.dumps({"777": dict(list(export["777"].items())[:-2])}, indent=1))
    with pytest.raises(BenchmarkError, match=r"lacks 2 of 50 cells"):
        _nb201.read_json(source, "cifar100")
    for wrong in ("[]", '{"777": []}', '{"1": {}}x', '{"777": {"a": {}}}', '{"777": {', ""):
        source.write_text(wrong)
        with pytest.raises(BenchmarkError, match=r"is no export of NAS-Bench-201|lacks 50"):
            _nb201.read_json(source, "cifar100")


def test_curves_of_nasbench201(tiny201):
    known = curves201()
    np.savez(tiny201 / "cifar10.npz", **known._asdict())
    b = bench.load("nasbench201/curves/cifar10")
    ops = ("skip_connect", "nor_conv_1x1", "none", "avg_pool_3x3", "none", "nor_conv_3x3")
    row = _nb201._ROWS[_nb201.architecture(ops)]
    config = dict(zip(("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"), ops, strict=True))
    first = b.evaluate(config, resource=1)
    assert first.seconds == known.seconds[row, 0, 0] > 0  # the first epoch costs, unlike in HPOBench
    assert first.metrics == {"valid_error": 100 - float(known.valid[row, 0, 0])}
    hidden = b.evaluate_test(config)
    assert hidden.metrics == {"test_error": 100 - float(known.test[row, 0])}  # and not the validation value
    assert hidden.metrics["test_error"] != b.evaluate(config).metrics["valid_error"]
    with pytest.raises(ArgumentError, match=r"test values at resource=1\. Allowed: epoch=2, where alone"):
        b.evaluate_test(config, resource=1)
    assert b.card.noise == "recorded seeds: 5209 cells have 1, 5208 cells have 2, 5208 cells have 3"
    best = 100 - np.nanmean(known.valid[:, :, -1], axis=1, dtype=float).max()
    assert b.card.optimum == {"valid_error": best}
    check_benchmark(b)
    later = bench.load("nasbench201/curves/cifar10", first=2)
    assert later.fidelity.low == 2
    assert later.evaluate(config) == b.evaluate(config)


def test_seeds_that_are_there(tiny201):
    known = curves201()
    np.savez(tiny201 / "imagenet.npz", **known._asdict())
    b = bench.load("nasbench201/curves/imagenet")
    for row in (0, 1, 2):  # with 1, 2 and 3 seeds
        [config] = b.space.decode((np.array([np.unravel_index(row, [5] * 6)]) + 0.5) / 5)
        values = [b.evaluate(config, seed=s).metrics["valid_error"] for s in range(6)]
        assert values == [100 - float(known.valid[row, s % (row + 1), -1]) for s in range(6)]
        mean = b.evaluate(config, seed=None)
        assert mean.metrics["valid_error"] == pytest.approx(np.mean(values), rel=1e-9)
        assert mean.seconds == pytest.approx(np.nanmean(known.seconds[row, :, -1]), rel=1e-6)


def test_pickles_of_nasbench201(few201):
    known = curves201()
    for i, seed in enumerate((777, 888, 999)):
        parts = {"train_times": {}, "eval_acc1es": {}, "eval_times": {}}
        for text, row in _nb201._ROWS.items():
            one = entry(known, row, i, "x-valid", "ori-test")
            parts["train_times"][text] = {int(e): value for e, value in one["train_times"].items()}
            parts["eval_acc1es"][text] = one["eval_acc1es"]
            parts["eval_times"][text] = one["eval_times"]
        for metric, values in parts.items():
            (few201 / f"nb201_cifar10-valid_{seed}_{metric}.pkl").write_bytes(pickle.dumps(values))
    with pytest.raises(UnsupportedError, match=r"is a pickle, which can run any code, .*unpickle=True"):
        bench.load("nasbench201/curves/cifar10")
    b = bench.load("nasbench201/curves/cifar10", unpickle=True)
    for part, expected in zip(b._curves, known, strict=True):
        assert np.array_equal(part, expected, equal_nan=True)
    (few201 / "nb201_cifar10-valid_888_eval_times.pkl").unlink()
    with pytest.raises(BenchmarkError, match="has 0 files of eval_times, seed 888"):
        _nb201.read_pickles(few201, "cifar10")


def test_the_pickle_of_torch_is_refused(tiny201):
    (tiny201 / "NAS-Bench-201-v1_1-096897.pth").write_bytes(b"anything")
    with pytest.raises(UnsupportedError, match=r"096897\.pth is a pickle, .*Supply nasbench_201/NAS-Bench-201-v1_1"):
        bench.load("nasbench201/curves/cifar10")


def test_arrays_of_another_form(tiny201):
    np.savez(tiny201 / "cifar10.npz", **curves201()._replace(test=np.zeros((5, 3), dtype=np.float32))._asdict())
    with pytest.raises(BenchmarkError, match=r"test \(5, 3\).* They must be \(15625, r, 2\)"):
        bench.load("nasbench201/curves/cifar10")
    np.savez(tiny201 / "cifar10.npz", valid=np.zeros(3))
    with pytest.raises(BenchmarkError, match=r"cannot be read .* It must be an \.npz of: valid \(3-dimensional\)"):
        bench.load("nasbench201/curves/cifar10")


def test_final_values_of_nasbench201(tmp_path, monkeypatch):
    """One seed is missing for some cells, as in the true table, and the test values lie in another file."""
    parquet = pytest.importorskip("pyarrow.parquet", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow as pa

    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    values = rng.uniform(10, 90, (_nb201.CELLS, 3)).astype(np.float32)
    values[::5, 2] = np.nan
    (tmp_path / "tabular_hpo").mkdir()
    np.savez(tmp_path / "tabular_hpo" / "nasbench201.npz", cifar10=values)
    (tmp_path / "tabular_hpo" / "nasbench201.json").write_text("{}")
    monkeypatch.setattr(nasbench201.Nasbench201, "_files", lambda self, name, task: [
        tmp_path / "tabular_hpo" / f"nasbench201.{ending}" for ending in ("npz", "json")
    ])  # fmt: skip
    b = bench.load("nasbench201/cifar10")
    assert b.card.noise == "recorded seeds: 3125 cells have 2, 12500 cells have 3"
    config = {f"Op{i}": op for i, op in enumerate(["none", "none", "none", "none", "skip_connect", "avg_pool_3x3"])}
    assert b.evaluate(config, seed=1).metrics["valid_accuracy"] == values[5 + 4, 1]
    with pytest.raises(UnsupportedError, match="has its test values in transfer_blackboxes/nasbench201_test_latency"):
        b.evaluate_test(config)
    codes = np.array(list(itertools.product(range(5), repeat=6)))[::-1]
    errors = rng.uniform(10, 90, (_nb201.CELLS))
    columns = {f"hp_x{i}": codes[:, i] for i in range(6)} | {"metric_error": errors, "task": ["cifar10"] * len(codes)}
    file = nasbench201.transfer_nasbench201.FILE
    (tmp_path / file.path).parent.mkdir()
    parquet.write_table(pa.table(columns), tmp_path / file.path)
    monkeypatch.setattr(nasbench201.transfer_nasbench201, "FILE", DataFile(file.path))
    assert b.evaluate_test(config).metrics == {"test_error": errors[_nb201.CELLS - 1 - 9]}
    check_benchmark(b)


@pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set: the tables are not at hand")
@pytest.mark.parametrize(("task", "correlation"), [("cifar10", 0.99), ("cifar100", 0.99), ("imagenet", 0.99)])
def test_validation_and_test_values_of_the_true_tables_belong_together(task, correlation):
    """So they do when Op0 to Op5 are the edges in the order of the data set's text, and not in any other tried."""
    b = bench.load(f"nasbench201/{task}")
    assert b.card.noise == "recorded seeds: 7456 cells have 2, 8169 cells have 3"
    config = b.space.default() | {"Op0": "nor_conv_3x3", "Op5": "nor_conv_1x1"}
    assert 0 < b.evaluate_test(config).metrics["test_error"] < 100
    assert np.corrcoef(b.means, 100 - b._tests)[0, 1] > correlation
    swapped = b._tests.reshape([5] * 6).transpose(5, 4, 3, 2, 1, 0).ravel()
    assert np.corrcoef(b.means, 100 - swapped)[0, 1] < 0.6
