"""Fidelities of many steps in studies: fewer reports, the same ratios and the same answers."""

import pytest

from luthier import bench
from luthier.base.records import Fidelity
from luthier.bench.studies.coarse import coarse, unit


@pytest.mark.parametrize(
    ("axis", "step"),
    [
        (Fidelity("epoch", 1, 52), 1),
        (Fidelity("budget", 500, 10_000), 50),  # 250 would be as good a divisor, and leave 40 steps
        (Fidelity("iter", 10, 1000), 5),
        (Fidelity("n_estimators", 16, 512), 4),
        (Fidelity("iter", 3, 243), 3),
        (Fidelity("epoch", 1, 1000), 1),  # nothing divides both ends
        (Fidelity("subsample", 0.1, 1.0), 1),
        (None, 1),
    ],
)
def test_the_least_divisor_of_both_ends_that_is_enough(axis, step):
    assert unit(axis) == step


def test_the_answers_are_the_benchmarks_own():
    inner = bench.load("rf/breast_cancer@small")
    outer = coarse(inner)
    assert (outer.fidelity.low, outer.fidelity.high) == (4, 128)
    config = inner.space.default()
    fine = dict(inner.curve(config, seed=1))
    found = outer.curve(config, seed=1)
    assert [step for step, _ in found] == list(range(4, 129))
    assert all(one.metrics == fine[4 * step].metrics for step, one in found)
    assert outer.evaluate(config, resource=8, seed=0) == inner.evaluate(config, resource=32, seed=0)
    assert outer.evaluate_test(config, seed=0) == inner.evaluate_test(config, seed=0)
    assert outer.problem.fidelity == outer.fidelity


def test_few_steps_stay_as_they_are():
    small = bench.load("nb101/A@small")
    assert coarse(small) is small
