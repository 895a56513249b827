"""Tasks with two objectives, and tasks with a bound on the memory; data from the folder LUTHIER_DATA.

Nothing that normalises a score depends on the runs. Two objectives: the best known front is the whole table's, or what
a fixed search on the surrogate finds; the reference point is its nadir and a tenth of its range, and a score is the
hypervolume as a share of that front's. A bound: the lowest decile of the memory of random configurations; a score is
the normalised regret of the best feasible trial, 0 for the best known, 1 for a median feasible random configuration.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import _machine
import numpy as np
from _tasks import CLIP

import luthier as lu
from luthier.base.errors import NumericsWarning
from luthier.base.pareto import hypervolume, nondominated, reference_point
from luthier.base.records import Constraint, Objective
from luthier.base.seeds import generator
from luthier.bench import load as load_benchmark
from luthier.space.problem import Benchmark, Problem

KNOWN = _machine.RESULTS / "multi_objective" / "tasks.json"
WHOLE = 20_000  # configurations up to which a whole space is evaluated
POOL = 5000  # random configurations that the search for the best known begins with
ROUNDS, CHILDREN = 30, 500  # of that search, around the best
FEASIBLE = 0.1  # share of random configurations that the bound on the memory leaves

Predict = Callable[[Sequence[Mapping[str, Any]]], np.ndarray]

FRONTS = (
    *(f"nasbench201/{task}" for task in ("cifar10", "cifar100", "ImageNet16-120")),
    *(f"iaml_glmnet/{task}" for task in (40981, 41146, 1489, 1067)),
    *(f"hw_gpt/{scale}" for scale in "sm"),
)
BOUNDED = tuple(f"rbv2_xgboost/{task}" for task in (12, 54, 1067, 40984, 41146))


class Front:
    """Two objectives to be minimised.

    Args:
        space: Where to search.
        predict: From configurations to (n, 2) values.
        names: Of the objectives.
        reference: Reference point.
        ideal: Hypervolume of the best known front.
    """

    constraints = 0

    def __init__(
        self, space: lu.Space, predict: Predict, names: tuple[str, str], reference: Sequence[float], ideal: float
    ) -> None:
        self.space, self.names, self._predict = space, names, predict
        self.reference, self._ideal = np.array(reference), ideal
        self.problem = Problem(space, tuple(Objective(name) for name in names))

    def evaluate(self, config: Mapping[str, Any]) -> tuple[float, ...]:
        """Both values."""
        return tuple(map(float, self._predict([config])[0]))

    def curve(self, values: np.ndarray) -> np.ndarray:
        """Share of the best known hypervolume after each evaluation; (n, 2) -> (n,)."""
        found, kept, share = np.empty(len(values)), values[:0], 0.0
        for i, row in enumerate(values):
            if (row < self.reference).all() and not (kept <= row).all(axis=1).any():
                kept = np.concatenate([kept[(kept < row).any(axis=1)], row[None]])
                share = hypervolume(kept, self.reference) / self._ideal
            found[i] = share
        return found


class Bounded:
    """One objective to be minimised under a bound; what is told is the value and by how much the bound is exceeded.

    Args:
        space: Where to search.
        predict: From configurations to (n, 2) values: the objective, and what is bounded.
        bound: The bound.
        best: Best known feasible value.
        reference: Value of a median feasible random configuration.
    """

    constraints = 1

    def __init__(self, space: lu.Space, predict: Predict, bound: float, best: float, reference: float) -> None:
        self.space, self._predict = space, predict
        self.bound, self.best, self.reference = bound, best, reference
        self.problem = Problem(space, (Objective("loss"),), (Constraint("memory", bound),))

    def evaluate(self, config: Mapping[str, Any]) -> tuple[float, ...]:
        """The negative accuracy, and the memory beyond the bound (both in units of the surrogate)."""
        loss, memory = self._predict([config])[0]
        return float(loss), float(memory - self.bound)

    def curve(self, values: np.ndarray) -> np.ndarray:
        """Normalised regret of the best feasible trial after each evaluation; (n, 2) -> (n,)."""
        regret = (values[:, 0] - self.best) / (self.reference - self.best)
        regret = np.where(values[:, 1] <= 0, np.clip(regret, 0.0, CLIP), CLIP)
        return np.minimum.accumulate(regret)


@cache
def load(name: str) -> Front | Bounded:
    """A task by its name in `FRONTS` or `BOUNDED`; what normalises it is computed once, and kept beside the results."""
    kept: dict[str, Any] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    space, predict, names = problem(name)
    if name not in kept:
        kept[name] = bounded(space, predict) if name in BOUNDED else front(space, predict)
        KNOWN.parent.mkdir(parents=True, exist_ok=True)
        KNOWN.write_text(json.dumps(kept, indent=1) + "\n")
    return Bounded(space, predict, **kept[name]) if name in BOUNDED else Front(space, predict, names, **kept[name])


def problem(name: str) -> tuple[lu.Space, Predict, tuple[str, str]]:
    """Space, predictions and names of the two values of a task."""
    family, _, task = name.partition("/")
    if family == "nasbench201":
        names = ("error", "latency_ms")
        table = load_benchmark(f"transfer_nasbench201/{task}", objectives=",".join(names))
        return table.space, _metrics(table, names, (1.0, 1.0)), names
    if family == "iaml_glmnet":
        return *surrogate(f"yahpo/{name}", ("mmce", "mec"), (1.0, 1.0)), ("mmce", "mec")
    if family == "hw_gpt":
        return *surrogate(f"hw_gpt_bench/{task}", ("perplexity", "params_m"), (1.0, 1.0)), ("perplexity", "params")
    return *surrogate(f"yahpo/{name}", ("acc", "memory"), (-1.0, 1.0)), ("loss", "memory")


def front(space: lu.Space, predict: Predict) -> dict[str, Any]:
    """What normalises a task with two objectives: all of a finite space, else a fixed search."""
    whole = space.size is not None and space.size <= WHOLE
    known = predict(space.decode(space.all_rows())) if whole else best_known(space, predict)
    reference = reference_point(known)
    return {"reference": reference.tolist(), "ideal": hypervolume(known, reference)}


def bounded(space: lu.Space, predict: Predict) -> dict[str, Any]:
    """What normalises a task under a bound, by random configurations and a fixed search from the best of them."""
    rng = generator(0, "bench")
    rows = space.sample_unit(POOL, rng)
    values = predict(space.decode(rows))
    bound = float(np.quantile(values[:, 1], FEASIBLE))
    reference = float(np.median(values[values[:, 1] <= bound, 0]))
    for _ in range(ROUNDS):
        kept = np.lexsort((values[:, 0], values[:, 1] > bound))[:25]
        more = space.perturb(rows[kept[np.arange(CHILDREN) % len(kept)]], rng, step=0.1)
        rows = np.concatenate([rows[kept], more])
        values = np.concatenate([values[kept], predict(space.decode(more))])
    return {"bound": bound, "best": float(values[values[:, 1] <= bound, 0].min()), "reference": reference}


def surrogate(name: str, names: tuple[str, ...], signs: tuple[float, ...]) -> tuple[lu.Space, Predict]:
    """A surrogate at its full resource."""
    found = load_benchmark(name)
    return found.space, _metrics(found, names, signs)


def _metrics(benchmark: Benchmark, names: tuple[str, ...], signs: tuple[float, ...]) -> Predict:
    def predict(configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericsWarning)  # predictions are clipped to what can be
            found = benchmark.evaluate_batch(configs)
        return np.array([[one.metrics[name] for name in names] for one in found]) * signs

    return predict


def best_known(space: lu.Space, predict: Predict) -> np.ndarray:
    """The front that a fixed search finds; (n, 2)."""
    rng = generator(0, "bench")
    rows = space.sample_unit(POOL, rng)
    values = predict(space.decode(rows))
    for step in np.geomspace(0.3, 0.01, ROUNDS):
        best = np.flatnonzero(nondominated(values))
        more = space.perturb(rows[rng.choice(best, CHILDREN)], rng, changes=3, step=step)
        rows = np.concatenate([rows[best], more])
        values = np.concatenate([values[best], predict(space.decode(more))])
    return values[nondominated(values)]
