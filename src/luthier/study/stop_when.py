"""When could a finished study have ended? A stopping rule watches its log as if it had been there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.records import Report, Status, Trial, finite
from luthier.runtime.storage import split_name
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.stopping._base import History, StoppingRule
from luthier.stopping._several import build, stops
from luthier.study.convert import _foreign
from luthier.study.foreign import History as Foreign
from luthier.study.foreign import Record
from luthier.study.from_csv import Columns, read_csv, scores_of
from luthier.study.study import Study

#: Marks of a trial that hold scores of folds: the user's, and what Optuna's terminator kept.
_SCORES = ("folds", "cv_scores")


@dataclass(frozen=True)
class Log:
    """A finished study as a rule sees it.

    Args:
        name: Its name.
        problem: What was solved.
        trials: Its trials in the order of their ends.
    """

    name: str
    problem: Problem
    trials: Sequence[Trial]


@dataclass(frozen=True)
class StopWhen:
    """What a rule says of a log.

    Args:
        log: The log.
        rule: Name of the rule.
        checks: Every word of the rule, with "trials", how many had ended then.
        after: Trials that had ended when it first said stop; None: it never did.
        then: Best trial at that time.
        best: Best trial of all.
        seconds: What all trials took, and what those until then took; 0 where the log does not say.
        last: What it said last, written down or not.
    """

    log: Log
    rule: str
    checks: Sequence[Mapping[str, Any]]
    after: int | None
    then: Trial | None
    best: Trial | None
    seconds: tuple[float, float]
    last: str = ""

    @property
    def words(self) -> str:
        """The verdict in one line."""
        count, name = len(self.log.trials), self.log.problem.objectives[0].name
        if self.after is None:
            last = self.last or "it never looked"
            return f"{self.rule} would not have stopped this study of {count} trials: {last}"
        reason = next(check["reason"] for check in self.checks if check["stop"])
        left = count - self.after
        saved = f"{left} trial{'s' if left != 1 else ''}"
        if self.seconds[0] > 0:
            saved += f" and {1 - self.seconds[1] / self.seconds[0]:.0%} of the time"
        words = f"{self.rule} would have stopped this study after {self.after} of {count} trials ({reason})"
        if self.then is not None and self.best is not None:
            words += f"; best {name} {self.then.metrics[name]:.6g} then, {self.best.metrics[name]:.6g} at the end"
        return f"{words}; {saved} would have been saved"


def stop_when(
    source: str | Path,
    rule: str | Mapping[str, Any] = "regret",
    *,
    name: str | None = None,
    columns: Columns | None = None,
    space: Space | None = None,
    seed: int = 0,
) -> StopWhen:
    """Tell when a rule would have ended a study.

    Args:
        source: A study of luthier, a database or journal of Optuna, a folder of Syne Tune, or a CSV file of trials.
        rule: Name of a stopping rule, or a mapping with its name and own arguments.
        name: Which study of the source.
        columns: Objective, goal, scores of folds and standard error; for a CSV file its hyperparameters as well.
        space: What was searched, where it is known better than the log says it.
        seed: Decides the rule's random draws.

    Raises:
        ArgumentError: the rule cannot judge this log: too few results, or nothing that its threshold could come from.
        StorageError, SchemaError, StudyNotFound, UnsupportedError: the source cannot be read, or not judged.
    """
    log = read_log(source, name=name, columns=columns, space=space)
    judge = build(log.problem, rule, seed=seed)
    checks, last = _watch(judge, log.trials)
    _check_judged(judge, checks, log)
    after = next((int(check["trials"]) for check in checks if check["stop"]), None)
    part = log.trials if after is None else log.trials[:after]
    seconds = sum(t.seconds for t in log.trials), sum(t.seconds for t in part)
    then = None if after is None else _best(judge, part)
    return StopWhen(log, judge.name, checks, after, then, _best(judge, log.trials), seconds, last)


def _watch(rule: StoppingRule, trials: Sequence[Trial]) -> tuple[list[dict[str, Any]], str]:
    """What the rule says as the trials come; what it would have written down, and its last words."""
    said: list[dict[str, Any]] = []
    known: dict[int, Trial] = {}
    over: list[int] = []
    clock, begun, last = 0.0, None, ""
    for trial in trials:
        clock = max(clock, trial.ended or 0.0)
        begun = min((time for time in (begun, trial.started) if time is not None), default=None)
        for moment in _moments(trial) if rule.eager else (trial,):
            known[trial.number] = moment
            if moment is trial:
                over.append(trial.number)
            history = History(dict(known), tuple(over), said, trial.number, begun, clock)
            if not rule.due(history):
                continue
            verdict = rule.check(history)
            last = verdict.reason
            now, before = stops(verdict.as_data()), stops(said[-1]) if said else ()
            if rule.traces or (now != before if before else any(now)):
                said.append({**verdict.as_data(), "trials": len(over)})
    return said, last


def _moments(trial: Trial) -> Iterator[Trial]:
    """A trial after each of its reports, and when it is over."""
    for i, report in enumerate(trial.reports):
        yield replace(
            trial, status=Status.RUNNING, reports=trial.reports[: i + 1], metrics=dict(report.metrics), ended=None,
            resource=report.resource, seconds=0.0,
        )  # fmt: skip
    yield trial


def _check_judged(rule: StoppingRule, checks: Sequence[Mapping[str, Any]], log: Log) -> None:
    """Refuse a log that a rule of the kind that explains itself could not judge."""
    if not rule.traces or any(check["stop"] for check in checks):
        return
    results = sum(rule.result(trial) for trial in log.trials)
    looked = [check for check in checks if "below" in check or "failures" in check]
    if not looked or all("threshold" not in check for check in looked):
        last = checks[-1]["reason"] if checks else "no trial has a result at the full resource"
        raise ArgumentError(
            f"stopping rule {rule.name!r} cannot judge {log.name!r} with its {results} results: {last}. Allowed: "
            "enough results, and what its threshold comes from. Another rule: --rule plateau."
        )


def _best(rule: StoppingRule, trials: Sequence[Trial]) -> Trial | None:
    objectives = rule.problem.objectives
    found = [t for t in trials if rule.result(t) and rule.feasible(t)]
    if len(objectives) > 1 or not found:
        return None
    return min(found, key=lambda t: objectives[0].sign * t.metrics[objectives[0].name])


# reading ---------------------------------------------------------------------------------------------------


def read_log(
    source: str | Path, *, name: str | None = None, columns: Columns | None = None, space: Space | None = None
) -> Log:
    """A log of ours or of another program; arguments and errors as `stop_when`."""
    columns = columns or Columns()
    if Path(source).suffix.lower() == ".csv":
        problem, trials = read_csv(source, columns, space=space)
        return Log(Path(source).name, problem, trials)
    place, inner = split_name(str(source))
    foreign = _foreign(place, name or inner)
    if foreign is None:
        with Study.open(place, name or inner) as study:
            ours = sorted((t for t in study.trials if t.status.ended), key=lambda t: (t.ended or 0.0, t.number))
            log = Log(study.name, study.problem, [t for t in ours if t.status is not Status.LOST])
    else:
        log = _of_foreign(foreign, columns)
    problem = _chosen(log.problem, columns)
    return replace(log, problem=problem if space is None else replace(problem, space=space))


def _of_foreign(history: Foreign, columns: Columns) -> Log:
    """Another program's study: what it calls complete is a result at the full resource."""
    trials = [_trial(i, record, columns) for i, record in enumerate(history.trials)]
    return Log(history.name, Problem(history.space, history.objectives), trials)


def _trial(number: int, record: Record, columns: Columns) -> Trial:
    metrics, status = dict(record.metrics or {}), record.status
    if status is Status.COMPLETED and not finite(metrics):
        status = Status.DIVERGED
    if columns.stderr is not None and columns.stderr in record.tags:
        metrics[f"{columns.objective or next(iter(metrics), '')}_stderr"] = _number(record.tags[columns.stderr])
    metrics |= {tag: _number(text) for tag, text in record.tags.items() if tag.endswith("_stderr")}
    marks = _SCORES if columns.folds is None else (columns.folds,)
    folds = next((scores for mark in marks if (scores := scores_of(record.tags.get(mark, "")))), ())
    reports = [Report(number, None, metrics, folds=folds)] if metrics else []
    return Trial(number, record.config, status, metrics=metrics, reports=reports, tags=dict(record.tags))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _chosen(problem: Problem, columns: Columns) -> Problem:
    """The problem with the objective and the goal that a user named."""
    objectives = problem.objectives
    if columns.objective is not None:
        names = [o.name for o in objectives]
        if columns.objective not in names:
            raise ArgumentError(
                f"no objective is called {columns.objective!r}. {did_you_mean(columns.objective, names)}"
            )
        objectives = tuple(o for o in objectives if o.name == columns.objective)
    if columns.goal is not None:
        objectives = tuple(replace(o, goal=columns.goal) for o in objectives)
    return replace(problem, objectives=objectives)
