"""Bohdal et al. 2023, PASHA."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_asha import ARMS, InOrder, converging, problem_of, study

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.asha import Asha
from luthier.schedulers.pasha import Pasha, noise
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space


def make(high=27, objectives=("loss",), constraints=(), **own):
    problem = Problem(
        Space(arm=Int(0, ARMS - 1)), tuple(map(Objective, objectives)), constraints, Fidelity("epoch", 1, high)
    )
    return Pasha(problem, InOrder(problem, seed=0), seed=0, **own)


def stand(pasha, trial, until, **metrics):
    """A trial runs up to a rung, and rests there."""
    pasha.on_start(Job(trial, Configuration(arm=trial), until))
    assert pasha.on_report(Report(trial, until, metrics)) is Decision.PAUSE
    pasha.on_end(trial, Status.PAUSED)


def ladder(pasha, results, levels=(1, 3)):
    """Trials reach the first rung, then the second, in order; the top after each that reached the second."""
    for trial, losses in enumerate(results):
        stand(pasha, trial, levels[0], loss=losses[0])
    tops = []
    for trial, losses in enumerate(results):
        stand(pasha, trial, levels[1], loss=losses[1])
        tops.append(pasha.top)
    return tops


@pytest.mark.parametrize(
    ("results", "epsilon", "tops"),
    [
        ([(1, 1), (2, 2), (3, 3)], 0.0, [3, 3, 3]),  # the ranking stays as it was
        ([(1, 2), (2, 1), (3, 3)], 0.0, [3, 9, 9]),  # the first two change places; then 9 is the top, and empty
        ([(1, 2), (2, 1), (3, 3)], 1.0, [3, 3, 3]),  # they were 1 apart at the lower rung: alike
        ([(1, 2), (2, 1), (3, 0)], 1.0, [3, 3, 9]),  # the third takes the first place: 2 apart
        ([(1, 5), (2, 5), (3, 5)], 0.0, [3, 3, 3]),  # equal at the top: no contradiction
        ([(2, 1), (2, 5), (2, 3)], 0.0, [3, 3, 3]),  # equal at the lower rung: any order will do
    ],
)
def test_when_the_top_rises(results, epsilon, tops):
    assert ladder(make(epsilon=epsilon), results) == tops


def test_nothing_is_promoted_beyond_the_top_until_it_rises():
    pasha = make(epsilon=0.0)
    results = [(float(i), float(i)) for i in range(9)]
    for trial, losses in enumerate(results):
        stand(pasha, trial, 1, loss=losses[0])
    for trial in range(3):
        assert pasha.next_job() == Job(trial, Configuration(arm=trial), 3)
        stand(pasha, trial, 3, loss=results[trial][1])
    # asha would promote trial 0 to 9 now: it is the best of three at 3
    assert pasha.next_job() is None
    for trial in range(9, 12):
        stand(pasha, trial, 1, loss=-1.0)
    assert pasha.next_job() == Job(9, Configuration(arm=9), 3)
    stand(pasha, 9, 3, loss=9.0)  # best at 1, worst at 3
    assert pasha.top == 9
    assert pasha.next_job() == Job(0, Configuration(arm=0), 9)


def test_noise_by_hand():
    a = {1: 3.0, 2: 1.0, 3: 2.0}
    b = {1: 2.0, 2: 2.0, 3: 1.5}  # behind a, ahead, behind again: 0.5 apart at 3
    c = {1: 2.5, 2: 1.2, 3: 1.8}  # crosses a at 2 and 3 too: 0.2 apart; and b at 2 and 3: 0.3 apart
    far = {1: 9.0, 2: 9.0, 3: 9.0}
    assert noise([a, b, far], 1, 3) == pytest.approx(0.5)
    assert noise([a, b, c, far], 1, 3) == pytest.approx(np.percentile([0.5, 0.2, 0.3], 90))
    assert noise([a, b], 1, 2) is None, "by 2 they have crossed once"
    assert noise([a, b], 3, 9) is None, "nothing was reported beyond 3"
    assert noise([a, {1: 2.0, 3: 1.0}], 1, 3) is None
    assert noise([a], 1, 3) is None
    assert noise([a, a], 1, 3) is None
    # the newest resource that both have: 2.5 apart at 4, although both were close before
    assert noise([{**a, 4: 4.0}, {**b, 4: 1.5}], 1, 9) == pytest.approx(2.5)
    assert noise([{**a, 4: 4.0}, b], 1, 9) == pytest.approx(0.5)


def test_epsilon_is_estimated_where_rankings_differ():
    """The two best cross and cross back, 0.1 apart: that is noise. A rival from far behind is not."""
    pasha = make()
    curves = [(1.0, 1.2, 1.0), (1.1, 1.1, 1.1), (1.05, 1.15, 0.95), (5.0, 5.0, 5.0)]
    for trial, curve in enumerate(curves):
        stand(pasha, trial, 1, loss=curve[0])
    for trial, curve in enumerate(curves):
        pasha.on_start(Job(trial, Configuration(arm=trial), 3))
        assert pasha.on_report(Report(trial, 2, {"loss": curve[1]})) is Decision.CONTINUE
        assert pasha.on_report(Report(trial, 3, {"loss": curve[2]})) is Decision.PAUSE
        pasha.on_end(trial, Status.PAUSED)
    # 2 and 1 are 0.15 apart at 3, 0 and 1 are 0.1 apart, and both pairs crossed twice; at 1, 0 and 2 are 0.05 apart
    assert pasha.top == 3
    stand(pasha, 4, 1, loss=6.0)
    stand(pasha, 4, 3, loss=0.0)
    assert pasha.top == 9


def spent(drive):
    return sum(len(reports) for reports in drive.reports.values())


def test_spends_less_than_asha_where_the_ranking_is_stable_and_as_much_where_it_is_not():
    for seed in range(3):
        final, _ = converging(seed)

        def steady(config, resource, final=final):
            return {"loss": float(final[config["arm"]]) + 1 / resource}

        def reversing(config, resource, final=final):
            return {"loss": float(final[config["arm"]]) * (1 if resource < 3 else -1 if resource < 9 else 1)}

        pasha, asha = (
            study(cls, steady, 81, workers=4, seed=seed, **own)
            for cls, own in ((Pasha, {}), (Asha, {"type": "promotion"}))
        )
        assert pasha.scheduler.top == 3
        assert spent(pasha) < 0.5 * spent(asha)
        rows = [row for row in pasha.scheduler.rungs() if row["resource"] == 3]
        assert rows[0]["trial"] == int(np.argmin(final)), "the best stands first at the top rung"
        unstable = study(Pasha, reversing, 81, workers=4, seed=seed)
        assert unstable.scheduler.top == 27


@pytest.mark.parametrize(("high", "top"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_edge_case_few_rungs(high, top):
    pasha = make(high=high)
    assert pasha.top == top
    if top == high:  # then it is asha
        drives = [
            study(cls, converging(0)[1], high, workers=3, **own)
            for cls, own in ((Pasha, {}), (Asha, {"type": "promotion"}))
        ]
        assert drives[0].jobs == drives[1].jobs


def test_edge_case_nan_and_failures_at_the_top():
    pasha = make(epsilon=0.0)
    for trial in range(3):
        stand(pasha, trial, 1, loss=float(trial))
    pasha.on_start(Job(0, Configuration(arm=0), 3))
    assert pasha.on_report(Report(0, 3, {"loss": math.nan})) is Decision.STOP
    pasha.on_end(0, Status.DIVERGED)
    pasha.on_start(Job(1, Configuration(arm=1), 3))
    pasha.on_end(1, Status.FAILED)
    assert pasha.top == 3
    stand(pasha, 2, 3, loss=2.0)
    assert pasha.top == 3


def test_several_objectives_are_ranked_by_front():
    pasha = make(objectives=("loss", "size"))
    lower = [(1.0, 3.0), (3.0, 1.0), (4.0, 4.0)]  # two on the front, one behind
    for trial, (loss, size) in enumerate(lower):
        stand(pasha, trial, 1, loss=loss, size=size)
    stand(pasha, 0, 3, loss=3.0, size=1.0)
    stand(pasha, 1, 3, loss=1.0, size=3.0)
    assert pasha.top == 3, "they changed places on one front"
    stand(pasha, 2, 3, loss=0.5, size=0.5)
    assert pasha.top == 9, "what was behind is ahead"


def test_constraints_the_infeasible_are_alike():
    pasha = make(constraints=(Constraint("size", 1.0),), epsilon=0.0)
    for trial, size in enumerate((0.0, 2.0, 3.0)):
        stand(pasha, trial, 1, loss=1.0, size=size)
    stand(pasha, 1, 3, loss=1.0, size=9.0)
    stand(pasha, 2, 3, loss=1.0, size=8.0)
    assert pasha.top == 3
    stand(pasha, 0, 3, loss=1.0, size=10.0)
    assert pasha.top == 9, "the feasible one is the worst now"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"epsilon": -1}, "epsilon=-1. Allowed: a number and at least 0."),
        ({"eta": 1}, "eta=1. Allowed: a whole number and at least 2."),
        (
            {"epsilon": 0.1, "objectives": ("loss", "size")},
            "epsilon=0.1 with 2 objectives. Allowed: None; with several objectives the trials of one front are alike.",
        ),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message


def test_a_maximised_metric_has_the_same_noise():
    problem = problem_of(81)
    flipped = Problem(problem.space, (Objective("score", "max"),), fidelity=problem.fidelity)
    curve = converging(0)[1]

    def wobbly(config, resource):
        return {"loss": curve(config, resource)["loss"] + 0.02 * math.sin(7 * config["arm"] + 11 * resource)}

    plain = study(Pasha, wobbly, 81, workers=4)
    assert plain.scheduler._epsilon > 0
    mirror = Pasha(flipped, InOrder(flipped, seed=0), seed=0)
    for kind, given, answer in plain.log:
        if kind == "start":
            mirror.on_start(given)
        elif kind == "end":
            mirror.on_end(*given)
        elif kind == "report":
            report = Report(given.trial, given.resource, {"score": -given.metrics["loss"]})
            assert mirror.on_report(report) is answer
    assert mirror._epsilon == pytest.approx(plain.scheduler._epsilon)
