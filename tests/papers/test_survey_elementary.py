"""Franceschi and others 2024, the survey: grid, random and quasi-random search."""

import math

import numpy as np
import pytest
from scipy.stats import qmc

import luthier as lu
from luthier.base.records import Objective
from luthier.base.registry import load
from luthier.space.problem import Problem

WALKS = ("random", "sobol", "halton", "lhs", "grid")


def _make(name, space, seed=0, **own):
    return load("searcher", name)(Problem(space, (Objective("loss"),)), seed=seed, **own)


def _box(dimensions):
    return lu.Space({f"x{i}": lu.Float(0, 1) for i in range(dimensions)})


def _points(searcher, n):
    return np.array([list(config.values()) for config in searcher.ask(n, k=0)])


@pytest.mark.parametrize("n", [1, 7, 64, 100])
def test_latin_hypercubes_have_one_point_in_every_stratum(n):
    strata = np.floor(_points(_make("lhs", _box(5), size=n), n) * n).astype(int)
    assert np.sort(strata, axis=0).tolist() == [[i] * 5 for i in range(n)]


def test_latin_hypercube_by_hand():
    """x_ij = (pi_j(i) - u_ij) / n: of four points the ranks are pi, and what is left of each stratum is u."""
    points = _points(_make("lhs", _box(2), size=4), 4)
    pi = np.argsort(np.argsort(points, axis=0), axis=0) + 1
    u = pi - 4 * points
    assert ((u > 0) & (u <= 1)).all()


@pytest.mark.parametrize("power", [3, 6, 8])
def test_sobol_points_have_their_share_of_every_elementary_interval(power):
    points = _points(_make("sobol", _box(2)), 2**power)
    for wide in range(power + 1):
        cells = np.floor(points * [2**wide, 2 ** (power - wide)]).astype(int)
        assert len({tuple(cell) for cell in cells.tolist()}) == 2**power


def test_discrepancy_of_sobol_is_below_latin_is_below_random():
    """n = 128, d = 6, medians over 50 seeds; measured elsewhere: 0.0016, 0.0056, 0.0172."""
    own = {"sobol": {}, "lhs": {"size": 128}, "random": {}}
    found = {
        name: np.median([qmc.discrepancy(_points(_make(name, _box(6), seed, **more), 128)) for seed in range(50)])
        for name, more in own.items()
    }
    assert found["sobol"] < found["lhs"] < found["random"]
    for name, wanted in (("sobol", 0.0016), ("lhs", 0.0056), ("random", 0.0172)):
        assert found[name] == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize(("share", "n"), [(0.05, 60), (0.01, 20)])
def test_random_search_hits_the_best_fraction_as_often_as_it_should(share, n):
    hit = 1 - (1 - share) ** n
    if (share, n) == (0.05, 60):
        assert round(hit, 3) == 0.954
    searcher = _make("random", lu.Space(x=lu.Float(0, 1)))
    drawn = np.array([config["x"] for config in searcher.ask(500 * n, k=0)]).reshape(500, n)
    found = np.mean((drawn < share).any(axis=1))
    assert found == pytest.approx(hit, abs=3 * math.sqrt(hit * (1 - hit) / 500))


def test_a_grid_wastes_trials_on_hyperparameters_that_do_not_matter():
    """Of 25 trials a grid in two dimensions sees 5 values of the one that matters, the others 25."""
    distinct = {name: len({config["x0"] for config in _make(name, _box(2)).ask(25, k=0)}) for name in WALKS}
    assert distinct == {"random": 25, "sobol": 25, "halton": 25, "lhs": 25, "grid": 5}


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("finite", [False, True])
def test_a_resumed_sequence_is_the_uninterrupted_one(name, finite):
    domains = {"c": lu.Choice("a", "b"), "n": lu.Int(1, 9), "m": lu.Ordinal(1, 2, 3, 4, 5, when=("c", "a"))}
    space = lu.Space(domains if finite else {**domains, "x": lu.Float(0, 1)})
    problem = Problem(space, (Objective("loss"),))
    whole, told = _make(name, space), []
    for k in range(30):
        [config] = whole.ask(k=k)
        told.append(problem.observe(k, config, {"loss": 1.0}))
        whole.tell(told[-1:])
    for stop in (1, 13, 29):
        resumed = _make(name, space)
        resumed.tell(told[:stop])
        for k in range(stop, 30):
            assert resumed.ask(k=k) == [told[k].config]
            resumed.tell([told[k]])
