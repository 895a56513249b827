"""Optuna's files, in its own terms: its database and its journal.

Known: the database as Optuna 2.4 and later keep it, written by SQLite, MySQL or PostgreSQL, and the journal of
`JournalFileBackend`. Nothing is written, and nothing pickled is read.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from luthier.base.errors import SchemaError, StorageError
from luthier.runtime.storage._urls import without_password

if TYPE_CHECKING:
    import sqlalchemy as sa

_STATE_NUMBERS = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
#: System attribute that holds the scores of folds, and the mark that it becomes.
_SCORES, _SCORES_TAG = "terminator:cv_scores", "cv_scores"
#: Tables without which a database is none of Optuna's.
TABLES = frozenset({"studies", "study_directions", "trials", "trial_params", "trial_values"})


@dataclass
class ForeignTrial:
    """A trial as Optuna keeps it.

    Args:
        number: Position in its study, from 0.
        state: "RUNNING", "COMPLETE", "PRUNED", "FAIL" or "WAITING".
        params: Name to the value as a number (a choice by its position) and the distribution's JSON form.
        values: One for each objective, None when it has none.
        curve: Step to intermediate value.
        tags: User attributes; under "cv_scores" what Optuna's terminator was told.
    """

    number: int
    state: str
    params: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    values: list[float] | None = None
    curve: dict[int, float] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass
class ForeignStudy:
    """A study as Optuna keeps it.

    Args:
        name: Its name.
        directions: "MINIMIZE" or "MAXIMIZE", one for each objective.
        metric_names: Names of the objectives, None when the user gave none.
        trials: Its trials in order of their number.
    """

    name: str
    directions: list[str]
    metric_names: list[str] | None = None
    trials: list[ForeignTrial] = field(default_factory=list)


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
        shown = without_password(source) if "://" in source else source
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError(
            f"{shown!r} cannot be read ({reason}). Allowed: a database that this machine can open, with its driver "
            "installed. Check the address."
        ) from error


def tables(connection: sa.Connection) -> set[str]:
    """Names of all tables."""
    import sqlalchemy as sa

    return set(sa.inspect(connection).get_table_names())


# the database ----------------------------------------------------------------------------------------------


def read_database(connection: sa.Connection, source: str) -> list[ForeignStudy]:
    """Every study of a database, with its trials.

    Raises:
        SchemaError: it is not Optuna's, or older than 2.4.
    """
    missing = TABLES - tables(connection)
    if missing:
        raise SchemaError(
            f"{source!r} lacks the tables {', '.join(sorted(missing))}. Allowed: a database of Optuna 2.4 or later. "
            "For an older one run `optuna storage upgrade` first."
        )
    studies = {row["study_id"]: ForeignStudy(row["study_name"], []) for row in _rows(connection, "studies", "study_id")}
    for row in _rows(connection, "study_directions", "objective"):
        studies[row["study_id"]].directions.append(row["direction"])
    for row in _rows(connection, "study_system_attributes", "study_id"):
        if row["key"] == "study:metric_names":
            studies[row["study_id"]].metric_names = json.loads(row["value_json"])
    trials: dict[int, ForeignTrial] = {}
    for row in _rows(connection, "trials", "trial_id"):
        study = studies[row["study_id"]]
        trials[row["trial_id"]] = ForeignTrial(len(study.trials), row["state"])
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
    system = "trial_system_attributes"
    for row in _rows(connection, system, "trial_id") if system in tables(connection) else ():
        if row["key"] == _SCORES:
            trials[row["trial_id"]].tags.setdefault(_SCORES_TAG, json.loads(row["value_json"]))
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


def read_journal(path: Path) -> list[ForeignStudy]:
    """Every study of a journal, with its trials; a last line that is not whole is left out, as Optuna does it.

    Raises:
        SchemaError: a line is damaged, or of a kind that is not known.
    """
    studies: list[ForeignStudy | None] = []
    trials: list[ForeignTrial] = []
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


def _apply(log: Mapping[str, Any], studies: list[ForeignStudy | None], trials: list[ForeignTrial]) -> None:
    code = log["op_code"]
    if code == 0:
        if all(study is None or study.name != log["study_name"] for study in studies):
            goals = {1: "MINIMIZE", 2: "MAXIMIZE"}
            studies.append(ForeignStudy(log["study_name"], [goals.get(int(d), "NOT_SET") for d in log["directions"]]))
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
    elif code in (5, 6, 7, 8, 9):
        trial = trials[log["trial_id"]]
        if trial.state in ("RUNNING", "WAITING"):  # two workers may both end one: the first counts
            _change(code, log, trial)
    elif code not in (2, 10):  # attributes that are not needed, and what Optuna itself passes over
        raise ValueError(f"op_code {code} is not known")


def _created(log: Mapping[str, Any], number: int) -> ForeignTrial:
    forms = {name: json.loads(text) for name, text in log.get("distributions", {}).items()}
    single = log.get("value")
    return ForeignTrial(
        number,
        _STATE_NUMBERS[log.get("state", 0)],
        {name: (value, forms[name]) for name, value in log.get("params", {}).items()},
        log.get("values") if single is None else [single],
        {int(step): _nan(value) for step, value in log.get("intermediate_values", {}).items()},
        dict(log.get("user_attrs", {})),
    )


def _change(code: int, log: Mapping[str, Any], trial: ForeignTrial) -> None:
    if code == 5:
        trial.params[log["param_name"]] = (log["param_value_internal"], json.loads(log["distribution"]))
    elif code == 6:
        trial.state = _STATE_NUMBERS[log["state"]]
        trial.values = log["values"] if log["values"] is not None else trial.values
    elif code == 7:
        trial.curve[log["step"]] = _nan(log["intermediate_value"])
    elif code == 8:
        trial.tags.update(log["user_attr"])
    elif _SCORES in log["system_attr"]:
        trial.tags.setdefault(_SCORES_TAG, log["system_attr"][_SCORES])


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
