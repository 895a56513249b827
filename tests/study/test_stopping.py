"""Rules that end a study: when they are asked, what is kept, and how a study goes on in spite of them."""

import itertools

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError, UnsupportedError
from luthier.base.records import Status
from luthier.base.registry import load
from luthier.stopping import plateau as plateau_file
from luthier.stopping._base import StoppingRule, Verdict

SPACE = lu.Space(x=lu.Float(0.0, 1.0))


def bowl(run):
    return (run.config["x"] - 0.3) ** 2


def study(*rules, **more):
    return lu.Study(SPACE, "loss", searcher="random", stopping=list(rules), **more)


def test_plateau_by_hand():
    found = study({"name": "plateau", "trials": 3})
    for value in (5.0, 4.0, 4.5, 4.0, 3.9, 4.0, 4.0):
        [trial] = found.ask()
        found.tell(trial.number, {"loss": value})
        assert found.stopped is None
    [trial] = found.ask()
    found.tell(trial.number, {"loss": 3.9})  # as good as the best is no improvement
    assert found.stopped == "stopping rule 'plateau': the last 3 trials have improved 'loss' by 0"


def test_a_run_ends_and_goes_on_only_when_told_to():
    found = study({"name": "budget", "trials": 7})
    assert found.run(bowl, trials=60).reason == "stopping rule 'budget': 7 of 7 trials are used"
    again = found.run(bowl, trials=60)
    assert len(again.trials) == 7
    assert "stopping=False" in again.reason
    assert len(found.run(bowl, trials=20, stopping=False).trials) == 20


def test_a_rule_is_a_budget():
    assert len(study({"name": "budget", "trials": 4}).run(bowl).trials) == 4
    with pytest.raises(ArgumentError, match="without a budget"):
        study("plateau").run(bowl, stopping=False)


def test_advice_lets_the_study_go_on():
    found = study({"name": "plateau", "trials": 3, "advise": True})
    assert len(found.run(bowl, trials=40).trials) == 40
    assert found.stopped is None
    says = [verdict["stop"] for verdict in found.verdicts]
    assert says[0]
    assert all(a is not b for a, b in itertools.pairwise(says))  # only what is new is kept


def test_a_target_stops_what_runs():
    def slow(run):
        for epoch in run.resources():
            run.report(loss=1.0 / epoch, epoch=epoch)

    found = lu.Study(SPACE, "loss", fidelity=("epoch", 1, 50), stopping=[{"name": "target", "value": 0.1}])
    result = found.run(slow, trials=5)
    assert [t.status for t in result.trials] == [Status.STOPPED]
    assert result.trials[0].resource == 10


def test_resume_knows_the_verdict(tmp_path):
    first = study({"name": "budget", "trials": 3}, folder=tmp_path / "s")
    first.run(bowl, trials=10)
    first.close()
    with lu.Study.open(tmp_path / "s") as again:
        assert "3 of 3 trials" in again.stopped
        assert len(again.run(bowl, trials=10).trials) == 3
    with pytest.raises(SpaceError, match="stopping"):
        study({"name": "budget", "trials": 4}, folder=tmp_path / "s")


def test_any_and_all():
    either = study({"name": "any", "rules": [{"name": "plateau", "trials": 90}, {"name": "budget", "trials": 5}]})
    assert len(either.run(bowl, trials=60).trials) == 5
    both = study({"name": "all", "rules": [{"name": "plateau", "trials": 2}, {"name": "budget", "trials": 12}]})
    assert 12 <= len(both.run(bowl, trials=60).trials) < 60


def test_several_within_several_keep_their_own_verdicts():
    """An outer rule's evidence is its rules', not that of the inner one that stopped."""
    inner = {"name": "all", "rules": [{"name": "plateau", "trials": 2}]}
    rules = [{"name": "any", "rules": [inner, {"name": "budget", "trials": 30}], "advise": True}]
    found = study(*rules)
    assert len(found.run(bowl, trials=40).trials) == 40
    stopped = [v for v in found.verdicts if v["stop"]]
    assert all(len(v["rules"]) == 2 for v in found.verdicts)
    assert stopped[0]["reason"].startswith("all: plateau: ")
    assert [(rule["stop"], len(rule.get("rules", ()))) for rule in stopped[0]["rules"]] == [(True, 1), (False, 0)]


def test_several_rules_have_the_least_share_of_the_time():
    rules = ["plateau", {"name": "regret", "epsilon": 0.1, "share": 0.01}, {"name": "pi", "share": 0.05}]
    problem = study().problem
    made = load("stopping", "any")(problem, seed=0, rules=[{"name": "plateau", "trials": 9}, *rules[1:]])
    assert made.share == 0.01
    assert load("stopping", "any")(problem, seed=0, rules=[{"name": "plateau", "trials": 9}]).share is None


def test_a_cost_that_nobody_reports_is_refused():
    found = study({"name": "budget", "cost": 5.0, "metric": "eurs"})
    result = found.run(lambda run: {"loss": bowl(run), "euros": 1.0}, trials=20)
    assert len(result.trials) == 1
    assert "no trial has reported 'eurs', so that it would never be used up. Did you mean 'euros'?" in result.reason


def test_a_cost_that_is_reported_somewhere_is_known():
    def train(run):
        run.report(loss=1.0, euros=1.0)
        run.report(loss=0.5)

    found = study({"name": "budget", "cost": 5.0, "metric": "euros"}, repeats=3)
    found.add({"x": 0.5}, {"loss": 0.3})
    found.add({"x": 0.6}, {"loss": 0.3, "euros": 1.0})
    assert found.stopped is None
    assert not any(v["stop"] for v in found.verdicts)
    assert len(found.run(train, trials=4).trials) == 2 + 2, "three euros each, and one that was added"


def test_a_budget_counts_the_cost_of_every_repetition():
    found = study({"name": "budget", "cost": 6.0, "metric": "euros"}, repeats=3)
    result = found.run(lambda run: {"loss": bowl(run), "euros": 1.0}, trials=20)
    assert len([t for t in result.trials if t.status.ended]) == 2


def test_budget_counts_what_is_trained():
    def train(run):
        for epoch in run.resources():
            run.report(loss=1.0 / epoch, euros=0.5 * epoch, epoch=epoch)

    trained = lu.Study(SPACE, "loss", fidelity=("epoch", 1, 4), stopping=[{"name": "budget", "resource": 10}])
    assert [t.resource for t in trained.run(train, trials=9).trials] == [4, 4, 2]
    money = {"name": "budget", "cost": 3.0, "metric": "euros"}
    paid = lu.Study(SPACE, "loss", fidelity=("epoch", 1, 4), stopping=[money])
    assert [t.resource for t in paid.run(train, trials=9).trials] == [4, 2]


def test_plateau_of_the_hypervolume():
    rule = {"name": "plateau", "trials": 2}
    found = lu.Study(SPACE, ["a", "b"], searcher="random", stopping=[rule])
    for a, b in ((1.0, 1.0), (0.0, 3.0), (3.0, 0.0), (0.5, 0.5)):
        [trial] = found.ask()
        found.tell(trial.number, {"a": a, "b": b})
    assert found.stopped is None  # (0.5, 0.5) dominates more
    for a, b in ((2.0, 2.0), (0.6, 0.6)):
        [trial] = found.ask()
        found.tell(trial.number, {"a": a, "b": b})
    assert found.stopped is not None


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["platau"], "plateau"),
        (["target"], "value"),
        (["budget"], "without a budget"),
        ([{"name": "plateau", "trial": 3}], "trials"),
        ([{"name": "plateau", "trials": 0}], "at least 1"),
        ([{"trials": 3}], "no name"),
        ([{"name": "any"}], "a list of rules"),
        ([{"name": "budget", "cost": 3.0}], "belong together"),
        ([{"name": "budget", "resource": 3.0}], "no fidelity"),
        ("plateau", "a list of rules"),
    ],
)
def test_bad_rules_are_refused_at_once(rules, words):
    with pytest.raises(ArgumentError, match=words):
        lu.Study(SPACE, "loss", stopping=rules)


def test_a_rule_that_cannot_says_so():
    with pytest.raises(UnsupportedError, match="multi objective"):
        lu.Study(SPACE, ["a", "b"], searcher="random", stopping=[{"name": "target", "value": 1}])


def test_replay_says_the_same_and_notices_another_word(monkeypatch):
    found = study({"name": "plateau", "trials": 4, "advise": True}, "plateau")
    found.run(bowl, trials=40)
    replay = found.replay()
    assert replay.verdicts > 0
    assert not replay.differences
    monkeypatch.setattr(plateau_file.Plateau, "check", lambda self, history: Verdict(False, "never"))
    assert found.replay().differences


def test_a_rule_may_not_take_more_than_its_share(monkeypatch):
    """The first check takes far more than the trials do, so no second one is made; that is kept, once."""

    class Dear(StoppingRule):
        traces = True
        share = 0.02

        def check(self, history):
            return Verdict(False, "looked")

    monkeypatch.setattr("luthier.study._definition.build", lambda problem, rule, *, seed: Dear(problem, seed=seed))
    found = study("plateau")
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr("luthier.study._judge.time.perf_counter", lambda: float(next(clock)))
    found.run(bowl, trials=10)
    assert [verdict["skipped"] for verdict in found.verdicts] == [False, True]


def test_running_trials_are_let_finish(tmp_path):
    """A rule that does not cancel ends the study when what was begun has come to its end."""
    found = study({"name": "plateau", "trials": 3})
    with_workers = found.run(_same, trials=30, workers=2, executor="processes")
    assert {t.status for t in with_workers.trials} == {Status.COMPLETED}
    assert len(with_workers.trials) < 30


def _same(run):
    return 1.0


def test_a_costly_rule_does_not_switch_off_those_beside_it():
    rules = [{"name": "regret", "epsilon": 1e-9, "advise": False}, {"name": "budget", "trials": 30}]
    found = study({"name": "any", "rules": rules})
    found.run(bowl, trials=60)
    assert (len(found.trials), found.stopped) == (30, "stopping rule 'any': budget: 30 of 30 trials are used")
    assert found.replay().differences == []


def test_a_verdict_that_stands_is_one_check():
    def train(run):
        for epoch in run.resources():
            run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)

    inner = {"name": "log-ei", "patience": 4, "share": None, "relative": 0.9, "first": 5, "advise": False}
    counts = []
    for rules in ([inner], [{"name": "any", "rules": [inner, {"name": "target", "value": -100.0}]}]):
        found = study(*rules, fidelity=("epoch", 1, 4))
        found.run(train, trials=40)
        assert found.stopped is not None
        counts.append(len(found.trials))
    assert counts[0] == counts[1]


def test_a_target_that_was_reached_stays_reached(tmp_path):
    rules = [{"name": "target", "value": 0.5}, {"name": "budget", "trials": 6}]
    path = tmp_path / "s.db"
    with study({"name": "all", "rules": rules}, storage=f"sqlite:///{path}", name="s") as found:
        for value in (0.9, 0.4, 0.9):
            [trial] = found.ask()
            found.tell(trial.number, {"loss": value})
    with lu.Study.open(path, "s") as found:
        for value in (0.9, 0.9, 0.9):
            assert found.stopped is None
            [trial] = found.ask()
            found.tell(trial.number, {"loss": value})
        assert found.stopped is not None
        assert "trial 1 has reached loss=0.5" in found.stopped
        assert found.replay().differences == []


def test_advice_is_no_budget():
    found = study({"name": "budget", "trials": 3, "advise": True})
    with pytest.raises(ArgumentError, match=r"this space never ends \('budget' only advises\)"):
        found.run(bowl)


@pytest.mark.parametrize("advise", ["false", 1, None])
def test_a_flag_is_true_or_false(advise):
    with pytest.raises(ArgumentError, match=r"advise=.*Allowed: True or False"):
        study({"name": "plateau", "advise": advise})
