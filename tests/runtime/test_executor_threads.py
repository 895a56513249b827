"""Trials in threads: at once, and let go of when they cannot be ended."""

import threading
import time

import pytest

import luthier as lu
from luthier.base.errors import UnsupportedError
from luthier.base.records import Status
from luthier.runtime.executors._base import Limits, Setting
from luthier.runtime.executors.threads import Threads
from luthier.testing.executor import EPOCHS, Recorder, launch, returns, work


def test_runs_meet():
    barrier = threading.Barrier(4, timeout=30)

    def meets(run):
        barrier.wait()  # four runs have to be there at once
        return 0.0

    with lu.Study({"x": lu.Float(0, 1)}, searcher="random") as study:
        study.run(meets, trials=8, workers=4, executor="threads")
        assert [t.status for t in study.trials] == [Status.COMPLETED] * 8
        assert {t.worker for t in study.trials} == {f"thread-{i}" for i in range(4)}


def test_a_run_that_hangs_is_let_go():
    free = threading.Event()
    heard = []

    def hangs(run):
        if run.number == 0:
            free.wait(30)
        try:
            run.report(loss=1.0, epoch=1)
        finally:
            heard.append(run.number)

    executor, host = Threads(), Recorder()
    executor.open(Setting(hangs, workers=1), host)
    executor.submit(launch(0, fidelity=EPOCHS), "thread-0")
    executor.cancel(0)
    work(executor, host, [launch(1, fidelity=EPOCHS)])
    assert host.ends[0].status is Status.STOPPED
    assert host.ends[1].status is Status.COMPLETED
    free.set()
    deadline = time.monotonic() + 30
    while 0 not in heard and time.monotonic() < deadline:
        executor.step(0.05)
    assert [trial for trial, _ in host.messages] == [1], "an abandoned run may not report"
    executor.close()


def test_limits_are_refused():
    with pytest.raises(UnsupportedError, match="Threads share one process and cannot be ended from outside"):
        Threads().open(Setting(returns, limits=Limits(seconds=1)), Recorder())
