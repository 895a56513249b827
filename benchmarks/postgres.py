"""Several drivers on one PostgreSQL study, and its throughput beside Optuna's on the same server, in the same run.

    python benchmarks/postgres.py [--trials 1000] [--rated 300] [--optuna 60]

A real server is started with its default settings (every commit is flushed to the disk). First, correctness: 4 drivers
with 2 worker processes each, 1000 trials of one study; nothing may be lost or doubled, and the log is in order. Then
no-op trials per second, in one process and in four, for luthier and for Optuna's relational storage. Figures go to
docs/results/postgres.md and .json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing as mp
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import luthier as lu  # noqa: E402
from luthier.runtime.executors._function import FunctionTarget  # noqa: E402
from luthier.testing.postgres import Server  # noqa: E402

SPACE = lu.Space(a=lu.Float(1e-5, 1e-1, log=True), b=lu.Float(0, 1), c=lu.Int(1, 64), d=lu.Choice("x", "y", "z"))
NAME = "bench"


def loss(run: Any) -> float:
    """A trial that takes no time."""
    return float((run.config["b"] - 0.3) ** 2)


def drive(url: str, trials: int, workers: int, ready: Any) -> None:
    """One driver."""
    with lu.Study(SPACE, searcher="random", storage=url, name=NAME, seed=0) as study:
        ready.wait()
        # a worker process of a spawned process finds a function by its file alone
        study.run(loss if workers == 1 else FunctionTarget(__file__, "loss"), trials=trials, workers=workers)


def drive_optuna(url: str, trials: int, _: int, ready: Any) -> None:
    """One process of Optuna; all share the number of trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=NAME, storage=url, sampler=optuna.samplers.RandomSampler())
    ready.wait()

    def objective(trial: Any) -> float:
        trial.suggest_float("a", 1e-5, 1e-1, log=True)
        trial.suggest_int("c", 1, 64)
        trial.suggest_categorical("d", ["x", "y", "z"])
        return (trial.suggest_float("b", 0, 1) - 0.3) ** 2

    study.optimize(objective, n_trials=trials)


def together(work: Callable[..., None], url: str, trials: int, drivers: int, workers: int) -> float:
    """Seconds from when all are ready to when the last one is done."""
    context = mp.get_context("spawn")
    ready = context.Barrier(drivers + 1)
    processes = [context.Process(target=work, args=(url, trials, workers, ready)) for _ in range(drivers)]
    for process in processes:
        process.start()
    ready.wait(120)
    begin = time.perf_counter()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes), [process.exitcode for process in processes]
    return time.perf_counter() - begin


def check(url: str, trials: int) -> dict[str, Any]:
    """What a finished study's log says."""
    with lu.Study.open(url, NAME) as study:
        events = study.events()
        asked = [e.trial for e in events if e.kind == "asked"]
        finished = [e.trial for e in events if e.kind == "finished"]
        starts = {e.data["driver"] for e in events if e.kind == "started"}
        return {
            "trials": len(study.trials),
            "completed": sum(t.status is lu.Status.COMPLETED for t in study.trials),
            "drivers that ran trials": len(starts),
            "trials lost": trials - len(set(asked)),
            "trials asked twice": len(asked) - len(set(asked)),
            "trials finished twice": len(finished) - len(set(finished)),
            "gaps or disorder in the log": sum(e.seq != place for place, e in enumerate(events, 1)),
            "decisions that replay differently": len(study.replay().differences),
            "events": len(events),
        }


def luthier_rate(server: Server, trials: int, drivers: int) -> float:
    url = server.new()
    lu.Study(SPACE, searcher="random", storage=url, name=NAME, seed=0).close()
    return trials / together(drive, url, trials, drivers, 1)


def optuna_rate(server: Server, trials: int, drivers: int) -> float:
    import optuna

    url = server.new().replace("postgresql:", "postgresql+psycopg:")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name=NAME, storage=url)
    return drivers * (trials // drivers) / together(drive_optuna, url, trials // drivers, drivers, 1)


def main(trials: int, rated: int, optuna_trials: int, repeats: int) -> None:
    with Server({"shared_buffers": "128MB"}) as server:
        url = server.new()
        lu.Study(SPACE, searcher="random", storage=url, name=NAME, seed=0).close()
        seconds = together(drive, url, trials, 4, 2)
        sound = {"drivers": 4, "workers each": 2, **check(url, trials), "trials/s": round(trials / seconds, 1)}
        print(json.dumps(sound, indent=1), flush=True)
        rows = []
        peer = importlib.util.find_spec("optuna") is not None
        for drivers in (1, 4):
            ours, theirs = [], []
            for _ in range(repeats):  # one after the other, so that both meet the same machine
                ours.append(luthier_rate(server, rated, drivers))
                if peer:
                    theirs.append(optuna_rate(server, optuna_trials, drivers))
                print(drivers, ours[-1], theirs[-1:], flush=True)
            row: dict[str, Any] = {"processes": drivers, "luthier, trials/s": round(statistics.median(ours), 1)}
            if peer:
                row["optuna, trials/s"] = round(statistics.median(theirs), 1)
                row["ratio"] = round(statistics.median(ours) / statistics.median(theirs), 1)
            rows.append(row)
        [[version]] = server.execute("SHOW server_version")
    info = {**_machine.machine(("luthier", "sqlalchemy", "psycopg", "optuna")), "PostgreSQL": version}
    text = "4 drivers with 2 worker processes each on one study, no-op trials:\n\n"
    text += _machine.table([{"what": name, "found": value} for name, value in sound.items()])
    text += (
        f"\n\nNo-op trials per second, each on disk when the next begins (random search, four hyperparameters, every "
        f"commit flushed; {rated} trials of ours, {optuna_trials} of Optuna's, median of {repeats}):\n\n"
    )
    text += _machine.table(rows)
    text += "\n\n" + _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\nLoad of the machine at the end: {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores (read the ratios)."
    text += f"\n\n`python benchmarks/postgres.py`, {date.today()}."
    _machine.write("postgres", "PostgreSQL: several drivers, and how fast", text,
                   {"sound": sound, "rates": rows, "machine": info})  # fmt: skip
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rated", type=int, default=300, help="trials of which the throughput is measured")
    parser.add_argument("--optuna", type=int, default=60, help="trials of Optuna, which takes longer for each")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    main(given.trials, given.rated, given.optuna, given.repeats)
