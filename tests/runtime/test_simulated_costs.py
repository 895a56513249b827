"""Virtual time: what is paid for by whom, and whose place an incumbent has."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
from test_simulated import Toy, conserved

import luthier as lu
from luthier import bench
from luthier.base.records import Evaluation
from luthier.bench.simulation import Moment
from luthier.bench.studies.coarse import Coarse
from luthier.bench.studies.views import View
from luthier.runtime.executors import Cluster, Simulated


def coarser(toy: Toy) -> bench.BaseBenchmark:
    return Coarse(toy, 1) if toy.fidelity is not None and toy.fidelity.whole else toy


@pytest.mark.parametrize("axis", [lu.Fidelity("part", 1 / 9, 1), lu.Fidelity("rows", 1, 9)])
@pytest.mark.parametrize("wrap", [lambda toy: toy, lambda toy: View(toy, "seconds"), coarser])
def test_a_share_of_the_data_is_paid_anew_at_every_level(axis: lu.Fidelity, wrap: Any) -> None:
    """A model of a third of the rows is no beginning of one of all: no run is cheaper than it would be by itself."""
    toy = Toy(axis)
    if axis.whole:  # steps go on unless the benchmark says otherwise
        toy.continues = False
    settings: dict[str, Any] = {"searcher": "random", "scheduler": {"name": "asha", "type": "promotion"}}
    done = bench.simulate(wrap(toy), **settings, workers=1, trials=30)
    conserved(done, 1)
    configs = {t.number: t.config for t in done.result.trials}
    reports = [e for e in done.study.events() if e.kind == "reported"]
    assert len(reports) == len(done.executor.trace), "one report for each fit"
    assert {s.attempt for s in done.executor.trace} == {1, 2, 3}
    for stint, event in zip(done.executor.trace, reports, strict=True):
        alone = toy._one(configs[stint.trial], event.data["resource"]).seconds
        assert stint.end - stint.start == pytest.approx(alone)


def test_a_benchmark_says_that_its_fractions_go_on() -> None:
    toy = Toy(lu.Fidelity("part", 1 / 9, 1))
    toy.continues = True
    how = {"name": "asha", "type": "promotion"}
    done = bench.simulate(toy, searcher="random", scheduler=how, workers=1, trials=30)
    whole = sum((1 + t.config["y"]) * t.resource for t in done.result.trials)
    assert done.seconds == pytest.approx(whole), "each trial is paid once, as far as it came"


class Grows(Toy):
    """Where x is below a half the model outgrows its bound at the last epoch."""

    constraints = (lu.Constraint("size", 1.0),)

    def _one(self, c: Any, spent: float) -> Evaluation:
        return Evaluation({"loss": c["x"], "size": 2.0 if c["x"] < 0.5 and spent == 3 else 0.5}, spent)


def test_an_incumbent_that_becomes_infeasible_gives_its_place_to_another() -> None:
    toy = Grows(lu.Fidelity("epoch", 1, 3))
    first = [{"x": 0.8, "y": 0.0}, {"x": 0.1, "y": 0.0}]
    settings: dict[str, Any] = {"searcher": "random", "trials": 2, "first": first, "defaults_first": False}
    late = Simulated(cluster=Cluster(speeds=(0.5, 1.0)))
    done = bench.simulate(toy, **settings, workers=2, executor=late)
    # trial 1 reports at 1, 2 and 3, where it breaks the bound; trial 0, which had lost its place, at 2, 4 and 6
    assert done.incumbents() == [
        Moment(1, 1, 1, 0.1),
        Moment(2, 1, 2, 0.1),
        Moment(3, 0, 1, 0.8),
        Moment(4, 0, 2, 0.8),
        Moment(6, 0, 3, 0.8),
    ]
    assert done.result.best.number == 0
    assert done.scored() == [(1, math.inf), (2, math.inf), (3, 0.8), (4, 0.8), (6, 0.8)]
    alone = bench.simulate(toy, **{**settings, "trials": 1, "first": first[1:]}, workers=1)
    assert [m.resource for m in alone.incumbents()] == [1, 2, 3], "nothing else is there"


class Slow(Toy):
    """Takes a tenth of a second to answer, and says that a training costs a hundredth."""

    def _evaluate(self, configs: Sequence[Any], resource: float | None, seed: int | None) -> list[Evaluation]:
        time.sleep(0.1 * len(configs))
        return [Evaluation({"loss": c["x"]}, 0.01) for c in configs]


def test_the_benchmarks_own_answering_is_no_thinking() -> None:
    settings: dict[str, Any] = {"searcher": "random", "workers": 2, "trials": 10}
    done = bench.simulate(Slow(None), **settings, executor=Simulated(overhead="count"))
    assert 0.05 <= done.seconds < 0.95, "ten answers took a second"
