"""Golovin et al. 2017, Google Vizier: the median stopping rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_asha import converging, study

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.median import Median
from luthier.schedulers.straight import Straight
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Uniform

GO, STOP = Decision.CONTINUE, Decision.STOP


def make(high=10, objectives=("loss",), constraints=(), **own):
    problem = Problem(
        Space(x=Float(0.0, 1.0)),
        tuple(o if isinstance(o, Objective) else Objective(o) for o in objectives),
        constraints,
        Fidelity("epoch", 1, high) if high else None,
    )
    return Median(problem, Uniform(problem, seed=0), seed=0, **own)


def run(rule, trial, losses, *, step=1, start=0, complete=True):
    """A trial that reports every `step` epochs; what it was told each time."""
    told = []
    for i, loss in enumerate(losses, 1):
        metrics = loss if isinstance(loss, dict) else {"loss": loss}
        told.append(rule.on_report(Report(trial, start + i * step, metrics)))
    if complete:
        rule.on_end(trial, Status.COMPLETED)
    return told


def test_decisions_by_hand():
    """Three completed trials; their running averages at 1, 2, 3, 4:

    6 5 4 3 -> 6 5.5 5   4.5
    5 3 1 1 -> 5 4   3   2.5
    8 8 8 8 -> 8 8   8   8
    medians    6 5.5 5   4.5
    """
    rule = make(high=5, grace=2, least=3)
    for trial, losses in enumerate([(6, 5, 4, 3, 3), (5, 3, 1, 1, 1), (8, 8, 8, 8, 8)]):
        assert run(rule, trial, losses) == [GO] * 5
    # 9 is worse than 6 within the grace; the best by 2 is 5.5, equal to the median; by 3 it is still 5.5, worse than 5
    assert run(rule, 3, (9, 5.5, 7), complete=False) == [GO, GO, STOP]
    # one good early value carries a trial through, although later ones are bad: the best so far counts
    assert run(rule, 4, (4.4, 9, 9, 9), complete=False) == [GO] * 4
    # at the full resource there is nothing to save
    assert run(rule, 5, (4.6, 9, 9), complete=False) == [GO, GO, GO]
    assert rule.on_report(Report(5, 5, {"loss": 9.0})) is GO


def test_only_completed_trials_are_a_yardstick():
    rule = make(high=4, grace=1, least=2)
    run(rule, 0, (5, 5, 5, 5))
    run(rule, 1, (1, 1), complete=False)
    rule.on_end(1, Status.STOPPED)
    run(rule, 2, (1, 1), complete=False)
    rule.on_end(2, Status.FAILED)
    assert run(rule, 3, (9, 9, 9), complete=False) == [GO] * 3, "one completed trial is fewer than two"
    rule.on_end(3, Status.STOPPED)
    run(rule, 4, (7, 7, 7, 7))
    assert run(rule, 5, (6, 6.1), complete=False) == [GO, GO], "the median of 5 and 7 is 6"
    assert run(rule, 6, (6.5,), complete=False) == [STOP]


def test_a_completed_trial_counts_only_as_far_as_it_came():
    """Programs that end early, and programs that report seldom."""
    rule = make(grace=1, least=2)
    run(rule, 0, (1, 1))  # ended by itself after two epochs
    run(rule, 1, (1, 1))
    assert run(rule, 2, (9, 9), complete=False) == [STOP, STOP]
    assert rule.on_report(Report(3, 3, {"loss": 9.0})) is GO, "nobody came that far"
    run(rule, 4, (2, 2), step=4)  # reports at 4 and 8: at 5 its average is that of its first report
    run(rule, 5, (2, 2), step=4)
    assert rule.on_report(Report(6, 5, {"loss": 2.1})) is STOP
    assert rule.on_report(Report(7, 3, {"loss": 2.1})) is GO


@pytest.mark.parametrize(
    ("high", "step", "judged"),
    [
        (100, 1, 5),  # the fifth report
        (8, 1, 4),  # half of the resource comes first
        (3, 1, 2),
        (100, 20, 60),  # few reports
        (2, 2, None),  # one report: never
    ],
)
def test_grace_of_five_reports_or_half_of_the_resource(high, step, judged):
    rule = make(high=high, least=1)
    count = high // step
    run(rule, 0, [0.0] * count, step=step)
    told = run(rule, 1, [1.0] * count, step=step)
    first = told.index(STOP) + 1 if STOP in told else None
    assert first == (judged and judged // step)


def test_saves_resource_and_keeps_the_best_arm():
    saved = []
    for seed in range(5):
        final, curve = converging(seed)
        quick = study(Median, curve, 27, workers=4, seed=seed)
        plain = study(Straight, curve, 27, workers=4, seed=seed)
        assert quick.status[int(np.argmin(final))] is Status.COMPLETED
        spent = [sum(len(reports) for reports in drive.reports.values()) for drive in (quick, plain)]
        saved.append(1 - spent[0] / spent[1])
    # paper and tools speak of a quarter to a half; here four workers complete several trials before the first verdict
    assert min(saved) > 0.25


def test_edge_case_a_repeated_run_changes_nothing():
    rule = make(grace=1, least=1)
    run(rule, 0, [1.0] * 10)
    assert rule.on_report(Report(1, 1, {"loss": 0.5})) is GO
    rule.on_end(1, Status.WAITING)  # lost; it starts anew, and by chance does worse
    assert rule.on_report(Report(1, 1, {"loss": 9.0})) is GO
    assert rule.on_report(Report(1, 2, {"loss": 9.0})) is GO, "its best is 0.5"
    assert rule.on_report(Report(2, 1, {"loss": 2.0})) is STOP
    rule.on_end(2, Status.WAITING)
    assert rule.on_report(Report(2, 1, {"loss": 0.1})) is STOP, "a verdict stands"


def test_edge_case_nan():
    rule = make(grace=1, least=1)
    assert rule.on_report(Report(0, 1, {"loss": math.nan})) is STOP
    rule.on_end(0, Status.DIVERGED)
    assert run(rule, 1, [9.0], complete=False) == [GO], "what diverged is no yardstick"


def test_several_objectives_end_a_trial_only_when_it_is_behind_in_each():
    rule = make(objectives=("loss", Objective("speed", "max")), grace=1, least=1)
    run(rule, 0, [{"loss": 1.0, "speed": 10.0}] * 10)
    assert run(rule, 1, [{"loss": 2.0, "speed": 11.0}], complete=False) == [GO]
    assert run(rule, 2, [{"loss": 2.0, "speed": 10.0}], complete=False) == [GO]
    assert run(rule, 3, [{"loss": 2.0, "speed": 9.0}], complete=False) == [STOP]


def test_constraints_feasible_comes_before_infeasible():
    rule = make(constraints=(Constraint("size", 10.0),), grace=1, least=1)
    run(rule, 0, [{"loss": 5.0, "size": 9.0}] * 10)
    assert run(rule, 1, [{"loss": 1.0, "size": 11.0}], complete=False) == [STOP]
    assert run(rule, 2, [{"loss": 1.0, "size": 9.0}], complete=False) == [GO]
    strict = make(constraints=(Constraint("size", 10.0),), grace=1, least=1)
    run(strict, 0, [{"loss": 5.0, "size": 12.0}] * 10)
    assert run(strict, 1, [{"loss": 9.0, "size": 11.0}], complete=False) == [GO], "it violates less"
    assert run(strict, 2, [{"loss": 1.0, "size": 13.0}], complete=False) == [STOP]


def test_jobs_run_to_the_end():
    rule = make()
    assert rule.next_job() is None
    assert rule.next_job(3, given=("enqueued", Configuration(x=0.5))) == Job(3, Configuration(x=0.5), origin="enqueued")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"grace": 11}, "grace=11. Allowed: a number and at least 1 and at most 10."),
        ({"least": 0}, "least=0. Allowed: a whole number and at least 1."),
        (
            {"high": None},
            "scheduler 'median' needs a fidelity. Give fidelity=('epoch', 1, 81) (command line: --max epoch=81), "
            "or use scheduler='straight'.",
        ),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message
