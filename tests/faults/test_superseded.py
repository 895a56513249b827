"""A driver that others took for dead goes on, while its trial runs again elsewhere: the second run counts."""

import pytest

import luthier as lu
from luthier.base.records import Decision, Event, Status
from luthier.runtime.executors._base import End, Launch, Limits, Message
from luthier.runtime.executors._checkpoints import Checkpoints
from luthier.study._loop import Loop
from luthier.study._state import State

SPACE = lu.Space(x=lu.Float(0, 1))


@pytest.fixture
def study(tmp_path):
    with lu.Study(SPACE, searcher="random", fidelity=("epoch", 1, 9), folder=tmp_path / "s") as study:
        yield study


def _taken_over(study):
    """A run of this driver that another driver lost and started again."""
    loop = Loop(study, len, "inline", Limits(), workers=1, trials=3, seconds=None, give_up=5)
    [trial] = study.ask()
    first = Launch(trial.number, 1, trial.config)
    study._session.append([study._session.lose(0, "its driver died")])
    study._session.append([study._session._start(0, "elsewhere", 0.0, None, None)])
    return loop, first


def test_its_reports_are_kept_and_it_is_stopped(study):
    loop, first = _taken_over(study)
    loop.begin = 0.0
    assert loop.host.reported(first, Message({"loss": 1.0}, 3), 1.0) is Decision.STOP
    assert [(r.resource, r.metrics) for r in study.trials[0].reports] == [(3, {"loss": 1.0})]
    assert study.trials[0].status is Status.RUNNING


def test_its_failure_is_not_the_trials(study):
    loop, first = _taken_over(study)
    loop.host.ended(first, End(Status.FAILED, None, "FileNotFoundError: its draft"), 2.0)
    assert study.trials[0].status is Status.RUNNING
    assert not [e for e in study.events() if e.kind == "failed"]


def test_the_log_says_the_same_when_the_failure_was_written(study):
    state = State(study._definition)
    for seq, (kind, data) in enumerate(
        [
            ("asked", {"config": {"x": 0.5}, "origin": "random"}),
            ("started", {"attempt": 1, "driver": "a"}),
            ("lost", {"attempt": 1}),
            ("started", {"attempt": 2, "driver": "b"}),
            ("failed", {"attempt": 1, "error": "of the first run"}),
        ],
        1,
    ):
        state.apply(Event(seq, float(seq), kind, 0, None, data))
    assert state.trials[0].status is Status.RUNNING
    state.apply(Event(6, 6.0, "failed", 0, None, {"attempt": 2, "error": "of the second"}))
    assert (state.trials[0].status, state.trials[0].error) == (Status.FAILED, "of the second")


def test_its_drafts_are_cleared_away_and_those_of_the_later_run_are_not(tmp_path):
    one, two = Checkpoints(tmp_path, 1), Checkpoints(tmp_path, 2)
    with two.write(1, keep=False) as (late, _):
        with one.write(1, keep=False):
            assert late.is_dir()
        (late / "state").write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r0001-a1", "r0001-a2"]
    assert (tmp_path / "r0001-a2" / "state").read_text() == "whole"
