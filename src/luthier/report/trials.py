"""The table of trials."""

from __future__ import annotations

from typing import Any

from luthier.base.records import Status, Trial
from luthier.report._source import StudyView
from luthier.report._values import clean, ranked


def trials(study: StudyView) -> dict[str, Any]:
    """One row a trial, with everything that a reader may filter or sort by.

    Args:
        study: The study.

    Returns:
        `columns`, each with name, label and group ("trial", "objective", "constraint", "metric", "hyperparameter"),
        and `rows`: lists of cells in that order. A cell is a number, a text, a boolean or None. Metrics that are
        not finite are texts ("nan", "inf"): a diverged trial shows what it reported. `details` holds for each row
        what does not fit into a cell: configuration, error, note and tags.
    """
    problem = study.problem
    every = study.trials
    rank = {trial.number: place for place, trial in enumerate(ranked(study), start=1)}
    names = list(problem.space.domains)
    names += [name for name in dict.fromkeys(n for trial in every for n in trial.config) if name not in set(names)]
    again = any(trial.runs > 1 for trial in every)
    columns = _columns(study, names, again)
    metrics = [column["name"] for column in columns if column["group"] in ("objective", "constraint")]
    rows = []
    for trial in every:
        row: list[Any] = [trial.number, trial.status.value]
        row += [] if len(problem.objectives) > 1 else [rank.get(trial.number)]
        row += [_number(trial.metrics.get(name)) for name in metrics]
        row += [clean(trial.resource)] if problem.fidelity is not None else []
        row += [clean(trial.seconds, 4), trial.origin]
        row += [trial.runs] if again else []
        rows.append(row + [plain(trial.config.get(name)) for name in names])
    return {"columns": columns, "rows": rows, "details": [_details(trial) for trial in every]}


def _columns(study: StudyView, names: list[str], again: bool) -> list[dict[str, str]]:
    problem = study.problem
    head = [("number", "Trial", "trial"), ("status", "Status", "trial")]
    if len(problem.objectives) == 1:
        head.append(("rank", "Rank", "trial"))
    head += [(objective.name, objective.name, "objective") for objective in problem.objectives]
    objectives = {objective.name for objective in problem.objectives}
    head += [(c.name, f"{c.name} ≤ {c.upper:g}", "constraint") for c in problem.constraints if c.name not in objectives]
    if problem.fidelity is not None:
        head.append((problem.fidelity.name, problem.fidelity.name, "trial"))
    head += [("seconds", "Seconds", "trial"), ("origin", "Origin", "trial")]
    head += [("runs", "Runs", "trial")] if again else []  # of interest only where something was run again
    head += [(name, name, "hyperparameter") for name in names]
    return [{"name": name, "label": label, "group": group} for name, label, group in head]


def _number(value: Any) -> float | str | None:
    number = clean(value, 8)
    return number if number is not None or value is None else str(value)


def plain(value: Any) -> Any:
    """A configuration's value as JSON knows it; what JSON does not know becomes its text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if clean(value) is not None else str(value)
    return repr(value)


def _details(trial: Trial) -> dict[str, Any]:
    found: dict[str, Any] = {"config": {name: plain(value) for name, value in trial.config.items()}}
    if trial.error and trial.status in (Status.FAILED, Status.LOST, Status.WAITING):
        found["error"] = trial.error
    if trial.note:
        found["note"] = trial.note
    if trial.tags:
        found["tags"] = dict(trial.tags)
    if trial.parent is not None:
        found["parent"] = trial.parent
    if trial.worker:
        found["worker"] = trial.worker
    extra = {name: _number(value) for name, value in trial.metrics.items()}
    if extra:
        found["metrics"] = extra
    if trial.stderr:
        found["stderr"] = {name: clean(value) for name, value in trial.stderr.items()}
    return found
