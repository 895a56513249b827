"""Local search, by hand: whose neighbour is proposed, and how far it may lie."""

from __future__ import annotations

import numpy as np
import pytest

import luthier as lu
from luthier.base.records import Configuration, Constraint, Objective, Observation, Status
from luthier.searchers.local import Local, _members
from luthier.space.problem import Problem

SPACE = lu.Space(depth=lu.Int(1, 20), width=lu.Int(1, 20), kind=lu.Choice("a", "b", "c"))


def observation(trial: int, values: tuple[float, ...], violation: float = 0.0, **config: object) -> Observation:
    full = {"depth": 1 + trial, "width": 10, "kind": "a", **config}
    return Observation(trial, Configuration(full), None, values, (violation,), status=Status.COMPLETED)


def searcher(*told: Observation, objectives: int = 2) -> Local:
    problem = Problem(SPACE, tuple(Objective(f"f{i}") for i in range(objectives)), (Constraint("c", 0.0),), None, ())
    local = Local(problem, seed=0, initial=1)
    local.tell(told)
    return local


def places(*told: Observation) -> list[int]:
    return _members(searcher(*told)._results.records).tolist()


def test_members_are_what_no_other_result_dominates() -> None:
    # (1, 3) and (3, 1) are the front, (2, 4) is dominated by (1, 3); of two equal results both are members
    told = [observation(i, v) for i, v in enumerate([(1.0, 3.0), (2.0, 4.0), (3.0, 1.0), (1.0, 3.0)])]
    assert places(*told) == [0, 2, 3]


def test_an_infeasible_result_is_a_member_only_where_nothing_is_feasible() -> None:
    good, bad, worse = (
        observation(0, (5.0, 5.0)),
        observation(1, (0.0, 0.0), violation=1.0),
        observation(2, (0.0, 0.0), violation=2.0),
    )
    assert places(good, bad) == [0]
    assert places(worse, bad) == [1]  # by the order of arrival: 1 violates least


def test_a_proposal_differs_from_a_member_in_one_hyperparameter() -> None:
    # any two of them differ in two hyperparameters, so that no change of one leads to what is known
    members = [observation(0, (1.0, 3.0)), observation(2, (3.0, 1.0), width=15, kind="b")]
    local = searcher(*members, observation(1, (4.0, 4.0), width=20, kind="c"))
    changed = set()
    for k in range(60):
        [found] = local.ask(1, k=k)
        apart = [[name for name in SPACE.names if found[name] != one.config[name]] for one in members]
        assert min(map(len, apart)) == 1, (dict(found), apart)
        changed |= set(min(apart, key=len))
    assert changed == set(SPACE.names)


@pytest.mark.parametrize("step", [0.01, 0.3])
def test_the_step_bounds_how_far_numbers_move(step: float) -> None:
    """A normal step of at most `step` in the unit interval: its spread over many proposals is below that."""
    space = lu.Space(x=lu.Float(0, 1))
    local = Local(Problem(space, (Objective("f"),), (), None, ()), seed=0, initial=1, step=step)
    local.tell([Observation(0, Configuration({"x": 0.5}), None, (1.0,), (), status=Status.COMPLETED)])
    moves = np.array([local.ask(1, k=k)[0]["x"] - 0.5 for k in range(300)])
    assert 0.2 * step < moves.std() < step
