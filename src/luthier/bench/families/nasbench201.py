"""NAS-Bench-201: 15 625 cells of five operations on six edges; final accuracies, curves; and a small stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import UnsupportedError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.base.registry import register
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, find, folder, present
from luthier.bench.families import transfer_nasbench201
from luthier.bench.families._grids import ORIGIN, Grids
from luthier.bench.families._nb201 import EDGES, EPOCHS, OPERATIONS, SEEDS, SETS, Curves, load
from luthier.bench.families._nb201 import convert as convert  # how users make arrays of the export
from luthier.bench.families._parquet import read_task
from luthier.bench.families._recorded import Grid, Record, Recorded, either, hashed, read_arrays, stamp
from luthier.bench.families._small_nb201 import TASK as SMALL
from luthier.bench.families._small_nb201 import load_small
from luthier.bench.tables import GridTable

CURVES = "curves/"
_FOLDER = "nasbench_201"


class Nasbench201Table(GridTable):
    """Accuracy on validation images after the full schedule.

    Its hyperparameters Op0 to Op5 are the edges of the curves in their order.

    Args:
        values: (15625, 3) accuracies in percent, NaN where a seed is missing.
        card: Its card, without optimum and noise.
    """

    def __init__(self, values: NDArray[np.float32], card: Card) -> None:
        lists = {f"Op{i}": OPERATIONS for i in range(len(EDGES))}
        super().__init__(values, lists, Objective("valid_accuracy", "max"), card, (0.0, 100.0))
        self.card = replace(self.card, noise=_noise(values))

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Error on test images in percent, one value whatever the seed, from the data of transfer_nasbench201.

        On CIFAR-10 it is that of a training on training and validation images.

        Raises:
            UnsupportedError: that file is not in the data folder.
        """
        self._spent(resource)
        if not present(transfer_nasbench201.FILE.path):
            raise UnsupportedError(
                f"benchmark {self.name!r} has its test values in {transfer_nasbench201.FILE.path}, which is not in "
                f"the data folder. Origin: {transfer_nasbench201.ORIGIN}."
            )
        return Evaluation({"test_error": float(self._tests[self.row(config)])})

    @cached_property
    def _tests(self) -> NDArray[np.float64]:
        file = transfer_nasbench201.FILE
        place = find(self.name, (file,), origin=transfer_nasbench201.ORIGIN)[file.path]
        names = [f"hp_x{i}" for i in range(len(EDGES))]
        task = SETS[self.name.rpartition("/")[2]][0].removesuffix("-valid")
        columns = read_task(place, task, [*names, "metric_error"], what=self.name)
        rows = sum(columns[name].astype(int) * len(OPERATIONS) ** i for i, name in enumerate(reversed(names)))
        found = np.full(len(self), np.nan)
        found[rows] = columns["metric_error"]
        return found


class Nasbench201Curves(Recorded):
    """Error after each epoch of the 200.

    Args:
        curves: The arrays.
        card: Its card, without optimum and noise.
        first: Lowest epoch.

    Source: Dong and Yang 2020, as used by HPOBench (Eggensperger et al. 2021; read in GitHub automl/HPOBench,
        hpobench/benchmarks/nas/nasbench_201.py, commit 09c3bbf355ea).
    Differs: the first epoch costs too; test values are read from the test split; copies that stand in for missing
        seeds are taken away; the cost is that of one training, not the sum over seeds.
    Cost: some microseconds for each answer.
    """

    objectives = (Objective("valid_error"),)
    test_name = "test_error"

    def __init__(self, curves: Curves, card: Card, first: int) -> None:
        self._curves, self._first = curves, first
        self._grid = Grid(dict.fromkeys(EDGES, OPERATIONS))
        self.space = self._grid.space
        self.levels = tuple(map(float, range(first, curves.valid.shape[2] + 1)))
        self.fidelity = Fidelity("epoch", first, int(self.levels[-1]))
        self.bounds = {"valid_error": (0.0, 100.0), "test_error": (0.0, 100.0)}
        best = 100 - float(np.nanmean(curves.valid[:, :, -1], axis=1, dtype=float).max())
        self.card = replace(card, optimum={"valid_error": best}, noise=_noise(curves.test))

    def _record(self, config: Configuration) -> Record:
        row, part = self._grid.row(config), slice(self._first - 1, None)
        valid = 100 - self._curves.valid[row, :, part].astype(float)
        return Record(valid, self._curves.seconds[row, :, part], 100 - self._curves.test[row, :, None].astype(float))


@register("benchmark")
class Nasbench201(Grids):
    """The table of Dong and Yang 2020; `transfer_nasbench201` holds test errors with latency and size.

    "nasbench201/<task>" is the table of final values, which comes with luthier; "nasbench201/curves/<task>" has every
    epoch, its cost and test errors, from HPOBench's export. "nasbench201/digits@small" is a stand-in of luthier's own
    in the same space: every epoch and its cost, predicted by forests.

    Args:
        first: Lowest epoch of the curves; HPOBench's study takes 12.
        unpickle: Whether HPOBench's older export, which is pickled, may be read; plain data alone is unpickled.
    """

    table = "tabular_hpo/nasbench201"
    hashes = (
        "8c2d7c1d8c9fb1833fbc107f34cccc80ef8317db49562ae597fdb9b2c6948d58",
        "e0ed299bcaf24b8ae0b1b4e80f291317260d01a0d901d13ef5a381ab9025ae98",
    )
    objective = Objective("valid_accuracy", "max")
    bounds = (0.0, 100.0)
    licence = "Apache-2.0; original tables MIT (NAS-Bench-201)"
    description = (
        "Accuracy in percent on validation images alone, after the full schedule of 200 epochs. 'imagenet' is "
        "ImageNet16-120. Costs were not recorded."
    )
    all_tasks = ("cifar10", "cifar100", "imagenet")
    in_package = {  # noqa: RUF012 - declared as ClassVar in the base class
        "cifar10": (
            "8ea12cdacce19dcf2cf5dfdcae557b4d11ab417c4e1eca4f53017e6299053b6b",
            "43758eddf87f8afca7d0eda8fc630a39d2a51f8c5b1eb3f0933d12b58ebb0804",
        ),
        "cifar100": (
            "28a3a1d0ea0bf65bd16f705b918d646751db781378f476bce690486d98af2644",
            "23ff15f988d0a4e1ebc4e9dd96124537319d50c5274b2e717ebd3b2fac066f9e",
        ),
        "imagenet": (
            "31579f06fb016525bd09f23275228cf93b4425283fe869dd8101525dd1f4c1f1",
            "b80ba288fbfb393c242a1d0f7dfa851ad4b5432fa74a6e94e28c9ce6aa3eb69d",
        ),
    }

    def __init__(self, *, first: int = 1, unpickle: bool = False) -> None:  # 1: all that there is
        first = check("first", first, at_least=1, at_most=EPOCHS, whole=True)
        self._first, self._unpickle = first, unpickle

    def tasks(self) -> Sequence[str]:
        """Names of the stand-in, then of the tables of final values, then those of the curves."""
        return (SMALL, *self.all_tasks, *(CURVES + task for task in self.all_tasks))

    def open(self, task: str) -> BaseBenchmark:
        """One table."""
        check_task("nasbench201", task, self.tasks())
        if task == SMALL:
            return load_small(self._first)
        if task.startswith(CURVES):
            return self._curves(task.removeprefix(CURVES))
        name = f"nasbench201/{task}"
        npz, lists = self._files(name, task)
        card = Card(
            name,
            ORIGIN,
            self.licence,
            dict(zip((npz.name, lists.name), self.in_package[task], strict=True)),
            description=self.description,
        )
        return Nasbench201Table(read_arrays(npz, {task: 2}, what=name)[task], card)

    def _curves(self, task: str) -> Nasbench201Curves:
        name, export = f"nasbench201/{CURVES}{task}", SETS[task][0]
        npz = DataFile(f"{_FOLDER}/{task}.npz")
        json = DataFile(f"{_FOLDER}/NAS-Bench-201-v1_1-096897_{export}.json")
        origin = (
            f"nasbench_201_data_v1.3.zip, as linked from GitHub automl/HPOBench (JSON), or {npz.path}, which "
            "luthier.bench.families.nasbench201.convert makes of it"
        )
        pickled = DataFile(f"{_FOLDER}/nb201_{export}_{SEEDS[0]}_train_times.pkl")
        file = either((npz, json, *((pickled,) if self._unpickle else ()), json), folder())
        self._refuse(name, file)
        places = find(name, (file,), origin=origin)
        mixed = "" if task == "cifar10" else " These validation errors are on validation and test images together."
        card = Card(
            name,
            origin,
            "Apache-2.0 (HPOBench); original tables MIT (NAS-Bench-201)",
            hashed(places),
            description=f"Error in percent after each epoch; test errors after the last one alone.{mixed} The original "
            "file was not at hand: its form was taken from the public reader and tested on files written in it.",
        )
        place = places[file.path]
        curves = load(place, task, place.suffix == ".pkl", *stamp(place))
        return Nasbench201Curves(curves, card, self._first)

    def _refuse(self, name: str, file: DataFile) -> None:
        """Say what to do where there are pickles only."""
        base = folder()
        if base is None or (base / file.path).is_file():
            return
        pickles = sorted((base / _FOLDER).glob("nb201_*.pkl")) + sorted((base / _FOLDER).glob("*.pth"))
        if pickles:
            raise UnsupportedError(
                f"benchmark {name!r}: {pickles[0]} is a pickle, which can run any code, and is not read. Supply "
                f"{file.path} instead, or, for nb201_*.pkl alone, load with unpickle=True: plain data alone is read."
            )


def _noise(values: NDArray[np.floating]) -> str:
    """How many seeds there truly are: (cells, repetitions), NaN where one is missing."""
    counts = np.bincount((~np.isnan(values)).sum(axis=1), minlength=2)
    parts = [f"{cells} cells have {seeds}" for seeds, cells in enumerate(counts.tolist()) if cells]
    return f"recorded seeds: {', '.join(parts)}"
