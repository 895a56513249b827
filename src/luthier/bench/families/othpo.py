"""OTHPO: tasks that come in an order, by growing data or by time, for methods that learn from earlier tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import BenchmarkError
from luthier.base.imports import need
from luthier.base.records import Card, Configuration, Objective
from luthier.base.registry import register
from luthier.bench._base import BaseBenchmark, Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, checksums, find
from luthier.bench.families._newsvendor import HIGHEST, NewsVendor
from luthier.bench.rows import RowTable
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space

ORIGIN = (
    "GitHub sighellan/syne-tune, branch othpo-results, commit 1647d4ea766e, benchmarking/nursery/othpo, converted to "
    "npz and parquet"
)
LICENCE = "Apache-2.0"
MNIST = DataFile("othpo/xgboost_mnist.npz", "a90f4247dfca5b75e8f6ec1ce840657aedbca6829bb0ac16adbbaab56ae5e3f3")
#: Training images of each task: 28 steps even in the logarithm up to four fifths of MNIST.
SIZES = tuple(int(56_000 * 10**exponent) for exponent in np.linspace(-3, 0, 28).tolist())
HELD_OUT = 14_000  # images that errors are counted on
_IMPUTE = "num.impute.selected.cpo"


@dataclass(frozen=True)
class Yahpo:
    """Surrogate values of one YAHPO scenario, each configuration at five training fractions.

    Args:
        file: Where they are.
        space: Makes the space.
        datasets: OpenML numbers.
    """

    file: DataFile
    space: Callable[[], Space]
    datasets: tuple[str, ...]


FRACTIONS = (0.05, 0.25, 0.5, 0.75, 1.0)


def _impute() -> Choice:
    return Choice("impute.mean", "impute.median", "impute.hist")


def _aknn() -> Space:
    domains: dict[str, Any] = {
        "M": Int(18, 50),
        "distance": Choice("l2", "cosine", "ip"),
        "ef": Int(8, 256, log=True),
        "ef_construction": Int(8, 512, log=True),
        "k": Int(1, 50),
        _IMPUTE: _impute(),
    }
    return Space(domains)


def _glmnet() -> Space:
    return Space({"alpha": Float(0.0, 1.0), "s": Float(math.exp(-7), math.exp(7), log=True), _IMPUTE: _impute()})


def _svm() -> Space:
    domains: dict[str, Any] = {
        "cost": Float(math.exp(-10), math.exp(10), log=True),
        "kernel": Choice("linear", "polynomial", "radial"),
        "tolerance": Float(math.exp(-10), 2.0, log=True),
        "degree": Int(2, 5, when=("kernel", "polynomial")),
        "gamma": Float(math.exp(-10), math.exp(10), log=True, when=("kernel", "radial")),
        _IMPUTE: _impute(),
    }
    return Space(domains)


def _ranger() -> Space:
    domains: dict[str, Any] = {
        "min.node.size": Int(1, 100),
        "mtry.power": Float(0.0, 1.0),
        "num.trees": Int(1, 2000),
        "respect.unordered.factors": Choice("ignore", "order", "partition"),
        "sample.fraction": Float(0.1, 1.0),
        "splitrule": Choice("gini", "extratrees"),
        "num.random.splits": Int(1, 100, when=("splitrule", "extratrees")),
        _IMPUTE: _impute(),
    }
    return Space(domains)


#: The first two are recorded; files of the others, with the data sets of the paper, are to be made by who has them: any
#: content of the same layout is taken, with empty cells for hyperparameters that are inactive.
YAHPO: Mapping[str, Yahpo] = {
    "aknn": Yahpo(
        DataFile("othpo/yahpo_rbv2_aknn.parquet", "0e1c681393c93451dbec9f266495ab0f26721d0cf1b7ec493584aa88d2ddbfaa"),
        _aknn,
        ("1220", "40927", "40978", "40981", "40996", "41138", "41163", "4134", "4154", "4538"),
    ),
    "glmnet": Yahpo(
        DataFile("othpo/yahpo_rbv2_glmnet.parquet", "954890bd52197f39c05faa1b397ae0bc2f142a22d772844ed1f7f6fba270f79e"),
        _glmnet,
        ("1220", "375", "40978", "40981", "41138", "41163", "4134", "4135", "4154", "4538"),
    ),
    "svm": Yahpo(DataFile("othpo/yahpo_rbv2_svm.parquet"), _svm, ("1220", "458")),
    "ranger": Yahpo(DataFile("othpo/yahpo_rbv2_ranger.parquet"), _ranger, ("4154", "40978")),
}


class Ordered(RowTable):
    """Recorded configurations of one task in an order.

    Attributes:
        order: Where it stands; later tasks have larger numbers.
    """

    order: float


def sequence(name: str) -> tuple[str, ...]:
    """Full names of the tasks that follow each other, the oldest first.

    Args:
        name: "newsvendor", "xgboost_mnist", or "<scenario>/<data set>" with aknn, glmnet, svm or ranger.

    Returns:
        Names for `load`; each benchmark has an attribute `order`.

    Raises:
        ArgumentError: there is no such sequence.
    """
    found = _sequences()
    check_task("othpo", name, found)
    return tuple(f"othpo/{name}/{step}" for step in found[name])


def _sequences() -> dict[str, tuple[str, ...]]:
    fractions = tuple(f"{fraction:g}" for fraction in FRACTIONS)
    return {
        "newsvendor": tuple(str(time) for time in range(1, len(HIGHEST) + 1)),
        "xgboost_mnist": tuple(str(size) for size in SIZES),
        **{f"{name}/{dataset}": fractions for name, one in YAHPO.items() for dataset in one.datasets},
    }


@register("benchmark")
class Othpo(Family):
    """Hellan, Shen, Aubet, Salinas and Klein 2023.

    "newsvendor/<time>" is simulated and needs no data; "xgboost_mnist/<images>" are real trainings, and
    "aknn/<data set>/<fraction>" and "glmnet/<data set>/<fraction>" surrogate values, both recorded. "svm" and "ranger"
    read files of the same layout, of which none is known to be published.
    `luthier.bench.families.othpo.sequence` gives the names that belong together, in order.

    Args:
        missing: What a configuration that was not recorded gets: "nearest" (as in the paper), "error" or "surrogate".
    """

    def __init__(self, *, missing: str = "nearest") -> None:
        self._missing = missing

    def tasks(self) -> Sequence[str]:
        """All tasks of all sequences."""
        return tuple(f"{name}/{step}" for name, steps in _sequences().items() for step in steps)

    def open(self, task: str) -> BaseBenchmark:
        """One task."""
        check_task("othpo", task, self.tasks())
        name, _, step = task.rpartition("/")
        if name == "newsvendor":
            return NewsVendor(int(step))
        if name == "xgboost_mnist":
            return self._xgboost(int(step))
        scenario, _, dataset = name.partition("/")
        return self._yahpo(scenario, dataset, float(step))

    def _xgboost(self, size: int) -> Ordered:
        name = f"othpo/xgboost_mnist/{size}"
        place = find(name, (MNIST,), origin=ORIGIN)[MNIST.path]
        columns, tables = _read_mnist(place, size)
        space = Space(
            learning_rate=Float(1e-6, 1.0, log=True),
            min_child_weight=Float(1e-6, 32.0, log=True),
            max_depth=Int(2, 32, log=True),
            n_estimators=Int(2, 256, log=True),
        )
        card = Card(
            name,
            ORIGIN,
            LICENCE,
            checksums({MNIST.path: place}),
            description=f"XGBoost on the first {size} images of MNIST; wrong ones among {HELD_OUT} others are counted.",
        )
        seconds = tables.pop("seconds")
        configs = _configs(space, columns)
        objectives = (Objective("errors"),)
        found = Ordered(configs, tables, space, objectives, card, missing=self._missing, seconds=seconds)
        found.order = float(size)
        return found

    def _yahpo(self, scenario: str, dataset: str, fraction: float) -> Ordered:
        one = YAHPO[scenario]
        name = f"othpo/{scenario}/{dataset}/{fraction:g}"
        place = find(name, (one.file,), origin=ORIGIN)[one.file.path]
        space = one.space()
        metrics = ("auc", "acc", "f1")
        columns = _read_yahpo(place, dataset, fraction, [*space.names, *metrics], what=name)
        tables = {metric: np.array(columns.pop(metric), dtype=float) for metric in metrics}
        card = Card(
            name,
            ORIGIN + "; values of YAHPO Gym's surrogates (Apache-2.0)",
            LICENCE,
            checksums({one.file.path: place}),
            description=f"Surrogate values of {scenario} on OpenML data set {dataset}, {fraction:g} of it to train on.",
        )
        objectives = (Objective("auc", "max"),)
        found = Ordered(_configs(space, columns), tables, space, objectives, card, missing=self._missing)
        found.order = fraction
        return found


def _configs(space: Space, columns: Mapping[str, Sequence[Any]]) -> list[Configuration]:
    whole = {name: kind == "int" for name, kind in zip(space.names, space.kinds, strict=True)}
    plain = [[int(v) if whole[name] and not _empty(v) else v for v in columns[name]] for name in space.names]
    rows = (zip(space.names, row, strict=True) for row in zip(*plain, strict=True))
    return [Configuration({name: value for name, value in row if not _empty(value)}) for row in rows]


def _empty(value: Any) -> bool:
    """Whether a cell holds nothing: its hyperparameter is inactive."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _read_mnist(place: Path, size: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Columns of the configurations, and the tables of one size."""
    with np.load(place, allow_pickle=False) as file:
        there = file["data_sizes"].tolist()
        if size not in there:
            raise BenchmarkError(f"{place} has no task of {size} images. It has {there}. Fetch the complete file.")
        row = there.index(size)
        columns = {
            "learning_rate": file["learning_rates"].tolist(),
            **{name: file[name].tolist() for name in ("min_child_weight", "max_depth", "n_estimators")},
        }
        tables = {
            "errors": file["test_error"][row].astype(float),
            "train_errors": file["train_error"][row].astype(float),
            "seconds": file["runtime_s"][row].astype(float),
        }
    return columns, tables


def _read_yahpo(place: Path, dataset: str, fraction: float, columns: list[str], *, what: str) -> dict[str, list[Any]]:
    parquet = need("pyarrow.parquet", what=f"benchmark {what!r}", extra="bench")
    there = parquet.read_schema(place).names
    lacking = [column for column in [*columns, "dataset", "train_frac"] if column not in there]
    if lacking:
        raise BenchmarkError(f"{place} lacks the columns {lacking}. It has {there}.")
    wanted = [("dataset", "=", dataset), ("train_frac", "=", fraction)]
    table = parquet.read_table(place, columns=columns, filters=wanted)
    if not len(table):
        raise BenchmarkError(f"{place} has no row of data set {dataset!r} at {fraction:g}. Fetch the complete file.")
    found: dict[str, list[Any]] = table.to_pydict()
    return found
