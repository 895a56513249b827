"""Optuna: luthier's searchers as its sampler, and its studies as luthier's past or as trials of a luthier study."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError, LuthierWarning, SpaceError
from luthier.base.imports import need
from luthier.base.records import Configuration
from luthier.integrations._late import joined, late
from luthier.integrations._optuna_sampler import Sampler, distribution_of, domain_of
from luthier.runtime.storage import split_name
from luthier.space.problem import PastTask
from luthier.space.space import Space
from luthier.study import Study
from luthier.study._optuna_files import ForeignStudy, ForeignTrial
from luthier.study.foreign import History, Record, into_study
from luthier.study.from_optuna import history_of, read_optuna

__all__ = ["LuthierSampler", "add_trials", "distribution_of", "domain_of", "past_task", "read_study"]


def read_study(
    source: Any,
    name: str | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    objectives: Sequence[str] | None = None,
) -> History:
    """Read a study of Optuna.

    Args:
        source: An `optuna.Study`, a URL of its database, a database file or a journal file, with `#NAME` behind it if
            it holds several; for all but the first Optuna need not be installed.
        name: The study's name, if the store holds several.
        rename: Optuna's parameter to luthier's hyperparameter, where the names differ; "step" may be renamed too, the
            resource of intermediate values.
        objectives: Names of the metrics, in the order of Optuna's directions; None: as there, or "value".

    Returns:
        The history: `into_study(history)` makes a study of it.

    Raises:
        ArgumentError: `rename` or `objectives` do not fit.
        StorageError, SchemaError, StudyNotFound: it cannot be read.
    """
    if isinstance(source, (str, Path)):
        place, inner = split_name(str(source))
        history = read_optuna(place, name or inner)
    else:
        history = history_of(_foreign(source), repr(source))
    names = dict(rename or {})
    axis = history.fidelity
    unknown = set(names) - set(history.space.names) - ({axis.name} if axis else set())
    if unknown:
        raise ArgumentError(f"rename names {sorted(unknown)}. Allowed: {', '.join(map(repr, history.space.names))}.")
    metrics = list(objectives or [o.name for o in history.objectives])
    if len(metrics) != len(history.objectives):
        raise ArgumentError(f"objectives={metrics!r}. Allowed: {len(history.objectives)} names, one a direction.")
    words = {o.name: new for o, new in zip(history.objectives, metrics, strict=True)}
    return replace(
        history,
        space=Space({names.get(n, n): domain for n, domain in history.space.items()}),
        objectives=tuple(replace(o, name=words[o.name]) for o in history.objectives),
        fidelity=None if axis is None else replace(axis, name=names.get(axis.name, axis.name)),
        trials=tuple(_renamed(trial, names, words) for trial in history.trials),
    )


def _renamed(trial: Record, names: Mapping[str, str], words: Mapping[str, str]) -> Record:
    def told(metrics: Mapping[str, float]) -> dict[str, float]:
        return {words.get(name, name): value for name, value in metrics.items()}

    return replace(
        trial,
        config=Configuration({names.get(name, name): value for name, value in trial.config.items()}),
        metrics=None if trial.metrics is None else told(trial.metrics),
        curve=tuple((at, told(metrics)) for at, metrics in trial.curve),
        filled=tuple(names.get(name, name) for name in trial.filled),
    )


def _foreign(study: Any) -> ForeignStudy:
    """An `optuna.Study` in the form in which its files are read."""
    if not hasattr(study, "get_trials") or not hasattr(study, "directions"):
        raise ArgumentError(f"{study!r:.100} is no study of Optuna. Allowed: an optuna.Study, a URL or a file.")
    forms = need("optuna.distributions", what="reading an optuna.Study", extra="integrations")
    trials = [
        ForeignTrial(
            trial.number,
            trial.state.name,
            {
                name: (
                    trial.distributions[name].to_internal_repr(value),
                    json.loads(forms.distribution_to_json(trial.distributions[name])),
                )
                for name, value in trial.params.items()
            },
            None if trial.values is None else list(trial.values),
            dict(trial.intermediate_values),
            dict(trial.user_attrs),
        )
        for trial in study.get_trials(deepcopy=False)
    ]
    named = study.metric_names
    return ForeignStudy(study.study_name, [d.name for d in study.directions], list(named) if named else None, trials)


def past_task(
    source: Any,
    name: str | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    objectives: Sequence[str] | None = None,
    order: float | None = None,
) -> PastTask:
    """A study of Optuna as an earlier task: `lu.Study(..., past=[past_task("sqlite:///old.db", objectives=["loss"])])`.

    Its space may differ: luthier takes over what fits, and warns of the rest.

    Args:
        source: As for `read_study`.
        name: As for `read_study`.
        rename: As for `read_study`.
        objectives: As for `read_study`.
        order: Where it stands among other tasks, in time or size.
    """
    with into_study(read_study(source, name, rename=rename, objectives=objectives), searcher="random") as study:
        return study.as_past(order)


def add_trials(
    study: Study,
    source: Any,
    name: str | None = None,
    *,
    rename: Mapping[str, str] | None = None,
    objectives: Sequence[str] | None = None,
) -> int:
    """Add the trials of an Optuna study to a study of luthier, so that its searcher goes on from them.

    Parameters that the space lacks are dropped, hyperparameters that a trial lacks get their default; trials outside of
    the space are left out, with a warning. Intermediate values are taken over where the study's resource is called
    as Optuna's: rename={"step": "epoch"}.

    Args:
        study: Where to.
        source: As for `read_study`.
        name: As for `read_study`.
        rename: As for `read_study`.
        objectives: As for `read_study`; None: the study's own objectives, in their order.

    Returns:
        How many were added.

    Raises:
        ArgumentError: directions that are not the study's.
    """
    own = study.problem.objectives
    history = read_study(source, name, rename=rename, objectives=objectives or [o.name for o in own])
    if [(o.name, o.goal) for o in history.objectives] != [(o.name, o.goal) for o in own]:
        raise ArgumentError(
            f"Optuna's study {history.name!r} has {list(history.objectives)}, this one {list(own)}. Allowed: the same "
            "directions, and names by objectives=[...]."
        )
    axis = study.problem.fidelity
    curves = axis is not None and history.fidelity is not None and axis.name == history.fidelity.name
    left = []
    for trial in history.trials:
        given = {n: v for n, v in trial.config.items() if n in study.space and n not in trial.filled}
        try:
            config = study.space.check(given, fill=True)
        except SpaceError as error:
            left.append(str(error))
            continue
        last = trial.resource if curves else None
        before = [(at, metrics) for at, metrics in trial.curve if last is None or at < last] if curves else []
        number = study.add(config, trial.metrics, resource=last, status=trial.status, reports=before)
        study.tag(number, **{"optuna_study": history.name, **trial.tags})
    if left:
        warnings.warn(
            f"{len(left)} trials of Optuna's study {history.name!r} lie outside of the space, and are left out: "
            f"{left[0]}",
            LuthierWarning,
            stacklevel=2,
        )
    return len(history.trials) - len(left)


def _sampler() -> type:
    base = need("optuna.samplers", what="LuthierSampler", extra="integrations").BaseSampler
    return joined(__name__, "LuthierSampler", Sampler, base)


__getattr__ = late(__name__, {"LuthierSampler": _sampler})

if TYPE_CHECKING:
    LuthierSampler = Sampler
