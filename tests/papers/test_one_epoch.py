"""Egele et al. 2023, Is One Epoch All You Need For Multi-Fidelity Hyperparameter Optimization?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_asha import ARMS, InOrder, converging, crossing, problem_of, study

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.one_epoch import OneEpoch
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space


def make(high=9, low=1, arms=ARMS, objectives=("loss",), constraints=(), budget=None, **own):
    problem = Problem(
        Space(arm=Int(0, arms - 1)), tuple(map(Objective, objectives)), constraints, Fidelity("epoch", low, high)
    )
    found = OneEpoch(problem, InOrder(problem, seed=0), seed=0, **own)
    found.on_budget(budget)
    return found


def first(scheduler, trial, **metrics):
    """A new trial runs for the lowest resource and pauses."""
    job = scheduler.next_job(trial)
    assert job == Job(trial, Configuration(arm=trial), 1, origin="uniform")
    scheduler.on_start(job)
    assert scheduler.on_report(Report(trial, 1, metrics)) is Decision.PAUSE
    scheduler.on_end(trial, Status.PAUSED)


def promotions(scheduler):
    """Who goes on to the full resource now; they start."""
    found = []
    while (job := scheduler.next_job()) is not None:
        assert job.until == 9
        scheduler.on_start(job)
        found.append(job.trial)
    return found


def test_pools_by_hand():
    scheduler = make(pool=4, top=2)
    for trial, loss in enumerate((5.0, 1.0, 3.0)):
        first(scheduler, trial, loss=loss)
        assert scheduler.next_job() is None, "the pool is not complete"
    first(scheduler, 3, loss=2.0)
    assert promotions(scheduler) == [1, 3]
    for trial, loss in enumerate((9.0, 2.5, 8.0, 7.0), 4):
        first(scheduler, trial, loss=loss)
    assert promotions(scheduler) == [5, 2], "the best of all that have not gone on; trial 2 is of the first pool"
    for resource in range(2, 10):
        assert scheduler.on_report(Report(1, resource, {"loss": 1.0})) is Decision.CONTINUE
    scheduler.on_end(1, Status.COMPLETED)
    assert scheduler.next_job() is None


def test_the_pool_is_the_budget_when_there_is_one():
    scheduler = make(budget=5)
    for trial in range(5):
        assert scheduler.next_job() is None
        first(scheduler, trial, loss=float(5 - trial))
    assert promotions(scheduler) == [4, 3, 2]
    scheduler.on_budget(8)  # the study is continued
    assert promotions(scheduler) == []
    for trial in range(5, 8):
        first(scheduler, trial, loss=4.5)
    assert promotions(scheduler) == [1, 5, 6], "4, and then 4.5 in order of arrival"


def test_the_pool_is_a_hundred_when_there_is_none():
    scheduler = make(arms=1000)
    for trial in range(99):
        first(scheduler, trial, loss=float(trial))
    assert scheduler.next_job() is None
    first(scheduler, 99, loss=-1.0)
    assert promotions(scheduler) == [99, 0, 1]


def test_a_pool_that_can_no_longer_fill_is_complete():
    scheduler = make(budget=6, pool=4, top=1)
    for trial in range(4):
        first(scheduler, trial, loss=float(trial))
    assert promotions(scheduler) == [0]
    for trial in (4, 5):
        first(scheduler, trial, loss=float(trial))
    assert promotions(scheduler) == [1], "two of four: the study has no more"
    late = make(pool=100, top=1)
    for trial in range(3):
        first(late, trial, loss=float(trial))
    late.on_budget(3)  # it was limited by time at first, and is continued with no more trials
    assert promotions(late) == [0]
    small = make(arms=3, top=1)  # the space is exhausted
    for trial in range(3):
        first(small, trial, loss=float(trial))
    assert promotions(small) == [0]


def test_failures_count_in_their_pool_and_never_go_on():
    scheduler = make(pool=4, top=3)
    first(scheduler, 0, loss=3.0)
    for trial, (loss, status) in enumerate(((math.nan, Status.DIVERGED), (0.0, Status.FAILED)), 1):
        scheduler.on_start(scheduler.next_job(trial))
        scheduler.on_report(Report(trial, 1, {"loss": loss}))
        scheduler.on_end(trial, status)
    scheduler.on_start(scheduler.next_job(3))
    scheduler.on_end(3, Status.WAITING)
    assert scheduler.next_job() is None, "a lost run comes back"
    scheduler.on_start(Job(3, Configuration(arm=3), 1))
    scheduler.on_report(Report(3, 1, {"loss": 4.0}))
    scheduler.on_end(3, Status.PAUSED)
    assert promotions(scheduler) == [0, 3]
    scheduler.on_end(0, Status.FAILED)
    assert scheduler.next_job() is None, "what fails on its way is not replaced"


def test_the_end_of_a_study_keeps_who_was_chosen():
    scheduler = make(pool=4, top=2)
    for trial in range(4):
        first(scheduler, trial, loss=float(trial))
    scheduler.on_start(scheduler.next_job())
    for trial in range(4):
        scheduler.on_end(trial, Status.STOPPED)
    scheduler.on_budget(None)
    assert promotions(scheduler) == [1], "trial 0 was stopped on its way"


def test_a_program_that_pauses_without_a_word_counts_but_cannot_be_chosen():
    scheduler = make(pool=2, top=2)
    scheduler.on_start(scheduler.next_job(0))
    scheduler.on_end(0, Status.PAUSED)
    first(scheduler, 1, loss=1.0)
    assert promotions(scheduler) == [1]


def test_finds_the_best_arm_with_the_least_resource():
    for seed in range(5):
        final, curve = converging(seed)
        drive = study(OneEpoch, curve, 27, workers=4, seed=seed)
        done = [trial for trial, status in drive.status.items() if status is Status.COMPLETED]
        assert len(done) == 3
        assert min(done, key=lambda trial: final[trial]) == int(np.argmin(final))
        assert sum(len(reports) for reports in drive.reports.values()) == ARMS + 3 * 26


def test_what_it_cannot_see():
    """A slow starter is lost."""
    drive = study(OneEpoch, crossing, 27, workers=1)
    assert drive.status[0] is Status.PAUSED


@pytest.mark.parametrize("pool", [None, 7, 20])
def test_sixteen_workers_are_never_idle(pool):
    drive = study(OneEpoch, converging(0)[1], 27, workers=16, pool=pool)
    assert drive.idle == 0
    done = [trial for trial, status in drive.status.items() if status is Status.COMPLETED]
    assert len(done) == 3 * math.ceil(ARMS / (pool or ARMS))


def test_edge_case_one_level():
    scheduler = make(low=9, budget=2)
    assert scheduler.next_job(0) == Job(0, Configuration(arm=0), 9, origin="uniform")
    scheduler.on_start(scheduler.next_job(0))
    assert scheduler.on_report(Report(0, 9, {"loss": 1.0})) is Decision.CONTINUE
    scheduler.on_end(0, Status.COMPLETED)
    assert scheduler.next_job() is None
    drive = study(OneEpoch, converging(0)[1], 1, workers=4, trials=9)
    assert set(drive.status.values()) == {Status.COMPLETED}


def test_several_objectives_and_constraints():
    scheduler = make(objectives=("loss", "size"), constraints=(Constraint("watt", 1.0),), pool=4, top=2)
    for trial, (loss, size, watt) in enumerate(((0.0, 0.0, 2.0), (1.0, 2.0, 0.0), (3.0, 3.0, 0.0), (2.0, 1.0, 0.0))):
        first(scheduler, trial, loss=loss, size=size, watt=watt)
    assert promotions(scheduler) == [1, 3]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"pool": 0}, "pool=0. Allowed: a whole number and at least 1."),
        ({"top": 1.5}, "top=1.5. Allowed: a whole number and at least 1."),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message


def test_it_needs_a_fidelity():
    problem = Problem(problem_of(9).space, (Objective("loss"),))
    with pytest.raises(ArgumentError, match="scheduler 'one-epoch' needs a fidelity"):
        OneEpoch(problem, InOrder(problem, seed=0), seed=0)
