"""HPOBench MLP: 30 000 networks on eight classification tasks, five seeds each; final validation scores."""

from __future__ import annotations

from luthier.base.records import Objective
from luthier.base.registry import register
from luthier.bench.families._grids import Grids


@register("benchmark")
class HpobenchMlp(Grids):
    """The multilayer-perceptron tables of HPOBench (Eggensperger et al. 2021) at full fidelity."""

    table = "tabular_hpo/hpobench_mlp"
    hashes = (
        "d60075c8a954d82b78f44e00d855060d9233244448f557005f1a270fc49f760b",
        "138621dea1395a5368bea569b9ecbc17243bd28ef3c042eb3f8507516d5ea42f",
    )
    objective = Objective("valid_score", "max")
    bounds = (0.0, 1.0)
    licence = "Apache-2.0; original tables Apache-2.0 (automl/HPOBench)"
    description = "Final validation score in [0, 1], most likely balanced accuracy. Costs were not recorded."
    all_tasks = ("car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g")
