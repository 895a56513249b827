"""ParamNet: its surrogate from tiny forests of the true form."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from luthier import bench
from luthier.base.errors import BenchmarkError, UnsupportedError
from luthier.bench.families import _net_converter, net
from luthier.testing.benchmark import check_benchmark


@pytest.fixture
def forests(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            10 ** rng.uniform(-6, -2, 200),
            2 ** rng.uniform(3, 8, 200),
            2 ** rng.uniform(4, 8, 200),
            10 ** rng.uniform(-4, 0, 200),
            rng.random(200),
            rng.integers(1, 6, 200),
            rng.uniform(0, 0.5, (200, 2)),
        ]
    )
    errors = rng.uniform(0.1, 0.9, (200, 1)) * np.linspace(1, 0.5, 50)
    error = RandomForestRegressor(5, random_state=0).fit(X, errors)
    seconds = RandomForestRegressor(5, random_state=1).fit(X, rng.uniform(5, 400, 200))
    for name, forest in (("surrogate", error), ("cost_surrogate", seconds)):
        (tmp_path / f"rf_{name}_paramnet_adult.pkl").write_bytes(pickle.dumps(forest))
    place = tmp_path / "paramnet" / "adult.npz"
    place.parent.mkdir()
    _net_converter.main(*(str(tmp_path / f"rf_{n}_paramnet_adult.pkl") for n in ("surrogate", "cost_surrogate")), place)
    return error, seconds, place


def asked(config):
    """What HPOBench asks its forests about."""
    return np.array(
        [[
            10 ** config["initial_lr_log10"], round(2 ** config["batch_size_log2"]),
            round(2 ** config["average_units_per_layer_log2"]), 10 ** config["final_lr_fraction_log2"], 0.5,
            config["num_layers"], config["dropout"], config["dropout"],
        ]]
    )  # fmt: skip


def test_paramnet_on_steps(forests):
    error, seconds, _ = forests
    b = bench.load("net/adult", axis="steps")
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("step", 1, 50)
    for config in b.space.sample(10, np.random.default_rng(1)):
        curve, cost = error.predict(asked(config))[0], seconds.predict(asked(config))[0]
        for step in (1, 7, 50):
            found = b.evaluate(config, resource=step)
            assert found.metrics["error"] == pytest.approx(curve[step - 1], rel=1e-6)
            assert found.seconds == pytest.approx(cost / 50 * step, rel=1e-6)
    check_benchmark(b)


def test_paramnet_on_time(forests):
    error, seconds, _ = forests
    b = bench.load("net/adult")
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("budget", 9, 243)
    epochs = set()
    for config in b.space.sample(20, np.random.default_rng(1)):
        curve, cost = error.predict(asked(config))[0], seconds.predict(asked(config))[0]
        for budget in (9, 81, 243):
            found = b.evaluate(config, resource=budget)
            fit = sum(cost / 50 * (i + 1) <= budget for i in range(50))
            assert found.info["epochs"] == fit
            assert found.metrics["error"] == pytest.approx(curve[fit - 1] if fit else 1.0, rel=1e-6)
            assert found.seconds == budget
            epochs.add(fit)
    assert {50} < epochs  # some end within the budget, some do not
    check_benchmark(b)
    with pytest.raises(UnsupportedError):
        b.evaluate_test(b.space.default())


def constant(error, seconds, **more):
    """A file whose forests predict the same for every configuration."""
    found = {"base": np.array(2.0)}
    for name, values in (("error", np.full((1, 50), error)), ("seconds", np.array([[seconds]]))):
        leaf = {"roots": [0], "feature": [-1], "threshold": [0.0], "left": [0], "right": [0], "values": values}
        found |= {f"{name}_{part}": np.array(array) for part, array in leaf.items()}
    return found | more


def test_paramnet_where_no_epoch_fits(forests):
    np.savez(forests[2], **constant(0.25, 50 * 10.0))  # ten seconds an epoch
    b = bench.load("net/adult")
    config = b.space.default()
    answers = {budget: b.evaluate(config, resource=budget).metrics["error"] for budget in (9, 10, 243)}
    assert answers == {9: 1.0, 10: 0.25, 243: 0.25}


def test_spaces_of_paramnet():
    reduced, full = net.space("reduced"), net.space("full")
    assert len(reduced.names) == 6
    assert len(full.names) == 8
    assert reduced.default() == {
        "initial_lr_log10": -4.0, "batch_size_log2": 5.5, "average_units_per_layer_log2": 6.0,
        "final_lr_fraction_log2": -2.0, "num_layers": 3, "dropout": 0.25,
    }  # fmt: skip
    row = net.columns(reduced.default(), 10.0)
    assert row.tolist() == [1e-4, 45, 64, 1e-2, 0.5, 3, 0.25, 0.25]
    assert net.columns(full.default(), 2.0).tolist() == [1e-4, 45, 64, 0.25, 0.5, 3, 0.25, 0.25]
    assert net.columns(full.default() | {"shape_parameter_1": 1.0, "dropout_1": 0.0}, 2.0).tolist()[4:] == [
        1,
        3,
        0.25,
        0,
    ]


def test_budgets_of_paramnet():
    assert net.SECONDS["poker"] == (81, 2187)
    assert all(high == 27 * low for low, high in net.SECONDS.values())


def test_pickles_of_paramnet_are_refused(forests):
    forests[2].unlink()
    (forests[2].parent / "rf_surrogate_paramnet_adult.pkl").write_bytes(b"")
    with pytest.raises(UnsupportedError, match=r"rf_surrogate_paramnet_adult\.pkl is a pickle of scikit-learn 0\.18"):
        bench.load("net/adult")


@pytest.mark.parametrize(("error", "seconds"), [(1.5, 1.0), (-0.1, 1.0), (0.5, 0.0)])
def test_impossible_predictions_are_refused(forests, error, seconds):
    np.savez(forests[2], **constant(error, seconds))
    with pytest.raises(BenchmarkError, match=r"must have 50 within \[0, 1\], and one above 0"):
        bench.load("net/adult")
