"""Li et al. 2018, Hyperband; Karnin et al. 2013 and Jamieson and Talwalkar 2016, successive halving."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.hyperband import Hyperband, bracket_table
from luthier.schedulers.sh import Sh
from luthier.schedulers.straight import Straight
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.study import Study
from luthier.testing._drive import Drive, Uniform
from luthier.testing.scheduler import check_scheduler

ARMS = 162


class InOrder(Uniform):
    """Proposes arm k as trial k, and nothing when there are no more."""

    def _propose(self, n, k, pending):
        return [Configuration(arm=k + i) for i in range(n) if k + i <= self.space["arm"].high]


def problem_of(high, low=1, arms=ARMS):
    return Problem(Space(arm=Int(0, arms - 1)), (Objective("loss"),), fidelity=Fidelity("epoch", low, high))


def build(cls, high, *, arms=ARMS, **own):
    problem = problem_of(high, arms=arms)
    return cls(problem, InOrder(problem, seed=0), seed=0, **own)


def study(cls, curve, high, *, workers=1, seed=0, trials=ARMS, **own):
    drive = Drive(lambda: build(cls, high, **own), problem_of(high), curve, seed, workers=workers, trials=trials)
    drive.run()
    return drive


def finish(scheduler, job, loss, high):
    """Start a job and let it report where its grant ends."""
    scheduler.on_start(job)
    decision = scheduler.on_report(Report(job.trial, job.until, {"loss": loss}))
    assert (decision is Decision.CONTINUE) == (job.until == high)
    scheduler.on_end(job.trial, Status.COMPLETED if job.until == high else Status.PAUSED)


def trace(scheduler, losses, high, budget=None):
    """What one worker runs, one job after the other."""
    if budget is not None:
        scheduler.on_budget(budget)
    found, k = [], 0
    while True:
        job = scheduler.next_job()
        if job is None and k < len(losses) and (budget is None or k < budget):
            job, k = scheduler.next_job(k), k + 1
        if job is None:
            return found
        found.append((job.trial, job.until))
        finish(scheduler, job, losses[job.trial], high)


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_of_81():
    table = bracket_table(Fidelity("epoch", 1, 81))
    assert [plan.sizes for plan in table] == [(81, 27, 9, 3, 1), (34, 11, 3, 1), (15, 5, 1), (8, 2), (5,)]
    assert [plan.levels for plan in table] == [(1, 3, 9, 27, 81), (3, 9, 27, 81), (9, 27, 81), (27, 81), (81,)]


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_the_table_equals_the_formula(eta):
    for high in range(9, 1001):
        top = max(s for s in range(10) if eta**s <= high)
        wanted = []
        for s in range(top, -1, -1):
            n = math.ceil(Fraction((top + 1) * eta**s, s + 1))
            levels = tuple(math.floor(Fraction(high, eta ** (s - i))) for i in range(s + 1))
            wanted.append((levels, tuple(math.floor(Fraction(n, eta**i)) for i in range(s + 1))))
        assert list(bracket_table(Fidelity("epoch", 1, high), eta=eta)) == wanted


def test_the_table_with_a_grace_and_with_fractions():
    table = bracket_table(Fidelity("epoch", 1, 50), grace=2)
    assert [plan.levels for plan in table] == [(5, 16, 50), (16, 50), (50,)]  # 2 * 27 is above 50
    assert [plan.sizes for plan in table] == [(9, 3, 1), (5, 1), (3,)]
    table = bracket_table(Fidelity("part", 1 / 27, 1))
    assert [len(plan.levels) for plan in table] == [4, 3, 2, 1]
    assert table[0].levels == pytest.approx((1 / 27, 1 / 9, 1 / 3, 1))


def test_each_bracket_costs_about_the_same():
    table = bracket_table(Fidelity("epoch", 1, 81))
    costs = []
    for levels, sizes in table:
        steps = [level - before for level, before in zip(levels, (0, *levels), strict=False)]
        costs.append(sum(size * step for size, step in zip(sizes, steps, strict=True)))
    assert max(costs) <= 5 * 81  # (S + 1) R
    assert min(costs) > 0.6 * max(costs)


# -- decisions by hand ------------------------------------------------------------------------------------------------


def test_trace_of_one_worker_by_hand():
    """eta = 2 on 1..4: 4 trials at 1, 2 at 2, 1 at 4; 3 at 2, 1 at 4; 3 at 4; and again."""
    losses = [8, 6, 7, 5, 4, 3, 9, 2, 1, 0, 6, 5, 4, 3]
    assert trace(build(Hyperband, 4, eta=2), losses, 4) == [
        *[(0, 1), (1, 1), (2, 1), (3, 1)],
        *[(3, 2), (1, 2)],
        (3, 4),
        *[(4, 2), (5, 2), (6, 2)],
        (5, 4),
        *[(7, 4), (8, 4), (9, 4)],
        *[(10, 1), (11, 1), (12, 1), (13, 1)],
        *[(13, 2), (12, 2)],
        (13, 4),
    ]


def test_halving_by_hand():
    """eta = 2 on 1..4 with six trials a bracket: 6, 3, 1; equal losses go on in order of arrival."""
    losses = [5, 1, 5, 5, 5, 9, 0, 0, 0, 0, 0, 0]
    found = trace(build(Sh, 4, eta=2, n=6), losses, 4)
    assert found[:10] == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (1, 2), (0, 2), (2, 2), (1, 4)]
    assert found[10:16] == [(trial, 1) for trial in range(6, 12)]
    assert found[16:] == [(6, 2), (7, 2), (8, 2), (6, 4)]


def test_a_bracket_that_the_budget_leaves_half_full_by_hand():
    """Of 81 places 13 are taken: floor(13 / 3) = 4 go on, then 1, and one at least up to the end."""
    found = trace(build(Hyperband, 81), list(range(13, 0, -1)), 81, budget=13)
    assert found[:13] == [(trial, 1) for trial in range(13)]
    assert found[13:] == [(12, 3), (11, 3), (10, 3), (9, 3), (12, 9), (12, 27), (12, 81)]
    # one trial is a bracket too
    assert trace(build(Hyperband, 81), [1.0], 81, budget=1) == [(0, 1), (0, 3), (0, 9), (0, 27), (0, 81)]


def test_a_larger_budget_is_told_before_the_end():
    """What was not decided yet fills on."""
    scheduler = build(Sh, 4, eta=2)
    scheduler.on_budget(2)
    for k in range(2):
        scheduler.on_start(scheduler.next_job(k))
    scheduler.on_budget(4)
    for k in range(2):
        scheduler.on_report(Report(k, 1, {"loss": float(k)}))
        scheduler.on_end(k, Status.PAUSED)
    assert scheduler.next_job() is None
    for k in (2, 3):
        finish(scheduler, scheduler.next_job(k), 9.0, 4)
    assert scheduler.next_job() == Job(0, Configuration(arm=0), 2)


def test_while_a_rung_waits_the_next_bracket_begins():
    scheduler = build(Hyperband, 4, eta=2)
    for k in range(4):
        job = scheduler.next_job(k)
        assert job.until == 1
        scheduler.on_start(job)
    assert scheduler.next_job() is None
    assert scheduler.next_job(4).until == 2
    scheduler.on_start(scheduler.next_job(4))
    for k in range(3):
        scheduler.on_report(Report(k, 1, {"loss": float(k)}))
        scheduler.on_end(k, Status.PAUSED)
    assert scheduler.next_job() is None  # trial 3 may be better than all
    assert scheduler.on_report(Report(3, 1, {"loss": 0.5})) is Decision.PAUSE
    assert scheduler.next_job() is None  # and its program may yet fail as it saves
    scheduler.on_end(3, Status.PAUSED)
    assert scheduler.next_job() == Job(0, Configuration(arm=0), 2)


def test_failed_trials_keep_their_places_and_never_go_on():
    scheduler = build(Sh, 9)
    for k in range(9):
        scheduler.on_start(scheduler.next_job(k))
    for k in range(7):  # the best report was followed by a crash
        assert scheduler.on_report(Report(k, 1, {"loss": float(k)})) is Decision.PAUSE
        scheduler.on_end(k, Status.FAILED if k in (0, 1, 2, 3, 4) else Status.PAUSED)
    assert scheduler.on_report(Report(7, 1, {"loss": math.nan})) is Decision.STOP
    scheduler.on_end(7, Status.DIVERGED)
    scheduler.on_end(8, Status.WAITING)  # lost, and to be run again: the rung waits for it
    assert scheduler.next_job() is None
    scheduler.on_end(8, Status.LOST)
    going = []
    while (job := scheduler.next_job()) is not None:
        going.append((job.trial, job.until))
        finish(scheduler, job, 1.0, 9)
    assert going == [(5, 3), (6, 3), (5, 9)]  # three would have, two are left


def test_when_all_of_a_rung_fail_the_bracket_is_over():
    scheduler = build(Sh, 4, eta=2)
    for k in range(4):
        scheduler.on_start(scheduler.next_job(k))
        scheduler.on_end(k, Status.FAILED)
    assert scheduler.next_job() is None
    assert trace(scheduler, [1.0] * 4 + [4.0, 3.0, 2.0, 1.0], 4)[-3:] == [(7, 2), (6, 2), (7, 4)]


def test_given_configurations_join_the_open_bracket():
    scheduler = build(Hyperband, 4, eta=2)
    finish(scheduler, scheduler.next_job(0), 3.0, 4)
    job = scheduler.next_job(1, given=("enqueued", Configuration(arm=77)))
    assert job == Job(1, Configuration(arm=77), 1, origin="enqueued")
    finish(scheduler, job, 1.0, 4)
    for k in (2, 3):
        finish(scheduler, scheduler.next_job(k), 2.0, 4)
    assert scheduler.next_job() == Job(1, Configuration(arm=77), 2)


def test_what_the_end_of_a_study_stopped_goes_on_when_the_study_does():
    scheduler = build(Sh, 4, eta=2)
    for k in range(3):
        finish(scheduler, scheduler.next_job(k), 3.0 - k, 4)
    scheduler.on_start(scheduler.next_job(3))
    for k in range(3):
        scheduler.on_end(k, Status.STOPPED)
    scheduler.on_end(3, Status.STOPPED)  # on its way: it has no result, and no checkpoint that is known
    jobs = []
    while (job := scheduler.next_job()) is not None:
        jobs.append((job.trial, job.until))
        finish(scheduler, job, 0.0, 4)
    assert jobs == [(2, 2), (1, 2), (2, 4)]


def test_a_result_counts_where_the_grant_ends():
    """A program that is silent at the rung itself, or reports beyond it; a resource reported again is no news."""
    scheduler = build(Sh, 9, eta=3, grace=3)
    for k in range(3):
        scheduler.on_start(scheduler.next_job(k))
    assert scheduler.on_report(Report(0, 2, {"loss": 5.0})) is Decision.CONTINUE
    scheduler.on_end(0, Status.PAUSED)
    assert scheduler.on_report(Report(1, 4, {"loss": 6.0})) is Decision.PAUSE
    assert scheduler.on_report(Report(1, 3, {"loss": 0.0})) is Decision.PAUSE
    scheduler.on_end(1, Status.PAUSED)
    assert scheduler.on_report(Report(2, 9, {"loss": 7.0})) is Decision.CONTINUE  # there is no more to grant
    scheduler.on_end(2, Status.COMPLETED)
    assert [(row["trial"], row["value"]) for row in scheduler.rungs()] == [(0, 5.0), (1, 6.0), (2, 7.0)]
    assert scheduler.next_job() == Job(0, Configuration(arm=0), 9)


def test_what_was_made_elsewhere_is_in_no_bracket():
    scheduler = build(Sh, 4, eta=2)
    scheduler.on_budget(4)
    scheduler.on_start(Job(0, Configuration(arm=99), origin="added"))
    assert scheduler.on_report(Report(0, 4, {"loss": -1.0})) is Decision.CONTINUE
    scheduler.on_end(0, Status.COMPLETED)
    for k in (1, 2, 3):
        finish(scheduler, scheduler.next_job(k), float(k), 4)
    assert scheduler.next_job() is None  # one of the four is to come
    finish(scheduler, scheduler.next_job(4), 4.0, 4)
    assert scheduler.next_job() == Job(1, Configuration(arm=1), 2)


def test_two_drivers_may_fill_the_last_place_at_once():
    scheduler = build(Hyperband, 4, eta=2)
    jobs = [scheduler.next_job(k) for k in range(5)]  # none of them was started yet
    assert [job.until for job in jobs] == [1] * 5
    for job in jobs:
        scheduler.on_start(job)
    for job in jobs:
        scheduler.on_report(Report(job.trial, 1, {"loss": -float(job.trial)}))
        scheduler.on_end(job.trial, Status.PAUSED)
    assert [(row["bracket"], row["trial"]) for row in scheduler.rungs()] == [(0, trial) for trial in (4, 3, 2, 1, 0)]
    assert [scheduler.next_job().trial, scheduler.next_job(5).until] == [4, 2]


def test_a_driver_that_comes_too_late_does_no_harm():
    """The bracket that its trial was meant for is decided: the trial runs as it was granted, and is out."""
    scheduler = build(Hyperband, 4, eta=2)
    jobs = [scheduler.next_job(k) for k in range(5)]
    for job in jobs:
        finish(scheduler, job, float(job.trial), 4)
    assert [row["trial"] for row in scheduler.rungs()] == [0, 1, 2, 3]
    assert [scheduler.next_job().trial, scheduler.next_job(5).until] == [0, 2]


# -- claims -----------------------------------------------------------------------------------------------------------


def converging(seed):
    """Arms whose curves converge to nu_i from above and below, within 1/r."""
    rng = np.random.default_rng(seed)
    final = rng.permutation(ARMS) / 10
    spread = rng.uniform(0.0, 1.0, ARMS)
    return final, lambda config, resource: {"loss": float(final[config["arm"]] + spread[config["arm"]] / resource)}


@pytest.mark.parametrize("cls", [Sh, Hyperband])
def test_finds_the_best_arm_with_less_resource(cls):
    for seed in range(4):
        final, curve = converging(seed)
        for workers in (1, 16):
            quick = study(cls, curve, 81, workers=workers, seed=seed)
            done = [trial for trial, status in quick.status.items() if status is Status.COMPLETED]
            first = range(81)  # the first bracket's arms are judged from the first epoch on
            best = min(first, key=lambda trial: final[trial])
            assert best in done
            assert quick.idle == 0
            spent = sum(max(report.resource for report in reports) for reports in quick.reports.values())
            assert spent < ARMS * 81 / 6


def test_crossing_curves():
    """The best arm in the end is the worst before: halving loses it, Hyperband's last bracket runs it to the end."""

    def crossing(config, resource):
        return {"loss": 2.0 if resource < 27 else -1.0} if config["arm"] == 46 else {"loss": config["arm"] / ARMS}

    lost = study(Sh, crossing, 27, trials=49)
    kept = study(Hyperband, crossing, 27, trials=49)  # 27 + 12 + 6 trials are judged before, 4 run to the end
    assert {row["resource"] for row in lost.scheduler.rungs() if row["trial"] == 46} == {1}
    assert kept.status[46] is Status.COMPLETED
    assert min(row["value"] for row in lost.scheduler.rungs()) == 0.0
    assert min(row["value"] for row in kept.scheduler.rungs()) == -1.0
    plain = study(Straight, crossing, 27, trials=49)
    assert plain.status[46] is Status.COMPLETED


# -- edges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Sh, Hyperband])
def test_a_full_resource_below_eta_leaves_one_rung(cls):
    scheduler = build(cls, 2)
    assert [scheduler.plan(number) for number in (0, 1)] == [((2,), scheduler.plan(0).sizes)] * 2
    assert trace(scheduler, [3.0, 2.0, 1.0], 2) == [(0, 2), (1, 2), (2, 2)]


def test_rungs_of_halving():
    assert build(Sh, 81).plan(0) == ((1, 3, 9, 27, 81), (81, 27, 9, 3, 1))
    assert build(Sh, 50).plan(0) == ((1, 3, 9, 50), (27, 9, 3, 1))
    assert build(Sh, 81, grace=4).plan(0) == ((4, 12, 81), (9, 3, 1))
    assert build(Sh, 81, n=10).plan(0) == ((1, 3, 9, 27, 81), (10, 3, 1, 1, 1))  # somebody reaches the end


@pytest.mark.parametrize("own", [{"n": 5}, {"n": 40, "eta": 2}, {"grace": 2, "eta": 4}], ids=str)
def test_battery_on_options_of_halving(own):
    check_scheduler("sh", **own)


@pytest.mark.parametrize("own", [{"eta": 2}, {"grace": 2, "eta": 4}], ids=str)
def test_battery_on_options_of_hyperband(own):
    check_scheduler("hyperband", **own)


def test_bad_arguments_are_refused():
    for own, message in (
        ({"eta": 1}, "eta=1. Allowed: a whole number and at least 2."),
        ({"n": 0}, "n=0. Allowed: a whole number and at least 1."),
        ({"grace": 82}, "grace=82. Allowed: a whole number and at least 1 and at most 81."),
    ):
        with pytest.raises(ArgumentError) as raised:
            build(Sh, 81, **own)
        assert str(raised.value) == message
    problem = Problem(Space(arm=Int(0, 9)), (Objective("loss"),))
    with pytest.raises(ArgumentError, match=r"scheduler 'hyperband' needs a fidelity\. Give fidelity="):
        Hyperband(problem, InOrder(problem, seed=0), seed=0)
    with pytest.raises(ArgumentError, match="trial 0 reported no resource; scheduler 'sh' judges by it"):
        build(Sh, 81).on_report(Report(0, None, {"loss": 1.0}))


def _train(run):
    for epoch in run.resources():
        run.report(loss=run.config["arm"] + 1 / epoch, epoch=epoch)


@pytest.mark.parametrize(
    ("searcher", "sizes"), [("random", (17, 5, 1, 1)), ({"name": "grid", "levels": 7}, (7, 2, 1, 1))], ids=str
)
def test_a_small_space_is_used_up_and_its_best_runs_to_the_end(searcher, sizes):
    """Of 27 places 17 can be filled, or what a grid has; no paused trial is left behind."""
    study = Study(Space(arm=Int(0, 16)), "loss", searcher=searcher, scheduler="sh", fidelity=("epoch", 1, 27))
    study.run(_train, trials=100)
    ends = {trial.config["arm"]: trial.resource for trial in study.trials}
    assert tuple(sum(end >= level for end in ends.values()) for level in (1, 3, 9, 27)) == sizes
    assert [ends[arm] for arm in sorted(ends)] == sorted(ends.values(), reverse=True)
    assert {trial.status for trial in study.trials} == {Status.COMPLETED, Status.STOPPED}
    assert study.replay().differences == []


def test_a_study_that_goes_on_promotes_what_its_first_end_stopped(tmp_path):
    study = Study(
        Space(arm=Int(0, 200)), "loss", scheduler="hyperband", searcher="random", fidelity=("epoch", 1, 9),
        storage=f"sqlite:///{tmp_path}/s.db", name="s", defaults_first=False,
    )  # fmt: skip
    study.run(_train, trials=12)  # 9 and 3 of 5
    again = Study.open(f"sqlite:///{tmp_path}/s.db", "s")
    again.run(_train, trials=17)
    assert again.replay().differences == []
    assert len(again.trials) == 17
    assert min(t.metrics["loss"] for t in again.trials if t.resource == 9) == pytest.approx(
        min(t.config["arm"] for t in again.trials) + 1 / 9
    )
