"""Parker-Holder, Nguyen, Roberts 2020, Provably Efficient Online Hyperparameter Optimization (PB2)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.records import Constraint, Fidelity, Job, Objective, Report, Status
from luthier.models.drifting_gp import Drift, DriftingGP, _evidence
from luthier.schedulers.pb2 import FEWEST, Pb2
from luthier.space.problem import Problem
from luthier.testing._drive import Drive, Uniform
from luthier.testing.scheduler import check_scheduler

SPACE = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))


# the process ---------------------------------------------------------------------------------------------


def test_kernel_by_hand():
    """Squared exponential of the features times (1 - epsilon)^(|t - t'| / 2)."""
    drift = Drift(length=0.5, signal=2.0, noise=0.1, forgets=0.36)
    A, B = np.array([[0.0, 0.0]]), np.array([[0.3, 0.4]])
    found = drift.covariance(A, np.array([1.0]), B, np.array([4.0]))
    assert found[0, 0] == pytest.approx(2.0 * math.exp(-0.25 / (2 * 0.25)) * 0.64**1.5)
    assert drift.covariance(A, np.array([1.0]), A, np.array([3.0]))[0, 0] == pytest.approx(2.0 * 0.64)


def test_two_points_by_hand():
    """One value 1 with noise 1: mean k / (1 + 1), variance 1 - k^2 / 2."""
    process = DriftingGP(np.zeros((1, 1)), np.zeros(1), np.ones(1), Drift(1.0, 1.0, 1.0, 0.75))
    X, t = np.zeros((1, 1)), np.array([2.0])
    assert process.mean(X, t) == pytest.approx(0.125)
    assert process.sd(X, t) == pytest.approx(math.sqrt(1 - 0.25**2 / 2))


def data(n, *, drift, seed=0):
    rng = np.random.default_rng(seed)
    X, t = rng.random((n, 2)), np.repeat(np.arange(n // 8), 8).astype(float)
    y = np.sin(5 * X[:, 0] + drift * t) + 0.1 * rng.normal(size=n)
    return X, t, (y - y.mean()) / y.std()


def test_gradient_of_the_likelihood():
    X, t, y = data(24, drift=0.5)
    squared, apart = ((X[:, None] - X[None]) ** 2).sum(axis=2), np.abs(t[:, None] - t[None])
    theta = np.array([-0.5, 0.2, -1.0, -2.0])
    slope = _evidence(theta, squared, apart, y)[1]
    for i, step in enumerate(np.eye(4) * 1e-6):
        up, down = (_evidence(theta + s, squared, apart, y)[0] for s in (step, -step))
        assert slope[i] == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_what_drifts_is_forgotten_and_what_stays_is_not():
    still, moving = (DriftingGP(*data(64, drift=drift)).drift for drift in (0.0, 1.5))
    assert still.forgets < 0.1
    assert moving.forgets > 3 * still.forgets


def test_pending_points_narrow_the_bound_and_move_no_mean():
    X, t, y = data(24, drift=0.2)
    process = DriftingGP(X, t, y)
    at, now = np.array([[0.4, 0.6], [0.9, 0.1]]), np.full(2, 4.0)
    waiting = process.with_pending(at[:1], now[:1])
    assert waiting.mean(at, now) == pytest.approx(process.mean(at, now), abs=1e-9)
    assert waiting.sd(at, now)[0] < 0.9 * process.sd(at, now)[0]
    assert process.with_pending(at[:0], now[:0]) is process


# the scheduler -------------------------------------------------------------------------------------------


def make(space=SPACE, high=10, **own):
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, high))
    return Pb2(problem, Uniform(problem, seed=0), seed=0, synchronous=True, every=1, **own)


def generation(pb2, jobs, loss):
    """One interval of every job; the next jobs."""
    for job in jobs:
        report = Report(job.trial, job.until, {"loss": loss(job)}, checkpoint=f"r{job.until}")
        pb2.on_report(report)
        pb2.on_end(job.trial, Status.PAUSED)
    found = []
    while (job := pb2.next_job() or pb2.next_job(len(pb2.members))) is not None:
        pb2.on_start(job)
        found.append(job)
    return found


def first(pb2, n):
    jobs = []
    for k in range(n):
        jobs.append(pb2.next_job(k))
        pb2.on_start(jobs[-1])
    return jobs


def test_increments_by_hand():
    """What an interval brought, for the configuration that it was spent with; a first interval has no beginning."""
    pb2 = make(population=4)
    jobs = generation(pb2, first(pb2, 4), lambda job: 1.0 + job.trial)
    assert pb2._increments == []
    clone = next(job for job in jobs if job.parent is not None)
    assert (clone.trial, clone.parent) == (4, 0)
    generation(pb2, jobs, lambda job: {0: 0.5, 1: 2.5, 2: 2.0, 4: 0.25}[job.trial])
    assert [(one.trial, one.at, one.gains) for one in sorted(pb2._increments, key=lambda one: one.trial)] == [
        (0, 2, (0.5,)), (1, 2, (-0.5,)), (2, 2, (1.0,)), (4, 2, (0.75,)),
    ]  # fmt: skip


def test_copies_go_where_the_next_interval_pays():
    """Every interval's gain is 1 - |x - 0.7|, whatever y: most copies choose x near 0.7, some explore, all differ."""
    pb2 = make(population=12)
    values = {}

    def loss(job):
        before = values.get(job.trial, values.get(job.parent, 100.0))
        values[job.trial] = before - (1 - abs(job.config["x"] - 0.7))
        return values[job.trial]

    jobs, clones = generation(pb2, first(pb2, 12), loss), []
    for _ in range(7):
        jobs = generation(pb2, jobs, loss)
        clones += [job.config for job in jobs if job.parent is not None]
    assert len(clones) == 21
    assert sum(abs(config["x"] - 0.7) < 0.15 for config in clones) >= 14  # 6 by chance
    assert len(set(clones)) == 21


def test_the_violation_counts_in_what_an_interval_brings():
    problem = Problem(SPACE, (Objective("loss"),), (Constraint("heat", 1.0),), Fidelity("epoch", 1, 10))
    pb2 = Pb2(problem, Uniform(problem, seed=0), seed=0, population=2, every=1)
    pb2.on_start(pb2.next_job(0))
    for epoch, loss, heat in ((1, 1.0, 3.0), (2, 0.75, 1.5)):
        pb2.on_report(Report(0, epoch, {"loss": loss, "heat": heat}, checkpoint=f"r{epoch}"))
    assert [one.gains for one in pb2._increments] == [(0.25, 1.5)]


def test_few_increments_or_no_numbers_explore_as_pbt():
    pb2 = make(population=4)
    jobs = generation(pb2, first(pb2, 4), lambda job: 1.0 + job.trial)
    [clone] = [job for job in jobs if job.parent is not None]
    assert len(pb2._increments) < FEWEST
    parent = pb2.members[clone.parent].config
    moved = [clone.config[name] / parent[name] for name in ("x", "y")]
    assert any(math.isclose(m, f, rel_tol=1e-6) for m in moved for f in (0.8, 1.2)) or clone.config != parent
    choices = make(lu.Space(c=lu.Choice(*"abcdef"), d=lu.Choice(*"uvwxyz")), population=4)
    jobs = first(choices, 4)
    for round_ in range(3):
        jobs = generation(choices, jobs, lambda job, round_=round_: job.trial - round_)
    assert choices._fitted is None
    assert any(job.parent is not None for job in jobs)


def test_choices_are_drawn_anew_and_conditions_hold():
    space = lu.Space(opt=lu.Choice("a", "b"), x=lu.Float(0.0, 1.0), m=lu.Int(1, 9, when=("opt", "b")))
    pb2 = make(space, population=12)
    jobs, seen = first(pb2, 12), set()
    for round_ in range(9):
        jobs = generation(pb2, jobs, lambda job, round_=round_: job.config["x"] - round_)
        clones = [job.config for job in jobs if job.parent is not None]
        assert all(space.check(config) == config for config in clones)
        seen |= {config["opt"] for config in clones}
    assert pb2._fitted is not None
    assert seen == {"a", "b"}


def test_the_order_of_arrival_does_not_matter():
    def jobs_of(order):
        pb2 = make(population=8)
        jobs = first(pb2, 8)
        found = list(jobs)
        for round_ in range(5):
            jobs = generation(pb2, order(jobs), lambda job, r=round_: job.config["x"] / (r + 1))
            found += jobs
        return found

    assert jobs_of(list) == jobs_of(lambda jobs: jobs[::-1])


def test_clones_that_ran_ahead_say_nothing_to_those_that_still_wait():
    """Few workers: one clone of a decision has trained before the next one starts."""
    pb2 = make(population=8)
    jobs = first(pb2, 8)
    for round_ in range(3):
        jobs = generation(pb2, jobs, lambda job, r=round_: job.config["x"] / (r + 1))
    for job in jobs:
        pb2.on_report(Report(job.trial, job.until, {"loss": job.config["x"]}, checkpoint=f"r{job.until}"))
        pb2.on_end(job.trial, Status.PAUSED)
    k = len(pb2.members)
    early = pb2.next_job(k)
    pb2.on_start(early)
    second = pb2.next_job(k + 1)
    assert second.parent is not None
    pb2.on_report(Report(k, early.until, {"loss": -9.0}, checkpoint="r9"))
    pb2.on_end(k, Status.PAUSED)
    assert pb2.next_job(k + 1) == second


def regret(cls, seed):
    """The best x moves from 0.1 to 0.9 as training goes on; what is left of the loss at the end."""
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 20))
    paid: dict[int, list[float]] = {}

    class Training(Drive):
        def _report(self, run):
            job: Job = run.job
            if job.trial not in paid:
                start = 0 if job.parent is None else round(float(job.checkpoint.rpartition("/r")[2]))
                paid[job.trial] = [] if job.parent is None else paid[job.parent][:start]
            place = 0.1 + 0.8 * len(paid[job.trial]) / 20
            paid[job.trial].append(abs(job.config["x"] - place) + 0.2 * abs(job.config["y"] - 0.5))
            super()._report(run)

    def build():
        return cls(problem, Uniform(problem, seed=seed), seed=seed, population=8, every=2, synchronous=True)

    drive = Training(build, problem, lambda config, epoch: {"loss": 0.0}, seed, trials=500, workers=1)
    drive.curve = lambda config, epoch: {"loss": sum(paid[drive.running[0].job.trial]) - epoch}
    drive.run()
    return min(sum(paid[n]) for n, status in drive.status.items() if status is Status.COMPLETED)


def test_what_moves_is_followed_better_than_by_random_factors():
    """The paper's claim, on a target that drifts: less is lost than by pbt with equal populations and seeds."""
    from luthier.schedulers.pbt import Pbt

    lost = np.array([[regret(cls, seed) for cls in (Pb2, Pbt)] for seed in range(8)])
    assert lost[:, 0].mean() < lost[:, 1].mean()


@pytest.mark.parametrize("own", [{"population": 16, "synchronous": True}], ids=str)
def test_battery_with_options(own):
    check_scheduler("pb2", **own)
