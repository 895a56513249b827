"""FCNet: 62 208 small networks on four regression tasks, four trainings each; final validation errors."""

from __future__ import annotations

from luthier.base.records import Objective
from luthier.base.registry import register
from luthier.bench.families._grids import Grids


@register("benchmark")
class Fcnet(Grids):
    """The tables of Klein and Hutter 2019; protein_structure comes with luthier.

    Diverged trainings carry errors up to 1e8: compare ranks or logarithms.
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
