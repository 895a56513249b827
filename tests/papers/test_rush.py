"""Zappella, Salinas, Archambeau 2021, A resource-efficient method for repeated HPO and NAS problems (RUSH)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_asha import ARMS, InOrder, converging, problem_of

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.asha import Asha
from luthier.schedulers.rush import Rush
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Drive

GO, STOP = Decision.CONTINUE, Decision.STOP


def make(objectives=("loss",), constraints=(), **own):
    problem = Problem(
        Space(arm=Int(0, ARMS - 1)), tuple(map(Objective, objectives)), constraints, Fidelity("epoch", 1, 27)
    )
    return Rush(problem, InOrder(problem, seed=0), seed=0, **own)


def begin(rush, trial, origin="random", until=None):
    rush.on_start(Job(trial, Configuration(arm=trial), until, origin=origin))


def told(rush, trial, resource, **metrics):
    return rush.on_report(Report(trial, resource, metrics))


def pause(rush, trial, resource, loss, origin="random"):
    begin(rush, trial, origin, resource)
    assert told(rush, trial, resource, loss=loss) is Decision.PAUSE
    rush.on_end(trial, Status.PAUSED)


def test_stopping_by_hand():
    """eta = 3. ASHA alone would let 0, 1, 2, 4 and 6 go on from the first rung."""
    rush = make()
    for trial, origin in ((0, "past"), (1, "random"), (2, "random"), (3, "first")):
        begin(rush, trial, origin)
    assert told(rush, 0, 1, loss=2.0) is GO
    assert told(rush, 1, 1, loss=3.0) is STOP, "second of two: ASHA would let it go on, the hurdle is at 2"
    assert told(rush, 2, 1, loss=1.0) is GO
    assert told(rush, 3, 1, loss=2.5) is STOP, "what sets the hurdle is judged by ASHA"
    for trial in range(4, 8):
        begin(rush, trial)
    assert told(rush, 4, 1, loss=1.0) is GO, "equal to the best, and below 2"
    assert told(rush, 5, 1, loss=2.0) is STOP, "reaches the hurdle, but is no longer among the best third"
    # no hurdle at 3 yet: ASHA alone
    assert told(rush, 2, 3, loss=9.0) is GO
    assert told(rush, 0, 3, loss=0.5) is GO
    assert told(rush, 4, 3, loss=0.5) is GO, "equal to the hurdle: it reaches it"
    rush.on_end(4, Status.FAILED)
    assert told(rush, 6, 1, loss=0.1) is GO
    assert told(rush, 6, 3, loss=0.4) is GO


def test_the_best_of_several_sets_the_hurdle():
    rush = make(eta=2)
    for trial in (0, 1):
        begin(rush, trial, "past")
    begin(rush, 2)
    told(rush, 0, 1, loss=3.0)
    told(rush, 1, 1, loss=1.0)
    assert told(rush, 2, 1, loss=1.1) is STOP


def test_promotion_by_hand():
    rush = make(type="promotion")
    pause(rush, 0, 1, 5.0, "past")
    for trial, loss in ((1, 4.0), (2, 6.0), (3, 7.0), (4, 8.0), (5, 9.0)):
        pause(rush, trial, 1, loss)
    # two of six: 4 clears the hurdle of 5, and then comes the trial that set it
    for trial in (1, 0):
        job = rush.next_job()
        assert job == Job(trial, Configuration(arm=trial), 3)
        rush.on_start(job)
    for trial, loss in ((6, 5.5), (7, 9.5), (8, 9.6)):
        pause(rush, trial, 1, loss)
    assert rush.next_job() is None, "ASHA would promote the third of nine; it does not reach the hurdle"


def test_a_trial_that_sets_the_hurdle_is_promoted_past_others_that_miss_it():
    rush = make(type="promotion")
    pause(rush, 0, 1, 1.0, "past")
    pause(rush, 1, 1, 3.0, "past")
    for trial, loss in enumerate((2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), 2):
        pause(rush, trial, 1, loss)
    jobs = []
    while (job := rush.next_job()) is not None:
        jobs.append(job.trial)
        rush.on_start(job)
    assert jobs == [0, 1], "trial 2 is between them, and worse than the hurdle"


def drive(cls, curve, given, *, origin="enqueued", trials=ARMS, **own):
    """A study whose given configurations have the origin "enqueued"."""
    problem = problem_of(27)
    found = Drive(
        lambda: cls(problem, InOrder(problem, seed=0), seed=0, **own), problem, curve, 0, trials=trials,
        given={k: Configuration(arm=arm) for k, arm in given.items()},
    )  # fmt: skip
    found.run()
    return found


@pytest.mark.parametrize("type", ["stopping", "promotion"])
@pytest.mark.parametrize("hurdle", [(), ("past", "first")])
def test_without_a_hurdle_every_decision_is_ashas(type, hurdle):
    curve = converging(3)[1]
    logs = [
        drive(cls, curve, {0: 5, 3: 7}, type=type, **own).log for cls, own in ((Asha, {}), (Rush, {"hurdle": hurdle}))
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_a_perfect_hurdle_lets_no_other_trial_on(type):
    final, curve = converging(4)
    best = int(np.argmin(final))
    found = drive(Rush, curve, {0: best}, type=type, hurdle="enqueued")
    asha = drive(Asha, curve, {0: best}, type=type)
    beyond = {row["trial"] for row in found.scheduler.rungs() if row["resource"] > 1 and row["trial"] != 0}
    # trials that came to the first rung before the hurdle was set, by other workers; and the same arm once more
    early = {trial for trial in beyond if found.jobs[trial].config["arm"] != best}
    assert len(early) <= 3
    spent = [sum(len(reports) for reports in d.reports.values()) for d in (found, asha)]
    assert spent[0] < 0.75 * spent[1]
    # promotion needs eta results at a rung, and the hurdle keeps others away from it
    assert found.status[0] is (Status.COMPLETED if type == "stopping" else Status.PAUSED)


def test_several_objectives_must_stand_on_a_front_as_good():
    rush = make(objectives=("loss", "size"), eta=2)
    begin(rush, 0, "past")
    for trial in range(1, 6):
        begin(rush, trial)
    told(rush, 0, 1, loss=2.0, size=2.0)
    assert told(rush, 1, 1, loss=3.0, size=3.0) is STOP
    assert told(rush, 2, 1, loss=1.0, size=3.0) is GO


def test_constraints_an_infeasible_hurdle_is_none_for_the_feasible():
    rush = make(constraints=(Constraint("size", 1.0),))
    begin(rush, 0, "past")
    told(rush, 0, 1, loss=0.0, size=2.0)
    for trial in (1, 2):
        begin(rush, trial)
    assert told(rush, 1, 1, loss=9.0, size=0.0) is GO
    assert told(rush, 2, 1, loss=0.0, size=3.0) is STOP


def test_edge_case_the_hurdle_diverges():
    rush = make()
    begin(rush, 0, "past")
    assert told(rush, 0, 1, loss=math.nan) is STOP
    begin(rush, 1)
    assert told(rush, 1, 1, loss=5.0) is GO


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"hurdle": ("passed",)}, "hurdle='passed'. Did you mean 'past'?"),
        ({"hurdle": "uesr"}, "hurdle='uesr'. Did you mean 'user'?"),
        ({"eta": 1}, "eta=1. Allowed: a whole number and at least 2."),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message
