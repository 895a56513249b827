"""The Bayesian network: its slopes and sampler, budgets of one chain, tasks and files."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import BenchmarkError, DataMissing
from luthier.base.records import Fidelity, Status
from luthier.bench.families import bnn
from luthier.bench.families._sghmc import BATCH, Chain, Draws, Recipe, losses, sample
from luthier.testing.benchmark import check_benchmark

SHORT = Fidelity("budget", 20, 60)
SMALL = {"l_rate": 1e-2, "burn_in": 0.3, "n_units_1": 16, "n_units_2": 16, "mdecay": 0.05}


def short(task="toy", fidelity=SHORT):
    return bnn.Bnn(f"bnn/{task}", bnn.TASKS[task](), fidelity=fidelity)


def chain(seed=0, n=40, **changes):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, 3)).astype(np.float32)
    recipe = Recipe(**{"l_rate": 1e-2, "mdecay": 0.05, "n_units_1": 5, "n_units_2": 4, "adapts": 50, **changes})
    return Chain(X, np.sin(X[:, 0]), recipe, np.random.default_rng(seed)), X


# -- the sampler --


def test_the_slope_is_that_of_the_posterior():
    c, X = chain()
    c._theta[:] = np.random.default_rng(2).standard_normal(len(c._theta)) * 0.3
    x, y = X[:BATCH], np.sin(X[:BATCH, 0])

    def energy():
        w1, b1, w2, b2, w3, b3, noise = (w.astype(float) for w in c.weights)
        mean = (np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2) @ w3)[:, 0] + b3
        fit = 0.5 * ((mean - y) ** 2).mean() / math.exp(noise[0]) + 0.5 * noise[0]
        prior = (noise[0] - math.log(1e-6)) ** 2 / (2 * 0.01)
        return fit + (prior + 0.5 * float((c._theta.astype(float) ** 2).sum())) / len(X)

    c._differentiate(x, y)
    slope = c._slope.copy()
    for i in range(0, len(slope), 3):
        kept, h = c._theta[i], np.float32(2e-3)
        ends = []
        for sign in (1, -1):
            c._theta[i] = kept + sign * h
            ends.append(energy())
        c._theta[i] = kept
        assert (ends[0] - ends[1]) / (2 * float(h)) == pytest.approx(float(slope[i]), rel=2e-2, abs=2e-3)


def test_one_step_by_hand():
    c, _ = chain(adapts=1)
    start, momentum = c._theta.copy(), np.zeros_like(c._theta)
    twin = np.random.default_rng(0)
    for weight in c.weights[:-1:2]:
        twin.standard_normal(weight.shape, np.float32)
    at = int(twin.integers(40))
    c._differentiate(c._X[at : at + BATCH], c._y[at : at + BATCH])
    slope = c._slope.copy()
    c.step()
    # the squared slope is 1 before the first estimate; 40 rows
    noise = twin.standard_normal(len(start), np.float32) * math.sqrt(2 * 0.01**2 / 40 * 0.05)
    assert c._theta == pytest.approx(start + momentum - 0.01**2 * slope + noise, abs=1e-6)
    rate = 1 / 2
    assert c._mean == pytest.approx(1 - rate + rate * slope, rel=1e-4, abs=1e-5)
    assert c._square == pytest.approx(1 - rate + rate * slope**2, rel=1e-4, abs=1e-5)
    assert c._window == pytest.approx(np.ones_like(slope), abs=1e-5)  # 1 + 1 * (1 - 1 * 1 / 1)


def test_the_preconditioner_rests_after_burn_in():
    c, _ = chain(adapts=5)
    for _ in range(5):
        c.step()
    kept = c._square.copy()
    for _ in range(5):
        c.step()
    assert (c._square == kept).all()
    assert (kept != 1).any()


def test_it_samples_a_known_posterior():
    """Without inputs only the last bias moves the mean: its posterior is normal when the noise is held."""
    n = 64
    X, y = np.zeros((n, 1), np.float32), np.random.default_rng(0).normal(0.5, 1, n).astype(np.float32)
    c = Chain(X, y, Recipe(0.05, 0.1, 2, 2, 500), np.random.default_rng(3))
    seen = []
    for step in range(12_000):
        c.weights[-1][:] = 0.0  # noise of variance 1
        for weight in c.weights[:5]:
            weight[:] = 0.0
        c.step()
        if step >= 2000:
            seen.append(float(c.weights[5][0]))
    mean, variance = n * float(y.mean()) / (n + 1), 1 / (n + 1)
    # batches add to the spread: stated in the paper as the noise that is not accounted for
    assert np.mean(seen) == pytest.approx(mean, abs=0.05)
    assert variance < np.var(seen) < 4 * variance


def test_losses_by_hand():
    draws = Draws(np.array([0, 10, 20, 30]), np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([9.0, 0.1, 0.2, 0.3]))
    y = np.array([1.0])
    got = losses(draws, y, scale=2.0, burn_in=0.5, budgets=[31, 25, 11], floor=1e-10)

    def nll(mean, variance):
        off = 2.0 * (1.0 - mean)
        return 0.5 * math.log(2 * math.pi * 4 * variance) + off**2 / (2 * 4 * variance)

    # from step 15: draws after 20 and 30; from 12: after 20; from 5: after 10
    assert got == pytest.approx([nll(3.0, 1.0 + 0.25), nll(2.0, 0.2), nll(1.0, 0.1)])


def test_a_burn_in_that_leaves_nothing_keeps_the_last_draw():
    draws = Draws(np.array([0, 100]), np.array([[0.0], [1.0]]), np.array([1.0, 1.0]))
    got = losses(draws, np.array([1.0]), scale=1.0, burn_in=0.8, budgets=[90], floor=1e-10)
    assert got == pytest.approx([0.5 * math.log(2 * math.pi) + 0.5])


def test_divergence_ends_a_chain():
    c, X = chain(l_rate=1e3)
    with np.errstate(all="ignore"):
        draws = sample(c, X, 400, every=20)
    assert np.isnan(draws.means[-1]).all()
    assert c.steps < 400


# -- the benchmark --


def test_space_and_fidelity_are_the_published_ones():
    b = bench.load("bnn/toy")
    assert dict(b.space.default()) == {"l_rate": 1e-2, "burn_in": 0.3, "n_units_1": 64, "n_units_2": 64, "mdecay": 0.05}
    assert b.fidelity == Fidelity("budget", 500, 10_000)
    assert b.trains


@pytest.mark.parametrize("task", ["toy", "diabetes"])
def test_battery(task):
    wild = {**SMALL, "l_rate": 0.1, "burn_in": 0.0, "mdecay": 0.0}
    check_benchmark(short(task), configs=[SMALL, wild, {**SMALL, "burn_in": 0.8}])


def test_answers_do_not_depend_on_what_was_asked_before():
    one, other = short(), short()
    other.evaluate({**SMALL, "mdecay": 0.5}, seed=4)
    assert one.evaluate(SMALL, resource=40, seed=2) == other.evaluate(SMALL, resource=40, seed=2)
    assert one.evaluate(SMALL, seed=2).metrics != one.evaluate(SMALL, seed=3).metrics


def test_every_budget_of_a_curve_is_its_own_evaluation():
    b = short()
    for budget, found in b.curve(SMALL, 60, seed=1)[::13]:
        assert found.metrics == b.evaluate(SMALL, resource=budget, seed=1).metrics


def test_without_a_seed_the_mean_of_three():
    b = short()
    each = [b.evaluate(SMALL, seed=seed).metrics["nll"] for seed in range(3)]
    assert b.evaluate(SMALL, seed=None).metrics["nll"] == pytest.approx(np.mean(each))


def test_the_chain_sees_training_rows_only(monkeypatch):
    b = short()
    seen = []
    monkeypatch.setattr(bnn, "Chain", lambda X, y, *more: (seen.append(len(X)), Chain(X, y, *more))[1])
    b.evaluate(SMALL)
    b.evaluate_test(SMALL)
    assert seen == [600, 800]


def test_sampling_learns_the_toy_function():
    b = short(fidelity=Fidelity("budget", 500, 4000))
    good = b.space.default()
    values = dict(b.curve(good))
    assert values[4000].metrics["nll"] < values[500].metrics["nll"] - 3
    train, valid = b._data.train[1], b._data.valid[1]
    blind = 0.5 * math.log(2 * math.pi * train.var()) + 0.5 * ((valid - train.mean()) ** 2).mean() / train.var()
    assert values[4000].metrics["nll"] < blind - 0.5
    assert b.evaluate({**good, "l_rate": 1e-6}, resource=500).metrics["nll"] > values[500].metrics["nll"] + 10


@pytest.mark.slow
def test_the_full_budget_on_the_toy_function():
    found = bench.load("bnn/toy").evaluate(bench.load("bnn/toy").space.default())
    assert found.metrics["nll"] < -1
    assert found.status is Status.COMPLETED


def test_the_toy_rows():
    data = bnn.toy()
    assert [len(part[1]) for part in (data.train, data.valid, data.test)] == [600, 200, 200]
    # NumPy's old generator with seed 42 begins with these uniform numbers
    assert data.train[0][:3, 0] == pytest.approx([0.3745401188473625, 0.9507143064162014, 0.7319939418114051])
    x, y = data.train[0][:, 0], data.train[1]
    smooth = x + 0.3 * np.sin(2 * np.pi * x) + 0.3 * np.sin(4 * np.pi * x)
    assert 0.02 < (y - smooth).std() < 0.1
    assert abs((y - smooth).mean()) < 0.02


# -- files --


def write(folder, name, rows, header=""):
    place = folder / "uci" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(header + "\n".join(",".join(f"{v:g}" for v in row) for row in rows) + "\n")
    return place


def test_uci_files(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 100, (50, 10)).astype(float)
    write(tmp_path, "CASP.csv", rows, "RMSD,F1,F2,F3,F4,F5,F6,F7,F8,F9\n")
    data = bnn.uci("protein")
    assert [len(part[1]) for part in (data.train, data.valid, data.test)] == [30, 10, 10]
    assert data.train[1].tolist() == rows[:30, 0].tolist()
    assert data.test[0].tolist() == rows[40:, 1:].tolist()
    assert len(data.checksum["uci/CASP.csv"]) == 64
    years = np.concatenate([rng.integers(1922, 2012, (40, 1)), rng.integers(-50, 50, (40, 90))], axis=1).astype(float)
    write(tmp_path, "YearPredictionMSD.txt", years)
    assert [len(part[1]) for part in (bnn.uci("year").train, bnn.uci("year").valid)] == [28, 8]
    check_benchmark(bnn.Bnn("bnn/protein", data, fidelity=SHORT), configs=[SMALL])
    assert bench.load("bnn/protein").card.checksum == data.checksum


def test_files_that_are_missing_or_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"CASP\.csv is not there.*must hold uci/CASP\.csv"):
        bench.load("bnn/protein")
    write(tmp_path, "CASP.csv", [[1.0, 2.0]], "RMSD,F1\n")
    with pytest.raises(BenchmarkError, match=r"has 1 rows of 2 numbers\. Fetch the complete file\."):
        bench.load("bnn/protein")
    write(tmp_path, "CASP.csv", [[1.0, 2.0]] * 20, "RMSD,F1\nno,number\n")
    with pytest.raises(BenchmarkError, match="is no table of numbers"):
        bench.load("bnn/protein")
