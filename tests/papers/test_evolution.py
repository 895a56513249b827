"""Real, Aggarwal, Huang, Le 2019: regularised evolution. The oldest dies, however good; tournaments choose the rest."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Objective, Status
from luthier.base.registry import load
from luthier.space.problem import Problem

GENES = 12


def _space():
    return lu.Space({f"gene{i}": lu.Choice(*"abcde") for i in range(GENES)})


def _make(**own):
    problem = Problem(_space(), (Objective("loss"),))
    return problem, load("searcher", "evolution")(problem, seed=0, **own)


def _tell(problem, searcher, values):
    configs = problem.space.sample(len(values), np.random.default_rng(3))
    searcher.tell([problem.observe(k, c, {"loss": v}) for k, (c, v) in enumerate(zip(configs, values, strict=True))])
    return configs


def _parents(searcher, configs, first, count=40):
    """Which told configurations proposals may stem from: those that share all genes but two."""
    found = set()
    for k in range(first, first + count):
        [child] = searcher.ask(k=k)
        near = [i for i, c in enumerate(configs) if sum(c[name] != child[name] for name in c) <= 2]
        assert len(near) == 1  # random configurations of twelve genes differ in more than four
        found.add(near[0])
    return found


def test_the_winner_of_a_tournament_over_all_is_the_best():
    problem, searcher = _make(population=10, tournament=200)
    configs = _tell(problem, searcher, [5.0, 4.0, 1.0, 3.0, 2.0, 9.0, 8.0, 7.0, 6.0, 10.0])
    assert _parents(searcher, configs, 10) == {2}


def test_the_oldest_dies_however_good():
    """By hand: with room for three of 1, 7, 6, 5, 8 the living are 6, 5, 8, and 5 wins."""
    problem, searcher = _make(population=3, tournament=200, initial=3)
    configs = _tell(problem, searcher, [1.0, 7.0, 6.0, 5.0, 8.0])
    assert _parents(searcher, configs, 5) == {3}


def test_a_tournament_of_one_takes_anyone_alive():
    problem, searcher = _make(population=4, tournament=1, initial=4)
    configs = _tell(problem, searcher, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert _parents(searcher, configs, 6, 60) == {2, 3, 4, 5}


def test_a_small_tournament_wins_with_the_probability_of_the_paper():
    """Two draws with repetition from four: the best is among them with probability 1 - (3/4)^2 = 0.4375."""
    problem, searcher = _make(population=4, tournament=2, initial=4)
    configs = _tell(problem, searcher, [1.0, 2.0, 3.0, 4.0])
    wins = 0
    for k in range(4, 404):
        [child] = searcher.ask(k=k)
        wins += sum(configs[0][name] != child[name] for name in child) <= 2
    assert wins / 400 == pytest.approx(0.4375, abs=4 * np.sqrt(0.4375 * 0.5625 / 400))


def test_all_failed_members_are_equal():
    problem, searcher = _make(population=4, tournament=3, initial=4)
    configs = problem.space.sample(4, np.random.default_rng(3))
    searcher.tell([problem.observe(k, c, None, status=Status.FAILED) for k, c in enumerate(configs)])
    assert len(_parents(searcher, configs, 4)) > 1


def test_the_number_of_a_trial_plays_no_part():
    """Results of numbers with gaps, as with other drivers or trials that the user added."""
    problem, plain = _make()
    _, gaps = _make()
    configs = problem.space.sample(12, np.random.default_rng(3))
    plain.tell([problem.observe(k, c, {"loss": float(k % 5)}) for k, c in enumerate(configs)])
    gaps.tell([problem.observe(7 * k + 3, c, {"loss": float(k % 5)}) for k, c in enumerate(configs)])
    assert gaps.ask(3, k=100) == plain.ask(3, k=100)


def test_constraints_and_several_objectives_order_the_population():
    space = _space()
    several = Problem(space, (Objective("a"), Objective("b")))
    searcher = load("searcher", "evolution")(several, seed=0, population=5, tournament=200, initial=5)
    configs = space.sample(5, np.random.default_rng(3))
    points = [(3.0, 3.0), (0.0, 4.0), (4.0, 0.0), (2.9, 2.9), (1.0, 3.9)]  # the ends of the front are loneliest
    searcher.tell([several.observe(k, c, {"a": a, "b": b}) for k, (c, (a, b)) in enumerate(zip(configs, points))])
    assert _parents(searcher, configs, 5) <= {1, 2}

    bounded = Problem(space, (Objective("loss"),), (Constraint("size", 1.0),))
    searcher = load("searcher", "evolution")(bounded, seed=0, population=5, tournament=200, initial=5)
    searcher.tell([bounded.observe(k, c, {"loss": float(k), "size": 5.0 - k}) for k, c in enumerate(configs)])
    assert _parents(searcher, configs, 5) == {4}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"population": 1}, "population=1. Allowed: a whole number and at least 2."),
        ({"tournament": 0}, "tournament=0. Allowed: a whole number and at least 1."),
        ({"initial": 1.5}, "initial=1.5. Allowed: a whole number and at least 1."),
        ({"step": 0}, "step=0. Allowed: a number and above 0."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _make(**own)
    assert str(caught.value) == message
