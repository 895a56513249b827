"""One study that is followed: its page in parts, kept for as long as its log does not grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import LuthierError
from luthier.report.live import Part, Section, parts, quick, slow
from luthier.report.text import summary
from luthier.serve._delta import Tables
from luthier.serve._telling import tell
from luthier.study import Study
from luthier.study.listing import Entry

#: Sections with a model are computed again after this many times what they took, and these seconds at least.
REST, LEAST_REST = 10.0, 5.0


@dataclass(frozen=True)
class Brief:
    """A study in a line.

    Args:
        aim: What it improves, in words.
        trials: How many there are.
        counts: Trials by status.
        best: Value of the incumbent, or the size of the Pareto set, in words.
        until: Time of the last event, seconds since the epoch.
        running: Whether a trial is running.
    """

    aim: str
    trials: int
    counts: dict[str, int]
    best: str
    until: float
    running: bool


class Watch:
    """An open study; every method may be called from any thread.

    Args:
        entry: The study.

    Raises:
        StorageError: it cannot be read.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._lock = threading.RLock()
        self._study: Study | None = None
        self._quick: tuple[int, str, list[Section]] | None = None  # the log's length, head, sections
        self._slow: tuple[int, list[Section]] = (-1, [])
        self._parts: tuple[tuple[int, int], list[Part]] | None = None
        self._brief: tuple[int, Brief] | None = None
        self._tables = Tables()
        self._thread: threading.Thread | None = None
        self._next = 0.0  # moment from which the slow sections may be computed again
        self._closed = False

    def parts(self) -> tuple[list[Part], bool]:
        """The page as it is now, and whether more of it is on its way."""
        with self._lock:
            study = self._opened()
            head = study.refresh()
            if self._quick is None or self._quick[0] != head:
                self._quick = (head, *quick(study))
            self._start(head)
            key = (head, self._slow[0])
            if self._parts is None or self._parts[0] != key:
                self._parts = (key, parts(self._quick[1], [*self._quick[2], *self._slow[1]]))
                self._tables.keep(self._parts[1])
            return self._parts[1], self._slow[0] != head

    def changes(self, known: dict[str, str]) -> dict[str, Any] | None:
        """What a reader lacks, by the marks of what they have; None when that is nothing."""
        with self._lock:
            found, more = self.parts()
            fresh, order = changed(found, known), [part.id for part in found]
            if not fresh and not more and set(known) <= set(order):
                return None
            return {"parts": [self._tables.sent(part, known) for part in fresh], "order": order, "more": more}

    def brief(self) -> Brief:
        """The study in a line."""
        with self._lock:
            study = self._opened()
            head = study.refresh()
            if self._brief is None or self._brief[0] != head:
                self._brief = (head, _brief(study))
            return self._brief[1]

    def report(self) -> str:
        """The whole report as one file."""
        from luthier.report import render

        with Study.open(self.entry.where, self.entry.name) as study:
            return render(study)

    def note(self, trial: int, text: str) -> None:
        """Write a note on a trial. Raises ArgumentError when there is no such trial."""
        with self._lock:
            study = self._opened()
            study.refresh()
            study.note(trial, text)

    def close(self) -> None:
        """Release the store; a later call opens it again."""
        with self._lock:
            self._closed = True
            study, self._study = self._study, None
        if study is not None:
            with suppress(LuthierError):
                study.close()

    def _opened(self) -> Study:
        if self._study is None:
            self._study = Study.open(self.entry.where, self.entry.name)
            self._closed = False
        return self._study

    def _start(self, head: int) -> None:
        """Have the sections with a model computed, beside this thread, when they are old and rest is over."""
        if self._slow[0] == head or self._thread is not None or time.monotonic() < self._next:
            return
        # no daemon: one that is in the midst of compiled code when Python ends takes the process down with SIGABRT
        self._thread = threading.Thread(target=self._compute, name="luthier-serve-models", daemon=False)
        self._thread.start()

    def _compute(self) -> None:
        begun, found, head = time.monotonic(), None, -1
        try:
            # a study of its own: the page is answered meanwhile
            with Study.open(self.entry.where, self.entry.name) as study:
                head = study.refresh()
                found = slow(study)
        except Exception as error:  # the page stays as it is, and the next look tries again
            tell(error)
        took = time.monotonic() - begun
        with self._lock:
            self._thread, self._next = None, time.monotonic() + max(LEAST_REST, REST * took)
            if found is not None and not self._closed:
                self._slow = (head, found)


def changed(found: Sequence[Part], known: dict[str, str]) -> list[Part]:
    """Parts of which a reader has an older state, or none."""
    return [part for part in found if known.get(part.id) != part.mark]


def _brief(study: Study) -> Brief:
    facts = summary(study)
    aims = " and ".join(f"{'minimise' if o['goal'] == 'min' else 'maximise'} {o['name']}" for o in facts["objectives"])
    best = ""
    if len(facts["objectives"]) > 1:
        best = f"{len(facts['pareto'])} in the Pareto set"
    elif facts["best"] is not None:
        value = facts["best"]["values"][facts["objectives"][0]["name"]]
        best = "" if value is None else f"{value:.5g}"
    return Brief(
        aims, facts["trials"], facts["counts"], best, facts["until"] or 0.0, bool(facts["counts"].get("running"))
    )
