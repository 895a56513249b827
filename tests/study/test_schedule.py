"""The schedule behind a trial that was cloned: read off the log, exported, replayed to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError
from luthier.base.records import Configuration, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.schedule import Schedule as Replaying
from luthier.space.problem import Problem
from luthier.study.schedule import Schedule, Segment
from luthier.testing._drive import Uniform
from luthier.testing.scheduler import check_scheduler

SPACE = lu.Space(lr=lu.Float(1e-3, 1.9, log=True), momentum=lu.Float(0.0, 0.9))
CURVES = np.array([1.0, 0.1, 0.01])


def train(run):
    """Momentum descent; what is random in it follows from the step alone."""
    w, v = np.full(3, 3.0), np.zeros(3)
    if run.checkpoint:
        w, v = np.load(run.checkpoint / "state.npy")
    for epoch in run.resources():
        noise = np.random.default_rng([7, epoch]).normal(size=3)
        v = run.config["momentum"] * v - run.config["lr"] * (CURVES * w + 0.01 * noise)
        w = w + v
        with run.save() as folder:
            np.save(folder / "state.npy", np.stack([w, v]))
        run.report(loss=float((CURVES * w * w).sum()), epoch=epoch)


def run(folder: Path, scheduler: object, **more: object) -> lu.Study:
    study = lu.Study(SPACE, scheduler=scheduler, fidelity=("epoch", 1, 12), folder=folder, seed=4, defaults_first=False)
    study.run(train, **more)
    return study


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "s"
    with run(folder, {"name": "pbt", "population": 4, "every": 2, "synchronous": True}) as study:
        yield study


def test_the_schedule_of_the_best_leads_from_the_start_to_its_result(tuned):
    schedule, best = tuned.schedule(), tuned.best
    assert schedule.fidelity == "epoch"
    assert len(schedule.segments) > 1, "the winner is a clone"
    assert schedule.segments[0].start == 0
    assert schedule.segments[-1].until == best.resource == 12
    assert (schedule.segments[-1].trial, schedule.segments[-1].config) == (best.number, best.config)
    trials = {t.number: t for t in tuned.trials}
    for one, following in zip(schedule.segments, schedule.segments[1:], strict=False):
        assert one.until == following.start
        assert one.start < one.until
        assert one.config == trials[one.trial].config
    assert schedule.at(1) == schedule.segments[0].config
    assert schedule.at(schedule.segments[0].until) == schedule.segments[0].config
    assert schedule.at(schedule.segments[0].until + 1) == schedule.segments[1].config
    assert schedule.at(12) == best.config


def test_a_trial_that_is_no_clone_has_one_segment(tuned):
    first = tuned.trials[0]
    assert tuned.schedule(0).segments == (Segment(0, first.resource, first.config, 0),)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_replay_ends_as_the_winner_to_the_bit(tuned, tmp_path, workers):
    schedule = tuned.schedule()
    with run(tmp_path / "r", {"name": "schedule", "segments": schedule.pairs(), "runs": 2}, workers=workers) as again:
        ends = [t for t in again.trials if t.resource == 12]
        assert [t.metrics for t in ends] == [tuned.best.metrics] * 2
        assert len(again.trials) == 2 * len(schedule.segments)
        assert again.result().reason == "scheduler 'schedule' is through"
        assert again.replay().differences == []
        found = again.schedule(ends[0].number)
        assert found.pairs() == schedule.pairs()


def test_a_replay_that_was_cut_short_goes_on(tuned, tmp_path):
    scheduler = {"name": "schedule", "segments": tuned.schedule().pairs()}
    study = lu.Study(SPACE, scheduler=scheduler, fidelity=("epoch", 1, 12), folder=tmp_path / "r", defaults_first=False)
    study.callbacks.append(
        lambda s, event: s.stop() if event.kind == "reported" and event.data["resource"] == 5 else None
    )
    study.run(train)
    assert max(t.resource for t in study.trials) == 5
    study.callbacks.clear()
    assert study.run(train).best.metrics == tuned.best.metrics


def test_export_and_import(tuned, tmp_path):
    schedule = tuned.schedule()
    assert Schedule.from_json(schedule.to_json()) == schedule
    path = schedule.save(tmp_path / "schedule.json")
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 12))
    by_file = Replaying(problem, Uniform(problem, seed=0), seed=0, segments=str(path))
    by_list = Replaying(problem, Uniform(problem, seed=0), seed=0, segments=schedule.pairs())
    from_shell = Replaying(problem, Uniform(problem, seed=0), seed=0, segments=[str(path)])
    assert by_file.next_job(0) == from_shell.next_job(0) == by_list.next_job(0)
    rows = schedule.rows()
    assert list(rows[0]) == ["trial", "start", "until", "lr", "momentum"]
    assert schedule.frame()["until"] == [row["until"] for row in rows]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fidelity": "epoch", "segments": [{"until": 1}]}', "null"])
def test_text_that_is_no_schedule(text):
    with pytest.raises(ArgumentError, match=r"no schedule\. Allowed: what Schedule\.to_json wrote"):
        Schedule.from_json(text)


def test_segments_must_rise():
    rows = [{"until": u, "config": {}} for u in (3, 3)]
    with pytest.raises(ArgumentError, match="each ending beyond the one before it"):
        Schedule.from_json(json.dumps({"fidelity": "epoch", "segments": rows}))
    with pytest.raises(ArgumentError, match="each ending beyond the one before it"):
        Schedule.from_json('{"fidelity": "epoch", "segments": []}')


def test_what_has_no_schedule(tuned, tmp_path):
    with pytest.raises(ArgumentError, match=r"schedule\(99\): there is no such trial"):
        tuned.schedule(99)
    for resource in (0, 12.5):
        with pytest.raises(ArgumentError, match="Allowed: above 0 and up to 12"):
            tuned.schedule().at(resource)
    empty = lu.Study(SPACE, fidelity=("epoch", 1, 12))
    with pytest.raises(ArgumentError, match="no trial has a result yet"):
        empty.schedule()
    [trial] = empty.ask()
    with pytest.raises(ArgumentError, match=r"schedule\(0\): it has no result"):
        empty.schedule(trial.number)
    with pytest.raises(ArgumentError, match="without a fidelity"):
        lu.Study(SPACE).schedule()


# the scheduler by hand -----------------------------------------------------------------------------------

GOOD = {"lr": 0.1, "momentum": 0.5}


def scheduler(segments, **own):
    problem = Problem(SPACE, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 12))
    return Replaying(problem, Uniform(problem, seed=0), seed=0, segments=segments, **own)


def test_segments_follow_each_other_by_hand():
    later = {"lr": 0.2, "momentum": 0.5}
    made = scheduler([[4, GOOD], [12, later]], runs=2)
    for k in (0, 1):
        assert made.next_job(k) == Job(k, Configuration(GOOD), 4, origin="schedule")
        made.on_start(made.next_job(k))
    assert made.next_job(2) is None
    assert made.on_report(Report(1, 3, {"loss": 1.0}, checkpoint="r0003-a1")).value == "continue"
    assert made.on_report(Report(1, 4, {"loss": 1.0}, checkpoint="r0004-a1")).value == "stop"
    job = made.next_job(2)
    assert job == Job(2, Configuration(later), 12, 1, "1/r0004-a1", "schedule")
    made.on_start(job)
    made.on_end(1, Status.STOPPED)
    assert made.next_job() is None
    made.on_end(0, Status.FAILED)  # nothing follows what failed
    assert made.next_job(3) is None
    assert made.on_report(Report(2, 12, {"loss": 1.0}, checkpoint="r0012-a1")).value == "continue"
    made.on_end(2, Status.COMPLETED)
    assert made.next_job(3) is None


@pytest.mark.parametrize(
    ("segments", "error", "message"),
    [
        ([], ArgumentError, "segments=[]. Allowed: at least one segment, [until, {configuration}]."),
        ([[4, GOOD], [4, GOOD]], ArgumentError, "segments[1]: until=4. Allowed: a number and above 4 and at most 12."),
        ([[13, GOOD]], ArgumentError, "segments[0]: until=13. Allowed: a number and above 0 and at most 12."),
        (7, ArgumentError, "segments=7. Allowed: [[until, {configuration}], ...] or the path"),
        ([4, GOOD], ArgumentError, "or the path of a schedule's file."),
        ([[4, {"lr": 5.0, "momentum": 0.1}]], SpaceError, "segments[0]: lr=5.0 does not fit."),
        ("nowhere.json", ArgumentError, "segments='nowhere.json' cannot be read: No such file or directory."),
    ],
)
def test_segments_out_of_range(segments, error, message):
    with pytest.raises(error) as caught:
        scheduler(segments)
    assert message in str(caught.value)


def test_battery():
    low, high = {"x": 0.05, "y": 0.5}, {"x": 0.1, "y": 0.5}
    check_scheduler("schedule", segments=[[4, low], [9, high]], runs=30)
