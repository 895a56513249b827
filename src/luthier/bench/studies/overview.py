"""The first table of a comparison, one row for each method; and in its data, what was compared, on what, and how."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from luthier.bench.statistics import paired_ranks
from luthier.bench.studies.analysis import Analysis, Table, share
from luthier.bench.studies.results import Shown, filled


def overview(one: Analysis) -> Table:
    """Every method at the end of the budget, best mean rank first."""
    measure = share(one.plan.checkpoints[-1])
    runs = one.measures[measure][: len(one.methods)]
    ranks, medians = paired_ranks(runs), one.medians(measure)
    best = medians == medians.min(axis=0)
    rows = sorted((_row(one, i, row, ranks[i], best[i]) for i, row in enumerate(one.methods)), key=lambda r: r["rank"])
    control = one.plan.control
    return Table(
        "overview",
        f"Overview at {measure} of the budget",
        "rank: mean over paired seeds, tasks and families (1 is best) with its 95 % interval when families, tasks and "
        "seeds are drawn again. regret: normalised, 0 is the best known and 1 a median random configuration; median "
        "over seeds, then means over tasks and families, with the interval of that. best_on: tasks on which no other "
        f"method has a lower median. wins, ties, losses: tasks, against {control}. thinking_ms: CPU time of the method "
        "for each evaluation.",
        rows,
        facts(one),
    )


def _row(one: Analysis, i: int, row: Shown, ranks: Any, best: Any) -> dict[str, Any]:
    measure = share(one.plan.checkpoints[-1])
    cells = one.comparison.cells(row.method)
    rank = one.band(ranks, how="mean")
    regret = one.band(filled(one.measures[measure][i]), how="median")
    found = {
        "method": row.name,
        "rank": float(rank.estimate), "rank_low": float(rank.low), "rank_high": float(rank.high),
        "regret": float(regret.estimate), "regret_low": float(regret.low), "regret_high": float(regret.high),
        "best_on": int(best.sum()), "tasks": len(best),
    }  # fmt: skip
    if one.control is not None and i != one.control:
        gap = one.medians(measure)[i] - one.medians(measure)[one.control]
        found |= {"wins": int((gap < 0).sum()), "ties": int((gap == 0).sum()), "losses": int((gap > 0).sum())}
    else:
        found |= dict.fromkeys(("wins", "ties", "losses"))
    return found | {
        "failed_runs": sum(bool(cell.error) for cell in cells),
        "failed_trials": sum(cell.failures for cell in cells),
        "thinking_ms": 1000 * float(np.mean([cell.cpu_seconds / max(cell.spent, 1.0) for cell in cells])),
    }


def facts(one: Analysis) -> dict[str, Any]:
    """What was compared: names, numbers, machines and versions, as texts and numbers."""
    plan, comparison = one.plan, one.comparison
    sessions = comparison.results.sessions
    last = sessions[-1] if sessions else {}
    versions = {name: value for about in _versions(one) for name, value in about.items()}
    return {
        "study": plan.name, "about": plan.about, "question": plan.question, "control": plan.control,
        "primary": None if plan.primary is None else [plan.primary.method, plan.primary.control],
        "part": comparison.tasks[0].part,
        "methods": list(comparison.methods), "tasks": list(comparison.labels),
        "families": list(dict.fromkeys(comparison.families)), "family_of": list(comparison.families),
        "seeds": list(comparison.seeds), "seeds_planned": len(plan.seeds),
        "methods_planned": len(plan.methods),
        "tasks_planned": sum(task.part == comparison.tasks[0].part for task in plan.tasks),
        "runs": len(comparison.methods) * len(comparison.tasks) * len(comparison.seeds),
        "trials": sum(cell.trials for name in comparison.methods for cell in comparison.cells(name)),
        "budgets": _budgets(one), "workers": plan.workers, "overhead": plan.machines.overhead,
        "checkpoints": [share(point) for point in plan.checkpoints],
        "plan": plan.hash, "question_hash": plan.question_hash,
        "machine": [str(last.get(key) or "") for key in ("cpu", "cores", "system", "python")],
        "runs_of_plan": len(sessions),
        "begun": str(sessions[0].get("begun", "")) if sessions else "", "ended": str(last.get("begun", "")),
        "versions": versions,
        "read_with": {"python": platform.python_version(), "numpy": np.__version__},
        "objectives": {
            label: list(reference.objectives)
            for label in comparison.labels
            if len((reference := comparison.results.references[label]).objectives) > 1
        },
    }  # fmt: skip


def _versions(one: Analysis) -> list[dict[str, str]]:
    stores = one.comparison.results.stores
    return [dict(stores[name].about.get("versions", {})) for name in one.comparison.methods]


def _budgets(one: Analysis) -> list[str]:
    """Each budget of the plan that is in use, in words."""
    found: dict[str, int] = {}
    for task in one.comparison.tasks:
        budget = one.plan.budget_of(task)
        if budget.evaluations is None:
            words = f"{budget.seconds:g} virtual seconds"
        elif budget.clock == "seconds":
            words = f"the time of {budget.evaluations:g} full evaluations"
        else:
            words = f"{budget.evaluations:g} full evaluations"
        found[words] = found.get(words, 0) + 1
    if len(found) == 1:
        return list(found)
    return [f"{words} ({tasks} task{'s' * (tasks > 1)})" for words, tasks in found.items()]
