"""Optuna's studies as histories, read from its database or its journal file; Optuna itself is not needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.base.errors import SchemaError, StudyNotFound, did_you_mean
from luthier.base.records import Fidelity, Objective, Status
from luthier.space.domain import Domain
from luthier.space.space import Space
from luthier.study._optuna_files import ForeignStudy, ForeignTrial, connect, is_journal, read_database, read_journal
from luthier.study.foreign import History, Record, listed, numeric, plain_choice

_STATES = {"COMPLETE": Status.COMPLETED, "PRUNED": Status.STOPPED, "FAIL": Status.FAILED}


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
    path = Path(text).expanduser()
    if "://" not in text and is_journal(path):
        studies = read_journal(path)
    else:
        with connect(text) as connection:
            studies = read_database(connection, text)
    return history_of(_pick(studies, name, text), text)


def _pick(studies: Sequence[ForeignStudy], name: str | None, source: str) -> ForeignStudy:
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


def history_of(study: ForeignStudy, source: str) -> History:
    """A study in Optuna's terms as a history; see `read_optuna`.

    Args:
        study: The study.
        source: Where it was found, for messages.

    Raises:
        StudyNotFound: it has no finished trial with a parameter.
    """
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
    notes += [f"The range of {name!r} changed between trials: the widest was taken." for name in _changed(ended)]
    records = tuple(_record(trial, space, names, shift) for trial in ended)
    for name, count in Counter(name for record in records for name in record.filled).items():
        trials = f"{count} trial{'' if count == 1 else 's'}"
        notes.append(f"{name!r} was absent in {trials} and counts as its default {space[name].default!r} there.")
    return History(
        study.name,
        space,
        tuple(
            Objective(name, "max" if goal == "MAXIMIZE" else "min")
            for name, goal in zip(names, study.directions, strict=True)
        ),
        fidelity,
        records,
        dict(Counter(trial.state for trial in study.trials if trial.state not in _STATES)),
        tuple(notes),
    )


def _changed(trials: Sequence[ForeignTrial]) -> list[str]:
    first: dict[str, dict[str, Any]] = {}
    pairs = ((name, form) for trial in trials for name, (_, form) in trial.params.items())
    return sorted({name for name, form in pairs if form != first.setdefault(name, form)})


def _objective_names(study: ForeignStudy) -> list[str]:
    if study.metric_names:
        return list(study.metric_names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"value_{i}" for i in range(count)]


def _shift(trials: Sequence[ForeignTrial]) -> int:
    """What to add to steps, so that the first is 1 where it was 0 or less: a fidelity begins above 0."""
    low = min((step for trial in trials for step in trial.curve), default=1)
    return max(0, 1 - low)


def _record(trial: ForeignTrial, space: Space, names: Sequence[str], shift: int) -> Record:
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


def _domains(trials: Sequence[ForeignTrial]) -> dict[str, Domain]:
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
