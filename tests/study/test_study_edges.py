"""What may go wrong between two events: errors, interrupts, second runs, wrong words in tell."""

from __future__ import annotations

from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, ExecutorError, LuthierWarning
from luthier.base.records import Event
from luthier.runtime.executors._base import Launch
from luthier.runtime.executors.inline import Inline
from luthier.study._definition import Definition

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))


def make(**more: object) -> lu.Study:
    return lu.Study(SPACE, **{"searcher": "random", "seed": 0, **more})  # type: ignore[arg-type]


def one(run: lu.Run) -> float:
    return float(run.config["lr"])


def curve(run: lu.Run) -> None:
    for epoch in run.resources():
        run.report(loss=run.config["lr"] + 1 / epoch, epoch=epoch)


def test_each_repetition_starts_afresh(tmp_path: Path) -> None:
    def train(run: lu.Run) -> None:
        assert run.checkpoint is None
        for epoch in run.resources():
            with run.save() as folder:
                (folder / "x").write_text("1")
            run.report(loss=1 / epoch, epoch=epoch)

    study = make(repeats=2, fidelity=("epoch", 1, 3), folder=tmp_path / "s")
    assert study.run(train, trials=2).counts == {"completed": 2}


def test_an_interrupt_while_proposing_leaves_no_hole() -> None:
    study = make()
    searcher = study._session.engine.scheduler.searcher
    propose, calls = searcher._propose, []

    def interrupted(*given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return propose(*given)  # type: ignore[arg-type]

    searcher._propose = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        study.run(one, trials=5)
    assert study.run(one, trials=5).counts == {"completed": 5}
    assert [t.number for t in study.trials] == list(range(5))


def test_an_exhausted_space_can_be_widened() -> None:
    study = lu.Study(lu.Space(a=lu.Int(1, 3)), searcher="random")
    assert study.run(lambda run: run.config["a"], trials=10).counts == {"completed": 3}
    study.widen(lu.Space(a=lu.Int(1, 30)))
    assert [t.number for t in study.run(lambda run: run.config["a"], trials=10).trials] == list(range(10))


def test_a_callback_that_raises_loses_nothing() -> None:
    raised = []

    def callback(study: lu.Study, event: Event) -> None:
        if event.kind == "started" and event.trial == 2 and not raised:
            raised.append(1)
            raise RuntimeError("no disk for the picture")

    study = make(callbacks=[callback])
    with pytest.raises(RuntimeError, match="no disk for the picture"):
        study.run(one, trials=5)
    assert study.run(one, trials=5).counts == {"completed": 5}
    assert study.replay().differences == []


def test_an_executor_that_breaks_loses_nothing() -> None:
    class Breaks(Inline):
        launched = 0

        def submit(self, launch: Launch, worker: str) -> None:
            Breaks.launched += 1
            if Breaks.launched == 2:
                raise ExecutorError("the worker did not start")
            super().submit(launch, worker)

    study = make()
    with pytest.raises(ExecutorError):
        study.run(one, trials=4, executor=Breaks())
    assert study.trials[1].status is lu.Status.WAITING
    assert study.run(one, trials=4).counts == {"completed": 4}


def test_a_run_does_not_wait_for_what_was_asked_by_hand() -> None:
    study = make()
    study.ask()
    assert study.run(one, trials=3).counts == {"running": 1, "completed": 2}


def test_a_callback_may_write_events_of_its_own() -> None:
    def callback(study: lu.Study, event: Event) -> None:
        if event.kind == "asked" and event.trial is not None:
            study.tag(event.trial, by="me")

    study = make(callbacks=[callback])
    study.run(one, trials=2)
    assert [t.runs for t in study.trials] == [1, 1]
    assert [t.tags for t in study.trials] == [{"by": "me"}] * 2
    assert study._state.head == len(study.events())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"status": "running"}, "status='running'"),
        ({"status": "bogus"}, "status='bogus'"),
        ({"resource": "3"}, "resource='3'. Allowed: a number and at least 0 and at most 9."),
        ({"resource": float("nan")}, "resource=nan"),
        ({"resource": -3}, "resource=-3"),
        ({"resource": 1000}, "resource=1000"),
    ],
)
def test_wrong_words_in_tell_are_refused_and_written_nowhere(given: dict[str, object], message: str) -> None:
    study = make(scheduler="asha", fidelity=("epoch", 1, 9))
    study.ask()
    before = len(study.events())
    with pytest.raises(ArgumentError) as caught:
        study.tell(0, {"loss": 1.0}, **given)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert len(study.events()) == before


def test_a_paused_trial_is_not_told() -> None:
    study = make(scheduler={"name": "asha", "type": "promotion"}, fidelity=("epoch", 1, 9))
    study.ask()
    assert study.tell(0, {"loss": 1.0}, resource=1) is lu.Decision.PAUSE
    with pytest.raises(ArgumentError, match="trial 0 is paused"):
        study.tell(0, {"loss": 0.5})


def test_an_end_may_be_told_with_its_resource() -> None:
    study = make(fidelity=("epoch", 1, 9))
    study.ask()
    assert study.tell(0, {"loss": 1.0}, resource=3, status="stopped") is lu.Decision.STOP
    assert study.trials[0].status is lu.Status.STOPPED
    assert study.replay().differences == []


def test_what_was_planned_fits_the_wider_space() -> None:
    study = make(first=[{"lr": 0.5, "width": 5}])
    study.enqueue({"lr": 0.3, "width": 7})
    study.widen(lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64), depth=lu.Int(1, 3)))
    assert [dict(t.config) for t in study.ask(3)][1:] == [
        {"lr": 0.5, "width": 5, "depth": 2},
        {"lr": 0.3, "width": 7, "depth": 2},
    ]
    assert study.replay().differences == []


@pytest.mark.parametrize("look", [False, True])
def test_a_space_that_grows_under_asha_is_judged_the_same_on_replay(look: bool) -> None:
    def train(run: lu.Run) -> None:
        run.float("lr", 0.1, 1.0)
        run.float(f"g{run.number}", 0.0, 1.0)
        if look:
            study.rungs()
        for epoch in run.resources():
            run.report(loss=run.number + 1 / epoch, epoch=epoch)

    study = lu.Study(None, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), seed=0)
    study.run(train, trials=12)
    assert study.replay().differences == []


def test_a_returned_number_is_the_report_at_what_was_granted() -> None:
    study = make(scheduler={"name": "asha", "type": "promotion"}, fidelity=("epoch", 1, 9))
    result = study.run(lambda run: run.config["lr"] + 1 / run.until, trials=9)
    assert sorted({t.resource for t in result.trials if t.resource is not None}) == [1, 3, 9]
    assert study.replay().differences == []


def test_a_program_that_ignores_its_grant_is_done_when_all_is_spent() -> None:
    study = make(scheduler={"name": "asha", "type": "promotion"}, fidelity=("epoch", 1, 9))
    assert study.run(lambda run: run.report(loss=run.config["lr"], epoch=9), trials=5).counts == {"completed": 5}


@pytest.mark.parametrize(("returned", "result", "reports"), [(0.5, 0.5, 3), (0.8, 0.8, 2), (None, 0.8, 2)])
def test_what_is_returned_after_reports_is_the_last_word(returned, result, reports):
    """On what it names: a bounded metric and one more stay as they were reported."""

    def train(run):
        run.report(loss=1.0, memory=2.0, size=3.0)
        run.report(loss=0.8, memory=2.0, size=3.0)
        return returned

    study = lu.Study(
        lu.Space(x=lu.Float(0.0, 1.0)), "loss", searcher="random", constraints=[lu.Constraint("memory", 9)]
    )
    [trial] = study.run(train, trials=1).trials
    assert (dict(trial.metrics), len(trial.reports)) == ({"loss": result, "memory": 2.0, "size": 3.0}, reports)


def test_what_is_returned_at_the_end_of_a_fidelity_was_reported():
    def train(run):
        for epoch in run.resources():
            run.report(loss=1.0 / epoch, memory=2.0, epoch=epoch)
        return 0.1

    study = lu.Study(
        lu.Space(x=lu.Float(0.0, 1.0)), "loss", searcher="random", scheduler="asha", fidelity=("epoch", 1, 4),
        constraints=[lu.Constraint("memory", 9)],
    )  # fmt: skip
    [trial] = study.run(train, trials=1).trials
    assert (trial.status, trial.metrics["loss"], len(trial.reports)) == (lu.Status.COMPLETED, 0.25, 4)


def test_more_studies_than_are_looked_into_are_told(tmp_path, monkeypatch):
    from luthier.study import listing

    for name in ("a", "b", "c"):
        lu.Study(lu.Space(x=lu.Float(0.0, 1.0)), "loss", folder=tmp_path / name).close()
    for number in range(5):
        (tmp_path / f"0-{number}.txt").write_text("no study")
    assert len(listing.studies(tmp_path)) == 3
    monkeypatch.setattr(listing, "MOST", 2)
    with pytest.warns(LuthierWarning, match="3 studies and databases; the first 2"):
        assert [entry.name for entry in listing.studies(tmp_path)] == ["a", "b"]


def test_a_stored_constraint_without_a_bound_binds_nothing() -> None:
    study = make(constraints=[lu.Constraint("mem", 2.0)])
    stored = study._definition.to_json()
    stored["constraints"].append({"name": "time", "upper": float("inf")})
    problem = Definition.from_json(stored, seed=0).problem
    assert problem.constraints == (lu.Constraint("mem", 2.0),)
