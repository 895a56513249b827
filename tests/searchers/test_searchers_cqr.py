"""CQR as a searcher: options, caches, constraints, diagnostics."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Objective
from luthier.base.registry import load, own_arguments
from luthier.searchers import cqr as module
from luthier.space.problem import Problem
from luthier.testing.searcher import check_inside, check_rebuild


def _problem(**changes):
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    return Problem(space, **({"objectives": (Objective("loss"),)} | changes))


def _cqr(problem, **own):
    return load("searcher", "cqr")(problem, seed=0, **own)


def _run(searcher, trials, begin=0):
    for k in range(begin, trials):
        [config] = searcher.ask(k=k)
        searcher.tell([searcher.problem.observe(k, config, {"loss": config["x"] + config["y"]})])


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"local": 1.5}, "local=1.5. Allowed: a number and at least 0 and at most 1."),
        ({"candidates": 0}, "candidates=0. Allowed: a whole number and at least 1."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ({"conformal": "oop"}, "conformal='oop'. Did you mean 'oob'?"),
        ({"level": "x"}, "level='x'. Allowed: 'reference', 'split', 'weibull'."),
        ({"trees": 2.5}, "trees=2.5. Allowed: a whole number and at least 1."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _cqr(_problem(), **own)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "own",
    [
        {"conformal": "cross", "trees": 16},
        {"conformal": "split", "level": "reference"},
        {"conformal": "none", "local": 0.0},
        {"local": 1.0, "candidates": 50, "leaf": 3, "quantiles": 1},
    ],
)
def test_every_option_keeps_the_contract(own):
    cls = load("searcher", "cqr")
    assert set(own) <= set(own_arguments(cls))
    check_inside(cls, own)
    check_rebuild(cls, own)


def test_fits_only_when_something_new_was_told(monkeypatch):
    fits = []
    fit = module.fit_quantiles
    monkeypatch.setattr(module, "fit_quantiles", lambda *a, **k: fits.append(1) or fit(*a, **k))
    searcher = _cqr(_problem(), candidates=50)
    _run(searcher, 8)
    assert len(fits) == 3  # proposals 5, 6 and 7
    searcher.ask(4, k=8)
    searcher.ask(1, k=9)
    searcher.diagnostics()
    assert len(fits) == 4


def test_diagnostics():
    searcher = _cqr(_problem())
    assert searcher.diagnostics() == {"trials": 0.0, "promised": 2 / 3}
    _run(searcher, 30)
    found = searcher.diagnostics()
    assert (found["trials"], found["promised"]) == (30.0, 2 / 3)
    assert 0.4 < found["coverage"] < 0.95
    assert 0.0 <= found["coverage_uncorrected"] <= 1.0


def test_finds_the_constrained_optimum():
    """The loss falls towards (0, 0), but x + y >= 0.8 is asked for: 0.8 at (0, 0.8) is the best that is feasible."""
    problem = _problem(constraints=(Constraint("short", 0.0),))

    def best(name, seed):
        searcher = load("searcher", name)(problem, seed=seed)
        found = np.inf
        for k in range(40):
            [config] = searcher.ask(k=k)
            total = config["x"] + config["y"]
            searcher.tell([problem.observe(k, config, {"loss": total + config["x"], "short": 0.8 - total})])
            found = min(found, total + config["x"]) if total >= 0.8 else found
        return found

    cqr, random = (np.median([best(name, seed) for seed in range(3)]) for name in ("cqr", "random"))
    assert cqr < 0.85 < 0.95 < random


def test_pending_configurations_keep_parallel_proposals_apart():
    searcher = _cqr(_problem())
    _run(searcher, 12)
    together = searcher.ask(4, k=12)
    one_by_one = []
    for k in range(12, 16):
        one_by_one += searcher.ask(k=k, pending=one_by_one)
    assert together == one_by_one
    assert len(set(together)) == 4
