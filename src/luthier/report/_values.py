"""Numbers as pictures need them: finite or None, ranked the way the study ranks, with a range that shows the bulk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from luthier.base.records import Objective, Status, Trial
from luthier.report._source import StudyView
from luthier.space.problem import Problem

#: Ends that leave no value to be compared.
NO_VALUE = frozenset({Status.DIVERGED, Status.FAILED, Status.LOST})


#: Size up to which a number is drawn: its square and the width of an axis must stay numbers.
LARGEST = 1e150


def clean(value: Any, digits: int = 7) -> float | None:
    """A float in `digits` significant digits, None for what cannot be drawn (NaN, beyond `LARGEST`, text, nothing)."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return float(f"{number:.{digits}g}") if abs(number) <= LARGEST else None


def value_of(trial: Trial, objective: Objective) -> float | None:
    """The trial's value of an objective; None when it has none that counts."""
    return None if trial.status in NO_VALUE else clean(trial.metrics.get(objective.name))


def feasible(trial: Trial, problem: Problem) -> bool:
    """Whether every constraint was measured and holds."""
    measured = [(clean(trial.metrics.get(c.name)), c.upper) for c in problem.constraints]
    return all(value is not None and value <= upper for value, upper in measured)


def standing(trial: Trial, problem: Problem, objective: int = 0) -> tuple[float, float] | None:
    """Sort key of a trial by one objective, less is better; None when it cannot be ranked.

    The study's own rule: a trial counts when it is complete, or with a fidelity at any resource; then more
    resource goes first, because values at different resources are not comparable.
    """
    wanted = problem.objectives[objective]
    value = value_of(trial, wanted)
    if value is None or not feasible(trial, problem):
        return None
    if problem.fidelity is None:
        return (0.0, value * wanted.sign) if trial.status is Status.COMPLETED else None
    return (-(trial.resource or 0.0), value * wanted.sign)


def ranked(study: StudyView) -> list[Trial]:
    """Trials that can be ranked, best first; the study's own incumbent leads."""
    problem, leader = study.problem, study.best
    keyed = [(key, t.number, t) for t in study.trials if (key := standing(t, problem)) is not None]
    best = None if leader is None else leader.number
    return [trial for _, _, trial in sorted(keyed, key=lambda row: (row[1] != best, row[0], row[1]))]


def default_trial(study: StudyView) -> Trial | None:
    """The trial of the space's default configuration, if it was run."""
    return next((trial for trial in study.trials if trial.origin == "default"), None)


def shown_range(values: Iterable[float | None], *, sign: float = 1.0) -> tuple[float, float] | None:
    """Ends of an axis that shows the good end and the bulk of the values, and cuts off far outliers at the bad end.

    The cut lies four interquartile ranges (from the best to the third quartile) beyond the best value: a value
    further out would press all others into a line.

    Args:
        values: What is drawn; None is left out.
        sign: +1 when small values are good, -1 when large ones are.

    Returns:
        (low, high) with a margin, or None without values.
    """
    found = sorted(sign * value for value in values if value is not None)
    if not found:
        return None
    best, worst = found[0], found[-1]
    if len(found) >= 8:
        limit = best + 4 * (found[(3 * len(found)) // 4] - best)
        if limit > best:
            worst = max(value for value in found if value <= limit)
    margin = 0.06 * (worst - best) or 0.06 * abs(best) or 1.0
    ends = sorted((sign * (best - margin), sign * (worst + margin)))
    return ends[0], ends[1]


def short(value: float | None, digits: int = 4) -> str:
    """A number for the eye: four significant digits, a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 10**6:
        return str(int(value))
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e")


def duration(seconds: float | None) -> str:
    """Seconds for the eye: "0.42 s", "12 s", "3 min 05 s", "2 h 07 min", "11 d 13 h"."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 100 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def percent(share: float) -> str:
    """A share for the eye: whole per cent, and near 100 a decimal, so that only all is 100 %."""
    if 0.99 <= share < 1:
        return f"{math.floor(1000 * share) / 10:g} %"
    return "less than 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def time_unit(longest: float) -> tuple[str, float]:
    """The unit in which a span reads well, and how many seconds it has."""
    if longest < 180:
        return "seconds", 1.0
    if longest < 3 * 3600:
        return "minutes", 60.0
    return ("hours", 3600.0) if longest < 100 * 3600 else ("days", 86400.0)


def time_axis(longest: float | None, *, virtual: bool) -> tuple[str, float]:
    """Title of an axis of time in a study, and how many seconds its unit has."""
    unit, seconds = time_unit(longest or 0.0)
    return f"{'virtual ' if virtual else ''}{unit} of the study", seconds


def sampled(study: StudyView, numbers: Sequence[int], most: int) -> set[int]:
    """Trials for a picture that cannot show all: the best half of `most`, the default, and an even sample.

    Args:
        study: The study.
        numbers: Trials that could be shown, in rising order.
        most: How many are kept (and the default configuration, if it is none of them).

    Returns:
        Their numbers.
    """
    if len(numbers) <= most:
        return set(numbers)
    able = set(numbers)
    chosen = [trial.number for trial in ranked(study) if trial.number in able][: most // 2]
    others = sorted(able - set(chosen))
    room = most - len(chosen)
    chosen += [others[(i * len(others)) // room] for i in range(min(room, len(others)))]
    default = default_trial(study)
    return set(chosen) | ({default.number} & able if default is not None else set())


def counts(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials have each status, in the order of `Status`; zeros left out."""
    found = {status.value: sum(trial.status is status for trial in trials) for status in Status}
    return {status: number for status, number in found.items() if number}
