"""A study in numbers and words, for the command line and for machines: JSON-able, no layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.base.records import Status, Trial
from luthier.report._clock import Clock
from luthier.report._importance import METHODS, importance
from luthier.report._runs import runs
from luthier.report._source import Snapshot, StudyView, snapshot
from luthier.report._values import clean, counts, default_trial, short, value_of
from luthier.report.figures.importance import words
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


def importance_tables(study: StudyView) -> list[dict[str, Any]]:
    """`importance` of every objective by every method, in their order."""
    return [importance(study, i, method=m) for i in range(len(study.problem.objectives)) for m in METHODS]


def importance_lines(shares: Sequence[dict[str, Any]], ways: Sequence[dict[str, Any]]) -> list[str]:
    """Importance in lines for a terminal.

    Args:
        shares: From `importance_tables`.
        ways: From `ablation`, one for each objective.

    Returns:
        For each objective a table of its hyperparameters with both shares and their intervals, warnings, interactions
        and the way from the default to the best.
    """
    found: list[str] = []
    by_objective = [shares[i : i + len(METHODS)] for i in range(0, len(shares), len(METHODS))]
    for (ped, fanova), way in zip(by_objective, ways, strict=True):
        where = "" if ped["resource"] is None else f" at resource {short(ped['resource'])}"
        found.append(f"importance for {ped['objective']}, from {ped['trials']} results{where}")
        if ped["fault"]:
            found.append(f"nothing can be said: {ped['fault']}")
            continue
        if ped["warning"]:
            found.append(f"warning: {ped['warning']}")
        found += _share_lines(ped, fanova)
        if way["steps"]:
            found.append(f"from the default to the best, {way['objective']} as a forest predicts it:")
            found += [f"  {short(step['value']):>10}  {words(step).replace('→', '->')}" for step in way["steps"]]
    return found


def _share_lines(ped: dict[str, Any], fanova: dict[str, Any]) -> list[str]:
    other = {row["name"]: row for row in fanova["rows"]}
    width = max(len("hyperparameter"), *(len(row["name"]) for row in ped["rows"]))
    lines = [f"{'hyperparameter':<{width}}  among the best tenth    over the whole space"]
    for row in ped["rows"]:
        mark = " " if row["share"] > row["chance"] else "?"
        lines.append(f"{row['name']:<{width}}  {_share(row)} {mark}  {_share(other[row['name']])}".rstrip())
    lines.append("[5 and 95 % of resamples; 10 and 90 % of the trees; ?: no more than chance reaches]")
    pairs = [pair for pair in fanova["pairs"] if (pair["share"] or 0.0) >= 0.02][:3]
    if pairs:
        texts = [f"{' x '.join(pair['names'])} {100 * pair['share']:.0f} %" for pair in pairs]
        lines.append(f"interactions, over the whole space: {', '.join(texts)}")
    return lines


def _share(row: dict[str, Any]) -> str:
    return f"{100 * row['share']:4.0f} %  [{100 * row['low']:3.0f}, {100 * row['high']:3.0f}]   "
