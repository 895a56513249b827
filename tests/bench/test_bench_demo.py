"""The demo's problem: the network learns, resumes exactly, and its parts do not leak; benchmarks as targets."""

from __future__ import annotations

import math
import pickle
from contextlib import contextmanager

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration
from luthier.bench import demo
from luthier.bench._mlp import Recipe, State, _slopes, initial, probabilities, scores, shifted


class FakeRun:
    """As much of a run as a target uses; keeps what it is told."""

    def __init__(self, config, folder=None, *, until=demo.EPOCHS, after=0, checkpoint=None, seed=5):
        self.config, self.folder, self.until, self.seed = Configuration(config), folder, until, seed
        self.checkpoint, self._after = checkpoint, after
        self.told = []

    def resources(self):
        return range(self._after + 1, int(self.until) + 1)

    def report(self, metrics, *, resource=None, **named):
        self.told.append((named.get("epoch", resource), dict(metrics)))

    @contextmanager
    def save(self):
        place = self.folder / "checkpoint"
        place.mkdir(exist_ok=True)
        yield place


QUICK = {**demo.space().default(), "width": 32, "batch_size": 64, "dropout": 0.2, "shift": 0.4}


def test_the_defaults_are_scikit_learns():
    from sklearn.neural_network import MLPClassifier

    theirs, ours = MLPClassifier(), demo.recipe(demo.space().default())
    assert theirs.hidden_layer_sizes == (ours.width,) * ours.depth
    assert (theirs.activation, theirs.solver, theirs.alpha) == (ours.activation, ours.solver, ours.alpha)
    assert (theirs.learning_rate_init, theirs.momentum) == (ours.learning_rate, ours.momentum)
    images, _ = demo.digits()
    assert min(200, len(images)) == ours.batch_size  # their batch_size="auto"
    assert demo.space().conditions.keys() == {"momentum"}
    assert len(demo.space()) >= 7


def test_gradients_agree_with_differences():
    rng = np.random.default_rng(0)
    how = Recipe(width=5, depth=2, activation="tanh", alpha=0.3)
    state = initial(how, 4, 3, 0)
    weights = [w.astype(np.float64) for w in state.weights]
    x, labels = rng.random((7, 4)), rng.integers(0, 3, 7)

    def loss(w):
        p = probabilities(State(w, [], []), how, x)
        return -np.log(p[np.arange(7), labels]).mean() + how.alpha / 14 * sum((m**2).sum() for m in w[::2])

    slopes = _slopes(weights, how, x, labels, rng)
    for i, w in enumerate(weights):
        place = tuple(rng.integers(0, n) for n in w.shape)
        shifted_up, shifted_down = [m.copy() for m in weights], [m.copy() for m in weights]
        shifted_up[i][place] += 1e-5
        shifted_down[i][place] -= 1e-5
        assert slopes[i][place] == pytest.approx((loss(shifted_up) - loss(shifted_down)) / 2e-5, rel=1e-4, abs=1e-8)


def test_shifting_moves_pixels():
    image = np.zeros((1, 64), dtype=np.float32)
    image[0, 8 * 3 + 4] = 1
    down_left = shifted(image, np.array([[1.0, -2.0]]))[0].reshape(8, 8)
    assert down_left[4, 2] == 1
    assert down_left.sum() == 1
    half = shifted(image, np.array([[0.5, 0.0]]))[0].reshape(8, 8)
    assert half[3, 4] == half[4, 4] == 0.5


def test_parts_are_disjoint_and_fixed_by_the_seed():
    parts = demo.split(3)
    joined = np.concatenate(parts)
    assert sorted(joined) == list(range(1797))
    assert [len(part) for part in parts] == [881, 377, 539]
    assert all((a == b).all() for a, b in zip(parts, demo.split(3), strict=True))
    assert not np.array_equal(parts.test, demo.split(4).test)


def test_training_never_sees_validation_or_test_images(monkeypatch):
    images, labels = demo.digits()
    poisoned, parts = images.copy(), demo.split(0)
    poisoned[np.concatenate([parts.test])] = np.nan
    monkeypatch.setattr(demo, "digits", lambda: (poisoned, labels))
    run = FakeRun(QUICK, until=2)
    demo.train(run)
    assert all(math.isfinite(v) for _, metrics in run.told for v in metrics.values())
    poisoned[parts.validation] = np.nan
    state, how = demo.fit(QUICK, parts.train, epochs=2, seed=5)
    assert all(np.isfinite(w).all() for w in state.weights)
    assert not math.isfinite(scores(state, how, poisoned[parts.validation], labels[parts.validation])["log_loss"])


def test_resuming_equals_going_on(tmp_path):
    whole = FakeRun(QUICK)
    whole.until = 27
    demo.train(whole)
    first = FakeRun(QUICK, tmp_path, until=9)
    demo.train(first)
    second = FakeRun(QUICK, tmp_path, until=27, after=9, checkpoint=tmp_path / "checkpoint")
    demo.train(second)
    assert first.told + second.told == whole.told
    assert whole.told[-1][0] == 27
    assert whole.told[-1][1]["error"] < 10


def test_divergence_is_reported_as_nan():
    run = FakeRun({**QUICK, "solver": "sgd", "momentum": 0.99, "learning_rate": 1e12, "shift": 0.0}, until=4)
    with np.errstate(over="raise", invalid="raise"):  # the target itself silences what overflows
        demo.train(run)
    assert math.isnan(run.told[-1][1]["log_loss"])


def test_the_target_can_be_pickled():
    assert pickle.loads(pickle.dumps(demo.Train(3))) == demo.Train(3)
    assert pickle.loads(pickle.dumps(demo.train)) is demo.train


def test_the_interval_is_paired_and_covers():
    rng = np.random.default_rng(1)
    theirs = (rng.random(539) < 0.95).astype(float)
    ours = theirs.copy()
    ours[np.flatnonzero(theirs == 0)[:10]] = 1
    gain = demo.difference(ours, theirs)
    assert gain.mean == pytest.approx(100 * 10 / 539)
    # ten of 539 changed, all for the better: a standard error of 0.58 points
    assert gain.low == pytest.approx(gain.mean - 1.96 * 0.58, abs=0.15)
    assert gain.high == pytest.approx(gain.mean + 1.96 * 0.58, abs=0.2)
    level = demo.accuracy(theirs)
    assert level.low < level.mean < level.high


@pytest.mark.slow
def test_a_good_configuration_beats_scikit_learns_default_on_average():
    config = {**demo.space().default(), "width": 256, "depth": 2, "learning_rate": 3e-3, "decay": 1.0,
              "batch_size": 64, "dropout": 0.3, "shift": 0.5}  # fmt: skip
    gains = [demo.held_out(config, 81, s, refits=1).mean() - demo.sklearn_default(s, refits=1).mean() for s in range(2)]
    assert np.mean(gains) > 0.005


# benchmarks as targets -----------------------------------------------------------------------------------


def test_a_table_as_a_target():
    table = bench.load("fcnet/protein_structure")
    target = pickle.loads(pickle.dumps(bench.objective(table, seed=1)))
    run = FakeRun(table.space.default(), until=None)
    target(run)
    assert run.told == [(None, dict(table.evaluate(table.space.default(), seed=1).metrics))]
    by_trial = FakeRun(table.space.default(), until=None, seed=7)
    bench.objective(table)(by_trial)
    assert by_trial.told[0][1] == dict(table.evaluate(table.space.default(), seed=7).metrics)
    with pytest.raises(ArgumentError) as caught:
        bench.objective(table, seed="mean")
    assert str(caught.value) == "seed='mean'. Allowed: a whole number, None for the mean, or 'trial'."


def test_a_curve_as_a_target_reports_every_step_and_resumes():
    b = bench.load("digits/0")
    run = FakeRun(QUICK, until=3)
    bench.objective(b, seed=2)(run)
    assert [step for step, _ in run.told] == [1, 2, 3]
    later = FakeRun(QUICK, until=5, after=3)
    bench.objective(b, seed=2)(later)
    assert [step for step, _ in later.told] == [4, 5]
    assert run.told + later.told == [(step, dict(one.metrics)) for step, one in b.curve(QUICK, 5, seed=2)]


def test_digits_as_a_benchmark_trains_as_the_demo_does():
    run = FakeRun(QUICK, until=3, seed=4)
    demo.train(run)
    b = bench.load("digits/0")
    assert [one.metrics for _, one in b.curve(QUICK, 3, seed=4)] == [metrics for _, metrics in run.told]
    assert b.evaluate_test(QUICK, resource=3, seed=4).metrics["test_error"] < 80
