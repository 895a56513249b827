"""Hutter, Hoos, Leyton-Brown 2011 (SMAC): search with a random forest; and the survey's tests of that family."""

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

import luthier as lu
from luthier.base.records import Constraint, Objective
from luthier.base.registry import load
from luthier.models.forest import Forest
from luthier.models.regression_forest import RegressionForest
from luthier.space.problem import Problem

BOX = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
MIXED = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1), c=lu.Choice("a", "b", "c"))
CHEAP = {"trees": 32, "candidates": 300, "explore": 0.0}


def _make(problem, seed=0, **own):
    return load("searcher", "rf")(problem, seed=seed, **own)


def _problem(space=MIXED, **changes):
    return Problem(space, **({"objectives": (Objective("loss"),)} | changes))


def _search(problem, metrics, trials, seed=0, name="rf", **own):
    searcher = load("searcher", name)(problem, seed=seed, **own)
    told = []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        told.append(problem.observe(k, config, metrics(config)))
        searcher.tell(told[-1:])
    return searcher, told


def _loss(config):
    return {"loss": (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2 + "bac".index(config.get("c", "b")) / 3}


def _branin(config):
    x, y = 15 * config["x"] - 5, 15 * config["y"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return {"loss": bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10}


# -- the model --------------------------------------------------------------------------------------------------------


def test_variance_of_two_trees_by_hand():
    """Leaf means 1 and 5, variances 0.5 and 1.5: mean 3, variance ((1-3)^2 + (5-3)^2) / 2 + (0.5 + 1.5) / 2 = 5."""
    tree = np.arange(2, dtype=np.int32)
    stumps = Forest(tree, np.full(2, np.inf, np.float32), tree, tree, np.ones((2, 1), dtype=bool), 0)
    forest = RegressionForest(stumps, np.array([1.0, 5.0]), np.array([0.5, 1.5]))
    mean, sd = forest.predict(np.zeros((1, 2)))
    assert (mean[0], sd[0] ** 2) == pytest.approx((3.0, 5.0))


# -- the searcher -----------------------------------------------------------------------------------------------------


def _told(problem, searcher, change=lambda value: value, n=20):
    for number, config in enumerate(problem.space.sample(n, np.random.default_rng(5))):
        searcher.tell([problem.observe(number, config, {"loss": change(_loss(config)["loss"])})])
    return searcher


@pytest.mark.parametrize("acquisition", ["ei", "ucb", "ts"])
@pytest.mark.parametrize("change", [lambda v: 3.7 * v - 11, lambda v: 1e9 * v, lambda v: math.exp(5 * v)])
def test_proposals_do_not_depend_on_the_unit_of_the_metric(change, acquisition):
    problem, own = _problem(), CHEAP | {"acquisition": acquisition}
    wanted = _told(problem, _make(problem, **own)).ask(3, k=20)
    assert _told(problem, _make(problem, **own), change).ask(3, k=20) == wanted


def test_the_first_five_are_those_of_random_search():
    problem = _problem()
    searcher, random = _make(problem, seed=4), load("searcher", "random")(problem, seed=4)
    for k in range(7):
        [config] = searcher.ask(k=k)
        assert (config == random.ask(k=k)[0]) == (k < 5)
        searcher.tell([problem.observe(k, config, _loss(config))])


def test_a_batch_has_no_duplicates_and_spreads():
    problem = _problem()
    searcher, told = _search(problem, _loss, 20, **CHEAP)
    batch = searcher.ask(4, k=20)
    assert len({*batch, *(one.config for one in told)}) == 24
    rows = problem.space.encode(batch)[0]
    gaps = np.abs(rows[:, None] - rows[None]).max(axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 1e-3  # none is a copy of another with its last digits changed


def test_at_a_pending_configuration_nothing_is_to_be_gained():
    problem = _problem()
    searcher, _ = _search(problem, _loss, 20, **CHEAP)
    [config] = searcher.ask(k=20)
    row = problem.space.encode([config])[0]
    known = searcher._now()
    believed = searcher._believe(known, searcher._features(row))
    before, after = (searcher._score(one, searcher.rng(0))(row)[0] for one in (known, believed))
    assert after < before - 50  # logarithms of improvements
    assert searcher.ask(k=20, pending=[config]) != [config]


def test_branin_beats_random_search():
    problem = _problem(BOX)
    best = {
        name: [min(one.values[0] for one in _search(problem, _branin, 30, seed, name, **own)[1]) for seed in range(3)]
        for name, own in (("rf", CHEAP), ("random", {}))
    }
    assert np.median(best["rf"]) < 1.0 < np.median(best["random"])


A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
              [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip


def _hartmann(config):
    x = np.array(list(config.values()))
    return {"loss": -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(1)))}


@pytest.mark.slow
@pytest.mark.parametrize("function", [_branin, _hartmann])
def test_random_search_is_beaten_over_50_seeds(function):
    space = BOX if function is _branin else lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)})
    ours, theirs = (
        [min(one.values[0] for one in _search(_problem(space), function, 60, seed, name)[1]) for seed in range(50)]
        for name in ("rf", "random")
    )
    assert np.median(ours) < np.median(theirs)
    assert wilcoxon(ours, theirs, alternative="less").pvalue < 0.01


# -- constraints ------------------------------------------------------------------------------------------------------


def test_constraints_that_always_hold_change_nothing():
    plain, held = _problem(), _problem(constraints=(Constraint("size", 1.0),))
    configs = [
        [one.config for one in _search(problem, lambda c: _loss(c) | {"size": -4.0}, 14, **CHEAP)[1]]
        for problem in (plain, held)
    ]
    assert configs[0] == configs[1]


def test_feasible_configurations_are_found_when_none_is_known():
    """One in 64 is feasible, so that half of all random searches need more than 44 trials."""
    problem = _problem(BOX, constraints=(Constraint("far", 0.0),))
    metrics = lambda c: _loss(c) | {"far": max(c["x"], 1 - c["y"]) - 0.125}  # noqa: E731
    firsts = []
    for seed in range(3):
        _, told = _search(problem, metrics, 30, seed, **CHEAP)
        firsts.append(next((k for k, one in enumerate(told) if one.violations[0] <= 0), 30))
    assert np.median(firsts) < 20


def test_toy_problem_with_two_constraints():
    """Gramacy et al. 2016: minimise x + y; the best feasible value is about 0.5998."""
    problem = _problem(BOX, constraints=(Constraint("wavy", 0.0), Constraint("round", 0.0)))

    def metrics(c):
        x, y = c["x"], c["y"]
        wavy = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x * x - 2 * y))
        return {"loss": x + y, "wavy": wavy, "round": x * x + y * y - 1.5}

    def best(told):
        return min((one.values[0] for one in told if max(one.violations) <= 0), default=2.0)

    found = {
        name: np.median([best(_search(problem, metrics, 30, seed, name, **own)[1]) for seed in range(3)])
        for name, own in (("rf", CHEAP), ("random", {}))
    }
    assert 0.5997 < found["rf"] < 0.62 < found["random"]
