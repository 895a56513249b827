"""Trains small cells for the stand-in of nasbench201, and writes its file. Needs the extra `torch`.

    python -m luthier.bench.families._small_nb201_training FOLDER

trains every cell that `drawn` names, three networks each, one step for each of NAS-Bench-201's epochs, and fits the
forests that `_small_nb201` answers from. Some four minutes of one processor.

A network is NAS-Bench-201's in small: a convolution with stride 2 from 8 x 8 pixels to 8 channels of 4 x 4, one cell,
the mean over pixels, and a linear layer. Training is stochastic gradient descent with Nesterov's momentum, 64 images a
step, and half a cosine of learning rates over the 200 epochs, on the training rows of scikit-learn's digits alone; the
original has fifteen cells, up to 64 channels, and larger images.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import need
from luthier.base.seeds import generator
from luthier.bench._sets import Data, load
from luthier.bench.families._held_out import agreement, held_out
from luthier.bench.families._nb201 import EDGES, EPOCHS, OPERATIONS
from luthier.bench.families._recorded import Grid
from luthier.bench.families._small_cells_training import accuracy, batches, settle, tensors
from luthier.bench.families._small_nb201 import (
    CHANNELS,
    CLASSES,
    CONV1,
    CONV3,
    ENDS,
    FILE,
    NONE,
    PARTS,
    POOL,
    RECORDED,
    REPETITIONS,
    Cell,
    Forests,
    configuration,
    features,
    plain,
)
from luthier.bench.families._trees import grown

Array = NDArray[np.float64]
CELLS, TREES = 100, 40
RATE = 0.3  # three times the original's, as there are so few steps
MOMENTUM, DECAY = 0.9, 5e-4  # as NAS-Bench-201 has them
_DRAW = 10  # which decision of the bench room the draw is
SHOWN = (4, 12, 50)  # epochs whose agreement with the last one is told


def drawn(count: int = CELLS) -> list[Cell]:
    """The plain cells that are trained, each once: the one in which nothing lives, and random ones."""
    rng, found = generator(0, "bench", _DRAW), {(NONE,) * len(EDGES): None}
    while len(found) < count:
        found.setdefault(plain([OPERATIONS[place] for place in rng.integers(len(OPERATIONS), size=len(EDGES))]))
    return list(found)


def _network(torch: Any, cell: Cell) -> Any:
    """`REPETITIONS` networks of a cell side by side, as one with so many groups of channels: nothing mixes them."""
    nn: Any = torch.nn
    many = REPETITIONS * CHANNELS

    def convolution(inputs: int, side: int, stride: int = 1) -> list[Any]:
        return [nn.Conv2d(inputs, many, side, stride, side // 2, groups=REPETITIONS, bias=False), nn.BatchNorm2d(many)]

    def operation(name: str) -> Any:
        if name == POOL:
            return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        kinds = {CONV1: 1, CONV3: 3}
        return nn.Sequential(nn.ReLU(), *convolution(many, kinds[name])) if name in kinds else nn.Identity()

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(*convolution(REPETITIONS, 3, stride=2))
            self.edges = nn.ModuleList([operation(name) for name in cell])
            self.last = nn.Sequential(nn.BatchNorm2d(many), nn.ReLU())
            self.head = nn.Conv2d(many, REPETITIONS * CLASSES, 1, groups=REPETITIONS)

        def forward(self, x: Any) -> Any:
            """(n, repetitions, 8, 8) -> (n, repetitions, classes)."""
            nodes = [self.stem(x)]
            for node in (1, 2, 3):
                parts = [
                    edge(nodes[start])
                    for edge, name, (start, end) in zip(self.edges, cell, ENDS, strict=True)
                    if end == node and name != NONE
                ]
                nodes.append(sum(parts) if parts else torch.zeros_like(nodes[0]))
            return self.head(self.last(nodes[3]).mean((2, 3), keepdim=True)).view(len(x), REPETITIONS, CLASSES)

    return Network()


def train(cell: Cell, data: Data) -> tuple[Array, float]:
    """Train the networks of a cell.

    Args:
        cell: The plain cell.
        data: scikit-learn's digits.

    Returns:
        (parts, repetitions, recorded) errors in [0, 1], and the CPU seconds of an epoch of one network.
    """
    torch = need("torch", what="training small cells", extra="torch")
    with torch.random.fork_rng(devices=[]):  # torch draws first weights from its global generator
        torch.manual_seed(0)
        network = _network(torch, cell)
    images, labels = tensors(torch, data.train)
    descent = torch.optim.SGD(
        network.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY, foreach=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: 0.5 * (1 + math.cos(math.pi * step / EPOCHS)))
    found, seconds = [], 0.0
    for epoch, rows in enumerate(batches(torch, len(labels), EPOCHS), 1):
        began = time.process_time()
        network.train()
        descent.zero_grad()
        guesses = network(images[rows, 0]).flatten(0, 1)
        # the sum over repetitions of mean losses: each network gets the slope that it would get alone
        (REPETITIONS * torch.nn.functional.cross_entropy(guesses, labels[rows].flatten())).backward()
        descent.step()
        schedule.step()
        seconds += time.process_time() - began
        if epoch in RECORDED:
            found.append(_errors(torch, network, images, data))
    return np.stack(found, axis=2), seconds / EPOCHS / REPETITIONS


def _errors(torch: Any, network: Any, images: Any, data: Data) -> Array:
    """(parts, repetitions) of a network in training, which is left as it is."""
    judged = copy.deepcopy(network)
    settle(torch, judged, images)  # running means and variances lag behind weights that still change
    right = accuracy(torch, judged, data)
    return 1 - np.array([right[part] for part in PARTS])


def run(directory: str | Path, cells: Sequence[Cell] | None = None) -> Path:
    """Train, fit, and write the file of `nasbench201/digits@small`.

    Args:
        directory: Where to.
        cells: Plain cells to train; None: `drawn()`.

    Returns:
        The file.
    """
    need("torch", what="training small cells", extra="torch").set_num_threads(1)
    chosen, data = drawn() if cells is None else list(cells), load("digits", what="small cells")
    trained = [train(cell, data) for cell in chosen]
    path = Path(directory) / FILE
    fit(path, chosen, np.array([one for one, _ in trained]), np.array([one for _, one in trained]))
    return path


def fit(path: Path, cells: Sequence[Cell], errors: Array, seconds: Array) -> None:
    """Write the file.

    Args:
        path: The file.
        cells: n plain cells.
        errors: (n, parts, repetitions, recorded).
        seconds: (n,) of an epoch.
    """
    X, times = np.array([features(cell) for cell in cells]), np.log(seconds).round(3)[:, None]
    values, guide = errors.reshape(len(X), -1), _guide(errors)
    found = {f"error_{part}": a for part, a in grown(X, guide, values, trees=TREES).items()}
    found |= {f"seconds_{part}": a for part, a in grown(X, times[:, 0], times, trees=TREES).items()}
    about = (
        f"luthier's own: {len(X)} cells, {REPETITIONS} networks each, trained on scikit-learn's digits by "
        "luthier.bench.families._small_nb201_training"
    )
    grid = Grid(dict.fromkeys(EDGES, OPERATIONS))
    found |= {
        "trained": np.array(sorted(grid.row(configuration(cell)) for cell in cells)),
        "about": np.array(about),
        "figures": np.array(_figures(X, guide, errors, times)),
    }
    np.savez_compressed(path, best=np.array(np.nan), **found)  # type: ignore[arg-type]
    # written twice: the first file is asked for its optimum
    np.savez_compressed(path, best=np.array(Forests(path).least()), **found)  # type: ignore[arg-type]


def _guide(errors: Array) -> Array:
    """What the trees are to tell apart: (n, recorded) places among the others, as few errors are far from the rest."""
    means = errors[:, :2].mean(axis=(1, 2))
    return np.asarray(means.argsort(axis=0).argsort(axis=0) / len(means))


def _figures(X: Array, guide: Array, errors: Array, times: Array) -> str:
    """What is told of the forests, measured on fifths that were held out."""
    predicted = held_out(X, guide, errors.reshape(len(X), -1), trees=TREES).reshape(errors.shape)
    predicted, true = (100 * one[:, 0].mean(axis=1) for one in (predicted, errors))
    off = np.median(np.abs(predicted - true)[:, -1])
    slow = np.median(np.abs(np.expm1(held_out(X, times[:, 0], times, trees=TREES) - times)))
    low = ", ".join(f"{agreement(true[:, RECORDED.index(epoch)], true[:, -1]):.2f}" for epoch in SHOWN)
    return (
        f"Of cells held out, final errors are off by {off:.2f} in the median and correlate in rank by "
        f"{agreement(predicted[:, -1], true[:, -1]):.2f}, costs are off by {100 * slow:.0f} %. Of those trained, "
        f"errors after {', '.join(map(str, SHOWN))} epochs correlate in rank with the last by {low}."
    )


if __name__ == "__main__":
    print(run(sys.argv[1]))
