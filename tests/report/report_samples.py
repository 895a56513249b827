"""Studies made up for the report's tests: a simulated asynchronous halving run with everything that can happen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from luthier.base.records import (
    Card,
    Configuration,
    Constraint,
    Evaluation,
    Event,
    Fidelity,
    Objective,
    Report,
    Status,
    Trial,
)
from luthier.base.seeds import generator
from luthier.bench import simulate
from luthier.bench._base import BaseBenchmark
from luthier.space import Choice, Fixed, Float, Int, Ordinal, Space
from luthier.space.problem import Problem
from luthier.study.study import Study

ZERO = 1_790_000_000.0


@dataclass
class SampleStudy:
    """What `StudyView` asks for, as plain fields."""

    name: str
    problem: Problem
    trials: list[Trial]
    log: list[Event]
    searcher_name: str = "cqr"
    scheduler_name: str = "asha"
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    told: dict[str, float | str] = field(default_factory=dict)
    course: list[dict[str, Any]] = field(default_factory=list)
    ladder: list[dict[str, Any]] = field(default_factory=list)
    best: Trial | None = None
    rule: str = "best single value"
    pareto: list[Trial] = field(default_factory=list)

    def events(self) -> list[Event]:
        return self.log

    def diagnostics(self) -> dict[str, float | str]:
        return self.told

    def diagnostics_over_time(self) -> list[dict[str, Any]]:
        return self.course

    def rungs(self) -> list[dict[str, Any]]:
        return self.ladder


def space() -> Space:
    return Space(
        learning_rate=Float(1e-5, 1e-1, log=True, default=1e-3),
        weight_decay=Float(1e-6, 1e-2, log=True),
        width=Int(16, 512, log=True, default=64),
        layers=Int(1, 6),
        dropout=Float(0.0, 0.6),
        optimiser=Choice("adam", "sgd", "rmsprop"),
        momentum=Float(0.0, 0.99, when=("optimiser", "sgd")),
        batch=Ordinal(32, 64, 128, 256),
        classes=Fixed(10),
    )


def floor_of(config: Configuration) -> float:
    """What a configuration reaches after endless training."""
    value = 0.06 + 0.035 * (math.log10(config["learning_rate"] / 3e-3)) ** 2
    value += 0.02 * (math.log2(config["width"] / 200)) ** 2 / 4 + 0.4 * (config["dropout"] - 0.2) ** 2
    value += {"adam": 0.0, "rmsprop": 0.02, "sgd": 0.05 * (1 - config.get("momentum", 0.0))}[config["optimiser"]]
    return value + 0.01 * abs(config["layers"] - 3)


class _Writer:
    def __init__(self) -> None:
        self.log: list[Event] = []

    def __call__(self, time: float, kind: str, trial: int | None = None, **data: Any) -> None:
        self.log.append(Event(len(self.log) + 1, ZERO + time, kind, trial, None, data))


RUNGS = (1, 3, 9, 27, 81)
#: What the searcher said at four moments; there was no corrected model at the first.
COURSE: list[dict[str, Any]] = [
    {"results": 5, "trials": 5.0, "promised": 2 / 3},
    {"results": 30, "trials": 29.0, "promised": 2 / 3, "coverage": 0.8, "coverage_uncorrected": 0.45},
    {"results": 60, "trials": 58.0, "promised": 2 / 3, "coverage": 0.6, "coverage_uncorrected": math.nan},
    {"results": 115, "trials": 104.0, "promised": 2 / 3, "coverage": 0.683, "coverage_uncorrected": 0.52},
]


def halving(trials: int = 120, *, workers: int = 4, seed: int = 0, name: str = "digits-mlp") -> SampleStudy:
    """An asynchronous halving study with failed, diverged, lost and paused trials, and a night in between."""
    rng, where = generator(seed, "report"), space()
    problem = Problem(where, (Objective("val_loss"),), fidelity=Fidelity("epoch", 1, 81))
    write = _Writer()
    write(0.0, "begun", trials=trials)
    done: dict[int, Trial] = {}
    rungs: dict[int, list[tuple[float, int]]] = {rung: [] for rung in RUNGS}
    promoted: set[tuple[int, int]] = set()
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    samples = where.sample(trials, rng)
    notes: list[tuple[float, Callable[[], None]]] = []
    for number in range(trials):
        at, worker = heapq.heappop(free)
        config = where.default() if number == 0 else samples[number]
        trial = Trial(number, config, origin="default" if number == 0 else "cqr", runs=1, worker=f"worker-{worker}")
        trial.started = ZERO + at
        done[number] = trial
        end = _run(trial, at, rng, rungs, promoted, notes, write)
        heapq.heappush(free, (end + 0.15, worker))
    notes.append((36_005.9, lambda: write(36_005.9, "begun", trials=trials)))
    for _, act in sorted(notes, key=lambda row: row[0]):
        act()
    last = write.log[-1].time
    for trial in done.values():  # two still run, one waits for a second start
        if trial.number in (trials - 1, trials - 2):
            trial.status, trial.ended = Status.RUNNING, None
    write.log = [
        e for e in write.log if not (e.trial in (trials - 1, trials - 2) and e.kind in ("stopped", "finished"))
    ]
    every = [done[n] for n in sorted(done)]
    usable = [
        t for t in every if t.status in (Status.COMPLETED, Status.STOPPED, Status.PAUSED, Status.RUNNING) and t.metrics
    ]
    best = min(usable, key=lambda t: (-(t.resource or 0), t.metrics["val_loss"]))
    every[3].tags = {"asked by": "Ada"}
    every[3].note = "looks odd"
    ladder = [
        {"bracket": 0, "resource": float(rung), "trial": n, "value": v, "promoted": (rung, n) in promoted}
        for rung, rows in rungs.items()
        for v, n in sorted(rows)
    ]
    return (
        SampleStudy(
            name,
            problem,
            every,
            [e._replace(seq=i + 1) for i, e in enumerate(write.log)],
            settings={
                "trials": trials,
                "seconds": 3600.0,
                "workers": workers,
                "executor": "processes",
                "resume": "luthier resume runs/digits-mlp",
            },
            told=COURSE[-1] | {"surrogate": "quantile forest", "last_fallback": "none"},
            course=COURSE,
            ladder=ladder,
            best=best,
            rule="best single value at the highest epoch reached",
            pareto=[best],
            seed=seed,
        )
        if last
        else SampleStudy(name, problem, [], [])
    )


def _run(
    trial: Trial,
    at: float,
    rng: Any,
    rungs: dict[int, list[tuple[float, int]]],
    promoted: set[tuple[int, int]],
    notes: list[tuple[float, Callable[[], None]]],
    write: _Writer,
) -> float:
    """Run one trial until something ends it; returns when."""
    number, floor, start = trial.number, floor_of(trial.config), at
    slow = 0.05 + 0.0012 * trial.config["width"] ** 0.5 * trial.config["layers"] ** 0.5

    def say(time: float, kind: str, **data: Any) -> None:
        # everything after six seconds happened the next morning
        moment = time if time < 6 else time + 36_000
        notes.append((moment, lambda: write(moment, kind, number, **data)))

    say(at, "asked", config=dict(trial.config), origin=trial.origin)
    say(at, "started", worker=trial.worker, attempt=1)
    ending, extra = "finished", {"status": "completed"}
    if number % 37 == 11:
        at += 0.4
        ending, extra = "failed", {"error": "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"}
        trial.status, trial.error = Status.FAILED, extra["error"]
    elif number % 41 == 17:
        at += slow
        _report(trial, 1, math.nan, at - start, say, at)
        extra = {"status": "diverged"}
        trial.status = Status.DIVERGED
    elif number % 53 == 29:
        at += 0.9
        ending, extra = "lost", {"error": "worker died (signal 9)"}
        trial.status, trial.error = Status.LOST, extra["error"]
    else:
        trial.status = Status.COMPLETED
        for epoch in range(1, 82):
            at += slow
            value = floor + 0.9 * math.exp(-epoch / 9) * (1 + floor) + 0.004 * rng.standard_normal()
            _report(trial, epoch, value, at - start, say, at)
            if epoch in rungs and epoch < 81:
                rows = rungs[epoch]
                rows.append((value, number))
                keep = sorted(rows)[: max(1, len(rows) // 3)]
                if number and (value, number) not in keep:
                    paused = number % 29 == 5
                    ending, extra = ("paused" if paused else "stopped"), {"reason": "scheduler"}
                    trial.status = Status.PAUSED if paused else Status.STOPPED
                    break
                promoted.add((epoch, number))
        else:
            rungs[81].append((value, number))
    say(at, ending, **extra)
    trial.ended, trial.seconds = ZERO + at, at - start
    return at


def _report(trial: Trial, epoch: int, value: float, seconds: float, say: Callable[..., None], at: float) -> None:
    trial.reports.append(Report(trial.number, epoch, {"val_loss": value}, seconds))
    trial.metrics, trial.resource = {"val_loss": value}, epoch
    say(at, "reported", resource=epoch, metrics={"val_loss": value}, seconds=seconds)


def two_objectives(trials: int = 80, *, seed: int = 1) -> SampleStudy:
    """A plain study with two objectives and a constraint, one worker, no fidelity."""
    rng, where = generator(seed, "report"), space()
    problem = Problem(where, (Objective("accuracy", "max"), Objective("latency_ms")), (Constraint("memory_mb", 900.0),))
    write, every, now = _Writer(), [], 0.0
    for number, config in enumerate(where.sample(trials, rng)):
        if number == 0:
            config = where.default()
        size = config["width"] * config["layers"]
        metrics = {
            "accuracy": 1 - floor_of(config) - 0.02 * rng.random(),
            "latency_ms": 2 + 0.012 * size + 0.3 * rng.random(),
            "memory_mb": 100 + 0.5 * size,
        }
        trial = Trial(
            number, config, Status.COMPLETED, "default" if number == 0 else "random", runs=1, worker="worker-0"
        )
        trial.metrics, trial.seconds = metrics, 1.5
        trial.reports = [Report(number, None, metrics, 1.5)]
        trial.started, trial.ended = ZERO + now, ZERO + now + 1.5
        write(now, "asked", number, config=dict(config))
        write(now, "started", number, worker="worker-0", attempt=1)
        write(now + 1.5, "reported", number, metrics=metrics)
        write(now + 1.5, "finished", number, status="completed")
        now += 1.6
        every.append(trial)
    fine = [t for t in every if t.metrics["memory_mb"] <= 900]

    def beaten(t: Trial) -> bool:
        return any(
            o.metrics["accuracy"] >= t.metrics["accuracy"]
            and o.metrics["latency_ms"] <= t.metrics["latency_ms"]
            and o is not t
            for o in fine
        )

    front = sorted((t for t in fine if not beaten(t)), key=lambda t: t.metrics["accuracy"])
    settings = {"trials": trials, "workers": 1, "executor": "inline", "resume": "luthier resume runs/two"}
    return SampleStudy(
        "accuracy against latency",
        problem,
        every,
        write.log,
        "random",
        "straight",
        seed,
        settings,
        rule="Pareto set",
        pareto=front,
    )


def empty() -> SampleStudy:
    """A study that has not begun."""
    return SampleStudy("nothing yet", Problem(space(), (Objective("loss"),)), [], [], rule="best single value")


class Toy(BaseBenchmark):
    """A training that takes longer the wider it is, for studies in virtual time."""

    space = Space(rate=Float(1e-4, 1.0, log=True), width=Int(1, 8), kind=Choice("a", "b"))
    fidelity = Fidelity("epoch", 1, 27)
    objectives = (Objective("loss"),)
    card = Card("toy", "made up", "none")

    def _evaluate(self, configs: Any, resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None
        found = []
        for config in configs:
            floor = (
                0.1 * math.log10(config["rate"] / 0.03) ** 2 + 0.3 / config["width"] + 0.05 * (config["kind"] == "a")
            )
            loss = floor + math.exp(-resource * config["rate"] ** 0.3 / 4)
            found.append(Evaluation({"loss": loss}, resource * (5.0 + config["width"])))
        return found


def simulated(scheduler: Any, *, workers: int = 3, **options: Any) -> Study:
    """A real study of the toy, in virtual time."""
    return simulate(Toy(), scheduler=scheduler, searcher="random", workers=workers, **options).study
