"""The trial that a searcher believes in is the incumbent, where that means something."""

import pytest

import luthier as lu
from luthier.searchers.gp import Gp

SPACE = lu.Space(x=lu.Float(0, 1))


def _study(**changes):
    study = lu.Study(SPACE, "loss", searcher="gp", defaults_first=False, **changes)
    for x, loss, size in ((0.1, 3.0, 0.0), (0.5, 1.0, 0.0), (0.9, 2.0, 2.0)):
        study.add({"x": x}, {"loss": loss, "size": size})
    return study


def _believe(monkeypatch, trial):
    monkeypatch.setattr(Gp, "recommend", lambda self: trial)


def test_the_believed_trial_is_the_incumbent_and_the_rule_says_so(monkeypatch):
    study = _study()
    assert (study.best.number, study.rule) == (1, "best single value")
    _believe(monkeypatch, 2)
    assert (study.best.number, study.rule) == (2, "best posterior mean")
    result = study.result()
    assert (result.best.number, result.rule) == (2, "best posterior mean")


def test_what_is_infeasible_or_unknown_is_not_believed(monkeypatch):
    study = _study(constraints=[lu.Constraint("size", 1.0)])
    for trial in (2, 17):
        _believe(monkeypatch, trial)
        assert (study.best.number, study.rule) == (1, "best single value among feasible trials")


@pytest.mark.parametrize("changes", [{"repeats": 2}, {"fidelity": ("epoch", 1, 9)}])
def test_repeats_and_resources_go_before_belief(monkeypatch, changes):
    def forbidden(self):
        raise AssertionError("the searcher was asked")

    monkeypatch.setattr(Gp, "recommend", forbidden)
    study = lu.Study(SPACE, "loss", searcher="gp", **changes)
    assert study.best is None
    assert "posterior" not in study.rule


def test_a_noisy_study_ends_on_a_mean():
    study = lu.Study(SPACE, "loss", searcher="gp", seed=1)

    def train(run):
        noise = (run.number * 7919 % 101) / 101 - 0.5  # spread evenly over trials, no relation to x
        return {"loss": 4 * (run.config["x"] - 0.3) ** 2 + noise}

    study.run(train, trials=30)
    study.add({"x": 0.9}, {"loss": -0.55})  # the luckiest draw, in a bad place
    recommended = study._session.engine.scheduler.searcher.recommend()
    lowest = min(study.trials, key=lambda trial: trial.metrics["loss"])
    assert recommended is not None
    assert lowest.number == 30
    assert study.best.number == recommended != 30
    assert abs(study.best.config["x"] - 0.3) < 0.2
    assert study.rule == "best posterior mean"
