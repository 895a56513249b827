"""Results that may be compared with each other, as rows of the unit cube: what importance and contours rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration, Status, Trial
from luthier.report._source import StudyView
from luthier.report._values import NO_VALUE, clean
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import Array, Mask

#: Fewest results from which anything is computed: below, the best tenth is no set at all.
FEWEST = 10
#: Below this many results a table says that it may change with the next ones.
FEW = 30


@dataclass(frozen=True)
class Results:
    """Trials with their values at one resource.

    Args:
        space: The space they lie in.
        rows: (n, d) snapped codes, the default's where inactive.
        active: (n, d) which hyperparameters each of them has.
        values: (n,) to be minimised, cut at the far bad end (see `cut`).
        trials: Their numbers.
        resource: The resource at which they were measured; None without a fidelity.
        left_out: Trials with a value elsewhere, or with none.
    """

    space: Space
    rows: Array
    active: Mask
    values: Array
    trials: tuple[int, ...]
    resource: float | None
    left_out: int

    @property
    def constant(self) -> bool:
        """Whether all values are equal, so that nothing can matter."""
        return len(self.values) == 0 or float(np.ptp(self.values)) == 0.0

    def fault(self) -> str:
        """Why nothing can be computed, in words; empty when it can."""
        if not self.space.dimensions:
            return "there is no hyperparameter that varies"
        if len(self.values) < FEWEST:
            return f"{len(self.values)} comparable results, and {FEWEST} are the least"
        return "all values are equal" if self.constant else ""

    def warning(self) -> str:
        """What speaks against trusting the numbers, in words; empty when nothing does."""
        if self.fault() or len(self.values) >= FEW:
            return ""
        return f"only {len(self.values)} results: below {FEW} such numbers may turn over with the next trials"


def results(study: StudyView, objective: int = 0) -> Results:
    """Comparable results of one objective.

    Without a fidelity these are the completed trials. With one they are the values at the highest resource that half of
    the trials have reached, or, where there is none, at the one with the most: values at different resources are never
    mixed, and what early stopping has let through to a high one differs little in what matters most. Constraints play
    no part: what moves the objective moves it outside the bounds too.

    Args:
        study: The study.
        objective: Position of the objective.
    """
    problem = study.problem
    found, resource = _measured(study.trials, problem, objective)
    rows, active, kept = _encoded(problem.space, [trial.config for trial, _ in found])
    sign = problem.objectives[objective].sign
    values = np.array([sign * found[i][1] for i in kept])
    numbers = tuple(found[i][0].number for i in kept)
    over = sum(trial.status.ended or trial.status is Status.PAUSED for trial in study.trials)
    return Results(problem.space, rows, active, cut(values), numbers, resource, max(0, over - len(kept)))


def cut(values: Array) -> Array:
    """Values with the far bad end cut off, as on the axes of pictures: one exploded loss would be all the variance.

    The cut lies four times as far from the best as the third quartile does.
    """
    if len(values) < 8:
        return values
    best, quartile = float(values.min()), float(np.quantile(values, 0.75))
    return np.minimum(values, best + 4.0 * (quartile - best)) if quartile > best else values


def _measured(
    trials: Sequence[Trial], problem: Problem, objective: int
) -> tuple[list[tuple[Trial, float]], float | None]:
    name = problem.objectives[objective].name
    usable = [trial for trial in trials if trial.status not in NO_VALUE]
    if problem.fidelity is None:
        done = [trial for trial in usable if trial.status is Status.COMPLETED]
        return [(t, value) for t in done if (value := clean(t.metrics.get(name), 12)) is not None], None
    at: dict[float, list[tuple[Trial, float]]] = {}
    for trial in usable:
        seen: dict[float, float] = {}
        for report in trial.reports:
            value, where = clean(report.metrics.get(name), 12), clean(report.resource)
            if value is not None and where is not None:
                seen.setdefault(where, value)
        for where, value in seen.items():
            at.setdefault(where, []).append((trial, value))
    if not at:
        return [], None
    count = Counter({where: len(found) for where, found in at.items()})
    everyone = len({trial.number for found in at.values() for trial, _ in found})
    enough = [where for where, n in count.items() if 2 * n >= everyone]
    chosen = max(enough) if enough else max(count, key=lambda where: (count[where], where))
    return at[chosen], chosen


def _encoded(space: Space, configs: Sequence[Configuration]) -> tuple[Array, Mask, list[int]]:
    """Rows, activity and the places of the configurations that the space can hold."""
    kept = list(range(len(configs)))
    try:
        rows, active = space.encode(configs)
    except SpaceError:  # made elsewhere, or before a choice was renamed
        kept = [i for i in kept if _fits(space, configs[i])]
        rows, active = space.encode([configs[i] for i in kept])
    return rows, active, kept


def _fits(space: Space, config: Configuration) -> bool:
    try:
        space.encode([config])
    except SpaceError:
        return False
    return True
