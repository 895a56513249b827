"""Trains small networks for the stand-ins of net, and writes their files.

    python -m luthier.bench.families._small_net_training FOLDER [TASK ...]

trains 300 random configurations of ParamNet's reduced space on a data set of scikit-learn, 50 epochs each, and fits the
two forests of `net`. The largest, digits, takes some four minutes of one processor, the others together two.

A network has layers of equal width, is trained by Adam with a learning rate that falls along half a cosine to
`final_lr_fraction_log2`, here the exponent of 2 that its name says, and judged after every epoch. It learns from the
training rows alone. The original has other data sets, networks that grow narrower, and another schedule.

Data as small as these are learnt in seconds. So that budgets are whole seconds as in ParamNet, the clock runs slower:
the measured times are multiplied until four of five configurations finish within the highest budget of 81 seconds.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Configuration
from luthier.base.seeds import generator
from luthier.bench._mlp import Recipe, initial, scores, train_epoch
from luthier.bench._sets import BUNDLED, Data, load
from luthier.bench.families._trees import grown
from luthier.bench.families.net import COLUMNS, EPOCHS, columns, space

CONFIGURATIONS, TREES, BASE = 300, 30, 2.0
BUDGET = (3, 81)  # the highest is 27 times the lowest, as in ParamNet
FINISH = 0.8  # share of configurations whose 50 epochs fit into the highest budget
_DRAW = 5  # which decision of the bench room the draw is
#: Columns that are raised to a power in `columns`: thresholds are drawn evenly in the exponent.
_BASES = {0: 10.0, 1: 2.0, 2: 2.0, 3: BASE}
_DIGITS = 3  # of a time, in decimal digits; the rest is noise that would not compress


def drawn(count: int = CONFIGURATIONS) -> list[Configuration]:
    """The configurations that are trained: the default, and random ones, the same for every data set."""
    reduced = space("reduced")
    return [reduced.default(), *reduced.sample(count - 1, generator(0, "bench", _DRAW))]


def recipe(config: Configuration) -> Recipe:
    """How a configuration's network is built and trained."""
    return Recipe(
        width=round(2 ** config["average_units_per_layer_log2"]),
        depth=config["num_layers"],
        learning_rate=10 ** config["initial_lr_log10"],
        decay=1 - BASE ** config["final_lr_fraction_log2"],
        batch_size=round(2 ** config["batch_size_log2"]),
        dropout=config["dropout"],
    )


def train(config: Configuration, data: Data, seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """Train one network.

    Returns:
        (2, 50) error on validation and on test rows after each epoch, and the CPU seconds of the training.
    """
    how, (X, y) = recipe(config), data.train
    state = initial(how, X.shape[1], data.classes, seed)
    errors, seconds = np.empty((2, EPOCHS)), 0.0
    for epoch in range(EPOCHS):
        began = time.process_time()
        train_epoch(state, how, X, y, epochs=EPOCHS, seed=seed)
        seconds += time.process_time() - began
        for place, part in enumerate((data.valid, data.test)):
            found = scores(state, how, part.X, part.y)
            errors[place, epoch] = found["error"] / 100 if math.isfinite(found["log_loss"]) else 1.0
    return errors, seconds


def fit(
    path: Path, configs: list[Configuration], errors: NDArray[np.float64], seconds: NDArray[np.float64], title: str
) -> None:
    """Write the file of a data set.

    Args:
        path: The file.
        configs: n configurations.
        errors: (n, 2, 50) on validation and test rows.
        seconds: (n,) of a training.
        title: What was trained on, for the origin.
    """
    slower = float(f"{BUDGET[1] / np.quantile(seconds, FINISH):.2g}")
    X = np.array([columns(config, BASE) for config in configs])
    laid = X.copy()
    for column, base in _BASES.items():
        laid[:, column] = np.log(X[:, column]) / np.log(base)
    shown = np.array([float(f"{one:.{_DIGITS}g}") for one in slower * seconds])
    flat = errors.reshape(len(X), -1)
    found: dict[str, NDArray[np.generic]] = {}
    for name, guide, values in (("error", flat, errors[:, 0]), ("seconds", np.log(shown), shown[:, None])):
        arrays = grown(laid, guide, values, trees=TREES)
        for column, base in _BASES.items():
            inner = arrays["feature"] == column
            arrays["threshold"][inner] = base ** arrays["threshold"][inner]
        found |= {f"{name}_{part}": array for part, array in arrays.items()}
    assert X.shape[1] == COLUMNS
    origin = (
        f"luthier's own: {len(X)} random configurations trained on {title} by luthier.bench.families."
        f"_small_net_training; seconds are {slower:g} times those measured"
    )
    texts = {"base": np.array(BASE), "budget": np.array(BUDGET), "origin": np.array(origin)}
    np.savez_compressed(path, test_values=errors[:, 1].astype(np.float32), **found, **texts)  # type: ignore[arg-type]


def run(directory: str | Path, task: str, configs: list[Configuration] | None = None) -> Path:
    """Train on a data set, and write the file of `net/<task>@small`.

    Args:
        directory: Where to.
        task: A data set of scikit-learn, such as "digits".
        configs: What to train; None: `drawn()`.

    Returns:
        The file.
    """
    from luthier.bench.demo import one_thread

    chosen, data = drawn() if configs is None else configs, load(task, what=f"net/{task}@small")
    with one_thread():
        trained = [train(config, data) for config in chosen]
    path = Path(directory) / f"net_{task}_small.npz"
    errors, seconds = np.array([one for one, _ in trained]), np.array([one for _, one in trained])
    fit(path, chosen, errors, seconds, data.source)
    return path


if __name__ == "__main__":
    for name in sys.argv[2:] or BUNDLED:
        print(run(sys.argv[1], name))
