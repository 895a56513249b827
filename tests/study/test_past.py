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
