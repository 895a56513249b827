"""What is shown while a study runs: nothing, plain lines, or JSON lines; `_live` has the table for terminals."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from luthier.cli import _json
from luthier.cli._text import configuration, duration, outcome, plural

if TYPE_CHECKING:
    from luthier.base.records import Event
    from luthier.study import Result, Study


class Talk:
    """Where words for people go: standard output, or standard error when the output is for machines.

    Args:
        json: Whether standard output carries JSON.
        quiet: Whether only the result is wanted.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet

    def say(self, text: str) -> None:
        """A line of the result."""
        if not (self.json and self.quiet):
            print(text, file=sys.stderr if self.json else sys.stdout, flush=True)

    def detail(self, text: str) -> None:
        """A line that `--quiet` leaves out."""
        if not self.quiet:
            self.say(text)


class Progress:
    """Hears every event of a running study and shows nothing: `--quiet`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is over, one way or another."""

    def __call__(self, study: Study, event: Event) -> None:
        """A study's callback."""


class Watch:
    """Notices a new incumbent; looks seldom enough to cost a run next to nothing.

    Args:
        study: The study before it runs: the incumbent that it has already is no news.
    """

    def __init__(self, study: Study) -> None:
        self._known = _incumbent(study.result())
        self._due = 0.0

    def look(self, study: Study, event: Event) -> Result | None:
        """The result, if its incumbent is a new one."""
        if event.kind not in ("reported", "finished", "stopped") or time.monotonic() < self._due:
            return None
        begin = time.monotonic()
        result = study.result()
        # at most a twentieth of the time goes into looking, and people read no faster than this
        self._due = time.monotonic() + max(0.2, 20 * (time.monotonic() - begin))
        now = _incumbent(result)
        if not now or now == self._known:
            return None
        self._known = now
        return result


def _incumbent(result: Result) -> tuple[int | bool, ...]:
    """What has to change for an incumbent to be a new one; empty without any."""
    if result.best is None:
        return tuple(trial.number for trial in result.pareto)
    # a trial that goes on reports better and better: one line when it takes the lead, one when it ends
    return result.best.number, result.best.status.ended


class Lines(Progress):
    """A plain line for each new incumbent: for files and pipes.

    Args:
        talk: Where they go.
        study: The study before it runs.
    """

    def __init__(self, talk: Talk, study: Study) -> None:
        self._talk, self._watch, self._begin = talk, Watch(study), time.monotonic()

    def __call__(self, study: Study, event: Event) -> None:
        """Print a new incumbent."""
        result = self._watch.look(study, event)
        if result is None:
            return
        passed = duration(time.monotonic() - self._begin)
        if result.best is None:
            self._talk.detail(f"[{passed}] {plural(len(result.trials), 'trial')}: Pareto set of {len(result.pareto)}")
            return
        best = result.best
        self._talk.detail(
            f"[{passed}] {plural(len(result.trials), 'trial')}: best is trial {best.number}, "
            f"{outcome(best, study.problem)}; {configuration(best)}"
        )


class JsonLines(Progress):
    """Every event of the log as a line of JSON, and an `incumbent` for each new one.

    While it is entered, what the program prints in this process goes to standard error.

    Args:
        study: The study before it runs.
    """

    def __init__(self, study: Study) -> None:
        self._watch, self._out = Watch(study), sys.stdout

    def __enter__(self) -> Self:
        sys.stdout = sys.stderr
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout = self._out

    def __call__(self, study: Study, event: Event) -> None:
        """Write the event."""
        _json.write(_json.event_data(event), self._out)
        result = self._watch.look(study, event)
        if result is not None:
            shown = [result.best] if result.best is not None else result.pareto
            _json.write({"event": "incumbent", "trials": [_json.trial_data(t) for t in shown]}, self._out)


def progress(study: Study, talk: Talk, budget: tuple[int | None, float | None]) -> Progress:
    """What suits the output.

    Args:
        study: The study that is going to run.
        talk: How to speak.
        budget: Trials in all and seconds for this call.
    """
    if talk.json:
        return JsonLines(study)
    if talk.quiet:
        return Progress()
    if sys.stdout.isatty():
        from luthier.cli._live import Board

        return Board(study, budget)
    return Lines(talk, study)
