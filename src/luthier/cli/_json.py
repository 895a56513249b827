"""Records as strict JSON.

JSON has no word for NaN and infinity: they become the texts "NaN", "Infinity" and "-Infinity", which `float` reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from luthier.base.records import Event, Trial
    from luthier.study import Study


def plain(value: Any) -> Any:
    """A value that any JSON reader takes."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
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
    from luthier.study.exchange import records

    [data] = records([trial])
    if not full:
        del data["reports"]
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
        "overtuning": None if result.overtuning is None else asdict(result.overtuning),
        "verdicts": result.verdicts,
        "reason": result.reason,
    }
