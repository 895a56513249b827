"""Records as JSON-able values, strict JSON: a number that is not finite becomes null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from luthier.base.records import Event, Trial
    from luthier.study import Study


def plain(value: Any) -> Any:
    """A value that any JSON reader takes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Path):
        return str(value)
    return plain(value.item()) if hasattr(value, "item") else str(value)


def write(value: Any, stream: TextIO | None = None) -> None:
    """One line on standard output, or on the stream given."""
    print(json.dumps(plain(value), allow_nan=False), file=stream, flush=True)


def event_data(event: Event) -> dict[str, Any]:
    """One event of the log."""
    return {"event": event.kind, "seq": event.seq, "time": event.time, "trial": event.trial, **event.data}


def trial_data(trial: Trial, *, full: bool = False) -> dict[str, Any]:
    """A trial; with `full` all its reports too."""
    data: dict[str, Any] = {
        "number": trial.number,
        "status": trial.status.value,
        "origin": trial.origin,
        "config": dict(trial.config),
        "metrics": trial.metrics,
        "resource": trial.resource,
        "seconds": trial.seconds,
        "runs": trial.runs,
        "worker": trial.worker,
        "error": trial.error,
    }
    if trial.stderr:
        data["stderr"] = trial.stderr
    if full:
        data["started"], data["ended"], data["checkpoint"] = trial.started, trial.ended, trial.checkpoint
        data["parent"], data["tags"], data["note"], data["repeats"] = (
            trial.parent,
            trial.tags,
            trial.note,
            trial.repeats,
        )
        data["reports"] = [
            {"resource": r.resource, "metrics": r.metrics, "seconds": r.seconds, "repeat": r.repeat, "folds": r.folds}
            for r in trial.reports
        ]
    return data


def study_data(study: Study) -> dict[str, Any]:
    """A study's summary."""
    result, problem = study.result(), study.problem
    return {
        "name": study.name,
        "where": study.where,
        "url": study.url,
        "searcher": study.searcher_name,
        "scheduler": study.scheduler_name,
        "seed": study.seed,
        "repeats": study.repeats,
        "objectives": [{"name": o.name, "goal": o.goal} for o in problem.objectives],
        "constraints": [{"name": c.name, "upper": c.upper} for c in problem.constraints],
        "fidelity": None
        if problem.fidelity is None
        else {"name": problem.fidelity.name, "low": problem.fidelity.low, "high": problem.fidelity.high},
        "counts": result.counts,
        "best": None if result.best is None else trial_data(result.best),
        "rule": result.rule,
        "default": None if result.default is None else trial_data(result.default),
        "pareto": [trial_data(trial) for trial in result.pareto],
        "reason": result.reason,
    }
