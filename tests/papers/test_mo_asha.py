"""Schmucker et al. 2021, Multi-objective Asynchronous Successive Halving."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_asha import ARMS, InOrder, converging, study

from luthier.base.errors import ArgumentError
from luthier.base.pareto import hypervolume
from luthier.base.records import Configuration, Constraint, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers._rungs import Entry, Rung, net_places, several_keys
from luthier.schedulers.asha import Asha
from luthier.schedulers.mo_asha import MoAsha
from luthier.schedulers.straight import Straight
from luthier.space.domains import Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Drive

BOTH = (Objective("loss"), Objective("size"))


def make(constraints=(), objectives=BOTH, **own):
    problem = Problem(Space(arm=Int(0, ARMS - 1)), objectives, constraints, Fidelity("epoch", 1, 27))
    return MoAsha(problem, InOrder(problem, seed=0), seed=0, **own)


def pause(asha, trial, **metrics):
    asha.on_start(Job(trial, Configuration(arm=trial), 1))
    asha.on_report(Report(trial, 1, metrics))
    asha.on_end(trial, Status.PAUSED)


@pytest.mark.parametrize(
    ("points", "places"),
    [
        # the best in the first objective, the farthest from it, then 0.53 from the nearer end against 0.35
        ([[0, 4], [1, 3], [2.5, 1.5], [4, 0]], [0, 3, 2, 1]),
        # both inner points are equally far: the earlier one
        ([[0, 4], [3, 1], [1, 3], [4, 0]], [0, 2, 3, 1]),
        # units do not matter
        ([[0, 4000], [1, 3000], [2.5, 1500], [4, 0]], [0, 3, 2, 1]),
        # equal points share a place
        ([[1, 3], [0, 4], [1, 3], [4, 0]], [2, 0, 2, 1]),
        ([[2, 2], [2, 2]], [0, 0]),
        ([[7, 7]], [0]),
        # of several that are best in the first objective, the best in the next
        ([[0, 2, 1], [0, 1, 2], [5, 0, 0]], [2, 0, 1]),
    ],
)
def test_the_net_by_hand(points, places):
    assert net_places(np.array(points, dtype=float)).tolist() == places


def test_every_next_point_is_the_farthest():
    rng = np.random.default_rng(0)
    for m in (2, 3, 4):
        points = rng.random((40, m))
        points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
        order = np.argsort(net_places(points))
        for i in range(1, 40):
            distance = np.linalg.norm(points[order[i:], None] - points[order[None, :i]], axis=2).min(axis=1)
            assert distance[0] == pytest.approx(distance.max())


def test_keys_put_violation_then_front_first():
    entries = [
        Entry(0, (0.0, 4.0), 0.0, 0),
        Entry(1, (1.0, 1.0), 0.0, 1),
        Entry(2, (4.0, 0.0), 0.0, 2),
        Entry(3, (1.0, 2.0), 0.0, 3),  # dominated by 1
        Entry(4, (0.0, 0.0), 0.5, 4),  # infeasible
    ]
    keys = several_keys(entries, "epsilon-net")
    assert [key[:3] for key in keys] == [(0, 0, 0), (0, 0, 2), (0, 0, 1), (0, 1, 0), (0.5, 0, 0)]


def test_promotions_by_hand_and_by_crowding():
    """Nine trials on one front: the third of three lies in the middle of the front, not where its gaps are widest."""
    first = [0.0, 0.1, 0.45, 0.5, 0.55, 0.6, 0.65, 0.95, 1.0]
    third = {}
    for order in ("epsilon-net", "crowding"):
        asha = make(type="promotion", order=order)
        for trial, loss in enumerate(first):
            pause(asha, trial, loss=loss, size=1 - loss)
        jobs = []
        while (job := asha.next_job()) is not None:
            jobs.append(job.trial)
            asha.on_start(job)
        assert jobs[:2] == [0, 8]
        assert len(jobs) == 3
        third[order] = jobs[2]
    # 0.5 is 0.5 from both ends; the neighbours of 0.1 are 0 and 0.45, no others are as far apart
    assert third == {"epsilon-net": 3, "crowding": 1}


def test_stopping_by_hand():
    asha = make(type="stopping")
    told = [
        asha.on_report(Report(trial, 1, {"loss": loss, "size": size}))
        for trial, (loss, size) in enumerate([(1, 4), (2, 3), (4, 1), (1, 4), (0.5, 5), (3, 2), (0.6, 0.6)])
    ]
    go, stop = Decision.CONTINUE, Decision.STOP
    # 2: third of three, second in the net; one goes on. 3: equal to the first of the net. 4: the new first.
    # 5: of six the net takes 4, 2, then others. 6: dominates all but 4, and is the farthest from it.
    assert told == [go, go, stop, go, go, stop, go]


@pytest.mark.parametrize(
    "own",
    [
        {"type": "stopping"},
        {"type": "promotion"},
        {"type": "stopping", "brackets": 3, "eta": 2},
        {"type": "promotion", "brackets": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["epsilon-net", "crowding"])
def test_with_one_objective_every_decision_is_ashas(own, order):
    logs = [
        study(cls, converging(2)[1], 27, workers=4, seed=2, **own, **extra).log
        for cls, extra in ((Asha, {}), (MoAsha, {"order": order}))
    ]
    assert logs[0] == logs[1]
    assert any(kind == "report" and answer is not Decision.CONTINUE for kind, _, answer in logs[0])


def front(seed):
    """Arms along and behind a front; early results mislead a little, in both objectives."""
    rng = np.random.default_rng(seed)
    along, behind, early = rng.random(ARMS), rng.random(ARMS) ** 1.5, 0.1 * rng.normal(size=(2, ARMS))

    def curve(config, resource):
        arm = config["arm"]
        loss = along[arm] + 0.6 * behind[arm] + (early[0, arm] + 0.3) / resource
        return {"loss": float(loss), "size": float(1 - along[arm] + 0.6 * behind[arm] + early[1, arm] / resource)}

    return curve


def searched(cls, seed, trials, **own):
    """Hypervolume of what reached the full resource, and the epochs spent."""
    problem = Problem(Space(arm=Int(0, ARMS - 1)), BOTH, fidelity=Fidelity("epoch", 1, 27))
    drive = Drive(
        lambda: cls(problem, InOrder(problem, seed=0), seed=0, **own), problem, front(seed), seed, trials=trials
    )
    drive.run()
    last = [reports[-1] for reports in drive.reports.values() if reports[-1].resource == 27]
    points = np.array([[r.metrics["loss"], r.metrics["size"]] for r in last])
    return hypervolume(points, np.array([2.0, 2.0])), sum(len(reports) for reports in drive.reports.values())


@pytest.mark.parametrize("order", ["epsilon-net", "crowding"])
def test_more_hypervolume_than_random_search_at_equal_cost(order):
    for seed in range(5):
        volume, cost = searched(MoAsha, seed, ARMS, order=order)
        plain, spent = searched(Straight, seed, math.ceil(cost / 27))
        assert spent >= cost
        assert volume > plain


def test_constraints_rank_infeasible_trials_behind_the_whole_front():
    asha = make(constraints=(Constraint("watt", 10.0),), type="promotion")
    pause(asha, 0, loss=0.0, size=0.0, watt=11.0)
    pause(asha, 1, loss=1.0, size=2.0, watt=9.0)
    pause(asha, 2, loss=2.0, size=1.0, watt=9.0)
    assert [row["trial"] for row in asha.rungs()] == [1, 2, 0]
    assert asha.next_job().trial == 1


def test_edge_case_nan_in_one_objective():
    asha = make()
    assert asha.on_report(Report(0, 1, {"loss": math.nan, "size": 0.0})) is Decision.STOP
    assert asha.rungs() == []


def test_the_rest_of_a_rung_works_with_either_order():
    """Opening, closing and places while the order changes with every addition."""
    rng = np.random.default_rng(1)
    for order in ("epsilon-net", "crowding"):
        rung = Rung(1, order)
        for trial in range(60):
            rung.add(trial, tuple(rng.integers(0, 8, 2).astype(float)), 0.0)
            rung.open(trial)
            if trial % 5 == 0:
                rung.close(rung.best_open())
            ranked = [entry.trial for entry in rung.ranked()]
            assert [rung.place(t) for t in ranked] == list(range(trial + 1))
            assert rung.best_open() == next((t for t in ranked if rung.is_open(t)), None)
        assert not rung.is_open(99)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"order": "net"}, "order='net'. Allowed: 'crowding', 'epsilon-net'."),
        ({"order": "epsilon_net"}, "order='epsilon_net'. Did you mean 'epsilon-net'?"),
    ],
)
def test_refusals(own, message):
    with pytest.raises(ArgumentError) as caught:
        make(**own)
    assert str(caught.value) == message
