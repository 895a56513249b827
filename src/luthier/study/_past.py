"""Earlier studies as a user names them: objects, folders, addresses and patterns, put in order and checked."""

from __future__ import annotations

import difflib
import fnmatch
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, LuthierWarning, SchemaError
from luthier.runtime.storage import open_storage, split_name
from luthier.runtime.storage._urls import FILE, without_password
from luthier.space.problem import PastTask, Problem
from luthier.space.translation import translate


def gather(past: Any, *, beside: str | None, but: str | None) -> list[PastTask]:
    """Earlier tasks in order.

    Studies that were given a place in order keep it and must come in it; those that were not get 0, 1, 2 ...

    Args:
        past: What the user gave.
        beside: Store in which a bare pattern looks.
        but: Name that a pattern leaves out: that of the study itself.

    Raises:
        ArgumentError: something else, or places that are out of order, doubled, or given for some alone.
        StorageError: a store cannot be read.
    """
    alone = isinstance(past, (str, Path, PastTask)) or hasattr(past, "as_past")
    if not alone and not isinstance(past, Iterable):
        raise ArgumentError(
            f"past={past!r}. Allowed: a list of earlier studies. Write past=['runs/march'], or leave it out."
        )
    items = [past] if alone else list(past)
    once: dict[Any, tuple[PastTask, bool]] = {}  # who is named twice counts once, where it was named first
    for i, item in enumerate(items):
        for key, task, own in _tasks(item, f"past[{i}]", beside, but):
            once.setdefault(key, (task, own))
    found = [*once.values()]
    placed = [task for task, own in found if own]
    if not placed:
        return [replace(task, order=float(i)) for i, (task, _) in enumerate(found)]
    if len(placed) < len(found):
        lacking = next(task.name for task, own in found if not own)
        raise ArgumentError(
            f"past: {placed[0].name!r} has a place in order and {lacking!r} has none. Allowed: all of them "
            "(Study(..., order=...)) or none."
        )
    for earlier, later in pairwise(placed):
        if not earlier.order < later.order:
            raise ArgumentError(
                f"past: {earlier.name!r} at {earlier.order:g} comes before {later.name!r} at {later.order:g}. Allowed: "
                "oldest (or smallest) first, each place once. Sort them by their order."
            )
    return placed


def _tasks(item: Any, where: str, beside: str | None, but: str | None) -> Iterator[tuple[Any, PastTask, bool]]:
    """Tasks of one entry, each with what tells it from others, and whether it has a place of its own."""
    if isinstance(item, PastTask):
        yield id(item), item, True
    elif hasattr(item, "as_past"):
        yield _entry(item)
    elif isinstance(item, (str, Path)):
        yield from _named(str(item), where, beside, but)
    else:
        raise ArgumentError(
            f"{where}={item!r}. Allowed: a Study, a PastTask, a folder, 'URL#NAME' or a pattern of names."
        )


def _entry(study: Any) -> tuple[Any, PastTask, bool]:
    memory = study.url.startswith("memory:")  # where names are no addresses
    key = id(study) if memory else (study.url, study.name)
    return key, study.as_past(), study.problem.order is not None


def _named(text: str, where: str, beside: str | None, but: str | None) -> Iterator[tuple[Any, PastTask, bool]]:
    from luthier.study.study import Study  # a study has a past: each needs the other

    url, name = split_name(text)
    bare = name is None and any(letter in text for letter in "*?[") and not Path(text).exists()
    if bare:
        if beside is None:
            raise ArgumentError(f"{where}={text!r}, and this study has no store. Give one, or name it: 'URL#{text}'.")
        url, name = beside, text
        if "://" not in beside and not Path(beside).exists():
            _starts_without(text, beside, [])  # the store is about to be made
            return
    if name is None or not any(letter in name for letter in "*?["):
        try:
            study = Study.open(text)
        except SchemaError as error:
            raise SchemaError(
                f"{where}={text!r}: {error} A history of Optuna is converted first: luthier convert {text} imported; "
                "then past=['imported']."
            ) from error
        with study:
            yield _entry(study)
        return
    store = open_storage(url, create=bare)
    try:
        rows = sorted(store.studies(), key=lambda row: (row.created, row.id))
        names = [row.name for row in rows if fnmatch.fnmatchcase(row.name, name) and row.name != but]
    finally:
        store.close()
    if not names and not bare:
        raise ArgumentError(
            f"{where}={text!r}: no study of such a name there. See: luthier list studies {_shown(url)}."
        )
    if not names:
        _starts_without(text, url, [row.name for row in rows if row.name != but])
    for one in names:
        with Study.open(url, one) as study:
            entry = _entry(study)
            if entry[1].observations:  # else it is just being made, or nothing came of it
                yield entry


def _starts_without(pattern: str, store: str, names: list[str]) -> None:
    """Warn that a pattern finds nothing, as in the first month; and say what may have been meant."""
    near = difflib.get_close_matches(pattern.rstrip("*?"), names, n=3, cutoff=0.5)
    hints = [f"Names there: {', '.join(map(repr, near))}."] if near else []
    homes = {Path(), *([] if "://" in store else [Path(store).parent.parent])}
    folders = sorted(
        {str(file.parent) for home in homes for file in home.glob(f"{pattern}/{FILE}") if str(file) != store}
        if not Path(pattern).is_absolute()
        else ()
    )
    if folders:
        listed = ", ".join(map(repr, folders[:5]))
        hints.append(f"A pattern means studies of one store; for folders name each: past=[{listed}].")
    text = f"past {pattern!r}: no study of such a name in {_shown(store)}; this one starts without."
    warnings.warn(" ".join([text, *hints]), LuthierWarning, stacklevel=6)


def _shown(store: str) -> str:
    return without_password(store) if "://" in store else store


def check_past(problem: Problem) -> None:
    """Judge whether a problem can learn from its past; warn of what cannot be taken over as it is.

    Raises:
        ArgumentError: an earlier task had other objectives, or shares no hyperparameter, or comes after this one.
    """
    tasks = problem.past
    doubled = {task.order for task in tasks if sum(other.order == task.order for other in tasks) > 1}
    if doubled or any(not math.isfinite(task.order) for task in tasks):
        raise ArgumentError(f"past: {[task.order for task in tasks]} as order. Allowed: numbers, each once.")
    if problem.order is not None and tasks and not problem.order > tasks[-1].order:
        raise ArgumentError(
            f"order={problem.order:g}, and the last earlier task {tasks[-1].name!r} is at {tasks[-1].order:g}. "
            "Allowed: a later place; learn from earlier tasks alone."
        )
    for task in tasks:
        if [(o.name, o.goal) for o in task.objectives] != [(o.name, o.goal) for o in problem.objectives]:
            raise ArgumentError(
                f"past task {task.name!r} {_words(task.objectives)}, and this study {_words(problem.objectives)}. "
                "Allowed: the same objectives. Leave it out, or convert it: PastTask(...) takes values to be minimised."
            )
        if not len(problem.space):
            continue  # hyperparameters are named while running: it will be seen then
        if not set(task.space.names) & set(problem.space.names):
            raise ArgumentError(
                f"past task {task.name!r} has the hyperparameters {', '.join(task.space.names)}, of which this study "
                "knows none. Leave it out."
            )
        for line in translate(task, problem.space).notes:
            warnings.warn(f"past task {task.name!r}: {line}", LuthierWarning, stacklevel=4)


def _words(objectives: Iterable[Any]) -> str:
    return " and ".join(f"{'minimises' if o.goal == 'min' else 'maximises'} {o.name!r}" for o in objectives)
