"""One run: a method on a task with a seed, in virtual time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.records import Configuration, Decision, Status
from luthier.bench.simulation import simulate
from luthier.bench.studies.plan import Method, Plan
from luthier.bench.studies.store import Cell
from luthier.bench.studies.tasks import Task
from luthier.bench.studies.tools import Ask, Source, Told, Tool
from luthier.bench.studies.views import Thinking, View
from luthier.runtime.executors._base import End, Launch, Message, Setting, Target

RULE = "the highest resource reported, of those the lowest value seen; infeasible and failed trials never count"
_LONGEST = 500  # characters of an error that are kept
_SLACK = 1 + 1e-9  # shares of a resource add up to a little more or less than one


class Row(NamedTuple):
    """A new incumbent.

    Args:
        time: Virtual time.
        evaluations: Full-resource evaluations spent until then.
        config: Its configuration.
        seen: Its value, to be minimised.
        overhead: CPU seconds that the method had thought.
    """

    time: float
    evaluations: float
    config: Configuration
    seen: float
    overhead: float


class Trace:
    """Follows the incumbent through a run; see `RULE`.

    Args:
        task: The task.
        view: Its benchmark as the run sees it.
    """

    def __init__(self, task: Task, view: View) -> None:
        self._task, self._view = task, view
        self._spent: dict[int, float] = {}
        self._best = (math.inf, math.inf)
        self._holder: int | None = None
        self.rows: list[Row] = []
        self.reports = 0

    @property
    def evaluations(self) -> float:
        """Full-resource evaluations so far."""
        return math.fsum(self._spent.values())

    @property
    def trials(self) -> int:
        """Trials that have reported."""
        return len(self._spent)

    def heard(self, launch: Launch, message: Message, now: float, overhead: float) -> None:
        """A report."""
        self.reports += 1
        trial = launch.trial
        self._spent[trial] = max(self._spent.get(trial, 0.0), self._view.share(message.resource))
        value = self._task.usable(message.metrics)
        key = (-(message.resource or 0.0), value)
        if not math.isnan(value) and key < self._best:
            self._best = key
            if trial != self._holder:
                self._holder = trial
                self.rows.append(Row(now, self.evaluations, launch.config, value, overhead))


def run_cell(plan: Plan, method: Method, task: Task, view: View, seed: int, source: Source | None) -> Cell:
    """Run a method; whatever it raises ends the run, and what was found until then is kept.

    Args:
        plan: The study.
        method: The method.
        task: The task.
        view: Its benchmark, under the clock of its budget.
        seed: Of the method, and of the benchmark's repetition.
        source: Where the tool's runs come from, None for a method of luthier.
    """
    begin, answered = time.perf_counter(), (view.cpu_seconds, view.wall_seconds)
    trace = Trace(task, view)
    executor = Thinking(trace.heard, plan.machines, seed=seed)
    until, error, failures, unfit = task.horizon(plan) * method.stretch * _SLACK, "", 0, False
    try:
        if source is None:
            failures = _ours(plan, method, executor, view, seed, until)
        else:
            failures = _theirs(plan, method, executor, task, view, seed, until, source)
    except Exception as wrong:  # the method's fault, whatever it is: the cell says so, and the study goes on
        error = f"{type(wrong).__name__}: {wrong}"[:_LONGEST]
        unfit = source is None and not executor.opened and isinstance(wrong, (ArgumentError, UnsupportedError))
    answers = view.cpu_seconds - answered[0], view.wall_seconds - answered[1]
    harness = time.perf_counter() - begin - executor.wall_seconds - answers[1]
    return replace(_cell(plan, task, trace, executor, failures, answers[0], harness, error), unfit=unfit)


def _cell(
    plan: Plan,
    task: Task,
    trace: Trace,
    executor: Thinking,
    failures: int,
    answers: float,
    harness: float,
    error: str,
) -> Cell:
    scored, tested = _scores(task, trace.rows)
    return Cell(
        horizon=task.horizon(plan),
        clock=plan.budget_of(task.plan).clock,
        times=np.array([row.time for row in trace.rows]),
        evaluations=np.array([row.evaluations for row in trace.rows]),
        seen=np.array([row.seen for row in trace.rows]),
        scored=scored,
        tested=tested,
        overhead=np.array([row.overhead for row in trace.rows]),
        ended=executor.now() if executor.opened else 0.0,
        trials=trace.trials,
        reports=trace.reports,
        failures=failures,
        spent=trace.evaluations,
        cpu_seconds=executor.cpu_seconds,
        wall_seconds=executor.wall_seconds,
        answers_seconds=answers,
        harness_seconds=max(0.0, harness),
        busy=executor.busy,
        rescored=len({row.config for row in trace.rows}),
        error=error,
    )


def _ours(plan: Plan, method: Method, executor: Thinking, view: View, seed: int, until: float) -> int:
    """A searcher under a scheduler; how many trials failed or diverged."""
    done = simulate(
        view,
        searcher=method.searcher,
        scheduler=method.scheduler,
        workers=plan.workers,
        seconds=until,
        seed=seed,
        constraints=view.problem.constraints,
        defaults_first=False,  # the initial design is the method's own, as every tool's is
        executor=executor,
        give_up=10**9,  # a task whose first trials fail is a hard task, no broken cell
    )
    done.study.close()
    return sum(trial.status in (Status.FAILED, Status.DIVERGED) for trial in done.result.trials)


def _theirs(
    plan: Plan, method: Method, executor: Thinking, task: Task, view: View, seed: int, until: float, source: Source
) -> int:
    """Another tool; it is asked whenever a worker is free. How many trials failed or diverged."""
    executor.go()
    tool = source.start(view.problem, seed=seed, evaluations=task.evaluations(plan) * method.stretch)
    executor.stop()
    executor.elsewhere = lambda: float(getattr(tool, "cpu_seconds", 0.0))
    host = _Host(tool, task, view)
    executor.open(Setting(cast("Target", view), workers=plan.workers), host)
    try:
        while executor.now() < until:
            for worker in list(executor.free()):
                launch = host.ask()
                if launch is None:
                    break
                executor.submit(launch, worker)
            if not host.running:
                break
            executor.step(until - executor.now())
        executor.stop()
        host.over = True  # what still runs is ended, and nobody is told
        for trial in list(host.running):
            executor.cancel(trial)
        while host.running:
            executor.step(0.0)
    finally:
        executor.close()
    return host.failures


class _Host:
    """The executor's host while another tool decides."""

    def __init__(self, tool: Tool, task: Task, view: View) -> None:
        self._tool, self._task, self._view = tool, task, view
        self._early = bool(getattr(tool, "early", False))
        self._told: set[int] = set()  # trials whose end the tool knows
        self.running: set[int] = set()
        self.trials = self.failures = 0
        self.over = False

    def ask(self) -> Launch | None:
        """The next trial, None while there is none."""
        asked = self._tool.ask()
        if asked is None:
            return None
        config, until = asked if isinstance(asked, Ask) else (asked, None)
        checked = self._view.space.check(config, where="the tool's proposal")
        launch = Launch(self.trials, 1, checked, fidelity=self._view.fidelity, until=until)
        self.running.add(self.trials)
        self.trials += 1
        return launch

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """Pass a report on, if the tool wants to hear it."""
        value, axis = self._task.usable(message.metrics), self._view.fidelity
        if math.isnan(value):
            self._tell(launch, math.nan, message.resource, now, done=True)
            return Decision.STOP
        full = axis is None or (message.resource or 0.0) >= (axis.high if launch.until is None else launch.until)
        if not (self._early or full):
            return Decision.CONTINUE
        if self._tell(launch, value, message.resource, now, done=full) and not full:
            self._told.add(launch.trial)
            return Decision.STOP
        return Decision.CONTINUE

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """No program runs that could ask."""
        raise UnsupportedError("a benchmark asks for no hyperparameters")

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """A trial that ended without a last result has failed."""
        self.running.discard(launch.trial)
        if launch.trial not in self._told and not self.over:
            self._tell(launch, math.nan, None, now, done=True)
        self._told.discard(launch.trial)

    def _tell(self, launch: Launch, value: float, resource: float | None, now: float, *, done: bool) -> bool:
        failed = math.isnan(value)
        if done:
            self._told.add(launch.trial)
            self.failures += failed
        shown = self._task.reference.penalty if failed else value
        return bool(self._tool.tell(Told(launch.trial, launch.config, shown, resource, done, failed, now)))


def _scores(task: Task, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Value at the full resource, and on the test set, of each incumbent; no method sees these."""
    known: dict[Configuration, tuple[float, float]] = {}
    for row in rows:
        if row.config not in known:
            known[row.config] = task.value(row.config), task.test_value(row.config)
    pairs = np.array([known[row.config] for row in rows], dtype=float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
