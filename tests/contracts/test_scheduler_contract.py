"""Every registered scheduler passes the battery, and the battery catches what breaks the contract."""

from __future__ import annotations

import pytest

import luthier as lu
from luthier.base.records import Decision, Job, Status
from luthier.base.registry import load, names, own_arguments
from luthier.schedulers.asha import Asha
from luthier.schedulers.straight import Straight
from luthier.testing.scheduler import check_scheduler


@pytest.mark.parametrize("name", names("scheduler"))
def test_battery(name):
    check_scheduler(name)


OPTIONS = [
    ("asha", {"type": "promotion"}),
    ("asha", {"type": "promotion", "brackets": 2}),
    ("asha", {"brackets": 3, "eta": 2}),
    ("asha", {"type": "promotion", "grace": 2, "eta": 4}),
    ("asha", {"share": "quantile"}),
    ("asha", {"share": "quantile", "type": "promotion"}),
    ("median", {"grace": 2, "least": 2}),
    ("median", {"least": 1}),
    ("mo-asha", {"type": "stopping"}),
    ("mo-asha", {"order": "crowding", "brackets": 2}),
    ("one-epoch", {"pool": 7, "top": 2}),
    ("pasha", {"eta": 2, "grace": 2}),
    ("race", {"risk": 0.2, "least": 2}),
    ("rush", {"hurdle": ["enqueued"]}),
    ("rush", {"hurdle": ["enqueued"], "type": "promotion", "brackets": 2}),
]


@pytest.mark.parametrize(("name", "own"), OPTIONS, ids=str)
def test_battery_on_options(name, own):
    check_scheduler(name, **own)


class Impure(Straight):
    """Counts its own questions."""

    asked = 0

    def next_job(self, k=None, *, given=None):
        self.asked += 1
        job = super().next_job(k, given=given)
        return job and Job(job.trial, job.config, float(self.asked), origin=job.origin)


class Forgetful(Asha):
    """Forgets what it has promoted."""

    def on_end(self, trial, status):
        super().on_end(trial, status)
        for rung in self._ladder(trial):
            if trial in rung and status is Status.PAUSED:
                rung.passed.discard(trial)
                rung.open(trial)


class Stubborn(Asha):
    """Promotes what has failed."""

    def on_end(self, trial, status):
        super().on_end(trial, Status.STOPPED if status is Status.FAILED else status)


class Hasty(Asha):
    """Counts a repeated report once more, under another number."""

    def rungs(self):
        rows = super().rungs()
        return rows + rows[:1]


class Idle(Straight):
    """Starts one trial at a time."""

    def next_job(self, k=None, *, given=None):
        return None if self._open else super().next_job(k, given=given)


class Moody(Straight):
    """Decides by something that is not in the log."""

    calls = 0

    def on_report(self, report):
        type(self).calls += 1
        return Decision.STOP if type(self).calls % 50 == 0 else Decision.CONTINUE


@pytest.mark.parametrize(
    ("broken", "own", "message"),
    [
        (Impure, {}, "is not pure"),
        (Forgetful, {"type": "promotion"}, "granted twice"),
        (Stubborn, {"type": "promotion"}, "but its trial is Status.FAILED"),
        (Hasty, {}, "counted twice"),
        (Idle, {}, "workers were idle"),
        (Moody, {}, "cold rebuild"),
    ],
)
def test_the_battery_catches(broken, own, message):
    with pytest.raises(AssertionError, match=message):
        check_scheduler(broken, **own)


COUNTS = {"eta": 2, "brackets": 1, "n": 4, "least": 2, "pool": 4, "top": 2, "population": 4, "runs": 2}


@pytest.mark.parametrize("name", names("scheduler"))
def test_whole_numbers_may_be_written_with_a_point(name, tmp_path):
    counts = {key: value for key, value in COUNTS.items() if key in own_arguments(load("scheduler", name))}
    if not counts:
        pytest.skip("it counts nothing")

    def train(run):
        for epoch in run.resources():
            with run.save():  # for those that clone
                pass
            run.report(loss=run.config["x"] / epoch, epoch=epoch)

    def told(own, folder):
        study = lu.Study(
            lu.Space(x=lu.Float(0.0, 1.0)),
            searcher="auto" if name in ("bohb", "dehb", "pb2") else "random",
            scheduler={"name": name, **own},
            fidelity=("epoch", 1, 4),
            folder=tmp_path / folder,
        )
        study.run(train, trials=4, executor="inline", workers=1)
        return [(trial.config, trial.status, trial.resource) for trial in study.trials]

    assert told({key: float(value) for key, value in counts.items()}, "points") == told(counts, "none")
