"""What other programs have measured, in one form, and how it becomes a study."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.errors import SpaceError, StudyExists
from luthier.base.records import Configuration, Fidelity, Objective, Status
from luthier.runtime.storage import open_storage
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int
from luthier.space.space import Space
from luthier.space.values import is_number, is_value, same
from luthier.study._definition import Part
from luthier.study.study import Study


@dataclass(frozen=True)
class Record:
    """One trial of another program.

    Args:
        config: Its configuration, complete.
        status: COMPLETED, STOPPED or FAILED.
        metrics: Its result; None when it has none.
        resource: Where on the fidelity axis the result was measured; None: all of it, or no fidelity.
        curve: What was measured on the way, as (resource, metrics), in the order in which it was reported.
        filled: Hyperparameters that it lacked: their value in `config` is the default.
        tags: Marks that the other program kept with it, and its number there.
    """

    config: Configuration
    status: Status
    metrics: Mapping[str, float] | None = None
    resource: float | None = None
    curve: tuple[tuple[float, Mapping[str, float]], ...] = ()
    filled: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """A study of another program.

    Args:
        name: Its name there.
        space: What was searched.
        objectives: What was improved.
        fidelity: Axis of the resource, None when no trial reported on the way.
        trials: Its trials in the order in which they were made; those without an end are left out.
        left_out: How many trials were left out, by the word that the other program has for their state.
        notes: What could not be taken over as it was, one sentence each.
    """

    name: str
    space: Space
    objectives: tuple[Objective, ...]
    fidelity: Fidelity | None
    trials: tuple[Record, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def filled(self) -> dict[int, tuple[str, ...]]:
        """Position of a trial to the hyperparameters whose value is only the default, of the trials that have any."""
        return {i: trial.filled for i, trial in enumerate(self.trials) if trial.filled}


def into_study(
    history: History,
    *,
    storage: str | None = None,
    folder: str | Path | None = None,
    name: str | None = None,
    searcher: Part | None = None,
    scheduler: Part = "straight",
    seed: int = 0,
) -> Study:
    """Make a study of a history, so that it can be looked at, continued or learned from.

    Order and statuses stay; intermediate values become reports. A trial's result stands at its last resource and
    takes the place of an intermediate value there. The trials' times of day are not taken over. Making it twice
    under one name would add every trial twice: a name that is taken is refused.

    Args:
        history: What was read.
        storage: URL of the store; None: `folder/study.db`, or memory without a folder.
        folder: The study's folder.
        name: Its name; None: the history's own.
        searcher: Who proposes when the study goes on; None: "auto".
        scheduler: Who spends the resource when it goes on.
        seed: Decides every random draw when it goes on.

    Returns:
        The study. It opens with the trials of the history; the default configuration is not tried first.

    Raises:
        StudyExists: the store has a study of that name.
        ArgumentError, UnsupportedError, StorageError: as `Study` raises them.
    """
    title = name or history.name
    where = None if folder is None else Path(folder)
    if storage is not None or where is not None:
        refuse_existing(storage if storage is not None else str(where / "study.db"), title)  # type: ignore[operator]
    if searcher is None:
        searcher = "auto"
    study = Study(
        history.space,
        history.objectives,
        searcher=searcher,
        scheduler=scheduler,
        fidelity=history.fidelity,
        defaults_first=False,
        storage=storage,
        folder=folder,
        name=title,
        seed=seed,
    )
    try:
        for trial in history.trials:
            last = math.inf if trial.metrics is None or trial.resource is None else trial.resource
            number = study.add(
                trial.config,
                trial.metrics,
                resource=trial.resource,
                status=trial.status,
                reports=[(at, metrics) for at, metrics in trial.curve if at < last],
            )
            if trial.tags:
                study.tag(number, **dict(trial.tags))  # `tag` cannot take a mark called "trial"
    except BaseException:
        study.close()
        raise
    return study


def refuse_existing(url: str, name: str) -> None:
    """Refuse a study's name that is taken in a store (which is made if it is not there).

    Raises:
        StudyExists: it is taken.
        StorageError: the store cannot be read or made.
    """
    with open_storage(url, create=True) as store:
        if any(row.name == name for row in store.studies()):
            raise StudyExists(
                f"{store.where} has a study {name!r} already. Allowed: a name that is free, since every trial would be "
                "added a second time. Give another name, or remove that study first."
            )


# domains ---------------------------------------------------------------------------------------------------


def listed(values: Sequence[Any]) -> Domain:
    """A choice among values, or a fixed value if there is one alone; what is no plain value becomes JSON text."""
    found: list[Any] = []
    for value in map(plain_choice, values):
        if not any(same(value, other) for other in found):
            found.append(value)
    return Choice(*found) if len(found) > 1 else Fixed(found[0])


def plain_choice(value: Any) -> Any:
    """A value that a `Choice` may hold: lists and the like as JSON text, NaN and infinity as text."""
    if is_value(value):
        return value
    return str(value) if isinstance(value, float) else json.dumps(value)


def numeric(
    low: float, high: float, values: Sequence[Any], *, whole: bool, log: bool, step: float | None = None
) -> Domain:
    """A range that holds its bounds and every value seen; the step is dropped where it does not fit them.

    Args:
        low: Smallest value of the other program's range.
        high: Largest.
        values: What trials had; wherever they lie outside, they widen the range.
        whole: Whether it counts in whole numbers.
        log: Whether ratios matter; dropped when `low` is not above 0.
        step: Distance between values.
    """
    numbers = [value for value in values if is_number(value)]
    low, high = min([low, *numbers]), max([high, *numbers])
    if low == high:
        return Fixed(int(low) if whole else float(low))
    make = Int if whole else Float
    for stride in (step, None):
        domain = make(low, high, log=log and low > 0, step=stride)
        if _works(domain) and all(domain.contains(value) for value in numbers):
            return domain
    return domain  # the space says what is wrong with it


def _works(domain: Domain) -> bool:
    try:
        domain.check("")
    except SpaceError:
        return False
    return True


def inferred(values: Sequence[Any]) -> Domain:
    """A domain from nothing but the values that trials had.

    Whole numbers and floats become a range from the smallest to the largest, logarithmic when it spans more than two
    decades; all else becomes a choice among the values seen.

    Args:
        values: At least one value.
    """
    if not all(is_number(value) for value in values):
        return listed(values)
    low, high = min(values), max(values)
    whole = all(isinstance(value, int) for value in values)
    return numeric(low, high, values, whole=whole, log=low > 0 and high / low > 100)
