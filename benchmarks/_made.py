"""Studies for their speed: which one runs, and a folder of one with made results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from luthier.bench import studies
from luthier.bench.statistics import RandomPool
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.store import Cell
from luthier.bench.studies.tasks import Reference, reference_path

CHEAP = ("random", "sobol", "halton", "lhs", "evolution", "de")
STUDIED = (
    "fcnet/protein_structure", "fcnet/naval_propulsion", "fcnet/parkinsons_telemonitoring", "fcnet/slice_localization",
    "nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet",
    *(f"hpobench_mlp/{task}" for task in ("car", "phoneme", "vehicle", "australian", "kc1", "segment")),
    *(f"svm/{data}@small" for data in ("digits", "wine", "iris", "breast_cancer")),
    "synthetic/branin", "synthetic/hartmann6", "synthetic/levy8",
)  # fmt: skip


def plan_of(tasks: tuple[str, ...], methods: tuple[str, ...], seeds: int, searcher: str = "") -> studies.Plan:
    """A study of methods, each named as its searcher where none is given."""
    families: dict[str, list[str]] = {}
    for task in tasks:
        families.setdefault(task.partition("/")[0], []).append(task)
    return parse({
        "name": "speed", "control": methods[0], "seeds": seeds,
        "methods": {name: {"searcher": searcher or name} for name in methods}, "tasks": {"test": families},
        "budget": {"evaluations": 100, "clock": "evaluations"},
    })  # fmt: skip


def made(folder: Path, methods: tuple[str, ...], labels: tuple[str, ...], seeds: int) -> None:
    """A study's folder with random results."""
    plan = plan_of(labels, methods, seeds, "random")
    folder.joinpath("plan.json").write_text(json.dumps(plan.to_json()))
    pool = RandomPool.of(np.linspace(0.0, 2.0, 201), whole=True)
    for task in plan.tasks:
        Reference(0.0, 1.0, pool, 1.99, 3.0, True, (1.0, 0.5), "made").write(reference_path(folder, task))
    rng = np.random.default_rng(0)
    for i, method in enumerate(methods):
        store = studies.Store(folder, method)
        store.begin({"made": method}, plan.setting(), {})
        for task in plan.tasks:
            for seed in plan.seeds:
                times = np.unique(rng.integers(1, 101, size=15)).astype(float)
                falling = np.sort(rng.uniform(0.0, 1.5, size=len(times)))[::-1] * 0.9**i
                store.cells[task.label, seed] = Cell(
                    100.0, times=times, evaluations=times, seen=falling, scored=falling, tested=falling,
                    overhead=times / 1000, ended=100.0, spent=100.0, cpu_seconds=0.1, trials=100,
                )  # fmt: skip
        store._write()
    session = {"question": plan.question_hash, "cores": 2, "load_before": 1.0, "load_after": 1.0}
    (folder / "sessions.jsonl").write_text(json.dumps(session) + "\n")
