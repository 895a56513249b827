"""`auto` with earlier tasks: what comes first, who goes on, and why."""

import luthier as lu
from luthier.base.records import Configuration, Objective, Observation
from luthier.searchers.auto import Auto
from luthier.space.problem import PastTask, Problem

SPACE = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))


def task(order, best):
    told = tuple(
        Observation(i, Configuration(x=x, y=0.5), None, ((x - best) ** 2,)) for i, x in enumerate((0.1, 0.4, 0.7, 0.9))
    )
    return PastTask(f"t{order}", order, SPACE, (Objective("loss"),), told)


def test_the_best_of_the_last_two_come_first():
    auto = Auto(Problem(SPACE, (Objective("loss"),), past=(task(0, 0.1), task(1, 0.4), task(2, 0.7))), seed=0)
    assert auto.why == "task-gp: 3 earlier tasks with 12 trials, the best of the last 2 first"
    assert [c["x"] for c in auto.ask(2, k=0)] == [0.7, 0.4]
    assert len({*auto.ask(4, k=0)}) == 4
    auto.tell([Observation(0, Configuration(x=0.7, y=0.5), None, (0.2,))])
    assert auto.ask(k=1)[0]["x"] == 0.4
    assert auto.ask(k=2, pending=[Configuration(x=0.4, y=0.5)])[0]["x"] not in (0.4, 0.7)


def test_several_objectives_have_the_past_first_and_the_process_then():
    objectives = (Objective("a"), Objective("b"))
    told = tuple(Observation(i, Configuration(x=x, y=0.5), None, (x, 1 - x)) for i, x in enumerate((0.9, 0.2)))
    past = (PastTask("t", 0.0, SPACE, objectives, told),)
    auto = Auto(Problem(SPACE, objectives, past=past), seed=0)
    assert auto.choice.name == "gp"
    assert auto.ask(k=0)[0]["x"] == 0.2


def test_a_study_says_who_learns_from_its_past():
    older = lu.Study(SPACE, "loss", searcher="random")
    older.run(lambda run: (run.config["x"] - 0.3) ** 2, trials=8)
    study = lu.Study(SPACE, "loss", past=[older])
    study.run(lambda run: (run.config["x"] - 0.35) ** 2, trials=6)
    assert "1 earlier task with 8 trials" in study.searcher_words
    assert study.trials[1].config == older.best.config
    assert [trial.origin for trial in study.trials] == ["default", "past", "past", *["auto"] * 3]
    assert not study.replay().differences
