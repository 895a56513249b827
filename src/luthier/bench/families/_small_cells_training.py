"""Trains small cells for the stand-ins of nb101 and nb1shot1, and writes their file. Needs the extra `torch`.

    python -m luthier.bench.families._small_cells_training FOLDER

trains every cell that `drawn` names, three networks each, with two steps for each of NAS-Bench-101's epochs, and fits
the forests that `_small_cells` answers from. A finished cell goes to FOLDER/cells.jsonl at once, so a run that was
stopped goes on where it was. Some three minutes of one processor.

A network is NAS-Bench-101's in small: a convolution with stride 2 from 8 x 8 pixels to 8 channels of 4 x 4, one cell
with the original's rules for channels and sums, the mean over pixels, and a linear layer. Training is stochastic
gradient descent with Nesterov's momentum, 64 images a step, and half a cosine of learning rates for each budget of its
own, on the training rows of scikit-learn's digits alone; the original has nine cells, RMSProp and CIFAR-10.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, count, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import need
from luthier.base.seeds import generator
from luthier.bench._sets import Data, Part, load
from luthier.bench.families import nb1shot1, nb101
from luthier.bench.families._cells import (
    CONV3,
    EDGES,
    OPERATIONS,
    POOL,
    VERTICES,
    Cell,
    Matrix,
    fingerprint,
    matrix,
    prune,
    valid,
)
from luthier.bench.families._small_cells import (
    BUDGETS,
    CHANNELS,
    PARTS,
    REPETITIONS,
    STEPS,
    SmallCells,
    channels,
    features,
    fit,
    write,
)

BATCH, RATE, MOMENTUM, DECAY = 64, 0.1, 0.9, 1e-4
_PIXELS, _CLASSES = 4, 10
_LAG = 50  # steps after which a running mean has forgotten its start: 0.9 to the 50th is 0.005
CELLS = 80
_LARGEST_COMPLETE = 4  # vertices: modules of up to four are drawn from, each once
_LEAST_DRAWN = 6  # vertices that count, of the draws from nb101: the good cells are large, and few configurations are
_DRAW = 4  # which decision of the bench room the draw is; 0 to 3 are those of the data and of models


def drawn(number: int = CELLS) -> list[Cell]:
    """The cells that are trained, each once: in turn a draw from a space or an encoding, and one of few vertices.

    Args:
        number: How many; the first ones are the same whatever it is.
    """
    found: dict[str, Cell] = {}
    small = iter(_complete())
    for cell in _draws():
        for one in (cell, next(small, cell)):
            if len(found) == number:
                return list(found.values())
            found.setdefault(fingerprint(one), one)
    raise AssertionError("draws do not end")


def _complete() -> list[Cell]:
    found: dict[str, Cell] = {}
    for vertices in range(2, _LARGEST_COMPLETE + 1):
        pairs = [(a, b) for a in range(vertices) for b in range(a + 1, vertices)]
        for there in product((0, 1), repeat=len(pairs)):
            graph = matrix([pair for pair, one in zip(pairs, there, strict=True) if one], vertices)
            for operations in product(OPERATIONS, repeat=vertices - 2):
                cell = prune(graph, operations)
                if cell is not None and len(cell.matrix) == vertices:
                    found.setdefault(fingerprint(cell), cell)
    return list(found.values())


def _draws() -> Iterator[Cell]:
    """Source by source in turn, without an end."""
    for number in count():
        for place, task in enumerate(nb1shot1.TASKS):
            rng = generator(0, "bench", _DRAW, place, number)
            yield nb1shot1.cell(task, nb1shot1.space(task).sample(1, rng)[0])
        for place, (space, graph) in enumerate(nb101.ENCODINGS.values(), len(nb1shot1.TASKS)):
            rng = generator(0, "bench", _DRAW, place, number)
            cell = None
            while cell is None or len(cell.matrix) < _LEAST_DRAWN:
                [config] = space().sample(1, rng)
                cell = valid(graph(config), nb101.operations(config))
            yield cell


# networks ------------------------------------------------------------------------------------------------


def _network(torch: Any, cell: Cell) -> Any:
    """`REPETITIONS` networks of a cell side by side, as one with so many groups of channels: nothing mixes them."""
    nn: Any = torch.nn
    graph, last = cell.matrix, len(cell.matrix) - 1
    wide = channels(cell)

    def block(inputs: int, outputs: int, side: int, stride: int = 1) -> Any:
        many = REPETITIONS * outputs
        weights = nn.Conv2d(REPETITIONS * inputs, many, side, stride, side // 2, groups=REPETITIONS, bias=False)
        return nn.Sequential(weights, nn.BatchNorm2d(many), nn.ReLU(inplace=True))

    def operation(vertex: int, name: str) -> Any:
        return nn.MaxPool2d(3, 1, 1) if name == POOL else block(wide[vertex], wide[vertex], 3 if name == CONV3 else 1)

    def cut(y: Any, width: int) -> Any:
        """The first channels of every group."""
        return y.view(len(y), REPETITIONS, -1, _PIXELS, _PIXELS)[:, :, :width].flatten(1, 2)

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = block(1, CHANNELS, 3, stride=2)
            projected = [v for v in range(1, last + 1) if graph[0][v]]
            self.inputs = nn.ModuleDict({str(v): block(CHANNELS, wide[v], 1) for v in projected})
            self.operations = nn.ModuleList([operation(v, name) for v, name in enumerate(cell.operations, 1)])
            self.head = nn.Conv2d(REPETITIONS * CHANNELS, REPETITIONS * _CLASSES, 1, groups=REPETITIONS)

        def forward(self, x: Any) -> Any:
            """(n, repetitions, 8, 8) -> (n, repetitions, classes)."""
            made = [self.stem(x)]
            for v in range(1, last):
                parts = [cut(made[a], wide[v]) for a in range(1, v) if graph[a][v]]
                made.append(self.operations[v - 1](sum(parts + self.projection(made[0], v))))
            ends = [made[v].view(len(x), REPETITIONS, -1, _PIXELS, _PIXELS) for v in range(1, last) if graph[v][last]]
            joined = [torch.cat(ends, 2).flatten(1, 2)] if ends else []
            means = sum(joined + self.projection(made[0], last)).mean((2, 3), keepdim=True)
            return self.head(means).view(len(x), REPETITIONS, _CLASSES)

        def projection(self, x: Any, vertex: int) -> list[Any]:
            return [self.inputs[str(vertex)](x)] if graph[0][vertex] else []

    return Network()


def train(cell: Cell, budget: int, data: Data) -> tuple[dict[str, list[float]], float]:
    """Train the networks of a cell.

    Args:
        cell: The pruned cell.
        budget: In the original's epochs.
        data: scikit-learn's digits.

    Returns:
        Part to the accuracy of each repetition, and the CPU seconds of one network for each of the original's epochs.
    """
    torch = need("torch", what="training small cells", extra="torch")
    with torch.random.fork_rng(devices=[]):  # torch draws first weights from its global generator
        torch.manual_seed(0)
        network = _network(torch, cell)
    images, labels = tensors(torch, data.train)
    steps = STEPS * budget
    descent = torch.optim.SGD(
        network.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY, foreach=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    began = time.process_time()
    for rows in batches(torch, len(labels), steps):
        descent.zero_grad()
        guesses = network(images[rows, 0]).flatten(0, 1)
        # the sum over repetitions of mean losses: each network gets the slope that it would get alone
        loss = REPETITIONS * torch.nn.functional.cross_entropy(guesses, labels[rows].flatten())
        loss.backward()
        descent.step()
        schedule.step()
    seconds = (time.process_time() - began) / budget / REPETITIONS
    if steps < _LAG:
        settle(torch, network, images)
    return accuracy(torch, network, data), seconds


def batches(torch: Any, rows: int, steps: int) -> Iterator[Any]:
    """(64, repetitions) row numbers a step: every repetition passes over all rows in orders of its own."""
    order = torch.Generator().manual_seed(0)
    passes = [
        torch.stack([torch.randperm(rows, generator=order) for _ in range(REPETITIONS)], 1)
        for _ in range(math.ceil(steps * BATCH / rows))
    ]
    yield from torch.cat(passes)[: steps * BATCH].split(BATCH)


def settle(torch: Any, network: Any, images: Any) -> None:
    """Take means and variances of the normalisations from all training rows: running ones lag behind few steps."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over what follows, here one batch
    network.train()
    with torch.no_grad():
        network(images.expand(-1, REPETITIONS, -1, -1))


def accuracy(torch: Any, network: Any, data: Data) -> dict[str, list[float]]:
    """Part to the share of images that each repetition names right."""
    network.eval()
    found = {}
    for part in PARTS:
        images, labels = tensors(torch, getattr(data, part))
        with torch.no_grad():
            guesses = network(images.expand(-1, REPETITIONS, -1, -1)).argmax(2)
        found[part] = (guesses == labels[:, None]).double().mean(0).tolist()
    return found


def tensors(torch: Any, part: Part) -> tuple[Any, Any]:
    """Images (n, 1, 8, 8) and their classes."""
    return torch.from_numpy(part.X.reshape(-1, 1, 8, 8)), torch.from_numpy(part.y)


# the whole run -------------------------------------------------------------------------------------------


def run(directory: str | Path, cells: Sequence[Cell] | None = None) -> Path:
    """Train what is not in the journal yet, then fit and write the file.

    Args:
        directory: Where the journal and the file are kept.
        cells: What to train; None: `drawn()`.

    Returns:
        The file, `nb101_small.npz`.
    """
    need("torch", what="training small cells", extra="torch").set_num_threads(1)
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    journal, data = place / "cells.jsonl", load("digits", what="small cells")
    chosen = drawn() if cells is None else list(cells)
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    known = {entry["hash"]: entry for entry in map(json.loads, lines)}
    with journal.open("a", encoding="utf-8") as file:
        for cell in chosen:
            name = fingerprint(cell)
            if name not in known:
                known[name] = {"hash": name, **_trained(cell, data)}
                file.write(json.dumps(known[name]) + "\n")
                file.flush()
    entries = [known[fingerprint(cell)] for cell in chosen]
    path = place / "nb101_small.npz"
    accuracies = np.array([entry["accuracies"] for entry in entries])
    fit(path, chosen, accuracies, np.array([entry["seconds"] for entry in entries]))
    add_optima(path)
    return path


def add_optima(path: Path) -> None:
    """Put the exact optima of a fitted file into it, by asking about every cell.

    Cost: a minute or two; most of it goes into naming the graphs of seven vertices, and looking at them.
    """
    table = SmallCells(path)
    spaces = [_rows(nb1shot1.cells(task)) for task in nb1shot1.TASKS]
    best = [min(table.least(rows) for rows in _everything()), *(table.least(rows) for rows in spaces)]
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    write(path, {**arrays, "best": np.array(best)})


def _rows(cells: Iterable[Cell]) -> NDArray[np.float64]:
    return np.array([features(cell) for cell in cells])


def _everything() -> Iterator[NDArray[np.float64]]:
    """Features of all modules of nb101, graph by graph."""
    for vertices in range(2, VERTICES + 1):
        known = set()
        for graph in _graphs(vertices):
            name = fingerprint(Cell(graph, (POOL,) * (vertices - 2)))  # of the graph alone
            if name not in known:
                known.add(name)
                yield _rows(Cell(graph, chosen) for chosen in product(OPERATIONS, repeat=vertices - 2))


def _graphs(vertices: int) -> Iterator[Matrix]:
    """Graphs all of whose vertices count, with at most nine edges."""
    pairs = [(a, b) for a in range(vertices) for b in range(a + 1, vertices)]
    for edges in range(vertices - 1, min(EDGES, len(pairs)) + 1):
        for chosen in combinations(pairs, edges):
            starts, ends = {a for a, _ in chosen}, {b for _, b in chosen}
            if len(starts) == len(ends) == vertices - 1:  # all but the output lead on, all but the input are led to
                yield matrix(chosen, vertices)


def _trained(cell: Cell, data: Data) -> dict[str, Any]:
    """`accuracies` (parts, repetitions, budgets), and the median `seconds` for an epoch of the original."""
    runs = [train(cell, budget, data) for budget in BUDGETS]
    accuracies = [[[found[part][r] for found, _ in runs] for r in range(REPETITIONS)] for part in PARTS]
    return {"accuracies": accuracies, "seconds": float(np.median([seconds for _, seconds in runs]))}


if __name__ == "__main__":
    print(run(sys.argv[1]))
