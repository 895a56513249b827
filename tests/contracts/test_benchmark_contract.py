"""Every benchmark that is at hand passes the battery, and the battery catches what breaks the contract."""

from __future__ import annotations

import os

import pytest

from luthier import bench
from luthier.base.records import Evaluation
from luthier.bench.tables import GridTable
from luthier.testing.benchmark import check_benchmark

NEEDS_DATA = pytest.mark.skipif(
    "LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set: the data of this benchmark is not at hand"
)
SHIPPED = ["fcnet/protein_structure"]
SUPPLIED = [
    "fcnet/slice_localization",
    "fcnet/naval_propulsion",
    "fcnet/parkinsons_telemonitoring",
    "hpobench_mlp/car",
    "hpobench_mlp/credit_g",
    "nasbench201/cifar10",
    "nasbench201/imagenet",
    "transfer_xgboost/heart",
    "transfer_nasbench201/cifar100",
    "yahpo/lcbench/3945",
    "yahpo/lcbench/189909",
    "yahpo/rbv2_xgboost/16",
    "yahpo/iaml_glmnet/1489",
]


@pytest.mark.parametrize("name", SHIPPED)
def test_battery(name):
    check_benchmark(bench.load(name))


def test_battery_on_what_trains():
    b = bench.load("digits/0")
    quick = {"width": 16, "batch_size": 256}
    configs = [{**b.space.default(), **quick, "activation": activation} for activation in ("relu", "tanh")]
    check_benchmark(b, configs=configs)


@NEEDS_DATA
@pytest.mark.parametrize("name", SUPPLIED)
def test_battery_with_data(name):
    # glmnet's surrogate ends in exponentials, which magnify the order of a network's sums
    check_benchmark(bench.load(name), rtol=1e-3 if "iaml" in name else 1e-5)


class Drifting(GridTable):
    """Answers depend on how often it was asked."""

    asked = 0

    def _answer(self, value: float) -> Evaluation:
        self.asked += 1
        return super()._answer(value * (1 + 1e-3 * self.asked))


class Leaking(GridTable):
    """Answers with test values."""

    def _answer(self, value: float) -> Evaluation:
        return Evaluation({**super()._answer(value).metrics, "test_mse": value})


class Lax(GridTable):
    """Takes what is not of the space."""

    def row(self, config):
        known = {name: config.get(name) for name in self.space.names}
        try:
            return super().row(known)
        except Exception:
            return 0


class Boastful(GridTable):
    """States bounds that its values leave."""

    bounds = property(lambda self: {"valid_mse": (0.0, 1e-9)}, lambda self, value: None)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Drifting, "a second answer differs"),
        (Leaking, "evaluate answers with test values"),
        (Lax, "an unknown hyperparameter is not refused"),
        (Boastful, "lies outside"),
    ],
)
def test_the_battery_catches(broken, message):
    good = bench.load("fcnet/protein_structure")
    good._origin = None
    good.__class__ = broken
    with pytest.raises(AssertionError, match=message):
        check_benchmark(good)
