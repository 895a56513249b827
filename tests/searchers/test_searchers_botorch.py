"""botorch as a searcher; all but options and the missing extra need it, and run with the slow tests."""

import importlib.util
import math
import sys

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra, NumericsWarning
from luthier.base.pareto import hypervolume
from luthier.base.records import Constraint, Objective
from luthier.base.registry import load
from luthier.searchers import botorch as searcher_module
from luthier.space.problem import Problem
from luthier.testing.searcher import check_inside, check_rebuild

BOX = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
CHEAP = {"candidates": 200, "samples": 16}
MESSAGE = "searcher 'botorch' needs botorch. Install it with: pip install \"luthier[botorch]\""

installed = pytest.mark.skipif(importlib.util.find_spec("botorch") is None, reason=MESSAGE)


def _problem(space=BOX, **changes):
    return Problem(space, **({"objectives": (Objective("loss"),)} | changes))


def _botorch(problem, seed=0, **own):
    return load("searcher", "botorch")(problem, seed=seed, **own)


def _run(searcher, metrics, trials):
    told = []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        told.append(searcher.problem.observe(k, config, metrics(config)))
        searcher.tell(told[-1:])
    return told


def _bowl(config):
    return {"loss": (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2}


def _branin(config):
    x, y = 15 * config["x"] - 5, 15 * config["y"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return {"loss": bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10}


# -- without it -------------------------------------------------------------------------------------------------------


def test_a_missing_extra_is_named_when_the_searcher_is_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(MissingExtra) as caught:
        _botorch(_problem())
    assert str(caught.value) == MESSAGE


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"acquisition": "ucb"}, "acquisition='ucb'. Allowed: 'ei', 'nei'."),
        ({"samples": 0}, "samples=0. Allowed: a whole number and at least 1."),
        ({"candidates": 1.5}, "candidates=1.5. Allowed: a whole number and at least 1."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _botorch(_problem(), **own)
    assert str(caught.value) == message


# -- with it ----------------------------------------------------------------------------------------------------------


@installed
@pytest.mark.slow
@pytest.mark.parametrize("own", [{"acquisition": "ei"}, {"initial": 1, "samples": 4}])
def test_every_option_keeps_the_contract(own):
    cls = load("searcher", "botorch")
    check_inside(cls, CHEAP | own)
    check_rebuild(cls, CHEAP | own)


@installed
@pytest.mark.slow
def test_torch_is_left_as_it_was_and_decides_nothing():
    import torch
    from botorch.acquisition.multi_objective import logei

    searcher = _botorch(_problem(objectives=(Objective("loss"), Objective("x"))), **CHEAP)
    _run(searcher, lambda c: _bowl(c) | {"x": c["x"]}, 8)
    proposals, threads, loaded = [], torch.get_num_threads(), getattr(logei, "_load_attempted", None)
    for number in (1, 2):
        torch.set_num_threads(number)
        torch.manual_seed(number)
        state = torch.random.get_rng_state()
        searcher._fitted, searcher._hyper = (0, None), (0, [])
        proposals.append(searcher.ask(2, k=8))
        assert torch.get_num_threads() == number
        assert (torch.random.get_rng_state() == state).all()
    torch.set_num_threads(threads)
    assert proposals[0] == proposals[1]
    assert getattr(logei, "_load_attempted", None) == loaded  # nothing was compiled


@installed
@pytest.mark.slow
def test_branin_beats_random_search():
    problem = _problem()
    best = {
        name: [
            min(one.values[0] for one in _run(load("searcher", name)(problem, seed=seed), _branin, 25)) - 0.397887
            for seed in range(3)
        ]
        for name in ("botorch", "random")
    }
    assert np.median(best["botorch"]) < 0.05 < np.median(best["random"])


@installed
@pytest.mark.slow
def test_at_a_pending_configuration_nothing_is_to_be_gained():
    import torch

    problem = _problem()
    searcher = _botorch(problem, **CHEAP)
    _run(searcher, _branin, 12)
    [config] = searcher.ask(k=12)
    row = problem.space.encode([config])[0]
    with torch.no_grad():
        before, after = (
            searcher._score(searcher._now(), pending, searcher.rng(0))(row)[0]
            for pending in (None, searcher._encode(row))
        )
    assert after < before - 5  # logarithms of improvements
    batch = searcher.ask(4, k=12)
    assert len(set(batch)) == 4


@installed
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 5])
def test_several_objectives(count):
    """Up to four by hypervolume, more by weights; each objective draws to another place."""
    centres = np.random.default_rng(0).random((count, 2))
    problem = _problem(objectives=tuple(Objective(f"o{i}") for i in range(count)))

    def metrics(config):
        far = ((np.array([config["x"], config["y"]]) - centres) ** 2).sum(axis=1)
        return {f"o{i}": float(far[i]) for i in range(count)}

    found = {
        name: [
            [one.values for one in _run(load("searcher", name)(problem, seed=seed, **own), metrics, 20)]
            for seed in range(2)
        ]
        for name, own in (("botorch", CHEAP), ("random", {}))
    }
    volume = {
        name: np.mean([hypervolume(np.array(run), np.full(count, 1.0)) for run in runs]) for name, runs in found.items()
    }
    assert volume["botorch"] > volume["random"]


@installed
@pytest.mark.slow
def test_the_boundary_of_the_feasible_region_is_reached_and_kept():
    """The loss falls across the boundary at 0.6; the best feasible loss is 0.6."""
    problem = _problem(constraints=(Constraint("short", 0.0),))
    told = _run(_botorch(problem), lambda c: {"loss": c["x"] + c["y"], "short": 0.6 - c["x"]}, 25)
    assert min(one.values[0] for one in told if one.violations[0] <= 0) < 0.605
    assert np.mean([one.violations[0] <= 0 for one in told[10:]]) > 0.6


@installed
@pytest.mark.slow
def test_hyperparameters_are_refitted_at_anchors_alone(monkeypatch):
    fits = []
    fit = searcher_module.fit
    monkeypatch.setattr(searcher_module, "fit", lambda one: fits.append(1) or fit(one))
    problem = _problem()
    searcher = _botorch(problem, **CHEAP)
    for number, config in enumerate(problem.space.sample(46, np.random.default_rng(0))):
        searcher.tell([problem.observe(number, config, _branin(config))])
        if number >= 36:
            searcher.ask(k=number + 1)
    assert len(fits) == 6  # of 37, 38, 39 and 40 results, 42 (40 * 1.05), and 45 (42 * 1.05)


@installed
@pytest.mark.slow
def test_fallbacks_are_counted_and_warned_of_once(monkeypatch):
    def fail(*args, **own):
        raise RuntimeError("singular")

    problem = _problem()
    searcher = _botorch(problem, **CHEAP)
    _run(searcher, _bowl, 6)
    assert searcher.diagnostics()["fallbacks_fit"] == 0
    monkeypatch.setattr(searcher_module, "fit", fail)
    searcher.tell([problem.observe(6, {"x": 0.5, "y": 0.5}, {"loss": 0.1})])
    with pytest.warns(NumericsWarning, match=r"the fit failed \(RuntimeError: singular\); hyperparameters stay"):
        [config] = searcher.ask(k=7)
    assert config != load("searcher", "random")(problem, seed=0).ask(k=7)[0]  # the model goes on, at its priors
    monkeypatch.setattr(searcher_module, "maximise", fail)
    assert searcher.ask(k=7) == load("searcher", "random")(problem, seed=0).ask(k=7)
    found = searcher.diagnostics()
    assert (found["fallbacks_fit"], found["fallbacks_acquisition"]) == (1, 1)


@installed
@pytest.mark.slow
def test_a_lucky_draw_is_not_recommended():
    """With noise of 0.15 on a bowl the trial that is recommended is better than the luckiest one, on average."""
    problem = _problem()
    lucky, recommended = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        searcher = _botorch(problem, seed=seed, **CHEAP)
        told = _run(searcher, lambda c, rng=rng: {"loss": _bowl(c)["loss"] + 0.15 * rng.standard_normal()}, 30)
        number = searcher.recommend()
        assert number is not None
        lucky.append(_bowl(min(told, key=lambda one: one.values[0]).config)["loss"])
        recommended.append(_bowl(told[number].config)["loss"])
    assert np.mean(recommended) < np.mean(lucky)
    exact = _botorch(problem, **CHEAP)
    _run(exact, _bowl, 12)
    assert exact.recommend() is None
