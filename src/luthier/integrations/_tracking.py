"""What trackers of experiments have in common: a study's events, as the life of one run for each trial."""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from luthier.base.errors import LuthierError, LuthierWarning
from luthier.base.records import Event, Status
from luthier.study import Result, Study

#: What ends a trial, and its status.
ENDS = {"finished": "completed", "stopped": "stopped", "failed": "failed"}


class Tracker(ABC):
    """A callback of a study that keeps one run for each trial, and one for the study, in another program.

    It is given to `luthier.Study(..., callbacks=[tracker])`, or sends what a study has already: `tracker.log(study)`.
    It works from the log, with the log's times. What the tracker cannot take (a server that is away) is warned of once
    and does not end the study: the study's own store has it, and `log` sends it later.
    """

    def __init__(self) -> None:
        self._runs: dict[int, Any] = {}  # trial -> the tracker's handle; of trials that have not ended
        self._done: dict[int, int] = {}  # trial -> evaluations that have ended, where they are repeated
        self._closed: set[int] = set()
        self._study: Study | None = None
        self._complained = False

    def __call__(self, study: Study, event: Event) -> None:
        """Take over one event."""
        try:
            self._take(study, event)
        except LuthierError:
            raise  # such as a package that is not installed
        except Exception as error:
            if not self._complained:
                self._complained = True
                line = (str(error).splitlines() or [""])[0]
                warnings.warn(
                    f"{type(self).__name__}: {type(error).__name__}: {line} "
                    f"This event is in the study's own log and not there; {type(self).__name__}(...).log(study) sends "
                    "all of it again.",
                    LuthierWarning,
                    stacklevel=2,
                )

    def log(self, study: Study) -> None:
        """Send a study that exists; trials that are there already are left as they are."""
        for event in study.events():
            self(study, event)
        result = study.result()
        if result.reason is None:
            self._conclude(study, result)

    def _take(self, study: Study, event: Event) -> None:
        if self._study is not study:
            self._runs, self._done, self._closed, self._study = {}, {}, set(), study
            self._begin(study, event.time)
        data, trial = event.data, event.trial
        if event.kind == "ended":
            for lost in [n for n in self._runs if study.trials[n].status is Status.LOST]:
                self._leave(lost, "lost", event)  # not before: its result may come after all
            self._conclude(study, study.result())
        if trial is None:
            return
        if event.kind == "asked":
            self._enter(study, trial, data["config"], str(data.get("origin", "")), event.time)
        elif event.kind in ("started", "reported", *ENDS) and trial not in self._runs and trial not in self._closed:
            known = study.trials[trial]  # one that an earlier process has asked for
            self._enter(study, trial, known.config, known.origin, event.time)
            earlier = [e for e in study.events() if e.trial == trial and e.seq < event.seq]
            self._done[trial] = sum(e.kind == "finished" for e in earlier)
        handle = self._runs.get(trial)
        if handle is None:
            return
        if event.kind == "extended":
            self._configure(handle, data["config"])
        elif event.kind == "reported":
            self._report(handle, _named(data["metrics"]), data.get("resource"), event.time)
        elif event.kind in ENDS:
            self._done[trial] += 1
            status = str(data.get("status", ENDS[event.kind]))
            if status != "completed" or self._done[trial] >= study.repeats:
                self._leave(trial, status, event)

    def _enter(self, study: Study, trial: int, config: Mapping[str, Any], origin: str, time: float) -> None:
        """Begin to follow a trial; one that is there and has ended is left alone."""
        self._done[trial] = 0
        handle = self._open(study, trial, config, origin, time)
        if handle is None:
            self._closed.add(trial)
        else:
            self._runs[trial] = handle

    def _leave(self, trial: int, status: str, event: Event) -> None:
        """A trial has ended."""
        self._close(self._runs.pop(trial), status, event.data.get("error") or event.data.get("reason"), event.time)
        self._closed.add(trial)

    # what each tracker does --------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, study: Study, time: float) -> None:
        """A study is seen for the first time."""

    @abstractmethod
    def _open(self, study: Study, trial: int, config: Mapping[str, Any], origin: str, time: float) -> Any:
        """A trial was made; its handle, None when it is there and has ended."""

    @abstractmethod
    def _configure(self, handle: Any, config: Mapping[str, Any]) -> None:
        """A trial has named more hyperparameters."""

    @abstractmethod
    def _report(self, handle: Any, metrics: Mapping[str, float], resource: float | None, time: float) -> None:
        """A trial has measured something."""

    @abstractmethod
    def _close(self, handle: Any, status: str, error: str | None, time: float) -> None:
        """A trial has ended."""

    @abstractmethod
    def _conclude(self, study: Study, result: Result) -> None:
        """A run of the study has ended."""


def _named(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics under names that trackers take."""
    return {re.sub(r"[^\w\-./ ]", "_", name): float(value) for name, value in metrics.items()}
