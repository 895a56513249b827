"""Syne Tune's experiments, read from their folder; Syne Tune itself is not needed.

Read are `results.csv.zip` (or `results.csv`), `metadata.json` and, where trials ran on this machine, each trial's
`config.json` with the marks `end` and `stop`. The pickled tuner is never opened.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, StorageError, did_you_mean
from luthier.base.records import Fidelity, Objective, Status
from luthier.space.domain import Domain
from luthier.space.domains import Fixed, Ordinal
from luthier.space.space import Space
from luthier.study.foreign import History, Record, inferred, listed, numeric, plain_choice

_RESULTS, _METADATA = ("results.csv.zip", "results.csv"), "metadata.json"
_CONFIG, _OWN = "config_", "st_"


@dataclass
class _Trial:
    number: int
    config: dict[str, Any]
    rows: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False  # its process is gone
    stopped: bool = False  # the tuner had ended it
    moved: bool = False  # its configuration changed, as population-based training does it


def is_experiment(folder: Path) -> bool:
    """Whether a folder looks like one that Syne Tune's tuner wrote."""
    return any((folder / name).is_file() for name in _RESULTS)


def read_syne_tune(
    folder: str | Path,
    *,
    space: Space | None = None,
    objectives: Sequence[Objective] = (),
    resource: str | None = None,
) -> History:
    """Read an experiment of Syne Tune.

    The space comes from the metadata (newer versions write it there), else from the values that trials had: a range
    from the smallest to the largest, logarithmic beyond two decades, or a choice. A finite range becomes a plain one.
    A trial is completed when it reached the largest resource or its last row says so; failed when that row says so,
    or when its program ended by itself without any report; stopped when it has reported and neither is known (stopped
    or paused by the scheduler, or running when the tuner ended). What has not reported and did not fail is left out.

    Args:
        folder: The experiment's folder.
        space: The space, where it is known better.
        objectives: The objectives, where the metadata does not name them.
        resource: Column that says how much was spent; None: as the metadata say, else reports are counted as
            "iteration". With one report from each trial there is no fidelity.

    Returns:
        The history. `tags` hold under "syne_tune" the trial's number there.

    Raises:
        StorageError: there is no such experiment, or it cannot be read.
        ArgumentError: objectives or resource are not known, or not among the columns.
        SpaceError: a trial does not fit `space`.
    """
    folder = Path(folder)
    metadata = _metadata(folder)
    header, rows = _results(folder)
    trials = _trials(folder, rows, header)
    goals = tuple(objectives) or _objectives(metadata, folder)
    for goal in goals:
        _column(goal.name, header, folder, "objective")
    axis = _axis(resource, metadata, header, trials, folder)
    the_space = space if space is not None else Space(_domains(metadata, trials, header, folder))
    curves = {trial.number: _curve(trial, axis, header, folder) for trial in trials}
    shift = max(0, 1 - math.floor(min((at for curve in curves.values() for at, _ in curve), default=1)))
    curves = {number: [(at + shift, metrics) for at, metrics in curve] for number, curve in curves.items()}
    points = [at for curve in curves.values() for at, _ in curve]
    top = _top(metadata, axis, points)
    records = []
    left_out: Counter[str] = Counter()
    for trial in trials:
        if not trial.rows and (trial.stopped or not trial.ended):
            left_out["InProgress"] += 1
            continue
        records.append(_record(trial, the_space, goals, curves[trial.number], axis, top))
    if not records:
        raise StorageError(f"{str(folder)!r}: no trial has reported or failed yet. Allowed: one or more. Run it first.")
    fidelity = None if axis is None else Fidelity(axis, min(points), top)
    notes = [f"{axis!r} was moved by {shift}, so that it begins at 1."] if shift and axis is not None else []
    moved = [trial.number for trial in trials if trial.moved]
    if moved:
        notes.append(f"Trials {moved} changed their configuration while they ran: the last one was taken.")
    return History(folder.resolve().name, the_space, goals, fidelity, tuple(records), dict(left_out), tuple(notes))


# files -----------------------------------------------------------------------------------------------------


def _metadata(folder: Path) -> dict[str, Any]:
    path = folder / _METADATA
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return found if isinstance(found, dict) else {}


def _results(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    path = next((folder / name for name in _RESULTS if (folder / name).is_file()), None)
    if path is None:
        raise StorageError(
            f"{str(folder)!r} holds no {_RESULTS[0]}. Allowed: a folder that Syne Tune's tuner wrote. Look for a "
            "misspelt path."
        )
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                text = archive.read(archive.namelist()[0]).decode("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
        for row in rows:
            int(row["trial_id"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, csv.Error) as error:
        raise _damaged(path, error) from error
    return list(reader.fieldnames or ()), rows


def _damaged(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"{str(path)!r} cannot be read ({error!r}). Allowed: the file as Syne Tune wrote it. Take an undamaged copy."
    )


def _trials(folder: Path, rows: Iterable[dict[str, str]], header: Sequence[str]) -> list[_Trial]:
    """Every trial by its number, with its rows in the order in which they arrived."""
    found: dict[int, _Trial] = {}
    for row in rows:
        found.setdefault(int(row["trial_id"]), _Trial(int(row["trial_id"]), {})).rows.append(row)
    for path in folder.glob("*/config.json"):
        if not path.parent.name.isdigit():
            continue
        number = int(path.parent.name)
        trial = found.setdefault(number, _Trial(number, {}))
        try:
            trial.config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error
        trial.ended, trial.stopped = (path.parent / "end").exists(), (path.parent / "stop").exists()
    columns = [name for name in header if name.startswith(_CONFIG)]
    texts = {name: [row[name] for row in rows if row[name]] for name in columns}
    read = {name: _reader(values) for name, values in texts.items()}
    for trial in found.values():
        if trial.rows:
            last = trial.rows[-1]
            trial.moved = any(row[name] != last[name] for row in trial.rows for name in columns)
            trial.config = {name[len(_CONFIG) :]: read[name](last[name]) for name in columns if last[name]}
    return [found[number] for number in sorted(found)]


def _reader(texts: Sequence[str]) -> Any:
    """What reads all cells of a column: int, float, truth values, or text as it is."""
    for read in (int, float, _truth):
        try:
            values = [read(text) for text in texts]
        except ValueError:
            continue
        if all(math.isfinite(value) for value in values):
            return read
    return str


def _truth(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(text)
    return text == "True"


# what the metadata say -------------------------------------------------------------------------------------


def _kwargs(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    found = metadata.get("scheduler_kwargs")
    return found if isinstance(found, dict) else {}


def _objectives(metadata: Mapping[str, Any], folder: Path) -> tuple[Objective, ...]:
    names, modes = metadata.get("metric_names"), metadata.get("metric_mode", "min")
    names = [names] if isinstance(names, str) else names
    if not names:
        raise ArgumentError(
            f"{str(folder)!r}: its {_METADATA} does not name the metric. Allowed: one or more. Give "
            "objectives=[Objective('accuracy', 'max')]."
        )
    modes = [modes] * len(names) if isinstance(modes, str) else modes
    return tuple(Objective(name, mode) for name, mode in zip(names, modes, strict=True))


def _column(name: str, header: Sequence[str], folder: Path, what: str) -> None:
    if name not in header:
        measured = [column for column in header if not column.startswith((_CONFIG, _OWN)) and column != "trial_id"]
        raise ArgumentError(f"{str(folder)!r} has no column {name!r} for the {what}. {did_you_mean(name, measured)}")


def _axis(
    resource: str | None, metadata: Mapping[str, Any], header: Sequence[str], trials: Sequence[_Trial], folder: Path
) -> str | None:
    if resource is not None:
        _column(resource, header, folder, "resource")
        return resource
    if all(len(trial.rows) <= 1 for trial in trials):
        return None
    kwargs = _kwargs(metadata)
    for name in (kwargs.get("time_attr"), kwargs.get("resource_attr"), metadata.get("resource_attr")):
        if isinstance(name, str) and name in header:
            return name
    return "iteration"


def _top(metadata: Mapping[str, Any], axis: str | None, points: Sequence[float]) -> float:
    """The full amount: the scheduler's `max_t`, unless trials went further."""
    given = _kwargs(metadata).get("max_t")
    known = given if isinstance(given, (int, float)) and not isinstance(given, bool) and axis is not None else 0
    return max([known, *points], default=1)


def _domains(
    metadata: Mapping[str, Any], trials: Sequence[_Trial], header: Sequence[str], folder: Path
) -> dict[str, Domain]:
    given = metadata.get("config_space")
    try:
        known = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise _damaged(folder / _METADATA, error) from error
    known = known if isinstance(known, dict) else {}
    columns = [name[len(_CONFIG) :] for name in header if name.startswith(_CONFIG)]
    names = dict.fromkeys([*known, *columns])
    found: dict[str, Domain] = {}
    for name in names:
        seen = [trial.config[name] for trial in trials if name in trial.config]
        domain = _domain(known[name]) if isinstance(known.get(name), dict) else None
        if domain is not None:
            found[name] = domain
        elif seen:  # without metadata, of an unknown class, or a constant
            found[name] = inferred(seen)
    return found


def _domain(form: Mapping[str, Any]) -> Domain | None:
    """A domain as `syne_tune.config_space.to_dict` writes it; None for one of an unknown class."""
    kind, own = form.get("domain_cls"), form.get("domain_kwargs", {})
    log = "LogUniform" in str(form.get("sampler_cls")) or bool(own.get("log_scale"))
    if kind in ("Float", "Integer", "FiniteRange") and {"lower", "upper"} <= own.keys():
        return numeric(own["lower"], own["upper"], (), whole=kind == "Integer" or bool(own.get("cast_int")), log=log)
    values = own.get("categories")
    if not values:
        return None
    return Ordinal(*values) if kind in ("Ordinal", "OrdinalNearestNeighbor") and len(values) > 1 else listed(values)


# trials ----------------------------------------------------------------------------------------------------


def _curve(
    trial: _Trial, axis: str | None, header: Sequence[str], folder: Path
) -> list[tuple[float, dict[str, float]]]:
    """(resource, metrics) of each row; without a column for the axis the position counts."""
    names = [name for name in header if not name.startswith((_CONFIG, _OWN)) and name not in ("trial_id", axis)]
    curve = []
    for i, row in enumerate(trial.rows, 1):
        metrics = {name: number for name in names if (number := _number(row[name])) is not None}
        at = _number(row[axis]) if axis is not None and axis in header else float(i)
        if at is None or not math.isfinite(at):
            raise ArgumentError(
                f"{str(folder)!r}: trial {trial.number} has {axis}={row[str(axis)]!r}. Allowed: a number in every row. "
                "Name another column with resource=."
            )
        curve.append((int(at) if at.is_integer() else at, metrics))
    return curve


def _number(text: str) -> float | None:
    """A metric; None for text. An empty cell is absent, or was NaN: pandas writes both alike."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _record(
    trial: _Trial,
    space: Space,
    goals: Sequence[Objective],
    curve: Sequence[tuple[float, dict[str, float]]],
    axis: str | None,
    top: float,
) -> Record:
    config, filled = _config(trial, space)
    tags = {"syne_tune": str(trial.number)}
    if not curve:
        return Record(config, Status.FAILED, filled=filled, tags=tags)
    # an empty cell of an objective was NaN: the program must report it
    missing = {goal.name: math.nan for goal in goals}
    points = [(at, {**missing, **metrics}) for at, metrics in curve]
    resource, metrics = points[-1]
    status = _status(trial, resource, top)
    if axis is None:
        return Record(config, status, None if status is Status.FAILED else metrics, filled=filled, tags=tags)
    if status is Status.FAILED:
        return Record(config, status, None, None, tuple(points), filled, tags)
    return Record(config, status, metrics, resource, tuple(points), filled, tags)


def _status(trial: _Trial, resource: float, top: float) -> Status:
    known = trial.rows[-1].get("st_status")
    if known == "Failed":
        return Status.FAILED
    return Status.COMPLETED if resource >= top or known == "Completed" else Status.STOPPED


def _config(trial: _Trial, space: Space) -> tuple[Any, tuple[str, ...]]:
    """The configuration in the space's own types; a cell of the table is text that several types could have given."""
    values = {}
    for name, value in trial.config.items():
        if name not in space:
            continue
        domain = space[name]
        listed_values = getattr(domain, "values", None) or ([domain.value] if isinstance(domain, Fixed) else [])
        alike = [known for known in listed_values if str(known) == str(value)]
        values[name] = alike[0] if alike and not domain.contains(value) else plain_choice(value)
    checked = space.check(values, where=f"trial {trial.number}", fill=True)
    return checked, tuple(name for name in checked if name not in values)
