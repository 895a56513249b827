"""One run: a method on a task with a seed, in virtual time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.pareto import nondominated
from luthier.base.records import Configuration, Decision, Status
from luthier.bench.simulation import simulate
from luthier.bench.studies import volumes
from luthier.bench.studies.plan import Method, Plan
from luthier.bench.studies.store import Cell
from luthier.bench.studies.tasks import Task
from luthier.bench.studies.tools import Ask, Source, Told, Tool
from luthier.bench.studies.traces import FrontTrace, Row, Trace
from luthier.bench.studies.views import Thinking, View
from luthier.runtime.executors._base import End, Launch, Message, Setting, Target

_LONGEST = 500  # characters of an error that are kept
_SLACK = 1 + 1e-9  # shares of a resource add up to a little more or less than one


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
    limit = task.horizon(plan) * method.stretch
    trace = (FrontTrace if task.several else Trace)(task, view, plan.machines, seed=seed, limit=limit)
    executor = Thinking(trace.heard, plan.machines, seed=seed, ended=trace.ended)
    until, error, failures, unfit = limit * _SLACK, "", 0, False
    try:
        _fits(task, method)
        if source is None:
            failures = _ours(plan, method, executor, view, seed, until, trace)
        else:
            failures = _theirs(plan, method, executor, task, view, seed, until, source, trace)
    except Exception as wrong:  # the method's fault, whatever it is: the cell says so, and the study goes on
        error = f"{type(wrong).__name__}: {wrong}"[:_LONGEST]
        unfit = not executor.opened and isinstance(wrong, (ArgumentError, UnsupportedError))
    answers = view.cpu_seconds - answered[0], view.wall_seconds - answered[1]
    harness = time.perf_counter() - begin - executor.wall_seconds - answers[1]
    return replace(_cell(plan, task, trace, executor, failures, answers[0], harness, error), unfit=unfit)


def _fits(task: Task, method: Method) -> None:
    """Refuse a tool from outside where there is more than the one value that it is told.

    Raises:
        UnsupportedError: saying what is allowed.
    """
    if method.tool is not None and task.several:
        names = ", ".join(task.reference.objectives)
        raise UnsupportedError(
            f"method {method.name!r} is a tool that is told one value; task {task.plan.label!r} has the objectives "
            f"{names}. Allowed: methods of luthier that take several, such as nsga2, parego, gp, random or the "
            'scheduler mo-asha; or one objective, as in options = { objectives = "..." }.'
        )


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
    horizon, rows = task.horizon(plan), trace.rows()
    scored, tested, front = _scores(task, rows, horizon * _SLACK)
    return Cell(
        horizon=horizon,
        clock=plan.budget_of(task.plan).clock,
        times=np.array([row.time for row in rows]),
        evaluations=np.array([row.evaluations for row in rows]),
        seen=np.array([row.seen for row in rows]),
        scored=scored,
        tested=tested,
        overhead=np.array([row.overhead for row in rows]),
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
        rescored=len({config for row in rows for config in row.configs}),
        error=error,
        infeasible=trace.infeasible,
        front=front,
    )


def _ours(plan: Plan, method: Method, executor: Thinking, view: View, seed: int, until: float, trace: Trace) -> int:
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
    failed = {trial.number for trial in done.result.trials if trial.status in (Status.FAILED, Status.DIVERGED)}
    trace.broken |= failed
    return len(failed)


def _theirs(
    plan: Plan,
    method: Method,
    executor: Thinking,
    task: Task,
    view: View,
    seed: int,
    until: float,
    source: Source,
    trace: Trace,
) -> int:
    """Another tool; it is asked whenever a worker is free. How many trials failed or diverged."""
    executor.go()
    tool = source.start(view.problem, seed=seed, evaluations=task.evaluations(plan) * method.stretch)
    executor.stop()
    executor.elsewhere = lambda: float(getattr(tool, "cpu_seconds", 0.0))
    host = _Host(tool, task, view, trace)
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

    def __init__(self, tool: Tool, task: Task, view: View, trace: Trace) -> None:
        self._tool, self._task, self._view, self._trace = tool, task, view, trace
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
        until = None if until is None else self._view.until(until)
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
            self._trace.broken.add(launch.trial)  # one whose machine died too: nobody runs it again
            self._tell(launch, math.nan, None, now, done=True)
        self._told.discard(launch.trial)

    def _tell(self, launch: Launch, value: float, resource: float | None, now: float, *, done: bool) -> bool:
        failed = math.isnan(value)
        if done:
            self._told.add(launch.trial)
            self.failures += failed
        shown = self._task.reference.penalty if failed else value
        return bool(self._tool.tell(Told(launch.trial, launch.config, shown, resource, done, failed, now)))


def _scores(task: Task, rows: Sequence[Row], horizon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value at the full resource, and on the test set, of each incumbent, and the front at the horizon.

    No method sees these.
    """
    if task.several:
        return _volumes(task, rows, horizon)
    known: dict[Configuration, tuple[float, float]] = {}
    for row in rows:
        [config] = row.configs
        if config not in known:
            known[config] = task.value(config), task.test_value(config)
    pairs = np.array([known[row.configs[0]] for row in rows], dtype=float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], np.empty(0)


def _volumes(task: Task, rows: Sequence[Row], horizon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of sets: minus their hypervolume; a set's test values are not looked at."""
    known: dict[Configuration, np.ndarray] = {}
    scored, front = [], np.empty(0)
    for row in rows:
        for config in row.configs:
            if config not in known:
                known[config] = task.points(config)
        values = np.array([known[config] for config in row.configs])
        scored.append(volumes.worth(values, task.reference.point))
        if row.time <= horizon:
            finite = values[np.isfinite(values).all(axis=1)]
            front = finite[nondominated(finite)] if len(finite) else np.empty(0)
    return np.array(scored, dtype=float), np.full(len(rows), math.nan), front
