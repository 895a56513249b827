"""The way from the default configuration to the best: which changes brought the gain, the largest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration
from luthier.base.seeds import generator
from luthier.report._results import Results, results
from luthier.report._source import StudyView
from luthier.report._surrogate import Surrogate, fit
from luthier.report._values import clean
from luthier.space.space import Space

#: Values of several configurations, to be minimised: one row of guesses for each of them.
Judge = Callable[[list[Configuration]], np.ndarray]


def ablation(
    study: StudyView, objective: int = 0, *, evaluate: Callable[[Configuration], float] | None = None
) -> dict[str, Any]:
    """Change one hyperparameter after the other from the default's value to the best trial's.

    Each step makes the change that brings the most, given those made before.

    Args:
        study: The study.
        objective: Position of the objective.
        evaluate: Measures a configuration anew (the objective's own value). None: the forest over the results predicts.

    Returns:
        `objective`, `goal`, `by` ("forest" or "evaluation"), `trials` (results that the forest rests on), `resource`,
        `fault` (why there is no path, in words; else empty), `warning`, and `steps`, the default first: `names` changed
        (none for the default; several where a change makes others active), `from` and `to` by name, `value` of the
        configuration so far, `low` and `high` (10 to 90 % of the trees; equal to the value for evaluations). With
        `evaluate` it takes d (d + 1) / 2 evaluations for d changes, and one for the default.

    Source: Fawcett and Hoos 2016; on a model: Biedenkapp, Lindauer, Eggensperger, Hutter, Fawcett, Hoos 2017.
    Differs: no racing among the changes of a step; a change that makes others active brings them with it, with the best
        trial's values.
    Cost: d^2 / 2 predictions of a forest.
    """
    found = results(study, objective)
    return path(found, study, objective, evaluate=evaluate)


def path(
    found: Results,
    study: StudyView,
    objective: int,
    *,
    surrogate: Surrogate | None = None,
    evaluate: Callable[[Configuration], float] | None = None,
) -> dict[str, Any]:
    """`ablation` of results that are at hand; `surrogate`: their forest, if that is too."""
    wanted = study.problem.objectives[objective]
    best = study.best if len(study.problem.objectives) == 1 else _best(found, study)
    fault = found.fault() if evaluate is None else ""
    if not fault and best is None:
        fault = "no trial has a usable result"
    made: dict[str, Any] = {
        "objective": wanted.name,
        "goal": wanted.goal,
        "by": "forest" if evaluate is None else "evaluation",
        "trials": len(found.values),
        "resource": found.resource,
        "fault": fault,
        "warning": found.warning() if evaluate is None else "",
        "steps": [],
    }
    if fault or best is None:
        return made
    if evaluate is None:
        forest = surrogate or fit(found, generator(study.seed, "report", objective, 2))
        judge: Judge = lambda configs: forest.each(forest.space.encode(configs)[0])  # noqa: E731
    else:
        measure = evaluate
        judge = lambda configs: np.array([[wanted.sign * float(measure(c)) for c in configs]])  # noqa: E731
    made["steps"] = _walk(study.problem.space, best.config, judge, wanted.sign)
    return made


def _best(found: Results, study: StudyView) -> Any:
    """The trial with the lowest value, where the study has no single best."""
    if not len(found.values):
        return None
    number = found.trials[int(np.argmin(found.values))]
    return next(trial for trial in study.trials if trial.number == number)


def _walk(space: Space, goal: Configuration, judge: Judge, sign: float) -> list[dict[str, Any]]:
    now = space.default()
    steps = [_step([], now, now, judge([now])[:, 0], sign)]
    while True:
        options = [after for name in space.names if (after := _changed(space, now, goal, name)) is not None]
        if not options:
            return steps
        guesses = judge(options)
        chosen = int(np.argmin(guesses.mean(axis=0)))
        after = options[chosen]
        names = [n for n in space.names if now.get(n, _NONE) != after.get(n, _NONE)]
        steps.append(_step(names, now, after, guesses[:, chosen], sign))
        now = after


_NONE = object()


def _changed(space: Space, now: Mapping[str, Any], goal: Mapping[str, Any], name: str) -> Configuration | None:
    """The configuration with one hyperparameter as in the goal; None where that is no change or not allowed."""
    if name not in now or name not in goal or now[name] == goal[name]:
        return None
    wanted = {**{n: v for n, v in goal.items() if n not in now}, **now, name: goal[name]}
    try:
        return space.check(_active_part(space, wanted), fill=True)
    except SpaceError:  # a forbidden combination on the way
        return None


def _active_part(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration is active when all of it is set."""
    rows, _ = space.encode([config])
    kept = set(space.decode(rows)[0])
    return {name: value for name, value in config.items() if name in kept}


def _step(
    names: list[str], before: Mapping[str, Any], after: Mapping[str, Any], guesses: np.ndarray, sign: float
) -> dict[str, Any]:
    ends = sorted(sign * float(end) for end in np.quantile(guesses, [0.1, 0.9]))
    return {
        "names": names,
        "from": {name: before.get(name) for name in names},
        "to": {name: after.get(name) for name in names},
        "value": clean(sign * float(guesses.mean())),
        "low": clean(ends[0]),
        "high": clean(ends[1]),
    }
