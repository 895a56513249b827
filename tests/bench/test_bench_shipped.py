"""The tables that ship: their sums, their cards, their contract, and that training now gives what they hold."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, ChecksumError
from luthier.bench import _generated
from luthier.bench.data import checksum, shipped
from luthier.testing.benchmark import check_benchmark

FOLDER = shipped(_generated.FOLDER)
STEMS = sorted(path.stem for path in FOLDER.glob("*.npz"))
CLASSIFIERS = ("svm", "logreg", "rf", "xgb", "mlp")


def named(stem):
    family, _, rest = stem.partition("_")
    data, _, grid = rest.rpartition("_")
    return f"{family}/{data}@{grid}"


def stored(stem):
    with np.load(FOLDER / f"{stem}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}, json.loads(str(file["about"]))


def means(stem):
    """(configurations,) mean over seeds of the first objective at the full amount."""
    arrays, about = stored(stem)
    design = about.get("design")
    metric = design["objective"] if design else "valid_accuracy"
    column = arrays["values"][:, :, -1, about["metrics"].index(metric)].astype(float).mean(axis=1)
    return column if design else 1 - column


def raw_of(stem):
    name = named(stem).partition("@")[0]
    if name.startswith("xgb/"):
        pytest.importorskip("xgboost", reason='xgboost is not installed: pip install "luthier[bench]"')
    return bench.load(name)


def test_they_are_small_and_all_are_listed():
    assert _generated._shipped_sums().keys() == {f"{stem}.npz" for stem in STEMS}
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert max(sizes) < 1.5 * 2**20
    assert sum(sizes) < 12 * 2**20
    for stem in STEMS:
        assert named(stem) in bench.names(f"{stem.partition('_')[0]}/")


@pytest.mark.parametrize("stem", STEMS)
def test_the_sum_is_verified(stem, monkeypatch):
    assert checksum(FOLDER / f"{stem}.npz") == _generated._shipped_sums()[f"{stem}.npz"]
    monkeypatch.setattr(_generated, "_shipped_sums", lambda: {f"{stem}.npz": "0" * 64})
    with pytest.raises(ChecksumError, match="this benchmark was made for 0000"):
        bench.load(named(stem))


@pytest.mark.parametrize("stem", STEMS)
def test_it_passes_the_battery(stem):
    table = bench.load(named(stem))
    assert not table.trains
    assert table.card.checksum == {f"{stem}.npz": _generated._shipped_sums()[f"{stem}.npz"]}
    check_benchmark(table)


@pytest.mark.parametrize("stem", STEMS)
def test_what_it_holds_is_possible(stem):
    arrays, about = stored(stem)
    values, metrics = arrays["values"], about["metrics"]
    assert len(about["seeds"]) >= 2
    assert values.shape == (len(arrays["configs"]), len(about["seeds"]), len(about["fidelities"]), len(metrics))
    assert (arrays["status"] != 2).all(), "none ran out of time"
    fine = np.isfinite(values).all(axis=(1, 2, 3))
    assert fine.sum() > 0.9 * len(fine)
    times = values[..., [metrics.index(metric) for metric in about["timed"]]]
    assert np.nanmin(times) >= 0
    for metric in metrics:
        if metric.endswith(("accuracy", "f1", "precision")):
            column = values[..., metrics.index(metric)]
            assert 0 <= np.nanmin(column) <= np.nanmax(column) <= 1
    assert about["provenance"]["threads"] == 1


@pytest.mark.parametrize("stem", STEMS)
def test_the_optimum_is_the_least_of_all(stem):
    table = bench.load(named(stem))
    objective = table.objectives[0]
    assert table.card.optimum[objective.name] == pytest.approx(np.nanmin(means(stem)), rel=1e-9)
    low, high = table.bounds[objective.name]
    _, about = stored(stem)
    configs = table.configs if "design" in about else table.space.decode(table.space.all_rows())
    found = [table.evaluate(config, seed=None) for config in configs]
    values = [one.metrics[objective.name] for one in found]
    assert np.nanmin(values) == table.card.optimum[objective.name]
    assert all(low <= value <= high or math.isnan(value) for value in values)
    assert np.nanmedian(values) > np.nanmin(values), "there is something to find"


@pytest.mark.parametrize(
    "stem", [pytest.param(stem, marks=[pytest.mark.slow] * stem.startswith("cartpole")) for stem in STEMS]
)
def test_training_gives_what_it_holds(stem):
    """Three configurations at the lowest resource; other versions of the libraries may see a row or two otherwise."""
    table, raw = bench.load(named(stem)), raw_of(stem)
    objective, low = table.objectives[0].name, table.fidelity.low
    grid = named(stem).partition("/")[0] in CLASSIFIERS
    for config in table.space.sample(3, np.random.default_rng(1)) if grid else table.configs[:: len(table) // 3]:
        mine, now = (b.evaluate(config, resource=low, seed=1).metrics[objective] for b in (table, raw))
        if grid:
            assert mine == pytest.approx(now, abs=2.5 / len(raw.data.valid.y))
        elif stem.startswith("bnn"):
            assert mine == pytest.approx(now, rel=2e-2)
        else:  # the last bit of a product decides what an agent sees from then on
            assert now / 3 < mine < 3 * now


def test_a_table_takes_rounded_values_and_refuses_a_seed_that_is_none():
    table = bench.load("svm/iris@small")
    config = dict(table.space.default())
    assert table.evaluate({**config, "C": config["C"] * (1 + 1e-12)}) == table.evaluate(config)
    for call in (table.evaluate, table.evaluate_test):
        with pytest.raises(ArgumentError, match="seed='a'"):
            call(config, seed="a")
