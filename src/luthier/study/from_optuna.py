"""Optuna's studies, read from its database or its journal file; Optuna itself is not needed.

Known: schema 9 and later of the database (Optuna 2.4), written by SQLite, MySQL or PostgreSQL, and the journal of
`JournalFileBackend`. Nothing is written, and no pickled attribute is read.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from luthier.base.errors import SchemaError, StorageError, StudyNotFound, did_you_mean
from luthier.base.records import Fidelity, Objective, Status
from luthier.space.domain import Domain
from luthier.space.space import Space
from luthier.study.foreign import History, Record, listed, numeric, plain_choice

if TYPE_CHECKING:
    import sqlalchemy as sa

_STATES = {"COMPLETE": Status.COMPLETED, "PRUNED": Status.STOPPED, "FAIL": Status.FAILED}
_STATE_NUMBERS = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
#: Tables without which a database is none of Optuna's.
TABLES = frozenset({"studies", "study_directions", "trials", "trial_params", "trial_values"})


@dataclass
class _Trial:
    """A trial as Optuna keeps it: parameters as numbers, a choice by its position."""

    number: int
    state: str
    params: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    values: list[float] | None = None
    curve: dict[int, float] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Study:
    name: str
    directions: list[str]
    metric_names: list[str] | None = None
    trials: list[_Trial] = field(default_factory=list)


def read_optuna(source: str | Path, name: str | None = None) -> History:
    """Read a study of Optuna.

    COMPLETE becomes completed, PRUNED stopped, FAIL failed; RUNNING and WAITING trials are left out. The objectives
    keep the names that Optuna's `set_metric_names` gave them, else they are "value", or "value_0", "value_1", ...
    Intermediate values become a curve of the first objective over the fidelity "step"; when steps begin at 0 they
    are moved to begin at 1. A parameter whose range changed gets the widest one. A parameter that some trials lack
    (a conditional one: the condition is nowhere kept) is in the space all the same; those trials are filled with its
    default, and `History.filled` names them.

    Args:
        source: A database file, a URL of SQLAlchemy, or a journal file.
        name: The study's name, if there are several.

    Returns:
        The history. `tags` hold the user attributes, and under "optuna" the trial's number there.

    Raises:
        StorageError: it cannot be read.
        SchemaError: it is not Optuna's, or of an unknown schema.
        StudyNotFound: no study of that name, several and no name, or one without a finished trial.
    """
    text = str(source)
    if "://" not in text and is_journal(Path(text)):
        studies = _read_journal(Path(text))
    else:
        with connect(text) as connection:
            studies = _read_database(connection, text)
    return _history(_pick(studies, name, text), text)


def is_journal(path: Path) -> bool:
    """Whether a file is a journal of Optuna's: JSON lines, each with a code of an operation."""
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline(1_000_000))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "op_code" in first


@contextmanager
def connect(source: str) -> Iterator[sa.Connection]:
    """A connection that only reads; a file that is not there is not made.

    Args:
        source: A file of SQLite, or a URL of SQLAlchemy.

    Raises:
        StorageError: it cannot be opened or read.
    """
    import sqlalchemy as sa

    try:
        url = sa.make_url(source.replace("postgres://", "postgresql://", 1)) if "://" in source else None
        if url is None or url.get_backend_name() == "sqlite":
            file = Path(source if url is None else url.database or "").expanduser()
            if not file.is_file():
                raise StorageError(
                    f"{source!r} is not there. Allowed: a database that exists. Look for a misspelt path."
                )
            address = f"file:{quote(str(file.resolve()))}?mode=ro"
            engine = sa.create_engine(
                "sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool
            )
        else:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, sqlite3.Error, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError(
            f"{source!r} cannot be read ({reason}). Allowed: a database that this machine can open, with its driver "
            "installed. Check the address."
        ) from error


def tables(connection: sa.Connection) -> set[str]:
    """Names of all tables."""
    import sqlalchemy as sa

    return set(sa.inspect(connection).get_table_names())


# the database ----------------------------------------------------------------------------------------------


def _read_database(connection: sa.Connection, source: str) -> list[_Study]:
    missing = TABLES - tables(connection)
    if missing:
        raise SchemaError(
            f"{source!r} lacks the tables {', '.join(sorted(missing))}. Allowed: a database of Optuna 2.4 or later. "
            "For an older one run `optuna storage upgrade` first."
        )
    studies = {row["study_id"]: _Study(row["study_name"], []) for row in _rows(connection, "studies", "study_id")}
    for row in _rows(connection, "study_directions", "objective"):
        studies[row["study_id"]].directions.append(row["direction"])
    for row in _rows(connection, "study_system_attributes", "study_id"):
        if row["key"] == "study:metric_names":
            studies[row["study_id"]].metric_names = json.loads(row["value_json"])
    trials: dict[int, _Trial] = {}
    for row in _rows(connection, "trials", "trial_id"):
        study = studies[row["study_id"]]
        trials[row["trial_id"]] = _Trial(len(study.trials), row["state"])
        study.trials.append(trials[row["trial_id"]])
    for row in _rows(connection, "trial_params", "param_id"):
        form = json.loads(row["distribution_json"])
        trials[row["trial_id"]].params[row["param_name"]] = (row["param_value"], form)
    for row in _rows(connection, "trial_values", "objective"):
        trial = trials[row["trial_id"]]
        trial.values = [*(trial.values or []), _number(row["value"], row.get("value_type"))]
    for row in _rows(connection, "trial_intermediate_values", "step"):
        kind = row.get("intermediate_value_type")
        trials[row["trial_id"]].curve[row["step"]] = _number(row["intermediate_value"], kind)
    for row in _rows(connection, "trial_user_attributes", "trial_id"):
        trials[row["trial_id"]].tags[row["key"]] = json.loads(row["value_json"])
    return list(studies.values())


def _rows(connection: sa.Connection, table: str, order: str) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    statement = sa.select(sa.text("*")).select_from(sa.table(table)).order_by(sa.column(order))
    return [dict(row) for row in connection.execute(statement).mappings()]


def _number(value: float | None, kind: str | None) -> float:
    """A stored value: before Optuna 3 there was no column for the kind, and NULL stood for NaN."""
    if kind in _SPECIAL:
        return _SPECIAL[kind]
    return math.nan if value is None else float(value)


# the journal -----------------------------------------------------------------------------------------------


def _read_journal(path: Path) -> list[_Study]:
    studies: list[_Study | None] = []
    trials: list[_Trial] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                break  # a writer died, or is at work: Optuna too reads whole lines alone
            try:
                _apply(json.loads(line), studies, trials)
            except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                raise SchemaError(
                    f"{str(path)!r}, line {number}: {error!r}. Allowed: a journal of Optuna's JournalFileBackend. Take "
                    "an undamaged copy."
                ) from error
    return [study for study in studies if study is not None]


def _apply(log: Mapping[str, Any], studies: list[_Study | None], trials: list[_Trial]) -> None:
    code = log["op_code"]
    if code == 0:
        if all(study is None or study.name != log["study_name"] for study in studies):
            goals = {1: "MINIMIZE", 2: "MAXIMIZE"}
            studies.append(_Study(log["study_name"], [goals.get(int(d), "NOT_SET") for d in log["directions"]]))
    elif code == 1:
        studies[log["study_id"]] = None
    elif code == 3:
        study = studies[log["study_id"]]
        if study is not None and "study:metric_names" in log["system_attr"]:
            study.metric_names = log["system_attr"]["study:metric_names"]
    elif code == 4:
        study = studies[log["study_id"]]
        if study is not None:
            trials.append(_created(log, len(study.trials)))
            study.trials.append(trials[-1])
    elif code in (5, 6, 7, 8):
        trial = trials[log["trial_id"]]
        if trial.state in ("RUNNING", "WAITING"):  # two workers may both end one: the first counts
            _change(code, log, trial)


def _created(log: Mapping[str, Any], number: int) -> _Trial:
    forms = {name: json.loads(text) for name, text in log.get("distributions", {}).items()}
    single = log.get("value")
    return _Trial(
        number,
        _STATE_NUMBERS[log.get("state", 0)],
        {name: (value, forms[name]) for name, value in log.get("params", {}).items()},
        log.get("values") if single is None else [single],
        {int(step): _nan(value) for step, value in log.get("intermediate_values", {}).items()},
        dict(log.get("user_attrs", {})),
    )


def _change(code: int, log: Mapping[str, Any], trial: _Trial) -> None:
    if code == 5:
        trial.params[log["param_name"]] = (log["param_value_internal"], json.loads(log["distribution"]))
    elif code == 6:
        trial.state = _STATE_NUMBERS[log["state"]]
        trial.values = log["values"] if log["values"] is not None else trial.values
    elif code == 7:
        trial.curve[log["step"]] = _nan(log["intermediate_value"])
    else:
        trial.tags.update(log["user_attr"])


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


# from Optuna's terms to ours -------------------------------------------------------------------------------


def _pick(studies: Sequence[_Study], name: str | None, source: str) -> _Study:
    found = [study for study in studies if name is None or study.name == name]
    if len(found) == 1:
        return found[0]
    if not studies:
        raise StudyNotFound(f"{source!r} holds no study of Optuna. Allowed: one or more. Look for another file.")
    words = [study.name for study in studies]
    if name is None:
        raise StudyNotFound(
            f"{source!r} holds {len(words)} studies of Optuna: {', '.join(map(repr, words))}. Say which: {source}#NAME."
        )
    raise StudyNotFound(f"{source!r} holds no study {name!r} of Optuna. {did_you_mean(name, words)}")


def _history(study: _Study, source: str) -> History:
    ended = [trial for trial in study.trials if trial.state in _STATES]
    names = _objective_names(study)
    shift = _shift(ended)
    steps = [step + shift for trial in ended for step in trial.curve]
    fidelity = Fidelity("step", min(steps), max(steps)) if steps else None
    domains = _domains(ended)
    if not domains:
        raise StudyNotFound(
            f"{source!r}: study {study.name!r} has no finished trial with a parameter, so its space is unknown. "
            "Allowed: one or more. Run it first."
        )
    space = Space(domains)
    notes = [] if not shift else [f"Steps were moved by {shift}, so that they begin at 1."]
    changed = sorted({name for t in ended for name, (_, form) in t.params.items() if form != _first(ended, name)})
    notes += [f"The range of {name!r} changed between trials: the widest was taken." for name in changed]
    return History(
        study.name,
        space,
        tuple(
            Objective(name, "max" if goal == "MAXIMIZE" else "min")
            for name, goal in zip(names, study.directions, strict=True)
        ),
        fidelity,
        tuple(_record(trial, space, names, shift) for trial in ended),
        dict(Counter(trial.state for trial in study.trials if trial.state not in _STATES)),
        tuple(notes),
    )


def _first(trials: Sequence[_Trial], name: str) -> dict[str, Any]:
    return next(trial.params[name][1] for trial in trials if name in trial.params)


def _objective_names(study: _Study) -> list[str]:
    if study.metric_names:
        return list(study.metric_names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"value_{i}" for i in range(count)]


def _shift(trials: Sequence[_Trial]) -> int:
    """What to add to steps, so that the first is 1 where it was 0 or less: a fidelity begins above 0."""
    low = min((step for trial in trials for step in trial.curve), default=1)
    return max(0, 1 - low)


def _record(trial: _Trial, space: Space, names: Sequence[str], shift: int) -> Record:
    given = {name: _external(value, form) for name, (value, form) in trial.params.items()}
    metrics = None
    if trial.values is not None and trial.state != "FAIL":
        metrics = dict(zip(names, trial.values, strict=True))
    curve = tuple((step + shift, {names[0]: value}) for step, value in sorted(trial.curve.items()))
    status = _STATES[trial.state]
    tags = {key: value if isinstance(value, str) else json.dumps(value) for key, value in trial.tags.items()}
    return Record(
        space.check(given, where=f"trial {trial.number}", fill=True),
        status,
        metrics,
        curve[-1][0] if curve and metrics is not None else None,
        curve,
        tuple(name for name in space if name not in given),
        {**tags, "optuna": str(trial.number)},
    )


def _external(value: float, form: Mapping[str, Any]) -> Any:
    kind, attributes = _kind(form)
    if kind == "choice":
        return plain_choice(attributes["choices"][int(value)])
    return int(value) if kind == "int" else float(value)


def _kind(form: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Our kind, and the attributes, of a distribution; five names are those of Optuna 1 and 2."""
    word = form.get("name", form.get("type"))
    attributes: Mapping[str, Any] = form.get("attributes", form)
    if word in ("FloatDistribution", "UniformDistribution", "float"):
        return "float", attributes
    if word == "LogUniformDistribution":
        return "float", {**attributes, "log": True}
    if word == "DiscreteUniformDistribution":
        return "float", {**attributes, "step": attributes["q"]}
    if word in ("IntDistribution", "IntUniformDistribution", "int"):
        return "int", attributes
    if word == "IntLogUniformDistribution":
        return "int", {**attributes, "log": True}
    if word in ("CategoricalDistribution", "categorical"):
        return "choice", attributes
    raise SchemaError(
        f"distribution {word!r} is not known. Allowed: Optuna's Float, Int and Categorical distributions and the names "
        "they had before version 3. Read it with a newer luthier."
    )


def _domains(trials: Sequence[_Trial]) -> dict[str, Domain]:
    """Every parameter, in the order in which they were first seen, with its widest range."""
    forms: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    seen: dict[str, list[Any]] = {}
    for trial in trials:
        for name, (value, form) in trial.params.items():
            forms.setdefault(name, []).append(_kind(form))
            seen.setdefault(name, []).append(_external(value, form))
    return {name: _union(known, seen[name]) for name, known in forms.items()}


def _union(forms: Sequence[tuple[str, Mapping[str, Any]]], seen: Sequence[Any]) -> Domain:
    kinds = {kind for kind, _ in forms}
    if "choice" in kinds:
        return listed([c for kind, form in forms if kind == "choice" for c in form["choices"]] + list(seen))
    whole = kinds == {"int"}
    steps = {form.get("step") for _, form in forms}
    step = steps.pop() if len(steps) == 1 else None
    return numeric(
        min(form["low"] for _, form in forms),
        max(form["high"] for _, form in forms),
        seen,
        whole=whole,
        log=all(form.get("log", False) for _, form in forms),
        step=None if whole and step == 1 else step,
    )
