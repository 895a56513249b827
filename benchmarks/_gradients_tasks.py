"""Problems of benchmarks/gradients.py: networks on scikit-learn's own data, split three ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn import datasets

import luthier as lu
from luthier import gradients as lg

SETS = ("digits", "breast_cancer", "diabetes")
KNOTS, LAYERS, HIDDEN, STEPS, ROWS = 4, "abc", 16, 60, 32
SPACE = lu.Space(
    **{f"decay_{layer}": lu.Float(1e-6, 1.0, log=True, default=1e-4) for layer in LAYERS},
    **{f"rate_{knot}": lu.Float(1e-3, 1.0, log=True, default=0.03) for knot in range(KNOTS)},
)


@dataclass(frozen=True)
class Data:
    """Standardised rows, split into train, validation and test."""

    X: list[torch.Tensor]
    y: list[torch.Tensor]
    classes: int  # 0: a regression

    def loss(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.classes:
            return torch.nn.functional.cross_entropy(out, y)
        return ((out[:, 0] - y) ** 2).mean()


def load(name: str, seed: int, shares: tuple[float, float] = (0.5, 0.25)) -> Data:
    raw = getattr(datasets, f"load_{name}")()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(raw.target))
    first = round(shares[0] * len(order))
    parts = np.split(order, [first, first + round(shares[1] * len(order))])
    X, y = raw.data, raw.target
    middle, spread = X[parts[0]].mean(0), X[parts[0]].std(0) + 1e-3 * (X.std() + 1e-9)
    classes = 0 if name == "diabetes" else int(y.max()) + 1
    if not classes:
        y = (y - y[parts[0]].mean()) / y[parts[0]].std()
    kind = torch.float32 if not classes else torch.int64
    return Data(
        [torch.tensor((X[rows] - middle) / spread, dtype=torch.float32) for rows in parts],
        [torch.tensor(y[rows], dtype=kind) for rows in parts],
        classes,
    )


def network(params: Any, X: torch.Tensor) -> torch.Tensor:
    X = torch.tanh(X @ params["a"] + params["a0"])
    X = torch.tanh(X @ params["b"] + params["b0"])
    return X @ params["c"] + params["c0"]


def weights(inputs: int, outputs: int, seed: int, hidden: int = HIDDEN) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for layer, (rows, columns) in zip(LAYERS, ((inputs, hidden), (hidden, hidden), (hidden, outputs)), strict=True):
        found[layer] = torch.randn(rows, columns, generator=draw) / rows**0.5
        found[f"{layer}0"] = torch.zeros(columns)
    return found


def schedule(hyper: Any, t: int) -> torch.Tensor:
    """The learning rate of step t: geometric between the knots."""
    place = (KNOTS - 1) * t / (STEPS - 1)
    low = min(int(place), KNOTS - 2)
    share = place - low
    return hyper[f"rate_{low}"] ** (1 - share) * hyper[f"rate_{low + 1}"] ** share


def decays_and_schedule(name: str, seed: int) -> tuple[lg.Bilevel, Callable[[Any, Any], dict[str, float]]]:
    """A weight decay for each layer and a learning rate schedule of four knots; and the loss on test rows."""
    data = load(name, seed)
    draw = np.random.default_rng([seed, 1])
    rows = [torch.from_numpy(draw.integers(0, len(data.y[0]), ROWS)) for _ in range(STEPS + 1)]

    def train(p: Any, h: Any, batch: Any) -> torch.Tensor:
        loss = data.loss(network(p, data.X[0][batch]), data.y[0][batch])
        return loss + sum(h[f"decay_{layer}"] * (p[layer] ** 2).sum() for layer in LAYERS)

    def measure(p: Any, h: Any) -> dict[str, float]:
        return {"test_loss": float(data.loss(network(p, data.X[2]), data.y[2]))}

    problem = lg.Bilevel(
        train=train,
        validate=lambda p, h: data.loss(network(p, data.X[1]), data.y[1]),
        start=weights(data.X[0].shape[1], max(1, data.classes), seed),
        optimiser=lg.momentum(schedule, 0.9),
        steps=STEPS,
        batches=lambda t: rows[t],
    )
    return problem, measure


def half(name: str, seed: int, *, other: bool = False) -> Callable[[Any, Any, int], torch.Tensor]:
    """The validation loss on half of its rows, drawn anew for each outer step; `other`: on the other half."""
    data = load(name, seed)
    middle = len(data.y[1]) // 2

    def loss(p: Any, h: Any, step: int) -> torch.Tensor:
        order = torch.randperm(len(data.y[1]), generator=torch.Generator().manual_seed(step))
        rows = order[middle:] if other else order[:middle]
        return data.loss(network(p, data.X[1][rows]), data.y[1][rows])

    return loss


def noisy_digits(seed: int, wrong: float, rows: int) -> tuple[Data, torch.Tensor, torch.Tensor]:
    """Digits with wrong training labels: data, the labels given, and which of them are wrong."""
    raw = load("digits", seed, shares=(rows / 1797, rows / 1797))
    draw = np.random.default_rng([seed, 2])
    true = raw.y[0].numpy()
    bad = draw.permutation(len(true)) < round(wrong * len(true))
    given = np.where(bad, (true + draw.integers(1, 10, len(true))) % 10, true)
    return raw, torch.from_numpy(given), torch.from_numpy(bad)


def weighed(data: Data, labels: torch.Tensor, *, steps: int, optimiser: lg.Optimiser, ridge: float) -> lg.Bilevel:
    """Softmax regression with a weight for each training example."""
    inputs = data.X[0].shape[1]

    def train(p: Any, h: Any, batch: Any) -> torch.Tensor:
        losses = torch.nn.functional.cross_entropy(data.X[0] @ p["w"] + p["b"], labels, reduction="none")
        return (h["weight"] * losses).mean() + ridge * (p["w"] ** 2).sum()

    return lg.Bilevel(
        train=train,
        validate=lambda p, h: torch.nn.functional.cross_entropy(data.X[1] @ p["w"] + p["b"], data.y[1]),
        start={"w": torch.zeros(inputs, 10), "b": torch.zeros(10)},
        optimiser=optimiser,
        steps=steps,
    )


def accuracy(p: Any, X: torch.Tensor, y: torch.Tensor) -> float:
    return float(((X @ p["w"] + p["b"]).argmax(1) == y).float().mean())
