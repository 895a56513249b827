"""What the log says: trials with their histories, and the queues that follow from them. No algorithm lives here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from luthier.base.records import Configuration, Event, Report, Status, Trial
from luthier.base.seeds import split_seed
from luthier.space.space import Space
from luthier.study._definition import Definition

# what may still happen to a trial that is not running: the end of the study stops what is paused, and a result
# that arrives after its driver was given up counts all the same
_LATE = {
    (Status.PAUSED, Status.STOPPED),
    (Status.WAITING, Status.STOPPED),
    (Status.WAITING, Status.COMPLETED),
    (Status.WAITING, Status.DIVERGED),
    (Status.WAITING, Status.FAILED),
    (Status.LOST, Status.COMPLETED),
    (Status.LOST, Status.DIVERGED),
}

# what is said of one run, and not of the trial's result
_OF_ONE_RUN = frozenset({Status.LOST, Status.PAUSED, Status.STOPPED, Status.FAILED})


class State:
    """A study's trials, folded from its events one by one.

    Args:
        definition: The study as it was made.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.space: Space = definition.problem.space
        self.trials: dict[int, Trial] = {}
        self.head = 0
        self.time = 0.0
        self.fresh = True  # whether the last report said something new
        self.waiting: dict[int, None] = {}  # trials to be started again: lost ones, and those with repeats left
        self.running: dict[int, str] = {}  # trial -> driver
        self.queue: dict[int, Configuration] = {}  # enqueued, by the seq of their event
        self.rounds: dict[int, int] = {}  # split seeds of what was enqueued to be confirmed, by the seq of its event
        self.confirmed = 0  # trials that the last confirmation chose from; 0: there was none
        self.added = 0  # trials that were evaluated elsewhere: they use no budget
        self.initial: set[int] = set()  # which of the definition's first configurations were asked
        self.begun: dict[str, Any] = {}  # how the study was last run: what `luthier resume` needs
        self.ended: str | None = None  # why the last run ended
        self.latest: int | None = None  # the trial that the newest event speaks of
        self.started: float | None = None  # when the first trial was
        self.order: dict[int, None] = {}  # trials that are over or set aside, by when they last became so
        self.verdicts: dict[int, list[dict[str, Any]]] = {}  # what each stopping rule said, by its place
        self.check_seconds: dict[int, list[float]] = {}  # what its checks took
        self.stopper: int | None = None  # the place of the rule that ended the study
        self.stopped: str | None = None  # what the rule said that ended the study
        self._losses: dict[int, int] = {}
        self._untouched: dict[int, list[float]] = {}  # of the repetitions of a trial
        self._split = split_seed(definition.seed)
        self._apply: Mapping[str, Callable[[Event], None]] = {
            "asked": self._asked,
            "started": self._started,
            "reported": self._reported,
            "paused": self._set_aside,
            "stopped": self._set_aside,
            "finished": self._finished,
            "failed": self._failed,
            "lost": self._lost,
            "enqueued": self._enqueued,
            "extended": self._extended,
            "widened": self._widened,
            "annotated": self._annotated,
            "begun": self._begun,
            "ended": self._end,
            "verdict": self._verdict,
        }

    def apply(self, event: Event) -> None:
        """Fold one event in; they come in order of `seq`."""
        self._apply.get(event.kind, self._nothing)(event)
        self.head, self.latest = event.seq, event.trial
        self.time = max(self.time, event.time)

    def _nothing(self, event: Event) -> None:
        """A kind that changes no trial (or that a newer minor version added)."""

    def _asked(self, event: Event) -> None:
        assert event.trial is not None
        data = event.data
        self.trials[event.trial] = Trial(
            event.trial, Configuration(data["config"]), origin=data["origin"], parent=data.get("parent")
        )
        self.trials[event.trial].split_seed = self._split_of(data)
        self.added += data["origin"] == "added"
        if "initial" in data:
            self.initial.add(data["initial"])
        if "queued" in data:
            self.queue.pop(data["queued"], None)

    def _split_of(self, data: Mapping[str, Any]) -> int:
        """The split seed of a new trial; a clone goes on with what its parent's checkpoint has learnt from."""
        if data.get("parent") is not None:
            return self.trials[data["parent"]].split_seed
        return int(data.get("split_seed", self._split))

    def _trial(self, event: Event) -> Trial:
        assert event.trial is not None
        return self.trials[event.trial]

    def _started(self, event: Event) -> None:
        trial, data = self._trial(event), event.data
        trial.status = Status.RUNNING
        trial.runs += 1
        trial.worker = data.get("worker")
        trial.until = data.get("until")
        if trial.checkpoint is None:
            trial.checkpoint = data.get("checkpoint")  # a clone's: its parent's
        if trial.started is None:
            trial.started = event.time
        if self.started is None:
            self.started = event.time
        trial.ended = None
        trial.error = None
        self.waiting.pop(trial.number, None)
        self.running[trial.number] = data.get("driver", "")

    def _reported(self, event: Event) -> None:
        trial, data = self._trial(event), event.data
        metrics = data["metrics"]
        untouched = metrics.get(self.definition.selection.untouched)
        if untouched is not None:  # nobody that reads reports is shown it
            metrics = {name: value for name, value in metrics.items() if name != self.definition.selection.untouched}
        report = Report(
            trial.number,
            data.get("resource"),
            metrics,
            data.get("seconds", 0.0),
            _scores(data.get("folds", ())),
            data.get("repeat", 0),
            data.get("checkpoint"),
        )
        if data.get("checkpoint"):
            trial.checkpoint = data["checkpoint"]
        # a run that others had given up may go on reporting after the trial has got its result
        over = trial.status.ended and trial.status is not Status.LOST
        self.fresh = not over and is_new(trial, report)
        trial.reports.append(report)
        if self.fresh:
            trial.metrics = dict(report.metrics)
            trial.resource = report.resource
            trial.untouched = untouched

    def _over(self, event: Event, status: Status) -> Trial | None:
        """End a run; None when it is over already.

        Two drivers may both take over from a dead one: the second word on a run comes when the trial may be running
        once more, and means nothing. A result is another matter: the first one counts, whoever brings it.
        """
        trial = self._trial(event)
        if trial.status is not Status.RUNNING and (trial.status, status) not in _LATE:
            return None
        if status in _OF_ONE_RUN and event.data.get("attempt", trial.runs) != trial.runs:
            return None
        trial.status = status
        trial.ended = event.time
        trial.seconds += event.data.get("seconds", 0.0)
        self.running.pop(trial.number, None)
        self.waiting.pop(trial.number, None)
        if status is not Status.LOST:
            self.order.pop(trial.number, None)
            self.order[trial.number] = None
        return trial

    def _set_aside(self, event: Event) -> None:
        self._over(event, Status.PAUSED if event.kind == "paused" else Status.STOPPED)

    def _finished(self, event: Event) -> None:
        trial = self._over(event, Status(event.data.get("status", "completed")))
        if trial is None:
            return
        if self.definition.repeats > 1 and trial.status is Status.COMPLETED:
            trial.repeats.append(dict(trial.metrics))
            if trial.untouched is not None:
                known = self._untouched.setdefault(trial.number, [])
                known.append(trial.untouched)
                trial.untouched = sum(known) / len(known)
            if len(trial.repeats) < self.definition.repeats:
                trial.status = Status.WAITING
                self.order.pop(trial.number, None)
                trial.checkpoint = None  # the next repetition starts afresh
                self.waiting[trial.number] = None
            else:
                _average(trial)
        if event.data.get("used") is not None:
            trial.config = Configuration({n: v for n, v in trial.config.items() if n in set(event.data["used"])})

    def _failed(self, event: Event) -> None:
        trial = self._over(event, Status.FAILED)
        if trial is not None:
            trial.error = event.data.get("error")

    def _lost(self, event: Event) -> None:
        trial = self._over(event, Status.LOST)
        if trial is None:
            return
        trial.error = event.data.get("error")
        if not event.data.get("interrupted"):
            self._losses[trial.number] = self._losses.get(trial.number, 0) + 1
        if self._losses.get(trial.number, 0) <= self.definition.retries:
            trial.status = Status.WAITING
            trial.ended = None
            self.waiting[trial.number] = None

    def _enqueued(self, event: Event) -> None:
        self.queue[event.seq] = Configuration(event.data["config"])
        if "split_seed" in event.data:
            self.rounds[event.seq] = event.data["split_seed"]
            self.confirmed = event.data["of"]

    def _extended(self, event: Event) -> None:
        trial = self._trial(event)
        trial.config = Configuration({**trial.config, **event.data["config"]})

    def _widened(self, event: Event) -> None:
        if "space" in event.data:
            self.space = Space.from_dict(event.data["space"])
        else:
            more = Space.from_dict({"hyperparameters": event.data["add"]})
            self.space = Space({**self.space.domains, **more.domains})

    def _annotated(self, event: Event) -> None:
        trial = self._trial(event)
        trial.tags.update(event.data.get("tags", {}))
        trial.note = event.data.get("note", trial.note)

    def _begun(self, event: Event) -> None:
        self.begun, self.ended = event.data, None
        if event.data.get("stopping") is False:
            self.stopped = self.stopper = None  # the user wants more all the same

    def _end(self, event: Event) -> None:
        self.ended = event.data["reason"]

    def _verdict(self, event: Event) -> None:
        data = dict(event.data)
        place, advise, name = data.pop("place"), data.pop("advise"), data.pop("rule")
        if "seconds" in data:
            self.check_seconds.setdefault(place, []).append(data.pop("seconds"))
        self.verdicts.setdefault(place, []).append(data)
        ignored = self.begun.get("stopping") is False
        if data["stop"] and not advise and not ignored and self.stopped is None:
            self.stopper = place
            self.stopped = f"stopping rule {name!r}: {data['reason']}"


def is_new(trial: Trial, report: Report) -> bool:
    """Whether a report says something that was not known: a resumed trial may report a resource once more."""
    if report.resource is None or trial.resource is None:
        return True
    if trial.reports[-1].repeat != report.repeat:
        return True
    return report.resource > trial.resource


def _scores(logged: Any) -> tuple[float, ...]:
    """Scores of folds in a report; none where an earlier version let something else than numbers pass."""
    numbers = isinstance(logged, (list, tuple)) and all(isinstance(score, (int, float)) for score in logged)
    return tuple(logged) if numbers else ()


def _average(trial: Trial) -> None:
    """Mean and standard error of each metric over the repetitions."""
    k = len(trial.repeats)
    names = [name for name in trial.repeats[0] if all(name in one for one in trial.repeats)]
    for name in names:
        values = [one[name] for one in trial.repeats]
        mean = sum(values) / k
        trial.metrics[name] = mean
        trial.stderr[name] = math.sqrt(sum((v - mean) ** 2 for v in values) / (k - 1) / k)
