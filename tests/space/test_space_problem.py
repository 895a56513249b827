"""Problem: what a report must hold, and what searchers are told of it."""

import math

import pytest

from luthier.base.errors import MetricError
from luthier.base.records import Configuration, Constraint, Objective, Status
from luthier.space import Int, Problem, Space

PROBLEM = Problem(
    Space(x=Int(1, 3)), (Objective("loss"), Objective("acc", "max")), constraints=(Constraint("latency_ms", 20.0),)
)


def test_observations_are_to_be_minimised():
    config = Configuration(x=1)
    found = PROBLEM.observe(3, config, {"loss": 0.5, "acc": 0.9, "latency_ms": 25.0}, resource=2.0)
    assert (found.trial, found.config, found.resource) == (3, config, 2.0)
    assert found.values == (0.5, -0.9)
    assert found.violations == (5.0,)
    failed = PROBLEM.observe(4, config, None, status=Status.FAILED)
    assert (failed.values, failed.violations, failed.status) == ((), (), Status.FAILED)


def test_metrics_are_judged():
    metrics = {"loss": 1, "acc": "0.5", "latency_ms": math.nan, "more": 3}
    found = PROBLEM.check_metrics(metrics, where="trial 3")
    assert {name: value for name, value in found.items() if name != "latency_ms"} == {
        "loss": 1.0,
        "acc": 0.5,
        "more": 3.0,
    }
    assert not PROBLEM.usable(found)
    assert PROBLEM.usable({"loss": 1.0, "acc": 1.0, "latency_ms": 30.0})
    with pytest.raises(MetricError) as caught:
        PROBLEM.check_metrics({"los": 1.0}, where="trial 3")
    assert str(caught.value) == (
        "trial 3 reported 'los'; this study minimises 'loss'. Report it: run.report(loss=...), or name 'los' as the "
        "study's metric (command line: --minimize los)."
    )
    with pytest.raises(MetricError, match=r"trial 3 reported loss='low'\. Allowed: a number."):
        PROBLEM.check_metrics({"loss": "low"}, where="trial 3")
    with pytest.raises(MetricError, match="this study constrains 'latency_ms'"):
        PROBLEM.check_metrics({"loss": 1.0, "acc": 1.0}, where="trial 3")
