"""Racing over folds: the rule by hand, and what it saves."""

from __future__ import annotations

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.race import Race, behind, blocks
from luthier.searchers.random import Random
from luthier.space.problem import Problem

SPACE = lu.Space(x=lu.Float(0.0, 1.0, default=0.5))
FOLDS = ("fold", 1, 10)


def race(*scores: list[float], goal: str = "min") -> list[list[Decision]]:
    """Answers to trials that report their folds one by one; the first has all ten."""
    problem = Problem(SPACE, (Objective("loss", goal),), (), Fidelity(*FOLDS))
    scheduler = Race(problem, Random(problem, seed=0), seed=0)
    sign = 1.0 if goal == "min" else -1.0
    answers = []
    for trial, folds in enumerate(scores):
        scheduler.on_start(Job(trial, Configuration(x=0.5)))
        said = [
            scheduler.on_report(Report(trial, n, {"loss": sign * math.fsum(folds[:n]) / n}))
            for n in range(1, len(folds) + 1)
        ]
        scheduler.on_end(trial, Status.COMPLETED if len(folds) == 10 else Status.STOPPED)
        answers.append(said)
    return answers


@pytest.mark.parametrize("goal", ["min", "max"])
def test_the_rule_by_hand(goal: str) -> None:
    rival = [1.0] * 10
    # mean difference 0.2 both times; 0.2 / (0.1 sqrt(1/3 - 1/10)) = 4.1 and 0.2 / (0.2 sqrt(1/3 - 1/10)) = 2.1,
    # the quantile t(0.95, 2) is 2.92
    first, sure, unsure = race(rival, [1.1, 1.3, 1.2], [1.0, 1.4, 1.2], goal=goal)
    assert first == [Decision.CONTINUE] * 10
    assert sure == [Decision.CONTINUE, Decision.CONTINUE, Decision.STOP]
    assert unsure == [Decision.CONTINUE] * 3


def test_of_two_folds_nothing_is_said_and_equal_is_not_worse() -> None:
    _, worse, equal = race([1.0] * 10, [9.0, 9.0], [1.0] * 9)
    assert Decision.STOP not in worse + equal


def test_folds_are_paired() -> None:
    """Hard folds are hard for all: unpaired, a difference of 0.1 would drown in their spread of about 3."""
    hard = [float(x) for x in range(10)]
    [_, trial] = race(hard, [x + 0.1 + 0.01 * (-1) ** i for i, x in enumerate(hard[:3])])
    assert trial[-1] is Decision.STOP


def test_the_rival_is_the_best_so_far() -> None:
    second = [0.8 + 0.01 * (i % 2) for i in range(10)]
    answers = race([1.0] * 10, second, [0.9, 0.91, 0.9])
    assert answers[1][-1] is Decision.CONTINUE
    assert answers[2][-1] is Decision.STOP  # better than the first, worse than the second


def test_blocks_undo_the_means() -> None:
    assert blocks([(2.0, 0.5), (5.0, 0.8)]) == pytest.approx([0.5, (5 * 0.8 - 2 * 0.5) / 3])
    assert behind([0.1, 0.1, 0.1], 0.1, 0.3, 0.05)
    assert not behind([0.0, 0.0, 0.0], 0.0, 0.3, 0.05)


def test_the_risk_is_kept() -> None:
    """Two equal configurations: at one look after three folds, the later winner is ended in about `risk` of cases."""
    rng = np.random.default_rng(5)
    gaps = rng.normal(size=(20_000, 10))
    wins = gaps.mean(axis=1) < 0
    ended = np.array([behind(row[:3].tolist(), float(row[:3].mean()), 0.3, 0.05) for row in gaps[:4000]])
    share = ended[wins[:4000]].mean()
    assert 0.0 < share < 0.05


def crossvalidate(run: lu.Run) -> None:
    for fold in run.resources():
        rng = np.random.default_rng([run.split_seed, int(fold)])
        run.report_fold(loss=(run.config["x"] - 0.3) ** 2 + 0.3 * rng.normal() + 0.02 * run.config["x"], other=1.0)


def test_a_race_saves_folds_and_finds_the_same() -> None:
    plain = lu.Study(SPACE, "loss", fidelity=FOLDS, searcher="random", seed=1).run(crossvalidate, trials=40)
    study = lu.Study(SPACE, "loss", fidelity=FOLDS, searcher="random", scheduler="race", seed=1)
    raced = study.run(crossvalidate, trials=40)
    assert raced.best is not None
    assert plain.best is not None
    assert raced.best.config == plain.best.config
    assert raced.best.metrics == plain.best.metrics
    assert len(raced.best.reports[-1].folds) == 10
    assert sum(t.resource for t in raced.trials) < 0.6 * sum(t.resource for t in plain.trials)
    assert study.replay().differences == []


def test_report_fold_reports_means() -> None:
    def train(run: lu.Run) -> None:
        for score in (0.2, 0.4, 0.9):
            run.report_fold(loss=score, error=10 * score)

    [trial] = lu.Study(SPACE, "loss").run(train, trials=1).trials
    assert trial.metrics == pytest.approx({"loss": 0.5, "error": 5.0})
    assert trial.reports[-1].folds == (0.2, 0.4, 0.9)
    assert [report.metrics["loss"] for report in trial.reports] == pytest.approx([0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([{}], "report_fold() without a metric"),
        ([{"loss": 1.0, "a": 2.0}, {"loss": 1.0}], "Allowed: the same metrics"),
        ([{"loss": "much"}], "Allowed: a number"),
    ],
)
def test_what_report_fold_refuses(calls: list[dict], words: str) -> None:
    def train(run: lu.Run) -> None:
        for call in calls:
            run.report_fold(call)

    [trial] = lu.Study(SPACE, "loss").run(train, trials=1, give_up=9).trials
    assert words in str(trial.error)


def test_reshuffled_folds_are_no_pairs() -> None:
    with pytest.raises(ArgumentError, match="compares trials fold by fold"):
        lu.Study(SPACE, "loss", fidelity=FOLDS, scheduler="race", reshuffle=True)


def repeats(study: lu.Study) -> int:
    """How many trials lie beside an earlier one that the race has ended."""
    points = [np.array([t.config["x"], t.config["y"]]) for t in study.trials]
    ended = [t.status is Status.STOPPED for t in study.trials]
    beside = [[bool(np.abs(p - q).max() < 0.08) for q in points] for p in points]
    return sum(any(ended[j] and beside[i][j] for j in range(i)) for i in range(len(points)))


def plateau(run: lu.Run) -> None:
    """A bowl, and a plateau far above it wherever one of the two is small."""
    x, y = run.config["x"], run.config["y"]
    bowl = 0.05 * ((x - 0.6) ** 2 + (y - 0.6) ** 2)
    for fold in range(10):
        run.report_fold(loss=(0.3 if min(x, y) <= 0.3 else bowl) + 0.02 * math.sin(7 * fold + 50 * x + 30 * y))


def test_models_see_what_a_race_has_ended() -> None:
    """Who models only trials with all folds proposes again what was ended; the user may still ask for that."""
    space = lu.Space(x=lu.Float(0.0, 1.0, default=0.5), y=lu.Float(0.0, 1.0, default=0.5))
    counts = {}
    for searcher in ("auto", {"name": "gp", "fidelity": "highest"}):
        study = lu.Study(space, "loss", searcher=searcher, scheduler="race", fidelity=FOLDS, seed=1)
        study.run(plateau, trials=30)
        counts[study.searcher_name] = repeats(study)
    assert 1.5 * counts["auto"] < counts["gp"]
