"""What a user may give to a study and its calls: forms that are understood, and refusals that say what to write."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierError, MetricError
from luthier.base.records import Constraint, Fidelity, Objective

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))


def make(**more: Any) -> lu.Study:
    return lu.Study(SPACE, **{"searcher": "random", **more})


def one(run: lu.Run) -> float:
    return float(run.config["lr"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"acc": "max"}, [Objective("acc", "max")]),
        ({"acc": "max", "size": "min"}, [Objective("acc", "max"), Objective("size")]),
        (("acc", "max"), [Objective("acc", "max")]),
        ([("acc", "max"), "size"], [Objective("acc", "max"), Objective("size")]),
        ([["acc", "max"], ["size", "min"]], [Objective("acc", "max"), Objective("size")]),
        (("loss", "size"), [Objective("loss"), Objective("size")]),
        ([Objective("loss"), ("acc", "max")], [Objective("loss"), Objective("acc", "max")]),
    ],
)
def test_an_objective_may_bring_its_goal(given: Any, meant: list[Objective]) -> None:
    assert list(make(objectives=given).problem.objectives) == meant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objectives": {"acc": "maximise"}}, "goal='maximise'. Allowed: 'min', 'max'"),
        ({"objectives": {}}, "objectives is empty"),
        ({"objectives": ("acc", "maximize")}, r"goals 'min' and 'max'. Write \('acc', 'max'\)"),
        ({"objectives": ["loss", "Min"]}, r"Write \('loss', 'min'\)"),
        ({"objectives": [("acc", "up")]}, "goal='up'"),
        ({"objectives": [3]}, r"objectives has 3. Allowed: .*Write \('accuracy', 'max'\)"),
        ({"objectives": 3}, "objectives has 3"),
        ({"objectives": [("a", "b", "c")]}, "objectives has"),
        ({"objectives": ""}, "objective ''. Allowed: its name"),
        ({"constraints": 3}, "constraints has 3"),
        ({"constraints": [("", 3)]}, "constraint ''"),
        ({"order": "today"}, "order='today'. Allowed: a finite number"),
        ({"order": float("nan")}, "order=nan"),
        ({"order": True}, "order=True"),
        ({"order": datetime.date(2026, 5, 1)}, r"Write order=datetime.date\(2026, 5, 1\).toordinal\(\)"),
        ({"past": None}, "past=None. Allowed: a list of earlier studies"),
        ({"past": 3}, "past=3"),
        ({"stopping": None}, "stopping=None. Allowed: a list of rules"),
        ({"stopping": 3}, "stopping=3"),
        ({"first": None}, "first=None. Allowed: a list of configurations"),
        ({"storage": 3}, "storage=3. Allowed: the URL of a store"),
    ],
)
def test_arguments_that_are_refused_with_what_to_write(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make(**given)


@pytest.mark.parametrize("name", ["", None, ("acc", "max"), 3])
def test_a_metric_has_a_name(name: Any) -> None:
    for kind in (Objective, Constraint, Fidelity):
        with pytest.raises(ArgumentError, match="Allowed: its name, a text that is not empty"):
            kind(name)


def test_one_constraint_needs_no_list() -> None:
    assert make(constraints=("size", 3.0)).problem.constraints == (Constraint("size", 3.0),)
    assert make(constraints=[("size", 3.0), ("mb", 2)]).problem.constraints == (
        Constraint("size", 3.0),
        Constraint("mb", 2),
    )


def test_a_store_may_be_a_path(tmp_path: Path) -> None:
    with make(storage=tmp_path / "s.db") as study:
        study.run(one, trials=1)
    with lu.Study.open(tmp_path / "s.db") as again:
        assert len(again.trials) == 1


def test_calls_take_a_trial_for_its_number() -> None:
    study = make()
    [trial] = study.ask()
    study.tell(trial, {"loss": 0.5})
    assert study.best is not None
    study.note(study.best, "the first")
    study.tag(study.best, kind="good")
    assert (study.trials[0].note, study.trials[0].tags) == ("the first", {"kind": "good"})
    with pytest.raises(ArgumentError, match="trial None is not in study"):
        study.note(None, "x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="is not in study"):
        study.note([0], "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [2.5, -1, "2", None])
def test_so_many_trials_cannot_be_asked(n: Any) -> None:
    study = make()
    with pytest.raises(ArgumentError, match=r"n=.*Allowed: a whole number and at least 0"):
        study.ask(n)
    assert study.trials == []


def test_an_added_result_is_named() -> None:
    with pytest.raises(MetricError, match=r"study\.add reported 0.2. Allowed: metrics by name"):
        make().add({"lr": 0.1, "width": 8}, 0.2)  # type: ignore[arg-type]


def test_a_space_is_widened_by_a_mapping() -> None:
    study = make()
    study.widen({"lr": lu.Float(1e-5, 1.0, log=True), "width": lu.Int(4, 128)})
    assert study.space["width"].high == 128  # type: ignore[attr-defined]


@pytest.mark.parametrize("folds", [["a", "b"], [[0.1], [0.2]], "ab", 0.2, [None]])
def test_folds_that_are_no_numbers_fail_their_trial_alone(folds: Any) -> None:
    def train(run: lu.Run) -> None:
        run.report(loss=0.2, folds=folds if run.number == 1 else [0.1, 0.2, 0.3])

    study = make(stopping=[{"name": "regret", "first": 3}])
    study.run(train, trials=5)
    assert [t.status.value for t in study.trials] == ["completed", "failed", *["completed"] * 3]
    assert "folds=" in str(study.trials[1].error)
    assert "one score a fold" in str(study.trials[1].error)


def test_folds_told_by_hand_are_numbers() -> None:
    study = make()
    [trial] = study.ask()
    with pytest.raises(MetricError, match=r"trial 0 reported folds=.'a', 'b'.. Allowed: a list of numbers"):
        study.tell(trial, {"loss": 0.2}, folds=["a", "b"])  # type: ignore[list-item]
    study.tell(trial, {"loss": 0.2}, folds=[0.1, 0.3])


def test_folds_of_an_old_log_that_are_no_numbers_are_passed_over() -> None:
    from luthier.runtime.storage import Draft

    study = make(stopping=[{"name": "regret", "first": 3}])
    for number in range(3):
        study.ask()
        report = {"metrics": {"loss": 0.2}, "folds": ["a", "b"]}
        study._session.append([Draft(1.0, "reported", number, None, report)])
        study._session.append([Draft(1.0, "finished", number, None, {"status": "completed"})])
    assert [t.reports[-1].folds for t in study.trials] == [()] * 3
    study.run(one, trials=6)


def test_folds_that_are_not_finite_are_named_as_the_reason() -> None:
    from luthier.stopping._threshold import Threshold

    def train(run: lu.Run) -> None:
        run.report(loss=0.2 + run.number, folds=[0.1, math.nan, 0.3])

    study = make()
    study.run(train, trials=3)
    noise = Threshold(Objective("loss"), None).of(study.trials)
    assert noise.value is None
    assert "trial 0 reported NaN or infinity among the scores of its folds" in noise.words


def test_a_number_beyond_all_floats_is_infinite() -> None:
    study = make()
    study.run(lambda run: 10**400 if run.number == 0 else 0.5, trials=3)
    assert study.result().counts == {"completed": 2, "diverged": 1}


@pytest.mark.parametrize("name", ["folds", "resource"])
def test_a_metric_that_is_called_like_an_argument_goes_into_a_mapping(name: str) -> None:
    def train(run: lu.Run) -> None:
        run.report(**{name: [0.1]} if name == "folds" else {name: 0.1})

    study = make(objectives=name)
    with pytest.raises(LuthierError, match=rf"goes into a mapping: run.report\({{'{name}': 0.3}}\)"):
        study.run(train, trials=3, give_up=1)
    assert study.run(lambda run: run.report({name: 0.1}), trials=3).best is not None


def test_a_report_is_written_of_a_folder_but_not_of_a_result(tmp_path: Path) -> None:
    with make(folder=tmp_path / "s") as study:
        result = study.run(one, trials=2)
    page = lu.write_report(tmp_path / "s", tmp_path / "new" / "folder" / "r.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(ArgumentError, match=r"write_report of a Result. Allowed: a Study, its folder"):
        lu.write_report(result, tmp_path / "r.html")  # type: ignore[arg-type]


def test_a_space_that_is_not_there_yet_is_not_asked() -> None:
    study = lu.Study(None, searcher="random")
    with pytest.raises(LuthierError, match=r"ask\(\) in study 'study', which has no space yet"):
        study.ask()
    study.run(lambda run: run.float("x", 0, 1), trials=1)
    assert set(study.ask()[0].config) == {"x"}


def test_steps_may_be_named_while_running() -> None:
    study = lu.Study(None, searcher="random")
    study.run(lambda run: run.float("x", 0, 1, step=0.25) + run.int("k", 2, 8, step=2), trials=8)
    assert {t.config["x"] % 0.25 for t in study.trials} == {0}
    assert {t.config["k"] % 2 for t in study.trials} == {0}


@pytest.mark.parametrize("read", [lambda run: run["lr"], lambda run: run.lr])
def test_a_hyperparameter_is_looked_for_in_the_configuration(read: Any) -> None:
    with pytest.raises(LuthierError, match=r"run\.config\['lr'\]"):
        make().run(read, trials=1, give_up=1)


def test_the_order_of_names_makes_no_other_space(tmp_path: Path) -> None:
    make(folder=tmp_path / "s").close()
    turned = lu.Space(width=lu.Int(4, 64), lr=lu.Float(1e-4, 1.0, log=True))
    with lu.Study(turned, searcher="random", folder=tmp_path / "s") as study:
        assert list(study.space.names) == ["lr", "width"]


def test_a_narrower_space_is_not_told_to_be_widened(tmp_path: Path) -> None:
    make(folder=tmp_path / "s").close()
    for high, advised in ((32, False), (128, True)):
        other = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, high))
        with pytest.raises(LuthierError, match="made with another definition") as caught:
            lu.Study(other, searcher="random", folder=tmp_path / "s")
        assert ("study.widen" in str(caught.value)) is advised


def test_a_closed_study_says_how_to_open_it(tmp_path: Path) -> None:
    with make(folder=tmp_path / "s") as study:
        pass
    with pytest.raises(LuthierError, match=r"was closed. Open it again: lu.Study.open\('sqlite:////"):
        study.events()
    with make() as study:
        pass
    with pytest.raises(LuthierError, match=r"was closed. What it held went with it"):
        study.events()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/x", "redis://u@h/x?password=secret"])
def test_a_password_is_not_repeated(url: str) -> None:
    with pytest.raises(LuthierError, match="://u@h/x") as caught:
        make(storage=url)
    assert "secret" not in str(caught.value)


def test_losses_at_the_end_of_all_floats_can_be_shown(tmp_path: Path) -> None:
    study = make()
    study.run(lambda run: (-1.0) ** run.number * 1.7e308, trials=8)
    assert lu.write_report(study, tmp_path / "r.html").exists()


def test_a_truth_value_is_no_number_of_a_trial() -> None:
    study = make()
    study.ask(2)
    with pytest.raises(ArgumentError, match="trial True is not in study"):
        study.tell(True, {"loss": 1.0})
