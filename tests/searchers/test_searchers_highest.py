"""The measurements at the highest resource that has enough of them, by hand and against an oracle."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.searchers._highest import Highest, _behind, level_of, tells, trials_of
from luthier.searchers._latest import Latest, Record
from luthier.space.problem import PastTask, Problem

SPACE = lu.Space(x=lu.Float(0, 1))
PROBLEM = Problem(SPACE, (Objective("loss"),), (), Fidelity("epoch", 1, 27))


def told(trial, value, resource, status=Status.RUNNING):
    values = () if value is None else (value,)
    return Observation(trial, Configuration(x=trial / 100), resource, values, (), status)


def shown(highest):
    return [(round(100 * r.config["x"]), r.resource, r.values) for r in highest.snapshot.records]


def test_levels_by_hand():
    # 27 / sqrt(2) = 19.09, 27 / 2 = 13.5
    assert [level_of(r, PROBLEM) for r in (27, 20, 19, 14, 13, 1, 0.5, 30, None)] == [0, 1, 2, 2, 3, 10, 10, 0, 0]
    assert level_of(3, Problem(SPACE, (Objective("loss"),))) == 0


def test_the_highest_level_with_enough_by_hand():
    highest = Highest(PROBLEM, fewest=2)
    highest.add([told(0, 0.9, 1), told(1, 0.8, 1), told(2, 0.7, 1)])
    assert shown(highest) == [(0, 1, (0.9,)), (1, 1, (0.8,)), (2, 1, (0.7,))]
    first = highest.snapshot.number
    highest.add([told(2, 0.3, 9)])
    assert len(shown(highest)) == 3, "one at 9 is not enough"
    assert highest.snapshot.number == first, "what is not looked at changes nothing"
    highest.add([told(1, 0.5, 9)])
    assert shown(highest) == [(2, 9, (0.3,)), (1, 9, (0.5,))]
    assert highest.snapshot.number != first
    assert highest.rows()[:, 0] == pytest.approx([0.02, 0.01])
    assert highest.best(1)[0, 0] == pytest.approx(0.02)
    assert highest.trials() == [2, 1]


def five(further=(0.6, 0.7, 0.8, 0.9, 1.0)):
    """Five that went on, 0.1 apart at 1, and three that did not: behind two, behind all, and ahead of all."""
    highest = Highest(PROBLEM, fewest=5)
    highest.add([told(trial, value, 1) for trial, value in enumerate((0.1, 0.2, 0.3, 0.4, 0.5, 0.2, 0.7, 0.05))])
    highest.add([told(trial, value, 9) for trial, value in enumerate(further)])
    return highest


def test_who_is_behind_counts_with_the_worst_of_those_ahead_that_went_on():
    highest = five()
    assert shown(highest)[5:] == [(5, 1, (0.7,)), (6, 1, (1.0,))], "and of 7 nothing is known"
    assert highest.trials() == [0, 1, 2, 3, 4, 5, 6]
    assert highest.rows()[5:, 0] == pytest.approx([0.05, 0.06])
    before = highest.snapshot.number
    highest.add([told(7, 0.35, 3)])  # a level of its own, where none that went on was seen
    assert highest.trials() == [0, 1, 2, 3, 4, 5, 6]
    assert highest.snapshot.number > before, "what lies below counts too"
    highest.add([told(6, 1.2, 9)])
    assert shown(highest)[5:] == [(6, 9, (1.2,)), (5, 1, (0.7,))]


@pytest.mark.parametrize(
    "further", [(1.0, 0.9, 0.8, 0.7, 0.6), (0.8, 0.6, 1.0, 0.9, 0.7), (0.5,) * 5, (0.6, 0.7, 0.8, 0.9)]
)
def test_a_level_that_says_nothing_of_the_next_is_not_believed(further):
    """Turned round, at random, all alike, and too few."""
    highest = five(further)
    highest.add([told(8, 2.0, 9)] if len(further) < 5 else [])  # not at 1
    assert {resource for _, resource, _ in shown(highest)} == {9}


def test_the_correlation_is_corrected_for_those_that_did_not_go_on():
    """Ranks 1 to 5 of 20 went on, with a correlation of 0.6: 0.6 w / sqrt(1 - 0.36 + 0.36 w^2), w = 5.77 / 1.41."""
    here = [Record(Configuration(x=i / 100), 1.0, (float(i),), ()) for i in range(20)]
    ahead = [record._replace(values=(value,)) for record, value in zip(here, (1.0, 3.0, 2.0, 5.0, 4.0), strict=False)]
    assert tells(here, range(5), ahead)
    weak = [record._replace(values=(value,)) for record, value in zip(here, (2.0, 1.0, 5.0, 3.0, 4.0), strict=False)]
    assert tells(here, range(5), weak), "0.6 among the best five of twenty is 0.95 among all"
    assert not tells(here[:5], range(5), weak), "and 0.6 where all went on"
    assert not tells(here, range(4), ahead[:4])


def test_two_objectives_and_a_constraint_must_all_be_behind():
    here = [Record(Configuration(x=0.0), 1.0, values, violations) for values, violations in (
        ((1.0, 2.0), (0.0,)), ((2.0, 1.0), (0.5,)), ((2.0, 2.0), (0.0,)), ((3.0, 3.0), (0.6,)), ((0.5, 3.0), (0.0,)))
    ]  # fmt: skip
    ahead = [
        here[0]._replace(values=(0.4, 0.8), violations=(-0.1,)),
        here[1]._replace(values=(0.7, 0.3), violations=(-0.2,)),
    ]
    found = {place: (record.values, record.violations) for place, record in _behind(here, [2, 3, 4], [0, 1], ahead)}
    assert found == {2: ((0.4, 0.8), (-0.1,)), 3: ((0.7, 0.8), (-0.1,))}, (
        "the worst of each; nobody is ahead of 4 in all"
    )


@pytest.mark.parametrize("searcher", ["gp", "tpe"])
@pytest.mark.parametrize("kind", ["stopping", "promotion"])
def test_where_trials_are_stopped_the_search_does_not_go_again_and_again(searcher, kind):
    """Half of the space is bad at every epoch, so nothing of it gets far."""

    def train(run):
        x, z = run.config["x"], run.config["z"]
        for epoch in run.resources():
            run.report(loss=(x - 0.15) ** 2 + (z - 0.2) ** 2 + (x > 0.5) + 0.3 / epoch, epoch=epoch)

    study = lu.Study(
        lu.Space(x=lu.Float(0, 1), z=lu.Float(0, 1)),
        searcher=searcher,
        scheduler={"name": "asha", "type": kind},
        fidelity=("epoch", 1, 27),
        seed=1,
    )
    study.run(train, trials=40)
    assert sum(trial.config["x"] > 0.5 for trial in study.trials[20:]) <= 7
    assert study.replay().differences == []


def test_who_failed_is_bad_at_every_level_also_at_one_that_comes_later():
    highest = Highest(PROBLEM, fewest=2)
    highest.add([told(0, 0.9, 1), told(1, 0.8, 1), told(3, None, None, Status.FAILED)])
    assert shown(highest)[-1] == (3, None, ())
    highest.add([told(0, 0.5, 9), told(1, 0.6, 9)])
    assert shown(highest) == [(3, None, ()), (0, 9, (0.5,)), (1, 9, (0.6,))]
    highest.add([told(1, None, 10, Status.FAILED)])
    assert [values for _, _, values in shown(highest)] == [(), (0.5,), ()], "as many as at 1: the higher one"


def test_without_enough_anywhere_the_fullest_level_counts():
    highest = Highest(PROBLEM, fewest=5)
    highest.add([told(0, 0.9, 1), told(1, 0.8, 1), told(1, 0.3, 27)])
    assert [resource for _, resource, _ in shown(highest)] == [1, 1]


def test_one_by_one_and_at_once_are_the_same():
    rng = np.random.default_rng(0)
    story = [
        told(
            int(rng.integers(20)), None if rng.random() < 0.03 else float(rng.normal()), int(rng.choice([1, 3, 9, 27]))
        )
        for _ in range(300)
    ]
    story = [o if o.values else told(o.trial, None, o.resource, Status.FAILED) for o in story]
    slow, fast = Highest(PROBLEM, fewest=4), Highest(PROBLEM, fewest=4)
    for one in story:
        slow.add([one])
    fast.add(story)
    assert slow.snapshot == fast.snapshot
    assert slow.anchor == fast.anchor


def test_without_a_fidelity_it_is_the_last_value():
    problem = Problem(SPACE, (Objective("loss"),))
    highest, latest = trials_of(problem, "highest", fewest=5), trials_of(problem, "last", fewest=5)
    assert isinstance(latest, Latest)
    for trials in (highest, latest):
        trials.add([told(0, 0.5, None), told(1, None, None, Status.FAILED), told(0, 0.4, None)])
    assert highest.snapshot == latest.snapshot
    with pytest.raises(ArgumentError, match="fidelity='best'"):
        trials_of(problem, "best", fewest=5)


LEARNERS = ["gp", "rf", "bore", "tpe", "task-gp", "rgpe", "gcp"]


def learner(name):
    """A searcher that has 12 results at the full resource, and four configurations that are tried next."""
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    configs = space.sample(24, np.random.default_rng(0))
    told = [Observation(i, c, 27, (c["x"] + c["y"],), (), Status.COMPLETED) for i, c in enumerate(configs[:12])]
    cls = load("searcher", name)
    past = (PastTask("earlier", 0.0, space, PROBLEM.objectives, tuple(told)),) if cls.warms else ()
    searcher = cls(Problem(space, PROBLEM.objectives, (), PROBLEM.fidelity, past), seed=0)
    searcher.tell(told)
    return searcher, configs[12:16]


def running(configs, resource):
    return [Observation(12 + i, c, resource, (c["x"] + c["y"],), (), Status.RUNNING) for i, c in enumerate(configs)]


@pytest.mark.parametrize("name", LEARNERS)
def test_running_trials_that_have_reported_where_the_model_learns_are_not_believed_again(name):
    searcher, configs = learner(name)
    searcher.tell(running(configs, 27))
    assert searcher.ask(k=16, pending=configs) == searcher.ask(k=16)


@pytest.mark.parametrize("name", LEARNERS)
def test_running_trials_that_have_reported_only_below_are_still_waited_for(name):
    searcher, configs = learner(name)
    silent = searcher.ask(k=16, pending=configs)
    searcher.tell(running(configs, 1))
    assert searcher.ask(k=16, pending=configs) == silent


def test_who_overcame_a_failure_is_bad_at_no_level():
    highest = Highest(PROBLEM, fewest=1)
    highest.add([told(2, 0.7, 9), told(0, None, 1, Status.FAILED), told(0, 0.5, 1)])
    assert shown(highest) == [(2, 9, (0.7,))]
    before = highest.snapshot.number
    highest.add([told(0, 0.4, 13), told(1, 0.9, 27)])
    assert shown(highest) == [(1, 27, (0.9,))], "neither at a level that was there nor at one that came later"
    highest.add([told(0, None, 14, Status.FAILED)])
    assert shown(highest) == [(1, 27, (0.9,)), (0, 14, ())]
    assert highest.snapshot.number != before
    assert highest.rows()[:, 0] == pytest.approx([0.01, 0.0])


def test_a_trial_that_is_forgotten_leaves_the_rows_of_the_others():
    latest = Latest(SPACE)
    latest.add([told(0, 0.1, 27), told(1, None, 27, Status.FAILED), told(2, 0.2, 27)])
    assert len(latest.rows()) == 3
    number = latest.snapshot.number
    latest.forget_failure(0)
    assert latest.snapshot.number == number, "it has a result"
    latest.forget_failure(1)
    assert latest.trials() == [0, 2]
    assert latest.rows()[:, 0] == pytest.approx([0.0, 0.02])
    assert len(latest.rows(latest.anchor)) == 2
    assert latest.snapshot.number > number


def test_who_got_further_without_a_value_at_the_level_is_not_behind():
    highest = five()
    highest.add([told(9, 0.6, 1), told(9, 0.001, 27)])
    assert highest.trials() == [0, 1, 2, 3, 4, 5, 6]


def test_rows_of_a_snapshot_of_long_ago():
    highest, first = five(), five().snapshot
    for trial in range(10, 20):
        highest.add([told(trial, 1.0, 9)])
        assert len(highest.snapshot.records)
    assert np.array_equal(highest.rows(first), five().rows())
