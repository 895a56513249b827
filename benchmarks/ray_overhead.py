"""What it costs to launch a trial on Ray, beside Ray Tune in the same run on the same cluster.

    python benchmarks/ray_overhead.py [--trials 200] [--repeats 3]

No-op trials with one report each, a number of them at once, on a local cluster that is warm. luthier keeps every event
in SQLite; Ray Tune writes its own experiment state, with its default settings. Figures go to docs/results/ray.md and
.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from datetime import date
from typing import Any

import _machine

_machine.one_thread()
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray  # noqa: E402

import luthier as lu  # noqa: E402

CPUS = 4


def ours(trials: int, workers: int, executor: str) -> float:
    """Seconds for all trials."""

    def train(run: Any) -> None:
        run.report(loss=run.config["x"])

    with tempfile.TemporaryDirectory() as folder, lu.Study(
        {"x": lu.Float(0, 1)}, searcher="random", storage=f"sqlite:///{folder}/study.db", name="overhead"
    ) as study:  # fmt: skip
        begin = time.perf_counter()
        study.run(_train if executor == "processes" else train, trials=trials, workers=workers, executor=executor)
        seconds = time.perf_counter() - begin
        assert len(study.trials) == trials
        return seconds


def _train(run: Any) -> None:
    run.report(loss=run.config["x"])


def theirs(trials: int, workers: int) -> float:
    """Seconds for all trials under Ray Tune."""
    from ray import tune

    def train(config: dict[str, float]) -> None:
        tune.report({"loss": config["x"]})

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=workers, metric="loss", mode="min",
                                        reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )  # fmt: skip
        begin = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - begin
        assert len(results) == trials
        return seconds


def main(trials: int, repeats: int) -> None:
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False, address="local")
    ours(2 * CPUS, CPUS, "ray")  # the cluster starts its workers
    theirs(2 * CPUS, CPUS)
    rows = []
    for workers in (1, CPUS):
        found: dict[str, list[float]] = {"luthier on Ray": [], "Ray Tune": [], "luthier, worker processes": []}
        for _ in range(repeats):  # one after the other, so that all meet the same machine
            found["luthier on Ray"].append(ours(trials, workers, "ray"))
            found["Ray Tune"].append(theirs(trials, workers))
            found["luthier, worker processes"].append(ours(trials, workers, "processes"))
            print(workers, {name: round(times[-1], 2) for name, times in found.items()}, flush=True)
        row: dict[str, Any] = {"at once": workers}
        row |= {f"{name}, ms a trial": round(1000 * statistics.median(t) / trials, 2) for name, t in found.items()}
        row["Ray Tune / luthier on Ray"] = round(
            statistics.median(found["Ray Tune"]) / statistics.median(found["luthier on Ray"]), 1
        )
        rows.append(row)
    info = _machine.machine(("luthier", "ray"))
    text = (
        f"{trials} no-op trials with one report each on a warm local cluster of {CPUS} CPUs (median of {repeats}; "
        "start and end of the study counted, the cluster's own start not). luthier has every event on disk before a "
        "report returns. Ray Tune reuses its actors, which its default does not.\n\n"
    )
    text += _machine.table(rows)
    text += "\n\n" + _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\nLoad of the machine at the end: {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores (read the ratios)."
    text += f"\n\n`python benchmarks/ray_overhead.py`, {date.today()}."
    _machine.write("ray", "Launching trials on Ray", text, {"rows": rows, "machine": info})
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    main(given.trials, given.repeats)
