"""Awad, Mallik, Hutter 2021: DEHB, which is Hyperband's brackets with differential evolution."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Decision, Fidelity, Objective, Report, Status
from luthier.base.registry import load
from luthier.schedulers.dehb import Dehb
from luthier.schedulers.hyperband import Hyperband
from luthier.space.problem import Problem
from luthier.study import Study
from luthier.testing._drive import Drive
from luthier.testing.scheduler import check_scheduler

FULL = 9


def box(d=2):
    return lu.Space({f"x{i}": lu.Float(0.0, 1.0) for i in range(d)})


def make(high=4, eta=2, space=None, seed=0, **own):
    problem = Problem(space or box(), (Objective("loss"),), fidelity=Fidelity("epoch", 1, high))
    return Dehb(problem, load("searcher", "random")(problem, seed=seed), seed=seed, eta=eta, **own)


def finish(dehb, job, loss):
    """Start a job and let it report where its grant ends."""
    dehb.on_start(job)
    high = dehb.problem.fidelity.high
    decision = dehb.on_report(Report(job.trial, job.until, {"loss": loss}))
    status = {Decision.PAUSE: Status.PAUSED, Decision.STOP: Status.STOPPED, Decision.CONTINUE: Status.COMPLETED}
    assert (decision is Decision.CONTINUE) == (job.until == high)
    dehb.on_end(job.trial, status[decision])
    dehb.tell([dehb.problem.observe(job.trial, job.config, {"loss": loss}, resource=job.until)])
    return decision


def run(dehb, losses):
    """One worker; the jobs and what they were answered."""
    found, k = [], 0
    while True:
        job = dehb.next_job()
        if job is None and k < len(losses):
            job, k = dehb.next_job(k), k + 1
        if job is None:
            return found
        found.append((job, finish(dehb, job, losses[job.trial])))


# -- decisions by hand ------------------------------------------------------------------------------------------------


def test_trace_of_one_worker_by_hand():
    """eta = 2 on 1..4: 4 at 1, of which 2 go on to 2, and 1 to 4. Then new ones: 3 at 2, 1 at 4; 3 at 4; 4 at 1, ..."""
    losses = [8, 6, 7, 5, 4, 3, 9, 2, 1, 0, 6, 5, 4, 3, 2, 1, 0, 3]
    dehb = make()
    found = run(dehb, losses)
    first = [(0, 1), (1, 1), (2, 1), (3, 1), (3, 2), (1, 2), (3, 4)]
    later = [(4, 2), (5, 2), (6, 2), (7, 4), (8, 4), (9, 4), (10, 4)]
    again = [(11, 1), (12, 1), (13, 1), (14, 1), (15, 2), (16, 2), (17, 4)]
    assert [(job.trial, job.until) for job, _ in found] == first + later + again
    answers = {(job.trial, job.until): decision for job, decision in found}
    assert [answers[one] for one in first[:4]] == [Decision.PAUSE] * 4
    # a child has had all that it will get
    assert [answers[one] for one in later] == [Decision.STOP] * 3 + [Decision.CONTINUE] * 4
    brackets = {(row["trial"], row["resource"]): row["bracket"] for row in dehb.rungs()}
    assert [brackets[one] for one in first + later + again] == [0] * 7 + [1] * 4 + [2] * 3 + [3] * 7
    assert [job.origin for job, _ in found] == ["random"] * 4 + [""] * 3 + ["dehb"] * 14


def test_first_trials_are_the_searchers():
    dehb = make(9, 3)
    random = load("searcher", "random")(dehb.problem, seed=0)
    jobs = [job for job, _ in run(dehb, list(range(9))) if job.until == 1]
    assert [job.config for job in jobs] == random.ask(9, k=0)


def test_who_holds_which_slot_by_hand():
    """Four slots at each resource: never fewer. Trial after trial at a resource competes for the next one."""
    dehb = make()
    run(dehb, [8, 6, 7, 5, 4, 7, 9, 2, 1, 0, 3])
    # at 2: trials 3 and 1 of the first bracket (losses 5, 6), then 4, 5, 6 (losses 4, 7, 9) for slots 2, 3, 0
    assert dehb.members(2) == {0: 3, 1: 1, 2: 4, 3: 5}
    # at 4: trial 3 (loss 5), then 7, 8, 9, 10 (losses 2, 1, 0, 3) for slots 1, 2, 3, 0
    assert dehb.members(4) == {0: 10, 1: 7, 2: 8, 3: 9}
    assert dehb.members(1) == {0: 0, 1: 1, 2: 2, 3: 3}


def test_equal_losses_change_no_member_and_failures_are_none():
    dehb = make()
    run(dehb, [1.0] * 9)
    assert dehb.members(2) == {0: 0, 1: 1, 2: 4, 3: 5}  # trial 6 came to slot 0, and is no better
    dehb.on_end(4, Status.FAILED)
    assert dehb.members(2) == {0: 0, 1: 1, 3: 5}
    assert not any(4 in pool for _, pool in filter(None, (dehb._parents(n) for n in range(1, 9))))


def test_a_child_by_hand():
    """Everything from the mixture: (0.2, 0.3) + 0.5 ((0.6, 0.8) - (0.2, 0.4)) = (0.4, 0.5)."""
    dehb = make(crossover=1.0)
    rows = np.array([[0.5, 0.9], [0.2, 0.3], [0.6, 0.8], [0.2, 0.4]])
    assert dehb._child(rows, np.random.default_rng(0)) == pytest.approx([0.4, 0.5])
    rows[1] = 0.95  # 1.15 in the first place, and 1.15 in the second: both are drawn anew
    children = np.array([dehb._child(rows, np.random.default_rng(seed)) for seed in range(200)])
    assert children.min() >= 0.0
    assert children.max() <= 1.0
    assert children.mean(axis=0) == pytest.approx([0.5, 0.5], abs=4 / math.sqrt(12 * 200))


def test_half_of_the_places_come_from_the_target_and_never_all():
    dehb = make(space=box(4))
    rows = np.array([[0.5] * 4, [0.2] * 4, [0.6] * 4, [0.4] * 4])
    changed = np.array([dehb._child(rows, np.random.default_rng(seed)) != 0.5 for seed in range(400)])
    assert changed.sum(axis=1).min() == 1
    assert changed.mean() == pytest.approx(0.5 + 0.5 / 4, abs=4 * math.sqrt(0.25 / 1600))


def test_where_parents_come_from_by_hand():
    """eta = 3 on 1..9: plans 0: 9, 3, 1; 1: 5 at 3; 2: 1 at 9; 3: 3 at 9; then 4: 9 at 1; 5: 3 at 3; 6: 1 at 9."""
    dehb = make(9, 3)
    run(dehb, [9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert [dehb.plan(number) for number in range(7)] == [
        ((1, 3, 9), (9, 3, 1)), ((3,), (5,)), ((9,), (1,)), ((9,), (3,)), ((1,), (9,)), ((3,), (3,)), ((9,), (1,)),
    ]  # fmt: skip
    assert dehb.members(1) == dict(zip(range(8, -1, -1), range(8, -1, -1), strict=True))
    # bracket 1 begins at 3, where trials 8, 7, 6 are: slot 3 of 5 is next, and empty
    assert dehb._parents(1) == (None, [8, 7, 6])
    # at 9 there is one member; its parents are the best three at 3, not one alone
    assert dehb._parents(2) == (None, [8, 7, 6])
    # bracket 2 begins at 9, where trial 8 is alone: two from below help out
    assert dehb._parents(3) == (None, [8, 7, 6])
    # at 1 the target, whose turn it is, is no parent
    assert dehb._parents(4) == (0, [8, 7, 6, 5, 4, 3, 2, 1])
    assert dehb._parents(5) == (None, [8, 7, 6])


def test_children_come_while_the_first_bracket_waits():
    """Eight workers have taken all of the first rung but one trial: the ninth worker gets a new trial at once."""
    dehb = make(9, 3)
    for k in range(9):
        dehb.on_start(dehb.next_job(k))
    assert dehb.next_job() is None
    assert (dehb.next_job(9).until, dehb.next_job(9).origin) == (3, "random")  # nobody has reported yet
    for k in range(8):
        dehb.on_report(Report(k, 1, {"loss": float(k)}))
        dehb.on_end(k, Status.PAUSED)
    assert dehb.next_job() is None
    assert dehb.next_job(9).until == 3


def test_given_configurations_take_a_turn():
    dehb = make()
    run(dehb, [4, 3, 2, 1])
    job = dehb.next_job(4, given=("enqueued", Configuration(x0=0.5, x1=0.5)))
    assert (job.until, job.config, job.origin) == (2, {"x0": 0.5, "x1": 0.5}, "enqueued")
    finish(dehb, job, 0.0)
    assert dehb.members(2) == {2: 4, 0: 3, 1: 2}


# -- claims -----------------------------------------------------------------------------------------------------------


def bowl():
    """A smooth loss over four numbers; short runs mislead by up to 0.27."""
    best = (0.3, 0.7, 0.2, 0.6)

    def curve(config, resource):
        at = [config[f"x{i}"] for i in range(4)]
        bias = 0.15 * (1 + math.sin(7 * at[0] + 3 * at[1])) * (1 / resource - 1 / FULL)
        return {"loss": sum((x - y) ** 2 for x, y in zip(at, best, strict=True)) + bias}

    return box(4), curve


def best_at(scheduler, seed, spend):
    """Lowest loss at the full resource when so much resource was spent in all."""
    space, curve = bowl()
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, FULL))

    def build():
        return scheduler(problem, load("searcher", "random")(problem, seed=seed), seed=seed)

    drive = Drive(build, problem, curve, seed, workers=4, trials=260)
    drive.run()
    spent, best, reached = 0.0, math.inf, {}
    for kind, report, _ in drive.log:
        if kind == "report":
            spent += report.resource - reached.get(report.trial, 0.0)
            reached[report.trial] = report.resource
            if report.resource == FULL:
                best = min(best, report.metrics["loss"])
            if spent >= spend:
                return best
    raise AssertionError(f"{spent} of {spend} spent")


def test_dehb_beats_hyperband_at_equal_resource():
    ours = [best_at(Dehb, seed, 750) for seed in range(9)]
    theirs = [best_at(Hyperband, seed, 750) for seed in range(9)]
    assert median(ours) < 0.5 * median(theirs)
    assert sum(a < b for a, b in zip(ours, theirs, strict=True)) >= 7


# -- edges ------------------------------------------------------------------------------------------------------------


def test_a_full_resource_below_eta_leaves_one_population():
    dehb = make(2, 3)
    found = run(dehb, [5, 4, 3, 2, 1])
    assert [(job.trial, job.until) for job, _ in found] == [(k, 2) for k in range(5)]
    assert [dehb.plan(n) for n in (0, 1, 2)] == [((2,), (1,))] * 3
    assert dehb.members(2) == {0: 4, 1: 1, 2: 2, 3: 3}
    assert found[4][0].origin == "dehb"


def test_mixed_and_conditional_spaces():
    space = lu.Space(
        lr=lu.Float(1e-4, 1, log=True), n=lu.Int(1, 9), opt=lu.Choice("sgd", "adam", "lion"),
        m=lu.Float(0, 0.9, when=("opt", "sgd")), forbid=[{"opt": "adam", "n": 9}],
    )  # fmt: skip
    dehb = make(9, 3, space=space)
    rng = np.random.default_rng(0)
    found = run(dehb, rng.random(60).tolist())
    children = [job.config for job, _ in found if job.origin == "dehb"]
    assert len(children) > 30
    assert all(space.check(config) == config for config in children)
    tried = [job.config for job, _ in found if job.until in (1, 3) and job.origin]
    assert len(set(tried)) == len(tried)
    assert len({config["opt"] for config in children}) == 3


def test_a_small_space_is_used_up(tmp_path):
    def train(run):
        for epoch in run.resources():
            run.report(loss=run.config["a"] + run.config["b"] + 1 / epoch, epoch=epoch)

    study = Study(
        lu.Space(a=lu.Int(0, 3), b=lu.Int(0, 4)), "loss", scheduler="dehb", fidelity=("epoch", 1, 9),
        storage=f"sqlite:///{tmp_path}/s.db", name="s",
    )  # fmt: skip
    study.run(train, trials=12)
    again = Study.open(f"sqlite:///{tmp_path}/s.db", "s")
    again.run(train, trials=100)
    assert len({trial.config for trial in again.trials}) == len(again.trials) == 20
    assert all(trial.status.ended for trial in again.trials)
    assert again.replay().differences == []


@pytest.mark.parametrize("own", [{"eta": 2}, {"weight": 0.9, "crossover": 0.9, "grace": 2}], ids=str)
def test_battery_on_options(own):
    check_scheduler("dehb", **own)


def test_bad_arguments_are_refused():
    for own, message in (
        ({"weight": 0}, "weight=0. Allowed: a number and above 0 and at most 2."),
        ({"crossover": 1.5}, "crossover=1.5. Allowed: a number and at least 0 and at most 1."),
    ):
        with pytest.raises(ArgumentError) as raised:
            make(**own)
        assert str(raised.value) == message
