"""Which stored cells are of the study as it is planned now: a plan may be edited, and a part of it run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.bench.studies.plan import Plan, TaskPlan
from luthier.bench.studies.references import Reference
from luthier.bench.studies.store import Store
from luthier.bench.studies.tasks import horizon

_RULE = "rule"  # no part of a plan: what luthier's code was when the cells were made
_NEAR = 1e-9  # of a budget in seconds, which is a product of two numbers


def strangers(
    plan: Plan, stores: Mapping[str, Store], references: Mapping[str, Reference], part: str
) -> dict[str, str]:
    """Methods whose cells are not what the plan says, and why.

    A store that says nothing of its cells is taken as it is. Cells of several rules are not compared; those of the
    rule that most methods have are, and the newest where there are as many, so that old studies can still be read.

    Args:
        plan: The study, as it was run last.
        stores: Method to its cells; only these are looked at.
        references: Task's label to its fixed values.
        part: "dev" or "test"; budgets of the other part's tasks do not matter.
    """
    found = {}
    for name, store in stores.items():
        why = _otherwise(plan, store) or _budgeted(plan, store, references, part)
        if why is not None:
            found[name] = why
    rules = {name: one for name, store in stores.items() if name not in found and (one := _rule(store)) is not None}
    counts = Counter(rules.values())
    usual = max(counts, key=lambda one: (counts[one], one), default=None)
    for name, one in rules.items():
        if one != usual:
            found[name] = f"its cells were made by rule {one} of luthier's studies, those of the others by rule {usual}"
    return {name: f"{why}; make them anew with --fresh {name}" for name, why in found.items()}


def _rule(store: Store) -> int | None:
    return store.about.get("setting", {}).get(_RULE) if store.cells else None


def _otherwise(plan: Plan, store: Store) -> str | None:
    """What the method's definition or the study's setting says otherwise, None for nothing."""
    wanted = {"definition": plan.method(store.method).definition(), "setting": plan.setting()}
    for part, now in wanted.items() if store.cells else ():
        was: Mapping[str, Any] = store.about.get(part) or {}
        for key in sorted({*was} & {*now} - {_RULE}):  # what one of them has no word for cannot be compared
            if was[key] != now[key]:
                return f"its cells were made with {key} {_text(was[key])}; the study says {_text(now[key])}"
    return None


def _budgeted(plan: Plan, store: Store, references: Mapping[str, Reference], part: str) -> str | None:
    """Which cell had another budget, None for none."""
    for task in plan.tasks:
        wanted = _budget(plan, task, references)
        if wanted is None or task.part != part:
            continue
        for (label, seed), cell in store.cells.items():
            alike = cell.clock == wanted[1] and abs(cell.horizon - wanted[0]) <= _NEAR * wanted[0]
            if label == task.label and seed in plan.seeds and not alike:
                return (
                    f"its cells had other budgets: on {label}, seed {seed}, {cell.horizon:g} ({cell.clock}); the study "
                    f"says {wanted[0]:g} ({wanted[1]})"
                )
    return None


def _budget(plan: Plan, task: TaskPlan, references: Mapping[str, Reference]) -> tuple[float, str] | None:
    """Virtual time and clock of a task; None where it cannot be known, so that nothing can have run on it."""
    if task.label not in references:
        return None
    try:
        return horizon(plan, task, references[task.label]), plan.budget_of(task).clock
    except ArgumentError:
        return None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
