"""A study in numbers and words, for the command line and for machines: JSON-able, no layout."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Status, Trial
from luthier.report._clock import Clock
from luthier.report._runs import runs
from luthier.report._source import Snapshot, StudyView, snapshot
from luthier.report._values import clean, counts, default_trial, value_of
from luthier.report.trials import plain


def summary(study: StudyView) -> dict[str, Any]:
    """What a reader wants to know first.

    Args:
        study: The study.

    Returns:
        `name`, `objectives` (name, goal), `constraints` (name, upper), `fidelity` (name, low, high) or None,
        `searcher`, `scheduler`, `seed`; `trials` (how many) and `counts` by status; `budget` with trials and seconds
        as granted (None: no limit) and used, trial_seconds (summed over workers) and resource (summed over trials),
        workers and executor, and virtual, whether the seconds are virtual; `best` and `default`, each None or trial,
        values by objective, resource, config, and status; `gain`, the fraction by which the best is better than the
        default, None where the two do not compare; `rule`; `pareto`, the set as a list like `best` (empty with one
        objective); `command`, what continues or reproduces it; `events`, the length of the log; `until`, the time of
        its last event in seconds since the epoch.
    """
    shot = study if isinstance(study, Snapshot) else snapshot(study)
    problem, trials, fidelity = shot.problem, shot.trials, shot.problem.fidelity
    default = default_trial(shot)
    several = len(problem.objectives) > 1
    return {
        "name": shot.name,
        "objectives": [{"name": objective.name, "goal": objective.goal} for objective in problem.objectives],
        "constraints": [{"name": constraint.name, "upper": constraint.upper} for constraint in problem.constraints],
        "fidelity": None
        if fidelity is None
        else {"name": fidelity.name, "low": clean(fidelity.low), "high": clean(fidelity.high)},
        "searcher": shot.searcher_name,
        "scheduler": shot.scheduler_name,
        "seed": shot.seed,
        "trials": len(trials),
        "counts": counts(trials),
        "budget": _budget(shot),
        "best": None if shot.best is None else _one(shot.best, shot),
        "default": None if default is None else _one(default, shot),
        "gain": None if several else _gain(shot.best, default, shot),
        "rule": shot.rule,
        "pareto": [_one(trial, shot) for trial in shot.pareto] if several else [],
        "command": str(shot.settings.get("resume") or ""),
        "events": len(shot.log),
        "until": shot.log[-1].time if shot.log else None,
    }


def _budget(shot: Snapshot) -> dict[str, Any]:
    settings, clock = shot.settings, Clock(shot.log)
    start = {
        run.trial: run.after for run in reversed(runs(shot.log, clock))
    }  # a clone did not spend what its parent did
    spent = [
        (clean(trial.resource) or 0.0) - (start.get(trial.number, 0.0) if trial.resource else 0.0)
        for trial in shot.trials
    ]
    started = [trial for trial in shot.trials if trial.runs or trial.status is not Status.WAITING]
    return {
        "trials": settings.get("trials"),
        "seconds": settings.get("seconds"),
        "used_trials": len(started),
        "used_seconds": clean(clock.end, 6),
        "trial_seconds": clean(sum(trial.seconds for trial in shot.trials), 6),
        "resource": None if shot.problem.fidelity is None else clean(sum(spent)),
        "workers": settings.get("workers"),
        "executor": settings.get("executor"),
        "virtual": clock.virtual,
    }


def _one(trial: Trial, shot: Snapshot) -> dict[str, Any]:
    found: dict[str, Any] = {
        "trial": trial.number,
        "values": {objective.name: value_of(trial, objective) for objective in shot.problem.objectives},
        "resource": clean(trial.resource),
        "status": trial.status.value,
        "origin": trial.origin,
        "config": {name: plain(value) for name, value in trial.config.items()},
    }
    if trial.stderr:
        found["stderr"] = {name: clean(value) for name, value in trial.stderr.items()}
    return found


def _gain(best: Trial | None, default: Trial | None, shot: Snapshot) -> float | None:
    """(default - best) / |default| for a minimised objective; None at different resources."""
    if best is None or default is None or best.resource != default.resource:
        return None
    objective = shot.problem.objectives[0]
    ours, usual = value_of(best, objective), value_of(default, objective)
    if ours is None or not usual:
        return None
    return clean((usual - ours) * objective.sign / abs(usual), 4)
