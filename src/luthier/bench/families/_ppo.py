"""Proximal policy optimisation in plain numpy: small networks, their optimisers, an agent that learns to balance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.bench.families import _poles as poles

Array = NDArray[np.float32]

WINDOW = 20  # episodes that must all reach the end
_SUBSAMPLE = 0.1  # part of the steps that one step of the policy's optimiser sees, as in TensorForce
_NORMAL = 0.1  # largest standard deviation of initial weights


@dataclass(frozen=True)
class Recipe:
    """How an agent is built and trained; the defaults are HPOBench's."""

    n_units_1: int = 64
    n_units_2: int = 64
    batch_size: int = 64
    learning_rate: float = 1e-3
    discount: float = 0.99
    likelihood_ratio_clipping: float = 0.2
    entropy_regularization: float = 0.01
    activation_1: str = "tanh"
    activation_2: str = "tanh"
    optimizer_type: str = "adam"
    optimization_steps: int = 10
    baseline_mode: str = "states"
    baseline_n_units_1: int = 64
    baseline_n_units_2: int = 64
    baseline_learning_rate: float = 1e-3
    baseline_optimization_steps: int = 10
    baseline_optimizer_type: str = "adam"


class Learned(NamedTuple):
    """How an agent's training went.

    Args:
        episodes: Until the last twenty all reached the end, or the most allowed.
        steps: Played in all.
        rounds: Times that the policy was asked, for all running episodes at once.
        updates: Times that it learned from a batch of episodes.
    """

    episodes: int
    steps: int
    rounds: int
    updates: int


class Net:
    """Fully connected layers, the last one linear.

    Args:
        sizes: Inputs, units of each layer, outputs.
        activations: "tanh" or "relu" of each hidden layer.
        rng: Decides the initial weights.
    """

    def __init__(self, sizes: Sequence[int], activations: Sequence[str], rng: np.random.Generator) -> None:
        self._relu = [name == "relu" for name in activations]
        count = sum((a + 1) * b for a, b in pairwise(sizes))
        self.flat, self.slope = np.zeros(count, np.float32), np.zeros(count, np.float32)
        self._layers: list[tuple[Array, Array, Array, Array]] = []  # weights, biases and the slopes of both
        at = 0
        for a, b in pairwise(sizes):
            middle, end = at + a * b, at + a * b + b
            weights, biases = self.flat[at:middle].reshape(a, b), self.flat[middle:end]
            slopes = self.slope[at:middle].reshape(a, b), self.slope[middle:end]
            weights[:] = rng.standard_normal((a, b), np.float32) * min(_NORMAL, math.sqrt(2 / (a + b)))
            self._layers.append((weights, biases, *slopes))
            at = end

    def forward(self, x: Array) -> list[Array]:
        """Inputs and the outputs of every layer; (n, inputs) -> (n, units) each."""
        outputs = [x]
        last = len(self._layers) - 1
        for i, (weights, biases, _, _) in enumerate(self._layers):
            z = outputs[-1] @ weights
            z += biases
            if i < last:
                z = np.maximum(z, 0, out=z) if self._relu[i] else np.tanh(z, out=z)
            outputs.append(z)
        return outputs

    def backward(self, outputs: Sequence[Array], delta: Array) -> None:
        """Slopes of a loss for all weights into `slope`, from its slope for the outputs (n, outputs)."""
        for i in range(len(self._layers) - 1, -1, -1):
            weights, _, g_weights, g_biases = self._layers[i]
            np.matmul(outputs[i].T, delta, out=g_weights)
            delta.sum(axis=0, out=g_biases)
            if i:
                a = outputs[i]
                delta = (delta @ weights.T) * ((a > 0) if self._relu[i - 1] else 1 - a * a)


class Optimiser:
    """Adam or RMSProp, in TensorFlow's defaults.

    Args:
        kind: "adam" or "rmsprop".
        rate: Learning rate.
        net: What it changes.
    """

    def __init__(self, kind: str, rate: float, net: Net) -> None:
        self._adam, self._rate, self._net = kind == "adam", rate, net
        self._first = np.zeros_like(net.flat)
        self._second = np.zeros_like(net.flat) if self._adam else np.ones_like(net.flat)
        self._steps = 0

    def step(self) -> None:
        """One step down the slope that is in the network."""
        slope, second = self._net.slope, self._second
        self._steps += 1
        if self._adam:
            a, b = np.float32(0.9), np.float32(0.999)
            self._first *= a
            self._first += (1 - a) * slope
            second *= b
            second += (1 - b) * slope * slope
            rate = self._rate * math.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
            self._net.flat -= np.float32(rate) * self._first / (np.sqrt(second) + np.float32(1e-8))
        else:
            second *= np.float32(0.9)
            second += np.float32(0.1) * slope * slope
            self._net.flat -= np.float32(self._rate) * slope / np.sqrt(second + np.float32(1e-10))


class Agent:
    """A policy with a baseline.

    Args:
        recipe: How it is built and trained.
        rng: Decides weights, starts, actions and which steps are looked at.

    Source: Schulman, Wolski, Dhariwal, Radford, Klimov 2017, with the settings that HPOBench 0.0.10 gives TensorForce
        0.4.3: updates after `batch_size` episodes, each step of the policy on a tenth of their steps, advantages from
        whole returns without normalisation, the baseline on all steps.
    Differs: the entropy counts with the weight that the configuration says, which HPOBench never hands on. Ratios are
        clipped at 1 - c below. The episodes of a batch are played side by side, so that more may be played than count.
        Initial weights and the baseline's relu layers are those of TensorForce from memory.
    Cost: 0.5 to 5 s for 3000 episodes.
    """

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self._recipe, self._rng = recipe, rng
        r = recipe
        self._policy = Net((4, r.n_units_1, r.n_units_2, 2), (r.activation_1, r.activation_2), rng)
        inputs = 4 if r.baseline_mode == "states" else r.n_units_2
        # the hidden layers of TensorForce's "mlp" baseline are relu
        sizes = (inputs, r.baseline_n_units_1, r.baseline_n_units_2, 1)
        self._baseline = Net(sizes, ("relu", "relu"), rng)
        self._optimiser = Optimiser(r.optimizer_type, r.learning_rate, self._policy)
        self._judge = Optimiser(r.baseline_optimizer_type, r.baseline_learning_rate, self._baseline)

    def learn(self, most: int) -> Learned:
        """Train until the last twenty episodes all reach the end.

        Args:
            most: Episodes at most.
        """
        lengths = np.zeros(0, dtype=np.int64)
        steps = rounds = updates = 0
        while len(lengths) < most:
            batch = poles.play(self._act, min(self._recipe.batch_size, most - len(lengths)), self._rng)
            before = len(lengths)
            lengths = np.concatenate([lengths, batch.lengths])
            steps, rounds = steps + len(batch.actions), rounds + batch.rounds
            solved = _solved(lengths, before)
            if solved is not None:
                return Learned(solved, steps, rounds, updates)
            if len(lengths) < most:
                self._update(batch)
                updates += 1
        return Learned(most, steps, rounds, updates)

    def _act(self, states: poles.Array, luck: poles.Array) -> tuple[NDArray[np.int64], Array]:
        logits = self._policy.forward(states.astype(np.float32))[-1]
        right = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        actions = (luck < right).astype(np.int64)
        return actions, np.where(actions == 1, right, 1 - right)

    def _update(self, batch: poles.Episodes) -> None:
        states = batch.states.astype(np.float32)
        gains = poles.returns(batch.lengths, self._recipe.discount)
        outputs = self._policy.forward(states)
        inputs = states if self._recipe.baseline_mode == "states" else outputs[-2]
        advantages = gains - self._baseline.forward(inputs)[-1][:, 0]
        size = max(1, int(_SUBSAMPLE * len(states)))
        for _ in range(self._recipe.optimization_steps):
            rows = self._rng.integers(len(states), size=size)
            self._differentiate(states[rows], batch.actions[rows], batch.chances[rows], advantages[rows])
            self._optimiser.step()
        if self._recipe.baseline_mode == "network":
            inputs = self._policy.forward(states)[-2]
        for _ in range(self._recipe.baseline_optimization_steps):
            found = self._baseline.forward(inputs)
            delta = (found[-1] - gains[:, None]) / np.float32(len(gains))
            self._baseline.backward(found, delta)
            self._judge.step()

    def _differentiate(self, states: Array, actions: NDArray[np.int64], chances: Array, advantages: Array) -> None:
        """Slope of the clipped loss less the weighted entropy, into the policy."""
        c, n = self._recipe.likelihood_ratio_clipping, np.float32(len(states))
        outputs = self._policy.forward(states)
        logits = outputs[-1] - outputs[-1].max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        p = np.exp(logs)
        ratio = p[np.arange(len(p)), actions] / np.maximum(chances, np.float32(1e-8))
        clipped = np.where(advantages > 0, ratio > 1 + c, ratio < 1 - c)
        pull = np.where(clipped, 0, ratio * advantages) / n
        delta = pull[:, None] * p
        delta[np.arange(len(p)), actions] -= pull
        entropy = -(p * logs).sum(axis=1, keepdims=True)
        delta += np.float32(self._recipe.entropy_regularization) * p * (logs + entropy) / n
        self._policy.backward(outputs, delta.astype(np.float32))


def _solved(lengths: NDArray[np.int64], before: int) -> int | None:
    """Number of the first episode after `before` that ends twenty full ones, if there is one."""
    full = np.concatenate([[0], np.cumsum(lengths == poles.LONGEST)])
    for last in range(max(before + 1, WINDOW), len(lengths) + 1):
        if full[last] - full[last - WINDOW] == WINDOW:
            return last
    return None
