"""HPOBench's own tables of the five classifiers, as published: parquet files that the user supplies.

    hpobench/<model>/<task>/<model>_<task>_data.parquet.gzip

below the data folder, with the model svm, lr, rf, xgb or nn. A row is one training: a column for each hyperparameter
and fidelity, `seed`, and `result`, a record of `info` with scores (acc, bal_acc, f1, precision) and times of each part.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError, DataMissing
from luthier.base.imports import need
from luthier.base.records import Status
from luthier.bench._generated import GeneratedTable, Reading
from luthier.bench._planned import STATES
from luthier.bench.data import DataFile, checksum, find, folder

PUBLISHED = "hpobench"
ORIGIN = (
    "figshare, files 30379359 (svm), 30379038 (lr), 30469089 (rf), 30469920 (xgb) and 30379005 (nn) of HPOBench, "
    "unpacked"
)
_SCORES = {"accuracy": "acc", "balanced_accuracy": "bal_acc", "f1": "f1", "precision": "precision"}
_PARTS = {"train": "train", "valid": "val", "test": "test"}
_FIDELITIES = ("subsample", "iter", "n_estimators")
_COST = ("fit_wall_seconds", "valid_wall_seconds")
#: Metric to its place in a row's `result`.
_PLACES = {
    **{
        f"{part}_{ours}": ("info", f"{theirs}_scores", score)
        for part, theirs in _PARTS.items()
        for ours, score in _SCORES.items()
    },
    "size": ("info", "model_size"),
    "fit_wall_seconds": ("info", "model_cost"),
    # the time of scoring by accuracy; their code takes the score itself where this belongs
    "valid_wall_seconds": ("info", "val_costs", "acc"),
}


def published_tasks(model: str) -> list[str]:
    """OpenML tasks whose table is in the data folder."""
    base = folder()
    found = [] if base is None else (base / PUBLISHED / model).glob(f"*/{model}_*_data.parquet.gzip")
    return sorted((path.parent.name for path in found), key=lambda name: (len(name), name))


def open_published(family: Reading, model: str, task: str) -> GeneratedTable:
    """A published table.

    Raises:
        DataMissing: the user has to supply it.
        BenchmarkError: the file does not have the layout.
        MissingExtra: pyarrow is not installed.
    """
    name, file = f"{family.label}/{task}@{PUBLISHED}", f"{PUBLISHED}/{model}/{task}/{model}_{task}_data.parquet.gzip"
    if not task.isdecimal():
        raise DataMissing(
            f"benchmark {name!r}: HPOBench published tables of OpenML tasks alone, such as 31@{PUBLISHED}."
        )
    path = find(name, [DataFile(file)], origin=ORIGIN)[file]
    parquet = need("pyarrow.parquet", what=f"benchmark {name!r}", extra="bench")
    try:
        table = parquet.read_table(path)
        about, arrays = _arrays(table, list(family.space()))
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(
            f"{path} is no table that HPOBench published ({error}). Expected: the columns {list(family.space())}, "
            "fidelities, seed, and result with the scores."
        ) from error
    about |= {
        "title": f"HPOBench's published table of {model} on OpenML task {task}, most likely trained on validation rows",
        "source": f"HPOBench, figshare; {path.name}",
        "licence": "as published by HPOBench on figshare",
    }
    return GeneratedTable(family, name, about, arrays, {path.name: checksum(path)})


def _arrays(table: Any, hyperparameters: list[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Rows in any order to arrays; what has no row is FAILED."""
    axes = [name for name in _FIDELITIES if name in table.column_names]
    keys = {name: _column(table, name) for name in (*hyperparameters, *axes, "seed")}
    found = {name: np.unique(column, return_inverse=True) for name, column in keys.items()}
    config_shape, fidelity_shape = (tuple(len(found[n][0]) for n in names) for names in (hyperparameters, axes))
    row, at = (
        np.ravel_multi_index([found[n][1] for n in names], shape)
        for names, shape in ((hyperparameters, config_shape), (axes, fidelity_shape))
    )
    values, seed = found["seed"]
    measured = _nested(table)
    shape = (int(np.prod(config_shape)), len(values), int(np.prod(fidelity_shape)), len(measured))
    cells = np.full(shape, np.nan, dtype=np.float32)
    cells[row, seed, at] = np.stack(list(measured.values()), axis=1)
    lacking = np.isnan(cells[..., 0]).any(axis=2)
    about = {
        "seeds": values.tolist(),
        "lists": {name: found[name][0].tolist() for name in hyperparameters},
        "axes": axes,
        "metrics": list(measured),
        "cost": _COST,
        "failed": "the published table has no such row",
    }
    return about, {
        "values": cells,
        "configs": np.array(list(itertools.product(*about["lists"].values())), dtype=np.float64),
        "fidelities": np.array(list(itertools.product(*(found[n][0].tolist() for n in axes))), dtype=np.float64),
        "status": np.where(lacking, STATES.index(Status.FAILED), 0).astype(np.uint8),
    }


def _column(table: Any, name: str) -> NDArray[np.float64]:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _nested(table: Any) -> dict[str, NDArray[np.float64]]:
    """Metric to the numbers deep in `result`; a model size is not in every file."""
    compute = need("pyarrow.compute", what="HPOBench's tables", extra="bench")
    found = {}
    for metric, place in _PLACES.items():
        try:
            column = compute.struct_field(table.column("result"), list(place))
        except (ValueError, KeyError):
            if metric != "size":
                raise
            continue
        found[metric] = np.asarray(column.to_numpy(), dtype=np.float64)
    return found
