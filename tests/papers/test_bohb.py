"""Falkner, Klein, Hutter 2018: BOHB, which is Hyperband with kernel densities of good and bad trials."""

from __future__ import annotations

import math
from statistics import NormalDist, median

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.schedulers.bohb import Bohb
from luthier.schedulers.hyperband import Hyperband
from luthier.searchers.kde import Density
from luthier.space.problem import Problem
from luthier.study import Study
from luthier.testing._drive import Drive

FULL = 9


def make(space, seed=0, **own):
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, FULL))
    return problem, load("searcher", "kde")(problem, seed=seed, **own)


def tell(problem, searcher, configs, values, *, resource=FULL, first=0):
    for number, (config, value) in enumerate(zip(configs, values, strict=True), first):
        told = problem.observe(number, config, {"loss": value}, resource=resource, status=Status.RUNNING)
        searcher.tell([told])


# -- densities by hand ------------------------------------------------------------------------------------------------


def test_density_of_two_numbers_by_hand():
    """Rows 0.2 and 0.4: standard deviation 0.1, bandwidth 1.06 * 0.1 * 2^(-1/5) = 0.09228."""
    space = lu.Space(x=lu.Float(0, 1))
    density = Density(space, np.array([[0.2], [0.4]]), least=1e-3)
    assert density.width == pytest.approx([0.09228], rel=1e-4)
    at = np.array([[0.3], [0.9]])
    wanted = [(NormalDist(0.2, 0.09228).pdf(x) + NormalDist(0.4, 0.09228).pdf(x)) / 2 for x in (0.3, 0.9)]
    assert np.exp(density.log(at, space.active(at))) == pytest.approx(wanted, rel=1e-3)
    assert wanted[0] == pytest.approx(2.4032, rel=1e-3)


def test_density_of_choices_by_hand():
    """a, a, b of three: 4/9 of all pairs differ, by 1/3, so h = 1.06 * sqrt(4/9 / 2 / 9) * 3^(-1/5) = 0.13371."""
    space = lu.Space(c=lu.Choice("a", "b", "c"))
    rows, _ = space.encode([{"c": word} for word in "aab"])
    density = Density(space, rows, least=1e-3)
    assert density.width == pytest.approx([0.13371], rel=1e-4)
    at, active = space.encode([{"c": word} for word in "abc"])
    same, other = 1 - 0.13371, 0.13371 / 2
    wanted = [3 * (2 * same + other) / 3, 3 * (same + 2 * other) / 3, 3 * 3 * other / 3]
    assert np.exp(density.log(at, active)) == pytest.approx(wanted, rel=1e-4)


def test_choices_have_no_order():
    """Of two values the deviation is that of two numbers, and of more the same however they are listed."""
    widths = []
    for order in ("abcd", "dacb", "bdac"):
        space = lu.Space(c=lu.Choice(*order))
        rows, _ = space.encode([{"c": word} for word in "aaaabbc"])
        widths.append(Density(space, rows, least=1e-3).width[0])
    shares = np.array([4, 2, 1]) / 7
    assert widths == pytest.approx([1.06 * math.sqrt((1 - shares @ shares) / 2) / 4 * 7 ** (-1 / 5)] * 3)
    two = lu.Space(c=lu.Choice("a", "b"))
    rows, _ = two.encode([{"c": word} for word in "aab"])
    assert Density(two, rows, least=1e-3).width == pytest.approx(1.06 * rows[:, 0].std() * 3 ** (-1 / 5))


def test_density_is_a_product_with_the_least_bandwidth_where_all_rows_agree():
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    density = Density(space, np.array([[0.2, 0.5], [0.4, 0.5]]), least=1e-3)
    x = 1.06 * 0.1 * 2 ** (-1 / 6)
    assert density.width == pytest.approx([x, 1e-3])
    at = np.array([[0.3, 0.501]])
    wanted = NormalDist(0.1, x).pdf(0) * NormalDist(0, 1e-3).pdf(0.001)
    assert np.exp(density.log(at, space.active(at))) == pytest.approx([wanted])


def test_a_column_that_is_not_there_has_no_part():
    """m exists with sgd alone: two of three rows have it, and adam candidates are judged by the rest."""
    space = lu.Space(opt=lu.Choice("sgd", "adam"), m=lu.Float(0, 1, when=("opt", "sgd")))
    rows, _ = space.encode([{"opt": "sgd", "m": 0.2}, {"opt": "sgd", "m": 0.4}, {"opt": "adam"}])
    density = Density(space, rows, least=1e-3)
    alone = Density(lu.Space(opt=lu.Choice("sgd", "adam")), rows[:, :1], least=1e-3)
    assert density.width[1] == pytest.approx(1.06 * 0.1 * 2 ** (-1 / (5 / 3 + 4)))
    at, active = space.encode([{"opt": "adam"}, {"opt": "sgd", "m": 0.3}])
    h = density.width[0]
    assert np.exp(density.log(at, active))[0] == pytest.approx(2 * (1 - h + 2 * h) / 3)
    assert alone.width[0] != h  # the dimensions differ: 1, and 5/3 on average
    m = NormalDist(0.1, density.width[1]).pdf(0)
    assert np.exp(density.log(at, active))[1] == pytest.approx(2 * (2 * (1 - h) * m + h) / 3)


def test_draws_take_what_a_row_lacks_from_the_space():
    space = lu.Space(opt=lu.Choice("sgd", "adam"), m=lu.Float(0, 1, when=("opt", "sgd")))
    rows, _ = space.encode([{"opt": "adam"}, {"opt": "adam"}])
    rng = np.random.default_rng(0)
    uniform = rng.random((50, 2))
    assert (Density(space, rows, least=1e-3).draw(uniform, 3.0, rng)[:, 1] == uniform[:, 1]).all()


def test_draws_lie_around_the_rows_three_times_as_wide():
    space = lu.Space(x=lu.Float(0, 1), c=lu.Choice("a", "b", "c", "d"))
    rows = np.array([[0.49, 0.125], [0.51, 0.125]])
    density = Density(space, rows, least=1e-3)
    rng = np.random.default_rng(0)
    drawn = density.draw(rng.random((4000, 2)), 3.0, rng)
    wanted = math.hypot(3 * density.width[0], 0.01)
    assert drawn[:, 0].std() == pytest.approx(wanted, rel=0.05)
    assert (drawn[:, 1] == 0.125).mean() > 0.99  # h is at its least
    edge = Density(space, np.array([[0.0, 0.1], [0.2, 0.9]]), least=1e-3).draw(rng.random((4000, 2)), 3.0, rng)
    assert edge.min() >= 0.0
    assert (edge[:, 0] == 0.0).mean() < 0.01  # cut off, not heaped up


# -- the model --------------------------------------------------------------------------------------------------------


def test_the_highest_ratio_by_hand():
    """Ten results on 21 whole numbers, the loss |x - 7|: the good are 6 and 9, and so many candidates meet all."""
    problem, searcher = make(lu.Space(x=lu.Int(0, 20)), candidates=3000, random=0.0)
    numbers = [0, 2, 4, 6, 9, 11, 13, 15, 17, 20]
    tell(problem, searcher, [lu.Configuration(x=x) for x in numbers], [abs(x - 7) for x in numbers])

    def density(at, told):
        spread = float(np.std(told)) / 21
        width = 1.06 * spread * len(told) ** (-1 / 5)
        return sum(NormalDist(x / 21, width).pdf(at / 21) for x in told) / len(told)

    bad = [x for x in numbers if x not in (6, 9)]
    near = [x for x in range(21) if x not in numbers and 3 < x < 12]
    ratio = {x: max(density(x, [6, 9]), 1e-32) / density(x, bad) for x in near}
    assert searcher.ask(k=10)[0]["x"] == max(ratio, key=ratio.get) == 7
    assert searcher.diagnostics() == {"good": 2.0, "level": 9}


def test_it_learns_from_the_highest_resource_with_enough_trials():
    """One hyperparameter needs two good and two bad trials."""
    problem, searcher = make(lu.Space(x=lu.Float(0, 1)))
    configs = [lu.Configuration(x=0.1 * i) for i in range(6)]
    levels = []
    for resource, count in ((1, 3), (1, 6), (3, 3), (3, 4), (9, 3), (9, 4)):
        tell(problem, searcher, configs[:count], [0.1 * i for i in range(count)], resource=resource)
        levels.append(searcher.diagnostics().get("level"))
    assert levels == [None, 1, 1, 3, 3, 9]


def test_failed_trials_are_bad_at_every_resource():
    problem, searcher = make(lu.Space(x=lu.Float(0, 1)), random=0.0)
    good = [lu.Configuration(x=x) for x in (0.2, 0.25)]
    tell(problem, searcher, good, [1.0, 2.0])
    assert searcher.diagnostics() == {"good": 0.0}
    for number, x in ((2, 0.8), (3, 0.9)):  # one fails at once, the other had a promising report
        config = lu.Configuration(x=x)
        if number == 3:
            tell(problem, searcher, [config], [-1.0], resource=3, first=3)
        searcher.tell([Observation(number, config, 3, (), (), Status.FAILED)])
    assert searcher.diagnostics() == {"good": 2.0, "level": 9}
    assert all(searcher.ask(k=k)[0]["x"] < 0.5 for k in range(4, 24))


def test_a_third_of_the_proposals_is_random():
    problem, searcher = make(lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1)))
    random = load("searcher", "random")(problem, seed=0)
    assert searcher.ask(k=3) == random.ask(k=3)  # there is no model yet
    configs = problem.space.sample(30, np.random.default_rng(0))
    tell(problem, searcher, configs, [config["x"] for config in configs])
    same = sum(searcher.ask(k=k) == random.ask(k=k) for k in range(30, 330))
    assert same == pytest.approx(100, abs=4 * math.sqrt(300 * 2 / 9))


def test_equal_losses_and_a_single_good_place_are_survived():
    problem, searcher = make(lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1)), random=0.0)
    tell(problem, searcher, [lu.Configuration(x=0.5, y=0.5)] * 12, [1.0] * 12)
    proposed = searcher.ask(5, k=12)
    assert len(set(proposed)) == 5
    assert lu.Configuration(x=0.5, y=0.5) not in proposed


def test_bad_arguments_are_refused():
    for own, message in (
        ({"share": 1.0}, "share=1.0. Allowed: a number and above 0 and below 1."),
        ({"least": 0.0}, "least=0.0. Allowed: a number and at least 1e-06 and at most 1."),
    ):
        with pytest.raises(ArgumentError) as raised:
            make(lu.Space(x=lu.Float(0, 1)), **own)
        assert str(raised.value) == message


# -- BOHB -------------------------------------------------------------------------------------------------------------


def test_kde_proposes_where_no_searcher_is_named():
    space, axis = lu.Space(x=lu.Float(0, 1)), ("epoch", 1, 9)
    named = Study(space, "loss", scheduler="bohb", fidelity=axis)
    assert named._definition.searcher[0] == "kde"
    other = Study(space, "loss", scheduler="bohb", searcher="random", fidelity=axis)
    assert other._definition.searcher[0] == "random"


def bowl():
    """A smooth loss over four numbers; short runs mislead by up to 0.27."""
    names, best = ("a", "b", "c", "d"), (0.3, 0.7, 0.2, 0.6)

    def curve(config, resource):
        at = [config[name] for name in names]
        bias = 0.15 * (1 + math.sin(7 * at[0] + 3 * at[1])) * (1 / resource - 1 / FULL)
        return {"loss": sum((x - y) ** 2 for x, y in zip(at, best, strict=True)) + bias}

    return lu.Space({name: lu.Float(0, 1) for name in names}), curve


def best_of(scheduler, searcher, seed):
    space, curve = bowl()
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, FULL))

    def build():
        return scheduler(problem, load("searcher", searcher)(problem, seed=seed), seed=seed)

    drive = Drive(build, problem, curve, seed, workers=4, trials=120)
    drive.run()
    spent = sum(max(report.resource for report in reports) for reports in drive.reports.values())
    done = (rows[-1] for rows in drive.reports.values() if rows[-1].resource == FULL)
    return min(report.metrics["loss"] for report in done), spent


def test_bohb_beats_hyperband_with_random_proposals():
    ours = [best_of(Bohb, "kde", seed) for seed in range(9)]
    theirs = [best_of(Hyperband, "random", seed) for seed in range(9)]
    assert [spent for _, spent in ours] == [spent for _, spent in theirs]
    assert median(loss for loss, _ in ours) < 0.8 * median(loss for loss, _ in theirs)
    assert sum(a < b for (a, _), (b, _) in zip(ours, theirs, strict=True)) >= 6
