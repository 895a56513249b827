"""Trials, results and studies in words, one line each."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luthier.base.records import Trial
    from luthier.space.problem import Problem
    from luthier.study import Result, Study


def configuration(trial: Trial) -> str:
    """`lr=0.01, width=64`."""
    from luthier.base.records import pairs

    return ", ".join(pairs(trial.config)) or "(no hyperparameters)"


def outcome(trial: Trial, problem: Problem) -> str:
    """`loss 0.0123 at epoch 27`: the objectives and constraints of a trial, and where they were measured."""
    names = dict.fromkeys([*(o.name for o in problem.objectives), *(c.name for c in problem.constraints)])
    texts = []
    for name in names:
        if name in trial.metrics:
            error = f" ± {trial.stderr[name]:.2g}" if name in trial.stderr else ""
            texts.append(f"{name} {trial.metrics[name]:.6g}{error}")
    where = ""
    if problem.fidelity is not None and trial.resource is not None:
        where = f" at {problem.fidelity.name} {trial.resource:g}"
    return (", ".join(texts) or "no result") + where


def counts(result: Result) -> str:
    """`60 trials: 20 completed, 40 stopped`."""
    words = ", ".join(f"{count} {status}" for status, count in result.counts.items())
    return plural(len(result.trials), "trial") + (f": {words}" if words else "")


def closing(result: Result, problem: Problem) -> list[str]:
    """What a study has found, in a few lines: the incumbent with its rule, the default beside it, the Pareto set."""
    lines = []
    if len(problem.objectives) > 1:
        many = len(result.pareto)
        lines.append(f"Pareto set of {many}:" if many else f"Pareto set: {_empty(result, problem)}")
        lines += [f"  trial {t.number}: {outcome(t, problem)}; {configuration(t)}" for t in result.pareto[:12]]
        if len(result.pareto) > 12:
            lines.append(f"  and {len(result.pareto) - 12} more")
    elif result.best is None:
        diverged = result.counts.get("diverged", 0)
        every = diverged and diverged == len(result.trials)
        lines.append(f"best: none, {'every trial reported NaN or infinity' if every else 'no trial has a result'}")
    else:
        lines.append(f"best: trial {result.best.number}, {outcome(result.best, problem)} ({result.rule})")
        lines.append(f"  {configuration(result.best)}")
    default = result.default
    if default is not None:
        same = result.best is not None and result.best.number == default.number
        state = "" if default.metrics else f", {default.status.value}"
        lines.append(
            "default: this is the default configuration"
            if same
            else f"default: trial {default.number}, {outcome(default, problem)}{state}"
        )
    return [*lines, *_trust(result)]


def _empty(result: Result, problem: Problem) -> str:
    """Why there is no Pareto set."""
    from luthier.study.result import nearest

    trial = nearest(result.trials, problem)
    if trial is None:
        return "empty, no usable result"
    over = [c for c in problem.constraints if trial.metrics[c.name] > c.upper]
    words = ", ".join(f"{c.name} {trial.metrics[c.name]:.6g} (<= {c.upper:g})" for c in over)
    return f"empty, no trial keeps all bounds; nearest: trial {trial.number}, {words}"


def _trust(result: Result) -> list[str]:
    """What the stopping rules said, and how the best trial does on data that nothing has learnt from; in lines."""
    from luthier.report.stopping import words

    said = [words(verdict) for verdict in result.verdicts]
    found, best, default = result.overtuning, result.best, result.default
    if found is None or best is None or best.untouched is None:
        return said
    beside = "" if default is None or default.untouched is None else f", the default {default.untouched:.6g}"
    if not found.amount:
        lost = "no overtuning"
    else:
        share = "" if found.share is None else f", {found.share:.0%} of what had been won"
        lost = f"{found.amount:.3g} lost by overtuning{share}"
    return [f"untouched: the best {best.untouched:.6g}{beside}; {lost}", *said]


def heading(study: Study) -> str:
    """What a study is, in one line."""
    problem = study.problem
    aims = " and ".join(f"{'minimise' if o.goal == 'min' else 'maximise'} {o.name}" for o in problem.objectives)
    limits = "".join(f", {c.name} <= {c.upper:g}" for c in problem.constraints)
    axis = problem.fidelity
    until = "" if axis is None else f", {axis.name} {axis.low:g} to {axis.high:g}"
    size = len(study.space)
    space = plural(size, "hyperparameter") if size else "hyperparameters named while running"
    return (
        f"{study.name}: {aims}{limits}; {space}; searcher {study.searcher_words}, scheduler "
        f"{study.scheduler_name}{until}, seed {study.seed}"
    )


def plural(count: int, word: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def follow(command: str, where: str, *more: str) -> str:
    """The line that every command ends with: what to type next."""
    return "next: " + " ".join(["luthier", command, shlex.quote(where), *more])


def duration(seconds: float) -> str:
    """`3.2 s`, `4:05`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """`1.2 MB`, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
