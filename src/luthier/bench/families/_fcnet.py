"""Learning curves of the FCNet tables, from the original HDF5 file or from converted arrays.

Converted arrays are an .npz for each task, rows in the C-order of `LISTS`:
    valid    (62208, r, 100) float32 mean squared error on validation data after each epoch
    test     (62208, r) float32 mean squared error on test data after the last epoch
    runtime  (62208, r) float32 time of the whole training in seconds
`convert` writes them.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.base.imports import need
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.bench._base import Config
from luthier.bench.families._recorded import Floats, Grid, Record, Recorded, read_arrays

EPOCHS = 100
#: In the order of the tables of final values.
LISTS: dict[str, list[Any]] = {
    "activation_fn_1": ["relu", "tanh"],
    "activation_fn_2": ["relu", "tanh"],
    "batch_size": [8, 16, 32, 64],
    "dropout_1": [0.0, 0.3, 0.6],
    "dropout_2": [0.0, 0.3, 0.6],
    "init_lr": [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1],
    "lr_schedule": ["cosine", "const"],
    "n_units_1": [16, 32, 64, 128, 256, 512],
    "n_units_2": [16, 32, 64, 128, 256, 512],
}
_SHAPES = {"valid": 3, "test": 2, "runtime": 2}


class Training(NamedTuple):
    """What was recorded of one configuration: (r, 100), (r,) and (r,), as the module's documentation has them."""

    valid: Floats
    test: Floats
    runtime: Floats


class Source(Protocol):
    """Where trainings are kept."""

    def training(self, config: Configuration) -> Training:
        """What was recorded of a configuration."""

    def best(self) -> float | None:
        """Least mean of the last validation errors, None when finding it would take a pass over a large file."""


class Arrays:
    """Converted arrays.

    Args:
        path: The .npz.

    Raises:
        BenchmarkError: the file does not have that form.
    """

    def __init__(self, path: Path) -> None:
        found = read_arrays(path, _SHAPES, what="fcnet")
        self._grid = Grid(LISTS)
        cells, repetitions, epochs = found["valid"].shape
        pairs = (cells, repetitions)
        if cells != self._grid.size or epochs != EPOCHS or any(found[n].shape != pairs for n in ("test", "runtime")):
            raise BenchmarkError(
                f"{path} has valid {found['valid'].shape}, test {found['test'].shape}, runtime "
                f"{found['runtime'].shape}. They must be ({self._grid.size}, r, {EPOCHS}), and ({self._grid.size}, r)."
            )
        self._found = Training(found["valid"], found["test"], found["runtime"])

    def training(self, config: Configuration) -> Training:
        """What was recorded of a configuration."""
        row = self._grid.row(config)
        return Training(*(part[row] for part in self._found))

    def best(self) -> float:
        """Least mean of the last validation errors."""
        return float(self._found.valid[:, :, -1].mean(axis=1, dtype=float).min())


class Hdf5:
    """The original file: a group for each configuration, named by its JSON with sorted keys, with a data set for each
    of valid_mse (4, 100), final_test_error (4,), runtime (4,) and others that are not read.

    Args:
        path: fcnet_<task>_data.hdf5.

    Raises:
        MissingExtra: h5py is not installed.
        BenchmarkError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        h5py = need("h5py", what="the original file of FCNet", extra="bench")
        self._path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise BenchmarkError(f"{path} is no HDF5 file ({error}). Fetch it again.") from error

    def training(self, config: Configuration) -> Training:
        """What was recorded of a configuration."""
        name = json.dumps(dict(config), sort_keys=True)
        if name not in self._file:
            raise BenchmarkError(f"{self._path} has no group {name}. Fetch the complete file.")
        group = self._file[name]
        parts = [np.asarray(group[part][()], dtype=float) for part in ("valid_mse", "final_test_error", "runtime")]
        return Training(*parts)

    def best(self) -> None:
        """Nothing: it would take a pass over the whole file."""
        return


class FcnetCurves(Recorded):
    """Validation error of a network after each epoch.

    Args:
        source: Where the trainings are.
        card: Its card, without optimum and noise.
        first: Lowest budget in epochs.

    Source: Klein and Hutter 2019 (read in GitHub automl/nas_benchmarks, tabular_benchmarks/fcnet_benchmark.py, commit
        107bf38e6c3d), as used by HPOBench (Eggensperger et al. 2021).
    Differs: HPOBench sums the costs of repetitions whose errors it averages; here the cost is that of one training.
    Cost: some microseconds with converted arrays; a read of three small data sets with HDF5.
    """

    objectives = (Objective("valid_mse"),)
    test_name = "test_mse"

    def __init__(self, source: Source, card: Card, first: int) -> None:
        self._source, self._first = source, first
        self.space = Grid(LISTS).space
        self.levels = tuple(map(float, range(first, EPOCHS + 1)))
        self.fidelity = Fidelity("budget", first, EPOCHS)
        self._parts = np.array(self.levels) / EPOCHS
        best = source.best()
        self.card = Card(
            card.name,
            card.source,
            card.licence,
            card.checksum,
            {} if best is None else {"valid_mse": best},
            "4 seeds, optimum not computed" if best is None else "4 recorded seeds",
            card.description,
        )

    def _record(self, config: Configuration) -> Record:
        found = self._source.training(config)
        seconds: NDArray[np.float64] = np.asarray(found.runtime, dtype=float)[:, None] * self._parts
        return Record(found.valid[:, self._first - 1 :], seconds, found.test[:, None])

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Mean of the final test errors, whatever the seed; at the full budget alone."""
        return super().evaluate_test(config, resource=resource, seed=None)


def convert(source: str | Path, target: str | Path) -> None:
    """Make arrays of the original file.

    Args:
        source: fcnet_<task>_data.hdf5.
        target: The .npz; belongs at fcnet_tabular_benchmarks/<task>.npz in the data folder.

    Raises:
        MissingExtra: h5py is not installed.
        BenchmarkError: the source lacks a configuration.
    """
    file = Hdf5(Path(source))
    names = list(LISTS)
    found = [file.training(Configuration(dict(zip(names, values, strict=True)))) for values in product(*LISTS.values())]
    valid, test, runtime = (np.stack(part).astype(np.float32) for part in zip(*found, strict=True))
    np.savez(Path(target), valid=valid, test=test, runtime=runtime)
