"""Asha's rungs, ties, skipped levels, statuses and brackets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers._rungs import Entry, Rung, bracket_weights, rung_levels, several_keys
from luthier.schedulers.asha import Asha
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Uniform

SPACE = Space(x=Float(0.0, 1.0))
CONFIG = Configuration(x=0.5)


def make(*, fidelity=("epoch", 1, 9), objectives=("loss",), constraints=(), **own):
    axis = None if fidelity is None else Fidelity(*fidelity)
    problem = Problem(
        SPACE, tuple(o if isinstance(o, Objective) else Objective(o) for o in objectives), constraints, axis
    )
    return Asha(problem, Uniform(problem, seed=0), seed=0, **own)


def start(asha, trial, until=None):
    asha.on_start(Job(trial, CONFIG, until))


def report(asha, trial, resource, **metrics):
    return asha.on_report(Report(trial, resource, metrics))


def pause_at(asha, trial, resource, loss):
    """A new trial that runs to its first rung and pauses there."""
    start(asha, trial, resource)
    assert report(asha, trial, resource, loss=loss) is Decision.PAUSE
    asha.on_end(trial, Status.PAUSED)


@pytest.mark.parametrize(
    ("fidelity", "eta", "grace", "levels"),
    [
        ((1, 81), 3, 1, (1, 3, 9, 27, 81)),
        ((1, 243), 3, 1, (1, 3, 9, 27, 81, 243)),  # log(243, 3) is 4.999... in floating point
        ((1, 50), 3, 1, (1, 3, 9, 27, 50)),
        ((1, 82), 3, 1, (1, 3, 9, 27, 81, 82)),
        ((1, 52), 4, 2, (2, 8, 32, 52)),
        ((1, 1), 3, 1, (1,)),
        ((1, 9), 3, 9, (9,)),
        ((1 / 27, 1), 3, 1 / 27, (1 / 27, 1 / 9, 1 / 3, 1.0)),
    ],
)
def test_levels(fidelity, eta, grace, levels):
    found = rung_levels(Fidelity("epoch", *fidelity), eta, grace)
    assert found == pytest.approx(levels, rel=1e-12)
    assert len(found) == len(levels)
    if all(isinstance(level, int) for level in levels):
        assert found == levels
        assert all(isinstance(level, int) for level in found)


def test_stopping_lets_the_best_third_go_on():
    asha = make()
    decisions = [report(asha, i, 1, loss=loss) for i, loss in enumerate([5.0, 4.0, 6.0, 3.0, 4.5, 3.5, 2.0])]
    go, stop = Decision.CONTINUE, Decision.STOP
    # fewer than three: all go on; then the best floor(n / 3) of what was seen: 1, 1, 1, 2, 2
    assert decisions == [go, go, stop, go, stop, go, go]


def test_the_one_behind_the_best_third_stops():
    """Of three one goes on: with one result better than it, the second best does not."""
    asha = make()
    assert [report(asha, i, 1, loss=loss) for i, loss in enumerate([5.0, 4.0])] == [Decision.CONTINUE] * 2
    assert report(asha, 2, 1, loss=4.5) is Decision.STOP


def test_by_the_quantile_rule_one_more_goes_on_when_stopping():
    """A result goes on with up to (n - 1) / 3 better ones: 0, 1/3, 2/3, and 1 of four."""
    asha = make(share="quantile")
    decisions = [report(asha, i, 1, loss=loss) for i, loss in enumerate([1.0, 2.0, 3.0, 1.5])]
    assert decisions == [Decision.CONTINUE, Decision.STOP, Decision.STOP, Decision.CONTINUE]


def test_by_the_quantile_rule_one_of_two_is_promoted():
    asha = make(type="promotion", share="quantile")
    pause_at(asha, 0, 1, 1.0)
    assert asha.next_job() is None  # a single result has no quantile
    pause_at(asha, 1, 1, 2.0)
    assert asha.next_job() == Job(0, CONFIG, 3)
    asha.on_start(Job(0, CONFIG, 3))
    assert asha.next_job() is None  # place 1, and 1/3 is the last that goes on
    pause_at(asha, 2, 1, 3.0)
    assert asha.next_job() is None  # 2/3
    pause_at(asha, 3, 1, 4.0)
    assert asha.next_job() == Job(1, CONFIG, 3)  # place 1 of four: 3/3


def test_at_the_full_resource_nobody_is_judged():
    asha = make()
    assert [report(asha, i, 9, loss=float(i)) for i in range(4)] == [Decision.CONTINUE] * 4
    assert [row["promoted"] for row in asha.rungs()] == [True] * 4


def test_ties_go_on_together_when_stopping():
    asha = make()
    assert [report(asha, i, 1, loss=1.0) for i in range(8)] == [Decision.CONTINUE] * 8
    assert report(asha, 8, 1, loss=1.5) is Decision.STOP


def test_ties_are_promoted_in_order_of_arrival():
    asha = make(type="promotion")
    for trial in (3, 1, 2):
        pause_at(asha, trial, 1, loss=1.0)
    assert asha.next_job() == Job(3, CONFIG, 3)
    asha.on_start(Job(3, CONFIG, 3))
    assert asha.next_job() is None  # one of three


def test_a_skipped_level_counts_at_the_first_report_beyond_it():
    asha = make()
    for trial, loss in ((0, 1.0), (1, 2.0)):
        assert report(asha, trial, 2, loss=loss) is Decision.CONTINUE
        assert report(asha, trial, 5, loss=loss) is Decision.CONTINUE
    report(asha, 2, 2, loss=0.5)
    assert report(asha, 2, 5, loss=3.0) is Decision.STOP
    assert [(row["resource"], row["trial"], row["value"]) for row in asha.rungs()] == [
        (1, 2, 0.5),
        (1, 0, 1.0),
        (1, 1, 2.0),
        (3, 0, 1.0),
        (3, 1, 2.0),
        (3, 2, 3.0),
    ]


def test_a_rung_that_was_jumped_over_is_left_alone():
    asha = make()
    report(asha, 0, 5, loss=1.0)
    assert [(row["resource"], row["trial"]) for row in asha.rungs()] == [(3, 0)]


def test_a_resource_reported_again_changes_nothing():
    asha = make(type="promotion")
    start(asha, 0, 1)
    assert report(asha, 0, 1, loss=1.0) is Decision.PAUSE
    asha.on_end(0, Status.WAITING)  # lost after its report, before it could pause
    before = asha.rungs()
    start(asha, 0, 1)
    assert report(asha, 0, 1, loss=7.0) is Decision.PAUSE
    assert asha.rungs() == before


def test_a_stop_stays_a_stop_when_the_run_is_repeated():
    asha = make()
    for trial, loss in ((0, 1.0), (1, 2.0), (2, 3.0)):
        decision = report(asha, trial, 1, loss=loss)
    assert decision is Decision.STOP
    asha.on_end(2, Status.WAITING)
    start(asha, 2)
    assert report(asha, 2, 1, loss=3.0) is Decision.STOP


def test_nan_is_stopped_and_not_counted():
    asha = make(type="promotion")
    start(asha, 0, 1)
    assert report(asha, 0, 1, loss=math.nan) is Decision.STOP
    asha.on_end(0, Status.DIVERGED)
    assert asha.rungs() == []
    for trial, loss in ((1, 1.0), (2, 2.0)):
        pause_at(asha, trial, 1, loss)
    assert asha.next_job() is None, "two results are fewer than eta, the diverged one does not count"


@pytest.mark.parametrize("status", [Status.FAILED, Status.DIVERGED, Status.LOST, Status.COMPLETED])
def test_what_has_ended_otherwise_is_never_promoted(status):
    asha = make(type="promotion")
    start(asha, 0, 1)
    report(asha, 0, 1, loss=0.0)
    asha.on_end(0, status)
    for trial, loss in ((1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)):
        pause_at(asha, trial, 1, loss)
    assert asha.next_job() is None  # trial 0 holds the one place among five
    pause_at(asha, 5, 1, 5.0)
    assert asha.next_job() == Job(1, CONFIG, 3)


def test_a_running_trial_is_not_promoted_before_it_has_paused():
    asha = make(type="promotion")
    for trial in range(3):
        start(asha, trial, 1)
        report(asha, trial, 1, loss=float(trial))
    assert asha.next_job() is None
    asha.on_end(0, Status.PAUSED)
    assert asha.next_job() == Job(0, CONFIG, 3)


def test_the_end_of_a_study_keeps_paused_trials_promotable():
    asha = make(type="promotion")
    for trial in range(3):
        pause_at(asha, trial, 1, float(trial))
    for trial in range(3):
        asha.on_end(trial, Status.STOPPED)
    assert asha.next_job() == Job(0, CONFIG, 3)


def test_a_trial_stopped_on_its_way_is_not_promoted_again():
    asha = make(type="promotion")
    for trial in range(3):
        pause_at(asha, trial, 1, float(trial))
    start(asha, 0, 3)
    asha.on_end(0, Status.STOPPED)
    assert asha.next_job() is None


def test_pausing_without_a_word_counts_the_last_report_at_the_rung():
    asha = make(type="promotion", grace=3)
    start(asha, 0, 3)
    assert report(asha, 0, 2, loss=1.0) is Decision.CONTINUE
    asha.on_end(0, Status.PAUSED)
    assert asha.rungs() == [{"bracket": 0, "resource": 3, "trial": 0, "value": 1.0, "promoted": False}]


def test_a_trial_without_a_grant_runs_to_the_end():
    asha = make(type="promotion")
    start(asha, 0)
    assert [report(asha, 0, r, loss=1.0) for r in range(1, 10)] == [Decision.CONTINUE] * 9
    asha.on_end(0, Status.COMPLETED)
    assert [row["resource"] for row in asha.rungs()] == [1, 3, 9]


def test_constraints_rank_infeasible_results_behind():
    asha = make(type="promotion", constraints=(Constraint("size", 10.0),))
    for trial, loss, size in ((0, 0.1, 20.0), (1, 0.9, 5.0), (2, 0.5, 12.0)):
        start(asha, trial, 1)
        asha.on_report(Report(trial, 1, {"loss": loss, "size": size}))
        asha.on_end(trial, Status.PAUSED)
    assert asha.next_job() == Job(1, CONFIG, 3)
    assert [row["trial"] for row in asha.rungs()] == [1, 2, 0]


def test_several_objectives_rank_by_front_then_lonely_first():
    asha = make(type="promotion", objectives=("loss", Objective("speed", "max")))
    points = {0: (1.0, 1.0), 1: (2.0, 5.0), 2: (2.5, 0.5), 3: (3.0, 6.0), 4: (1.5, 4.0), 5: (9.0, 0.0)}
    for trial, (loss, speed) in points.items():
        start(asha, trial, 1)
        asha.on_report(Report(trial, 1, {"loss": loss, "speed": speed}))
        asha.on_end(trial, Status.PAUSED)
    # front 0: trials 0 and 3 at its ends, then 1 and 4 by how lonely they are; 2 and 5 are dominated
    order = [row["trial"] for row in asha.rungs()]
    assert order[:2] == [0, 3]
    assert set(order[2:4]) == {1, 4}
    assert order[4:] == [2, 5]
    assert asha.next_job() == Job(0, CONFIG, 3)


def test_keys_of_infeasible_results_come_last():
    entries = [Entry(0, (1.0, 1.0), 2.0, 0), Entry(1, (5.0, 5.0), 0.0, 1), Entry(2, (0.0, 0.0), 0.5, 2)]
    keys = several_keys(entries)
    assert sorted(range(3), key=lambda i: keys[i]) == [1, 2, 0]


def test_rung_agrees_with_plain_sorting():
    rng = np.random.default_rng(0)
    rung = Rung(1)
    values = rng.integers(0, 20, 300) / 4
    for trial, value in enumerate(values):
        rung.add(trial, (float(value),), 0.0)
        assert rung.better(trial) == int((values[:trial] < value).sum())
    expected = sorted(range(300), key=lambda t: (values[t], t))
    assert [rung.place(trial) for trial in expected] == list(range(300))
    for trial in (5, 17, 200):
        rung.open(trial)
        rung.open(trial)
    assert rung.best_open() == min((5, 17, 200), key=lambda t: (values[t], t))
    for trial in (5, 17, 200):
        rung.close(trial)
        rung.close(trial)
    assert rung.best_open() is None


def test_brackets_begin_at_their_rung_and_follow_the_weights():
    asha = make(fidelity=("epoch", 1, 81), type="promotion", brackets=3)
    counts = np.bincount([asha.bracket_of(k) for k in range(3000)], minlength=3)
    # Hyperband with five rungs: 81, 34, 15 starts, before rounding 81, 33.75, 15
    assert bracket_weights(5, 3, 3) == pytest.approx(np.array([81, 33.75, 15]) / 129.75)
    assert counts / 3000 == pytest.approx(bracket_weights(5, 3, 3), abs=0.03)
    for k in range(30):
        assert asha.next_job(k).until == (1, 3, 9)[asha.bracket_of(k)]


def test_given_configurations_keep_their_origin():
    asha = make(type="promotion")
    assert asha.next_job(4, given=("enqueued", CONFIG)) == Job(4, CONFIG, 1, origin="enqueued")
    assert asha.next_job(5).origin == "uniform"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"eta": 1}, "eta=1. Allowed: a whole number and at least 2."),
        ({"eta": 2.5}, "eta=2.5. Allowed: a whole number and at least 2."),
        ({"grace": 0.5}, "grace=0.5. Allowed: a whole number and at least 1 and at most 9."),
        ({"grace": 10}, "grace=10. Allowed: a whole number and at least 1 and at most 9."),
        ({"type": "promote"}, "type='promote'. Did you mean 'promotion'?"),
        ({"brackets": 4}, "brackets=4. Allowed: a whole number and at least 1 and at most 3."),
        (
            {"fidelity": None},
            "scheduler 'asha' needs a fidelity. Give fidelity=('epoch', 1, 81) (command line: --max epoch=81), "
            "or use scheduler='straight'.",
        ),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message


def test_a_report_without_a_resource_is_refused():
    with pytest.raises(ArgumentError) as caught:
        make().on_report(Report(3, None, {"loss": 1.0}))
    assert str(caught.value) == (
        "trial 3 reported no resource; scheduler 'asha' judges by it. "
        "Report it with the metrics: run.report(..., epoch=...)."
    )
