"""BORE as a searcher: options, caches, several resources, constraints, gradients, diagnostics."""

import importlib.util
import sys

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Observation, Status
from luthier.base.registry import load, own_arguments
from luthier.searchers import bore as module
from luthier.searchers._ascent import ascend, climb, number_places, swap
from luthier.searchers._features import Features
from luthier.searchers._fidelity import Table
from luthier.searchers._seen import Seen
from luthier.space.problem import Problem
from luthier.testing.searcher import check_inside, check_rebuild, check_supports

NEEDS_TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="classifier 'mlp' needs torch")


def _problem(space=None, **changes):
    space = space or lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    return Problem(space, **({"objectives": (Objective("loss"),)} | changes))


def _bore(problem, seed=0, **own):
    return load("searcher", "bore")(problem, seed=seed, **own)


def _run(searcher, trials, begin=0):
    for k in range(begin, trials):
        [config] = searcher.ask(k=k)
        searcher.tell([searcher.problem.observe(k, config, {"loss": config["x"] + config["y"]})])


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"classifier": "xgb"}, "classifier='xgb'. Did you mean 'gbt'?"),
        ({"acquisition": "ucb"}, "acquisition='ucb'. Allowed: 'ei', 'pi'."),
        ({"gamma": 1.0}, "gamma=1.0. Allowed: a number and above 0 and below 1."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ({"candidates": 0.5}, "candidates=0.5. Allowed: a whole number and at least 1."),
        ({"explore": -0.1}, "explore=-0.1. Allowed: a number and at least 0 and at most 1."),
        ({"fidelity": "rungs"}, "fidelity='rungs'. Did you mean 'rung'?"),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _bore(_problem(), **own)
    assert str(caught.value) == message


def test_networks_without_torch_are_refused_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="classifier 'mlp' needs torch"):
        _bore(_problem(), classifier="mlp")


@pytest.mark.parametrize("own", [{"acquisition": "pi", "gamma": 0.1}, {"explore": 0.5, "candidates": 50, "initial": 1}])
def test_every_option_keeps_the_contract(own):
    cls = load("searcher", "bore")
    assert set(own) <= set(own_arguments(cls))
    check_inside(cls, own)
    check_rebuild(cls, own)


@pytest.mark.parametrize("fidelity", ["rung", "highest"])
def test_other_ways_to_use_resources_keep_the_contract(fidelity):
    check_supports(load("searcher", "bore"), {"fidelity": fidelity, "candidates": 100})


@pytest.mark.parametrize(("dimensions", "initial"), [(2, 6), (7, 8), (20, 10)])
def test_initial_results_grow_with_the_space(dimensions, initial):
    problem = _problem(lu.Space({f"x{i}": lu.Float(0, 1) for i in range(dimensions)}))
    searcher, random = _bore(problem, seed=4), load("searcher", "random")(problem, seed=4)
    for k in range(initial + 1):
        [config] = searcher.ask(k=k)
        assert (config == random.ask(k=k)[0]) == (k < initial)
        searcher.tell([problem.observe(k, config, {"loss": config["x0"]})])


def test_explored_proposals_are_those_of_random_search():
    problem = _problem()
    searcher, random = _bore(problem, explore=0.5), load("searcher", "random")(problem, seed=0)
    _run(searcher, 20)
    same = [searcher.ask(k=k) == random.ask(k=k) for k in range(20, 60)]
    assert 8 <= sum(same) <= 32


# -- caches and pending trials ----------------------------------------------------------------------------------------


def test_fits_only_when_something_new_was_told(monkeypatch):
    fits = []
    fit = module.fit_classifier
    monkeypatch.setattr(module, "fit_classifier", lambda *a, **k: fits.append(len(a[1])) or fit(*a, **k))
    searcher = _bore(_problem(), candidates=50)
    _run(searcher, 8)
    assert fits == [6, 7]
    searcher.ask(1, k=8)
    searcher.ask(1, k=9)
    assert fits == [6, 7, 8]
    searcher.ask(3, k=8)  # the first with the model that is there, the others with what is pending
    assert fits == [6, 7, 8, 9, 10]


def test_pending_configurations_keep_parallel_proposals_apart():
    searcher = _bore(_problem())
    _run(searcher, 12)
    together = searcher.ask(4, k=12)
    one_by_one = []
    for k in range(12, 16):
        one_by_one += searcher.ask(k=k, pending=one_by_one)
    assert together == one_by_one
    assert len(set(together)) == 4


def test_running_trials_that_have_reported_are_no_class_zero(monkeypatch):
    rows = []
    fit = module.fit_classifier
    monkeypatch.setattr(module, "fit_classifier", lambda *a, **k: rows.append(a[2].target) or fit(*a, **k))
    problem = _problem(fidelity=Fidelity("epoch", 1, 9))
    searcher = _bore(problem, candidates=50)
    configs = problem.space.sample(10, np.random.default_rng(0))
    for number, config in enumerate(configs[:8]):
        searcher.tell([Observation(number, config, 1.0, (config["x"],), (), Status.RUNNING)])
    searcher.ask(k=10, pending=configs)
    assert len(rows[0]) == 10  # eight that have reported, once, and two that have not
    assert (rows[0][8:] == 0).all()


def test_pending_good_places_are_left_alone():
    """What is pending counts as class 0, so that further proposals keep more distance than they would."""
    near, far = [], []
    for seed in range(5):
        searcher = _bore(_problem(), seed=seed)
        _run(searcher, 25)
        [first] = searcher.ask(k=25)
        pending = [type(first)({**first, "x": first["x"] + 1e-3 * i}) for i in range(1, 6)] + [first]
        for found, given in ((near, []), (far, pending)):
            [config] = searcher.ask(k=26, pending=given)
            found.append(abs(config["x"] - first["x"]) + abs(config["y"] - first["y"]))
    assert np.mean(far) > np.mean(near)


# -- constraints, objectives, resources -------------------------------------------------------------------------------


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

    bore, random = (np.median([best(name, seed) for seed in range(3)]) for name in ("bore", "random"))
    assert bore < 0.9 < 0.95 < random


@pytest.mark.parametrize("classifier", ["rf", "gbt", pytest.param("mlp", marks=NEEDS_TORCH)])
def test_proposals_keep_to_the_bound(classifier):
    """The loss falls with x, which must not fall below one half."""
    problem = _problem(constraints=(Constraint("short", 0.0),))
    searcher = _bore(problem, classifier=classifier, candidates=200, explore=0.0)
    for k, config in enumerate(problem.space.sample(60, np.random.default_rng(0))):
        searcher.tell([problem.observe(k, config, {"loss": config["x"], "short": 0.5 - config["x"]})])
    found = [config["x"] for config in searcher.ask(3, k=60)]
    assert min(found) > 0.42
    assert max(found) < 0.7


def test_least_violations_are_followed_until_something_is_feasible():
    problem = _problem(constraints=(Constraint("short", 0.0),))
    searcher = _bore(problem)
    for k, config in enumerate(problem.space.sample(40, np.random.default_rng(0))):
        searcher.tell([problem.observe(k, config, {"loss": config["x"], "short": 3.0 - config["x"]})])
    assert np.mean([config["x"] for config in searcher.ask(4, k=40)]) > 0.8


def test_without_violations_constraints_change_nothing():
    found = []
    for constraints in ((), (Constraint("short", 0.0),)):
        problem = _problem(constraints=constraints)
        searcher = _bore(problem)
        for k, config in enumerate(problem.space.sample(30, np.random.default_rng(0))):
            searcher.tell([problem.observe(k, config, {"loss": config["x"], "short": -1.0})])
        found.append(searcher.ask(2, k=30))
    assert found[0] == found[1]


def test_several_objectives_find_more_of_the_front():
    """x against 1 - x, each with y besides: the front lies at y = 0."""
    problem = _problem(objectives=(Objective("loss"), Objective("cost")))

    def height(name):
        found = []
        for seed in range(3):
            searcher = load("searcher", name)(problem, seed=seed)
            for k in range(30):
                [config] = searcher.ask(k=k)
                values = {"loss": config["x"] + config["y"], "cost": 1 - config["x"] + config["y"]}
                searcher.tell([problem.observe(k, config, values)])
                found += [config["y"]] if k >= 15 else []
        return np.mean(found)

    assert height("bore") < 0.5 * height("random")


def _table(merit, level, weight=None, feature=True):
    n = len(merit)
    weight = np.ones(n) if weight is None else np.array(weight, dtype=float)
    return Table(
        np.arange(n), np.zeros((n, 1)), np.array(level), np.ones(n), np.array(merit, dtype=float), weight, feature
    )


def test_labels_of_each_rung_are_taken_from_its_own_values():
    """Eight values at a low rung, four much better ones at the full resource: a quarter of each is class 1."""
    merit = [1.0, 2, 3, 4, 5, 6, 7, 8, 0.1, 0.2, 0.3, 0.4]
    level, weight = [2] * 8 + [0] * 4, [0.3] * 8 + [1.0] * 4
    none = np.zeros(12, dtype=bool)
    found = module.label_levels(_table(merit, level, weight), none, None, 0.25, "pi")
    assert np.flatnonzero(found.target).tolist() == [0, 1, 8]
    assert found.weight.tolist() == weight
    alike = module.label_levels(_table(merit, level, weight, feature=False), none, None, 0.25, "pi")
    assert np.flatnonzero(alike.target).tolist() == [8, 9, 10]
    feasible = np.arange(12) >= 6  # thresholds 7.25 at the low rung, from two values, and 0.175 above
    found = module.label_levels(_table(merit, level), none, feasible, 0.25, "pi")
    assert np.flatnonzero(found.target).tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    failed = np.arange(12) == 8  # a trial that failed is class 0 wherever it stands
    assert np.flatnonzero(module.label_levels(_table(merit, level, weight), failed, None, 0.25, "pi").target)[-1] == 9


@pytest.mark.parametrize("fidelity", ["rung", "highest"])
def test_full_resource_results_overrule_low_ones(fidelity):
    """At a low resource large x looks good, at the full one small x does: proposals are small."""
    problem = _problem(fidelity=Fidelity("epoch", 1, 9))
    searcher = _bore(problem, fidelity=fidelity)
    for number, config in enumerate(problem.space.sample(40, np.random.default_rng(0))):
        told = [(1.0, 1 - config["x"])] + ([(9.0, config["x"])] if number % 2 else [])
        for resource, value in told:
            searcher.tell([Observation(number, config, resource, (value,), (), Status.RUNNING)])
    assert np.mean([config["x"] for config in searcher.ask(5, k=40)]) < 0.3


def test_without_a_fidelity_all_ways_are_alike():
    found = []
    for fidelity in ("last", "rung", "highest"):
        searcher = _bore(_problem(), fidelity=fidelity)
        _run(searcher, 10)
        found.append(searcher.ask(2, k=10))
    assert found[0] == found[1] == found[2]


# -- diagnostics and many results -------------------------------------------------------------------------------------


def test_diagnostics():
    searcher = _bore(_problem())
    assert searcher.diagnostics() == {"trials": 0.0}
    _run(searcher, 40)
    found = searcher.diagnostics()
    assert (found["trials"], found["positive"]) == (40.0, 10.0)
    assert 0.7 < found["auc"] <= 1.0


def test_diagnostics_of_noise_are_near_a_half():
    problem, found = _problem(), []
    for seed in range(6):
        searcher, rng = _bore(problem, seed=seed), np.random.default_rng(seed)
        for number, config in enumerate(problem.space.sample(80, rng)):
            searcher.tell([problem.observe(number, config, {"loss": rng.random()})])
        found.append(searcher.diagnostics()["auc"])
    assert 0.35 < np.mean(found) < 0.65


def test_class_zero_is_thinned_out_beyond_two_thousand(monkeypatch):
    seen = []
    fit = module.fit_classifier
    monkeypatch.setattr(module, "fit_classifier", lambda *a, **k: seen.append(a[2]) or fit(*a, **k))
    problem = _problem()
    searcher = _bore(problem, candidates=50)
    configs = problem.space.sample(3000, np.random.default_rng(0))
    searcher.tell([problem.observe(i, config, {"loss": config["x"]}) for i, config in enumerate(configs)])
    searcher.ask(k=3000)
    [labels] = seen
    trials = int(searcher.diagnostics()["trials"])
    assert len(labels.target) == 2000 < trials
    assert (labels.target > 0).sum() == int(0.25 * (trials - 1)) + 1
    assert labels.weight[labels.target == 0].sum() == pytest.approx(trials - (labels.target > 0).sum())


# -- gradients --------------------------------------------------------------------------------------------------------


def _mixed():
    return lu.Space(
        a=lu.Float(0, 1),
        c=lu.Choice("u", "v", "w"),
        n=lu.Int(0, 10),
        t=lu.Choice("on", "off"),
        o=lu.Ordinal(1, 2, 4, 8, when=("t", "on")),
        k=lu.Choice("p", "q", "r", when=("c", "u")),
        z=lu.Float(0, 1, when=("t", "on")),
    )


def test_places_of_numbers_are_those_of_the_features():
    space = _mixed()
    rows = space.sample_unit(200, np.random.default_rng(0))
    columns, places = number_places(space)
    assert [space.columns[column] for column in columns] == ["a", "n", "o", "z"]
    features, on = Features(space)(rows), space.active(rows)
    for column, place in zip(columns, places, strict=True):
        assert (features[on[:, column], place] == rows[on[:, column], column]).all()
        assert (features[~on[:, column], place] == -1).all()


def _bowl(space, weights):
    """A slope with its top at 0.62 of every number, and a weight for every other feature."""
    _, places = number_places(space)

    def slope(X):
        value, gradient = X @ weights, np.tile(weights, (len(X), 1))
        value = value - ((X[:, places] - 0.62) ** 2).sum(axis=1) - X[:, places] @ weights[places]
        gradient[:, places] = -2 * (X[:, places] - 0.62)
        return value, gradient

    return slope


def test_numbers_climb_and_are_snapped():
    space = _mixed()
    features, rows = Features(space), space.sample_unit(30, np.random.default_rng(0))
    slope = _bowl(space, np.zeros(features(rows).shape[1]))
    climbed = climb(space, features, slope, rows)
    on = space.active(rows)
    assert (space.snap(climbed) == climbed).all()
    assert (space.active(climbed) == on).all()
    assert climbed[:, 0] == pytest.approx(0.62, abs=1e-4)  # a
    assert climbed[:, 2] == pytest.approx(space.encode([{"n": 6}])[0][0, 2])
    assert climbed[on[:, 6], 6] == pytest.approx(0.62, abs=1e-4)  # z where it is active
    assert (climbed[:, [1, 3, 5]] == rows[:, [1, 3, 5]]).all()  # choices stay


def test_choices_swap_to_the_best_value():
    space = lu.Space(a=lu.Float(0, 1), c=lu.Choice(*"uvw"), d=lu.Choice("p", "q"), forbid=[{"c": "v", "d": "p"}])
    features = Features(space)
    [row], _ = space.encode([{"a": 0.0, "c": "u", "d": "p"}])

    def score(rows):
        return features(rows) @ np.array([0.0, 0.0, 5.0, 3.0, 0.1])  # v is best, but forbidden beside p

    assert space.decode(swap(space, score, row)) == [{"a": 0.0, "c": "w", "d": "p"}]


def test_ascent_reaches_the_top_of_a_mixed_space():
    space = _mixed()
    features, seen = Features(space), Seen(Problem(space, (Objective("loss"),)))
    p = features(space.default_row[None]).shape[1]
    weights = np.random.default_rng(0).normal(size=p)
    slope = _bowl(space, weights)
    rows, scores = ascend(
        seen, set(), features, slope, np.random.default_rng(1), near=space.default_row[None], candidates=200
    )
    best = slope(features(space.sample_unit(50_000, np.random.default_rng(2))))[0].max()
    assert scores[0] > best - 1e-9
    assert (np.diff(scores) <= 0).all()
    taken = set(space.unit_keys(rows[:1]))
    again, _ = ascend(
        seen, taken, features, slope, np.random.default_rng(1), near=space.default_row[None], candidates=200
    )
    assert space.unit_keys(again[:1])[0] not in taken


@NEEDS_TORCH
def test_networks_find_the_optimum_of_a_smooth_function():
    def best(name, seed, **own):
        problem = _problem()
        searcher = load("searcher", name)(problem, seed=seed, **own)
        found = np.inf
        for k in range(16):
            [config] = searcher.ask(k=k)
            value = (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2
            searcher.tell([problem.observe(k, config, {"loss": value})])
            found = min(found, value)
        return found

    ours = np.median([best("bore", seed, classifier="mlp", candidates=100) for seed in range(3)])
    assert ours < 0.5 * np.median([best("random", seed) for seed in range(3)])


def test_what_is_behind_does_not_move_the_threshold():
    problem = Problem(lu.Space(x=lu.Float(0.0, 1.0)), (Objective("loss"),), fidelity=Fidelity("epoch", 1, 9))
    searcher = load("searcher", "bore")(problem, seed=0, initial=8)
    for i in range(24):  # of 24 trials the better third goes on
        x = (i * 0.37) % 1.0
        config = Configuration(x=x)
        searcher.tell([problem.observe(i, config, {"loss": x}, resource=1, status=Status.RUNNING)])
        end = 9 if x < 0.34 else 1
        status = Status.COMPLETED if end == 9 else Status.STOPPED
        searcher.tell([problem.observe(i, config, {"loss": x}, resource=end, status=status)])
    told = searcher._told
    assert (len(told.snapshot.records), told.latest.measured) == (24, 9)
    searcher.ask(k=24)
    assert searcher.diagnostics()["positive"] == 2.0  # below the quartile of nine; of all 24 it would be six
