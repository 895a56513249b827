"""Trials as a table, and as a file for other programs: columns, CSV, JSON, Parquet."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.imports import need
from luthier.base.records import Report, Trial
from luthier.space.problem import Problem

_WHOLE = frozenset({"number", "parent", "runs"})
_REAL = frozenset({"untouched", "resource", "seconds", "started", "ended"})
_REAL_GROUPS = frozenset({"metric", "stderr"})
_TEXT = frozenset({"status", "origin", "worker", "error", "note"})


def columns(trials: Sequence[Trial], problem: Problem) -> dict[str, list[Any]]:
    """All trials as columns, ready for `pandas.DataFrame`.

    What every trial has keeps its plain name; what studies name themselves gets a prefix, so that no two columns
    can collide: `param.lr` is the hyperparameter "lr", `metric.loss` the trial's result, `stderr.loss` the standard
    error of its mean over repeats, `tag.team` the user's mark. In order: number, status, origin, parent, param.*,
    metric.*, stderr.*, untouched (where it was reported), resource, seconds, started, ended, worker, runs, error,
    tag.*, note. Hyperparameters come in the space's order and metrics with objectives and constraints first; more of
    either follow as they were met.

    Args:
        trials: The trials.
        problem: What they solve.

    Returns:
        One list for each column, all as long as `trials`. None stands for what is absent: an inactive
        hyperparameter, a metric that was not reported. (A `Choice` whose value is None looks the same; the JSON
        file tells them apart.) A metric that was NaN or infinite stays so. `started` and `ended` are seconds since
        the epoch, `seconds` is the time spent running. Half a surrogate pair in a text, which other programs cannot
        hold, is escaped.
    """
    measured = [*(o.name for o in problem.objectives), *(c.name for c in problem.constraints)]
    table: dict[str, list[Any]] = {
        "number": [t.number for t in trials],
        "status": [t.status.value for t in trials],
        "origin": [t.origin for t in trials],
        "parent": [t.parent for t in trials],
    }
    table |= _group("param", problem.space, [t.config for t in trials])
    table |= _group("metric", measured, [t.metrics for t in trials])
    table |= _group("stderr", (), [t.stderr for t in trials])
    if any(t.untouched is not None for t in trials):
        table["untouched"] = [t.untouched for t in trials]
    table["resource"] = [t.resource for t in trials]
    table["seconds"] = [t.seconds for t in trials]
    table["started"] = [t.started for t in trials]
    table["ended"] = [t.ended for t in trials]
    table["worker"] = [t.worker for t in trials]
    table["runs"] = [t.runs for t in trials]
    table["error"] = [_text(t.error) for t in trials]
    table |= _group("tag", (), [{name: _text(text) for name, text in t.tags.items()} for t in trials])
    table["note"] = [_text(t.note or None) for t in trials]
    return table


def _group(prefix: str, first: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(first)
    for row in rows:
        names |= dict.fromkeys(row)
    return {f"{prefix}.{name}": [row.get(name) for row in rows] for name in names}


def records(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """All trials as strict JSON, each with its configuration and every report.

    JSON has no word for NaN and infinity: they become the texts "NaN", "Infinity" and "-Infinity", which `float`
    reads.
    """
    found: list[dict[str, Any]] = []
    for t in trials:
        record = {
            "number": t.number,
            "status": t.status.value,
            "origin": t.origin,
            "parent": t.parent,
            "config": dict(t.config),
            "metrics": t.metrics,
            "stderr": t.stderr,
            "untouched": t.untouched,
            "split_seed": t.split_seed,
            "repeats": t.repeats,
            "resource": t.resource,
            "until": t.until,
            "seconds": t.seconds,
            "started": t.started,
            "ended": t.ended,
            "worker": t.worker,
            "runs": t.runs,
            "error": t.error,
            "checkpoint": t.checkpoint,
            "tags": t.tags,
            "note": t.note or None,
            "reports": [_report(report) for report in t.reports],
        }
        found.append({name: _strict(value) for name, value in record.items()})
    return found


def _report(report: Report) -> dict[str, Any]:
    return {
        "resource": report.resource,
        "metrics": report.metrics,
        "seconds": report.seconds,
        "folds": list(report.folds),
        "repeat": report.repeat,
    }


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value


def write(trials: Sequence[Trial], problem: Problem, path: str | Path) -> Path:
    """Write all trials to a file, in the format of its ending.

    `.csv`: `columns`, an empty cell for None, `nan` and `inf` for what was so. `.parquet`: `columns`, each with one
    type; a hyperparameter whose values mix types becomes text. `.json`: `records`, the only one with every report.

    The file appears whole or not at all, and replaces one of the same name; a missing folder is made.

    Args:
        trials: The trials.
        problem: What they solve.
        path: The file.

    Returns:
        The file.

    Raises:
        ArgumentError: the ending is none of these, or the file cannot be written.
        MissingExtra: `.parquet` without pyarrow.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        hint = did_you_mean(path.suffix.lower(), WRITERS)
        raise ArgumentError(
            f"export to {str(path)!r}: no format has the ending {path.suffix!r}. Allowed: {', '.join(WRITERS)}."
            + (f" {hint}" if hint.startswith("Did") else f" Write it as {path.stem}.csv.")
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer(trials, problem, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ArgumentError(
            f"export to {str(path)!r} cannot be written ({error.strerror or error}). Allowed: a file in a folder that "
            "you may write, on a disk with space. Choose another path."
        ) from error
    return path


def _write_csv(trials: Sequence[Trial], problem: Problem, path: Path) -> None:
    table = columns(trials, problem)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def _write_json(trials: Sequence[Trial], problem: Problem, path: Path) -> None:
    # half a surrogate pair, which UTF-8 cannot hold, becomes the very escape that JSON has for it
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(records(trials), file, indent=1, allow_nan=False, ensure_ascii=False)
        file.write("\n")


def _write_parquet(trials: Sequence[Trial], problem: Problem, path: Path) -> None:
    arrow = need("pyarrow", what="Parquet export", extra="bench")
    parquet = need("pyarrow.parquet", what="Parquet export", extra="bench")
    arrays = {}
    for name, values in columns(trials, problem).items():
        kind = _kind(name, values)
        cast = _CASTS[kind]
        arrays[name] = arrow.array([None if v is None else cast(v) for v in values], getattr(arrow, kind)())
    parquet.write_table(arrow.table(arrays), path)


def _kind(name: str, values: Sequence[Any]) -> str:
    """Arrow's name of the one type that holds a column."""
    if name in _WHOLE:
        return "int64"
    if name in _REAL or name.partition(".")[0] in _REAL_GROUPS:
        return "float64"
    types = {type(value) for value in values if value is not None}
    if name in _TEXT or not types or not types <= {bool, int, float}:
        return "string"
    if types == {bool}:
        return "bool_"
    if bool in types:
        return "string"
    return "int64" if types == {int} and all(-(2**63) <= v < 2**63 for v in values if v is not None) else "float64"


def _text(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


_CASTS: Mapping[str, Callable[[Any], Any]] = {"bool_": bool, "int64": int, "float64": float, "string": str}

#: Ending of a file to what writes it.
WRITERS: Mapping[str, Callable[[Sequence[Trial], Problem, Path], None]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
