"""BNN: a Bayesian neural network for regression, sampled when asked; the fidelity is the number of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import BenchmarkError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.registry import register
from luthier.base.seeds import check_seed, generator
from luthier.bench._base import BaseBenchmark, Config, Family
from luthier.bench._catalogue import check_task
from luthier.bench._designed import CPU, WALL, DesignTable, Task, drawn
from luthier.bench._generated import read_table, tables
from luthier.bench._planned import Cell, Design, Plan, rungs
from luthier.bench.data import DataFile, checksums, find
from luthier.bench.families._sghmc import Chain, Recipe, losses, sample
from luthier.space.domains import Float, Int
from luthier.space.space import Space

Array = NDArray[np.float64]
Rows = tuple[Array, Array]  # (n, d) inputs and (n,) targets

FIDELITY = Fidelity("budget", 500, 10_000)
OBJECTIVE = Objective("nll")
#: Where chains find something, most of them: with slower steps a chain does not arrive.
ARRIVES = {"l_rate": (3e-3, 1e-1), "mdecay": (0.0, 0.5)}
#: Grid to the number of configurations that a table records: each takes some 5 s a seed.
RECORDED = {"small": 48, "full": 2000}
UNIT = 1.0  # nat: what lies hundreds above the best must not outweigh it
_BETWEEN = 500  # steps from one recorded budget to the next
_MEAN_OVER = 3  # chains behind an answer without a seed
_FLOOR = 1e-10  # of predicted variances, as in HPOBench
_STEP_SECONDS, _WEIGHT_SECONDS = 1e-4, 2e-8  # of one step, and of each weight in it; one thread


@dataclass(frozen=True)
class Data:
    """A regression task.

    Args:
        train: What chains are run on.
        valid: What configurations are judged by.
        test: What a finished search is judged by.
        source: Where it comes from.
        licence: Its licence.
        checksum: SHA-256 of its files.
    """

    train: Rows
    valid: Rows
    test: Rows
    source: str
    licence: str
    checksum: Mapping[str, str] = field(default_factory=dict)


class Bnn(BaseBenchmark):
    """Negative log likelihood of validation targets, in nats for a row and in the targets' own unit.

    One chain yields every budget: after t steps the networks drawn after each hundredth step since `burn_in` * t
    predict together. The seed decides the chain; without one the answer is the mean over three chains. Test values come
    from a chain on training and validation rows. The cost is an estimate from the number of steps and weights.

    Args:
        name: Full name.
        data: The task.
        fidelity: Steps; another one than usual is for tests.

    Source: HPOBench 0.0.10, BayesianNeuralNetworkBenchmark (Falkner, Klein, Hutter 2018); `_sghmc` for the sampler.
    Differs: the preconditioner is estimated during `burn_in` of the highest budget rather than of the present one, so
        that budgets share a chain; the highest is unchanged by that. The predicted variance is that of the mixture,
        noise included, where the version of sgmcmc read leaves the noise out.
    Cost: 10 000 steps take 1.3 s with 64 + 64 units and a minute with 512 + 512, on one thread.
    """

    trains = True

    def __init__(self, name: str, data: Data, *, fidelity: Fidelity = FIDELITY) -> None:
        self._data, self.fidelity = data, fidelity
        self.space = space()
        self.objectives = (OBJECTIVE,)
        self.card = Card(
            name,
            data.source,
            data.licence,
            data.checksum,
            noise="generative",
            description=f"Sampled network on {len(data.train[1])} training and {len(data.valid[1])} validation rows; "
            "mean negative log likelihood.",
        )

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None  # there is a fidelity
        budget, data = int(resource), self._data
        return [self._answers(one, data.train, data.valid, [budget], seed, "nll")[0] for one in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        steps = self._steps(until)
        found = self._answers(config, self._data.train, self._data.valid, [int(s) for s in steps], seed, "nll")
        return list(zip(steps, found, strict=True))

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, on the test rows, after a chain on training and validation rows."""
        spent, data = self._spent(resource), self._data
        assert spent is not None  # there is a fidelity
        both = tuple(np.concatenate(parts) for parts in zip(data.train, data.valid, strict=True))
        return self._answers(self._check(config), (both[0], both[1]), data.test, [int(spent)], seed, "test_nll")[0]

    def _answers(
        self, config: Configuration, train: Rows, judge: Rows, budgets: Sequence[int], seed: int | None, metric: str
    ) -> list[Evaluation]:
        """One evaluation for each budget, from one chain a seed."""
        seeds = range(_MEAN_OVER) if seed is None else (check_seed(seed),)
        values = np.mean([self._run(config, train, judge, budgets, one) for one in seeds], axis=0)
        pace = _STEP_SECONDS + _WEIGHT_SECONDS * _weights(config, train[0].shape[1])
        return [
            Evaluation({metric: value}, pace * budget, Status.COMPLETED if math.isfinite(value) else Status.DIVERGED)
            for value, budget in zip(values.tolist(), budgets, strict=True)
        ]

    def _run(self, config: Configuration, train: Rows, judge: Rows, budgets: Sequence[int], seed: int) -> list[float]:
        return self._judged(config, train, [judge], budgets, seed)[0]

    def _judged(
        self,
        config: Configuration,
        train: Rows,
        judges: Sequence[Rows],
        budgets: Sequence[int],
        seed: int,
        watch: Callable[[], object] | None = None,
    ) -> list[list[float]]:
        """Losses of one chain at each budget, for each part to judge by."""
        from luthier.bench.demo import one_thread

        assert self.fidelity is not None  # set in the constructor
        X, y = train
        centre, width = X.mean(axis=0), _width(X)
        middle, scale = float(y.mean()), float(_width(y))
        recipe = Recipe(
            config["l_rate"],
            config["mdecay"],
            config["n_units_1"],
            config["n_units_2"],
            adapts=max(int(config["burn_in"] * self.fidelity.high), 1),
        )
        inputs, targets = ((X - centre) / width).astype(np.float32), ((y - middle) / scale).astype(np.float32)
        every = max(int(self.fidelity.low) // 5, 1)  # 100, so that the last fifth of every budget has a draw
        divergence_is_an_answer = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with one_thread(), divergence_is_an_answer:
            chain = Chain(inputs, targets, recipe, generator(seed, "bench", len(X)))
            rows = np.concatenate([(rows - centre) / width for rows, _ in judges]).astype(np.float32)
            draws = sample(chain, rows, max(budgets), every=every, watch=watch)
            ends = np.cumsum([0, *(len(true) for _, true in judges)]).tolist()
            found = []
            for (_, true), first, last in zip(judges, ends, ends[1:], strict=False):
                part, judged = draws._replace(means=draws.means[:, first:last]), (true - middle) / scale
                burn_in = config["burn_in"]
                found.append(losses(part, judged, scale=scale, burn_in=burn_in, budgets=budgets, floor=_FLOOR))
            return found

    # what a table of it records ------------------------------------------------------------------------------

    def plan(self, grid: str) -> Plan:
        """What `generate` records: random configurations, every 500 steps and where halving asks."""
        check("grid", grid, one_of=RECORDED)
        how = (
            "drawn from a box where most chains arrive, from the whole space, and from all sizes between; test values "
            "are those of the same chain, on the training rows alone"
        )
        return Plan(
            lists={},
            axes=(FIDELITY.name,),
            fidelities=tuple((float(step),) for step in self._recorded_steps()),
            metrics=(OBJECTIVE.name, f"test_{OBJECTIVE.name}", CPU, WALL),
            timed=(CPU, WALL),
            about=self.card,
            design=Design(drawn(self.space, ARRIVES, RECORDED[grid]), OBJECTIVE.name, UNIT, how),
        )

    def record(self, config: Configuration, seed: int, grid: str) -> Cell:
        """One chain, judged by the validation and by the test rows."""
        budgets, data, clocks = self._recorded_steps(), self._data, list[tuple[float, float]]()
        began = time.process_time(), time.perf_counter()

        def watch() -> None:
            clocks.append((time.process_time() - began[0], time.perf_counter() - began[1]))

        found = self._judged(config, data.train, [data.valid, data.test], budgets, seed, watch)
        assert self.fidelity is not None  # set in the constructor
        every = max(int(self.fidelity.low) // 5, 1)
        rows = []
        for budget, *values in zip(budgets, *found, strict=True):
            # the last draw within the budget, and the few steps from there; a chain that broke took no more
            at = min((budget - 1) // every, len(clocks) - 1)
            more = budget / (at * every + 1) if at == (budget - 1) // every else 1.0
            rows.append([*values, *(more * seconds for seconds in clocks[at])])
        status = Status.COMPLETED if np.isfinite(rows[-1][0]) else Status.DIVERGED
        return Cell(np.array(rows, dtype=np.float32), status)

    def expected_seconds(self, config: Configuration, grid: str) -> float:
        """About what `record` takes."""
        assert self.fidelity is not None  # set in the constructor
        inputs = self._data.train[0].shape[1]
        return self.fidelity.high * (_STEP_SECONDS + _WEIGHT_SECONDS * _weights(config, inputs))

    def _recorded_steps(self) -> list[int]:
        assert self.fidelity is not None  # set in the constructor
        return sorted({*range(int(self.fidelity.low), int(self.fidelity.high) + 1, _BETWEEN), *rungs(self.fidelity)})


def space() -> Space:
    """Five hyperparameters."""
    return Space(
        l_rate=Float(1e-6, 1e-1, log=True, default=1e-2),
        burn_in=Float(0.0, 0.8, default=0.3),
        n_units_1=Int(16, 512, log=True, default=64),
        n_units_2=Int(16, 512, log=True, default=64),
        mdecay=Float(0.0, 1.0, default=0.05),
    )


def _width(values: Array) -> Array:
    """Standard deviation by columns, 1 where a column is constant."""
    found = values.std(axis=0)
    wide: Array = np.where(found > 0, found, 1.0)
    return wide


def _weights(config: Configuration, inputs: int) -> int:
    first, second = config["n_units_1"], config["n_units_2"]
    return int((inputs + 1) * first + (first + 1) * second + second + 2)


# -- tasks --


def toy() -> Data:
    """A wave in one dimension; the same thousand rows as in HPOBench."""
    from sklearn.utils import check_random_state

    rng = check_random_state(42)  # the old generator, which alone gives these rows
    x = rng.rand(1000, 1)
    e = np.array([rng.normal() for _ in range(len(x))]) * 0.02
    waves = [0.3 * np.sin(turns * np.pi * (x[:, 0] + e)) for turns in (2, 4)]
    return _cut(x, x[:, 0] + waves[0] + waves[1] + e, 0.6, 0.2, "HPOBench's BNNOnToyFunction, a formula", "none needed")


def diabetes() -> Data:
    """442 patients with ten features; the target is the disease's progression after a year."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    order = generator(0, "bench").permutation(len(y))  # ours: the rows come in no stated order
    return _cut(
        X[order], y[order], 0.6, 0.2, "scikit-learn's load_diabetes: Efron et al. 2004", "BSD-3-Clause (scikit-learn)"
    )


#: Task to file, header lines, and training and validation shares; the target is the first column.
UCI = {
    "protein": (DataFile("uci/CASP.csv"), 1, 0.6, 0.2),
    "year": (DataFile("uci/YearPredictionMSD.txt"), 0, 0.7, 0.2),
}


def uci(task: str) -> Data:
    """A file of the UCI repository, in HPOBench's split: the rows as they come."""
    file, skip, train, valid = UCI[task]
    origin = f"UCI Machine Learning Repository, {file.path.rpartition('/')[2]} as it is there"
    place = find(f"bnn/{task}", (file,), origin=origin)[file.path]
    rows = _read(place, skip)
    return _cut(rows[:, 1:], rows[:, 0], train, valid, origin, "CC BY 4.0 (from memory)", checksums({file.path: place}))


def _read(place: Path, skip: int) -> Array:
    try:
        rows: Array = np.loadtxt(place, delimiter=",", skiprows=skip, ndmin=2)
    except ValueError as error:
        raise BenchmarkError(f"{place} is no table of numbers: {error}. Fetch the file again.") from error
    if rows.shape[1] < 2 or len(rows) < 10 or not np.isfinite(rows).all():
        raise BenchmarkError(f"{place} has {len(rows)} rows of {rows.shape[1]} numbers. Fetch the complete file.")
    return rows


def _cut(
    X: Array, y: Array, train: float, valid: float, source: str, licence: str, checksum: Mapping[str, str] | None = None
) -> Data:
    """First part for training, the next for validation, the rest for testing."""
    first = int(len(y) * train)
    second = first + int(len(y) * valid)
    parts = [(X[a:b], y[a:b]) for a, b in ((0, first), (first, second), (second, len(y)))]
    return Data(parts[0], parts[1], parts[2], source, licence, checksum or {})


TASKS: Mapping[str, Callable[[], Data]] = {
    "toy": toy,
    "diabetes": diabetes,
    "protein": lambda: uci("protein"),
    "year": lambda: uci("year"),
}


@register("benchmark")
class BnnFamily(Family):
    """HPOBench's Bayesian networks: "toy" and "diabetes" need no data, "protein" and "year" a file of UCI's.

    Args:
        missing: What a table says of a configuration that was not recorded: "surrogate" (a forest's prediction),
            "nearest" or "error".
    """

    lock = "sklearn"

    def __init__(self, *, missing: str = "surrogate") -> None:  # so that any method can search a table
        self._missing = missing

    def tasks(self) -> Sequence[str]:
        """Data to run chains on, then tables at hand, such as "toy@small"."""
        return (*TASKS, *tables("bnn"))

    def open(self, task: str) -> BaseBenchmark:
        """One task, to run chains on or as a table."""
        data, table, grid = task.partition("@")
        check_task("bnn", data, TASKS)
        if not table:
            return Bnn(f"bnn/{task}", TASKS[task]())
        check("grid", grid, one_of=RECORDED)
        found = Task(space(), FIDELITY, OBJECTIVE)
        return DesignTable(found, f"bnn/{task}", *read_table("bnn", data, grid), missing=self._missing)
