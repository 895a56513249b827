"""Tuning by gradients: the loss and the hyperparameters over outer steps, which are trials of the log."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Trial
from luthier.report._axes import Axis, axes
from luthier.report._source import StudyView
from luthier.report._values import clean, value_of

STEP, SLOPE = "outer_step", "hypergradient"  # metrics by which `luthier.gradients` marks its trials


def outer_steps(study: StudyView) -> dict[str, Any]:
    """What gradients have moved, and what came of it.

    Args:
        study: The study.

    Returns:
        `objective`, `goal`; `rows`, one an outer step, with trial, place (from 0, counted on through all chains),
        chain (from 0: a chain is one call of `tune_with_gradients`), value (None where it diverged), slope (norm of
        the hypergradient, None likewise) and status; `best`, the trial of the lowest value; `moved`, one entry for
        each hyperparameter that changes within a chain, with axis (as in `report.parallel`) and points: place, chain
        and value; `tensors`, one for each hyperparameter that is a whole tensor, with name and points: place, chain,
        mean, and low and high (None for a single number). Without outer steps all lists are empty.
    """
    objective = study.problem.objectives[0]
    steps = [trial for trial in study.trials if STEP in trial.metrics]
    chains, chain = [], -1
    for trial in steps:
        chain += not trial.metrics[STEP]
        chains.append(max(chain, 0))
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number,
            "place": place,
            "chain": chains[place],
            "value": value_of(trial, objective),
            "slope": clean(trial.metrics.get(SLOPE)),
            "status": trial.status.value,
        }
        for place, trial in enumerate(steps)
    ]
    known = [(objective.sign * row["value"], row["trial"]) for row in rows if row["value"] is not None]
    return {
        "objective": objective.name,
        "goal": objective.goal,
        "rows": rows,
        "best": min(known)[1] if known else None,
        "moved": [
            _points(axis, steps, chains) for axis in axes(study.problem, steps) if _moves(axis, study, steps, chains)
        ],
        "tensors": [_range(name, steps, chains) for name in _whole(study, steps)],
    }


def _moves(axis: Axis, study: StudyView, steps: list[Trial], chains: list[int]) -> bool:
    """Whether a chain changes it; what only differs from chain to chain was not moved by gradients."""
    if axis.kind != "number" or axis.name not in study.problem.space:
        return False
    seen: dict[int, set[Any]] = {}
    for trial, chain in zip(steps, chains, strict=True):
        seen.setdefault(chain, set()).add(trial.config.get(axis.name))
    return any(len(values) > 1 for values in seen.values())


def _points(axis: Axis, steps: list[Trial], chains: list[int]) -> dict[str, Any]:
    points = [
        {"place": place, "chain": chain, "value": clean(trial.config.get(axis.name), 12)}
        for place, (trial, chain) in enumerate(zip(steps, chains, strict=True))
    ]
    return {"axis": axis.as_dict(), "points": points}


def _told(trial: Trial) -> dict[str, Any]:
    """Metrics, and the configuration: without single numbers beside them, tensors are described there."""
    return {**dict(trial.config), **trial.metrics}


def _whole(study: StudyView, steps: list[Trial]) -> list[str]:
    names = {name.removesuffix(".mean"): None for t in steps for name in _told(t) if name.endswith(".mean")}
    return [name for name in names if name not in study.problem.space]


def _range(name: str, steps: list[Trial], chains: list[int]) -> dict[str, Any]:
    ends = {"mean": "mean", "low": "min", "high": "max"}
    points = [
        {
            "place": place,
            "chain": chain,
            **{key: clean(_told(trial).get(f"{name}.{end}")) for key, end in ends.items()},
        }
        for place, (trial, chain) in enumerate(zip(steps, chains, strict=True))
    ]
    return {"name": name, "points": points}
