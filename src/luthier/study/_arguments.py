"""A user's arguments for a study, checked before anything is written, as a definition."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Fidelity, Objective
from luthier.base.registry import check_own, load, own_arguments
from luthier.base.seeds import check_seed
from luthier.space.problem import PastTask, Problem
from luthier.space.space import Space
from luthier.space.translation import translate
from luthier.study._definition import Definition, Part, part
from luthier.study._past import check_past
from luthier.study._selection import Selection

#: What to improve: a name (minimised), an Objective, a pair of name and goal, several of them, or names with goals.
Objectives = str | Objective | tuple[str, str] | Sequence[str | Objective | tuple[str, str]] | Mapping[str, str]

_GOALS = ("min", "max")


def define(
    space: Space | Mapping[str, Any] | None,
    objectives: Objectives,
    *,
    searcher: Part,
    scheduler: Part,
    fidelity: Fidelity | tuple[str, float, float] | None,
    constraints: Iterable[Constraint | tuple[str, float]],
    past: Iterable[PastTask],
    first: Iterable[Mapping[str, Any]],
    defaults_first: bool,
    repeats: int,
    retries: int,
    seed: int,
    stopping: Sequence[Part] = (),
    selection: Selection | None = None,
    order: float | None = None,
    about: Mapping[str, float | str] | None = None,
) -> Definition:
    """Check a user's arguments, and make a definition of them.

    Raises:
        ArgumentError, SpaceError, UnsupportedError: something does not fit; nothing was written yet.
    """
    repeats = check("repeats", repeats, at_least=1, whole=True)
    retries = check("retries", retries, at_least=0, whole=True)
    if isinstance(first, (Mapping, str)) or not isinstance(first, Iterable):
        raise ArgumentError(f"first={first!r}. Allowed: a list of configurations. Write first=[{{...}}].")
    the_space = _space(space)
    axis = fidelity if fidelity is None or isinstance(fidelity, Fidelity) else _fidelity(fidelity)
    limits = _limits(constraints)
    problem = Problem(the_space, _objectives(objectives), limits, axis, tuple(past), check_order(order))
    check_past(problem)
    _check_names(problem)
    spends = _resolve("scheduler", scheduler)
    kind = load("scheduler", spends[0])
    proposer = kind.proposer  # type: ignore[attr-defined]
    if proposer and part(searcher) == ("auto", {}):
        searcher = proposer
    definition = Definition(
        problem,
        check_seed(seed),
        _learning(_resolve("searcher", searcher), kind.learnt),  # type: ignore[attr-defined]
        spends,
        _initial(
            problem,
            first,
            defaults_first=defaults_first,
            open_space=space is None,
            warm=not _warms(searcher),
            recalls=kind.recalls,  # type: ignore[attr-defined]
        ),
        repeats,
        retries,
        space is None,
        _rules(stopping),
        selection or Selection(),
        _facts(about),
    )
    _check_scheduler(definition, kind)
    definition.build()
    definition.rules()
    return definition


def _space(given: Space | Mapping[str, Any] | None) -> Space:
    """The space; None is one that is still empty."""
    found = given if isinstance(given, Space) else Space(given or {})
    if given is not None and not len(found):
        raise ArgumentError(
            "space is empty. Allowed: at least one hyperparameter, such as Space(lr=Float(1e-5, 1e-1, log=True)), "
            "or None to name them while running with run.float(...)."
        )
    return found


def _check_scheduler(definition: Definition, kind: type) -> None:
    """Whether the scheduler can do what the study asks of it."""
    problem = definition.problem
    if definition.repeats > 1 and definition.scheduler[0] != "straight":
        raise ArgumentError(
            f"repeats={definition.repeats} with scheduler {definition.scheduler[0]!r}. Repeated evaluations need "
            "scheduler='straight': a scheduler that stops early judges single runs."
        )
    definition.selection.check(problem, definition.scheduler[0])
    if kind.needs_fidelity and problem.fidelity is None:  # type: ignore[attr-defined]
        raise ArgumentError(
            f"scheduler {definition.scheduler[0]!r} needs a fidelity. Give fidelity=('epoch', 1, 81) "
            "(command line: --max epoch=81), or use scheduler='straight'."
        )
    if len(problem.objectives) > 1 and not kind.multi_objective:  # type: ignore[attr-defined]
        raise ArgumentError(f"scheduler {definition.scheduler[0]!r} judges by one objective; {_count(problem)} given.")


def _count(problem: Problem) -> str:
    return " and ".join(repr(o.name) for o in problem.objectives)


def _objectives(given: Any) -> tuple[Objective, ...]:
    if isinstance(given, Mapping):
        items: list[Any] = list(given.items())
    elif isinstance(given, (str, Objective)) or _is_pair(given):
        items = [given]
    elif isinstance(given, Iterable):
        items = list(given)
    else:
        items = [given]  # which `_objective` refuses
    if isinstance(given, (tuple, list)) and len(items) == 2 and (goal := _MEANT.get(str(items[1]).lower())):
        raise ArgumentError(
            f"objectives={given!r}. Allowed: the goals 'min' and 'max'. Write ({items[0]!r}, {goal!r})."
        )
    if not items:
        raise ArgumentError("objectives is empty. Give the name of a metric to minimise, such as 'loss'.")
    return tuple(_objective(item) for item in items)


def _objective(given: Any) -> Objective:
    if isinstance(given, Objective):
        return given
    if isinstance(given, str):
        return Objective(given)
    if isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[0], str):
        return Objective(*given)
    raise ArgumentError(
        f"objectives has {given!r}. Allowed: a metric's name (minimised), an Objective, or a pair of name and goal. "
        "Write ('accuracy', 'max')."
    )


#: What others call goals.
_MEANT = {word: goal for goal in ("min", "max") for word in (goal, f"{goal}imize", f"{goal}imise", f"{goal}imum")}


def _is_pair(given: Any) -> bool:
    """Whether it is one metric with its goal; a metric that is itself called "min" or "max" is named by Objective."""
    return isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[1], str) and given[1] in _GOALS


def _limits(given: Any) -> tuple[Constraint, ...]:
    found = []
    several = isinstance(given, Iterable) and not isinstance(given, (str, Constraint)) and not _is_bound(given)
    for one in given if several else [given]:
        if isinstance(one, tuple) and len(one) == 2:
            one = Constraint(*one)
        if not isinstance(one, Constraint):
            raise ArgumentError(
                f"constraints has {one!r}. Allowed: a metric and its upper bound. Write Constraint('memory_mb', 2000)."
            )
        found.append(one)
    return tuple(found)


def _is_bound(given: Any) -> bool:
    """Whether it is one metric with its upper bound."""
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) and not isinstance(given[1], str)


def check_order(order: Any) -> float | None:
    """A place among earlier studies as a number.

    Raises:
        ArgumentError: it is no finite number.
    """
    if order is None or (isinstance(order, numbers.Real) and not isinstance(order, bool) and math.isfinite(order)):
        return None if order is None else float(order)
    hint = f" Write order={order!r}.toordinal()." if isinstance(order, datetime.date) else ""
    raise ArgumentError(f"order={order!r}. Allowed: a finite number, a place in time or in data size.{hint}")


def _fidelity(given: Any) -> Fidelity:
    try:
        name, low, high = given
    except (TypeError, ValueError):
        raise ArgumentError(f"fidelity={given!r}. Allowed: (name, low, high), such as ('epoch', 1, 81).") from None
    return Fidelity(str(name), low, high)


def _check_names(problem: Problem) -> None:
    names = [o.name for o in problem.objectives]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ArgumentError(f"objectives name {sorted(doubled)} twice. Allowed: each metric once.")
    if problem.fidelity is not None and problem.fidelity.name in (*names, *(c.name for c in problem.constraints)):
        raise ArgumentError(
            f"{problem.fidelity.name!r} is both the fidelity and a metric. Allowed: different names; a report says "
            "how much was spent and what was measured."
        )


def _resolve(kind: str, spec: Part) -> tuple[str, dict[str, Any]]:
    name, own = part(spec)
    if name == "auto" and kind == "scheduler":
        name = "straight"
    cls = load(kind, name)
    check_own(kind, name, cls, own)
    if kind == "scheduler":
        own = cls.settled(own)  # type: ignore[attr-defined]
    # as the store will give it back: a study that is opened again must find itself the same
    return name, {key: _as_stored(value) for key, value in own.items()}


def _learning(searcher: tuple[str, dict[str, Any]], learnt: str) -> tuple[str, dict[str, Any]]:
    """The searcher with what the scheduler says of results at several resources, where the user did not."""
    name, own = searcher
    if not learnt or "fidelity" in own or "fidelity" not in own_arguments(load("searcher", name)):
        return searcher
    return name, {**own, "fidelity": learnt}


def _rules(given: Sequence[Part]) -> tuple[Mapping[str, Any], ...]:
    """Stopping rules as the store keeps them."""
    if isinstance(given, (str, Mapping)):
        raise ArgumentError(f"stopping={given!r}. Allowed: a list of rules. Write stopping=[{given!r}].")
    if not isinstance(given, Iterable):
        raise ArgumentError(
            f"stopping={given!r}. Allowed: a list of rules. Write stopping=['plateau'], or leave it out."
        )
    return tuple(_as_stored({"name": rule} if isinstance(rule, str) else rule) for rule in given)


def _as_stored(value: Any) -> Any:
    """Tuples become lists, inside of lists and mappings too."""
    if isinstance(value, (list, tuple)):
        return [_as_stored(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_stored(item) for key, item in value.items()}
    return value


def _initial(
    problem: Problem,
    first: Iterable[Mapping[str, Any]],
    *,
    defaults_first: bool,
    open_space: bool,
    warm: bool,
    recalls: bool,
) -> tuple[tuple[str, Configuration], ...]:
    found: list[tuple[str, Configuration]] = []
    if defaults_first:
        found.append(("default", problem.space.default()))
    for i, config in enumerate(first):
        checked = Configuration(config) if open_space else problem.space.check(config, where=f"first[{i}]")
        found.append(("first", checked))
    # the most recent first: each task is most like the one before it
    tasks = problem.past if recalls else problem.past[-3:] if warm else ()
    best = [_best_of(task, problem) for task in reversed(tasks)]
    past = [("past", config) for config in best if config is not None]
    found = [*past, *found] if recalls else [*found, *past]  # what sets a hurdle must be there before what it judges
    once: dict[Configuration, str] = {}
    for origin, config in found:
        once.setdefault(config, origin)
    return tuple((origin, config) for config, origin in once.items())


def _best_of(task: PastTask, problem: Problem) -> Configuration | None:
    """Best configuration of an earlier task among those that this space holds; new hyperparameters at their default."""
    told = translate(task, problem.space).comparable
    return min(told, key=lambda o: (o.violation, o.values)).config if told else None


def _warms(searcher: Part) -> bool:
    """Whether a searcher chooses by itself which earlier configurations come first."""
    return bool(load("searcher", part(searcher)[0]).warms)  # type: ignore[attr-defined]


def _facts(about: Mapping[str, float | str] | None) -> dict[str, float | str]:
    found = dict(about or {})
    for name, value in found.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ArgumentError(f"about={about!r}. Allowed: names with numbers or texts, such as {{'rows': 45312}}.")
    return found
