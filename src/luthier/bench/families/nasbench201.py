"""NAS-Bench-201: 15 625 cells of five operations on six edges; validation accuracy, two or three seeds."""

from __future__ import annotations

from luthier.base.records import Objective
from luthier.base.registry import register
from luthier.bench.families._grids import Grids


@register("benchmark")
class Nasbench201(Grids):
    """The table of Dong and Yang 2020; `transfer_nasbench201` holds test errors with latency and size."""

    table = "tabular_hpo/nasbench201"
    hashes = (
        "8c2d7c1d8c9fb1833fbc107f34cccc80ef8317db49562ae597fdb9b2c6948d58",
        "e0ed299bcaf24b8ae0b1b4e80f291317260d01a0d901d13ef5a381ab9025ae98",
    )
    objective = Objective("valid_accuracy", "max")
    bounds = (0.0, 100.0)
    licence = "Apache-2.0; original tables MIT (NAS-Bench-201)"
    description = (
        "Validation accuracy in percent after the full schedule; half of the cells miss one of three seeds. "
        "'imagenet' is ImageNet16-120. Costs were not recorded."
    )
    all_tasks = ("cifar10", "cifar100", "imagenet")
