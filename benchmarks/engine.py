"""How fast the engine is: trials per second, launch cost, and the latency of ask + tell, beside Optuna in the same run.

    python benchmarks/engine.py [--quick]

Everything runs on one thread. Figures go to docs/results/engine.md and .json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.base.registry import load  # noqa: E402

try:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
except ImportError:
    optuna = None

WARM = 2  # the default configuration, then the first real proposal with its imports


def space() -> lu.Space:
    """Eight dimensions: four log floats, two integers, two categoricals of five."""
    floats = {f"f{i}": lu.Float(1e-5, 1e-1, log=True) for i in range(4)}
    whole = {f"i{i}": lu.Int(1, 64) for i in range(2)}
    words = {f"c{i}": lu.Choice("a", "b", "c", "d", "e") for i in range(2)}
    return lu.Space({**floats, **whole, **words})


def loss(config: Any) -> float:
    value = sum((np.log10(config[f"f{i}"]) + 3 + 0.3 * i) ** 2 for i in range(4))
    value += sum(abs(config[f"i{i}"] - 20) / 20 for i in range(2))
    return float(value + sum("abcde".index(config[f"c{i}"]) for i in range(2)))


def suggest(trial: Any) -> dict[str, Any]:
    config: dict[str, Any] = {f"f{i}": trial.suggest_float(f"f{i}", 1e-5, 1e-1, log=True) for i in range(4)}
    config |= {f"i{i}": trial.suggest_int(f"i{i}", 1, 64) for i in range(2)}
    return config | {f"c{i}": trial.suggest_categorical(f"c{i}", list("abcde")) for i in range(2)}


def throughput(n: int, repeats: int) -> list[dict[str, Any]]:
    """No-op trials per second in this process, one in which every finished trial is on disk when the next begins."""

    def ours(storage: str | None) -> float:
        study = lu.Study(space(), searcher="random", storage=storage, name="engine", seed=0)
        begin = time.perf_counter()
        study.run(lambda run: 0.0, trials=n)
        seconds = time.perf_counter() - begin
        study.close()
        return n / seconds

    def theirs(storage: Any, m: int) -> float:
        study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
        begin = time.perf_counter()
        study.optimize(lambda trial: 0.0 * len(suggest(trial)), n_trials=m)
        return m / (time.perf_counter() - begin)

    def median(measure: Callable[[str], float]) -> float:
        rates = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                rates.append(measure(folder))
        return statistics.median(rates)

    rows = [
        {"what": "luthier, SQLite (WAL)", "no-op trials/s": median(lambda d: ours(f"sqlite:///{d}/study.db"))},
        {"what": "luthier, memory", "no-op trials/s": median(lambda d: ours(None))},
    ]
    if optuna is not None:
        few = max(n // 10, 50)
        rows += [
            {"what": "optuna, SQLite", "no-op trials/s": median(lambda d: theirs(f"sqlite:///{d}/o.db", few))},
            {"what": "optuna, memory", "no-op trials/s": median(lambda d: theirs(None, n))},
        ]
        base = {"SQLite": rows[2]["no-op trials/s"], "memory": rows[3]["no-op trials/s"]}
        for row in rows:
            word = "SQLite" if "SQLite" in row["what"] else "memory"
            row["times optuna's"] = round(row["no-op trials/s"] / base[word], 1)
    for row in rows:
        row["no-op trials/s"] = round(row["no-op trials/s"])
    return rows


def nothing(run: lu.Run) -> float:
    return 0.0


def launch(n: int) -> dict[str, Any]:
    """Seconds that a no-op trial costs with two warm worker processes: the slope, without the workers' start."""

    def seconds(trials: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            study = lu.Study(space(), searcher="random", folder=folder, seed=0)
            begin = time.perf_counter()
            study.run(nothing, trials=trials, workers=2, executor="processes")
            taken = time.perf_counter() - begin
            study.close()
            return taken

    few, many = seconds(20), seconds(20 + n)
    return {"launch of a no-op trial, 2 warm workers, ms": round(1000 * (many - few) / n, 2),
            "start of 2 workers and 20 trials, s": round(few, 2)}  # fmt: skip


def latency_ours(searcher: str, n: int, asks: int) -> float:
    """Mean milliseconds of ask + tell with `n` finished trials, after a few to warm up; refits are spread over all."""
    study = lu.Study(space(), searcher=searcher, seed=0)
    for config in space().sample(n, np.random.default_rng(1)):
        study.add(config, {"loss": loss(config)})
    taken = []
    for _ in range(WARM + asks):
        begin = time.perf_counter()
        [trial] = study.ask()
        study.tell(trial.number, {"loss": loss(trial.config)})
        taken.append(time.perf_counter() - begin)
    del taken[:WARM]
    return 1000 * statistics.fmean(taken)


def latency_alone(n: int, asks: int) -> float:
    """The same of the random searcher itself: what it adds to a study."""
    problem = lu.Problem(space(), (lu.Objective("loss"),))
    searcher = load("searcher", "random")(problem, seed=0)
    told = [lu.Observation(i, c, None, (loss(c),)) for i, c in enumerate(space().sample(n, np.random.default_rng(1)))]
    searcher.tell(told)
    taken = []
    for k in range(n, n + asks):
        begin = time.perf_counter()
        [config] = searcher.ask(k=k)
        searcher.tell([lu.Observation(k, config, None, (0.5,))])
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.fmean(taken)


def latency_optuna(sampler: Any, n: int, asks: int) -> float:
    study = optuna.create_study(sampler=sampler)
    distributions: dict[str, Any] = {
        f"f{i}": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True) for i in range(4)
    }
    distributions |= {f"i{i}": optuna.distributions.IntDistribution(1, 64) for i in range(2)}
    distributions |= {f"c{i}": optuna.distributions.CategoricalDistribution(list("abcde")) for i in range(2)}
    for config in space().sample(n, np.random.default_rng(1)):
        study.add_trial(optuna.trial.create_trial(params=dict(config), distributions=distributions, value=loss(config)))
    taken = []
    for _ in range(WARM + asks):
        begin = time.perf_counter()
        trial = study.ask()
        study.tell(trial, loss(suggest(trial)))
        taken.append(time.perf_counter() - begin)
    del taken[:WARM]
    return 1000 * statistics.fmean(taken)


def latencies(asks: int) -> list[dict[str, Any]]:
    rows = []
    for name in ("random", "sobol", "cqr"):
        rows.append(
            {"searcher": f"luthier {name}", **{f"{n} trials, ms": latency_ours(name, n, asks) for n in (100, 1000)}}
        )
    alone = {f"{n} trials, ms": latency_alone(n, asks) for n in (100, 1000)}
    rows.append({"searcher": "luthier random, the searcher alone", **alone})
    if optuna is not None:
        for name, make in (("random", optuna.samplers.RandomSampler), ("TPE", optuna.samplers.TPESampler)):
            rows.append(
                {"searcher": f"optuna {name}",
                 **{f"{n} trials, ms": latency_optuna(make(seed=0), n, asks) for n in (100, 1000)}}
            )  # fmt: skip
    return [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def resume(n: int) -> dict[str, Any]:
    """Seconds to open a study of `n` trials and ask once."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/study.db"
        study = lu.Study(space(), searcher="random", storage=url, name="big", seed=0)
        study.run(lambda run: loss(run.config), trials=n)
        study.close()
        begin = time.perf_counter()
        study = lu.Study.open(url, "big")
        study.ask()
        seconds = time.perf_counter() - begin
        events, size = len(study.events()), Path(folder, "study.db").stat().st_size
        study.close()
        return {
            f"open a {n}-trial study and ask, s": round(seconds, 2),
            "events": events,
            "MB on disk": round(size / 1e6, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; figures are not written")
    quick = parser.parse_args().quick
    rates = throughput(500 if quick else 3000, 1 if quick else 5)
    other = {**launch(50 if quick else 400), **resume(1000 if quick else 10_000)}
    late = latencies(6 if quick else 40)
    text = "\n\n".join([
        "No-op trials in one process (median of repetitions); every finished trial is committed before the next one.",
        _machine.table(rates),
        "Latency of ask + tell, 4 log floats, 2 integers, 2 categoricals of 5 (mean of 40 after two to warm up; one "
        "thread). The study keeps its log in memory; the last row of ours is the searcher without a study.",
        _machine.table(late),
        _machine.table([{"what": k, "value": v} for k, v in other.items()]),
    ])  # fmt: skip
    print(text)
    if not quick:
        where = _machine.machine(["luthier", "numpy", "scipy", "scikit-learn", "sqlalchemy", "optuna"])
        data = {
            "date": date.today().isoformat(),
            "machine": where,
            "throughput": rates,
            "latency": late,
            "other": other,
        }
        text += "\n\n" + _machine.table([{"machine": k, "": v} for k, v in where.items()])
        print(
            _machine.write(
                "engine", "The engine's speed", text + f"\n\n`python benchmarks/engine.py`, {data['date']}.", data
            )
        )


if __name__ == "__main__":
    main()
