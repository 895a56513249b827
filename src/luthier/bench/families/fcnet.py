"""FCNet: 62 208 small networks on four regression tasks; final errors and learning curves; and two small stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luthier.base.checks import check
from luthier.base.records import Card, Objective
from luthier.base.registry import register
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, find, folder
from luthier.bench.families._fcnet import EPOCHS, Arrays, FcnetCurves, Hdf5
from luthier.bench.families._fcnet import convert as convert  # how users make arrays of the original file
from luthier.bench.families._grids import Grids
from luthier.bench.families._recorded import either, hashed
from luthier.bench.families._small_fcnet import OWN, SMALL, load_small

CURVES = "curves/"
_FOLDER = "fcnet_tabular_benchmarks"  # as the original archive unpacks
_FIRST = 3  # HPOBench's study; the files begin at 1


@register("benchmark")
class Fcnet(Grids):
    """The tables of Klein and Hutter 2019; protein_structure comes with luthier, as final values.

    "fcnet/<task>" is the table of final values, "fcnet/curves/<task>" has every epoch, its cost, and test errors, from
    the original file. Diverged trainings carry errors up to 1e8: compare ranks or logarithms. "fcnet/diabetes@small"
    and "fcnet/friedman1@small" are stand-ins of luthier's own in the same space: every epoch and its cost, predicted by
    forests.

    Args:
        first: Lowest budget of curves, in epochs; None: 3 for the original's, as in HPOBench's study, and 1 for the
            stand-ins', which is all that there is.
    """

    table = "tabular_hpo/fcnet"
    hashes = (
        "e97a7eb69921eb462491bdcf9337c8d1be0e0d799568872315b8a254d50ae0a3",
        "96b75078eab2534c53466ae4387eb86c6e436f134e8e32f62100f55c51791db8",
    )
    objective = Objective("valid_mse")
    licence = "Apache-2.0; original tables BSD-3-Clause (automl/nas_benchmarks)"
    description = (
        "Two hidden layers; final mean squared error on validation data, standardised targets. Costs were not recorded."
    )
    all_tasks = ("protein_structure", "naval_propulsion", "parkinsons_telemonitoring", "slice_localization")
    in_package = {  # noqa: RUF012 - declared as ClassVar in the base class
        "protein_structure": (
            "77b4b6d08d1a64df7f6ac77569b0e92a1240029aa37968a3064439ec79ef33a5",
            "887c065f873c2e20b5f7cf3c678ca2601b1dfba4051f689055dd8ad9adfd0fa2",
        )
    }

    def __init__(self, *, first: int | None = None) -> None:
        if first is not None:
            first = check("first", first, at_least=1, at_most=EPOCHS, whole=True)
        self._first = first

    def tasks(self) -> Sequence[str]:
        """Names of the stand-ins, then of the tables of final values, then those of the curves."""
        return (*(data + SMALL for data in OWN), *self.all_tasks, *(CURVES + task for task in self.all_tasks))

    def open(self, task: str) -> BaseBenchmark:
        """One table."""
        check_task("fcnet", task, self.tasks())
        if task.endswith(SMALL):
            return load_small(task.removesuffix(SMALL), 1 if self._first is None else self._first)
        return self._curves(task.removeprefix(CURVES)) if task.startswith(CURVES) else super().open(task)

    def _curves(self, task: str) -> FcnetCurves:
        name = f"fcnet/{CURVES}{task}"
        npz, hdf5 = DataFile(f"{_FOLDER}/{task}.npz"), DataFile(f"{_FOLDER}/fcnet_{task}_data.hdf5")
        origin = (
            "fcnet_tabular_benchmarks.tar.gz, as linked from GitHub automl/nas_benchmarks (HDF5), or "
            f"{npz.path}, which luthier.bench.families.fcnet.convert makes of it"
        )
        file = either((npz, hdf5), folder())
        places = find(name, (file,), origin=origin)
        card = Card(
            name,
            origin,
            "BSD-3-Clause (automl/nas_benchmarks)",
            hashed(places),
            description="Two hidden layers; mean squared error on validation data after each epoch, standardised "
            "targets. The original file was not at hand: its form was taken from the public reader and tested on "
            "files written in it.",
        )
        return FcnetCurves(_source(places[file.path]), card, _FIRST if self._first is None else self._first)


def _source(path: Path) -> Arrays | Hdf5:
    return Arrays(path) if path.suffix == ".npz" else Hdf5(path)
