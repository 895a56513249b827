"""Random search."""

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.records import Objective, Observation, Status
from luthier.base.registry import load, names, summary
from luthier.searchers import _seen
from luthier.space.problem import Problem


def _make(space, seed=0):
    return load("searcher", "random")(Problem(space, (Objective("loss"),)), seed=seed)


def test_is_listed():
    assert {"random", "sobol", "cqr"} <= set(names("searcher"))
    assert summary("searcher", "random") == "Random search: independent draws from the space, as its priors say."


def test_a_proposal_depends_on_seed_and_number_alone():
    space = lu.Space(x=lu.Float(0, 1), c=lu.Choice("a", "b"))
    searcher = _make(space)
    wanted = searcher.ask(k=7)
    searcher.tell([Observation(0, wanted[0], None, (1.0,))])
    assert searcher.ask(3, k=6)[1:2] == wanted == _make(space).ask(k=7)
    assert wanted != _make(space, seed=1).ask(k=7)


def test_hits_the_best_fraction_as_often_as_it_should():
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    hits = [any(c["x"] < 0.05 for c in _make(space, seed).ask(20, k=0)) for seed in range(400)]
    share = 1 - 0.95**20
    assert np.mean(hits) == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / 400))


def test_follows_priors():
    space = lu.Space(c=lu.Choice("a", "b", prior=(9, 1)), x=lu.Float(0, 1))
    assert np.mean([c["c"] == "a" for c in _make(space).ask(500, k=0)]) == pytest.approx(0.9, abs=0.05)


def test_failed_and_lost_sight_of_trials_are_not_drawn_again():
    space = lu.Space(a=lu.Int(1, 4))
    searcher = _make(space)
    searcher.tell([Observation(0, lu.Configuration(a=1), None, (), status=Status.FAILED)])
    rest = searcher.ask(9, k=1, pending=[lu.Configuration(a=2)])
    assert sorted(c["a"] for c in rest) == [3, 4]


def test_large_finite_space_is_used_up():
    space = lu.Space(a=lu.Int(1, 40), b=lu.Int(1, 40), forbid=[("a", ">", "b")])
    found = _make(space).ask(2000, k=0)
    assert len(found) == len(set(found)) == space.size == 820


def test_space_too_large_to_list_is_used_up_too(monkeypatch):
    monkeypatch.setattr(_seen, "LISTED", 10)
    searcher = _make(lu.Space(a=lu.Int(1, 8), b=lu.Int(1, 8), forbid=[("a", ">", "b")]))
    found = searcher.ask(100, k=0)
    assert len(found) == len(set(found)) == 36
    searcher.tell([Observation(k, config, None, (1.0,)) for k, config in enumerate(found)])
    assert searcher.ask(k=36) == []


BRANCHED = lu.Space(model=lu.Choice("lda", "nb", "svm"), C=lu.Float(1e-3, 1e3, log=True, when=("model", "svm")))


@pytest.mark.parametrize("name", ["random", "sobol", "halton", "lhs", "gp", "tpe", "evolution"])
def test_a_finite_branch_of_an_infinite_space_is_not_drawn_again(name):
    searcher = load("searcher", name)(Problem(BRANCHED, (Objective("loss"),)), seed=0)
    found = []
    for k in range(12):
        found += searcher.ask(k=k)
        searcher.tell([Observation(k, found[k], None, (float(k),))])
    assert len(found) == len(set(found)) == 12


def test_the_first_draw_stays_where_nothing_repeats():
    first = [_make(BRANCHED).ask(k=k)[0] for k in range(12)]
    together, met = _make(BRANCHED).ask(12, k=0), set()
    for alone, one in zip(first, together, strict=True):
        assert one == alone or alone in met
        met.add(one)


RARE = lu.Space(a=lu.Choice("x", "y", "z", prior=(1.0, 1e-15, 1e-15)), b=lu.Float(0, 1, when=("a", "z")))
STEEP = lu.Space(units=lu.Int(1, 200_000, prior=lu.Normal(5000, 1)))


@pytest.mark.parametrize("name", ["random", "sobol", "tpe"])
@pytest.mark.parametrize("space", [STEEP, RARE], ids=["finite", "infinite"])
def test_a_strong_prior_does_not_use_up_a_space(name, space):
    found = load("searcher", name)(Problem(space, (Objective("loss"),)), seed=0).ask(30, k=0)
    assert len(found) == len(set(found)) == 30


def test_an_infinite_space_is_never_used_up(monkeypatch):
    monkeypatch.setattr(_seen, "ROUNDS", 0)
    assert len(_make(RARE).ask(30, k=0)) == 30
