"""What a study learns and what it must not: the untouched metric, split seeds, and rules against lucky results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError
from luthier.base.records import Configuration, Objective, Status, Trial
from luthier.schedulers.median import Median
from luthier.space.problem import Problem
from luthier.stopping.plateau import Plateau
from luthier.study._beliefs import beliefs
from luthier.study._guard import _gain, plan
from luthier.study.overtuning import overtuning
from luthier.study.result import contenders

SPACE = lu.Space(x=lu.Float(0.0, 1.0, default=0.5))


def noisy(run: lu.Run) -> dict[str, float]:
    """A bowl with its bottom at 0.3; the noise is that of the split."""
    rng = np.random.default_rng([run.split_seed, round(1e6 * run.config["x"])])
    true = (run.config["x"] - 0.3) ** 2
    return {"loss": true + 0.1 * rng.normal(), "test_loss": true}


def flat(run: lu.Run) -> float:
    """Nothing matters but luck."""
    return float(np.random.default_rng([run.split_seed, round(1e6 * run.config["x"])]).normal())


# the untouched metric ----------------------------------------------------------------------------------------


def told(*pairs: tuple[float, float | None], goal: str = "min") -> lu.Study:
    study = lu.Study(SPACE, lu.Objective("loss", goal), untouched="test_loss", searcher="random")
    for loss, test in pairs:
        [trial] = study.ask()
        study.tell(trial.number, {"loss": loss} | ({} if test is None else {"test_loss": test}))
    return study


def test_overtuning_by_hand() -> None:
    study = told((5.0, 5.0), (6.0, 1.0), (4.0, 3.0), (3.0, 2.0), (2.0, 4.5))
    found = study.result().overtuning
    assert [(i.results, i.trial, i.value, i.untouched) for i in found.incumbents] == [
        (1, 0, 5.0, 5.0),
        (3, 2, 4.0, 3.0),
        (4, 3, 3.0, 2.0),
        (5, 4, 2.0, 4.5),
    ]
    assert found.amount == 2.5  # 4.5 against 2, the best incumbent: trial 1 was none
    assert found.share == pytest.approx(2.5 / 3.0)  # of 5 - 2, which had been won
    assert found.against_default == -0.5


def test_overtuning_of_a_maximised_objective() -> None:
    found = told((0.5, 0.5), (0.6, 0.7), (0.7, 0.4), goal="max").overtuning
    assert found.amount == pytest.approx(0.3)
    assert found.share == pytest.approx(1.5)
    assert found.against_default == pytest.approx(0.1)


def test_overtuning_needs_two_and_says_when_nothing_was_won() -> None:
    assert told((1.0, 1.0)).overtuning is None
    assert told((1.0, None), (0.5, None)).overtuning is None
    lost = told((1.0, 1.0), (0.5, 2.0)).overtuning
    assert (lost.amount, lost.share, lost.against_default) == (1.0, None, 1.0)


def test_a_trial_that_another_rule_chose_ends_the_row() -> None:
    trials = [Trial(n, Configuration(x=0.1 * n), Status.COMPLETED, metrics={"loss": v}, untouched=t)
              for n, (v, t) in enumerate([(3.0, 3.0), (1.0, 5.0), (2.0, 2.0)])]  # fmt: skip
    found = overtuning(trials, Problem(SPACE, (Objective("loss"),)), trials[2])
    assert [one.trial for one in found.incumbents] == [0, 1, 2]
    assert found.amount == 0.0


def test_nothing_that_decides_is_shown_the_untouched_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    heard, checked, learnt = Median.on_report, Plateau.check, Median.tell

    def on_report(self: Median, report: Any) -> Any:
        seen.append(report)
        return heard(self, report)

    def check(self: Plateau, history: Any) -> Any:
        seen.extend((t.metrics, t.reports, t.repeats) for t in history.trials.values())
        return checked(self, history)

    def tell(self: Median, observations: Any) -> None:
        seen.extend(observations)
        learnt(self, observations)

    monkeypatch.setattr(Median, "on_report", on_report)
    monkeypatch.setattr(Median, "tell", tell)
    monkeypatch.setattr(Plateau, "check", check)

    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            run.report(loss=run.config["x"] + 1 / epoch, secret=12345.678)

    study = lu.Study(SPACE, fidelity=("epoch", 1, 4), untouched="secret", scheduler="median", searcher="random",
                     stopping=[{"name": "plateau", "trials": 3, "advise": True}])  # fmt: skip
    study.run(train, trials=12)
    assert len(seen) > 30
    assert "secret" not in repr(seen)
    assert "12345" not in repr(seen)
    assert study.best.untouched == 12345.678
    assert study.frame()["untouched"][study.best.number] == 12345.678


def test_what_is_untouched_changes_no_decision() -> None:
    def run(value: float) -> list[Configuration]:
        study = lu.Study(SPACE, untouched="t", searcher="tpe", seed=3)
        study.run(lambda run: {"loss": run.config["x"], "t": value * run.config["x"]}, trials=25)
        return [trial.config for trial in study.trials]

    assert run(1.0) == run(-7.0)


def test_the_untouched_metric_is_averaged_over_repeats() -> None:
    study = lu.Study(SPACE, untouched="t", repeats=3, searcher="random")
    study.run(lambda run: {"loss": 1.0, "t": float(run.repeat)}, trials=2)
    assert [t.untouched for t in study.trials] == [1.0, 1.0]
    assert set(study.trials[0].metrics) == {"loss"}


@pytest.mark.parametrize(
    "more",
    [
        {"untouched": "loss"},
        {"untouched": "epoch", "fidelity": ("epoch", 1, 3)},
        {"untouched": "size", "constraints": [("size", 1.0)]},
        {"incumbent": "luckiest"},
        {"incumbent": "single", "objectives": ["loss", "size"]},
        {"incumbent": "guarded", "fidelity": ("epoch", 1, 3), "scheduler": "asha"},
    ],
)
def test_what_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        lu.Study(SPACE, **more)


def test_a_study_is_opened_with_the_same_choice(tmp_path: Any) -> None:
    lu.Study(SPACE, folder=tmp_path / "s", untouched="t", reshuffle=True, incumbent="single").close()
    with lu.Study.open(tmp_path / "s") as again:
        assert again.untouched == "t"
        assert again._definition.selection.incumbent == "single"
    with pytest.raises(SpaceError, match="selection"):
        lu.Study(SPACE, folder=tmp_path / "s", untouched="t", incumbent="single")


# split seeds -------------------------------------------------------------------------------------------------


def splits(**more: Any) -> tuple[lu.Study, list[int]]:
    seen: list[int] = []
    study = lu.Study(SPACE, searcher="random", **more)
    study.run(lambda run: seen.append(run.split_seed) or run.config["x"], trials=5)
    return study, seen


def test_split_seeds() -> None:
    study, same = splits()
    assert len(set(same)) == 1
    assert [t.split_seed for t in study.trials] == same
    assert set(splits(seed=1)[1]) != set(same)
    shuffled, own = splits(reshuffle=True)
    assert len(set(own)) == 5
    assert own == splits(reshuffle=True)[1]
    assert [t.split_seed for t in shuffled.trials] == own
    assert [e.data["split_seed"] for e in shuffled.events() if e.kind == "asked"] == own
    assert len(set(splits(reshuffle=True, repeats=2)[1])) == 10
    assert len(set(splits(repeats=2)[1])) == 1
    assert shuffled.replay().differences == []


def test_a_clone_keeps_the_split_that_its_checkpoint_has_learnt_from(tmp_path: Any) -> None:
    def train(run: lu.Run) -> None:
        for step in run.resources():
            with run.save() as folder:
                (folder / "x").write_text("x")
            run.report(loss=run.config["x"] + run.split_seed * 0.0, step=step)

    study = lu.Study(SPACE, fidelity=("step", 1, 12), scheduler={"name": "pbt", "population": 4}, reshuffle=True,
                     folder=tmp_path / "p", defaults_first=False)  # fmt: skip
    study.run(train, trials=8)
    clones = [t for t in study.trials if t.parent is not None]
    assert clones
    assert all(t.split_seed == study.trials[t.parent].split_seed for t in clones)


# rules -------------------------------------------------------------------------------------------------------


def chosen(rule: str, **more: Any) -> tuple[lu.Study, lu.study.Result]:
    study = lu.Study(SPACE, untouched="test_loss", incumbent=rule, searcher="random", seed=3, **more)
    return study, study.run(noisy, trials=60)


def test_rules_are_named_in_the_result() -> None:
    lowest = min(chosen("single")[1].trials, key=lambda t: t.metrics["loss"])
    study, single = chosen("single")
    assert (single.best.number, single.rule) == (lowest.number, "best single value")
    mean = chosen("posterior-mean")[1]
    assert mean.rule == "best posterior mean"
    assert "within one standard error" in chosen("one-standard-error")[1].rule
    luck = study.optimism
    assert luck.trial == lowest.number
    assert luck.amount == pytest.approx(luck.mean - luck.value)
    assert luck.amount > 0.1  # the luckiest of sixty draws with standard deviation 0.1 is off by about 0.2
    assert 0.05 < luck.noise < 0.15


def test_posterior_mean_by_hand() -> None:
    study = lu.Study(SPACE, incumbent="posterior-mean", searcher="random", defaults_first=False)
    for x in np.linspace(0.0, 1.0, 21):
        study.add({"x": float(x)}, {"loss": (x - 0.3) ** 2 + (0.05 if round(20 * x) % 2 else -0.05)})
    study.add({"x": 0.98}, {"loss": -0.06})  # the luckiest draw, in a bad place
    assert abs(study.best.config["x"] - 0.3) < 0.11
    assert study.rule == "best posterior mean"


def test_one_standard_error_by_hand() -> None:
    study = lu.Study(SPACE, incumbent="one-standard-error", searcher="random", defaults_first=False)
    for x, folds in ((0.9, (1.0, 2.0, 3.0)), (0.7, (2.0, 2.5, 3.0)), (0.55, (2.4, 2.6, 2.7)), (0.5, (2.6, 2.6, 2.7))):
        study.enqueue({"x": x})
        [trial] = study.ask()
        study.tell(trial.number, {"loss": sum(folds) / 3}, folds=folds)
    # the best has mean 2 and standard error 1 / sqrt(3) = 0.577: 2.5667 is within, 2.633 is not
    assert study.best.config["x"] == 0.55
    assert "(0.577)" in study.rule


def test_beliefs_say_nothing_of_little() -> None:
    problem = Problem(SPACE, (Objective("loss"),))
    trials = [Trial(n, Configuration(x=n / 9), Status.COMPLETED, metrics={"loss": 1.0}) for n in range(9)]
    assert beliefs(trials, problem, 0) is None
    trials[0].metrics["loss"] = 2.0
    assert beliefs(trials[:4], problem, 0) is None
    assert beliefs(trials, problem, 0) is not None


# the guard ---------------------------------------------------------------------------------------------------


def confirmations(result: Any) -> list[Trial]:
    return [trial for trial in result.trials if trial.origin == "confirm"]


def test_the_guard_measures_a_fifth_more_on_fresh_splits() -> None:
    study, result = chosen("guarded")
    again = confirmations(result)
    assert (len(result.trials), len(again)) == (72, 12)
    assert [len([t for t in again if t.config == c]) for c in {t.config for t in again}] == [6, 6]
    assert len({t.split_seed for t in again}) == 6
    assert study.trials[0].split_seed not in {t.split_seed for t in again}
    assert result.rule.startswith("guarded: ")
    assert result.best.origin != "confirm"
    assert study.replay().differences == []
    assert len(study.run(noisy, trials=60).trials) == 72  # there is nothing new to confirm
    more = study.run(noisy, trials=70)
    assert len(more.trials) == 70 + 12 + 14


def test_the_guard_keeps_the_default_where_only_luck_speaks() -> None:
    kept = [
        lu.Study(SPACE, incumbent="guarded", searcher="random", seed=s).run(flat, trials=40).best.origin == "default"
        for s in range(20)
    ]
    plain = [
        lu.Study(SPACE, incumbent="single", searcher="random", seed=s).run(flat, trials=40).best.origin == "default"
        for s in range(20)
    ]
    assert sum(kept) >= 15
    assert sum(plain) <= 3


def test_the_guard_takes_what_is_better() -> None:
    for seed in range(5):
        study = lu.Study(SPACE, incumbent="guarded", searcher="random", seed=seed)
        found = study.run(lambda run: 10 * noisy(run)["loss"] + 9 * run.config["x"], trials=40)
        assert found.best.config["x"] < 0.25
        assert "confirmed on 4 fresh splits" in found.rule


def test_the_finalist_is_the_best_though_it_was_tried_twice() -> None:
    trials = [
        Trial(n, Configuration(x=x), Status.COMPLETED, origin="default" if n == 0 else "random", metrics={"loss": v})
        for n, (x, v) in enumerate([(0.5, 3.0), (0.1, 1.0), (0.2, 2.0), (0.1, 4.0)])
    ]
    found = contenders(trials, Problem(SPACE, (Objective("loss"),)), 1)
    planned = plan(found, trials, 0)
    assert [config["x"] for config, _ in planned] == [0.5, 0.1] * 3
    assert len({split for _, split in planned}) == 3
    assert plan(found[:1], trials, 0) == []


def test_gain_and_noise_by_hand() -> None:
    default = {1: np.array([2.0]), 2: np.array([3.0]), 3: np.array([4.0]), 9: np.array([0.0])}
    best = {1: np.array([1.0]), 2: np.array([1.0]), 3: np.array([1.0])}
    gain, noise = _gain(default, best)  # gains 1, 2, 3: mean 2, variance 1, factor 1/3 + 1/2; t(0.84, 2) is 1.312
    assert (gain, noise) == (2.0, pytest.approx(1.3116 * math.sqrt(5 / 6), rel=1e-4))
    folds = {1: np.array([2.0, 3.0, 4.0])}, {1: np.array([1.0, 1.0, 1.0])}
    assert _gain(*folds)[1] == pytest.approx(noise)  # three folds: one third held out, as without folds
    ten = {1: np.arange(10.0)}, {1: np.zeros(10)}
    assert _gain(*ten)[1] == pytest.approx(1.0525 * math.sqrt((0.1 + 1 / 9) * np.arange(10).var(ddof=1)), rel=1e-4)


def test_the_guard_in_a_loop_of_ask_and_tell() -> None:
    study = lu.Study(SPACE, incumbent="guarded", searcher="random", seed=1)

    def step() -> str:
        [trial] = study.ask()
        study.tell(trial.number, {"loss": trial.config["x"]})
        return trial.origin

    for _ in range(10):
        step()
    assert "not confirmed" in study.rule
    count = study.confirm()
    assert count == 6  # three rounds of two, the fewest
    assert study.confirm() == 0
    assert [step() for _ in range(count + 1)] == ["confirm"] * 6 + ["random"]
    assert study.best.config["x"] == min(t.config["x"] for t in study.trials[:10])
    assert "confirmed" in study.rule


def test_the_guard_after_a_stopping_rule() -> None:
    study = lu.Study(SPACE, incumbent="guarded", searcher="random", stopping=[{"name": "plateau", "trials": 8}])
    result = study.run(noisy)
    assert len(confirmations(result)) == 6
    assert result.reason.startswith("stopping rule 'plateau': the last 8 trials have improved")
    assert [(v["rule"], v["stop"]) for v in result.verdicts] == [("plateau", True)]
    spent = lu.Study(SPACE, incumbent="guarded", searcher="random", stopping=[{"name": "budget", "trials": 20}])
    assert len(spent.run(noisy).trials) == 20  # what is granted is granted


def test_the_guard_survives_a_death(tmp_path: Any) -> None:
    def dies(run: lu.Run) -> dict[str, float]:
        if run.number == 24:
            raise KeyboardInterrupt
        return noisy(run)

    study = lu.Study(SPACE, incumbent="guarded", searcher="random", folder=tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        study.run(dies, trials=20)
    study.close()
    with lu.Study.open(tmp_path / "s") as again:
        result = again.run(noisy, trials=20)
        assert len(confirmations(result)) == 6
        assert all(t.status is Status.COMPLETED for t in result.trials)
        assert "fresh splits" in result.rule
        assert again.replay().differences == []


def test_the_guard_without_a_default_takes_the_best_mean() -> None:
    study = lu.Study(SPACE, incumbent="guarded", searcher="random", defaults_first=False)
    result = study.run(noisy, trials=20)
    assert len({t.config for t in confirmations(result)}) == 2
    assert "best mean on fresh splits" in result.rule
