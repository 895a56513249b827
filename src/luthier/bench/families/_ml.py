"""What the families of classical machine learning share: data, fidelities, scores, costs; a subclass adds its model.

A model is fitted to the training rows alone. `evaluate` scores training and validation rows, `evaluate_test` the test
rows of the same model. One fit yields every step of an iterative fidelity, and the model at a step does not depend on
how far the fit goes on.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark, Config, Family
from luthier.bench._catalogue import check_task
from luthier.bench._generated import open_table, tables
from luthier.bench._planned import Cell, Plan, grid_lists, rungs
from luthier.bench._sets import BUNDLED, Data, Part
from luthier.bench._sets import load as load_data
from luthier.bench._sets import names as data_names
from luthier.bench.families._ml_fit import QUALITIES, Fit, Moment, Shape, Trainee, watch
from luthier.bench.families._ml_published import PUBLISHED, open_published, published_tasks
from luthier.space.space import Space

SEARCHED = ("train", "valid")  # the parts that `evaluate` scores
PARTS = (*SEARCHED, "test")
SUBSAMPLE = Fidelity("subsample", 0.1, 1.0)
#: What a table has beside the qualities of each part: CPU and wall seconds of the fit and of scoring each part, numbers
#: the model consists of, and the time that one row takes.
COSTS = (
    "fit_cpu_seconds",
    "fit_wall_seconds",
    *(f"{part}_{kind}" for part in PARTS for kind in ("cpu_seconds", "wall_seconds")),
    "latency_ms",
)
MEASURED = (*(f"{part}_{quality}" for part in PARTS for quality in QUALITIES), "size", *COSTS)
#: Subsamples that a grid records, by about 3 and by about 2; each multiplies the cost of a table.
RECORDED = {"small": (0.1, 0.3, 1.0), "full": (0.1, 0.2, 0.3, 0.5, 1.0)}
#: Of families whose steps cost about as much on few rows as on many, so that a further subsample is dear.
SPARSE = {**RECORDED, "small": (0.3, 1.0)}
#: Grid to hyperparameter to its values, or to how many are laid out evenly.
Points = Mapping[str, Mapping[str, int | tuple[float, ...]]]
_LOOKING, _LOOK_SECONDS = 1.3, 5e-3  # measured: share of a fit that scoring adds, and time of a look beside it
_MEAN_OVER = 3  # trainings behind an answer without a seed
_STATE = 3  # which decision of the bench room the state of a model is; 0 to 2 are those of the data


class MlBenchmark(BaseBenchmark):
    """A model of a family on a data set.

    Metrics: `error` = 1 - accuracy on the validation rows; accuracy, balanced accuracy, macro F1 and macro precision on
    training and validation rows; `size`, the numbers that the model consists of. A seed decides the model's draws and
    which rows a subsample takes; without one the answer is the mean over seeds 0 to 2. The cost is the family's model
    of the time on one thread, so that answers stay pure; what was measured is in `info`.

    Args:
        family: The family, with its options.
        data: The data.
    """

    trains = True

    def __init__(self, family: MlFamily, data: Data) -> None:
        self.family, self.data = family, data
        self.space, self.fidelity = family.space(), family.fidelity
        # what HPOBench's interface offers side by side; a study has the one axis
        both = family.fidelity is not None
        self.fidelities = tuple(axis for axis in (family.steps, SUBSAMPLE) if both and axis is not None)
        self.objectives = family.objectives(searched())
        self._first: tuple[Configuration, list[Moment]] | None = None
        shares = {name: (0.0, 1.0) for name in searched() if name != "size"}
        self.bounds = {**shares, "size": (0.0, math.inf)}
        self.card = Card(
            f"{family.label}/{data.name}",
            data.source,
            data.licence,
            data.checksums,
            noise="generative",
            description=f"{family.title} on {len(data.train.y)} training and {len(data.valid.y)} validation rows of "
            f"{data.train.X.shape[1]} features and {data.classes} classes, trained when asked.",
        )

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        subsample, step = self.family.amounts(resource)
        return [self._answers(config, subsample, [step], seed)[0] for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        subsample, last = self.family.amounts(until)
        if self.fidelity is SUBSAMPLE:
            return [(until, self._answers(config, subsample, [last], seed)[0])]
        steps = [int(step) for step in self._steps(last)]
        return [(float(s), e) for s, e in zip(steps, self._answers(config, subsample, steps, seed), strict=True)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Error and qualities on the test rows, of the model that `evaluate` judges by the validation rows."""
        checked = self._check(config)
        subsample, step = self.family.amounts(self._spent(resource))
        return self._answers(checked, subsample, [step], seed, parts=("test",))[0]

    def _answers(
        self,
        config: Configuration,
        subsample: float,
        steps: Sequence[int],
        seed: int | None,
        *,
        parts: tuple[str, ...] = SEARCHED,
    ) -> list[Evaluation]:
        """One evaluation for each step."""
        seeds = range(_MEAN_OVER) if seed is None else (seed,)
        rows = [len(self.data.subset(subsample, one)) for one in seeds]
        runs = [self.moments(config, subsample, steps, one, parts=parts) for one in seeds]
        found = []
        for moments in zip(*runs, strict=True):
            each = [_metrics(moment, parts) for moment in moments]
            metrics = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
            costs = [self.family.cost(config, self._shape(n), m.spent) for n, m in zip(rows, moments, strict=True)]
            status = Status.COMPLETED if all(moment.found for moment in moments) else Status.DIVERGED
            found.append(Evaluation(metrics, float(np.mean(costs)), status, _info(rows[0], moments)))
        return found

    def _shape(self, rows: int) -> Shape:
        return Shape(rows, self.data.train.X.shape[1], self.data.classes)

    def moments(
        self,
        config: Configuration,
        subsample: float,
        steps: Sequence[int],
        seed: int,
        *,
        parts: tuple[str, ...],
        latency: bool = False,
    ) -> list[Moment]:
        """Fit once, and look at the model at every step asked for.

        Args:
            config: A configuration of the space.
            subsample: Share of the training rows.
            steps: Rising.
            seed: Decides the model's draws and the rows taken.
            parts: What to classify.
            latency: Whether to measure the time that one row takes.
        """
        rows = self.data.subset(subsample, seed)
        state = int(generator(seed, "bench", _STATE).integers(2**31))
        judged: list[Part] = [getattr(self.data, part) for part in parts]
        X, y = self.data.train.X[rows], self.data.train.y[rows]
        fit = Fit(X, y, self.data.classes, state, tuple(part.X for part in judged))
        from luthier.bench.demo import one_thread

        with one_thread(), np.errstate(all="ignore"):  # divergence is an answer
            trainee = self.family.trainee(config, fit)
            seen = zip(parts, judged, strict=True)
            return list(watch(trainee, steps, list(seen), latency=latency))

    # what a table of it records ------------------------------------------------------------------------------

    def plan(self, grid: str) -> Plan:
        """What `generate` records of a grid: configurations, fidelities, metrics."""
        check("grid", grid, one_of=RECORDED)
        steps = self.family.recorded_steps()
        axes = ("subsample",) if self.family.steps is None else ("subsample", self.family.steps.name)
        pairs = [(share, float(step)) for share in self.family.shares[grid] for step in steps]
        return Plan(
            lists=grid_lists(self.space, self.family.points[grid]),
            axes=axes,
            fidelities=tuple(pair[: len(axes)] for pair in pairs),
            metrics=MEASURED,
            timed=COSTS,
            about=self.card,
        )

    def expected_seconds(self, config: Configuration, grid: str) -> float:
        """About what `record` takes: the fits of all subsamples up to the last step, and looking at every step."""
        last, least = self.family.recorded_steps()[-1], self.data.least
        rows = [int(max(share, least) * len(self.data.train.y)) for share in self.family.shares[grid]]
        fits = sum(self.family.cost(config, self._shape(n), last) for n in rows)
        return _LOOKING * fits + _LOOK_SECONDS * len(rows) * len(self.family.recorded_steps())

    def record(self, config: Configuration, seed: int, grid: str) -> Cell:
        """Everything that a table says of one configuration and seed."""
        steps, rows, diverged = self.family.recorded_steps(), [], False
        for share in self.family.shares[grid]:
            for moment in self._recorded_moments(config, share, steps, seed):
                diverged = diverged or not moment.found
                rows.append(_recorded(moment))
        return Cell(np.array(rows, dtype=np.float32), Status.DIVERGED if diverged else Status.COMPLETED)

    def _recorded_moments(self, config: Configuration, share: float, steps: Sequence[int], seed: int) -> list[Moment]:
        """A model that draws nothing is the same for every seed on all rows: the first seed's fit serves all."""
        alike = not self.family.draws and share == 1
        if alike and seed > 0 and self._first is not None and self._first[0] == config:
            return self._first[1]
        found = self.moments(config, share, steps, seed, parts=PARTS, latency=True)
        if alike and seed == 0:
            self._first = config, found
        return found


class MlFamily(Family):
    """A kind of model; its data sets and its tables are the tasks.

    Attributes:
        title: What it is called in words.
        published: What HPOBench's files call it.
        draws: Whether a model on the same rows differs from seed to seed.
        steps: The iterative fidelity, None without.
        points: Grid to hyperparameter to its values, or to how many are laid out evenly.
        shares: Grid to the subsamples that it records.
    """

    title: ClassVar[str]
    published: ClassVar[str]
    draws: ClassVar[bool] = True
    steps: ClassVar[Fidelity | None] = None
    points: ClassVar[Points]
    shares: ClassVar[Mapping[str, tuple[float, ...]]] = RECORDED

    def __init__(self, *, axis: str, subsample: float, step: float, objectives: str) -> None:
        own = [] if self.steps is None else [self.steps.name]
        check("axis", axis, one_of=[*own, SUBSAMPLE.name, "none"])
        check("subsample", subsample, at_least=SUBSAMPLE.low, at_most=SUBSAMPLE.high)
        if self.steps is not None:
            check(self.steps.name, step, at_least=self.steps.low, at_most=self.steps.high, whole=True)
        self._fixed = {SUBSAMPLE.name: float(subsample), **dict.fromkeys(own, float(step))}
        full = {SUBSAMPLE.name: SUBSAMPLE.high, **({} if self.steps is None else {self.steps.name: self.steps.high})}
        if axis in full and self._fixed[axis] != full[axis]:
            raise ArgumentError(
                f"{axis}={self._fixed[axis]:g} and axis={axis!r}. Allowed: one of them; the axis moves."
            )
        self.axis = axis
        self.fidelity = {SUBSAMPLE.name: SUBSAMPLE, "none": None}.get(axis, self.steps)
        self._objectives = objectives

    @abstractmethod
    def space(self) -> Space:
        """The hyperparameters."""

    @abstractmethod
    def trainee(self, config: Configuration, fit: Fit) -> Trainee:
        """An untrained model."""

    @abstractmethod
    def cost(self, config: Configuration, shape: Shape, spent: float) -> float:
        """Seconds that a fit of so many steps and scoring it take on one thread of a desktop processor, about."""

    def ready(self) -> None:
        """Make sure that what training needs is there.

        Raises:
            MissingExtra: a package is not installed.
        """

    @property
    def label(self) -> str:
        """The family's name as tasks are written."""
        return self.name.replace("-", "_")

    def amounts(self, resource: float | None) -> tuple[float, int]:
        """Subsample and step that a resource of the chosen axis stands for."""
        given = dict(self._fixed)
        if resource is not None and self.axis != "none":
            given[self.axis] = resource
        return given[SUBSAMPLE.name], 1 if self.steps is None else int(given[self.steps.name])

    def recorded_steps(self) -> list[int]:
        """Steps that a table has: what halving by two and by three asks for from below, and by three from above."""
        if self.steps is None:
            return [1]
        return rungs(self.steps)

    def objectives(self, allowed: Sequence[str]) -> tuple[Objective, ...]:
        """What is improved, from the option.

        Raises:
            ArgumentError: a metric is not known, or twice there.
        """
        words = [word.strip() for word in self._objectives.split(",")]
        for word in words:
            check("objectives", word, one_of=allowed)
        if len(set(words)) < len(words):
            raise ArgumentError(f"objectives={self._objectives!r}. Allowed: each metric at most once.")
        return tuple(Objective(word, "max" if word.endswith(QUALITIES) else "min") for word in words)

    def tasks(self) -> Sequence[str]:
        """Data sets of scikit-learn, tables at hand (such as "digits@small"), then the OpenML tasks."""
        known, published = data_names(), [f"{task}@{PUBLISHED}" for task in published_tasks(self.published)]
        return [*BUNDLED, *tables(self.label), *published, *(name for name in known if name not in BUNDLED)]

    def open(self, task: str) -> BaseBenchmark:
        """A data set to train on; with "@small" or "@full" the table of ours, with "@hpobench" the published one."""
        data, table, grid = task.partition("@")
        if not data.isdecimal():
            check_task(self.label, data, data_names())
        if table:
            check("grid", grid, one_of=[*RECORDED, PUBLISHED])
            if grid == PUBLISHED:
                return open_published(self, self.published, data)
            return open_table(self, data, grid)
        self.ready()
        return MlBenchmark(self, load_data(data, what=f"{self.label}/{task}"))


def searched() -> list[str]:
    """Metrics that `evaluate` answers with when it trains."""
    return ["error", *(f"{part}_{quality}" for part in SEARCHED for quality in QUALITIES), "size"]


def _metrics(moment: Moment, parts: tuple[str, ...]) -> dict[str, float]:
    """What an evaluation answers with; NaN where the fit diverged."""
    none = dict.fromkeys(QUALITIES, math.nan)
    found = {f"{part}_{quality}": value for part in parts for quality, value in moment.found.get(part, none).items()}
    if parts == SEARCHED:
        return {"error": 1 - found["valid_accuracy"], **found, "size": float(moment.size)}
    return {"test_error": 1 - found["test_accuracy"], **found}


def _info(rows: int, moments: Sequence[Moment]) -> dict[str, Any]:
    """What was measured: sums over the fits behind an answer."""
    fit = np.sum([moment.fit for moment in moments], axis=0)
    scores = np.sum([times for moment in moments for times in moment.scoring.values()] or [(0.0, 0.0)], axis=0)
    return {
        "rows": rows,
        "steps": float(np.mean([moment.spent for moment in moments])),
        "fit_cpu_seconds": float(fit[0]),
        "fit_wall_seconds": float(fit[1]),
        "scoring_cpu_seconds": float(scores[0]),
        "scoring_wall_seconds": float(scores[1]),
    }


def _recorded(moment: Moment) -> list[float]:
    """One row of a table, in the order of `MEASURED`."""
    nothing = (math.nan, math.nan)
    scores = [moment.found[part][q] if moment.found else math.nan for part in PARTS for q in QUALITIES]
    times = [seconds for part in PARTS for seconds in moment.scoring.get(part, nothing)]
    latency = math.nan if moment.latency is None else 1000 * moment.latency
    return [*scores, float(moment.size) if moment.found else math.nan, *moment.fit, *times, latency]
