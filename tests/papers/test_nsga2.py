"""Deb, Pratap, Agarwal, Meyarivan 2002: NSGA-II. Survival and operators by hand; ZDT1 to ZDT3 to the ideal front."""

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.pareto import crowding, fronts, hypervolume
from luthier.base.records import Constraint, Objective, Observation, Status
from luthier.base.registry import load
from luthier.searchers._latest import Record
from luthier.searchers.nsga2 import mutated, sbx, survivors
from luthier.space.problem import Problem

OBJECTIVES = (Objective("a"), Objective("b"))


def _records(values, violations=None):
    violations = violations or [()] * len(values)
    config = lu.Space(x=lu.Float(0.0, 1.0)).default()
    return [Record(config, None, tuple(v), tuple(c)) for v, c in zip(values, violations, strict=True)]


def _make(space, seed=0, constraints=(), **own):
    problem = Problem(space, OBJECTIVES, constraints)
    return problem, load("searcher", "nsga2")(problem, seed=seed, **own)


# -- survival ---------------------------------------------------------------------------------------------------------


def test_survivors_by_hand():
    """Fronts {0, 1, 2, 3}, {4}, {5}; on the first the ends come first, then 2 (gaps 7/8 + 6/8) before 1 (4/8 + 5/8)."""
    values = [(0.0, 8.0), (1.0, 4.0), (4.0, 3.0), (8.0, 0.0), (5.0, 5.0), (9.0, 9.0)]
    assert crowding(np.array(values[:4]), np.zeros(4, dtype=np.int64))[1:3] == pytest.approx([9 / 8, 11 / 8])
    assert survivors(_records(values), 6) == [0, 3, 2, 1, 4, 5]
    assert survivors(_records(values), 3) == [0, 3, 2]


def test_constrained_domination():
    """Feasible ones are sorted among themselves; then by violation; failed ones last."""
    values = [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (), (3.0, 3.0), (2.0, 2.0)]
    violations = [(-1.0, 0.0), (2.0, 5.0), (1.0, -3.0), (), (0.0, 0.0), (0.0, -1.0)]
    assert survivors(_records(values, violations), 6) == [0, 5, 4, 2, 1, 3]


def test_a_front_of_infeasible_ones_does_not_shade_feasible_ones():
    """(0, 0) is infeasible, so that (5, 5) stays on the first front of the feasible."""
    order = survivors(_records([(0.0, 0.0), (5.0, 5.0), (6.0, 6.0)], [(1.0,), (0.0,), (0.0,)]), 3)
    assert order == [1, 2, 0]


def test_survivors_are_sorted_by_front_and_crowding():
    rng = np.random.default_rng(0)
    for _ in range(30):
        values = rng.integers(0, 8, size=(30, int(rng.integers(1, 4)))).astype(float)
        order = survivors(_records(values.tolist()), 30)
        front = fronts(values)
        keys = list(zip(front[order], -crowding(values, front)[order], strict=True))
        assert sorted(order) == list(range(30))
        assert keys == sorted(keys)


def test_the_population_is_a_function_of_the_results_one_by_one_or_at_once():
    space = lu.Space({f"x{i}": lu.Float(0.0, 1.0) for i in range(3)})
    problem, slow = _make(space, population=6)
    configs = space.sample(40, np.random.default_rng(0))
    told = [problem.observe(k, c, {"a": c["x0"], "b": c["x1"] / (0.1 + c["x0"])}) for k, c in enumerate(configs)]
    for observation in told:
        slow.tell([observation])
        slow.ask(k=99)
    _, fast = _make(space, population=6)
    fast.tell(told)
    assert slow.members() == fast.members()
    assert len(fast.members()) == 6


def test_a_later_report_is_worked_in_where_the_first_one_stood():
    """The first trial, told again with a better value, lives: as if it had been so from the beginning."""
    space = lu.Space(x=lu.Float(0.0, 1.0))
    _, searcher = _make(space, population=3, initial=2)
    configs = space.sample(12, np.random.default_rng(0))
    points = [(9.0, 9.0), *((float(i), 11.0 - i) for i in range(11))]
    searcher.tell([Observation(k, c, 1.0, p, (), Status.RUNNING) for k, (c, p) in enumerate(zip(configs, points))])
    assert 0 not in searcher.members()
    searcher.tell([Observation(0, configs[0], 2.0, (-1.0, -1.0), (), Status.RUNNING)])
    assert searcher.members()[0] == 0
    _, cold = _make(space, population=3, initial=2)
    cold.tell([Observation(0, configs[0], 2.0, (-1.0, -1.0), (), Status.RUNNING)])
    cold.tell([Observation(k, c, 1.0, p, (), Status.RUNNING) for k, (c, p) in enumerate(zip(configs, points)) if k])
    assert cold.members() == searcher.members()


# -- operators --------------------------------------------------------------------------------------------------------


def test_crossover_keeps_the_middle_of_parents_far_from_the_bounds():
    rng = np.random.default_rng(0)
    parents = np.array([[0.5] * 5, [0.52] * 5])
    for _ in range(50):
        children = sbx(parents, rng)
        assert children.mean(axis=0) == pytest.approx(np.full(5, 0.51))


def test_crossover_spreads_as_its_index_says():
    """Far from the bounds the spread beta is below 1 for half of the draws, and E[log beta | below 1] = -1/16."""
    rng = np.random.default_rng(0)
    children = np.array([sbx(np.array([[0.499], [0.501]]), rng)[:, 0] for _ in range(8000)])
    beta = np.abs(children[:, 1] - children[:, 0]) / 0.002
    crossed = beta[np.abs(beta - 1) > 1e-9]
    assert len(crossed) / 8000 == pytest.approx(0.5, abs=0.03)
    assert (crossed < 1).mean() == pytest.approx(0.5, abs=0.04)
    assert np.log(crossed[crossed < 1]).mean() == pytest.approx(-1 / 16, abs=0.006)


def test_operators_stay_inside_and_reach_the_bounds():
    rng = np.random.default_rng(0)
    parents = np.array([[0.0, 0.01, 0.7, 1.0], [0.05, 0.9, 0.7, 0.98]])
    children = np.array([sbx(parents, rng) for _ in range(500)])
    assert children.min() >= 0.0
    assert children.max() <= 1.0
    assert (children[:, :, 2] == 0.7).all()  # equal parents have equal children
    rows = rng.random((2000, 4))
    moved = mutated(rows, 0.25, rng)
    assert moved.min() >= 0.0
    assert moved.max() <= 1.0
    assert (moved != rows).mean() == pytest.approx(0.25, abs=0.02)
    assert np.abs(np.mean((moved - rows)[:, 0])) < 0.01


# -- ZDT --------------------------------------------------------------------------------------------------------------


def _zdt(which, dimensions):
    space = lu.Space({f"x{i}": lu.Float(0.0, 1.0) for i in range(dimensions)})

    def values(config):
        x = list(config.values())
        g = 1 + 9 * sum(x[1:]) / (dimensions - 1)
        share = x[0] / g
        shape = {
            1: 1 - math.sqrt(share),
            2: 1 - share**2,
            3: 1 - math.sqrt(share) - share * math.sin(10 * math.pi * x[0]),
        }
        return x[0], g * shape[which]

    return space, values


def _ideal(which, reference):
    x = np.linspace(0, 1, 200_001)
    shape = {1: 1 - np.sqrt(x), 2: 1 - x**2, 3: 1 - np.sqrt(x) - x * np.sin(10 * np.pi * x)}[which]
    return hypervolume(np.stack([x, shape], axis=1), reference)


def _share(which, dimensions, evaluations, **own):
    """Hypervolume of all evaluations as a share of the ideal front's; reference point (1.1, 1.1)."""
    space, values = _zdt(which, dimensions)
    _, searcher = _make(space, **own)
    found = []
    for k in range(evaluations):
        [config] = searcher.ask(k=k)
        found.append(values(config))
        searcher.tell([Observation(k, config, None, found[-1])])
    reference = np.array([1.1, 1.1])
    return hypervolume(np.array(found), reference) / _ideal(which, reference)


def test_ideal_volume_of_zdt1():
    assert _ideal(1, np.array([1.1, 1.1])) == pytest.approx(1.21 - 1 / 3, abs=1e-4)


def test_zdt1_small():
    assert _share(1, 5, 600, population=20) > 0.9


@pytest.mark.slow
def test_zdt1_to_99_percent():
    assert _share(1, 30, 20_000, population=100) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("which", [2, 3])
def test_concave_and_broken_fronts(which):
    assert _share(which, 10, 8000, population=50) > 0.98


@pytest.mark.slow
def test_pymoo_is_no_better():
    """The same problem with pymoo's NSGA-II at its defaults."""
    pytest.importorskip("pymoo", reason="pymoo is not installed (pip install 'luthier[opt]')")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize
    from pymoo.problems import get_problem

    reference = np.array([1.1, 1.1])
    theirs = []
    for seed in range(3):
        found = minimize(get_problem("zdt1", n_var=10), NSGA2(pop_size=100), ("n_evals", 8000), seed=seed)
        theirs.append(hypervolume(found.F, reference) / _ideal(1, reference))
    ours = [_share(1, 10, 8000, population=100, seed=seed) for seed in range(3)]
    assert np.mean(ours) > np.mean(theirs) - 0.005


# -- choices, constraints, options ------------------------------------------------------------------------------------


def test_a_mixed_space_with_a_constraint():
    space = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0), n=lu.Int(0, 20), c=lu.Choice("good", "bad", "worse"))
    bound = Constraint("short", 0.0)
    problem, searcher = _make(space, constraints=(bound,), population=20)
    shares = []
    for k in range(300):
        [config] = searcher.ask(k=k)
        far = config["y"] + abs(config["n"] - 7) / 20 + ("good", "bad", "worse").index(config["c"])
        metrics = {"a": config["x"], "b": (1 + far) * (1 - config["x"] ** 2), "short": 0.3 - config["x"]}
        searcher.tell([problem.observe(k, config, metrics)])
        shares.append(metrics["short"] <= 0 and far < 0.3)
    assert np.mean(shares[200:]) > 0.4 > np.mean(shares[:20])


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"population": 1}, "population=1. Allowed: a whole number and at least 2."),
        ({"offspring": 0}, "offspring=0. Allowed: a whole number and at least 1."),
        ({"initial": 1}, "initial=1. Allowed: a whole number and at least 2."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _make(lu.Space(x=lu.Float(0.0, 1.0)), **own)
    assert str(caught.value) == message
