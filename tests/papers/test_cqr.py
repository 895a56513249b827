"""Salinas, Golebiowski, Klein, Seeger, Archambeau 2023: search with conformalised quantile regression.

Numbers in brackets are those of the list of tests that the method's description asks for.
"""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.models.boosted import fit_boosted, rounded_levels
from luthier.models.conformal import RULES, band_scores, correct, corrections, score_quantile
from luthier.models.quantile import fit_quantiles, symmetric_levels
from luthier.searchers._fidelity import Aggregation
from luthier.searchers.cqr import choose
from luthier.space.problem import Problem
from luthier.testing.searcher import check_process


def _make(space, seed=0, goal="min", **own):
    problem = Problem(space, (Objective("loss", goal),))
    return problem, load("searcher", "cqr")(problem, seed=seed, **own)


def _box():
    return lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1), c=lu.Choice("a", "b", "c"))


def _loss(config):
    return (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2 + "bac".index(config["c"]) / 3


def _tell(problem, searcher, values, configs=None):
    configs = configs or problem.space.sample(len(values), np.random.default_rng(5))
    for number, (config, value) in enumerate(zip(configs, values, strict=True)):
        searcher.tell([problem.observe(number, config, {"loss": value})])
    return configs


# -- levels and scores (1 to 3) ---------------------------------------------------------------------------------------


def test_levels_are_sixths_and_symmetric():
    levels = symmetric_levels(5)
    assert levels.tolist() == [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]
    assert np.abs(levels + levels[::-1] - 1).max() < 1e-12
    assert rounded_levels(5).tolist() == [0.17, 0.33, 0.5, 0.67, 0.83]  # of reference mode


def test_even_number_of_levels_is_refused():
    with pytest.raises(ArgumentError, match="an odd whole number"):
        _make(_box(), quantiles=4)


def test_correction_of_three_points_by_hand():
    """Scores -1, 0.25, -0.5 and -1, 0.75, 0; positions 4 * 2/3 and 4 * 1/3 among the sorted ones."""
    levels = symmetric_levels(5)
    predicted = np.array([[0.0, 0.0, 1.0, 2.0, 2.0], [0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 0.5, 1.0, 1.5, 2.0]])
    y = np.array([1.0, 2.25, 0.5])
    assert band_scores(predicted[:, 0], predicted[:, 4], y).tolist() == [-1.0, 0.25, -0.5]
    assert band_scores(predicted[:, 1], predicted[:, 3], y).tolist() == [-1.0, 0.75, 0.0]
    wide, narrow = corrections(levels, predicted, y)
    assert wide == pytest.approx(-0.5 + 2 / 3 * 0.75)  # between the second, -0.5, and the third, 0.25
    assert narrow == pytest.approx(-1.0 + 1 / 3 * 1.0)  # negative: this band shrinks
    assert correct(predicted[:1], np.array([wide, narrow]))[0] == pytest.approx([0.0, 2 / 3, 1.0, 4 / 3, 2.0])


@pytest.mark.parametrize(("n", "target", "reference", "split"), [
    (4, 0.66, 0.516, 0.801), (10, 0.66, 0.584, 0.719), (20, 0.66, 0.617, 0.666), (50, 0.66, 0.640, 0.671),
    (4, 0.34, 0.362, 0.397), (10, 0.80, 0.688, 0.814),
])  # fmt: skip
def test_expected_coverage_of_the_rules(n, target, reference, split):
    """With uniform scores the chance to cover a new one is the amount itself. Measured elsewhere, 20 000 draws."""
    rng = np.random.default_rng(n)
    draws = rng.random((3000, n))
    for rule, wanted in zip(RULES, (target, split, reference), strict=True):
        found = np.array([score_quantile(scores, target, rule) for scores in draws])
        measured = 0.0 if rule == "weibull" else found.std() / math.sqrt(20_000)
        assert found.mean() == pytest.approx(wanted, abs=3 * (found.std() / math.sqrt(3000) + measured) + 0.001)


# -- the model (4 to 6) -----------------------------------------------------------------------------------------------


def _heteroscedastic(n, rng):
    X = rng.random((n, 5))
    return X, (X**2).sum(axis=1) + 0.3 * rng.normal(size=n) * (0.2 + X[:, 0])


def _coverage(n, conformal, seeds):
    """Coverage of the outermost band on 2000 fresh points; (seeds,)."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X, y = _heteroscedastic(n, rng)
        fresh, wanted = _heteroscedastic(2000, rng)
        predicted = fit_quantiles(X, y, rng, conformal=conformal).predict(fresh)
        found.append(np.mean((predicted[:, 0] <= wanted) & (wanted <= predicted[:, 4])))
    return np.array(found)


@pytest.mark.parametrize("n", [40, 100])
def test_coverage_end_to_end(n):
    assert _coverage(n, "oob", 12).mean() == pytest.approx(2 / 3, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("conformal", ["oob", "cross", "split"])
@pytest.mark.parametrize("n", [40, 100])
def test_coverage_end_to_end_of_every_way(n, conformal):
    # with the four scores of "split" at n = 40 interpolation covers a little more: it is exact for uniform scores only
    assert _coverage(n, conformal, 40).mean() == pytest.approx(2 / 3, abs=0.08)


@pytest.mark.slow
def test_pooled_scores_vary_less_than_a_tenth_held_out():
    assert _coverage(40, "oob", 40).std() < _coverage(40, "split", 40).std()


def test_levels_never_cross():
    rng = np.random.default_rng(0)
    X, y = _heteroscedastic(50, rng)
    assert (np.diff(fit_quantiles(X, y, rng).predict(rng.random((500, 5))), axis=1) >= 0).all()


def test_sorting_never_increases_the_pinball_loss():
    rng = np.random.default_rng(0)
    levels = symmetric_levels(5)
    crossed, y = rng.normal(size=(400, 5)), rng.normal(size=(400, 1))

    def pinball(predicted):
        return ((y - predicted) * (levels - (y < predicted))).sum(axis=1)

    assert (pinball(np.sort(crossed, axis=1)) <= pinball(crossed) + 1e-12).all()


def test_without_features_the_quantiles_are_the_empirical_ones():
    y = np.sort(np.random.default_rng(0).normal(size=35))
    model = fit_quantiles(np.zeros((35, 2)), y, np.random.default_rng(1), conformal="none", trees=4000)
    place = np.searchsorted(y, model.predict(np.zeros((1, 2)))[0])
    assert np.abs(place - symmetric_levels(5) * 35).max() <= 1.5


# -- the searcher (7 to 9, 11) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda v: 3.7 * v - 11, lambda v: 1e9 * v, lambda v: math.exp(5 * v)])
def test_proposals_do_not_depend_on_the_unit_of_the_metric(change):
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [_loss(c) for c in problem.space.sample(20, np.random.default_rng(5))])
    other, changed = _make(_box())
    _tell(other, changed, [change(_loss(c)) for c in configs], configs)
    assert changed.ask(3, k=20) == searcher.ask(3, k=20)


def test_maximising_mirrors_minimising():
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [_loss(c) for c in problem.space.sample(20, np.random.default_rng(5))])
    other, mirrored = _make(_box(), goal="max")
    _tell(other, mirrored, [-_loss(c) for c in configs], configs)
    assert mirrored.ask(3, k=20) == searcher.ask(3, k=20)


def test_another_process_proposes_the_same():
    check_process(load("searcher", "cqr"), {})


def test_levels_are_drawn_uniformly():
    """A candidate with values 0 to 4 beats a constant one when it draws a level below that constant."""
    rng = np.random.default_rng(3)
    counts = []
    for constant in (0.5, 1.5, 2.5, 3.5):
        pair = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [constant] * 5])
        counts.append(sum(choose(pair, rng) == 0 for _ in range(1500)))
    for count, share in zip(counts, (0.2, 0.4, 0.6, 0.8), strict=True):
        assert chisquare([count, 1500 - count], [1500 * share, 1500 * (1 - share)]).pvalue > 1e-3


def test_winner_has_the_lowest_drawn_value():
    predicted = np.sort(np.random.default_rng(0).normal(size=(300, 5)), axis=1)
    for seed in range(20):
        level = np.random.default_rng(seed).integers(5, size=300)
        drawn = predicted[np.arange(300), level]
        assert drawn[choose(predicted, np.random.default_rng(seed))] == drawn.min()


def test_the_winner_mostly_carries_the_lowest_level():
    """What the acquisition really does: a lower confidence bound on a random fifth of the candidates."""
    rng = np.random.default_rng(0)
    lowest = 0
    for seed in range(200):
        spread = 0.3 * np.array([-0.967, -0.431, 0.0, 0.431, 0.967])  # normal quantiles at sixths
        predicted = 0.5 * rng.normal(size=(2000, 1)) + spread
        won = choose(predicted, np.random.default_rng(seed))
        lowest += np.random.default_rng(seed).integers(5, size=2000)[won] == 0
    assert 0.55 < lowest / 200 < 0.8


def test_the_first_five_are_those_of_random_search():
    space = _box()
    problem, searcher = _make(space, seed=4)
    random = load("searcher", "random")(problem, seed=4)
    for k in range(7):
        [config] = searcher.ask(k=k)
        assert (config == random.ask(k=k)[0]) == (k < 5)
        searcher.tell([problem.observe(k, config, {"loss": _loss(config)})])


def test_one_observation_is_enough_to_go_on():
    problem, searcher = _make(_box(), initial=1)
    _tell(problem, searcher, [1.0])
    assert len(searcher.ask(k=1)) == 1


def test_equal_values_teach_nothing():
    problem, searcher = _make(_box())
    _tell(problem, searcher, [0.5] * 12)
    assert searcher.ask(2, k=12) == load("searcher", "random")(problem, seed=0).ask(2, k=12)


def test_one_categorical_is_used_up():
    problem, searcher = _make(lu.Space(c=lu.Choice(*"abcdefgh")))
    found = []
    while proposed := searcher.ask(k=len(found)):
        searcher.tell([problem.observe(len(found), proposed[0], {"loss": ord(proposed[0]["c"])})])
        found.append(proposed[0]["c"])
    assert sorted(found) == list("abcdefgh")


def test_failed_and_diverged_trials_count_as_the_worst_seen():
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [_loss(c) for c in problem.space.sample(15, np.random.default_rng(5))])
    worst = max(map(_loss, configs))
    more = problem.space.sample(3, np.random.default_rng(6))
    ends = [(Status.FAILED, ()), (Status.DIVERGED, (math.nan,)), (Status.DIVERGED, (-math.inf,))]
    searcher.tell(
        [Observation(15 + i, c, None, v, (), s) for i, (c, (s, v)) in enumerate(zip(more, ends, strict=True))]
    )
    other, same = _make(_box())
    _tell(other, same, [_loss(c) for c in configs] + [worst] * 3, configs + more)
    assert searcher.ask(3, k=18) == same.ask(3, k=18)


def test_infinite_values_count_as_the_worst_seen():
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [math.inf if i % 3 else _loss_at(i) for i in range(15)])
    other, same = _make(_box())
    worst = max(_loss_at(i) for i in range(0, 15, 3))
    _tell(other, same, [worst if i % 3 else _loss_at(i) for i in range(15)], configs)
    assert searcher.ask(3, k=15) == same.ask(3, k=15)


def _loss_at(i):
    return _loss(_box().sample(15, np.random.default_rng(5))[i])


def test_constants_and_conditions():
    """The optimiser is the better one with a momentum near 0.9, which only it has; constants stay what they are."""
    space = lu.Space(
        opt=lu.Choice("adam", "sgd"),
        momentum=lu.Float(0.0, 1.0, when=("opt", "sgd")),
        seed=lu.Fixed(3),
        word=lu.Fixed("a"),
    )
    problem, searcher = _make(space)
    found = []
    for k in range(30):
        [config] = searcher.ask(k=k)
        searcher.tell([problem.observe(k, config, {"loss": abs(config.get("momentum", 0.3) - 0.9)})])
        found.append(config)
    assert all((c["seed"], c["word"], "momentum" in c) == (3, "a", c["opt"] == "sgd") for c in found)
    assert np.mean([abs(c.get("momentum", 0.3) - 0.9) < 0.1 for c in found[15:]]) > 0.5


# -- several resources (10) -------------------------------------------------------------------------------------------


def test_aggregated_table_equals_the_oracle():
    """Out of order, repeated, resumed, paused, stopped and diverged: the last value each trial has, by hand."""
    problem = Problem(_box(), (Objective("loss"),), fidelity=Fidelity("epoch", 1, 27))
    configs = problem.space.sample(6, np.random.default_rng(0))
    data = Aggregation(problem, "last")
    for trial, resource, loss, status in [
        (0, 1, 0.9, Status.RUNNING), (0, 3, 0.8, Status.RUNNING), (1, 1, 0.7, Status.RUNNING),
        (0, 1, 0.5, Status.RUNNING),  # out of order: the value at 3 stays
        (1, 1, 0.6, Status.RUNNING),  # reported again: the newer counts
        (2, 1, 0.4, Status.RUNNING), (2, 3, 0.3, Status.RUNNING),  # and paused
        (3, 1, 0.2, Status.RUNNING), (3, 3, math.nan, Status.DIVERGED),
        (2, 9, 0.35, Status.RUNNING),  # resumed: replaces the value at 3, although that was lower
        (4, 27, 0.1, Status.COMPLETED), (0, 3, 0.8, Status.STOPPED), (5, 1, None, Status.STOPPED),
    ]:  # fmt: skip
        metrics = None if loss is None else {"loss": loss}
        data.add([problem.observe(trial, configs[trial], metrics, resource=float(resource), status=status)])
    table = data.table()
    assert table.merit.tolist() == [0.8, 0.6, 0.35, 0.8, 0.1]
    assert problem.space.decode(table.rows) == configs[:5]


def _reported(fidelity, loss, trials=40):
    """Half of the trials are seen at 1 alone, the others at 9 too; proposals then."""
    space = lu.Space(x=lu.Float(0, 1))
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 9))
    searcher = load("searcher", "cqr")(problem, seed=0, fidelity=fidelity, local=0.0)
    for trial, config in enumerate(space.sample(trials, np.random.default_rng(0))):
        for epoch in (1, 9)[: 1 + trial % 2]:
            told = {"loss": loss(config["x"], epoch)}
            searcher.tell([problem.observe(trial, config, told, resource=float(epoch), status=Status.RUNNING)])
    return np.array([config["x"] for config in searcher.ask(20, k=trials)])


def test_ranks_are_blind_to_what_a_resource_adds():
    """Every value at 9 is larger than any at 1, as a loss summed over epochs would be; (0.5, 0.5) is best at both."""
    raw, ranked = (_reported(way, lambda x, epoch: 10 * epoch + abs(x - 0.5)) for way in ("last", "rank"))
    assert np.abs(ranked - 0.5).mean() < 0.05
    assert np.abs(raw - 0.5).mean() > np.abs(ranked - 0.5).mean()


def test_a_resource_as_feature_predicts_at_the_full_one():
    """What is best after one epoch is not after nine: with x as learning rate, small ones win late."""
    late = _reported("level", lambda x, epoch: abs(x - (0.8 if epoch == 1 else 0.2)))
    assert np.abs(late - 0.2).mean() < 0.1


# -- reference mode ---------------------------------------------------------------------------------------------------


def test_reference_holds_out_a_tenth_beyond_32_points():
    """With 33 points, 4 give scores; the level .66 / (1 + 1/4) of these is the correction, and nothing is sorted."""
    X, y = _heteroscedastic(33, np.random.default_rng(0))
    before = fit_boosted(X[:32], y[:32], np.random.default_rng(1), quantiles=3)
    assert before.widenings.tolist() == [0.0]
    after = fit_boosted(X, y, np.random.default_rng(1))
    held = np.random.default_rng(1).permutation(33)[:4]
    raw = np.stack([model.predict((X[held] - X.mean(axis=0)) / X.std(axis=0)) for model in after.models], axis=1)
    scores = np.maximum(raw[:, 0] - y[held], y[held] - raw[:, 4])
    assert after.widenings[0] == pytest.approx(np.quantile(scores, 0.66 / 1.25))
    assert after.predict(X[held])[:, 0] == pytest.approx(raw[:, 0] - after.widenings[0])
    assert after.predict(X[held])[:, 2] == pytest.approx(raw[:, 2])


def test_reference_may_repeat_itself_until_everything_was_tried():
    problem, searcher = _make(lu.Space(c=lu.Choice(*"abcd")), mode="reference", initial=3)
    configs = [problem.space.check({"c": c}) for c in "abcd"]
    _tell(problem, searcher, [1.0, 2.0, 3.0], configs[:3])
    assert {searcher.ask(k=k)[0]["c"] for k in range(3, 20)} & set("abc")
    searcher.tell([problem.observe(3, configs[3], {"loss": 4.0})])
    assert searcher.ask(k=4) == []


def test_reference_sets_its_options():
    with pytest.raises(ArgumentError, match="mode='reference' sets local, conformal, level, trees and leaf"):
        _make(_box(), mode="reference", conformal="oob", trees=10)
