"""NAS-Bench-201 with latency and size: test error, milliseconds and parameters of all 15 625 cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Card, Configuration, Objective
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, checksums, find
from luthier.bench.families._parquet import read_task
from luthier.bench.rows import RowTable
from luthier.space.domains import Choice
from luthier.space.space import Space

FILE = DataFile(
    "transfer_blackboxes/nasbench201_test_latency.parquet",
    "74c87225ede7070251eb380310346a3f6c3659a55ac7061d14c95dba560b6b10",
)
ORIGIN = (
    "GitHub geoalgo/A-Quantile-based-Approach-for-Hyperparameter-Transfer-Learning, commit 31cdb2ff2957, "
    "src/blackbox/offline_evaluations/nas_bench102.csv.zip, converted to parquet with floats as float32"
)
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
METRICS = ("error", "latency_ms", "params_m")


@register("benchmark")
class TransferNasbench201(Family):
    """The architecture task of Salinas, Shen and Perrone 2020: accuracy against latency and size.

    Args:
        objectives: Which of "error" (percent, on test images), "latency_ms" and "params_m" (millions) to improve,
            separated by commas.
    """

    def __init__(self, *, objectives: str = "error") -> None:
        self._objectives = tuple(word.strip() for word in objectives.split(","))
        for word in self._objectives:
            check("objectives", word, one_of=METRICS)
        if len(set(self._objectives)) < len(self._objectives):
            raise ArgumentError(f"objectives={objectives!r}. Allowed: each of {', '.join(METRICS)} at most once.")

    def tasks(self) -> Sequence[str]:
        """Names of the image sets."""
        return ("cifar10", "cifar100", "ImageNet16-120")

    def open(self, task: str) -> RowTable:
        """One image set."""
        check_task("transfer_nasbench201", task, self.tasks())
        name = f"transfer_nasbench201/{task}"
        place = find(name, (FILE,), origin=ORIGIN)[FILE.path]
        edges = [f"hp_x{i}" for i in range(6)]
        columns = read_task(place, task, [*edges, "metric_error", "metric_latency", "metric_params_size"], what=name)
        space = Space({f"Op{i}": Choice(*OPERATIONS) for i in range(6)})
        codes = np.stack([columns[edge] for edge in edges], axis=1).astype(int)
        configs = [Configuration({f"Op{i}": OPERATIONS[code] for i, code in enumerate(row)}) for row in codes]
        metrics = {
            "error": columns["metric_error"],
            "latency_ms": 1000 * columns["metric_latency"],
            "params_m": columns["metric_params_size"],
        }
        card = Card(
            name,
            ORIGIN,
            "Apache-2.0",
            checksums({FILE.path: place}),
            description="Error on test images in percent, latency in milliseconds, parameters in millions.",
        )
        objectives = tuple(Objective(word) for word in self._objectives)
        return RowTable(configs, metrics, space, objectives, card, missing="error")
