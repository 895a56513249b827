"""Small studies, made by hand or by a quick run, and what tests ask of them."""

from __future__ import annotations

import json

import numpy as np

from luthier.bench import statistics as st
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.references import Reference
from luthier.bench.studies.store import Cell, Store
from luthier.bench.studies.tasks import reference_path

TIMED = ("overhead", "cpu_seconds", "wall_seconds", "answers_seconds", "harness_seconds")


def plain(**more):
    """A small study's table."""
    return {
        "name": "small",
        "seeds": 2,
        "budget": {"evaluations": 8},
        "methods": {"random": {"searcher": "random"}, "halton": {"searcher": "halton"}},
        "tasks": {"test": {"synthetic": ["synthetic/branin", "synthetic/camel"]}},
        **more,
    }


def alike(a: Cell, b: Cell) -> bool:
    """Whether two runs found the same; real times differ."""
    mine, theirs = a.to_json(), b.to_json()
    return all(str(mine[key]) == str(theirs[key]) for key in mine if key not in TIMED)


def made(folder, values, *, methods=None, families=None, question=None, horizon=10.0, **more):
    """A folder with given runs: (methods, tasks, seeds) scores at the end, half as good before half of the budget.

    The best of every task is 0, and a median random configuration has 1.
    """
    values = np.asarray(values, dtype=float)
    labels = [f"made/{i}" for i in range(values.shape[1])]
    families = families or ["made"] * len(labels)
    by_family = {name: [t for t, f in zip(labels, families, strict=True) if f == name] for name in families}
    called = methods or ["random", *(f"m{i}" for i in range(1, len(values)))]
    plan = parse(plain(
        methods={name: {"searcher": "random"} for name in called}, seeds=values.shape[2], tasks={"test": by_family},
        budget={"evaluations": 10, "checkpoints": [0.05, 0.4, 1.0]}, control="random", **more,
    ))  # fmt: skip
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan.to_json()))
    pool = st.RandomPool.of(np.linspace(0.0, 2.0, 201), whole=True)
    for task in plan.tasks:
        Reference(0.0, 1.0, pool, 1.99, 3.0, True, (1.0, 0.5), "made").write(reference_path(folder, task))
    for name, runs in zip(called, values, strict=True):
        store = Store(folder, name)
        for label, row in zip(labels, runs, strict=True):
            for seed, value in enumerate(row.tolist()):
                arrays = {k: np.array([2 * value, value]) for k in ("seen", "scored", "tested")}
                times = np.array([1.0, 5.0])
                store.cells[label, seed] = Cell(
                    horizon, times=times, evaluations=times, overhead=times / 100, spent=10.0, cpu_seconds=0.1,
                    trials=10, **arrays,
                )  # fmt: skip
        store._write()
    session = {"question": question or plan.question_hash, "cores": 2, "load_before": 1.0, "load_after": 1.0}
    (folder / "sessions.jsonl").write_text(json.dumps(session) + "\n")
    return plan


def random_runs(methods=3, tasks=8, seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 0.5, size=(methods, tasks, seeds)) * (1 + np.arange(methods))[:, None, None]


def rows_of(tables, name):
    [table] = [one for one in tables if one.name == name]
    return table.rows
