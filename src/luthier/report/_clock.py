"""Time in a study: seconds from its first event without the gaps, and the order in which results became known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from luthier.base.records import Event, Trial
from luthier.report._source import StudyView

# what is said of a study while nobody works on it: notes, plans, and that a driver was found dead (by the wall clock)
_ASIDE = frozenset({"annotated", "enqueued", "widened", "lost"})
#: Kinds of events that end a run.
ENDS = frozenset({"paused", "stopped", "finished", "failed", "lost"})


class Clock:
    """Turns event times into seconds that the study was being worked on.

    A study that was interrupted at night and resumed in the morning did not search all night: the gap before every
    `begun` event is left out, and so is the one after every `ended` event when nothing runs any more. Notes, and the
    news that a dead driver's trials are lost, let no time pass.

    Args:
        events: The log, in order; times are seconds since the epoch, or virtual seconds from 0.

    Attributes:
        end: Length of the study in seconds.
        virtual: Whether the seconds are virtual.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self._from: list[float] = []  # times after which a larger gap has been left out
        self._gaps: list[float] = []
        now, gap = (events[0].time if events else 0.0), 0.0
        self._zero = self._last = now
        resting, running = False, set[int | None]()
        for event in events:
            if event.kind not in _ASIDE:
                if event.time > now and (resting or event.kind == "begun"):
                    gap += event.time - now
                    self._from.append(event.time)
                    self._gaps.append(gap)
                now = max(now, event.time)
            if event.kind == "started":
                running.add(event.trial)
            elif event.kind in ENDS:
                running.discard(event.trial)
            resting = not running and (event.kind == "ended" or (resting and event.kind in _ASIDE))
        self._last = now
        self.end = self(now)
        self.virtual = any(event.kind == "begun" and bool(event.data.get("virtual")) for event in events)

    def __call__(self, time: float) -> float:
        """Seconds of work until `time` (as in the events), from 0 to `end`."""
        time = min(time, self._last)
        i = bisect_right(self._from, time)
        seconds = time - self._zero - (self._gaps[i - 1] if i else 0.0)
        if i < len(self._from):  # inside a gap that is left out: its beginning
            seconds = min(seconds, self._from[i] - self._zero - self._gaps[i])
        return max(0.0, seconds)


def in_order(study: StudyView) -> list[tuple[float, Trial]]:
    """Trials that were started, with the time of their latest result, in the order of that time.

    What is decided later about a trial, such as that a paused one does not go on, does not count as a result.
    """
    latest: dict[int | None, float] = {}
    for event in study.events():
        if event.kind in ("started", "reported", "finished", "failed", "lost"):
            latest[event.trial] = event.time
    timed = [(latest.get(trial.number, trial.ended or 0.0), trial) for trial in study.trials]
    begun = [row for row in timed if row[1].number in latest or row[1].metrics]
    return sorted(begun, key=lambda row: (row[0], row[1].number))
