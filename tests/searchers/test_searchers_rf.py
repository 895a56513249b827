"""rf as a searcher: options, caches, several objectives, crashes, conditions."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.pareto import hypervolume
from luthier.base.records import Constraint, Objective, Observation, Status
from luthier.base.registry import load, own_arguments
from luthier.searchers import rf as module
from luthier.space.problem import Problem
from luthier.testing.searcher import check_inside, check_rebuild

CHEAP = {"trees": 24, "candidates": 200, "explore": 0.0}
BOX = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))


def _problem(space=BOX, **changes):
    return Problem(space, **({"objectives": (Objective("loss"),)} | changes))


def _rf(problem, seed=0, **own):
    return load("searcher", "rf")(problem, seed=seed, **own)


def _run(searcher, metrics, trials):
    told = []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        found = metrics(config)
        status = Status.FAILED if found is None else Status.COMPLETED
        told.append(searcher.problem.observe(k, config, found, status=status))
        searcher.tell(told[-1:])
    return told


def _bowl(config):
    return {"loss": (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"acquisition": "pi"}, "acquisition='pi'. Did you mean 'ei'?"),
        ({"candidates": 0}, "candidates=0. Allowed: a whole number and at least 1."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ({"trees": 2.5}, "trees=2.5. Allowed: a whole number and at least 1."),
        ({"leaf": 0}, "leaf=0. Allowed: a whole number and at least 1."),
        ({"beta": -1.0}, "beta=-1.0. Allowed: a number and at least 0."),
        ({"explore": 1.1}, "explore=1.1. Allowed: a number and at least 0 and at most 1."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _rf(_problem(), **own)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "own", [{"acquisition": "ucb", "beta": 0.0}, {"acquisition": "ts", "leaf": 3}, {"initial": 1, "trees": 1}]
)
def test_every_option_keeps_the_contract(own):
    cls = load("searcher", "rf")
    assert set(own) <= set(own_arguments(cls))
    check_inside(cls, CHEAP | own)
    check_rebuild(cls, CHEAP | own)


def test_forests_grow_only_when_something_new_is_known(monkeypatch):
    fits = []
    fit = module.fit_forest
    monkeypatch.setattr(module, "fit_forest", lambda *a, **k: fits.append(len(a[1])) or fit(*a, **k))
    searcher = _rf(_problem(), **CHEAP)
    _run(searcher, _bowl, 8)
    assert fits == [5, 6, 7]
    searcher.ask(3, k=8)  # the second and the third believe in those before
    assert fits == [5, 6, 7, 8, 9, 10]
    searcher.ask(1, k=9)
    assert fits == [5, 6, 7, 8, 9, 10]


def test_without_doubt_the_bound_goes_for_the_lowest_mean():
    searcher = _rf(_problem(), acquisition="ucb", beta=0.0, **CHEAP)
    told = _run(searcher, _bowl, 15)
    best = min(told, key=lambda one: one.values[0]).config
    [greedy] = searcher.ask(k=15)
    wide = _rf(_problem(), acquisition="ucb", beta=50.0, **CHEAP)
    wide.tell(told)
    [curious] = wide.ask(k=15)
    rows = searcher.space.encode([best, greedy, curious])[0]
    near = np.abs(rows[1:] - rows[0]).max(axis=1)
    assert near[0] < 0.1 < near[1]


def test_thompson_sampling_draws_a_function_for_each_proposal():
    """Its proposals differ although nothing is pending, and are far better than random ones."""
    searcher = _rf(_problem(), acquisition="ts", **CHEAP)
    _run(searcher, _bowl, 15)
    found = [searcher.ask(k=k)[0] for k in range(15, 35)]
    rows = searcher.space.encode(found)[0]
    assert rows.std(axis=0).min() > 0.02
    assert np.mean([_bowl(config)["loss"] for config in found]) < 0.1  # of random ones: 0.24


def test_some_proposals_are_those_of_random_search():
    problem = _problem()
    random = load("searcher", "random")(problem, seed=0)
    searcher = _rf(problem, **CHEAP | {"explore": 0.3})
    _run(searcher, _bowl, 10)
    same = [searcher.ask(k=k) == random.ask(k=k) for k in range(10, 70)]
    assert 8 <= sum(same) <= 28  # binomial: 18 +- 3.5
    searcher = _rf(problem, **CHEAP | {"explore": 1.0})
    _run(searcher, _bowl, 10)
    assert searcher.ask(5, k=10) == random.ask(5, k=10)


def _trade(config):
    """The front lies where all but the first are 0 and the word is b; along it the first decides."""
    first, *rest, word = config.values()
    far = 1 + 3 * np.mean(rest) + 0.5 * "badc".index(word)
    return {"left": first, "right": far * (1 - np.sqrt(first / far)), "middle": far + abs(first - 0.5)}


@pytest.mark.parametrize(("count", "acquisition"), [(2, "ei"), (3, "ei"), (2, "ts")])
def test_several_objectives(count, acquisition):
    space = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(4)}, word=lu.Choice(*"abcd"))
    problem = _problem(space, objectives=tuple(Objective(name) for name in ("left", "right", "middle")[:count]))
    reference = np.array([1.0, 4.0, 4.0])[:count]
    volumes = {}
    for name, own in (("rf", CHEAP | {"acquisition": acquisition}), ("random", {})):
        searchers = [load("searcher", name)(problem, seed=seed, **own) for seed in range(2)]
        volumes[name] = np.mean(
            [hypervolume(np.array([o.values for o in _run(s, _trade, 24)]), reference) for s in searchers]
        )
    assert volumes["rf"] > volumes["random"]


def test_a_region_of_crashes_is_left():
    """Everything left of 0.5 crashes, where the loss would be lowest."""
    told = _run(
        _rf(_problem(), **CHEAP), lambda c: None if c["x"] < 0.5 else {"loss": c["x"] + (c["y"] - 0.5) ** 2}, 30
    )
    later = [one.config["x"] for one in told[15:]]
    assert np.mean(np.array(later) < 0.5) < 0.35
    assert min(one.values[0] for one in told if one.values) < 0.55


def test_failures_alone_teach_nothing():
    problem = _problem()
    searcher, random = _rf(problem), load("searcher", "random")(problem, seed=0)
    for k in range(8):
        [config] = searcher.ask(k=k)
        assert [config] == random.ask(k=k)
        searcher.tell([Observation(k, config, None, (), (), Status.FAILED)])


def test_only_feasible_trials_are_yardsticks():
    """An infeasible trial with a far lower loss does not keep the search from improving feasible ones."""
    problem = _problem(constraints=(Constraint("left", 0.0),))
    searcher = _rf(problem, **CHEAP)
    told = _run(searcher, lambda c: {"loss": _bowl(c)["loss"] - 10 * (c["x"] < 0.4), "left": 0.4 - c["x"]}, 40)
    feasible = [one.values[0] for one in told if one.violations[0] <= 0]
    assert len(feasible) > 25
    assert min(feasible) < 0.01 + 0.005  # the best feasible loss is (0.4 - 0.3)^2


def test_conditions_reach_the_forest():
    """Momentum matters under sgd alone, and sgd with much momentum is best."""
    space = lu.Space(
        opt=lu.Choice("sgd", "adam", "lion"), momentum=lu.Float(0, 1, when=("opt", "sgd")), lr=lu.Float(0, 1)
    )
    problem = _problem(space)
    searcher = _rf(problem, **CHEAP)
    for number, config in enumerate(space.sample(40, np.random.default_rng(0))):
        loss = (1 - config["momentum"] if config["opt"] == "sgd" else 0.5) + (config["lr"] - 0.5) ** 2
        searcher.tell([problem.observe(number, config, {"loss": loss})])
    for config in searcher.ask(4, k=40):
        assert config["opt"] == "sgd"
        assert config["momentum"] > 0.8


def _told_noisy(sd, lucky=None):
    """A searcher that knows 60 noisy values of the bowl, and perhaps one more far from its minimum."""
    searcher, rng = _rf(_problem(), **CHEAP), np.random.default_rng(1)
    configs = searcher.space.sample(60, rng)
    values = [_bowl(config)["loss"] + sd * rng.standard_normal() for config in configs]
    if lucky is not None:
        configs.append(searcher.space.check({"x": 0.95, "y": 0.05}))
        values.append(lucky)
    for number, (config, value) in enumerate(zip(configs, values, strict=True)):
        searcher.tell([searcher.problem.observe(number, config, {"loss": value})])
    return searcher, configs, values


@pytest.mark.parametrize("lucky", [-0.5, -3.0])
def test_a_lucky_draw_is_not_recommended(lucky):
    """With noise of 0.15 the lowest value lies where the loss is 0.72; what is recommended is as good as it gets."""
    searcher, configs, values = _told_noisy(0.15, lucky)
    number = searcher.recommend()
    assert int(np.argmin(values)) == 60
    assert number is not None
    assert _bowl(configs[number])["loss"] < 0.1


def test_without_noise_the_lowest_value_stands():
    for lucky in (None, -0.5):
        searcher, _, _ = _told_noisy(0.0, lucky)
        assert searcher.recommend() is None
        assert searcher.diagnostics()["noise"] < 0.15
    assert _told_noisy(0.15)[0].diagnostics()["noise"] > 0.3


def test_what_violates_is_not_recommended():
    problem = _problem(constraints=(Constraint("left", 0.0),))
    searcher, rng = _rf(problem, **CHEAP), np.random.default_rng(1)
    configs = problem.space.sample(60, rng)
    for number, config in enumerate(configs):
        metrics = {"loss": _bowl(config)["loss"] + 0.15 * rng.standard_normal(), "left": 0.5 - config["x"]}
        searcher.tell([problem.observe(number, config, metrics)])
    assert configs[searcher.recommend()]["x"] >= 0.5


def test_few_results_and_several_objectives_recommend_nothing():
    searcher = _rf(_problem(), **CHEAP)
    told = _told_noisy(0.15)
    for number, config in enumerate(told[1][:39]):
        searcher.tell([searcher.problem.observe(number, config, {"loss": told[2][number]})])
    assert (searcher.recommend(), searcher.diagnostics()) == (None, {})
    problem = _problem(objectives=(Objective("loss"), Objective("other")))
    searcher = _rf(problem, **CHEAP)
    for number, config in enumerate(told[1]):
        searcher.tell([problem.observe(number, config, {"loss": told[2][number], "other": config["x"]})])
    assert (searcher.recommend(), searcher.diagnostics()) == (None, {})
