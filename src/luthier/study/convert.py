"""From one store or format to another: what `luthier convert` does."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, LuthierWarning, StorageError
from luthier.base.records import Event
from luthier.runtime.storage import Draft, Storage, open_storage, split_name
from luthier.runtime.storage._json import encode
from luthier.study._optuna_files import TABLES, connect, is_journal, tables
from luthier.study.exchange import WRITERS
from luthier.study.foreign import History, into_study
from luthier.study.from_optuna import read_optuna
from luthier.study.from_syne_tune import is_experiment, read_syne_tune
from luthier.study.study import Study

_SQLITE = b"SQLite format 3\0"


def convert(source: str, dest: str, *, name: str | None = None) -> Study:
    """Bring a study into another store, or into a file.

    The source is recognised by what it holds: a database or journal of Optuna, an experiment's folder of Syne Tune,
    or a study of luthier (a folder, a database, a URL). Another program's trials become those of a new study
    (`into_study`). A study of luthier is copied with its whole log, every event as it was and in its order, and read
    back to compare (`digest`); files of its trials (output, checkpoints) stay where they are, and a copy that goes on
    does not write among them: trials that were paused start afresh there.

    Args:
        source: A file, folder or URL; `#NAME` behind it says which study, if it holds several.
        dest: A folder, a database file or a URL, with `#NAME` behind it for another name; or a file ending in .csv,
            .json or .parquet, which gets the trials alone.
        name: Which study of the source, instead of `#NAME`.

    Returns:
        The study in its new store; where `dest` is a file, the study that was written.

    Raises:
        ArgumentError: the source is nothing that can be read, or `dest` has the ending of another kind of file.
        StudyExists: `dest` has a study of that name.
        StorageError, SchemaError, StudyNotFound: the source or the store cannot be used.
    """
    place, inner = split_name(source)
    which = name or inner
    if Path(dest).suffix.lower() in WRITERS:
        history = _foreign(place, which)
        study = Study.open(place, which) if history is None else _made(history, searcher="random")
        try:
            study.export(dest)
        except BaseException:
            study.close()
            raise
        return study
    target, new = split_name(dest)
    _refuse_ending(target)
    history = _foreign(place, which)
    if history is None:
        return _copy(place, which, target, new)
    folder = None if "://" in target or _is_database(Path(target)) else target
    return _made(history, storage=None if folder else target, folder=folder, name=new)


def _made(history: History, **where: Any) -> Study:
    """A study of another program's; what could not be taken over as it was is said in a warning."""
    if history.notes:
        warnings.warn(f"{history.name}: {' '.join(history.notes)}", LuthierWarning, stacklevel=3)
    return into_study(history, **where)


def _refuse_ending(dest: str) -> None:
    """Refuse what looks like a file of a kind that cannot be written: it would become a folder of that name."""
    ending = Path(dest).suffix
    if "://" in dest or not ending[1:].isalpha() or Path(dest).exists() or _is_database(Path(dest)):
        return
    raise ArgumentError(
        f"{dest!r} ends in {ending!r}. Allowed: {', '.join(WRITERS)} for the trials alone, .db for a database, or a "
        "folder. Give one of these; a folder of such a name has to be there already."
    )


def _is_database(path: Path) -> bool:
    return path.is_file() or path.suffix.lower() in (".db", ".sqlite", ".sqlite3")


def _foreign(source: str, name: str | None) -> History | None:
    """What another program wrote; None for a store of luthier."""
    if "://" in source:
        if source.partition("://")[0] == "memory":
            return None
        return read_optuna(source, name) if _is_optuna(source) else None
    path = Path(source).expanduser()
    if path.is_dir():
        if is_experiment(path):
            return read_syne_tune(path)
        if (path / "study.db").is_file():
            return None
    elif path.is_file():
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
        if head == _SQLITE:
            return read_optuna(path, name) if _is_optuna(str(path)) else None
        if is_journal(path):
            return read_optuna(path, name)
    else:
        raise StorageError(f"{source!r} is not there. Allowed: a study that exists. Look for a misspelt path.")
    raise ArgumentError(
        f"{source!r} is nothing that can be converted. Allowed: a luthier folder, database or URL, a database, URL or "
        "journal file of Optuna, an experiment folder of Syne Tune. Name one of these."
    )


def _is_optuna(source: str) -> bool:
    # luthier's stores of other schemes than SQLAlchemy's (of an entry point) cannot be looked into here
    scheme, mark, _ = source.partition("://")
    if mark and scheme.partition("+")[0] not in _DIALECTS:
        return False
    if scheme in ("postgres", "postgresql"):
        # one database may hold both programs' tables: Optuna's own form of the URL names the driver (+psycopg2)
        try:
            open_storage(source).close()
            return False
        except StorageError:
            source = f"postgresql+psycopg://{source.partition('://')[2]}"
    with connect(source) as connection:
        return TABLES & tables(connection) > {"studies"}


_DIALECTS = frozenset({"sqlite", "postgresql", "postgres", "mysql", "mariadb"})


def _copy(source: str, name: str | None, dest: str, new: str | None) -> Study:
    with open_storage(source) as old:
        row = old.open(name)
        events = old.read(row.id)
        numbers = [event.seq for event in events]
        if numbers != list(range(1, len(events) + 1)):
            raise StorageError(
                f"{old.where}: the log of study {row.name!r} has gaps. Allowed: events 1 to {len(events)}. Take an "
                "undamaged copy of the store."
            )
        title = new or row.name
        with open_storage(dest, create=True) as store:
            _write(store, title, row.seed, row.problem, [Draft(*event[1:]) for event in events])
            made = store.open(title)
            if digest(store.read(made.id)) != digest(events) or (made.seed, made.problem) != (row.seed, row.problem):
                raise StorageError(
                    f"{store.where}: study {title!r} does not read back as it was in {old.where}. Keep the old store, "
                    "and report this."
                )
    return Study.open(dest, title)


def convert_all(source: str, dest: str) -> list[tuple[str, int, str]]:
    """Copy every study of a store of luthier into another store.

    Args:
        source: A folder, database file or URL.
        dest: A folder, a database file or a URL.

    Returns:
        Name, number of events and `digest` of each study.

    Raises:
        StudyExists: `dest` has a study of such a name; those before it have been copied.
        StorageError, SchemaError: a store cannot be used, or a log does not read back as it was.
    """
    with open_storage(source) as old:
        names = [row.name for row in old.studies()]
    found = []
    for name in names:
        with _copy(source, name, dest, None) as study:
            events = study.events()
            found.append((name, len(events), digest(events)))
    return found


def digest(events: Sequence[Event]) -> str:
    """SHA-256 of a log: equal for equal logs, whatever store they lie in."""
    found = hashlib.sha256()
    for event in events:
        found.update(encode(list(event), "a log").encode())
        found.update(b"\n")
    return found.hexdigest()


def _write(store: Storage, name: str, seed: int, problem: dict[str, object], drafts: list[Draft]) -> None:
    made = store.create(name, seed=seed, problem=problem)
    if drafts:
        store.append(made.id, drafts)
