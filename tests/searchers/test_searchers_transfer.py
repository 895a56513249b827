"""Searchers that propose from earlier tasks: without a past, with a poor one, replayed, and when it leads astray."""

import math
from dataclasses import replace

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Objective, Observation, Status
from luthier.base.registry import load
from luthier.models import smooth_net
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers.transfer._history import earlier_tasks
from luthier.searchers.transfer._trust import Trust, compare, expected
from luthier.searchers.transfer.rgpe import ranking_weights
from luthier.space.problem import PastTask, Problem
from luthier.testing.searcher import CHECKS

NAMES = ("simple-ordered", "simple-previous", "bounding-box", "zero-shot", "cts", "gcp", "rgpe")
LOSS = (Objective("loss"),)
OWN = {"cts": {"candidates": 2000}}  # as quick as can be
SPACE = lu.Space(
    lr=lu.Float(1e-4, 1.0, log=True),
    opt=lu.Choice("sgd", "adam", "lion"),
    momentum=lu.Float(0.0, 0.9, when=("opt", "sgd")),
    width=lu.Int(4, 64),
)


def loss(config, shift=0.0):
    found = (math.log10(config["lr"]) + 2 + shift) ** 2 + config.get("momentum", 0.5) + "lsa".index(config["opt"][0])
    return found + (config["width"] - 30) ** 2 / 1000


def past(tasks=3, trials=10, space=SPACE, metric=loss):
    found = []
    for order in range(tasks):
        configs = space.sample(trials, np.random.default_rng(order))
        told = tuple(Observation(i, c, None, (10.0**order * metric(c, 0.1 * order),)) for i, c in enumerate(configs))
        found.append(PastTask(f"t{order}", float(order), space, LOSS, told))
    return tuple(found)


def studied(name, problem, trials, metric=loss, seed=0):
    """What was told of a study, and its searcher."""
    one = load("searcher", name)(problem, seed=seed, **OWN.get(name, {}))
    told = []
    for k in range(trials):
        [config] = one.ask(k=k)
        told.append(problem.observe(k, config, {"loss": metric(config)}))
        one.tell(told[-1:])
    return told, one


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A network for which a tenth of the updates have to do."""
    monkeypatch.setattr(smooth_net, "UPDATES", 100)


@pytest.fixture(scope="module")
def plain():
    """What gp proposes without a past."""
    told, one = studied("gp", Problem(SPACE, LOSS), 7)
    return told, one.ask(2, k=7)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_past_it_is_gp(name, plain):
    told, wanted = plain
    one = load("searcher", name)(Problem(SPACE, LOSS), seed=0)
    for observation in told:
        assert one.ask(k=observation.trial) == [observation.config]
        one.tell([observation])
    assert one.ask(2, k=7) == wanted
    assert one.why == "as gp: no earlier task has a trial to learn from"
    assert one.diagnostics()["fallback"] == one.why


@pytest.mark.parametrize("name", NAMES)
def test_a_study_with_a_past_replays(name, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    how = {"name": name, **OWN.get(name, {})}
    with lu.Study(SPACE, "loss", searcher=how, storage=url, name="s", past=past()) as study:
        study.run(lambda run: loss(run.config), trials=4)
    with lu.Study.open(url, "s") as again:  # resumed: the searcher is built anew from the log
        again.run(lambda run: loss(run.config), trials=8)
        assert again.replay().differences == []
        assert again.trials[0].origin == "default"
        assert "earlier task" in again.searcher_words
        warm = name in ("simple-ordered", "simple-previous", "rgpe")
        assert again.trials[1].origin == ("past" if warm else name)


@pytest.mark.parametrize("name", NAMES)
def test_pending_ones_are_not_proposed_again(name):
    one = load("searcher", name)(Problem(SPACE, LOSS, past=past()), seed=0)
    first = one.ask(6, k=0)
    assert len(set(first)) == 6
    assert one.ask(k=0) == first[:1]
    assert one.ask(2, k=4, pending=first[:4]) == first[4:]


class Recalling:
    """Gives the problems of the contract battery a past."""

    def __init__(self, problem, *, seed, **own):
        told = problem.space.sample(6, np.random.default_rng(5))
        tasks = []
        for order in range(3):
            values = np.random.default_rng(order).random(len(told))
            seen = (Observation(i, c, None, (float(v),)) for i, (c, v) in enumerate(zip(told, values, strict=True)))
            tasks.append(PastTask(str(order), float(order), problem.space, problem.objectives, tuple(seen)))
        super().__init__(replace(problem, past=tuple(tasks)), seed=seed, **own)


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in CHECKS if c.__name__ not in ("check_process", "check_better")])
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_holds_with_a_past(name, check):
    if check.__name__ == "check_supports" and name in ("zero-shot", "cts"):
        pytest.skip("results change nothing there while they do not speak against the past")
    check(type("Recalling", (Recalling, load("searcher", name)), {}), {})


# -- a poor past -------------------------------------------------------------------------------------------------------


def changed(task, change):
    return replace(task, observations=tuple(map(change, task.observations)))


def poor(kind):
    """Two tasks of which something is wrong."""
    first, second = past(2)
    told = first.observations
    changes = {
        "all equal": lambda o: replace(o, values=(1.0,)),
        "all failed": lambda o: replace(o, values=(), status=Status.FAILED),
        "huge": lambda o: replace(o, values=(o.values[0] * 1e300,)),
        "one configuration": lambda o: replace(o, config=told[0].config),
        "some infinite": lambda o: replace(o, values=(math.inf if o.trial == 0 else o.values[0],)),
    }
    if kind in changes:
        return changed(first, changes[kind]), changed(second, changes[kind])
    return (first,) if kind == "one task" else (replace(first, observations=told[:1]),)


@pytest.mark.parametrize(
    "kind", ["one task", "one trial", "all equal", "one configuration", "all failed", "some infinite", "huge"]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_poor_past_is_survived(name, kind):
    problem = Problem(SPACE, LOSS, past=poor(kind))
    told, one = studied(name, problem, 4)
    for observation in told:
        assert SPACE.check(observation.config) == observation.config
    assert len({observation.config for observation in told}) == 4
    assert (one.why == "as gp: no earlier task has a trial to learn from") is (kind == "all failed")
    if name == "bounding-box" and kind in ("one task", "one trial"):
        assert one.why == "as gp: 1 earlier task of the 2 needed"
    if name == "bounding-box" and kind == "one configuration":
        assert one.why == "as gp: 2 earlier tasks have one best configuration in common"


@pytest.mark.parametrize("name", NAMES)
def test_spaces_that_differ(name):
    """momentum is gone, depth is new, and most widths lie outside."""
    today = lu.Space(
        lr=lu.Float(1e-5, 1.0, log=True), opt=lu.Choice("sgd", "adam", "lion"), width=lu.Int(20, 40), depth=lu.Int(1, 3)
    )
    problem = Problem(today, LOSS, past=past(3, 20))
    told, _ = studied(name, problem, 4, lambda c: loss(c) + c["depth"])
    assert all(today.check(observation.config) == observation.config for observation in told)


def test_what_was_infeasible_before_does_not_come_first():
    bounds = (Constraint("size", 0.0),)
    told = tuple(
        Observation(i, Configuration(lr=lr, opt="adam", width=8), None, (value,), (violation,))
        for i, (lr, value, violation) in enumerate([(0.1, 0.0, 1.0), (0.2, 1.0, -1.0), (0.3, 2.0, 0.0)])
    )
    problem = Problem(SPACE, LOSS, bounds, past=(PastTask("t", 0.0, SPACE, LOSS, told),))
    for name in ("simple-ordered", "simple-previous", "zero-shot"):
        assert load("searcher", name)(problem, seed=0).ask(k=0)[0]["lr"] == 0.2


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("simple-ordered", {"points": 0}, "points=0. Allowed: a whole number and at least 1."),
        ("simple-previous", {"points": 2.5}, "points=2.5. Allowed: a whole number and at least 1."),
        ("cts", {"regressor": "tree"}, "regressor='tree'. Did you mean 'trees'?"),
        ("cts", {"candidates": 0}, "candidates=0. Allowed: a whole number and at least 1."),
        ("gcp", {"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ("rgpe", {"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
    ],
)
def test_bad_options(name, own, message):
    with pytest.raises(ArgumentError) as caught:
        load("searcher", name)(Problem(SPACE, LOSS), seed=0, **own)
    assert str(caught.value) == message


# -- whether earlier tasks are trusted ---------------------------------------------------------------------------------

LINE = lu.Space(x=lu.Float(0.0, 1.0))


def test_trust_by_hand():
    """Scores -1.5, -1.4, 0 and 2: all pairs but the first are clear; of these five the last two of the list's agree."""
    before = np.array([-1.5, -1.4, 0.0, 2.0])
    assert compare(before, np.array([1.0, 0.0, 2.0, 3.0])) == Trust(agree=5, against=0)
    assert compare(before, np.array([3.0, 2.0, 1.0, 0.0])) == Trust(agree=0, against=5)
    mixed = compare(before, np.array([3.0, 4.0, 1.0, 5.0]))
    assert mixed == Trust(agree=3, against=2)
    assert not mixed.broken
    assert compare(before, np.array([7.0, 7.0, 7.0, 7.0])) == Trust(), "ties say nothing"
    assert not Trust(0, 1).broken, "once may be bad luck"
    assert Trust(1, 2).broken
    assert str(Trust(1, 2)) == "2 of 3 clear comparisons speak against them"


def test_expected_scores_are_those_of_the_task_or_of_neighbours():
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    told = tuple(Observation(i, Configuration(x=i / 4), None, (v,)) for i, v in enumerate(values))
    problem = Problem(LINE, LOSS, past=(PastTask("t", 0.0, LINE, LOSS, told),))
    score = expected(earlier_tasks(problem), KernelFeatures(LINE), np.array([[0.0], [0.5], [0.625]]))
    from scipy.stats import norm

    np.testing.assert_allclose(score[:2], norm.ppf([1 / 6, 3 / 6]), atol=1e-6)
    assert score[1] < score[2] < norm.ppf(4 / 6)


def valley(order, centre, trials=20):
    xs = np.random.default_rng(order).random(trials)
    told = tuple(Observation(i, Configuration(x=float(x)), None, ((float(x) - centre) ** 2,)) for i, x in enumerate(xs))
    return PastTask(f"t{order}", float(order), LINE, LOSS, told)


@pytest.mark.parametrize("name", NAMES)
def test_a_past_that_leads_astray_is_left(name):
    """The valley was at 0.1 and is at 0.8; the default, in the middle, is enough to tell."""
    tasks = tuple(valley(order, 0.1) for order in range(4))
    study = lu.Study(LINE, "loss", searcher={"name": name, **OWN.get(name, {})}, past=tasks)
    study.run(lambda run: (run.config["x"] - 0.8) ** 2, trials=15)
    near = min(abs(trial.config["x"] - 0.8) for trial in study.trials)
    assert near < 0.01
    found = study.diagnostics()
    if name == "rgpe":
        assert found["weight_today"] > 0.9
        return
    assert "lead astray" in study.searcher_words or "at the rim" in study.searcher_words
    assert found["fallback"]


def test_a_copy_of_the_last_task_is_never_left():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        centre = rng.random()
        problem = Problem(LINE, LOSS, past=(valley(seed, centre),))
        one = load("searcher", "simple-previous")(problem, seed=seed)
        for k in range(8):
            [config] = [LINE.default()] if k == 0 else one.ask(k=k)
            one.tell([problem.observe(k, config, {"loss": (config["x"] - centre) ** 2})])
            assert "lead astray" not in one.why


# -- rgpe --------------------------------------------------------------------------------------------------------------


def test_ranking_weights():
    """Three trials. The first process ranks as they are, the second the other way round, today's has one pair wrong."""
    right, reverse = np.zeros((3, 3)), np.ones((3, 3)) - np.eye(3)
    today = np.zeros((3, 3))
    today[0, 1] = today[1, 0] = 1.0
    weights = ranking_weights(np.stack([right, reverse, today]), np.random.default_rng(0))
    # today's ties with the first where a sample lacks one of its two trials: 1 - P(both are in it) = 15/27
    assert weights == pytest.approx([12 / 27, 0.0, 15 / 27], abs=0.1)
    assert ranking_weights(np.stack([right, right, today]), np.random.default_rng(0))[:2].sum() == pytest.approx(
        weights[0]
    )
    assert weights.sum() == pytest.approx(1.0)


def test_many_useless_tasks_dilute_less_with_the_guard():
    """200 tasks that rank at random, one of which is right by chance in some samples; today's process is a good one."""
    n, shares = 12, []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y = rng.random(n)
        ranked = [*rng.random((200, n)), y + 0.1 * rng.standard_normal(n)]
        wrong = np.stack([((z[:, None] < z) != (y[:, None] < y)).astype(float) for z in ranked])
        shares.append([ranking_weights(wrong, np.random.default_rng(1), drop=drop)[-1] for drop in (True, False)])
    guarded, plain = np.mean(shares, axis=0)
    assert guarded > 0.5
    assert guarded > plain + 0.1


def test_a_first_proposal_that_was_tried_is_not_made_again():
    problem = Problem(SPACE, LOSS, past=past())
    first = load("searcher", "task-gp")(problem, seed=0).ask(k=0)
    searcher = load("searcher", "task-gp")(problem, seed=0)
    searcher.tell([Observation(0, first[0], None, (), (), Status.STOPPED)])  # over, without a result
    assert searcher.ask(k=1) != first


@pytest.mark.parametrize("worst", [10.0, 1e8])
def test_zero_shot_survives_a_tenth_of_diverged_losses(worst):
    space = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0), z=lu.Float(0.0, 1.0))

    def bowl(config):
        return (config["x"] - 0.7) ** 2 + (config["y"] - 0.2) ** 2 + (config["z"] - 0.4) ** 2

    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tasks = []
        for task in range(6):
            configs = space.sample(25, rng)
            losses = [worst if rng.random() < 0.1 else bowl(config) for config in configs]
            told = tuple(Observation(i, c, None, (v,)) for i, (c, v) in enumerate(zip(configs, losses, strict=True)))
            tasks.append(PastTask(f"t{task}", float(task), space, (Objective("loss"),), told))
        problem = Problem(space, (Objective("loss"),), past=tuple(tasks))
        found.append(bowl(load("searcher", "zero-shot")(problem, seed=seed).ask(k=0)[0]))
    assert np.mean(found) < 0.15  # a random configuration: 0.3; with values standardised as they are 0.2 and 0.45


@pytest.mark.parametrize("name", ["simple-ordered", "simple-previous"])
@pytest.mark.parametrize(("points", "random"), [(2, 1), (3, 0), (5, 0), (8, 0), (20, 0)])
def test_random_ones_fill_up_only_what_is_lacking(name, points, random):
    problem = Problem(SPACE, (Objective("loss"),), past=past(tasks=6, trials=8))
    searcher = load("searcher", name)(problem, seed=0, points=points, guard=False)
    plain = load("searcher", "random")(problem, seed=0)
    drawn = 0
    for k in range(min(points, 8) + 4):
        [config] = searcher.ask(k=k)
        drawn += config == plain.ask(k=k)[0]
        searcher.tell([Observation(k, config, None, (loss(config),))])
    assert drawn == random


@pytest.mark.parametrize(
    ("name", "flag"),
    [("simple-previous", "replay"), ("simple-ordered", "shuffled"), ("rgpe", "guard"), ("abrac", "retrain"),
     ("transfer-bo", "reference"), ("zero-shot", "reference_compat")],
)  # fmt: skip
def test_a_text_is_no_flag(name, flag):
    problem = Problem(SPACE, (Objective("loss"),), past=past())
    with pytest.raises(ArgumentError, match=rf"{flag}='false'\. Allowed: True or False"):
        load("searcher", name)(problem, seed=0, **{flag: "false"})
