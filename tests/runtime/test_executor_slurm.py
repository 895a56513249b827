"""The executor for Slurm, by submitit's local mode: jobs are real processes, there is no queue."""

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, ExecutorError, MissingExtra, StudyNotFound
from luthier.base.records import Status
from luthier.runtime.executors._base import Limits, Setting
from luthier.runtime.executors.slurm import Slurm
from luthier.testing.executor import Recorder, launch, returns, work

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from kill_driver import gone

SPACE = lu.Space(x=lu.Float(0, 1))


def test_it_says_what_is_missing():
    try:
        import submitit  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match=r'pip install "luthier\[slurm\]"'):
            Slurm().open(Setting(returns), Recorder())
    else:
        with pytest.raises(ArgumentError, match="needs a folder that all machines share"):
            Slurm().open(Setting(returns), Recorder())


def _local(tmp_path, **more):
    pytest.importorskip("submitit", reason="submitit is not installed (make test-slow has an environment with it)")
    return Slurm(folder=tmp_path / "jobs", cluster="local", **more)


def _run(tmp_path, target, launches, *, limits=None, **more):
    executor, host = _local(tmp_path, **more), Recorder()
    executor.open(Setting(target, workers=2, limits=limits or Limits()), host)
    try:
        work(executor, host, launches)
    finally:
        executor.close()
    assert list((tmp_path / "jobs").iterdir()) == [], "boxes are left behind"
    return host


def climb(run):
    for epoch in run.resources():
        run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)


@pytest.mark.slow
def test_a_study_runs_as_jobs(tmp_path):
    with lu.Study(SPACE, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), folder=tmp_path / "s") as study:
        study.run(climb, trials=6, workers=3, executor=_local(tmp_path))
        assert all(t.status.ended for t in study.trials)
        assert {t.worker for t in study.trials} <= {"job-0", "job-1", "job-2"}
        assert study.replay().differences == []


@pytest.mark.slow
def test_limits_and_deaths(tmp_path):
    def sleeps(run):
        subprocess.Popen(["sleep", "300"])
        time.sleep(60)

    def dies(run):
        os.kill(os.getpid(), signal.SIGKILL)

    mark = uuid.uuid4().hex
    os.environ["LUTHIER_FAULT_MARK"] = mark
    host = _run(tmp_path, sleeps, [launch(0)], limits=Limits(seconds=1))
    assert (host.ends[0].status, host.ends[0].error) == (Status.FAILED, "time limit of 1 s exceeded")
    host = _run(tmp_path, dies, [launch(0)])
    assert host.ends[0].status is Status.LOST
    assert "ended without a word" in host.ends[0].error
    os.environ["LUTHIER_FAULT_MARK"] = "over"
    assert [pid for pid in gone(mark) if pid != os.getpid()] == []


@pytest.mark.slow
def test_a_program_that_cannot_be_loaded(tmp_path):
    with pytest.raises(ExecutorError, match="could not load the program: RuntimeError: no such thing"):
        _run(tmp_path, Unloadable(), [launch(0)])


class Unloadable:
    def __call__(self, run):
        return 0.0

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise RuntimeError("no such thing")


DRIVER = """
import sys, time
sys.path.insert(0, {here!r})
import luthier as lu
from luthier.runtime.executors.slurm import Slurm

def slow(run):
    for epoch in run.resources():
        time.sleep(0.3)
        run.report(loss=run.config["x"], epoch=epoch)

if __name__ == "__main__":
    space = lu.Space(x=lu.Float(0, 1))
    with lu.Study(space, searcher="random", fidelity=("epoch", 1, 6), folder="study") as study:
        study.run(slow, trials=4, workers=2, executor=Slurm(cluster="local", driver_seconds=4))
"""


@pytest.mark.slow
def test_jobs_of_a_dead_driver_end_themselves(tmp_path):
    pytest.importorskip("submitit", reason="submitit is not installed (make test-slow has an environment with it)")
    (tmp_path / "driver.py").write_text(DRIVER.format(here=str(Path(__file__).parent)))
    mark = uuid.uuid4().hex
    env = {**os.environ, "LUTHIER_FAULT_MARK": mark}

    def start():
        log = (tmp_path / "output.txt").open("ab")
        return subprocess.Popen([sys.executable, "driver.py"], cwd=tmp_path, env=env, stdout=log, stderr=log)

    driver, deadline = start(), time.monotonic() + 60
    while time.monotonic() < deadline:
        if (tmp_path / "study" / "study.db").exists():
            with suppress(StudyNotFound), lu.Study.open(tmp_path / "study") as study:  # the store comes before it
                if sum(e.kind == "reported" for e in study.events()) > 3:
                    break
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert gone(mark, seconds=30) == []
    assert start().wait(timeout=120) == 0, (tmp_path / "output.txt").read_text()
    with lu.Study.open(tmp_path / "study") as study:
        assert [t.status for t in study.trials] == [Status.COMPLETED] * 4
        assert study.replay().differences == []
