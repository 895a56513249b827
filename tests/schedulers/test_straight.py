"""Straight: every trial runs to the full resource."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.base.records import Configuration, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.straight import Straight
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Uniform

PROBLEM = Problem(Space(x=Float(0.0, 1.0)), (Objective("loss"),), fidelity=Fidelity("epoch", 1, 3))


def test_goes_on_always_and_has_no_other_work():
    straight = Straight(PROBLEM, Uniform(PROBLEM, seed=1), seed=1)
    job = straight.next_job(0)
    assert job == Job(0, job.config, None, origin="uniform")
    straight.on_start(job)
    assert [straight.on_report(Report(0, r, {"loss": 9.0})) for r in (1, 2, 3)] == [Decision.CONTINUE] * 3
    straight.on_end(0, Status.COMPLETED)
    assert straight.next_job() is None
    assert straight.rungs() == []


def test_pending_configurations_reach_the_searcher():
    seen = []

    class Watching(Uniform):
        def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
            seen.append(list(pending))
            return super()._propose(n, k, pending)

    straight = Straight(PROBLEM, Watching(PROBLEM, seed=1), seed=1)
    first, second = straight.next_job(0), straight.next_job(1)
    straight.on_start(first)
    straight.on_start(second)
    straight.next_job(2)
    straight.on_end(0, Status.COMPLETED)
    straight.next_job(3)
    assert seen == [[], [], [first.config, second.config], [second.config]]


def test_an_exhausted_searcher_ends_the_work():
    class Empty(Uniform):
        def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
            return []

    straight = Straight(PROBLEM, Empty(PROBLEM, seed=1), seed=1)
    assert straight.next_job(0) is None
    given = ("enqueued", Configuration(x=0.25))
    assert straight.next_job(0, given=given) == Job(0, Configuration(x=0.25), None, origin="enqueued")
