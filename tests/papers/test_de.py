"""Storn and Price 1997: differential evolution, scheme rand/1/bin; Kaelo and Ali 2006 for its first vector."""

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Objective, Observation, Status
from luthier.base.registry import load
from luthier.space.problem import Problem


def _make(space=None, seed=0, **own):
    space = space or lu.Space({f"x{i}": lu.Float(0.0, 1.0) for i in range(4)})
    problem = Problem(space, (Objective("loss"),))
    return problem, load("searcher", "de")(problem, seed=seed, **own)


def _loss(config):
    return sum((v - 0.3) ** 2 for v in config.values() if isinstance(v, float))


def _run(problem, searcher, trials):
    told = []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        told.append(problem.observe(k, config, {"loss": _loss(config)}))
        searcher.tell(told[-1:])
    return told


def test_a_child_by_hand():
    """Weight 0.5 and every value from the mixture: (0.2, 0.9) + 0.5 ((0.6, 0.8) - (0.2, 0.4)) = (0.4, 1.1 -> 0.9)."""
    _, searcher = _make(lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0)), crossover=1.0)
    rows = np.array([[0.5, 0.5], [0.2, 0.9], [0.6, 0.8], [0.2, 0.4]])
    assert searcher._child(rows, np.random.default_rng(0)) == pytest.approx([0.4, 0.9])


def test_at_least_one_value_comes_from_the_mixture():
    _, searcher = _make(crossover=0.0)
    rows = np.array([[0.5] * 4, [0.2] * 4, [0.6] * 4, [0.4] * 4])
    for seed in range(20):
        changed = searcher._child(rows, np.random.default_rng(seed)) != 0.5
        assert changed.sum() == 1


def test_a_choice_jumps_only_where_the_population_differs():
    space = lu.Space(c=lu.Choice(*"abcd"), d=lu.Choice(*"abcd"))
    _, searcher = _make(space, crossover=1.0)
    rows = np.array([[0.125, 0.125], [0.375, 0.375], [0.625, 0.625], [0.625, 0.875]])  # b and c agree in the first
    children = np.array([searcher._child(rows, np.random.default_rng(seed)) for seed in range(400)])
    assert (children[:, 0] == 0.375).all()
    share = 0.5 + 0.5 / 4  # not drawn again, or drawn the same
    assert (children[:, 1] == 0.375).mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 400))


def test_members_are_those_of_greedy_replacement_trial_by_trial():
    problem, searcher = _make(population=5)
    held = {}
    for observation in _run(problem, searcher, 60):
        slot = observation.trial % 5
        if slot not in held or observation.values <= held[slot].values:
            held[slot] = observation
    assert searcher.members() == {slot: one.trial for slot, one in held.items()}


def test_the_members_best_never_gets_worse():
    problem, searcher = _make(population=5)
    _, again = _make(population=5)
    values, best = {}, math.inf
    for observation in _run(problem, searcher, 80):
        again.tell([observation])
        values[observation.trial] = observation.values[0]
        lowest = min(values[trial] for trial in again.members().values())
        assert lowest <= best
        best = lowest
    assert best < 0.01


def test_the_order_of_arrival_does_not_matter():
    problem, searcher = _make()
    told = _run(problem, searcher, 40)
    _, mixed = _make()
    mixed.tell([told[i] for i in np.random.default_rng(0).permutation(40)])
    assert mixed.members() == searcher.members()
    assert mixed.ask(3, k=40) == searcher.ask(3, k=40)


def test_resuming_is_exact_at_every_trial():
    problem, searcher = _make()
    told = _run(problem, searcher, 30)
    for head in range(0, 30, 3):
        _, cold = _make()
        cold.tell(told[:head])
        assert cold.ask(k=head) == [told[head].config]


def test_slots_without_a_result_hold_nothing_up():
    """Trials 2 and 7 are lost or still running: their slot gets a random configuration, the others go on."""
    problem, searcher = _make(population=5)
    random = load("searcher", "random")(problem, seed=0)
    for k in range(20):
        [config] = searcher.ask(k=k)
        assert (config == random.ask(k=k)[0]) == (k < 10 or k % 5 == 2)
        if k % 5 != 2:
            searcher.tell([problem.observe(k, config, {"loss": _loss(config)})])


def test_what_someone_else_proposed_competes_for_the_slot_of_its_number():
    problem, searcher = _make(population=5)
    told = _run(problem, searcher, 10)
    best = problem.space.check({f"x{i}": 0.3 for i in range(4)})
    searcher.tell([problem.observe(13, best, {"loss": 0.0})])
    assert searcher.members()[3] == 13
    assert set(searcher.members().values()) - {13} <= {one.trial for one in told}


def test_a_failed_trial_never_replaces_a_result():
    problem, searcher = _make(population=5)
    _run(problem, searcher, 10)
    before = searcher.members()
    config = problem.space.default()
    searcher.tell([Observation(10 + i, config, None, (), (), Status.FAILED) for i in range(5)])
    assert searcher.members() == before


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"population": 3}, "population=3. Allowed: a whole number and at least 4."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ({"weight": 0}, "weight=0. Allowed: a number and above 0 and at most 2."),
        ({"crossover": 1.1}, "crossover=1.1. Allowed: a number and at least 0 and at most 1."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _make(**own)
    assert str(caught.value) == message
