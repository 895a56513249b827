"""CQR as a searcher: options, caches, constraints, diagnostics."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Fidelity, Objective, Status
from luthier.base.registry import load, own_arguments
from luthier.searchers import cqr as module
from luthier.searchers.cqr import choose
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
        ({"fidelity": "rung"}, "fidelity='rung'. Did you mean 'rank'?"),
        ({"mode": "tree"}, "mode='tree'. Allowed: 'forest', 'reference'."),
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


def _best_feasible(name, seed, trials=30):
    """The loss 2 x + y falls towards (0, 0), but x + y >= 0.8 is asked for: 0.8 at (0, 0.8) is the best feasible."""
    problem = _problem(constraints=(Constraint("short", 0.0),))
    searcher = load("searcher", name)(problem, seed=seed)
    found = np.inf
    for k in range(trials):
        [config] = searcher.ask(k=k)
        total = config["x"] + config["y"]
        searcher.tell([problem.observe(k, config, {"loss": total + config["x"], "short": 0.8 - total})])
        found = min(found, total + config["x"]) if total >= 0.8 else found
    return found


def test_finds_the_constrained_optimum():
    cqr, random = ([_best_feasible(name, seed) for seed in range(3)] for name in ("cqr", "random"))
    assert max(cqr) < 0.95 < np.median(random)


def test_candidates_compete_when_they_may_be_feasible():
    predicted = np.array([[0.0] * 5, [1.0] * 5, [2.0] * 5])
    rng = np.random.default_rng(0)
    surely, never = [-0.5] * 5, [0.5] * 5
    assert choose(predicted, rng, np.array([never, surely, surely])) == 1
    assert choose(predicted, rng, np.array([[0.9] * 5, [0.6] * 5, never])) == 2  # the least infeasible
    perhaps = [-0.1, -0.1, 0.2, 0.3, 0.4]  # two levels in five say yes
    won = np.mean([choose(predicted, rng, np.array([perhaps, surely, surely])) == 0 for _ in range(2000)])
    assert won == pytest.approx(0.4, abs=0.05)


def test_pending_configurations_keep_parallel_proposals_apart():
    searcher = _cqr(_problem())
    _run(searcher, 12)
    together = searcher.ask(4, k=12)
    one_by_one = []
    for k in range(12, 16):
        one_by_one += searcher.ask(k=k, pending=one_by_one)
    assert together == one_by_one
    assert len(set(together)) == 4


def test_parallel_proposals_share_predictions(monkeypatch):
    """Nothing is predicted again while nothing new was told; levels are drawn anew, and nothing is taken twice."""
    searcher = _cqr(_problem(), candidates=300)
    _run(searcher, 12)
    predictions = []
    predict = module.QuantileModel.predict
    monkeypatch.setattr(module.QuantileModel, "predict", lambda *a: predictions.append(1) or predict(*a))
    proposed = []
    for k in range(12, 112):
        proposed += searcher.ask(k=k, pending=proposed)
    assert len(set(proposed)) == 100
    assert len(predictions) == 1


@pytest.mark.parametrize("fidelity", module.FIDELITY)
@pytest.mark.parametrize("more", [{}, {"constraints": (Constraint("size", 1.0),)}])
def test_every_way_of_learning_from_several_resources(fidelity, more):
    """Told one by one or at once, proposals are the same; and they are near what is good at the full resource."""
    problem = _problem(fidelity=Fidelity("epoch", 1, 9), **more)
    told = [
        problem.observe(
            trial,
            config,
            {"loss": (config["x"] - 0.2) ** 2 + config["y"] + 1 / epoch, "size": config["x"] + config["y"]},
            resource=epoch,
            status=status,
        )
        for trial, config in enumerate(problem.space.sample(30, np.random.default_rng(0)))
        for epoch, status in ((1.0, Status.RUNNING), (3.0, Status.RUNNING), (9.0, Status.COMPLETED))[: 1 + trial % 3]
    ]
    slow, fast = (_cqr(problem, fidelity=fidelity) for _ in range(2))
    fast.tell(told)
    for one in told:
        slow.tell([one])
    proposed = fast.ask(8, k=30)
    assert slow.ask(8, k=30) == proposed
    # ten trials stand at the full resource, and of the twenty below it one or two are not known to be behind in all
    assert np.median([config["y"] for config in proposed]) < (0.35 if fidelity == "highest" else 0.2)
    assert fast.diagnostics()["trials"] == (29.0 - len(more) if fidelity == "highest" else 30.0)


def test_one_hot_features_are_the_values_themselves():
    space = lu.Space(
        lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64), kind=lu.Choice("a", "b", "c"), depth=lu.Ordinal(1, 2, 8)
    )
    rows = space.sample_unit(50, np.random.default_rng(0))
    found = module.OneHot(space)(rows)
    for features, config in zip(found, space.decode(rows), strict=True):
        assert features[:2] == pytest.approx([config["lr"], config["width"]])
        assert features[2:5].tolist() == [config["kind"] == word for word in "abc"]
        assert features[5:].tolist() == [config["depth"] == level for level in (1, 2, 8)]


def test_reference_mode_takes_conditions_and_constraints():
    space = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), opt=lu.Choice("a", "b"), beta=lu.Float(0, 1, when=("opt", "a")))
    problem = _problem(constraints=(Constraint("size", 0.5),))
    problem = Problem(space, problem.objectives, problem.constraints)
    searcher = _cqr(problem, mode="reference", quantiles=1)
    for number, config in enumerate(space.sample(8, np.random.default_rng(0))):
        searcher.tell([problem.observe(number, config, {"loss": config["lr"], "size": config["lr"]})])
    for config in searcher.ask(3, k=8):
        assert space.check(config) == config
        assert config["lr"] < 0.5
