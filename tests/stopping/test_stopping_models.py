"""Thresholds, and the rules beside the regret bound."""

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, NumericsWarning
from luthier.base.records import Configuration, Fidelity, Objective, Report, Status, Trial
from luthier.base.registry import load
from luthier.base.seeds import generator
from luthier.space.problem import Problem
from luthier.stopping import standard_error
from luthier.stopping._base import History
from luthier.stopping._threshold import Threshold
from luthier.stopping.gap import Gap
from luthier.stopping.log_ei import LogEi
from luthier.stopping.pi import Pi
from luthier.stopping.prb import Prb, limit
from luthier.stopping.regret import Regret

LOSS = Objective("loss")
LINE = lu.Space(x=lu.Float(0.0, 1.0))


def trial(number, value, *, folds=(), x=None, resource=None, repeats=(), **metrics):
    metrics = {"loss": value, **metrics}
    reports = [Report(number, resource, metrics, folds=tuple(folds))]
    runs = [{"loss": run} for run in repeats]
    config = Configuration(x=number / 100 if x is None else x)
    return Trial(
        number, config, Status.COMPLETED, metrics=metrics, reports=reports, resource=resource, repeats=runs
    )  # fmt: skip


def noise(trials, axis=None, **own):
    return Threshold(LOSS, axis, **own).of(trials)


# thresholds -------------------------------------------------------------------------------------------------


def test_folds_are_pooled_over_the_best():
    """A lucky incumbent with like folds sets no threshold of its own."""
    spread = {0: 0.001, 1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 9.0}
    trials = [trial(i, 0.1 * i + 1, folds=(0.1 * i + 1 - s, 0.1 * i + 1 + s)) for i, s in spread.items()]
    # two folds: (1/2 + 1) s^2 with s^2 = 2 spread^2
    assert noise(trials).value == pytest.approx(math.sqrt(3) * 0.2)
    assert noise(trials, pool=1).value == pytest.approx(math.sqrt(3) * 0.001)
    assert noise(trials, pool=1, divisor="k").value == pytest.approx(math.sqrt(1.5) * 0.001)
    assert noise(trials).source == "folds"


def test_repeated_cross_validation():
    scores = (1.0, 2.0, 3.0, 2.0, 2.0, 2.0)
    s2 = np.var(scores, ddof=1)
    assert noise([trial(0, 2.0, folds=scores)], folds=3).value == pytest.approx(math.sqrt((1 / 6 + 1 / 2) * s2))
    assert noise([trial(0, 2.0, folds=scores)]).value == pytest.approx(math.sqrt((1 / 6 + 1 / 5) * s2))
    unequal = noise([trial(0, 2.0, folds=scores[:3])], folds=[10, 10, 20])
    assert unequal.value == pytest.approx(math.sqrt((1 / 3 + 5 / 9) * 0.6875 * 1.5))
    odd = noise([trial(0, 2.0, folds=scores)], folds=4)
    assert odd.value is None
    assert "6 scores, which are no whole number of cross-validations of 4 folds" in odd.words
    twice = trial(0, 2.0, folds=(1.0, 2.0, 3.0))
    twice.reports.append(Report(0, None, {"loss": 2.0}, folds=(2.0, 2.0, 2.0), repeat=1))
    assert noise([twice]).value == pytest.approx(math.sqrt((1 / 6 + 1 / 2) * s2))


def test_folds_in_other_units_are_refused():
    found = noise([trial(0, math.log(0.25), folds=(0.2, 0.3))])
    assert found.value is None
    assert "outside of the scores of its folds (0.2 to 0.3): they are in other units" in found.words


def test_folds_at_the_full_resource_alone():
    axis = Fidelity("epoch", 1, 9)
    one = trial(0, 1.0, folds=(0.9, 1.1), resource=9.0)
    one.reports.insert(0, Report(0, 3.0, {"loss": 5.0}, folds=(1.0, 9.0)))
    assert noise([one], axis).value == pytest.approx(math.sqrt(3) * 0.1)


def test_one_split():
    assert noise([trial(0, 0.3, loss_stderr=0.02)]).value == pytest.approx(0.02)
    share = (0.3 * 98 + 1) / 100
    assert noise([trial(0, 0.3)], examples=98).value == pytest.approx(math.sqrt(share * (1 - share) / 98))
    assert noise([trial(0, 0.0)], examples=98).value > 0  # no errors seen is not no errors
    both = trial(0, 0.3, loss_stderr=0.02, repeats=(0.1, 0.3, 0.5))
    assert noise([both]).source == "repeats"  # the larger: 0.2 / sqrt(3)
    assert noise([both]).value == pytest.approx(0.2 / math.sqrt(3))
    assert noise([both], source="holdout").value == pytest.approx(0.02)


def test_repeats_are_three_and_of_the_best():
    assert noise([trial(0, 0.3, repeats=(0.2, 0.4))]).value is None
    copies = [trial(i, v, x=0.5) for i, v in enumerate((0.1, 0.3, 0.5))]
    assert noise(copies).value == pytest.approx(0.2 / math.sqrt(3))
    better = [trial(10 + i, 0.01 * i) for i in range(5)]
    assert noise([*copies, *better]).value is None  # what is repeated there is none of the best five


def test_numbers_of_the_user():
    trials = [trial(i, 1.0 - i / 20, folds=(0.0, 1.0)) for i in range(30)]
    assert noise(trials, epsilon=0.25).value == 0.25  # the user knows better than the folds
    assert noise(trials, relative=0.1).value == pytest.approx(0.1 * 0.475)
    assert noise(trials[:19], relative=0.1).value is None


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"epsilon": 0.1, "relative": 0.1}, "epsilon and relative are two thresholds"),
        ({"epsilon": 0.1, "threshold": "folds"}, "epsilon and threshold='folds' are two thresholds"),
        ({"epsilon": -0.1}, "at least 0"),
        ({"relative": 1.0}, "below 1"),
        ({"threshold": "fold"}, "folds"),
        ({"divisor": "n"}, "divisor"),
        ({"folds": 1}, "at least 2"),
        ({"folds": [3]}, "at least 2"),
        ({"multiplier": "srinivaz"}, "srinivas"),
        ({"multiplier": 0}, "above 0"),
        ({"bound": "band"}, "bands"),
        ({"patience": 0}, "at least 1"),
        ({"share": 0}, "above 0"),
    ],
)
def test_wrong_arguments(own, words):
    with pytest.raises(ArgumentError, match=words):
        Regret(Problem(LINE, (LOSS,)), seed=0, **own)


def test_the_learnt_noise_warns():
    with pytest.warns(NumericsWarning, match="lower estimate"):
        Regret(Problem(LINE, (LOSS,)), seed=0, threshold="model")


def test_standard_errors():
    losses = np.random.default_rng(0).standard_normal(400)
    plain = standard_error(losses)
    assert plain == pytest.approx(losses.std(ddof=1) / 20)
    assert standard_error(losses, metric=np.mean) == pytest.approx(plain, rel=0.2)
    truth = losses > 0
    pairs = standard_error(truth, losses, metric=lambda t, p: np.mean(t == (p > 0.2)))
    share = np.mean(truth == (losses > 0.2))
    assert pairs == pytest.approx(math.sqrt(share * (1 - share) / 400), rel=0.2)


def test_it_says_at_once_what_is_missing():
    study = lu.Study(LINE, "loss", searcher="random", stopping=["regret"])
    study.run(lambda run: run.config["x"], trials=2)
    [first] = study.verdicts
    assert first["reason"] == (
        "looks from 20 results on; the noise of 'loss' is unknown: report folds=[...] beside 'loss', report "
        "loss_stderr=..., run each configuration 3 times, repeats=3, or give the rule epsilon=... in units of 'loss', "
        "or relative=0.01"
    )

    def folded(run):
        run.report(loss=run.config["x"], folds=[run.config["x"] - 0.1, run.config["x"] + 0.1])

    study = lu.Study(LINE, "loss", searcher="random", stopping=["regret"])
    study.run(folded, trials=2)
    assert study.verdicts[0]["reason"].endswith("its threshold will be the noise from the scores of folds")


# the other rules --------------------------------------------------------------------------------------------


def searched(n, noise=0.0, seed=0, scale=1.0):
    rng = generator(seed, "run")
    found = [
        trial(i, scale * ((x - 0.3) ** 2 + noise * rng.standard_normal()), x=x) for i, x in enumerate(rng.random(n))
    ]
    return found  # noqa: RET504


def trace(rule, trials):
    said = []
    for n in range(1, len(trials) + 1):
        known = {t.number: t for t in trials[:n]}
        history = History(known, tuple(known), said, n - 1)
        if rule.due(history):
            said.append(rule.check(history).as_data())
    return said


@pytest.mark.parametrize(
    ("cls", "own", "power"),
    [(LogEi, {}, 1), (Pi, {}, 0), (Prb, {"relative": 0.05}, 0), (Gap, {}, 1)],
    ids=["log-ei", "pi", "prb", "gap"],
)
def test_other_units_change_no_verdict(cls, own, power):
    problem = Problem(LINE, (LOSS,))
    plain, other = (trace(cls(problem, seed=1, **own), searched(23, 0.003, scale=s)) for s in (1.0, 1000.0))
    assert [v["stop"] for v in plain] == [v["stop"] for v in other]
    pairs = [(a["bound"], b["bound"]) for a, b in zip(plain, other, strict=True) if "bound" in a]
    assert len(pairs) >= 4
    for a, b in pairs:
        assert b == pytest.approx(a * 1000.0**power, rel=1e-4)


def test_gap_takes_its_threshold_from_its_first_bounds():
    said = trace(Gap(Problem(LINE, (LOSS,)), seed=1), searched(33, noise=0.003))
    early = [v["bound"] for v in said if v["results"] <= 30]
    late = [v for v in said if v["results"] > 30]
    assert next(v["results"] for v in said) == 12
    assert all("threshold" not in v for v in said if v["results"] <= 30)
    assert {v["threshold"] for v in late} == {0.01 * float(np.median(early))}


def test_clopper_pearson():
    # none of 64, at 0.05: 1 - 0.05^(1/64)
    assert limit(np.array([0]), 64, 0.05)[0] == pytest.approx(1 - 0.05 ** (1 / 64))
    assert limit(np.array([64]), 64, 0.05)[0] == 1.0
    assert limit(np.array([5]), 100, 0.025)[0] == pytest.approx(0.1128, abs=1e-4)  # tables


def test_where_nothing_is_left():
    """In a valley that was measured well nothing is left to gain; at its rim, much is."""
    problem, known = Problem(LINE, (LOSS,)), searched(30)
    rim = [t for t in known if t.config["x"] > 0.6][:20]
    for cls, own in ((LogEi, {"epsilon": 1e-3}), (Pi, {"epsilon": 1e-3}), (Prb, {"epsilon": 1e-3})):
        rule = cls(problem, seed=0, first=3, **own)
        found = [rule.check(History({t.number: t for t in some}, [t.number for t in some])) for some in (known, rim)]
        assert [f.evidence["below"] for f in found] == [True, False], (cls.name, found)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("log-ei", {"relative": 0.1, "epsilon": 0.1}),
        ("log-ei", {"epsilon": 0}),
        ("pi", {"least": 1.0}),
        ("gap", {"ratio": 0.1, "epsilon": 0.1}),
        ("prb", {"delta": 0}),
    ],
)
def test_wrong_arguments_of_the_others(name, own):
    with pytest.raises(ArgumentError):
        load("stopping", name)(Problem(LINE, (LOSS,)), seed=0, **own)


def test_checks_become_rarer():
    """Every result up to 40, then every twentieth more; and never twice after the same results."""
    found = trace(Regret(Problem(LINE, (LOSS,)), seed=0, epsilon=0.0), [trial(i, 0.5) for i in range(100)])
    at = [v["results"] for v in found]
    assert at[:3] == [1, 20, 21]
    assert at[20:25] == [39, 40, 42, 44, 46]
    assert at[-4:] == [85, 89, 93, 97]
    known = {i: trial(i, 0.5) for i in range(40)}
    failed = {40: Trial(40, Configuration(x=0.5), Status.FAILED)}
    history = History({**known, **failed}, range(41), [v for v in found if v["results"] <= 40], 40)
    assert not Regret(Problem(LINE, (LOSS,)), seed=0, epsilon=0.0).due(history)


def test_of_one_configurations_trials_the_best_counts_and_gives_the_place():
    a, b = [trial(i, value, x=0.5) for i, value in ((0, 0.9), (2, 0.1))], trial(1, 0.5, x=0.7)
    ordered = Threshold(LOSS, None)._best_first([a[0], b, a[1]])
    assert [t.number for t in ordered] == [2, 1]


def test_gap_takes_the_first_bounds_that_there_are():
    problem = Problem(lu.Space(x=lu.Float(0.0, 1.0)), (lu.Objective("loss"),))
    rule = load("stopping", "gap")(problem, seed=0)
    trials = {
        i: Trial(
            i, Configuration(x=(i * 0.37) % 1.0), Status.COMPLETED, metrics={"loss": ((i * 0.37) % 1.0 - 0.3) ** 2}
        )
        for i in range(40)
    }
    said = [{"stop": False, "reason": "", "results": n, "bound": 1.0, "below": False} for n in (12, 32, 34, 36, 38)]
    found = rule.check(History(trials, tuple(trials), said))
    assert found.evidence["threshold"] == pytest.approx(0.01)
    assert "threshold" not in rule.check(History(trials, tuple(trials), said[:4])).evidence
