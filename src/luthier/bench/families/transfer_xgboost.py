"""XGBoost on ten libsvm data sets, 5 000 random configurations each (the ICML 2020 transfer set)."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.base.records import Card, Configuration, Objective
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, checksums, find
from luthier.bench.families._parquet import read_task
from luthier.bench.rows import RowTable
from luthier.space.domains import Float, Int
from luthier.space.space import Space

FILE = DataFile(
    "transfer_blackboxes/xgboost.parquet", "b36007387d3611c72118b8434a18e6ee839c4efd6c7daf13074bc56cbc921dc1"
)
ORIGIN = (
    "GitHub icdishb/hyperparameter-transfer-learning-evaluations, commit 33fec5e9a8f0, XGBoost.csv.zip, converted to "
    "parquet with floats as float32"
)


@register("benchmark")
class TransferXgboost(Family):
    """Salinas, Shen and Perrone 2020; single noisy evaluations.

    Args:
        missing: What a configuration that was not recorded gets: "nearest" or "error".
    """

    def __init__(self, *, missing: str = "nearest") -> None:
        self._missing = missing

    def tasks(self) -> Sequence[str]:
        """Names of the data sets."""
        return (
            "a6a",
            "australian",
            "german.numer",
            "heart",
            "ijcnn1",
            "madelon",
            "skin_nonskin",
            "spambase",
            "svmguide1",
            "w6a",
        )

    def open(self, task: str) -> RowTable:
        """One data set."""
        check_task("transfer_xgboost", task, self.tasks())
        name = f"transfer_xgboost/{task}"
        space = Space(
            log2_min_child_weight=Float(-8.0, 6.0),
            subsample=Float(0.5, 1.0),
            colsample_bytree=Float(0.3, 1.0),
            log2_gamma=Float(-20.0, 6.0),
            log2_lambda=Float(-10.0, 8.0),
            eta=Float(0.0, 1.0),
            max_depth_index=Int(0, 12),
            log2_alpha=Float(-20.0, 8.0),
        )
        place = find(name, (FILE,), origin=ORIGIN)[FILE.path]
        columns = read_task(place, task, [*(f"hp_{p}" for p in space.names), "metric_error"], what=name)
        error = columns.pop("metric_error")
        rows = zip(*columns.values(), strict=True)
        configs = [
            Configuration(
                (p, int(v) if space.kinds[i] == "int" else float(v))
                for i, (p, v) in enumerate(zip(space.names, row, strict=True))
            )
            for row in rows
        ]
        card = Card(
            name, ORIGIN, "MIT", checksums({FILE.path: place}), description="Classification error on validation data."
        )
        return RowTable(configs, {"error": error}, space, (Objective("error"),), card, missing=self._missing)
