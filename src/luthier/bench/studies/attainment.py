"""Fronts of tasks with several objectives: what half of the runs attain, and how far they are from the known front."""

from __future__ import annotations

from typing import Any

import numpy as np

from luthier.base.pareto import hypervolume
from luthier.bench.statistics._guards import Array
from luthier.bench.studies.analysis import Analysis, Table, share
from luthier.bench.studies.volumes import attained, igd_plus

POINTS = 60  # of a surface


def fronts(one: Analysis) -> Table | None:
    """IGD+ and hypervolume of each method on each task with several objectives; surfaces of two in the data."""
    rows: list[dict[str, Any]] = []
    surfaces: list[dict[str, Any]] = []
    for task in one.comparison.tasks:
        reference = one.comparison.results.references[task.label]
        if not reference.objectives:
            continue
        sets = {
            row.name: [one.comparison.cell(row.method, task.label, seed).front for seed in one.comparison.seeds]
            for row in one.methods
        }
        for name, found in sets.items():
            gaps = [igd_plus(points, reference.front) for points in found]
            volumes = [hypervolume(points, reference.point) if len(points) else 0.0 for points in found]
            known = [gap for gap in gaps if not np.isnan(gap)]
            rows.append({
                "task": task.label, "method": name, "objectives": ", ".join(reference.objectives),
                "hypervolume": float(np.median(volumes)), "best_known": -reference.best,
                "igd_plus": float(np.median(known)) if known else None,
                "points": float(np.median([len(points) for points in found])),
                "runs_without": len(gaps) - len(known),
            })  # fmt: skip
        if len(reference.objectives) == 2:
            surfaces.append(_surface(task.label, reference.objectives, reference.front, reference.point, sets))
    if not rows:
        return None
    return Table(
        "fronts",
        "Several objectives",
        f"Of what was found until {share(1.0)} of the budget, scored without noise at the full resource; medians over "
        "seeds. hypervolume: up to the task's reference point, to be compared with best_known. igd_plus: how far the "
        "set falls short of the known front, in units of its ranges, 0 is best; of the runs that found anything.",
        rows,
        {"surfaces": surfaces},
    )


def _surface(
    label: str, names: tuple[str, ...], front: Array, point: Array, sets: dict[str, list[Array]]
) -> dict[str, Any]:
    """Median attainment surface of each method, up to the reference point where it reaches so far."""
    every = np.concatenate([front, *(points for found in sets.values() for points in found if len(points))])
    inside = every[(every < point).all(axis=1)]
    seen = inside if len(inside) else every
    at = np.linspace(seen[:, 0].min(), max(seen[:, 0].max(), float(point[0])), POINTS)
    order = np.argsort(front[:, 0], kind="stable")
    return {
        "task": label, "objectives": list(names), "point": point.tolist(), "at": at.tolist(),
        "front": front[order].tolist(),
        "methods": {name: attained(found, at).tolist() for name, found in sets.items()},
    }  # fmt: skip
