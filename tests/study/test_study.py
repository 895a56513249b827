"""A study by ask and tell, and by run: statuses, first configurations, results."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierWarning, MetricError, SpaceError, TrialError
from luthier.base.records import Event

SPACE = lu.Space(
    lr=lu.Float(1e-4, 1.0, log=True, default=0.01),
    opt=lu.Choice("sgd", "adam"),
    momentum=lu.Float(0.0, 0.99, when=("opt", "sgd")),
)


def make(**more: object) -> lu.Study:
    return lu.Study(SPACE, **{"searcher": "random", "seed": 0, **more})  # type: ignore[arg-type]


def quality(run: lu.Run) -> float:
    return float(abs(math.log10(run.config["lr"]) + 1) + (run.config["opt"] == "adam"))


def test_the_default_configuration_comes_first_and_what_the_user_knows_next() -> None:
    mine = {"lr": 0.5, "opt": "adam"}
    study = make(first=[mine])
    asked = study.ask(3)
    assert [t.number for t in asked] == [0, 1, 2]
    assert [t.origin for t in asked] == ["default", "first", "random"]
    assert asked[0].config == SPACE.default() == {"lr": 0.01, "opt": "sgd", "momentum": asked[0].config["momentum"]}
    assert asked[1].config == mine
    assert make(defaults_first=False).ask()[0].origin == "random"


def test_ask_and_tell() -> None:
    study = make()
    [first] = study.ask()
    assert first.status is lu.Status.RUNNING
    assert study.tell(first.number, {"loss": 0.31, "time": 2}) is lu.Decision.STOP
    [second] = study.ask()
    study.tell(second.number, {"loss": 0.25})
    best = study.best
    assert best is not None
    assert (best.number, best.metrics, best.status) == (1, {"loss": 0.25}, lu.Status.COMPLETED)
    assert study.rule == "best single value"
    with pytest.raises(ArgumentError, match=r"trial 1 has ended \(completed\)"):
        study.tell(1, {"loss": 0.1})
    with pytest.raises(ArgumentError, match="trial 7 is not in study"):
        study.tell(7, {"loss": 0.1})


def test_a_misspelt_metric_is_refused_at_the_first_report() -> None:
    study = make()
    study.ask()
    with pytest.raises(MetricError) as caught:
        study.tell(0, {"los": 0.3})
    assert str(caught.value).startswith("trial 0 reported 'los'; this study minimises 'loss'. Report it: run.report(")
    assert study.trials[0].status is lu.Status.RUNNING


def test_a_result_without_one_says_why() -> None:
    study = make()
    result = study.run(lambda run: None, trials=2)
    assert repr(result).startswith("Result('study': 2 failed; ")
    assert f"; trial 1: {study.trials[1].error})" in repr(result)


def test_maximising() -> None:
    study = make(objectives=lu.Objective("acc", "max"))
    for value in (0.2, 0.9, 0.5):
        [trial] = study.ask()
        study.tell(trial.number, {"acc": value})
    assert study.best is not None
    assert study.best.metrics["acc"] == 0.9


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_diverged_and_never_the_best(bad: float) -> None:
    study = make()
    study.run(lambda run: bad if run.number == 1 else 0.5 + run.number, trials=3)
    assert [t.status for t in study.trials] == [lu.Status.COMPLETED, lu.Status.DIVERGED, lu.Status.COMPLETED]
    assert study.best is not None
    assert study.best.number == 0
    assert study.replay().differences == []


def test_a_failure_is_the_trials_own() -> None:
    def train(run: lu.Run) -> float:
        if run.number == 1:
            raise ValueError("wrong shape")
        return 1.0

    result = make().run(train, trials=3)
    assert result.counts == {"completed": 2, "failed": 1}
    assert result.trials[1].error is not None
    assert "ValueError: wrong shape" in result.trials[1].error


def test_all_trials_failing_is_an_error_at_once() -> None:
    def train(run: lu.Run) -> float:
        raise ValueError("wrong shape")

    study = make()
    with pytest.raises(
        TrialError, match=r"the first 5 trials all failed.*wrong shape.*mend the program and run it again"
    ) as caught:
        study.run(train, trials=100)
    assert caught.value.trial == 4
    assert len(study.trials) == 5
    with pytest.raises(TrialError, match="the first 5"):
        study.run(train, trials=100)  # not mended: told again, after five more
    assert len(study.run(quality, trials=12).trials) == 12  # mended


def test_nothing_reported_and_nothing_returned() -> None:
    result = make().run(lambda run: None if run.number else 1.0, trials=2)
    assert result.trials[1].error == (
        "trial 1 ended without a result. Report 'loss' with run.report(loss=...), or return it."
    )


def test_metrics_may_be_returned_as_a_mapping() -> None:
    result = make().run(lambda run: {"loss": 1.0, "size": 3}, trials=1)
    assert result.best is not None
    assert result.best.metrics == {"loss": 1.0, "size": 3.0}


def test_every_report_is_on_disk_before_the_next_decision(tmp_path: Path) -> None:
    seen = []
    study = lu.Study(SPACE, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), folder=tmp_path / "s")
    other = lu.Study.open(tmp_path / "s")

    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            run.report(loss=1 / epoch, epoch=epoch)
            seen.append(len([e for e in other.events() if e.kind == "reported" and e.trial == run.number]) == epoch)

    study.run(train, trials=4)
    assert seen
    assert all(seen)


def test_a_budget_in_time() -> None:
    result = make().run(quality, seconds=0.2)
    assert result.reason == "time is up"
    assert len(result.trials) > 5
    assert all(t.status.ended for t in result.trials)


def test_a_run_needs_an_end() -> None:
    with pytest.raises(ArgumentError, match=r"Give trials=100 \(in all\) or seconds=3600"):
        make().run(quality)


def test_a_finite_space_ends_by_itself() -> None:
    study = lu.Study(lu.Space(a=lu.Choice("x", "y"), b=lu.Int(1, 3)), searcher="random", seed=3)
    result = study.run(lambda run: float(run.config["b"]))
    assert result.reason == "the space is exhausted"
    assert len({t.config for t in result.trials}) == len(result.trials) == 6
    assert study.ask() == []


def test_run_counts_trials_of_the_study_in_all() -> None:
    study = make()
    study.run(quality, trials=5)
    assert len(study.run(quality, trials=5).trials) == 5
    assert len(study.run(quality, trials=8).trials) == 8


def test_stop_from_a_callback() -> None:
    def enough(study: lu.Study, event: Event) -> None:
        if event.kind == "finished" and event.trial == 3:
            study.stop("good enough")

    result = make(callbacks=[enough]).run(quality, trials=100)
    assert (len(result.trials), result.reason) == (4, "good enough")


def test_enqueue_add_tags_and_notes() -> None:
    study = make()
    study.enqueue({"lr": 0.2, "opt": "adam"})
    added = study.add({"lr": 0.1, "opt": "adam"}, {"loss": -5.0})
    study.run(quality, trials=3)
    assert [t.origin for t in study.trials] == ["added", "default", "enqueued", "random"]
    assert study.best is not None
    assert study.best.number == added
    study.tag(added, source="paper")
    study.note(added, "from the appendix")
    assert study.trials[added].tags == {"source": "paper"}
    assert study.trials[added].note == "from the appendix"
    assert study.replay().differences == []
    with pytest.raises(SpaceError, match="'momentun'"):
        study.enqueue({"lr": 0.2, "opt": "sgd", "momentun": 0.5})


def test_repeats_give_means_with_errors_and_no_lucky_winner() -> None:
    draws = {0: [1.0, 1.0, 1.0], 1: [0.0, 2.0, 2.5], 2: [0.9, 0.9, 0.9]}
    seeds = []

    def train(run: lu.Run) -> float:
        seeds.append(run.seed)
        return draws[run.number][run.repeat]

    study = make(repeats=3)
    result = study.run(train, trials=3)
    assert result.best is not None
    assert (result.best.number, result.rule) == (2, "best mean of 3 repeats")
    assert result.trials[1].metrics["loss"] == 1.5
    assert result.trials[1].stderr["loss"] == pytest.approx(math.sqrt(((1.5**2) + 0.25 + 1) / 2 / 3))
    assert len(set(seeds)) == 9
    assert study.replay().differences == []
    with pytest.raises(ArgumentError, match="repeats=3 with scheduler 'asha'"):
        make(repeats=3, scheduler="asha", fidelity=("epoch", 1, 9))


def test_constraints_come_before_values() -> None:
    study = make(constraints=[("size", 10.0)])
    for value, size in ((0.1, 50.0), (0.5, 9.0), (0.4, 8.0)):
        [trial] = study.ask()
        study.tell(trial.number, {"loss": value, "size": size})
    assert study.best is not None
    assert (study.best.number, study.rule) == (2, "best single value among feasible trials")
    alone = make(constraints=[("size", 1.0)])
    alone.ask()
    alone.tell(0, {"loss": 1.0, "size": 2.0})
    assert alone.rule == "smallest violation of the constraints (no trial is feasible yet)"


def test_several_objectives_give_a_pareto_set() -> None:
    study = make(objectives=["loss", lu.Objective("speed", "max")])
    for value, speed in ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (1.0, 1.0)):
        [trial] = study.ask()
        study.tell(trial.number, {"loss": value, "speed": speed})
    assert study.best is None
    assert [t.number for t in study.pareto] == [0, 3, 1]


def test_the_past_is_tried_early() -> None:
    older = make()
    for value in (0.9, 0.2):
        [trial] = older.ask()
        older.tell(trial.number, {"loss": value})
    space = lu.Space(lr=lu.Float(1e-4, 2.0, log=True), layers=lu.Int(1, 4))
    with pytest.warns(LuthierWarning, match="is gone here|is new here"):
        newer = lu.Study(space, searcher="random", past=[older])
    asked = newer.ask(2)
    assert [t.origin for t in asked] == ["default", "past"]
    assert older.best is not None
    assert asked[1].config == {"lr": older.best.config["lr"], "layers": newer.space.default()["layers"]}


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for wrong, match in (
        ({"searcher": "rnadom"}, "searcher 'rnadom' is not known. Did you mean 'random'?"),
        ({"scheduler": {"name": "asha", "etta": 3}, "fidelity": ("epoch", 1, 9)}, "'etta'. Did you mean 'eta'?"),
        ({"scheduler": "asha"}, "scheduler 'asha' needs a fidelity"),
        ({"seed": -1}, "seed=-1"),
        ({"fidelity": ("epoch", 9, 1)}, "low=9, high=1"),
        ({"objectives": ["loss", "loss"]}, "twice"),
        ({"first": [{"lr": 7.0, "opt": "adam"}]}, "lr"),
        ({"stopping": ["regrets"]}, "stopping 'regrets' is not known"),
    ):  # fmt: skip
        with pytest.raises((ArgumentError, SpaceError), match=match.replace("?", r"\?")):
            make(storage=url, **wrong)
    assert not (tmp_path / "study.db").exists()


def test_frame_has_a_column_for_everything() -> None:
    study = make()
    study.run(quality, trials=4)
    columns = study.frame()
    assert {len(column) for column in columns.values()} == {4}
