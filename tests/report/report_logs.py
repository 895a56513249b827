"""Logs made by hand, and studies around them."""

from __future__ import annotations

from typing import Any

from report_samples import SampleStudy

from luthier.base.records import Configuration, Event, Fidelity, Objective, Report, Status, Trial
from luthier.space import Choice, Float, Space
from luthier.space.problem import Problem

NIGHT = 1_790_000_000.0  # the time of day of a study that ran in seconds from 0


class Log:
    """Writes events; times are as given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, time: float, kind: str, trial: int | None = None, **data: Any) -> None:
        self.events.append(Event(len(self.events) + 1, time, kind, trial, None, data))

    def run(self, trial: int, start: float, reports: list[tuple[float, float]], end: tuple[float, str], **data: Any):
        """A run of a trial on a worker: seconds and resource of its reports, and how it ended when."""
        self(start, "started", trial, **{"worker": "worker-0", **data})
        for at, resource in reports:
            self(
                at, "reported", trial, resource=resource, metrics={"loss": 1.0 / resource}, checkpoint=f"r{resource:g}"
            )
        self(end[0], end[1], trial, **({"status": "completed"} if end[1] == "finished" else {"reason": "scheduler"}))


def study_of(log: Log, *, high: float = 9, ladder: list[dict[str, Any]] | None = None, **configs: Any) -> SampleStudy:
    """A study around a log, with the trials that it tells of."""
    space = Space(rate=Float(1e-4, 1.0, log=True), kind=Choice("a", "b"), still=Float(0.0, 1.0))
    events = sorted(log.events, key=lambda event: event.time)
    trials: dict[int, Trial] = {}
    for event in events:
        n = event.trial
        if n is None:
            continue
        if n not in trials:
            config = {"rate": 0.01, "kind": "a", "still": 0.5, **configs.get(f"t{n}", {})}
            trials[n] = Trial(n, Configuration(config), Status.RUNNING, runs=1)
        trial = trials[n]
        if event.kind == "started" and "/" in event.data.get("checkpoint", ""):
            trial.parent = int(event.data["checkpoint"].partition("/")[0])
        elif event.kind == "reported":
            trial.reports.append(Report(n, event.data["resource"], event.data["metrics"]))
            trial.metrics, trial.resource = event.data["metrics"], event.data["resource"]
        elif event.kind in ("paused", "stopped", "failed", "lost"):
            trial.status = Status(event.kind)
        elif event.kind == "finished":
            trial.status = Status(event.data["status"])
    best = min((t for t in trials.values() if t.metrics), key=lambda t: t.metrics["loss"], default=None)
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, high))
    every = [trials[n] for n in sorted(trials)]
    return SampleStudy("hand-made", problem, every, events, ladder=ladder or [], best=best)


def study_of_nothing_but(log: Log) -> SampleStudy:
    return SampleStudy("log", Problem(Space(x=Float(0.0, 1.0)), (Objective("loss"),)), [], log.events)


def entry(bracket: int, resource: float, trial: int, promoted: bool) -> dict[str, Any]:
    return {"bracket": bracket, "resource": resource, "trial": trial, "value": 1.0, "promoted": promoted}


def climb() -> SampleStudy:
    """Trial 0 pauses at 1 and goes on to the top; 1 is stopped at the end; 2 and 3 are in later brackets."""
    log = Log()
    log(0.0, "begun", workers=1, executor="simulated", virtual=True)
    log.run(0, 0.0, [(2.0, 1)], (2.0, "paused"), until=1)
    log.run(1, 2.0, [(4.0, 1)], (4.0, "paused"), until=1)
    log.run(0, 6.0, [(8.0, 2), (9.0, 3), (20.0, 9)], (20.0, "finished"), checkpoint="r1", until=9)
    log.run(2, 20.0, [(21.0, 2), (23.0, 4)], (24.0, "paused"), until=3)  # reports every second epoch
    log.run(3, 24.0, [(25.0, 1)], (26.0, "stopped"))
    log(30.0, "stopped", 1, reason="end of the study")
    log(30.0, "ended")
    ladder = [entry(0, 1.0, 0, True), entry(0, 3.0, 0, True), entry(0, 9.0, 0, False), entry(0, 1.0, 1, False)]
    ladder += [entry(1, 3.0, 2, False), entry(2, 1.0, 3, False)]
    return study_of(log, ladder=ladder)
