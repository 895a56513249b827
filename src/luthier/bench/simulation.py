"""A whole study in virtual time: what a method would have found when, on many workers, without waiting for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Objective, Status
from luthier.bench._base import BaseBenchmark
from luthier.runtime.executors.simulated import Simulated
from luthier.study.result import Result
from luthier.study.study import Study

Part = str | Mapping[str, Any]


class Moment(NamedTuple):
    """The incumbent from a moment on.

    Args:
        seconds: Virtual time.
        trial: Its number.
        resource: How far it had come.
        value: What was seen of it then, in the objective's own unit.
    """

    seconds: float
    trial: int
    resource: float | None
    value: float


@dataclass(frozen=True)
class Simulation:
    """A simulated study.

    Args:
        study: The study; it can be reported, replayed and resumed as any other.
        benchmark: What was tuned.
        executor: The executor, with its trace.
        result: What was found.
    """

    study: Study
    benchmark: BaseBenchmark
    executor: Simulated
    result: Result

    @property
    def seconds(self) -> float:
        """Virtual time that has passed."""
        return self.executor.now()

    @property
    def reports(self) -> int:
        """Reports in all."""
        return sum(len(trial.reports) for trial in self.result.trials)

    def incumbents(self) -> list[Moment]:
        """The incumbent over virtual time, one row for each change.

        The rule is that of a study: feasible first, then the higher resource, then the lower value. A trial counts
        with its newest report, from the moment at which the report arrived, so that one whose constraint breaks later
        gives its place to another; one that failed or diverged later never counts.

        Raises:
            ArgumentError: there are several objectives, and so no incumbent.
        """
        problem = self.study.problem
        if len(problem.objectives) > 1:
            raise ArgumentError(
                "a study with several objectives has no incumbent. Read study.pareto or study.events()."
            )
        sign, name = problem.objectives[0].sign, problem.objectives[0].name
        broken = {t.number for t in self.result.trials if t.status in (Status.FAILED, Status.DIVERGED)}
        rows: list[Moment] = []
        newest: dict[int, tuple[tuple[float, float, float], Moment]] = {}
        best: int | None = None
        for event in self.study.events():
            if event.kind != "reported" or event.trial is None or event.trial in broken:
                continue
            metrics, resource = event.data["metrics"], event.data.get("resource")
            if not problem.usable(metrics):
                continue
            known = newest.get(event.trial)
            if known is not None and resource is not None and resource <= (known[1].resource or 0.0):
                continue  # a run that began again says what was known
            over = sum(max(0.0, metrics[c.name] - c.upper) for c in problem.constraints)
            key = (over, -(resource or 0.0), sign * metrics[name])
            newest[event.trial] = key, Moment(event.time, event.trial, resource, metrics[name])
            if best is None or (best != event.trial and key < newest[best][0]):
                best = event.trial
            elif best == event.trial and known is not None and key > known[0]:
                best = min(newest, key=lambda number: (newest[number][0], number))  # another may be better by now
            if best == event.trial:
                rows.append(newest[best][1])
            elif rows[-1].trial != best:
                rows.append(newest[best][1]._replace(seconds=event.time))
        return rows

    def scored(self, *, seed: int | None = None) -> list[tuple[float, float]]:
        """Virtual time and the incumbent's value at the full resource, which the search did not see.

        Where an incumbent breaks a constraint at the full resource, or has no value there, it is as bad as can be:
        infinite, or minus infinite where the objective is maximised.

        Args:
            seed: Which recorded repetition judges; None: the mean over them.
        """
        problem = self.study.problem
        objective = problem.objectives[0]
        configs = {trial.number: trial.config for trial in self.result.trials}
        known: dict[int, float] = {}
        rows = []
        for moment in self.incumbents():
            if moment.trial not in known:
                metrics = self.benchmark.evaluate(configs[moment.trial], seed=seed).metrics
                kept = objective.name in metrics and math.isfinite(metrics[objective.name])
                kept = kept and all(metrics.get(c.name, math.nan) <= c.upper for c in problem.constraints)
                known[moment.trial] = metrics[objective.name] if kept else objective.sign * math.inf
            rows.append((moment.seconds, known[moment.trial]))
        return rows


def simulate(
    benchmark: BaseBenchmark,
    *,
    searcher: Part = "auto",
    scheduler: Part = "straight",
    workers: int = 4,
    seconds: float | None = None,
    trials: int | None = None,
    seed: int = 0,
    objectives: Sequence[str | Objective] = (),
    constraints: Iterable[Constraint | tuple[str, float]] | None = None,
    first: Iterable[Configuration] = (),
    defaults_first: bool = True,
    executor: Simulated | None = None,
    storage: str = "memory://",
    give_up: int = 5,
) -> Simulation:
    """Tune a benchmark in virtual time, on asynchronous workers.

    Args:
        benchmark: What is tuned.
        searcher: Who proposes, as in `Study`.
        scheduler: Who spends the resource, as in `Study`.
        workers: Runs at once.
        seconds: Virtual time.
        trials: Trials in all.
        seed: The study's seed.
        objectives: Other metrics than the benchmark's own objectives.
        constraints: Metrics with upper bounds; None: the benchmark's own.
        first: Configurations to try first.
        defaults_first: Whether the space's default is the first trial.
        executor: Delays, stragglers, crashes, overhead, the benchmark's seed: a `Simulated`; None: none of these.
        storage: Where the log goes; memory is fastest.
        give_up: End with an error when so many trials have failed and none has succeeded.

    Returns:
        The study with what was found over virtual time.

    Raises:
        ArgumentError: arguments that do not fit, before anything runs.
    """
    if not isinstance(benchmark, BaseBenchmark):
        raise ArgumentError(f"simulate({benchmark!r}). Allowed: a benchmark, such as bench.load('digits/0').")
    chosen = tuple(objectives) or benchmark.objectives
    study = Study(
        benchmark.space,
        chosen,
        searcher=searcher,
        scheduler=scheduler,
        fidelity=benchmark.fidelity,
        constraints=benchmark.constraints if constraints is None else constraints,
        first=first,
        defaults_first=defaults_first,
        storage=storage,
        name=benchmark.name.replace("/", "-"),
        seed=seed,
    )
    how = Simulated() if executor is None else executor
    result = study.run(benchmark, executor=how, workers=workers, seconds=seconds, trials=trials, give_up=give_up)
    return Simulation(study, benchmark, how, result)
