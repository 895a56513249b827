"""Features learnt from earlier tasks, the most important first: a small network trained with nested dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.models.bayes_linear import BETA_BOUNDS

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Places = NDArray[np.intp]

UNITS = 50  # features: as in the public implementations of adaptive Bayesian linear regression
HIDDEN = (50, 50, 50)
RATIO = 0.93  # of the probabilities of successive truncations: the gradient of unit j is scaled by RATIO^j
STEPS = 1000  # of Adam
RATE, LAST_RATE = 5e-3, 5e-5  # cosine between them
DECAY = 1e-4  # of matrices, a step in units of the rate
TASKS, ROWS = 16, 64  # in a step
HELD_OUT = 0.1  # share of tasks that decide when to stop; none of fewer than ten
LOOK = 50  # steps between looks at them
LOOKED_AT = (3.0, 10.0, 100.0, 1000.0)  # precisions of the noise
MIDDLE, SPREAD = 0.5, 12**-0.5  # mean and standard deviation of a uniform column
FIRST_NOISE, PACE, NEAR = 0.3, 0.2, 0.3  # of the noise at each truncation: see `_Noise`
RIDGE = 1e-4  # of shared heads
DROPOUTS = ("nested", "plain", "none")
LOSSES = ("evidence", "shared")

Task = tuple[Array, Array]  # (n, p) features and (n,) standardised values


@dataclass(frozen=True)
class Basis:
    """A network: phi(x) = tanh(...) V + c, its outputs scaled to mean square 1 on what it was trained on.

    Args:
        weights: Matrix and bias of each layer.
        variances: (D,) prior variances of the weights of tasks in training.
        steps: After how many it was taken.
    """

    weights: tuple[Floats, ...]
    variances: Array
    steps: int

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.variances)

    def __call__(self, X: Array) -> Array:
        """Features, in double precision; (n, p) -> (n, D)."""
        return np.asarray(_forward(self.weights, _scaled(X, self.weights[0].dtype))[-1], dtype=float)


def _scaled(X: Array, kind: np.dtype) -> Floats:
    return ((X - MIDDLE) / SPREAD).astype(kind)


def _forward(weights: Sequence[Floats], X: Floats) -> list[Floats]:
    """What goes into each layer, and what comes out of the last."""
    layers = [X]
    last = len(weights) // 2 - 1
    for place in range(last + 1):
        found = layers[-1] @ weights[2 * place]
        found += weights[2 * place + 1]
        layers.append(np.tanh(found, out=found) if place < last else found)
    return layers


def _backward(weights: Sequence[Floats], layers: list[Floats], back: Floats) -> list[Floats]:
    """Gradients of all weights from that of the outputs."""
    found: list[Floats] = []
    for place in range(len(weights) // 2 - 1, -1, -1):
        found[:0] = [layers[place].T @ back, back.sum(axis=0)]
        if place:
            back = (back @ weights[2 * place].T) * (1.0 - layers[place] ** 2)
    return found


def _first(sizes: Sequence[int], nested: bool, kind: type, rng: np.random.Generator) -> list[Floats]:
    """Weights to start from; nested outputs are the smaller the later they come."""
    found: list[Floats] = []
    for fan, out in pairwise(sizes):
        found += [rng.standard_normal((fan, out)) / max(fan, 1) ** 0.5, np.zeros(out)]
    found[-2] *= np.sqrt((1.0 - RATIO) * RATIO ** np.arange(sizes[-1]) if nested else 1.0 / sizes[-1])
    return [one.astype(kind) for one in found]


class _Noise:
    """Variance of the noise at each number of features, a running mean in the logarithm shared between near numbers."""

    def __init__(self, units: int) -> None:
        self.log = np.full(units, math.log(FIRST_NOISE))
        self._place = np.log(np.arange(1, units + 1))

    def at(self, kept: int) -> float:
        """Precision with so many features."""
        return min(max(math.exp(-self.log[kept - 1]), BETA_BOUNDS[0]), MOST_SURE)

    def learn(self, kept: int, variance: float) -> None:
        near = PACE * np.exp(-np.abs(self._place - self._place[kept - 1]) / NEAR)
        self.log += near * (math.log(max(variance, 1e-12)) - self.log)


#: Largest precision of the noise in training: a network that may explain all of two tasks explains nothing of a third.
MOST_SURE = 1e3


@dataclass(frozen=True)
class Evidence:
    """Negative logarithm of the evidence of each task, and slopes of their mean; see `evidence_loss`."""

    values: Array
    by_features: Array
    by_centre: Array
    noise: float


def evidence_loss(P: Array, y: Array, counts: Array, beta: float, centre: Array) -> Evidence:
    """Mean over tasks of -log p(y) / N with weights w ~ N(centre, 1) and noise of precision beta.

    With S = (1 + beta P'P)^-1, m = beta S P'r, r = y - P centre and c = beta (r - P m) the gradient by P is
    beta P S - c (m + centre)': the weights are integrated out, so none is trained.

    Args:
        P: (T, n, b) features, rows beyond a task's count zero.
        y: (T, n) values, likewise.
        counts: (T,) N of each task.
        beta: Precision of the noise.
        centre: (b,) prior mean.

    Source: Perrone et al. 2018, the sum of evidences; here with a mean, on the first b features.
    Cost: O(T (n b^2 + b^3)).
    """
    tasks, _, b = P.shape
    turned = P.transpose(0, 2, 1)
    r = y - P @ centre
    H = beta * (turned @ P)
    H[:, np.arange(b), np.arange(b)] += 1.0
    S = np.linalg.inv(H)
    m = beta * (S @ (turned @ r[..., None]))[..., 0]
    rest = r - (P @ m[..., None])[..., 0]
    c = beta * rest
    squares = (rest * rest).sum(axis=1)
    value = 0.5 * (beta * squares + (m * m).sum(axis=1) + np.linalg.slogdet(H)[1] - counts * math.log(beta)) / counts
    share = 1.0 / (counts * tasks)
    slope = beta * (P @ S) - c[..., None] * (m + centre)[:, None, :]
    by_centre = -((turned @ c[..., None])[..., 0] * share[:, None]).sum(axis=0)
    left = np.maximum(counts - (b - np.trace(S, axis1=1, axis2=2)), 1e-3)
    variance = np.exp(np.log(np.maximum(squares / left, 1e-12)).mean())
    return Evidence(value, slope * share[:, None, None], by_centre, float(variance))


def shared_loss(P: Array, y: Array, counts: Array, heads: Array) -> tuple[float, Array, Array]:
    """Mean over tasks of the squared error of heads that are trained; by features, by heads.

    Args:
        P: (T, n, b) features.
        y: (T, n) values.
        counts: (T,) N of each task.
        heads: (T, b) weights.
    """
    rest = y - (P @ heads[..., None])[..., 0]
    share = 1.0 / (counts * len(counts))
    value = float(((rest**2).sum(axis=1) * share).sum()) + RIDGE * float((heads**2).sum())
    back = -2.0 * rest * share[:, None]
    by_heads = (P.transpose(0, 2, 1) @ back[..., None])[..., 0] + 2.0 * RIDGE * heads
    return value, back[..., None] * heads[:, None, :], by_heads


class _Adam:
    """Steps of Adam, in place; matrices decay."""

    def __init__(self, parameters: list[Floats]) -> None:
        self._parameters = parameters
        self._mean = [np.zeros_like(one) for one in parameters]
        self._square = [np.zeros_like(one) for one in parameters]
        self._t = 0

    def step(self, slopes: Sequence[Floats], rate: float) -> None:
        self._t += 1
        ahead, wide = 1.0 - 0.9**self._t, 1.0 - 0.999**self._t
        for one, slope, mean, square in zip(self._parameters, slopes, self._mean, self._square, strict=True):
            mean += 0.1 * (slope - mean)
            square += 0.001 * (slope * slope - square)
            if one.ndim == 2:
                one *= 1.0 - rate * DECAY
            one -= (rate / ahead) * mean / (np.sqrt(square / wide) + 1e-8)


class _Batches:
    """Some tasks and some rows of each, padded to one length."""

    def __init__(self, tasks: Sequence[Task], kind: np.dtype, rng: np.random.Generator) -> None:
        self._X = [_scaled(X, kind) for X, _ in tasks]
        self._y = [y for _, y in tasks]
        self._rows = [rng.permutation(len(y)) for y in self._y]
        self._rng = rng
        self.width = min(ROWS, max(len(y) for y in self._y))

    def __len__(self) -> int:
        return len(self._y)

    def draw(self) -> tuple[Places, Floats, Array, Array]:
        """Tasks (t,), inputs (t, width, p), values (t, width), counts (t,)."""
        t = len(self._y)
        chosen = np.arange(t) if t <= TASKS else np.sort(self._rng.choice(t, TASKS, replace=False))
        return chosen, *self.take(chosen, self._rng.random(len(chosen)))

    def take(self, chosen: Places, starts: Array) -> tuple[Floats, Array, Array]:
        """Rows of tasks in their shuffled order, from a start in [0, 1) on, around the end."""
        X = np.zeros((len(chosen), self.width, self._X[0].shape[1]), dtype=self._X[0].dtype)
        y, counts = np.zeros((len(chosen), self.width)), np.zeros(len(chosen))
        for i, (task, start) in enumerate(zip(chosen, starts, strict=True)):
            n = len(self._y[task])
            some = self._rows[task]
            if n > self.width:
                some = some[(int(start * n) + np.arange(self.width)) % n]
            X[i, : len(some)], y[i, : len(some)], counts[i] = self._X[task][some], self._y[task][some], len(some)
        return X, y, counts


def learn(
    tasks: Sequence[Task],
    rng: np.random.Generator,
    *,
    units: int = UNITS,
    hidden: Sequence[int] = HIDDEN,
    dropout: str = "nested",
    loss: str = "evidence",
    centred: bool = True,
    steps: int = STEPS,
    rate: float = RATE,
    kind: type = np.float32,
    start: Basis | None = None,
) -> tuple[Basis, Places]:
    """Train the features.

    In every step a number b is drawn and the first b features alone are used, so that early ones must serve most tasks
    and late ones refine. Tasks are drawn evenly, whatever their size. Of ten tasks and more a tenth is held out, and
    the weights are taken that were best on these.

    Args:
        tasks: (n, p) features in [0, 1] and (n,) standardised values of each.
        rng: Decides weights, batches, truncations and which tasks are held out.
        units: Features.
        hidden: Widths of the hidden layers; none: a linear map.
        dropout: "nested", "plain" (each feature is dropped in one step of two) or "none".
        loss: "evidence" (weights of tasks are integrated out) or "shared" (one head a task serves all truncations).
        centred: Whether weights of tasks have a mean of their own ("evidence").
        steps: Of Adam.
        rate: Largest learning rate.
        kind: Precision of the network; heads are in double precision always.
        start: Features to go on from, all tasks then being trained on.

    Returns:
        The features, and which tasks were held out.

    Source: Rippel, Gelbart, Adams 2014 (nested dropout); Perrone et al. 2018 (evidence).
    Differs: weights of tasks are integrated out at each truncation.
    Cost: O(steps * TASKS * ROWS * width^2): about 1.5 s for 30 tasks of 100 points.
    """
    check("dropout", dropout, one_of=DROPOUTS)
    check("loss", loss, one_of=LOSSES)
    aside = round(HELD_OUT * len(tasks)) if len(tasks) >= 10 and start is None else 0
    held = np.sort(rng.permutation(len(tasks))[:aside])
    trained = [task for place, task in enumerate(tasks) if place not in held]
    run = _Training(trained, [tasks[i] for i in held], rng, units=units, hidden=hidden, dropout=dropout, loss=loss,
                    centred=centred, steps=steps, rate=rate, kind=kind)  # fmt: skip
    if start is not None:
        run.go_on_from(start)
    weights, taken = run.go()
    outputs = np.concatenate([_forward(weights, _scaled(X, weights[0].dtype))[-1] for X, _ in tasks])
    size = np.maximum(np.sqrt((outputs.astype(float) ** 2).mean(axis=0)), 1e-6)
    weights[-2] = (weights[-2] / size).astype(kind)
    weights[-1] = (weights[-1] / size).astype(kind)
    return Basis(tuple(weights), size**2, taken), held


class _Training:
    """One training; see `learn`."""

    def __init__(
        self,
        tasks: Sequence[Task],
        held: Sequence[Task],
        rng: np.random.Generator,
        *,
        units: int,
        hidden: Sequence[int],
        dropout: str,
        loss: str,
        centred: bool,
        steps: int,
        rate: float,
        kind: type,
    ) -> None:
        self._rng, self._units, self._dropout, self._steps, self._rate = rng, units, dropout, steps, rate
        self.weights = _first([tasks[0][0].shape[1], *hidden, units], dropout == "nested", kind, rng)
        self.noise = _Noise(units)
        self._shared, self._centred = loss == "shared", centred
        self._batches = _Batches(tasks, self.weights[0].dtype, rng)
        self._held = _Batches(held, self.weights[0].dtype, rng) if held else None
        chances = RATIO ** np.arange(units)
        self._chances = chances / chances.sum()
        self._heads = np.zeros((len(tasks) if self._shared else 1, units))
        if self._shared:
            self._heads += rng.standard_normal(self._heads.shape)

    def go_on_from(self, start: Basis) -> None:
        """Weights of a basis, on the scale that they were trained in."""
        self.weights = [one.copy() for one in start.weights]
        size = np.sqrt(start.variances).astype(self.weights[-1].dtype)
        self.weights[-2] *= size
        self.weights[-1] *= size

    def go(self) -> tuple[list[Floats], int]:
        """All steps; the weights that were best on what is held out, else the last, and their step."""
        adam = _Adam([*self.weights, self._heads])
        best, kept, at = math.inf, self.weights, self._steps
        for step in range(self._steps):
            rate = LAST_RATE + 0.5 * (self._rate - LAST_RATE) * (1.0 + math.cos(math.pi * step / self._steps))
            adam.step(self._slopes(), rate)
            if self._held is not None and (step + 1) % LOOK == 0:
                value = self._look()
                if value < best:
                    best, kept, at = value, [one.copy() for one in self.weights], step + 1
        return kept, at

    def _kept(self) -> Places:
        """The features of a step."""
        if self._dropout == "nested":
            return np.arange(1 + int(self._rng.choice(self._units, p=self._chances)))
        some = np.arange(self._units)
        if self._dropout == "plain":
            some = some[self._rng.random(self._units) < 0.5]
        return some if len(some) else np.arange(1)

    def _slopes(self) -> list[Floats]:
        """Gradients of one step."""
        chosen, X, y, counts = self._batches.draw()
        kept = self._kept()
        layers = _forward(self.weights, X.reshape(-1, X.shape[-1]))
        P, mask = self._features(layers[-1], counts, y.shape, kept)
        by_heads = np.zeros_like(self._heads)
        if self._shared:
            _, slope, by = shared_loss(P, y, counts, self._heads[np.ix_(chosen, kept)])
            by_heads[np.ix_(chosen, kept)] = by
        else:
            found = evidence_loss(P, y, counts, self.noise.at(len(kept)), self._heads[0, kept])
            self.noise.learn(len(kept), found.noise)
            slope = found.by_features
            if self._centred:
                by_heads[0, kept] = found.by_centre
        back = np.zeros_like(layers[-1])
        back[:, kept] = (slope * mask).reshape(-1, len(kept))
        return [*_backward(self.weights, layers, back), by_heads]

    def _features(
        self, outputs: Floats, counts: Array, shape: tuple[int, ...], kept: Places
    ) -> tuple[Array, NDArray[np.bool_]]:
        mask = (np.arange(shape[1]) < counts[:, None])[..., None]
        return outputs[:, kept].astype(float).reshape(*shape, len(kept)) * mask, mask

    def _look(self) -> float:
        """Loss of the tasks held out: all features, and some truncations, each task with the noise that suits it."""
        assert self._held is not None
        X, y, counts = self._held.take(np.arange(len(self._held)), np.zeros(len(self._held)))
        outputs = _forward(self.weights, X.reshape(-1, X.shape[-1]))[-1]
        some = sorted({min(b, self._units) for b in (2, 8, self._units)})
        found = 0.0
        for b in some:
            P, _ = self._features(outputs, counts, y.shape, np.arange(b))
            each = [evidence_loss(P, y, counts, beta, self._heads[0, :b]).values for beta in LOOKED_AT]
            found += float(np.min(each, axis=0).mean())
        return found
