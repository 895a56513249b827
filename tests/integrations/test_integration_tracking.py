"""What all trackers share: every trial has a run, also one that an earlier process has asked for, and each run ends."""

from __future__ import annotations

import luthier as lu
from luthier.integrations._tracking import Tracker

SPACE = lu.Space(x=lu.Float(0.0, 1.0))


class Told(Tracker):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _begin(self, study, time):
        self.told.append(("begin",))

    def _open(self, study, trial, config, origin, time):
        self.told.append(("open", trial))
        return trial

    def _configure(self, handle, config):
        self.told.append(("configure", handle))

    def _report(self, handle, metrics, resource, time):
        self.told.append(("report", handle, metrics["loss"]))

    def _close(self, handle, status, error, time):
        self.told.append(("close", handle, status))

    def _conclude(self, study, result):
        self.told.append(("conclude",))


def test_a_trial_of_an_earlier_process_is_followed(tmp_path):
    with lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "s") as study:
        study.ask(2)
    tracker = Told()
    with lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "s", callbacks=[tracker]) as study:
        study.tell(0, {"loss": 1.0})
        study.tell(1, status="failed")
    assert tracker.told == [
        ("begin",), ("open", 0), ("report", 0, 1.0), ("close", 0, "completed"), ("open", 1), ("close", 1, "failed")
    ]  # fmt: skip


def test_repetitions_of_a_trial_of_an_earlier_process_are_all_heard(tmp_path):
    with lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "s", repeats=3) as study:
        study.ask()
        study.tell(0, {"loss": 1.0})
    tracker = Told()
    with lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "s", repeats=3, callbacks=[tracker]) as study:
        study.tell(0, {"loss": 2.0})
        study.tell(0, {"loss": 3.0})
    assert [one for one in tracker.told if one[0] != "begin"] == [
        ("open", 0), ("report", 0, 2.0), ("report", 0, 3.0), ("close", 0, "completed")
    ]  # fmt: skip


def test_a_divergence_ends_a_run():
    tracker = Told()
    study = lu.Study(SPACE, "loss", searcher="random", repeats=3, callbacks=[tracker])
    study.ask()
    study.tell(0, {"loss": float("nan")})
    assert tracker.told[-1] == ("close", 0, "diverged")


def test_a_trial_that_is_given_up_ends_with_the_run_unless_its_result_comes():
    tracker = Told()
    study = lu.Study(SPACE, "loss", searcher="random", retries=1, callbacks=[tracker])
    for number in (0, 1):
        for _ in range(2):
            assert study.ask()[0].number == number
            study.tell(number, status="lost")
    study.tell(0, {"loss": 0.5})
    study.run(lambda run: 1.0, trials=3)
    ends = [one for one in tracker.told if one[0] in ("close", "conclude")]
    assert ends == [("close", 0, "completed"), ("close", 2, "completed"), ("close", 1, "lost"), ("conclude",)]
