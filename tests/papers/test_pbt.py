"""Jaderberg et al. 2017, Population Based Training of Neural Networks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MetricError, UnsupportedError
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.base.registry import load
from luthier.schedulers._members import explore, quantile_size
from luthier.schedulers.pbt import Pbt
from luthier.space.problem import Problem
from luthier.testing._drive import Drive, Uniform
from luthier.testing.scheduler import check_scheduler

SPACE = lu.Space(x=lu.Float(0.0, 1.0))
GO, PAUSE, STOP = Decision.CONTINUE, Decision.PAUSE, Decision.STOP


def make(high=8, space=SPACE, cls=Pbt, objectives=("loss",), constraints=(), **own):
    problem = Problem(space, tuple(map(Objective, objectives)), constraints, Fidelity("epoch", 1, high))
    return cls(problem, Uniform(problem, seed=0), seed=0, **own)


def start(pbt, k, **more):
    job = pbt.next_job(k, **more)
    pbt.on_start(job)
    return job


def report(pbt, trial, epoch, loss, **more):
    return pbt.on_report(Report(trial, epoch, {"loss": loss, **more}, checkpoint=f"r{epoch:04d}-a1"))


def population(pbt, losses, epoch=1):
    """Trials 0, 1, ... run, and have reported once."""
    for k in range(len(losses)):
        start(pbt, k)
    for k, loss in enumerate(losses):
        assert report(pbt, k, epoch, loss) is GO


# who is copied, by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "share", "size"),
    [(16, 0.25, 4), (5, 0.25, 2), (4, 0.25, 1), (3, 0.25, 1), (2, 0.25, 1), (1, 0.25, 0), (20, 0.2, 4), (3, 0.5, 1)],
)
def test_size_of_the_quantiles(n, share, size):
    """ceil(n * share), at most floor(n / 2)."""
    assert quantile_size(n, share) == size


def test_asynchronous_decisions_by_hand():
    """Four members, a decision every two epochs: at each, the worst of four is stopped, and the best is copied."""
    pbt = make(population=4, every=2)
    population(pbt, [0.4, 0.3, 0.2, 0.1])
    assert report(pbt, 1, 2, 0.28) is GO  # third of (0.1, 0.2, 0.28, 0.4)
    assert report(pbt, 0, 2, 0.25) is GO  # now 1 is the last, but 0 is judged
    assert report(pbt, 1, 3, 0.50) is GO  # the last; its decision is at 4
    assert pbt.next_job() is None
    assert report(pbt, 1, 4, 0.50) is STOP
    job = pbt.next_job(4)
    assert (job.trial, job.parent, job.checkpoint, job.until) == (4, 3, "3/r0001-a1", None)
    assert report(pbt, 3, 2, 0.05) is GO
    assert pbt.next_job(4).checkpoint == "3/r0002-a1"  # the newest one at the moment of the start
    pbt.on_start(pbt.next_job(4))
    assert pbt.next_job(5) is None  # four members live
    # the clone has spent two epochs, and is judged for the first time, at 4; it counts from its first report on
    assert report(pbt, 4, 3, 0.9) is GO
    assert report(pbt, 2, 2, 0.19) is GO
    assert report(pbt, 4, 4, 0.9) is STOP
    assert [(row["trial"], row["resource"], row["promoted"]) for row in pbt.rungs()] == [
        (1, 2, True), (0, 2, True), (1, 4, False), (3, 2, True), (2, 2, True), (4, 4, False),
    ]  # fmt: skip


def test_nobody_is_judged_before_the_population_has_formed():
    pbt = make(population=4, every=1, quantile=0.5)
    for k in range(3):
        start(pbt, k)
    # while members wait for a worker, those at a decision point make room
    assert [report(pbt, k, 1, float(k)) for k in range(3)] == [PAUSE] * 3
    for k in range(3):
        pbt.on_end(k, Status.PAUSED)
    assert pbt.next_job() is None, "the fourth comes first"
    start(pbt, 3)
    assert report(pbt, 3, 1, 3.0) is STOP  # worst of four
    job = pbt.next_job(4)
    assert job.parent in (0, 1)
    pbt.on_start(job)
    assert pbt.next_job() == Job(0, pbt.members[0].config, 2)  # the least advanced; to its next decision
    assert pbt.next_job(5) is None


def test_members_take_turns_when_workers_are_few():
    """One worker: nobody is an interval ahead of another for longer than its turn."""

    def curve(config, epoch):
        return {"loss": config["x"] + 1 / epoch}

    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 10))
    drive = Drive(
        lambda: Pbt(problem, Uniform(problem, seed=0), seed=0, population=4, every=2), problem, curve, workers=1
    )
    drive.run()
    first = [job.trial for job in drive.jobs[:4]]
    assert first == [0, 1, 2, 3]
    assert [job.until for job in drive.jobs if job.trial < 4 and job.until is not None][:2] == [4, 4]
    assert sum(status is Status.COMPLETED for status in drive.status.values()) == 4
    assert any(job.parent is not None for job in drive.jobs)


def test_equal_results_replace_nobody():
    pbt = make(population=4, every=1)
    for k in range(4):
        start(pbt, k)
    assert [report(pbt, k, 1, 0.5) for k in range(4)] == [GO] * 4
    assert report(pbt, 3, 2, 0.6) is STOP


def test_no_member_copies_itself_and_parents_are_among_the_best():
    for seed in range(3):
        for synchronous in (False, True):
            problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 12))

            def build(problem=problem, seed=seed, synchronous=synchronous):
                return Pbt(
                    problem, Uniform(problem, seed=seed), seed=seed, population=8, every=2, synchronous=synchronous
                )

            drive = Drive(build, problem, lambda c, e: {"loss": c["x"] / e}, seed, trials=60, fails=0.02, loses=0.03)
            drive.run()
            clones = [job for job in drive.jobs if job.parent is not None]
            assert clones
            assert all(job.parent != job.trial and job.parent < job.trial for job in clones)


def test_members_at_their_end_are_not_copied():
    pbt = make(high=4, population=2, every=2, quantile=0.5)
    population(pbt, [0.1, 0.2])
    for epoch in (2, 3, 4):
        report(pbt, 0, epoch, 0.1)
    pbt.on_end(0, Status.COMPLETED)
    assert report(pbt, 1, 2, 0.9) is GO  # the better one has nothing left to train
    pbt.on_end(1, Status.FAILED)
    assert pbt.next_job(2) is None


# failures, budgets, guests -------------------------------------------------------------------------------


def test_a_failed_member_is_replaced_at_once():
    pbt = make(population=4, every=4)
    for k in range(4):
        start(pbt, k)
    pbt.on_end(0, Status.FAILED)
    assert pbt.next_job(4) is None  # nobody has a checkpoint yet
    report(pbt, 2, 1, 0.3)
    assert pbt.next_job(4).parent == 2
    report(pbt, 1, 1, 0.2)
    assert start(pbt, 4).parent == 1  # the best quarter of two is one
    pbt.on_end(1, Status.DIVERGED)
    assert start(pbt, 5).parent == 2


def test_a_place_whose_clones_are_all_worse_is_left_in_peace():
    pbt = make(population=4, every=2)
    population(pbt, [0.0, 0.1, 0.2, 0.3])
    assert report(pbt, 3, 2, 0.3) is STOP
    pbt.on_end(3, Status.STOPPED)
    for k in (4, 5, 6):
        job = start(pbt, k)
        assert job.parent == 0
        assert report(pbt, k, 3, 9.0) is STOP
        pbt.on_end(k, Status.STOPPED)
    start(pbt, 7)
    assert report(pbt, 7, 3, 9.0) is GO, "the fourth in a row is let through one decision"
    assert report(pbt, 7, 5, 9.0) is STOP


def test_a_place_whose_clones_all_fail_stays_empty():
    pbt = make(population=4, every=2)
    population(pbt, [0.0, 0.1, 0.2, 0.3])
    pbt.on_end(3, Status.FAILED)
    for k in (4, 5, 6, 7):
        assert start(pbt, k).parent is not None
        pbt.on_end(k, Status.FAILED)
    assert pbt.next_job(8) is None


def test_a_member_that_reports_nan_is_stopped_and_counts_for_nothing():
    pbt = make(population=2, every=2)
    population(pbt, [0.1, 0.2])
    assert report(pbt, 0, 2, float("nan")) is STOP
    assert pbt.members[0].values == (0.1,)


def test_a_lost_member_that_repeats_itself_changes_nothing():
    pbt = make(population=4, every=2)
    population(pbt, [0.4, 0.3, 0.2, 0.1])
    assert report(pbt, 3, 2, 0.1) is GO
    before = pbt.rungs(), pbt.members[3].judged
    pbt.on_end(3, Status.WAITING)
    pbt.on_start(Job(3, pbt.members[3].config))
    assert [report(pbt, 3, epoch, 0.7) for epoch in (1, 2)] == [GO, GO]
    assert (pbt.rungs(), pbt.members[3].judged) == before
    assert pbt.members[3].values == (0.1,)


@pytest.mark.parametrize("synchronous", [False, True])
def test_without_a_trial_left_members_go_on(synchronous):
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 6))

    def build():
        return Pbt(problem, Uniform(problem, seed=0), seed=0, population=4, every=2, synchronous=synchronous)

    drive = Drive(build, problem, lambda c, e: {"loss": c["x"]}, trials=5)
    drive.run()
    ends = list(drive.status.values())
    assert len(ends) == 5
    assert ends.count(Status.COMPLETED) == 4, "one was replaced by the fifth, the others grew up"


def test_a_budget_below_the_population_is_a_smaller_population():
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 6))
    for synchronous in (False, True):
        drive = Drive(lambda s=synchronous: Pbt(problem, Uniform(problem, seed=0), seed=0, synchronous=s), problem,
                      lambda c, e: {"loss": c["x"]}, trials=3)  # fmt: skip
        drive.run()
        assert list(drive.status.values()) == [Status.COMPLETED] * 3


def test_given_configurations_join_and_enlarge_the_population():
    pbt = make(population=2, every=2)
    mine = Configuration(x=0.5)
    assert start(pbt, 0, given=("enqueued", mine)) == Job(0, mine, None, origin="enqueued")
    start(pbt, 1)
    assert pbt.next_job(2) is None
    assert start(pbt, 2, given=("enqueued", mine)).config == mine
    assert len(pbt.members) == 3


def test_a_finite_space_fills_the_population_with_repetitions():
    problem = Problem(lu.Space(c=lu.Choice("a", "b")), (Objective("loss"),), fidelity=Fidelity("epoch", 1, 2))
    pbt = Pbt(problem, load("searcher", "random")(problem, seed=0), seed=0, population=4)
    jobs = [start(pbt, k) for k in range(4)]
    assert {job.config["c"] for job in jobs} == {"a", "b"}


def test_trials_that_are_asked_for_cannot_bring_checkpoints():
    study = lu.Study(SPACE, scheduler="pbt", fidelity=("epoch", 1, 8))
    with pytest.raises(UnsupportedError, match="checkpoints of others"):
        study.ask()


def test_the_searcher_is_told_of_the_first_population_alone():
    pbt = make(population=2, every=2)
    population(pbt, [0.1, 0.2])
    assert report(pbt, 1, 2, 0.9) is STOP
    job = start(pbt, 2)
    for trial, config in ((0, pbt.members[0].config), (2, job.config)):
        pbt.tell([pbt.problem.observe(trial, config, {"loss": 0.3})])
    assert [o.trial for o in pbt.searcher.told] == [0]


# synchronous generations ---------------------------------------------------------------------------------


def generations(order):
    """Jobs of a synchronous population of six, whose members arrive in the order `order` says."""
    pbt = make(high=6, population=6, every=2, synchronous=True)
    waiting = [start(pbt, k) for k in range(6)]
    jobs = list(waiting)
    while waiting:
        running = {job.trial: job for job in waiting}
        for trial in order(sorted(running)):
            job = running[trial]
            loss = job.config["x"] + 1 / job.until
            report(pbt, trial, job.until, loss)
            pbt.on_end(trial, Status.COMPLETED if job.until == 6 else Status.PAUSED)
        waiting = []
        while (job := pbt.next_job() or pbt.next_job(len(pbt.members))) is not None:
            pbt.on_start(job)
            waiting.append(job)
        jobs += waiting
    return jobs


def test_the_order_of_arrival_does_not_matter():
    forward, backward = generations(list), generations(lambda trials: trials[::-1])
    assert forward == backward
    second = forward[6:12]
    assert [job.parent is not None for job in second] == [True, True, False, False, False, False]
    assert [job.until for job in second] == [4] * 6
    slots = [job.trial for job in second[2:]]
    assert slots == sorted(slots)


def test_all_wait_until_the_last_is_there():
    pbt = make(high=6, population=4, every=2, synchronous=True)
    for k in range(4):
        assert start(pbt, k).until == 2
    for k, loss in ((3, 0.1), (1, 0.3), (0, 0.4)):
        assert report(pbt, k, 1, loss) is GO
        assert report(pbt, k, 2, loss) is PAUSE
        pbt.on_end(k, Status.PAUSED)
        assert pbt.next_job() is None
        assert pbt.next_job(4) is None
    pbt.on_end(2, Status.FAILED)  # nobody is to come any more: 0 is the worst of three, and the place of 2 is empty
    for k in (4, 5):
        assert pbt.next_job() is None, "copies first: their parents clear away checkpoints as they go on"
        job = start(pbt, k)
        assert (job.parent, job.checkpoint, job.until) == (3, "3/r0002-a1", 4)
    assert [pbt.members[k].slot for k in (4, 5)] == [0, 2]
    assert pbt.next_job(6) is None
    assert pbt.next_job() == Job(1, pbt.members[1].config, 4)
    pbt.on_start(pbt.next_job())
    assert pbt.next_job() == Job(3, pbt.members[3].config, 4)


def test_what_the_end_of_a_run_stopped_goes_on():
    pbt = make(high=6, population=2, every=2, synchronous=True)
    start(pbt, 0)
    start(pbt, 1)
    report(pbt, 0, 2, 0.1)
    pbt.on_end(0, Status.PAUSED)
    report(pbt, 1, 1, 0.2)
    for k in (0, 1):
        pbt.on_end(k, Status.STOPPED)
    assert pbt.next_job() == Job(1, pbt.members[1].config, 2)
    pbt.on_start(pbt.next_job())
    report(pbt, 1, 2, 0.2)
    pbt.on_end(1, Status.PAUSED)
    assert start(pbt, 2).parent == 0


def test_constraints_and_several_objectives_decide_who_is_copied():
    pbt = make(population=4, every=1, constraints=(Constraint("size", 1.0),))
    for k in range(4):
        start(pbt, k)
    for k, (loss, size) in enumerate([(0.1, 3.0), (0.2, 2.0), (0.3, 1.0)]):
        report(pbt, k, 1, loss, size=size)
    assert report(pbt, 3, 1, 0.9, size=0.5) is GO  # feasible
    assert report(pbt, 0, 2, 0.1, size=3.0) is STOP  # violates most
    assert pbt.next_job(4).parent == 2
    both = make(population=4, every=1, objectives=("loss", "time"))
    for k in range(4):
        start(both, k)
    for k, values in enumerate([(1.0, 4.0), (2.0, 2.0), (4.0, 1.0)]):
        both.on_report(Report(k, 1, dict(zip(("loss", "time"), values, strict=True)), checkpoint="r1"))
    assert both.on_report(Report(3, 1, {"loss": 5.0, "time": 5.0}, checkpoint="r1")) is STOP  # dominated


# explore -------------------------------------------------------------------------------------------------


def changed(space, config, *, resample=0.0, factors=(0.8, 1.2), draws=40):
    rng = np.random.default_rng(0)
    return [explore(space, Configuration(config), rng, resample=resample, factors=factors) for _ in range(draws)]


def test_numbers_are_multiplied_in_their_own_scale_and_clipped():
    space = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), momentum=lu.Float(0.0, 0.99), width=lu.Int(1, 64, log=True))
    found = changed(space, {"lr": 0.01, "momentum": 0.9, "width": 10})
    assert {round(c["lr"], 9) for c in found} == {0.008, 0.012}
    assert {round(c["momentum"], 9) for c in found} == {0.72, 0.99}
    assert {c["width"] for c in found} == {8, 12}


def test_whole_numbers_and_steps_move_by_one_at_least():
    space = lu.Space(n=lu.Int(1, 8), m=lu.Int(-4, 4), s=lu.Float(0.0, 1.0, step=0.5))
    found = changed(space, {"n": 2, "m": 0, "s": 0.5})
    assert {c["n"] for c in found} == {1, 3}
    assert {c["m"] for c in found} == {-1, 1}
    assert {c["s"] for c in found} == {0.0, 1.0}
    assert {c["n"] for c in changed(space, {"n": 1, "m": 0, "s": 0.0})} == {1, 2}  # a bound holds
    assert {c["m"] for c in changed(space, {"n": 1, "m": -2, "s": 0.0})} == {-3, -1}


def test_ordinals_move_by_one_level_and_choices_are_drawn_anew():
    space = lu.Space(o=lu.Ordinal(1, 2, 4, 8), c=lu.Choice("a", "b", "c"), f=lu.Fixed(7))
    found = changed(space, {"o": 2, "c": "a", "f": 7})
    assert {c["o"] for c in found} == {1, 4}
    assert {c["c"] for c in found} == {"a", "b", "c"}
    assert {c["f"] for c in found} == {7}


def test_resampling_draws_from_the_prior_as_often_as_asked():
    space = lu.Space(x=lu.Float(0.0, 1.0))
    assert len({c["x"] for c in changed(space, {"x": 0.5}, resample=1.0)}) == 40
    found = changed(space, {"x": 0.5}, resample=0.25, draws=2000)
    drawn = sum(min(abs(c["x"] - 0.4), abs(c["x"] - 0.6)) > 1e-9 for c in found)
    assert 0.22 < drawn / 2000 < 0.28


def test_conditions_stay_valid():
    space = lu.Space(opt=lu.Choice("adam", "sgd"), momentum=lu.Float(0.1, 0.9, when=("opt", "sgd")))
    found = changed(space, {"opt": "adam"}) + changed(space, {"opt": "sgd", "momentum": 0.5})
    assert all(space.check(c) == c for c in found)
    woken = {c["momentum"] for c in found[:40] if c["opt"] == "sgd"}
    assert len(woken) > 5, "what becomes active is drawn"
    kept = {round(c["momentum"], 9) for c in found[40:] if c["opt"] == "sgd"}
    assert kept == {0.4, 0.6}


def test_what_is_forbidden_is_never_made():
    space = lu.Space(a=lu.Int(1, 8), b=lu.Int(1, 8), forbid=[("a", ">", "b")])
    assert all(c["a"] <= c["b"] for c in changed(space, {"a": 4, "b": 4}, draws=200))
    tight = lu.Space(a=lu.Int(1, 2), b=lu.Int(1, 2), forbid=[("a", ">", "b"), ("a", "<", "b")])
    assert {c["a"] for c in changed(tight, {"a": 1, "b": 1}, factors=(0.5,))} == {1}


# arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"population": 1}, "population=1. Allowed: a whole number and at least 2."),
        ({"quantile": 0.6}, "quantile=0.6. Allowed: a number and above 0 and at most 0.5."),
        ({"every": 2.5}, "every=2.5. Allowed: a whole number and at least 1 and at most 8."),
        ({"every": 9}, "every=9. Allowed: a whole number and at least 1 and at most 8."),
        ({"factors": 0.8}, "factors=0.8. Allowed: a list of numbers above 0, such as [0.8, 1.2]."),
        ({"factors": [0.8, 0]}, "factors=0. Allowed: a number and above 0."),
        ({"synchronous": 1}, "synchronous=1. Allowed: True or False."),
        ({"resample": -1}, "resample=-1. Allowed: a number and at least 0 and at most 1."),
    ],
)
def test_arguments_out_of_range(own, message):
    with pytest.raises(ArgumentError) as error:
        make(**own)
    assert str(error.value) == message


def test_decision_points():
    assert (make(high=8).every, make(high=52).every, make(high=100).every) == (1, 5, 10)
    assert make(high=7, every=3).levels == (3, 6, 7)
    assert make(high=6, every=3).levels == (3, 6)
    assert make(high=4, every=4).levels == (4,)  # no decision at all
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("part", 0.01, 1))
    assert len(Pbt(problem, Uniform(problem, seed=0), seed=0).levels) == 10


def test_needs_a_fidelity_and_resources():
    with pytest.raises(ArgumentError, match="scheduler 'pbt' needs a fidelity"):
        lu.Study(SPACE, scheduler="pbt")
    pbt = make()
    start(pbt, 0)
    with pytest.raises(ArgumentError, match="trial 0 reported no resource; scheduler 'pbt' judges by it"):
        pbt.on_report(Report(0, None, {"loss": 1.0}))


@pytest.mark.parametrize("own", [{"synchronous": True}, {"population": 20, "every": 2, "quantile": 0.5}], ids=str)
def test_battery_with_options(own):
    check_scheduler("pbt", **own)


# on a real loop ------------------------------------------------------------------------------------------

TOY = lu.Space(a=lu.Float(0.0, 1.0), b=lu.Float(0.0, 1.0))
STEPS = 40


def toy(run):
    """The paper's figure 2: theta climbs 1.2 - (a t1^2 + b t2^2); what counts is 1.2 - |theta|^2.

    The paper starts at (0.9, 0.9), where the two members are equal for ever, and a tie replaces nobody.
    """
    theta = np.load(run.checkpoint / "theta.npy") if run.checkpoint else np.array([0.9, 0.88])
    h = np.array([run.config["a"], run.config["b"]])
    for step in run.resources():
        theta = theta - 0.1 * h * theta
        with run.save() as folder:
            np.save(folder / "theta.npy", theta)
        run.report(q=1.2 - float(theta @ theta), step=step)


def toy_study(folder: Path, synchronous: bool) -> lu.Study:
    return lu.Study(
        TOY,
        lu.Objective("q", "max"),
        scheduler={"name": "pbt", "population": 2, "every": 4, "synchronous": synchronous},
        fidelity=("step", 1, STEPS),
        first=[{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}],
        defaults_first=False,
        folder=folder,
        seed=1,
    )


@pytest.mark.parametrize("synchronous", [False, True])
def test_the_toy_of_the_paper(tmp_path, synchronous):
    """Held constant, either configuration leaves one of the two parameters where it was."""
    constant = 1.2 - 0.88**2 - (0.9 * 0.9**STEPS) ** 2
    study = toy_study(tmp_path / "s", synchronous)
    result = study.run(toy)
    assert study.searcher_name == "random"
    assert result.reason == "scheduler 'pbt' is through"
    assert result.best.metrics["q"] > constant + 0.5
    assert result.counts["completed"] == 2
    assert study.replay().differences == []


def descend(run):
    """Three parameters of different curvature; checkpoints are cleared away as the run goes on."""
    w = np.load(run.checkpoint / "w.npy") if run.checkpoint else np.full(3, 3.0)
    for epoch in run.resources():
        w = w - run.config["lr"] * np.array([1.0, 0.1, 0.01]) * w
        with run.save() as folder:
            np.save(folder / "w.npy", w)
        run.report(loss=float((np.array([1.0, 0.1, 0.01]) * w * w).sum()), epoch=epoch)


RATES = lu.Space(lr=lu.Float(1e-3, 1.9, log=True))


def descent(folder: Path, **own) -> lu.Study:
    return lu.Study(RATES, scheduler={"name": "pbt", "population": 6, "every": 2, **own}, fidelity=("epoch", 1, 10),
                    folder=folder, seed=2)  # fmt: skip


@pytest.mark.parametrize("synchronous", [False, True])
def test_two_processes_with_real_checkpoints(tmp_path, synchronous):
    study = descent(tmp_path / "s", synchronous=synchronous)
    result = study.run(descend, workers=2)
    assert result.counts["completed"] == 6
    assert "failed" not in result.counts
    clones = [t for t in study.trials if t.parent is not None]
    assert clones or not synchronous, "without generations it hangs on who comes first whether anybody is replaced"
    for clone in clones:
        first = clone.reports[0]
        parent = {r.checkpoint: r for r in study.trials[clone.parent].reports}
        name = next(e.data["checkpoint"] for e in study.events() if e.kind == "started" and e.trial == clone.number)
        owner, _, start = name.rpartition("/")
        assert int(owner) == clone.parent
        assert first.resource == parent[start].resource + 1
        assert (tmp_path / "s" / "trials" / f"{clone.parent:05d}" / "checkpoints" / start).is_dir(), "kept for good"
    assert study.replay().differences == []


def test_any_number_of_workers_ends_the_same_with_generations(tmp_path):
    ends = []
    for workers in (1, 2):
        study = descent(tmp_path / str(workers), synchronous=True)
        study.run(descend, workers=workers)
        ends.append({t.number: (t.config, t.parent, t.resource, t.metrics) for t in study.trials})
    assert ends[0] == ends[1]
    assert any(parent is not None for _, parent, _, _ in ends[0].values())


def test_a_parents_checkpoint_that_is_gone_fails_the_clone_and_the_study_goes_on(tmp_path):
    folder = tmp_path / "s"

    def vandal(study, event):
        if event.kind == "asked" and event.data.get("parent") is not None and not (folder / "done").exists():
            shutil.rmtree(folder / "trials" / f"{event.data['parent']:05d}" / "checkpoints")
            (folder / "done").touch()

    study = descent(folder, synchronous=True)
    study.callbacks.append(vandal)
    result = study.run(descend)
    [failed] = [t for t in study.trials if t.status is lu.Status.FAILED and "is gone" in (t.error or "")][:1]
    assert failed.error.startswith("the checkpoint to start from is gone: ")
    assert failed.runs == 1
    assert result.counts["completed"] >= 5
    assert study.replay().differences == []


def test_reports_without_checkpoints_and_studies_without_folders_are_refused(tmp_path):
    def bare(run):
        for epoch in run.resources():
            run.report(loss=1.0, epoch=epoch)

    study = descent(tmp_path / "s")
    with pytest.raises(MetricError, match="trial 0 reported without a checkpoint; scheduler 'pbt' starts other"):
        study.run(bare)
    without = lu.Study(RATES, scheduler="pbt", fidelity=("epoch", 1, 10))
    with pytest.raises(ArgumentError, match="has no folder to keep them in"):
        without.run(descend)
