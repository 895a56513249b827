"""Cartpole: physics against gymnasium, slopes against differences, budgets, purity, and that agents learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.records import Fidelity
from luthier.bench.families import _poles as poles
from luthier.bench.families import _ppo as ppo
from luthier.bench.families.cartpole import Cartpole
from luthier.testing.benchmark import check_benchmark

QUICK = {
    "n_units_1": 8, "n_units_2": 8, "batch_size": 12, "learning_rate": 1e-2, "discount": 0.9,
    "likelihood_ratio_clipping": 0.2, "entropy_regularization": 0.01,
}  # fmt: skip


# -- physics --


def test_the_physics_are_gymnasiums():
    states = np.array([[0.01, -0.02, 0.03, 0.04]])
    for action in (1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0):
        states = poles.push(states, np.array([action]))
    # gymnasium 1.4.0, CartPole-v1 set to the same state; over 6725 random steps the difference was 0
    after = [0.05173789347176583, -0.020967228358811124, -0.024231217059683206, 0.061335989383529244]
    assert states[0] == pytest.approx(after, rel=1e-12)


def test_pushing_one_way_the_pole_falls_when_gymnasium_says():
    states, steps = np.array([[0.01, -0.02, 0.03, 0.04]]), 0
    while not poles.fallen(states)[0]:
        states, steps = poles.push(states, np.array([1])), steps + 1
    assert steps == 10
    assert states[0, 2] == pytest.approx(-0.2235691808247548, rel=1e-12)


def test_the_ends_of_the_track():
    rest = np.zeros((4, 4))
    rest[:, 0] = (2.39, 2.41, 0, 0)
    rest[:, 2] = (0, 0, 0.209, -0.21)
    assert poles.fallen(rest).tolist() == [False, True, False, True]


def test_episodes_are_laid_end_to_end():
    def right(states, luck):
        return np.ones(len(states), np.int64), np.full(len(states), 0.75, np.float32)

    found = poles.play(right, 6, np.random.default_rng(0))
    assert found.lengths.sum() == len(found.states) == len(found.actions)
    assert found.rounds == found.lengths.max() < 20
    firsts = np.concatenate([[0], np.cumsum(found.lengths)[:-1]])
    assert (np.abs(found.states[firsts]) <= 0.05).all()
    for first, length in zip(firsts, found.lengths, strict=True):
        path = found.states[first : first + length]
        assert path[1:] == pytest.approx(poles.push(path[:-1], np.ones(length - 1, int)), abs=1e-12)
        assert poles.fallen(poles.push(path[-1:], np.ones(1, int)))[0]


def test_an_episode_ends_after_200_steps():
    def balance(states, luck):
        return (states[:, 2] + states[:, 3] > 0).astype(np.int64), np.ones(len(states), np.float32)

    assert poles.play(balance, 5, np.random.default_rng(0)).lengths.tolist() == [200] * 5


def test_returns_by_hand():
    assert poles.returns(np.array([3, 1]), 0.5).tolist() == [1.75, 1.5, 1.0, 1.0]
    assert poles.returns(np.array([3, 1]), 1.0).tolist() == [3.0, 2.0, 1.0, 1.0]
    assert poles.returns(np.array([2]), 0.0).tolist() == [1.0, 1.0]


# -- learning --


@pytest.mark.parametrize("kind", ["tanh", "relu"])
def test_slopes_of_a_network(kind):
    rng = np.random.default_rng(0)
    net = ppo.Net((3, 5, 4, 2), (kind, kind), rng)
    net.flat[:] = rng.standard_normal(len(net.flat)) * 0.5
    x, pull = rng.standard_normal((6, 3)).astype(np.float32), rng.standard_normal((6, 2)).astype(np.float32)

    def loss():
        return float((net.forward(x)[-1].astype(float) * pull).sum())

    net.backward(net.forward(x), pull)
    check_slope(net, loss)


def check_slope(net, loss, rel=2e-2):
    slope = net.slope.copy()
    for i in range(len(slope)):
        kept, h = net.flat[i], np.float32(1e-3)
        net.flat[i] = kept + h
        up = loss()
        net.flat[i] = kept - h
        down = loss()
        net.flat[i] = kept
        assert (up - down) / (2 * float(h)) == pytest.approx(float(slope[i]), rel=rel, abs=2e-3)


def test_the_slope_of_the_policys_loss():
    recipe = ppo.Recipe(n_units_1=4, n_units_2=3, entropy_regularization=0.5, likelihood_ratio_clipping=0.3)
    agent = ppo.Agent(recipe, np.random.default_rng(0))
    net, rng = agent._policy, np.random.default_rng(1)
    net.flat[:] = rng.standard_normal(len(net.flat)) * 0.7
    states = rng.standard_normal((12, 4)).astype(np.float32)
    actions, advantages = rng.integers(2, size=12), rng.standard_normal(12).astype(np.float32)
    chances = rng.uniform(0.2, 0.8, 12).astype(np.float32)

    def loss():
        logits = net.forward(states)[-1].astype(float)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        ratio = p[np.arange(12), actions] / chances
        gain = np.minimum(ratio * advantages, np.clip(ratio, 0.7, 1.3) * advantages)
        return -float(gain.mean()) + 0.5 * float((p * np.log(p)).sum(axis=1).mean())

    agent._differentiate(states, actions, chances, advantages)
    check_slope(net, loss)


@pytest.mark.parametrize(("kind", "moved"), [("adam", 0.1), ("rmsprop", 0.1 * 3 / math.sqrt(0.9 + 0.1 * 9))])
def test_first_step_of_an_optimiser(kind, moved):
    net = ppo.Net((1, 1), (), np.random.default_rng(0))
    net.flat[:], net.slope[:] = 1.0, 3.0
    ppo.Optimiser(kind, 0.1, net).step()
    assert net.flat == pytest.approx([1 - moved, 1 - moved], rel=1e-5)


def test_solved_at_the_first_twenty_full_episodes():
    lengths = np.array([10] * 3 + [200] * 30)
    assert ppo._solved(lengths, 0) == 23
    assert ppo._solved(lengths[:22], 0) is None
    assert ppo._solved(np.array([200] * 19), 0) is None
    assert ppo._solved(np.array([200] * 20), 0) == 20
    broken = np.array([200] * 19 + [199] + [200] * 20)
    assert ppo._solved(broken, 10) == 40


def test_an_agent_learns():
    learned = ppo.Agent(ppo.Recipe(batch_size=8), np.random.default_rng(2)).learn(1000)
    assert 20 < learned.episodes < 600
    assert learned.steps > 20 * 200


def test_without_learning_all_episodes_are_used():
    recipe = ppo.Recipe(batch_size=32, learning_rate=1e-7)
    found = [ppo.Agent(recipe, np.random.default_rng(0)).learn(100) for _ in range(2)]
    assert found[0].episodes == 100
    assert found[0] == found[1]


@pytest.mark.parametrize("changes", [{"baseline_mode": "network"}, {"optimizer_type": "rmsprop"},
                                     {"baseline_optimizer_type": "rmsprop", "activation_1": "relu"},
                                     {"entropy_regularization": 1.0}])  # fmt: skip
def test_every_option_has_an_effect(changes):
    def weights(**more):
        agent = ppo.Agent(ppo.Recipe(n_units_1=8, n_units_2=8, batch_size=10, **more), np.random.default_rng(0))
        agent.learn(40)
        return agent._policy.flat

    plain, other = weights(), weights(**changes)
    assert not np.array_equal(plain, other)
    assert np.isfinite(other).all()


# -- the benchmark --


def test_spaces_are_the_published_ones():
    b = bench.load("cartpole/reduced")
    assert b.fidelity == Fidelity("budget", 1, 9)
    assert b.trains
    assert dict(b.space.default()) == {
        "n_units_1": 64, "n_units_2": 64, "batch_size": 64, "learning_rate": 1e-3, "discount": 0.99,
        "likelihood_ratio_clipping": 0.2, "entropy_regularization": 0.01,
    }  # fmt: skip
    assert b.bounds == {"episodes": (20.0, 3000.0)}
    full = bench.load("cartpole/full").space
    assert len(full) == 16
    assert full["n_units_1"].high == 64
    assert full["baseline_n_units_1"].high == 128
    assert "entropy_regularization" not in full
    with pytest.raises(ArgumentError, match="has no task 'half'"):
        bench.load("cartpole/half")


@pytest.mark.parametrize("kind", ["reduced", "full"])
def test_battery(kind):
    b = Cartpole(kind, most=20)
    small = {**b.space.default(), **QUICK, "baseline_n_units_1": 8, "baseline_mode": "network"}
    check_benchmark(b, configs=[{name: value for name, value in small.items() if name in b.space}])


def test_repeated_calls_answer_alike():
    """HPOBench keeps what one call sets for the next: its dictionary of defaults is changed."""
    b = Cartpole("reduced", most=24)
    before = b.evaluate(QUICK, resource=1, seed=5)
    wide = Cartpole("full", most=24)
    config = {name: value for name, value in {**wide.space.default(), **QUICK}.items() if name in wide.space}
    wide.evaluate({**config, "optimizer_type": "rmsprop", "baseline_n_units_1": 8}, resource=1)
    b.evaluate({**QUICK, "n_units_1": 16, "batch_size": 8}, resource=1)
    assert b.evaluate(QUICK, resource=1, seed=5) == before
    assert Cartpole("reduced", most=24).evaluate(QUICK, resource=1, seed=5) == before


def test_a_budget_adds_agents_to_those_of_a_lower_one():
    b = Cartpole("reduced", most=24)
    curve = dict(b.curve(QUICK, 3, seed=1))
    agents = curve[3].info["episodes"][0]
    assert curve[2].info["episodes"][0] == agents[:2]
    assert curve[3].metrics["episodes"] == pytest.approx(np.mean(agents))
    assert 0 < curve[1].seconds < curve[2].seconds < curve[3].seconds
    assert b.evaluate(QUICK, resource=3, seed=1) == curve[3]


def test_test_agents_are_others(monkeypatch):
    b, numbers = Cartpole("reduced", most=24), []

    def train(self, recipe, seed, agent):
        numbers.append(agent)
        return ppo.Learned(24, 1, 1, 1)

    monkeypatch.setattr(Cartpole, "_train", train)
    b.evaluate(QUICK, resource=2)
    b.evaluate_test(QUICK, resource=2)
    assert numbers == [0, 1, 9, 10]


@pytest.mark.slow
def test_a_good_configuration_solves_it_soon_and_a_blind_one_never():
    b = bench.load("cartpole/reduced")
    good = {**b.space.default(), "batch_size": 8}
    assert b.evaluate(good, resource=3).metrics["episodes"] < 1000
    assert b.evaluate({**good, "discount": 0.0}, resource=1).metrics["episodes"] == 3000
