"""A task of a study: its benchmark, and the fixed reference values that make regrets of it comparable.

The reference is made once, before any method runs, from a fixed pool of random configurations and a fixed search; so
one method more changes nothing about the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, LuthierError, UnsupportedError
from luthier.base.pareto import nondominated, reference_point
from luthier.base.records import Evaluation, Status
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import load
from luthier.bench.statistics._guards import Array
from luthier.bench.statistics.random_search import RandomPool
from luthier.bench.studies import volumes
from luthier.bench.studies.coarse import coarse
from luthier.bench.studies.plan import Plan, TaskPlan
from luthier.bench.studies.references import Reference
from luthier.bench.tables import GridTable

POOL = 2000  # random configurations of a benchmark that answers at once: the 99th percentile rests on twenty
TRAINED = 32  # of one that trains when it is asked
LISTED = 20_000  # configurations of a finite space up to which all are looked at: NAS-Bench-201 has 15 625
TESTED = 200  # of the pool whose test values are looked up too
ROUNDS, KEPT, WIDTH = 20, 20, 20  # of the local search beyond the pool: 8000 further configurations
#: The same of a front, where a whole set is looked for: with a quarter of it, sixty proposals of ParEGO went beyond.
FRONT_ROUNDS, FRONT_KEPT = 40, 40
_FRONT = 200  # points of a front that is known as a formula
_STEP = 0.1  # of its moves, as a share of a dimension
_PREFIX = re.compile(r"^(val|valid|validation|test)_")


@dataclass(frozen=True)
class Task:
    """A task that can run here.

    Args:
        plan: What the study says of it.
        benchmark: Its benchmark.
        reference: Its fixed values.
    """

    plan: TaskPlan
    benchmark: BaseBenchmark
    reference: Reference

    @property
    def sign(self) -> float:
        """1 where the objective is minimised, else -1."""
        return self.benchmark.objectives[0].sign

    @property
    def several(self) -> bool:
        """Whether there are several objectives."""
        return len(self.benchmark.objectives) > 1

    def point(self, metrics: Mapping[str, Any]) -> Array:
        """All objectives, to be minimised, (m,); NaN where one is missing, or where a constraint is broken."""
        return _point(self.benchmark, metrics)

    def points(self, config: Mapping[str, Any]) -> Array:
        """The same of a configuration at the full resource, the mean over repetitions."""
        found = self.benchmark.evaluate(config, seed=None)
        return _answer(self.benchmark, found)

    def broken(self, metrics: Mapping[str, Any]) -> bool:
        """Whether a constraint was measured and is broken."""
        return any(metrics.get(c.name, -math.inf) > c.upper for c in self.benchmark.problem.constraints)

    def diverged(self, metrics: Mapping[str, Any]) -> bool:
        """Whether an objective or a constraint is missing or not finite: no trial can go on after that."""
        problem = self.benchmark.problem
        wanted = [*(one.name for one in problem.objectives), *(one.name for one in problem.constraints)]
        return not all(math.isfinite(metrics.get(name, math.nan)) for name in wanted)

    def usable(self, metrics: Mapping[str, Any]) -> float:
        """The objective, to be minimised; NaN where it is missing or not finite, or where a constraint is broken."""
        return _usable(self.benchmark, metrics)

    def value(self, config: Mapping[str, Any]) -> float:
        """The same of a configuration at the full resource, the mean over repetitions."""
        return _value(self.benchmark, self.benchmark.evaluate(config, seed=None))

    def test_value(self, config: Mapping[str, Any]) -> float:
        """The test metric that stands for the objective, with its sign; NaN without one."""
        return _test_value(self.benchmark, config)

    def horizon(self, plan: Plan) -> float:
        """Virtual time of the whole budget.

        Raises:
            ArgumentError: the clock counts seconds, and the benchmark's cost is nothing.
        """
        return horizon(plan, self.plan, self.reference)

    def evaluations(self, plan: Plan) -> float:
        """Random full-resource evaluations that the whole budget is worth."""
        budget = plan.budget_of(self.plan)
        if budget.evaluations is not None:
            return budget.evaluations
        return self.horizon(plan) * plan.workers / self.reference.mean_seconds


def horizon(plan: Plan, task: TaskPlan, reference: Reference) -> float:
    """Virtual time of a task's whole budget.

    Raises:
        ArgumentError: the clock counts seconds, and the benchmark's cost is nothing.
    """
    budget = plan.budget_of(task)
    if budget.clock == "evaluations":
        assert budget.evaluations is not None  # the plan was checked
        return budget.evaluations / plan.workers
    if not reference.mean_seconds > 0:
        raise ArgumentError(
            f"study {plan.name!r}: task {task.label!r} has no costs, and its budget counts seconds. Allowed: "
            'clock = "evaluations". Give it a budget of its own under [budget.tasks].'
        )
    if budget.seconds is not None:
        return budget.seconds
    assert budget.evaluations is not None  # one of both is given
    return budget.evaluations * reference.mean_seconds / plan.workers


def open_task(task: TaskPlan, folder: Path) -> Task:
    """Load a task; its reference is read from the study's folder, or made and kept there.

    Raises:
        LuthierError: the benchmark is not known, needs data or a package, cannot be used in a study, or its data are
            not those of the reference.
    """
    benchmark = load(task.name, **dict(task.options))
    path = reference_path(folder, task)
    if path.is_file():
        reference = Reference.read(path)
        _same_data(task, benchmark, reference)
        return Task(task, coarse(benchmark), reference)
    reference = replace(make_reference(benchmark), checksum=dict(benchmark.card.checksum))
    reference.write(path)
    return Task(task, coarse(benchmark), reference)


def _same_data(task: TaskPlan, benchmark: BaseBenchmark, reference: Reference) -> None:
    """Refuse data that have changed since the reference was made: runs on both would be measured by it.

    Raises:
        ArgumentError: naming the file.
    """
    now = benchmark.card.checksum
    for name in sorted({*reference.checksum, *now}) if reference.checksum else ():
        if now.get(name) != reference.checksum.get(name):
            raise ArgumentError(
                f"task {task.label!r}: {name} has changed since this study's reference was made. Allowed: the same "
                "data for all of a study's cells. Give the old file back, or use another folder."
            )


def open_tasks(plan: Plan, folder: Path) -> tuple[dict[str, Task], dict[str, str]]:
    """All tasks that can run here by label, and why each other one cannot.

    Raises:
        LuthierError: one cannot run, and the plan says that this is an error.
    """
    found, skipped = {}, {}
    for task in plan.tasks:
        try:
            one = open_task(task, folder)
            one.horizon(plan)
            found[task.label] = one
        except LuthierError as error:
            if plan.missing == "error":
                raise
            skipped[task.label] = f"{type(error).__name__}: {error}"
    return found, skipped


def reference_path(folder: Path, task: TaskPlan) -> Path:
    """Where a task's reference is kept."""
    return folder / "references" / (re.sub(r"[^A-Za-z0-9+.=_-]+", "-", task.label) + ".npz")


def make_reference(benchmark: BaseBenchmark) -> Reference:
    """Random configurations, and a local search that begins at the best of them; the same every time.

    Raises:
        ArgumentError: a median random configuration is as good as the best, so that regret says nothing.
    """
    if len(benchmark.objectives) > 1:
        reference = _of_fronts(benchmark)
    else:
        reference = _of_grid(benchmark) if isinstance(benchmark, GridTable) else _of_pool(benchmark)
    if not reference.median > reference.best:
        raise ArgumentError(
            f"benchmark {benchmark.name!r}: a median random configuration is as good as the best known. Allowed: a "
            "task on which there is something to find. Leave it out."
        )
    return reference


def _of_grid(table: GridTable) -> Reference:
    values = table.means * table.objectives[0].sign
    finite = np.where(np.isfinite(values), values, values[np.isfinite(values)].max())
    pool = RandomPool.of(finite, whole=True)
    penalty = float(np.quantile(pool.values, 0.99))
    how = f"all {len(values)} configurations of the table; the best mean over repetitions"
    return Reference(float(pool.values[0]), pool.median, pool, penalty, 0.0, True, (math.nan, math.nan), how)


def _of_pool(benchmark: BaseBenchmark) -> Reference:
    rng = generator(0, "bench")
    every = _listed(benchmark)
    rows = benchmark.space.sample_unit(TRAINED if benchmark.trains else POOL, rng) if every is None else every
    configs = benchmark.space.decode(rows)
    answers = benchmark.evaluate_batch(configs, seed=None)
    values = _values(benchmark, answers)
    feasible = np.isfinite(values)
    if not feasible.any():
        raise ArgumentError(
            f"benchmark {benchmark.name!r}: none of {len(values)} random configurations has a usable value. Allowed: a "
            "task on which random search finds something. Leave it out."
        )
    best, how = _best(benchmark, rows, values, rng, whole=every is not None)
    # what is not feasible is worse than anything; a median is one of what is feasible
    pool = RandomPool.of(np.where(feasible, values, values[feasible].max()), whole=every is not None)
    tests = [] if benchmark.trains else [_test_value(benchmark, config) for config in configs[:: _stride(len(configs))]]
    known = np.array(tests)[np.isfinite(tests)] if tests else np.empty(0)
    return Reference(
        best,
        float(np.median(values[feasible])),
        pool,
        float(np.quantile(values[feasible], 0.99)),
        float(np.mean([one.seconds for one in answers])),
        every is not None,
        (float(np.median(known)), float(known.min())) if len(known) else (math.nan, math.nan),
        how,
    )


def _of_fronts(benchmark: BaseBenchmark) -> Reference:
    """Of several objectives: hypervolumes up to the card's reference point, or one from the pool's front."""
    rng = generator(0, "bench")
    every = _listed(benchmark)
    rows = benchmark.space.sample_unit(TRAINED if benchmark.trains else POOL, rng) if every is None else every
    answers = benchmark.evaluate_batch(benchmark.space.decode(rows), seed=None)
    values = np.array([_answer(benchmark, one) for one in answers])
    fine = values[np.isfinite(values).all(axis=1)]
    if not len(fine):
        raise ArgumentError(
            f"benchmark {benchmark.name!r}: none of {len(values)} random configurations has usable values. Allowed: a "
            "task on which random search finds something. Leave it out."
        )
    point, where = getattr(benchmark, "reference", None), "the benchmark's own"
    if point is None:
        point, where = reference_point(fine), "a tenth of the range beyond the front of these configurations"
    front, best, exact, how = _known_front(benchmark, rows, values, point, rng, whole=every is not None)
    alone = volumes.singles(fine, point)
    return Reference(
        best, float(np.median(alone)), RandomPool.of(alone, whole=every is not None), math.nan,
        float(np.mean([one.seconds for one in answers])), exact, (math.nan, math.nan),
        f"minus hypervolume up to {', '.join(f'{value:.6g}' for value in point)} ({where}); {how}",
        tuple(("" if one.sign > 0 else "−") + one.name for one in benchmark.objectives),
        np.asarray(point, dtype=float), front,
        volumes.of_random(fine, point, rng),
    )  # fmt: skip


def _known_front(
    benchmark: BaseBenchmark, rows: Array, values: Array, point: Array, rng: np.random.Generator, *, whole: bool
) -> tuple[Array, float, bool, str]:
    """The front as far as it is known, what it is worth, whether it is the whole of it, and how."""
    exact = getattr(benchmark, "hypervolume", None)
    if exact is not None and hasattr(benchmark, "front"):
        return np.asarray(benchmark.front(_FRONT)), -float(exact), True, "the exact volume of the whole front"
    fine = values[np.isfinite(values).all(axis=1)]
    if whole or benchmark.trains:
        front = fine[nondominated(fine)]
        return front, volumes.worth(front, point), whole, f"the front of {len(values)} configurations"

    def ask(new: Array) -> Array:
        found = benchmark.evaluate_batch(benchmark.space.decode(new), seed=None)
        return np.array([_answer(benchmark, one) for one in found])

    front = volumes.searched(
        benchmark.space, rows, values, ask, rng, rounds=FRONT_ROUNDS, kept=FRONT_KEPT, width=WIDTH, step=_STEP
    )
    more = FRONT_ROUNDS * FRONT_KEPT * WIDTH
    how = f"the front of {len(values)} random configurations and a local search of {more} more"
    return front, volumes.worth(front, point), False, how


def _listed(benchmark: BaseBenchmark) -> Array | None:
    """Every configuration, where random search draws each with the same probability and there are not too many."""
    space = benchmark.space
    alike = all(kind in ("choice", "ordinal") for kind in space.kinds) and not space.conditions
    alike = alike and all(getattr(domain, "prior", None) is None for domain in space.domains.values())
    small = space.size is not None and space.size_is_exact and space.size <= LISTED
    return space.all_rows(LISTED) if alike and small and not benchmark.trains else None


def _stride(n: int) -> int:
    return max(1, n // TESTED)


def _best(
    benchmark: BaseBenchmark, rows: Array, values: Array, rng: np.random.Generator, *, whole: bool
) -> tuple[float, str]:
    """The least value known, and how."""
    best = float(np.nanmin(values))
    if whole:
        return best, f"all {len(values)} configurations; the best mean over repetitions"
    how = f"{len(values)} random configurations"
    if not benchmark.trains:
        best = min(best, _searched(benchmark, rows, values, rng))
        how += f", a local search of {ROUNDS * KEPT * WIDTH} more"
    objective = benchmark.objectives[0]
    if objective.name in benchmark.card.optimum:
        best = min(best, benchmark.card.optimum[objective.name] * objective.sign)
        how += ", the optimum on the benchmark's card"
    return best, how + "; the least value of these"


def _searched(benchmark: BaseBenchmark, rows: Array, values: Array, rng: np.random.Generator) -> float:
    found = np.where(np.isfinite(values), values, np.inf)
    for _ in range(ROUNDS):
        rows = rows[np.argsort(found, kind="stable")[:KEPT]]
        rows = np.concatenate([rows, benchmark.space.perturb(np.repeat(rows, WIDTH, axis=0), rng, step=_STEP)])
        tried = _values(benchmark, benchmark.evaluate_batch(benchmark.space.decode(rows), seed=None))
        found = np.where(np.isfinite(tried), tried, np.inf)
    return float(found.min())


def _values(benchmark: BaseBenchmark, answers: Sequence[Evaluation]) -> Array:
    return np.array([_value(benchmark, one) for one in answers])


def _value(benchmark: BaseBenchmark, found: Evaluation) -> float:
    return _usable(benchmark, found.metrics) if found.status is Status.COMPLETED else math.nan


def _answer(benchmark: BaseBenchmark, found: Evaluation) -> Array:
    return _point(benchmark, found.metrics if found.status is Status.COMPLETED else {})


def _point(benchmark: BaseBenchmark, metrics: Mapping[str, Any]) -> Array:
    values = np.array([o.sign * float(metrics.get(o.name, math.nan)) for o in benchmark.objectives])
    feasible = all(metrics.get(c.name, math.nan) <= c.upper for c in benchmark.problem.constraints)
    return values if feasible and np.isfinite(values).all() else np.full(len(values), math.nan)


def _usable(benchmark: BaseBenchmark, metrics: Mapping[str, Any]) -> float:
    objective, constraints = benchmark.objectives[0], benchmark.problem.constraints
    value = float(metrics.get(objective.name, math.nan))
    feasible = all(metrics.get(c.name, math.nan) <= c.upper for c in constraints)
    return objective.sign * value if feasible and math.isfinite(value) else math.nan


def _test_value(benchmark: BaseBenchmark, config: Mapping[str, Any]) -> float:
    try:
        found = benchmark.evaluate_test(config, seed=None)
    except UnsupportedError:
        return math.nan
    name = _counterpart(benchmark.objectives[0].name, list(found.metrics))
    return math.nan if name is None else benchmark.objectives[0].sign * float(found.metrics[name])


def _counterpart(objective: str, tests: Sequence[str]) -> str | None:
    """The test metric that stands for an objective: of the same name but for the split, or the only one."""
    stem = _PREFIX.sub("", objective)
    same = [name for name in tests if _PREFIX.sub("", name) == stem]
    near = [name for name in tests if name.endswith(f"_{stem}")]
    return next(iter([*same, *near, *(tests if len(tests) == 1 else ())]), None)
