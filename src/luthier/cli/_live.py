"""The live table of a running study, for terminals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from luthier.base.records import Event, Status, Trial
from luthier.cli._progress import Progress
from luthier.cli._text import configuration, duration, outcome
from luthier.study import Result, Study

_COLOURS = {
    Status.RUNNING: "cyan",
    Status.COMPLETED: "green",
    Status.STOPPED: "yellow",
    Status.PAUSED: "blue",
    Status.DIVERGED: "magenta",
    Status.FAILED: "red",
    Status.LOST: "red",
}


class Board(Progress):
    """One table, redrawn four times a second: trials by status, incumbent, default, rungs, budget, last trials.

    Args:
        study: The study that runs.
        budget: Trials in all and seconds of this call; None for no limit.
        console: Where to draw; default: standard output.
    """

    def __init__(self, study: Study, budget: tuple[int | None, float | None], console: Console | None = None) -> None:
        self._study, (self._trials, self._seconds) = study, budget
        self._begin = time.monotonic()
        self._dirty, self._due = True, 0.0
        self._result: Result | None = None
        self._rungs: list[Mapping[str, Any]] = []
        self._rungs_due = 0.0
        self._live = Live(get_renderable=self.draw, console=console or Console(), refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, study: Study, event: Event) -> None:
        """Something happened: the next drawing looks at the study again."""
        self._dirty = True
        if event.kind == "reported" and time.monotonic() >= self._rungs_due:
            begin = time.monotonic()
            # here, in the driver's thread: asking the scheduler may rebuild it
            self._rungs = _best_of_rungs(study)
            self._rungs_due = time.monotonic() + max(0.5, 20 * (time.monotonic() - begin))

    def draw(self) -> RenderableType:
        """The table as it is now; called by the drawing thread."""
        now = time.monotonic()
        if self._result is None or (self._dirty and now >= self._due):
            self._dirty = False
            try:
                self._result = self._study.result()
            except RuntimeError:
                # the driver added a trial while this thread was reading: look again at the next drawing
                self._dirty = True
            self._due = time.monotonic() + 20 * (time.monotonic() - now)
        if self._result is None:
            return Text("starting")
        return Group(self._summary(self._result), self._last(self._result))

    def _summary(self, result: Result) -> Table:
        study, problem = self._study, self._study.problem
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="ellipsis", no_wrap=True)
        grid.add_row(study.name, f"{study.searcher_name} with {study.scheduler_name}, {self._budget(result)}")
        grid.add_row("trials", _statuses(result))
        if len(problem.objectives) > 1:
            grid.add_row("Pareto set", f"{len(result.pareto)} trials")
            for trial in result.pareto[:3]:
                grid.add_row("", f"trial {trial.number}, {outcome(trial, problem)}; {configuration(trial)}")
        elif result.best is None:
            grid.add_row("best", "no result yet")
        else:
            grid.add_row("best", f"trial {result.best.number}, {outcome(result.best, problem)}")
            grid.add_row("", configuration(result.best))
        if result.default is not None:
            grid.add_row("default", outcome(result.default, problem))
        for row in self._rungs:
            grid.add_row(
                f"{problem.fidelity.name if problem.fidelity else 'resource'} {row['resource']:g}",
                f"{row['count']} trials, best {row['best']:.6g} (trial {row['trial']})",
            )
        return grid

    def _budget(self, result: Result) -> str:
        passed = time.monotonic() - self._begin
        texts = [f"{duration(passed)} elapsed"]
        if self._trials is not None:
            texts.append(f"{max(0, self._trials - len(result.trials))} of {self._trials} trials left")
        if self._seconds is not None:
            texts.append(f"{duration(max(0.0, self._seconds - passed))} left")
        return ", ".join(texts)

    def _last(self, result: Result) -> Table:
        problem = self._study.problem
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name, justify in (("trial", "right"), ("status", "left"), ("result", "left"), ("configuration", "left")):
            table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        for trial in _latest(result.trials, 5):
            status = Text(trial.status.value, style=_COLOURS.get(trial.status, ""))
            shown = Text(trial.error, style="red") if trial.error else Text(outcome(trial, problem))
            table.add_row(str(trial.number), status, shown, Text(configuration(trial)))
        return table


def _statuses(result: Result) -> Text:
    text = Text()
    for status in Status:
        count = result.counts.get(status.value, 0)
        if count:
            text.append(f"{count} {status.value}  ", style=_COLOURS.get(status, ""))
    return text if text.plain else Text("none yet", style="dim")


def _latest(trials: list[Trial], n: int) -> list[Trial]:
    """What runs now, and what ended last."""
    running = [t for t in trials if t.status is Status.RUNNING]
    ended = sorted((t for t in trials if t.ended is not None), key=lambda t: t.ended or 0.0, reverse=True)
    return [*running[-n:], *ended][:n]


def _best_of_rungs(study: Study) -> list[Mapping[str, Any]]:
    """One row a rung, over all brackets: how many trials stand there, and the best of them."""
    objective = study.problem.objectives[0]
    rows: dict[float, dict[str, Any]] = {}
    for entry in study.rungs():
        resource, value = float(str(entry["resource"])), float(str(entry["value"]))
        row = rows.setdefault(resource, {"resource": resource, "count": 0, "best": value, "trial": entry["trial"]})
        row["count"] += 1
        if value * objective.sign < row["best"] * objective.sign:
            row["best"], row["trial"] = value, entry["trial"]
    return [rows[resource] for resource in sorted(rows)]
