"""A CSV file with one trial a row, as a problem and its trials: luthier's export, Optuna's, scikit-learn's, any."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.base.errors import ArgumentError, StorageError, did_you_mean
from luthier.base.records import Objective, Report, Status, Trial
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.study.foreign import inferred

#: Marks of hyperparameters' columns: luthier's export, Optuna's data frame, scikit-learn's `cv_results_`.
_PREFIXES = ("param.", "params_", "param_")
#: Names that are taken for the objective when none is given.
_LIKELY = ("loss", "value", "error", "objective", "mean_test_score")
#: Columns that are no hyperparameters where these have no mark.
_KNOWN = frozenset(
    {"number", "trial", "trial_id", "status", "state", "origin", "parent", "resource", "seconds", "duration", "time"}
    | {"timestamp", "started", "ended", "worker", "runs", "note", "datetime_start", "datetime_complete"}
)
#: Words in the names of what is minimised, beside those that end in loss or error.
_FALLING = frozenset(
    {"value", "objective", "err", "mse", "rmse", "mae", "mape", "nll", "perplexity", "ppl", "regret", "cost"}
    | {"logloss", "deviance", "seconds", "latency"}
)
_GROUPS = re.compile(r"(metric\.|stderr\.|tag\.|user_attrs_|system_attrs_|std_|rank_|mean_|split\d+_|fold_?\d+$)")
_STATES = {
    "complete": Status.COMPLETED,
    "pruned": Status.STOPPED,
    "fail": Status.FAILED,
    **{status.value: status for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.DIVERGED)},
}
_UNDER_WAY = frozenset({"running", "waiting", "paused", "lost"})
_DURATION = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)$")


@dataclass(frozen=True)
class Columns:
    """What a user says of a file's columns; None: as they are called.

    Args:
        objective: Column of the objective.
        goal: "min" or "max"; None: a loss or error is minimised, and scikit-learn's scores are maximised.
        folds: Beginning of the columns with the scores of folds, or the column that holds them as a JSON list.
        stderr: Column of the objective's standard error.
        params: Columns of the hyperparameters.
    """

    objective: str | None = None
    goal: Literal["min", "max"] | None = None
    folds: str | None = None
    stderr: str | None = None
    params: Sequence[str] = ()


def read_csv(
    path: str | Path, columns: Columns | None = None, *, space: Space | None = None
) -> tuple[Problem, list[Trial]]:
    """Read a file of trials, one a row, in the order of their ends.

    Args:
        path: The file, with a header.
        columns: What they are, where their names do not say it.
        space: What was searched; None: from the values that occur, a range from the smallest to the largest,
            logarithmic beyond two decades, or a choice.

    Raises:
        StorageError: it cannot be read.
        ArgumentError: a column is not there, or which is the objective is not known.
        SpaceError: a row does not fit `space`.
    """
    path, columns = Path(path), columns or Columns()
    header, rows = _rows(path)
    for name in (columns.objective, columns.stderr, *columns.params):
        if name is not None and name not in header:
            raise ArgumentError(f"{str(path)!r} has no column {name!r}. {did_you_mean(name, header)}")
    target = columns.objective or _objective(header, path)
    name = target.removeprefix("metric.")
    goal = columns.goal or _goal(name, path)
    scores = _fold_columns(header, target, columns.folds, path)
    error = columns.stderr or next((c for c in (f"{target}_stderr", f"stderr.{name}") if c in header), None)
    names = _params(header, columns.params, {target, error, *scores}, path)
    configs = [{names[c]: _value(row[c]) for c in names if row[c] != ""} for row in rows]
    the_space = space if space is not None else Space(_domains(names.values(), configs, path))
    problem = Problem(the_space, (Objective(name, goal),))
    trials: list[Trial] = []
    for row, config in zip(rows, configs, strict=True):
        status = _status(row, target)
        if status is None:
            continue
        number = len(trials)
        metrics, folds = _measured(row, target, name, error), _scores(row, scores)
        if status is Status.COMPLETED and not all(map(math.isfinite, metrics.values())):
            status = Status.DIVERGED
        checked = the_space.check(config, where=f"{path.name}, row {number + 1}", fill=True)
        report = Report(number, None, metrics, folds=folds)
        trials.append(
            Trial(number, checked, status, metrics=metrics, reports=[report] if metrics else [], seconds=_seconds(row))
        )
    return problem, trials


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
            header = [name for name in reader.fieldnames or () if name]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise StorageError(
            f"{str(path)!r} cannot be read ({error}). Allowed: a CSV file with a header. Check the file."
        ) from error
    if not rows:
        raise StorageError(f"{str(path)!r} holds no rows. Allowed: a header and one trial a row. Check the file.")
    return header, rows


def _objective(header: Sequence[str], path: Path) -> str:
    found = [c for c in header if c.startswith("metric.")][:1] or [c for c in _LIKELY if c in header]
    if not found:
        raise ArgumentError(
            f"{str(path)!r}: which column is the objective is not known. Its columns: {', '.join(header)}. "
            "Name it: --objective COLUMN --goal min."
        )
    return found[0]


def _goal(name: str, path: Path) -> Literal["min", "max"]:
    """What an objective's name says of its goal."""
    if name == "mean_test_score":
        return "max"
    words = re.split(r"[^a-z0-9]+", name.lower())
    if words[0] != "neg" and any(word in _FALLING or word.endswith(("loss", "error")) for word in words):
        return "min"
    raise ArgumentError(
        f"{str(path)!r}: whether {name!r} is minimised or maximised is not known. Allowed: min or max. "
        "Say it: --goal max."
    )


def _fold_columns(header: Sequence[str], target: str, given: str | None, path: Path) -> list[str]:
    """Columns with the scores of folds; a single one holds a list."""
    if given is not None:
        found = [c for c in header if c == given] or [c for c in header if c.startswith(given)]
        if not found:
            raise ArgumentError(
                f"{str(path)!r} has no column that begins with {given!r}. {did_you_mean(given, header)}"
            )
        return found
    rest = target.removeprefix("mean_")
    return [c for c in header if re.fullmatch(rf"split\d+_{re.escape(rest)}|fold_?\d+", c)] or [
        c for c in header if c in ("folds", "user_attrs_folds")
    ]


def _params(header: Sequence[str], given: Sequence[str], taken: set[str | None], path: Path) -> dict[str, str]:
    """Columns of hyperparameters to their names."""
    if given:
        return {c: c for c in given}
    for prefix in _PREFIXES:
        marked = {c: c.removeprefix(prefix) for c in header if c.startswith(prefix)}
        if marked:
            return marked
    found = {c: c for c in header if c not in taken and c.lower() not in _KNOWN and not _GROUPS.match(c)}
    if not found:
        raise ArgumentError(f"{str(path)!r} has no column of a hyperparameter. Name them: --params lr,width.")
    return found


def _domains(names: Iterable[str], configs: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    found = {name: [config[name] for config in configs if name in config] for name in names}
    empty = [name for name, values in found.items() if not values]
    if len(empty) == len(found):
        raise ArgumentError(f"{str(path)!r}: no row has a hyperparameter. Name their columns: --params lr,width.")
    return {name: inferred(values) for name, values in found.items() if values}


def _status(row: Mapping[str, str], target: str) -> Status | None:
    """How a trial ended; None while it has not."""
    word = next((row[c].rpartition(".")[2].lower() for c in ("status", "state") if row.get(c)), "")
    if word in _UNDER_WAY:
        return None
    if not row[target] and word not in ("stopped", "pruned"):
        return Status.FAILED
    return _STATES.get(word, Status.COMPLETED)


def _measured(row: Mapping[str, str], target: str, name: str, error: str | None) -> dict[str, float]:
    found = {}
    for key, column in ((name, target), (f"{name}_stderr", error)):
        if column is not None and row[column]:
            value = _value(row[column])
            if not isinstance(value, (int, float)):
                raise ArgumentError(f"column {column!r} holds {row[column]!r}. Allowed: numbers. Name another column.")
            found[key] = float(value)
    return found


def _scores(row: Mapping[str, str], columns: Sequence[str]) -> tuple[float, ...]:
    if len(columns) == 1 and row[columns[0]].startswith("["):
        return scores_of(row[columns[0]])
    values = [_value(row[c]) for c in columns if row[c]]
    return tuple(float(v) for v in values if isinstance(v, (int, float)))


def scores_of(text: str) -> tuple[float, ...]:
    """Scores of folds from a JSON list; nothing where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    numbers = isinstance(found, list) and all(isinstance(v, (int, float)) for v in found)
    return tuple(float(v) for v in found) if numbers else ()


def _seconds(row: Mapping[str, str]) -> float:
    """Time that a trial took, as far as a column says it."""
    text = next((row[c] for c in ("seconds", "duration", "mean_fit_time") if row.get(c)), "")
    match = _DURATION.match(text)
    if match:
        days, hours, minutes, seconds = match.groups()
        return float(days or 0) * 86400 + float(hours) * 3600 + float(minutes) * 60 + float(seconds)
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
