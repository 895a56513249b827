"""Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from luthier.base.records import Configuration, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.asha import Asha
from luthier.schedulers.straight import Straight
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Drive, Uniform

ARMS = 81


class InOrder(Uniform):
    """Proposes arm k as trial k."""

    def _propose(self, n, k, pending):
        return [Configuration(arm=k + i) for i in range(n)]


def problem_of(high):
    return Problem(Space(arm=Int(0, ARMS - 1)), (Objective("loss"),), fidelity=Fidelity("epoch", 1, high))


def study(cls, curve, high, *, workers, seed=0, trials=ARMS, **own):
    problem = problem_of(high)

    def build():
        return cls(problem, InOrder(problem, seed=seed), seed=seed, **own)

    drive = Drive(build, problem, curve, seed, workers=workers, trials=trials)
    drive.run()
    return drive


def test_promotion_trace_of_one_worker_by_hand():
    """eta = 2 on 1..4, losses 8 6 7 5 4 3 (the same at every resource)."""
    problem = problem_of(4)
    asha = Asha(problem, InOrder(problem, seed=0), seed=0, eta=2, type="promotion")
    losses = [8.0, 6.0, 7.0, 5.0, 4.0, 3.0]
    trace, k = [], 0
    while True:
        job = asha.next_job()
        if job is None and k < len(losses):
            job, k = asha.next_job(k), k + 1
        if job is None:
            break
        trace.append((job.trial, job.until))
        asha.on_start(job)
        asha.on_report(Report(job.trial, job.until, {"loss": losses[job.trial]}))
        asha.on_end(job.trial, Status.COMPLETED if job.until == 4 else Status.PAUSED)
    assert trace == [
        (0, 1),
        (1, 1),  # rung 1 holds 8 6: the best one may go on
        (1, 2),
        (2, 1),  # 8 6 7: still one, and it has gone
        (3, 1),  # 8 6 7 5: two may, 5 and 6
        (3, 2),  # rung 2 holds 6 5: one may
        (3, 4),
        (4, 1),  # 8 6 7 5 4: two may, 4 and 5
        (4, 2),  # rung 2 holds 6 5 4: one may, 4
        (4, 4),
        (5, 1),  # three may: 3, 4, 5
        (5, 2),  # rung 2 holds 6 5 4 3: two may, 3 and 4
        (5, 4),
    ]


def converging(seed):
    """Arms whose curves converge: value + spread / resource, spread within the envelope."""
    rng = np.random.default_rng(seed)
    final = rng.permutation(ARMS) / ARMS
    spread = rng.uniform(0.0, 0.05, ARMS)
    return final, lambda config, resource: {"loss": float(final[config["arm"]] + spread[config["arm"]] / resource)}


@pytest.mark.parametrize("own", [{"type": "promotion"}, {"type": "stopping"}], ids=str)
def test_finds_the_best_arm_with_less_resource(own):
    ratios = []
    for seed in range(5):
        final, curve = converging(seed)
        quick = study(Asha, curve, 27, workers=4, seed=seed, **own)
        plain = study(Straight, curve, 27, workers=4, seed=seed)
        done = [trial for trial, status in quick.status.items() if status is Status.COMPLETED]
        assert min(done, key=lambda trial: final[trial]) == int(np.argmin(final))
        spent = [sum(len(reports) for reports in drive.reports.values()) for drive in (quick, plain)]
        assert spent[1] == ARMS * 27
        ratios.append(spent[0] / spent[1])
    assert max(ratios) < 1 / 3


def test_sixteen_workers_are_never_idle_and_promote_nothing_twice():
    _, curve = converging(0)
    drive = study(Asha, curve, 27, workers=16, type="promotion")
    grants = [(job.trial, job.until) for job in drive.jobs]
    assert len(grants) == len(set(grants))
    assert drive.idle == 0


def test_the_share_that_reaches_each_rung():
    """Of n results at a rung, floor(n / eta) have gone on when nothing is left to do; mistakes add a few."""
    _, curve = converging(1)
    drive = study(Asha, curve, 27, workers=1, type="promotion")
    counts = [sum(row["resource"] == level for row in drive.scheduler.rungs()) for level in (1, 3, 9, 27)]
    assert counts[0] == ARMS
    for below, above in pairwise(counts):
        # early mistakes: about the square root of the rung's size
        assert below // 3 <= above <= below // 3 + np.sqrt(below)


def crossing(config, resource):
    """A slow starter: the best arm in the end, the worst before the last rung."""
    final = config["arm"] / ARMS
    return {"loss": 2.0 if config["arm"] == 0 and resource < 27 else final}


def test_edge_case_crossing_curves():
    """What the method cannot see: the slow starter is lost; a bracket that begins at the full resource keeps it."""
    lost = study(Asha, crossing, 27, workers=1, type="promotion", trials=ARMS)
    # while a rung holds fewer than eta results nothing is promoted, so that the first arm gets no free ride
    assert lost.status[0] is Status.PAUSED
    # with as many brackets as rungs, some trials run to the end unjudged
    problem = problem_of(27)
    asha = Asha(problem, InOrder(problem, seed=0), seed=0, type="promotion", brackets=4)
    last = [k for k in range(ARMS) if asha.bracket_of(k) == 3]
    assert last
    assert {asha.next_job(k).until for k in last} == {27}
    kept = study(
        Asha, lambda c, r: crossing({"arm": 0 if c["arm"] == last[0] else c["arm"] + 1}, r), 27, workers=1,
        type="promotion", brackets=4,
    )  # fmt: skip
    assert kept.status[last[0]] is Status.COMPLETED


def test_restarted_trial_continues_its_grant():
    """A lost run is started again with the same grant, and its trial is promoted once."""
    problem = problem_of(9)
    asha = Asha(problem, InOrder(problem, seed=0), seed=0, type="promotion")
    for trial in range(3):
        asha.on_start(Job(trial, Configuration(arm=trial), 1))
        asha.on_report(Report(trial, 1, {"loss": float(trial)}))
        asha.on_end(trial, Status.PAUSED)
    promotion = asha.next_job()
    assert promotion == Job(0, Configuration(arm=0), 3)
    asha.on_start(promotion)
    asha.on_end(0, Status.WAITING)
    assert asha.next_job() is None
    asha.on_start(promotion)
    asha.on_report(Report(0, 3, {"loss": 0.0}))
    asha.on_end(0, Status.PAUSED)
    assert [(row["resource"], row["trial"]) for row in asha.rungs()] == [(1, 0), (1, 1), (1, 2), (3, 0)]
