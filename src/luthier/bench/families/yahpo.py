"""YAHPO Gym: surrogates of neural networks (lcbench), XGBoost (rbv2_xgboost), glmnet (iaml_glmnet) and more."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from luthier.base.errors import ArgumentError
from luthier.base.records import Card
from luthier.base.registry import register
from luthier.bench._base import Family
from luthier.bench.data import DataFile, checksums, find, folder
from luthier.bench.yahpo import Scenario, Surrogate

ORIGIN = (
    "GitHub slds-lmu/yahpo_data, commit efdab9072f63, <scenario>/model.onnx, encoding.json and config_space.json; "
    "meta.json says the order of inputs and targets, as in GitHub slds-lmu/yahpo_gym"
)
STATISTICS = "yahpo/instance_target_statistics.csv.gz"
#: SHA-256 of model.onnx; a scenario that is not listed is taken as it is, and its card says what it hashes to.
MODELS = {
    "lcbench": "b45c0d85ae39abf8820c8bea5ac82f415763afcbaf3b725e36af452b09cb6dcd",
    "rbv2_xgboost": "85125b6d97f553d10cd50f9e632e1a3f1ad44bcb00300dd2880d70dfd043d9f3",
    "iaml_glmnet": "5c9b1541e37604993098ba23b04695bfe38d009108e9de0a26c3f161265b5a7a",
}


@register("benchmark")
class Yahpo(Family):
    """Pfisterer et al. 2022; named "yahpo/<scenario>/<task>".

    Args:
        objectives: Targets to improve, separated by commas; empty: the first that is neither time nor memory.
    """

    def __init__(self, *, objectives: str = "") -> None:
        self._objectives = tuple(word.strip() for word in objectives.split(",") if word.strip())

    def tasks(self) -> Sequence[str]:
        """The tasks of all scenarios in the data folder."""
        base = folder()
        spaces = sorted((base / "yahpo").glob("*/config_space.json")) if base is not None else []
        return [f"{path.parent.name}/{task}" for path in spaces for task in _instances(path)]

    def open(self, task: str) -> Surrogate:
        """One task of a scenario."""
        scenario, _, instance = task.partition("/")
        name = f"yahpo/{task}"
        if not instance:
            raise ArgumentError(
                f"benchmark {name!r} names no task. Write yahpo/<scenario>/<task>, as yahpo/lcbench/3945."
            )
        here = f"yahpo/{scenario}"
        files = [
            DataFile(f"{here}/model.onnx", MODELS.get(scenario)),
            *(DataFile(f"{here}/{other}.json") for other in ("encoding", "config_space", "meta")),
            DataFile(STATISTICS, needed=False),
        ]
        places = find(name, files, origin=ORIGIN)
        statistics = places.pop(STATISTICS, None)
        read = Scenario.read(places[f"{here}/model.onnx"].parent)
        best = {} if statistics is None else _published(statistics, scenario, instance, read)
        card = Card(
            name,
            ORIGIN,
            "Apache-2.0",
            checksums(places),
            best,
            description="Predicted by a neural network. The optimum is the best published value, no proven one.",
        )
        return Surrogate(read, instance, self._objectives, card)


def _instances(space: Path) -> Sequence[str]:
    try:
        meta = json.loads((space.parent / "meta.json").read_text(encoding="utf-8"))
        entries = json.loads(space.read_text(encoding="utf-8"))["hyperparameters"]
        return next((entry["choices"] for entry in entries if entry["name"] == meta["instance_name"]), [])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # whoever opens it is told what is wrong; the others are listed


def _published(path: Path, scenario: str, instance: str, read: Scenario) -> dict[str, float]:
    """Best published value of each target."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["scenario"], r["instance"]) == (scenario, instance)]
    return {
        row["metric"]: float(row["value"])
        for row in rows
        if row["metric"] in read.targets
        and not row["metric"].startswith("test_")
        and row["statistic"] == ("min" if read.minimised[row["metric"]] else "max")
    }
