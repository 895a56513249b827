"""Bergstra, Bardenet, Bengio, Kegl 2011: the tree-structured Parzen estimator."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import wilcoxon

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Objective, Observation, Status
from luthier.base.registry import load
from luthier.searchers import tpe
from luthier.space.problem import Problem


def _make(space, seed=0, goal="min", **own):
    problem = Problem(space, (Objective("loss", goal),))
    return problem, load("searcher", "tpe")(problem, seed=seed, **own)


def _box():
    return lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1), c=lu.Choice("a", "b", "c"))


def _loss(config):
    return (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2 + "bac".index(config["c"]) / 3


def _tell(problem, searcher, values, configs=None):
    configs = configs or problem.space.sample(len(values), np.random.default_rng(5))
    for number, (config, value) in enumerate(zip(configs, values, strict=True)):
        searcher.tell([problem.observe(number, config, {"loss": value})])
    return configs


# -- the ratio of the densities ---------------------------------------------------------------------------------------


def _kernel(value, at, sd):
    """Share of the whole numbers 0 to 20, each a cell of 1/21, under a normal density cut off at 0 and 1."""
    bell = NormalDist((at + 0.5) / 21, sd)
    return (bell.cdf((value + 1) / 21) - bell.cdf(value / 21)) / (bell.cdf(1) - bell.cdf(0))


def _density(value, seen, weights):
    n = len(seen)
    sd = max(0.2 * n ** (-1 / 5), 1 / (n + 1))
    kernels = sum(weight * _kernel(value, at, sd) for weight, at in zip(weights, seen, strict=True))
    return (kernels + 1 / 21) / (n + 1)


def test_density_ratio_of_a_toy_by_hand():
    """Ten results on 21 whole numbers, the loss |x - 7|: good are 6 and 9, which weigh 4/3 and 2/3."""
    problem, searcher = _make(lu.Space(x=lu.Int(0, 20)), share=0.2, width=0.2, candidates=3000)
    told = [0, 2, 4, 6, 9, 11, 13, 15, 17, 20]
    _tell(problem, searcher, [abs(x - 7) for x in told], [lu.Configuration(x=x) for x in told])
    bad = [x for x in told if x not in (6, 9)]
    ratio = {x: _density(x, [6, 9], [4 / 3, 2 / 3]) / _density(x, bad, [1] * 8) for x in range(21) if x not in told}
    # standard deviations 1/3 and 8**(-1/5) / 5 = 0.13195; kernels of 6 and 9 at 7: 0.07008 and 0.06339, of the bad ones
    # 0.01066, 0.03504, 0.08461, 0.05110, 0.01413, 0.00238, 0.00025 and 0
    good, others = (4 / 3 * 0.07008 + 2 / 3 * 0.06339 + 1 / 21) / 3, (0.19817 + 1 / 21) / 9
    assert ratio[7] == pytest.approx(good / others, rel=1e-4)
    assert searcher.ask(k=10)[0]["x"] == max(ratio, key=ratio.get)


def test_pending_trials_count_as_bad_by_hand():
    """With x = 7 and 8 pending the bad set has ten numbers, and the ratio's maximum moves away from them."""
    problem, searcher = _make(lu.Space(x=lu.Int(0, 20)), share=0.2, candidates=3000)
    told = [0, 2, 4, 6, 9, 11, 13, 15, 17, 20]
    _tell(problem, searcher, [abs(x - 7) for x in told], [lu.Configuration(x=x) for x in told])
    pending = [7, 8, 10, 5]
    bad = [x for x in told if x not in (6, 9)] + pending
    ratio = {
        x: _density(x, [6, 9], [4 / 3, 2 / 3]) / _density(x, bad, [1] * 12)
        for x in range(21)
        if x not in told + pending
    }
    found = searcher.ask(k=10, pending=[lu.Configuration(x=x) for x in pending])
    assert found[0]["x"] == max(ratio, key=ratio.get)


def test_several_at_once_are_what_one_after_the_other_would_be_with_pending():
    problem, searcher = _make(_box())
    _tell(problem, searcher, [_loss(c) for c in problem.space.sample(20, np.random.default_rng(5))])
    whole, pending = searcher.ask(4, k=20), []
    for k in range(20, 24):
        pending += searcher.ask(1, k=k, pending=pending)
    assert pending == whole


def test_a_pending_trial_that_has_reported_counts_with_its_report_alone():
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [_loss(c) for c in problem.space.sample(20, np.random.default_rng(5))])
    assert searcher.ask(k=20, pending=[configs[3]]) == searcher.ask(k=20)


def test_candidates_come_from_the_good_density():
    """With one candidate nothing is compared: proposals are draws from l, here mostly near the two good points."""
    problem, searcher = _make(lu.Space(x=lu.Float(0, 1)), candidates=1, share=0.2, width=0.01)
    told = [i / 20 for i in range(20)]
    _tell(problem, searcher, [abs(x - 0.5) for x in told], [lu.Configuration(x=x) for x in told])
    drawn = np.array([searcher.ask(k=k)[0]["x"] for k in range(20, 420)])
    # four good points with a standard deviation of 1/5, the best of them four times as heavy as the last; the uniform
    # density as a fifth
    share = 0.4 / 5
    for weight, at in zip((1.6, 1.2, 0.8, 0.4), (0.5, 0.45, 0.55, 0.4), strict=True):
        bell = NormalDist(at, 0.2)
        share += weight * (bell.cdf(0.7) - bell.cdf(0.3)) / (bell.cdf(1) - bell.cdf(0)) / 5
    assert np.mean(np.abs(drawn - 0.5) < 0.2) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 400))


# -- the paper's claim ------------------------------------------------------------------------------------------------


def _tree():
    return lu.Space(
        rate=lu.Float(1e-5, 1.0, log=True),
        kind=lu.Choice("svm", "forest", "net"),
        layers=lu.Int(1, 6, when=("kind", "net")),
        width=lu.Int(4, 512, log=True, when=("kind", "net")),
        trees=lu.Int(10, 1000, log=True, when=("kind", "forest")),
    )


def _tree_loss(config):
    loss = 0.3 * (math.log10(config["rate"]) + 2.5) ** 2
    if config["kind"] == "net":
        return loss + abs(config["layers"] - 3) / 3 + abs(math.log2(config["width"]) - 6) / 4
    if config["kind"] == "forest":
        return loss + 0.8 + abs(math.log10(config["trees"]) - 2)
    return loss + 1.5


def _best(name, space, loss, seed, trials):
    problem = Problem(space, (Objective("loss"),))
    searcher, values = load("searcher", name)(problem, seed=seed), []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        values.append(loss(config))
        searcher.tell([problem.observe(k, config, {"loss": values[-1]})])
    return min(values)


def test_beats_random_search_on_a_tree():
    """The paper's kind of space: what there is to choose depends on a choice. 12 paired seeds, 40 trials."""
    ours, theirs = ([_best(name, _tree(), _tree_loss, seed, 40) for seed in range(12)] for name in ("tpe", "random"))
    assert np.median(ours) < 0.5 * np.median(theirs)
    assert wilcoxon(ours, theirs, alternative="less").pvalue < 0.01


def _branin(config):
    x, y = config["x"], config["y"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
P = 1e-4 * np.array([
    [1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
    [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381],
])  # fmt: skip


def _hartmann6(config):
    inner = (A * (np.array(list(config.values())) - P) ** 2).sum(axis=1)
    return float(-np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-inner))


@pytest.mark.slow
@pytest.mark.parametrize(("space", "loss"), [
    (lu.Space(x=lu.Float(-5, 10), y=lu.Float(0, 15)), _branin),
    (lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)}), _hartmann6),
])  # fmt: skip
def test_beats_random_search_on_branin_and_hartmann(space, loss):
    """50 paired seeds, 60 evaluations: the survey's test (f)."""
    ours, theirs = ([_best(name, space, loss, seed, 60) for seed in range(50)] for name in ("tpe", "random"))
    assert np.median(ours) < np.median(theirs)
    assert wilcoxon(ours, theirs, alternative="less").pvalue < 0.01


# -- the searcher -----------------------------------------------------------------------------------------------------


def test_the_first_ten_are_those_of_random_search():
    space = _box()
    problem, searcher = _make(space, seed=4)
    random = load("searcher", "random")(problem, seed=4)
    for k in range(13):
        [config] = searcher.ask(k=k)
        assert (config == random.ask(k=k)[0]) == (k < 10)
        searcher.tell([problem.observe(k, config, {"loss": _loss(config)})])


@pytest.mark.parametrize("change", [lambda v: 3.7 * v - 11, lambda v: 1e9 * v, lambda v: math.exp(5 * v)])
def test_only_the_order_of_values_matters(change):
    problem, searcher = _make(_box())
    configs = _tell(problem, searcher, [_loss(c) for c in problem.space.sample(20, np.random.default_rng(5))])
    other, changed = _make(_box())
    _tell(other, changed, [change(_loss(c)) for c in configs], configs)
    assert changed.ask(3, k=20) == searcher.ask(3, k=20)


@pytest.mark.parametrize(("trials", "good"), [(9, 0), (10, 2), (30, 5), (400, 25)])
def test_how_many_are_good(trials, good):
    problem, searcher = _make(_box())
    _tell(problem, searcher, [_loss(c) for c in problem.space.sample(trials, np.random.default_rng(5))])
    assert searcher.diagnostics() == {"trials": trials, "good": good}


def test_equal_values_teach_nothing():
    problem, searcher = _make(_box())
    _tell(problem, searcher, [0.5] * 12)
    assert searcher.ask(2, k=12) == load("searcher", "random")(problem, seed=0).ask(2, k=12)


def test_failed_trials_are_bad_even_if_only_one_succeeded():
    """The lone success, in a corner, is all that is good; failures far from it say nothing against its surroundings."""
    problem, searcher = _make(lu.Space(x=lu.Float(0, 1)))
    searcher.tell([problem.observe(0, lu.Configuration(x=0.1), {"loss": 3.0})])
    searcher.tell(
        [Observation(i, lu.Configuration(x=0.3 + 0.03 * i), None, (), (), Status.FAILED) for i in range(1, 20)]
    )
    assert searcher.diagnostics()["good"] == 1
    assert np.median([searcher.ask(k=k)[0]["x"] for k in range(20, 40)]) < 0.25


def test_all_failed_is_random_search():
    problem, searcher = _make(_box())
    configs = problem.space.sample(12, np.random.default_rng(5))
    searcher.tell([Observation(i, c, None, (), (), Status.FAILED) for i, c in enumerate(configs)])
    assert searcher.ask(k=12) == load("searcher", "random")(problem, seed=0).ask(k=12)


def test_good_prefers_feasible():
    """The lowest losses are infeasible; the good trials are the feasible ones, and proposals lie among them."""
    problem = Problem(lu.Space(x=lu.Float(0, 1)), (Objective("loss"),), constraints=(Constraint("size", 0.0),))
    searcher = load("searcher", "tpe")(problem, seed=0)
    for number, x in enumerate(np.linspace(0, 1, 20).tolist()):
        searcher.tell([problem.observe(number, lu.Configuration(x=x), {"loss": x, "size": 0.7 - x})])
    assert np.median([searcher.ask(k=k)[0]["x"] for k in range(20, 40)]) == pytest.approx(0.75, abs=0.1)


def test_probability_of_a_usable_result_by_hand():
    """Eight feasible trials, six with "a": 6 x 9/10 + 2 x 1/10 + 1/2; four others, two: 2 x 5/6 + 2 x 1/6 + 1/2."""
    problem = Problem(lu.Space(c=lu.Choice("a", "b")), (Objective("loss"),), constraints=(Constraint("size", 0.0),))
    searcher = load("searcher", "tpe")(problem, seed=0)
    sizes = {"a": [-1.0] * 6 + [1.0] * 2, "b": [0.0] * 2 + [1.0]}
    told = [({"c": c}, {"loss": 1.0 + i, "size": size}) for c in "ab" for i, size in enumerate(sizes[c])]
    searcher.tell([problem.observe(i, lu.Configuration(config), metrics) for i, (config, metrics) in enumerate(told)])
    searcher.tell([Observation(len(told), lu.Configuration(c="b"), None, (), (), Status.FAILED)])
    rows, active = problem.space.encode([{"c": "a"}, {"c": "b"}])
    found = np.exp(searcher._model().log_usable(rows, active))
    assert found == pytest.approx([6.1 / (6.1 + 2.5), (2 * 0.9 + 6 * 0.1 + 0.5) / (2.9 + 2.5)])


def test_inactive_hyperparameters_do_not_blur_the_active_ones():
    """Only "a" has x; the good ones lie at 0.2, while the code of the default, for the many "b", is 0.9."""
    space = lu.Space(c=lu.Choice("a", "b"), x=lu.Float(0, 1, default=0.9, when=("c", "a")))
    problem, searcher = _make(space)
    configs = [lu.Configuration(c="a", x=i / 40) for i in range(41)] + [lu.Configuration(c="b")] * 30
    _tell(problem, searcher, [abs(c["x"] - 0.2) if c["c"] == "a" else 0.2 for c in configs], configs)
    found = [searcher.ask(k=k)[0] for k in range(71, 91)]
    assert all(c["c"] == "a" for c in found)
    assert np.median([c["x"] for c in found]) == pytest.approx(0.2, abs=0.08)


def test_priors_guide_the_candidates():
    """Where the good trials say nothing about x, its draws come from the prior."""
    domain = lu.Float(0, 1, prior=lu.Normal(0.8, 0.05), when=("c", "a"))
    problem, searcher = _make(lu.Space(c=lu.Choice("a", "b"), x=domain), candidates=1)
    configs = [lu.Configuration(c="b")] * 5 + [lu.Configuration(c="a", x=i / 30) for i in range(30)]
    _tell(problem, searcher, [0.0] * 5 + [1.0 + i for i in range(30)], configs)
    drawn = [c["x"] for c in (searcher.ask(k=k)[0] for k in range(35, 235)) if "x" in c]
    assert len(drawn) > 10
    assert np.mean(np.abs(np.array(drawn) - 0.8) < 0.15) > 0.9


def test_a_finite_space_whose_likely_part_is_used_up_goes_on_to_the_rest():
    problem, searcher = _make(lu.Space(a=lu.Int(0, 30), b=lu.Choice(*"abc")), candidates=3)
    found = []
    while proposed := searcher.ask(k=len(found)):
        searcher.tell([problem.observe(len(found), proposed[0], {"loss": abs(proposed[0]["a"] - 4)})])
        found += proposed
    assert len(found) == len(set(found)) == 93


def test_many_bad_trials_are_thinned_evenly(monkeypatch):
    problem, searcher = _make(_box())
    monkeypatch.setattr(tpe, "MOST", 30)
    _tell(problem, searcher, [_loss(c) for c in problem.space.sample(200, np.random.default_rng(5))])
    model = searcher._model()
    merit = searcher._latest.snapshot.merit()
    rank = np.argsort(np.argsort(merit))[model.bad]
    assert len(rank) == 30
    assert (rank[0], rank[-1]) == (len(model.good), 199)
    assert set(np.diff(rank)) <= {5, 6, 7}
    assert len(searcher.ask(k=200)) == 1


@pytest.mark.parametrize("own", [{"candidates": 0}, {"initial": 0}, {"share": 1.0}, {"most": 0}, {"width": 0}])
def test_options_out_of_range_are_refused(own):
    with pytest.raises(ArgumentError, match=next(iter(own))):
        _make(_box(), **own)


def test_cells_stand_for_the_values_they_are_drawn_for():
    """Logarithmic cells too: a value's code lies in its cell, and the cell's middle is snapped to the value."""
    space = lu.Space(
        a=lu.Int(1, 64, log=True),
        b=lu.Int(3, 40),
        c=lu.Ordinal(1, 10, 100),
        d=lu.Float(0, 1, step=0.125),
        e=lu.Int(1, 65),
    )
    axes = tpe._axes(space)
    assert axes[4].edges is None
    for place, (name, count) in enumerate(zip("abcd", space.levels[:4], strict=True)):
        values = [1, 10, 100] if name == "c" else [space[name].at(level) for level in range(count)]
        codes = space.encode([{name: value} for value in values])[0]
        assert axes[place].levels(codes[:, place]).tolist() == list(range(count))
        codes[:, place] = axes[place].codes(np.arange(count))
        assert [config[name] for config in space.decode(codes)] == values
