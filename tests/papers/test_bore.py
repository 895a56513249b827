"""Tiao et al. 2021: search by density-ratio estimation (BORE); Song et al. 2022: the same with weights (LFBO)."""

import importlib.util
import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm, spearmanr, wilcoxon

import luthier as lu
from luthier.base.records import Objective, Observation, Status
from luthier.base.registry import load
from luthier.models.classifier import fit_classifier, fit_forest
from luthier.models.labels import Labels, best_share, label
from luthier.space.problem import Problem
from luthier.testing.searcher import check_process, check_rebuild

NEEDS_TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="classifier 'mlp' needs torch")
CLASSIFIERS = ["rf", "gbt", pytest.param("mlp", marks=NEEDS_TORCH)]


def _make(space, seed=0, goal="min", **own):
    problem = Problem(space, (Objective("loss", goal),))
    return problem, load("searcher", "bore")(problem, seed=seed, **own)


def _box(dimensions=2):
    return lu.Space({f"x{i}": lu.Float(0, 1) for i in range(dimensions)})


def _quadratic(config):
    return sum((value - 0.3) ** 2 for value in config.values())


def _tell(problem, searcher, values, configs):
    for number, (config, value) in enumerate(zip(configs, values, strict=True)):
        searcher.tell([problem.observe(number, config, {"loss": value})])


# -- 1 to 3: what the classifier estimates ----------------------------------------------------------------------------


def test_class_probability_is_gamma_times_the_relative_density_ratio():
    """Known densities: x standard normal, y = x^2 + noise, threshold 1."""
    x = np.linspace(-5, 5, 2001)
    prior, pi = norm.pdf(x), norm.cdf((1.0 - x**2) / 0.5)
    gamma = float((pi * prior).sum() / prior.sum())
    better, worse = pi * prior / gamma, (1 - pi) * prior / (1 - gamma)  # p(x | y <= 1), p(x | y > 1)
    assert better.sum() == pytest.approx(worse.sum())
    ratio = better / (gamma * better + (1 - gamma) * worse)
    assert np.abs(gamma * ratio - pi).max() < 1e-10
    assert ratio.max() <= 1 / gamma


def test_minimiser_of_the_weighted_loss_by_hand():
    """Threshold 2.5 of 1, 2, 3, 4 at gamma = 0.5: improvements 1.5 and 0.5, with mean 1; one leaf for all rows."""
    target, weight = label(np.array([1.0, 2.0, 3.0, 4.0]), 0.5, acquisition="ei")
    assert target.tolist() == [1.5 / 2.5, 0.5 / 1.5, 0.0, 0.0]
    assert weight.tolist() == [2.5, 1.5, 1.0, 1.0]
    share = (target * weight).sum() / weight.sum()
    assert share / (1 - share) == pytest.approx(0.5)  # the mean improvement: (1.5 + 0.5) / 4

    def loss(c):  # each as class 0 with weight 1, and the best as class 1 with their improvement
        return -2.0 * math.log(c) - 4.0 * math.log(1 - c)

    assert loss(share) < min(loss(share - 0.01), loss(share + 0.01))


@cache
def _wave(n=20_000):
    rng = np.random.default_rng(0)
    x = rng.random(n)
    return x[:, None], np.sin(6 * x) + x + rng.normal(0, 0.3, n)


def test_scores_rank_by_the_probability_of_improvement():
    X, y = _wave()
    model = fit_forest(X, label(y, 0.25), np.random.default_rng(1), trees=100)
    grid = np.linspace(0, 1, 200)
    threshold = np.quantile(y, 0.25)
    wanted = norm.cdf((threshold - np.sin(6 * grid) - grid) / 0.3)
    found = model.score(grid[:, None])
    assert spearmanr(found, wanted).statistic > 0.95
    assert np.abs(found - wanted).max() < 0.12


def test_weighted_scores_rank_by_the_expected_improvement():
    X, y = _wave()
    model = fit_forest(X, label(y, 0.25, acquisition="ei"), np.random.default_rng(1), trees=100)
    grid = np.linspace(0, 1, 200)
    z = (np.quantile(y, 0.25) - np.sin(6 * grid) - grid) / 0.3
    found = model.score(grid[:, None])
    assert spearmanr(found / (1 - found), z * norm.cdf(z) + norm.pdf(z)).statistic > 0.95


def test_weights_prefer_rare_large_improvements():
    """Left: sure and tiny ones; right: rare and large ones. The threshold is the 0.4425-quantile of all, 0.02."""
    rng = np.random.default_rng(0)
    x = rng.random(4000)
    y = np.where(x < 0.5, rng.normal(0, 0.05, 4000), rng.normal(1.5, 2.0, 4000))
    gamma = 0.5 * norm.cdf(0.02 / 0.05) + 0.5 * norm.cdf((0.02 - 1.5) / 2.0)
    assert np.quantile(y, gamma) == pytest.approx(0.02, abs=0.01)
    grid = np.linspace(0, 1, 200)[:, None]
    chosen = {
        acquisition: float(
            grid[
                np.argmax(
                    fit_forest(
                        x[:, None], label(y, gamma, acquisition=acquisition), np.random.default_rng(1), trees=100
                    ).score(grid)
                ),
                0,
            ]
        )
        for acquisition in ("pi", "ei")
    }
    assert chosen["pi"] < 0.5 <= chosen["ei"]


# -- 4: units ---------------------------------------------------------------------------------------------------------


def _proposals(change, **own):
    space = _box()
    problem, searcher = _make(space, **own)
    configs = space.sample(30, np.random.default_rng(5))
    _tell(problem, searcher, [change(_quadratic(config)) for config in configs], configs)
    return searcher.ask(3, k=30)


@pytest.mark.parametrize(
    "change", [lambda v: 3.7 * v - 11, lambda v: 1e9 * v, lambda v: math.exp(20 * v), lambda v: math.atan(9 * v)]
)
def test_pi_does_not_depend_on_the_unit_of_the_metric(change):
    assert _proposals(change, acquisition="pi") == _proposals(lambda v: v, acquisition="pi")


def test_ei_does_not_depend_on_shift_and_factor_but_on_shape():
    plain = _proposals(lambda v: v)
    assert _proposals(lambda v: 3.7 * v - 11) == plain
    assert _proposals(lambda v: 1e9 * v) == plain
    assert _proposals(lambda v: math.log(v)) != plain


# -- 5: the sign ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acquisition", ["pi", "ei"])
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_sign(classifier, acquisition):
    """What is chosen lies near the optimum, in the best tenth of random candidates, and not in the opposite corner."""
    space = _box()
    problem, searcher = _make(space, classifier=classifier, acquisition=acquisition, explore=0.0, candidates=200)
    configs = space.sample(60, np.random.default_rng(0))
    _tell(problem, searcher, map(_quadratic, configs), configs)
    others = np.array([_quadratic(config) for config in space.sample(500, np.random.default_rng(1))])
    [chosen] = searcher.ask(k=60)
    assert np.mean(others < _quadratic(chosen)) < 0.1


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_sign_when_maximising(classifier):
    space = _box()
    configs = space.sample(40, np.random.default_rng(0))
    found = []
    for goal, sign in (("min", 1.0), ("max", -1.0)):
        problem, searcher = _make(space, goal=goal, classifier=classifier, candidates=200)
        _tell(problem, searcher, [sign * _quadratic(config) for config in configs], configs)
        found.append(searcher.ask(2, k=40))
    assert found[0] == found[1]


# -- 6: labels --------------------------------------------------------------------------------------------------------


def test_two_of_six_are_the_best():
    assert best_share(np.array([5.0, 1.0, 4.0, 2.0, 6.0, 3.0]), 0.25).tolist() == [0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("gamma", [0.1, 0.25, 1 / 3])
@pytest.mark.parametrize("n", [6, 10, 37, 100])
def test_labels_are_those_of_numpys_quantile(n, gamma):
    y = np.random.default_rng(n).normal(size=n)
    assert (best_share(y, gamma) == (y <= np.quantile(y, gamma))).all()


def test_the_best_share_grows_with_gamma():
    y = np.random.default_rng(0).integers(0, 12, size=40).astype(float)
    shares = [best_share(y, gamma) for gamma in (0.1, 0.25, 1 / 3)]
    assert all((small <= large).all() for small, large in pairwise(shares))


@pytest.mark.parametrize(
    ("y", "wanted"),
    [
        ([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [0]),  # seven tie at the threshold: only what is below it
        ([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], [0, 1, 2, 3]),  # twice as many as asked for, which is allowed
        ([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0], [0, 1, 2, 3, 4]),  # too many, but nothing is below them
        ([3.0] * 8, list(range(8))),  # all equal
        ([2.0, 1.0, 3.0], [1]),
        ([7.0], [0]),
    ],
)
def test_ties(y, wanted):
    assert np.flatnonzero(best_share(np.array(y), 0.25)).tolist() == wanted


def test_failures_are_never_the_best():
    y, failed = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 4.0]), np.array([0, 0, 0, 0, 1, 1], dtype=bool)
    assert np.flatnonzero(best_share(y, 0.25, failed=failed)).tolist() == [0, 1]  # the quantile of six
    mostly = np.array([0, 0, 1, 1, 1, 1], dtype=bool)
    assert np.flatnonzero(best_share(y, 0.25, failed=mostly)).tolist() == [0]  # of the two that did not fail
    assert not best_share(y, 0.25, failed=np.ones(6, dtype=bool)).any()
    for acquisition in ("pi", "ei"):
        assert not label(y, 0.99, acquisition=acquisition, failed=failed).target[4:].any()


def test_failed_and_diverged_trials_are_learnt_from():
    """Half of the box fails: proposals avoid it, although values fall towards it."""
    space = _box()
    _, searcher = _make(space)
    for number, config in enumerate(space.sample(60, np.random.default_rng(0))):
        failed = config["x0"] > 0.5
        values = (math.nan,) if failed and number % 2 else () if failed else (-config["x0"],)
        status = Status.COMPLETED if not failed else Status.DIVERGED if values else Status.FAILED
        searcher.tell([Observation(number, config, None, values, (), status)])
    assert max(config["x0"] for config in searcher.ask(5, k=60)) < 0.55


def test_equal_values_teach_nothing():
    space = _box()
    problem, searcher = _make(space)
    _tell(problem, searcher, [0.5] * 12, space.sample(12, np.random.default_rng(5)))
    assert searcher.ask(2, k=12) == load("searcher", "random")(problem, seed=0).ask(2, k=12)


# -- 7 and 8: repeats, determinism ------------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_finite_space_is_used_up(classifier):
    """Twelve configurations with a constant and a conditional: twelve proposals, and then none."""
    space = lu.Space(
        a=lu.Int(1, 3), b=lu.Choice("x", "y"), c=lu.Ordinal(0.1, 0.2, 0.4, when=("b", "x")), one=lu.Fixed(1)
    )
    assert space.size == 12
    problem, searcher = _make(space, classifier=classifier, initial=6)
    found = []
    while proposed := searcher.ask(k=len(found)):
        searcher.tell([problem.observe(len(found), proposed[0], {"loss": proposed[0]["a"] + proposed[0].get("c", 0)})])
        found += proposed
    assert len(found) == len(set(found)) == 12


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_cold_rebuild_proposes_the_same(classifier):
    space = lu.Space(x=lu.Float(0, 1), c=lu.Choice("a", "b", "d"), y=lu.Float(0, 1, when=("c", "a")))
    problem, live = _make(space, classifier=classifier, explore=0.3, candidates=50)
    told = []
    for k in range(9):
        [config] = live.ask(k=k)
        told.append(problem.observe(k, config, {"loss": config["x"] + config.get("y", 0.5)}))
        live.tell(told[-1:])
    wanted = live.ask(2, k=9)
    _, cold = _make(space, classifier=classifier, explore=0.3, candidates=50)
    cold.tell(told)
    assert cold.ask(1, k=9) == wanted[:1]
    assert cold.ask(2, k=9) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["gbt", pytest.param("mlp", marks=NEEDS_TORCH)])
def test_other_classifiers_rebuild_as_the_battery_asks(classifier):
    check_rebuild(load("searcher", "bore"), {"classifier": classifier})


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["gbt", pytest.param("mlp", marks=NEEDS_TORCH)])
def test_another_process_proposes_the_same(classifier):
    check_process(load("searcher", "bore"), {"classifier": classifier})


# -- 9 and 10: learning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_the_classifier_is_not_constant_with_eight_results(classifier):
    rng = np.random.default_rng(0)
    candidates = rng.random((500, 4))
    distinct = []
    for _ in range(5):
        X = rng.random((8, 4))
        labels = label(((X - 0.3) ** 2).sum(axis=1), 0.25)
        distinct.append(len(np.unique(fit_classifier(classifier, X, labels, rng).score(candidates))))
    assert np.median(distinct) > 10


def test_proposals_are_better_than_random_two_results_after_the_initial_ones():
    ours, random = [], []
    for seed in range(40):
        problem, searcher = _make(_box(4), seed=seed, candidates=200)
        configs = problem.space.sample(8, np.random.default_rng(seed))
        _tell(problem, searcher, map(_quadratic, configs), configs)
        ours.append(_quadratic(searcher.ask(k=8)[0]))
        random.append(_quadratic(load("searcher", "random")(problem, seed=seed).ask(k=8)[0]))
    assert wilcoxon(ours, random, alternative="less").pvalue < 0.01


def _branin(config):
    x, y = 15 * config["x0"] - 5, 15 * config["x1"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def _ackley(config):
    x = 30 * np.array(list(config.values())) - 10
    return 20 + math.e - 20 * math.exp(-0.2 * math.sqrt((x**2).mean())) - math.exp(np.cos(2 * math.pi * x).mean())


def _hartmann(config):
    a = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
                  [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
    p = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                         [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip
    x = np.array(list(config.values()))
    return 3.322368 - np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(a * (x - p) ** 2).sum(axis=1))


def _regrets(name, function, dimensions, seeds, evaluations, **own):
    """Lowest value so far; (seeds, evaluations)."""
    found = []
    for seed in range(seeds):
        problem = Problem(_box(dimensions), (Objective("loss"),))
        searcher = load("searcher", name)(problem, seed=seed, **own)
        values = []
        for k in range(evaluations):
            [config] = searcher.ask(k=k)
            values.append(float(function(config)))
            searcher.tell([problem.observe(k, config, {"loss": values[-1]})])
        found.append(np.minimum.accumulate(values))
    return np.array(found)


def test_branin_against_random_search():
    ours, random = (_regrets(name, _branin, 2, 4, 40)[:, -1] for name in ("bore", "random"))
    assert np.median(ours) < 0.5 * np.median(random)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "dimensions"), [(_branin, 2), (_hartmann, 6), (_ackley, 5)], ids=["branin", "hartmann", "ackley"]
)
def test_functions_against_random_search(function, dimensions):
    ours, random = (_regrets(name, function, dimensions, 30, 80) for name in ("bore", "random"))
    for at in (40, 80):
        assert np.median(ours[:, at - 1]) < np.median(random[:, at - 1])
        assert wilcoxon(ours[:, at - 1], random[:, at - 1], alternative="less").pvalue < 0.01


def test_hard_and_soft_labels_agree_where_all_improvements_are_equal():
    """With improvements of 1 the weighted classifier's odds are the probability itself."""
    hard = label(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 0.25)
    soft = label(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 0.25, acquisition="ei")
    assert isinstance(soft, Labels)
    pi, c = (np.average(one.target, weights=one.weight) for one in (hard, soft))
    assert c / (1 - c) == pytest.approx(pi)
