"""Earlier studies: how they are named, ordered, brought into today's space, and refused."""

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierWarning
from luthier.base.records import Configuration, Objective, Observation
from luthier.searchers.transfer._history import earlier_tasks, place
from luthier.space.problem import PastTask

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), layers=lu.Int(1, 4))


def past_task(name="t", order=0.0, space=SPACE, values=((0.1, 2, 1.0), (0.01, 3, 0.5))):
    told = tuple(
        Observation(i, Configuration(lr=lr, layers=layers), None, (value,))
        for i, (lr, layers, value) in enumerate(values)
    )
    return PastTask(name, order, space, (Objective("loss"),), told)


def filled(path, name, shift, **more):
    with lu.Study(SPACE, "loss", searcher="random", storage=f"sqlite:///{path}", name=name, **more) as study:
        study.run(lambda run: abs(run.config["lr"] - shift), trials=4)


def test_a_pattern_means_the_studies_of_a_store_in_the_order_of_their_making(tmp_path):
    store = tmp_path / "all.db"
    for name, shift in (("retune-b", 0.1), ("retune-a", 0.2), ("other", 0.3)):
        filled(store, name, shift)
    url = f"sqlite:///{store}"
    with lu.Study(SPACE, "loss", storage=url, name="retune-c", past="retune-*") as study:
        assert [task.name for task in study.problem.past] == ["retune-b", "retune-a"]
        assert [task.order for task in study.problem.past] == [0.0, 1.0]
    with lu.Study(SPACE, "loss", past=[f"{url}#retune-?", f"{url}#other"]) as study:
        assert [task.name for task in study.problem.past] == ["retune-b", "retune-a", "other"]
    with pytest.raises(ArgumentError, match="no study of such a name"):
        lu.Study(SPACE, "loss", past=f"{url}#tune-*")
    with pytest.raises(ArgumentError, match="has no store"):
        lu.Study(SPACE, "loss", past="retune-*")


def test_a_first_study_with_a_pattern_has_no_past(tmp_path):
    for _ in range(2):  # the second time its store is there
        with (
            pytest.warns(LuthierWarning, match=r"past 'retune-\*': no study of such a name in .*study.db; this"),
            lu.Study(SPACE, "loss", folder=tmp_path / "new", past="retune-*") as study,
        ):
            assert study.problem.past == ()


def test_a_pattern_that_finds_nothing_says_what_is_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filled("all.db", "retune-a", 0.1)
    with pytest.warns(LuthierWarning, match=r"no study of such a name in sqlite:///all.db;.*Names there: 'retune-a'."):
        lu.Study(SPACE, "loss", storage="sqlite:///all.db", name="b", past="retnue-*").close()
    for month in ("may", "march"):
        with lu.Study(SPACE, "loss", searcher="random", folder=month) as study:
            study.run(lambda run: run.config["lr"], trials=2)
    with pytest.warns(LuthierWarning, match=r"past 'm\*'.*for folders name each: past=\['march', 'may'\]"):
        lu.Study(SPACE, "loss", folder="june", past="m*").close()


def test_a_study_that_is_named_twice_counts_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lu.Study(SPACE, "loss", searcher="random", folder="march") as march:
        march.run(lambda run: run.config["lr"], trials=2)
        with lu.Study(SPACE, "loss", past=["march", tmp_path / "march", march]) as study:
            assert [task.name for task in study.problem.past] == ["march"]


def test_places_in_order_come_along(tmp_path):
    studies = [lu.Study(SPACE, "loss", searcher="random", order=n, about={"rows": n}) for n in (100, 400)]
    for study in studies:
        study.run(lambda run: run.config["lr"], trials=3)
    new = lu.Study(SPACE, "loss", past=studies, order=900, folder=tmp_path / "new")
    assert [(t.order, t.about) for t in new.problem.past] == [(100, {"rows": 100}), (400, {"rows": 400})]
    new.close()
    with lu.Study.open(tmp_path / "new") as again:
        assert again.problem.order == 900
        for kept, given in zip(again.problem.past, new.problem.past, strict=True):
            assert (kept.order, kept.about, kept.observations) == (given.order, given.about, given.observations)
        assert place(again.problem, earlier_tasks(again.problem)) == 900
    with pytest.raises(ArgumentError, match="oldest"):
        lu.Study(SPACE, "loss", past=studies[::-1])
    with pytest.raises(ArgumentError, match="a later place"):
        lu.Study(SPACE, "loss", past=studies, order=300)
    with pytest.raises(ArgumentError, match="has none"):
        lu.Study(SPACE, "loss", past=[studies[0], lu.Study(SPACE, "loss")])


def test_spaces_that_differ():
    """layers is gone, act is new, and a learning rate of 0.1 lies outside."""
    today = lu.Space(lr=lu.Float(1e-4, 0.05, log=True), act=lu.Choice("relu", "gelu"))
    with pytest.warns(LuthierWarning) as seen:
        study = lu.Study(today, "loss", past=[past_task()])
    words = " ".join(str(one.message) for one in seen)
    assert "'act' is new here" in words
    assert "'layers' is gone here" in words
    assert "1 of 2 trials lie outside" in words
    [task] = earlier_tasks(study.problem)
    assert task.configs == (Configuration(lr=0.01, act="relu"),)
    assert task.values.tolist() == [0.5]


def test_widened_spaces_need_no_word():
    wider = lu.Space(lr=lu.Float(1e-5, 1.0, log=True), layers=lu.Int(1, 8))
    [task] = earlier_tasks(lu.Study(wider, "loss", past=[past_task()]).problem)
    assert task.best == Configuration(lr=0.01, layers=3)
    assert [len(level) for level in task.levels()] == [1, 1]


def test_an_empty_task_is_left_out():
    empty = PastTask("empty", 0.0, SPACE, (Objective("loss"),), ())
    with pytest.warns(LuthierWarning, match="no finished trial"):
        study = lu.Study(SPACE, "loss", past=[empty, past_task(order=1.0)])
    assert [task.name for task in earlier_tasks(study.problem)] == ["t"]


@pytest.mark.parametrize(
    ("past", "words"),
    [
        ([past_task(), past_task()], "out of order|oldest"),
        ([past_task(order=float("nan"))], "numbers"),
        ([3], "a Study, a PastTask"),
        ([PastTask("up", 0.0, SPACE, (Objective("loss", "max"),), ())], "maximises"),
        ([PastTask("else", 0.0, SPACE, (Objective("error"),), ())], "'error'"),
        ([past_task(space=lu.Space(width=lu.Int(1, 9)))], "knows none"),
    ],
)
def test_what_cannot_be_a_past(past, words):
    with pytest.raises(ArgumentError, match=words):
        lu.Study(SPACE, "loss", past=past)


def test_facts_are_numbers_or_texts():
    with pytest.raises(ArgumentError, match="about"):
        lu.Study(SPACE, "loss", about={"rows": [1]})


PLANE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), d=lu.Float(0.0, 1.0))


@pytest.mark.parametrize("searcher", ["random", "sobol", "tpe", "bore", "cqr", "gp"])
def test_the_next_month_does_not_draw_what_the_last_one_tried(searcher):
    def bowl(run):
        return (run.config["lr"] - 0.02) ** 2 + (run.config["d"] - 0.4) ** 2

    march = lu.Study(PLANE, "loss", searcher=searcher, name="march")
    march.run(bowl, trials=12)
    april = lu.Study(PLANE, "loss", searcher=searcher, past=[march], name="april")
    april.run(bowl, trials=12)
    configs = [t.config for t in april.trials]
    again = [t.config for t in april.trials if t.config in {t.config for t in march.trials}]
    assert len(set(configs)) == 12
    assert [t.origin for t in april.trials if t.config in again] == ["default", "past"]
    assert april.replay().differences == []


def test_a_trial_that_was_stopped_by_hand_is_no_result_of_the_past():
    old = lu.Study(SPACE_X, "loss", searcher="random", name="old")
    trials = old.ask(4)
    for trial in trials[:3]:
        old.tell(trial, {"loss": trial.config["x"] + 1.0})
    old.tell(trials[3], {"loss": 0.0}, status="stopped")
    assert len(old.as_past().observations) == 3
    new = lu.Study(SPACE_X, "loss", searcher="simple-previous", past=[old], defaults_first=False)
    assert old.best is not None
    assert new.ask()[0].config == old.best.config


SPACE_X = lu.Space(x=lu.Float(0.0, 1.0))


def first_of_the_past(old, space, **more):
    new = lu.Study(space, "loss", searcher="tpe", past=[old], **more)
    return [t.config for t in new.ask(3) if t.origin == "past"]


def test_the_best_of_the_past_is_one_that_was_tried_and_fits():
    old = lu.Study({"x": lu.Float(0.0, 1.0)}, "loss", searcher="random", name="old")
    for x, loss in ((0.8, 0.0), (0.3, 0.1), (0.1, 0.5)):
        old.add({"x": x}, {"loss": loss})
    with pytest.warns(LuthierWarning, match="1 of 3 trials lie outside"):
        assert first_of_the_past(old, {"x": lu.Float(0.0, 0.5)}) == [{"x": 0.3}]


def test_the_best_of_the_past_is_one_of_the_highest_resource():
    old = lu.Study(SPACE_X, "loss", searcher="random", name="old", fidelity=("epoch", 1, 9))
    old.add({"x": 0.1}, {"loss": 0.2}, resource=1)
    old.add({"x": 0.9}, {"loss": 0.5}, resource=9)
    assert first_of_the_past(old, SPACE_X, fidelity=("epoch", 1, 9)) == [{"x": 0.9}]


def test_a_past_of_stopped_trials_has_a_best_one_too():
    def train(run):
        for epoch in run.resources():
            run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)

    old = lu.Study(SPACE_X, "loss", searcher="random", scheduler="pasha", fidelity=("epoch", 1, 9), name="old")
    old.run(train, trials=9)
    assert first_of_the_past(old, SPACE_X, fidelity=("epoch", 1, 9))
