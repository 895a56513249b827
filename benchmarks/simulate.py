"""How fast are studies in simulated time? Reports per second on recorded curves, beside Syne Tune's simulator.

    LUTHIER_DATA=... python benchmarks/simulate.py [--quick] [--profile asha]

The curves (accuracy and time over 52 epochs) of the first 1000 configurations that random search proposes on
yahpo/lcbench/3945 are recorded once, before any clock starts; an answer is a look-up. Figures go to
docs/results/simulate.md and .json.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
from _peers import HERE, python  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.errors import ArgumentError, LuthierError  # noqa: E402
from luthier.base.records import Configuration, Evaluation, Objective  # noqa: E402
from luthier.base.registry import load as load_class  # noqa: E402
from luthier.bench._base import BaseBenchmark  # noqa: E402

TASK = "yahpo/lcbench/3945"
WORKERS = 64
SCHEDULERS: dict[str, Mapping[str, Any]] = {
    "straight": {"name": "straight"},
    "asha": {"name": "asha"},
    "asha, promotion": {"name": "asha", "type": "promotion"},
}
AIM_RATE, AIM_SECONDS = 20_000, 2.0


class Recorded(BaseBenchmark):
    """Curves that were recorded before.

    Args:
        benchmark: What is recorded.
        configs: The configurations.

    Attributes:
        value: (configurations, epochs) the objective.
        seconds: (configurations, epochs) the time until then.
    """

    def __init__(self, benchmark: BaseBenchmark, configs: Sequence[Configuration]) -> None:
        assert benchmark.fidelity is not None  # it has curves
        self.space, self.fidelity, self.card = benchmark.space, benchmark.fidelity, benchmark.card
        [objective] = benchmark.objectives
        self.objectives: tuple[Objective, ...] = (objective,)
        found = [benchmark.curve(config) for config in configs]
        self.value = np.array([[one.metrics[objective.name] for _, one in curve] for curve in found])
        self.seconds = np.array([[one.seconds for _, one in curve] for curve in found])
        self._curves = {
            config: [
                (epoch, Evaluation({objective.name: value}, seconds))
                for (epoch, _), value, seconds in zip(curve, values, times, strict=True)
            ]
            for config, curve, values, times in zip(
                configs, found, self.value.tolist(), self.seconds.tolist(), strict=True
            )
        }

    def curve(
        self, config: Mapping[str, Any], until: float | None = None, *, seed: int | None = 0
    ) -> list[tuple[float, Evaluation]]:
        """The whole curve, looked up."""
        return self._curves[Configuration(config)]

    def _evaluate(self, configs: Any, resource: float | None, seed: int | None) -> list[Evaluation]:
        raise ArgumentError("recorded curves are read as curves")


def record(n: int) -> tuple[Recorded, list[Configuration]]:
    """The first configurations that random search proposes under seed 0."""
    benchmark = bench.load(TASK)
    configs = load_class("searcher", "random")(benchmark.problem, seed=0).ask(n, k=0)
    return Recorded(benchmark, configs), configs


def study(table: Recorded, scheduler: str, trials: int) -> dict[str, Any]:
    """One simulated study; seconds of everything from its definition to its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = bench.simulate(
        table,
        searcher="random",
        scheduler=SCHEDULERS[scheduler],
        workers=WORKERS,
        trials=trials,
        seed=0,
        defaults_first=False,
    )
    found = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**found, "reports": done.reports, "trials": len(done.result.trials), "virtual": done.seconds}


class SyneTune:
    """Its simulator in a process of its own, on the same curves.

    Args:
        table: The curves.
        configs: Their configurations.
        folder: Where the curves are written to.

    Raises:
        RuntimeError: it cannot run here; says why.
    """

    def __init__(self, table: Recorded, configs: Sequence[Configuration], folder: Path) -> None:
        try:
            program = python("syne-tune")
        except LuthierError as error:
            raise RuntimeError(str(error)) from error
        file = folder / "curves.npz"
        columns = {name: np.array([config[name] for config in configs]) for name in table.space.names}
        sign = table.objectives[0].sign
        np.savez(file, **columns, value=sign * table.value, seconds=table.seconds)
        self._process = subprocess.Popen(
            [program, str(HERE / "syne_tune_simulator.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.versions = self._say({"file": str(file)})["versions"]

    def study(self, scheduler: str) -> dict[str, Any]:
        """One study."""
        return self._say({"scheduler": scheduler, "workers": WORKERS})

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _say(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        try:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
        except (OSError, ValueError) as error:
            raise RuntimeError(f"its process ended ({error})") from error
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def row(tool: str, scheduler: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What some equal studies took: the least, and the median."""
    least, cpu = (min(one[clock] for one in runs) for clock in ("seconds", "cpu"))
    reports = runs[0]["reports"]
    return {
        "tool": tool,
        "scheduler": scheduler,
        "trials": runs[0]["trials"],
        "reports": reports,
        "virtual hours": round(runs[0]["virtual"] / 3600, 2),
        "wall s, least": round(least, 3),
        "wall s, median": round(statistics.median(one["seconds"] for one in runs), 3),
        "processor s, least": round(cpu, 3),
        "reports/s": round(reports / least),
        "reports/processor s": round(reports / cpu),
        "µs a trial": round(1e6 * least / runs[0]["trials"]),
    }


def measure(trials: int, repeats: int) -> tuple[list[dict[str, Any]], dict[str, str], str]:
    """All rows, the peer's versions, and why it has none."""
    table, configs = record(trials)
    why, rivals, versions = "", {}, {}
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            rival = SyneTune(table, configs, Path(folder))
            versions, rivals = rival.versions, {"straight": rival, "asha": rival}
        except RuntimeError as error:
            why = str(error)
        for i in range(repeats):  # in turn, so that both meet the same machine
            for scheduler in SCHEDULERS:
                gc.collect()  # what the study before left is not this one's to clear
                rounds.setdefault(("luthier", scheduler), []).append(study(table, scheduler, trials))
            for scheduler, rival in rivals.items() if i < 2 else ():
                try:
                    rounds.setdefault(("syne-tune", scheduler), []).append(rival.study(scheduler))
                except RuntimeError as error:
                    why = str(error)
        for rival in rivals.values():
            rival.close()
    return [row(*key, runs) for key, runs in rounds.items() if runs], versions, why


def write(rows: list[dict[str, Any]], versions: Mapping[str, str], why: str, repeats: int) -> Path:
    """docs/results/simulate.*"""
    about = _machine.machine(["luthier", "numpy"])
    by = {(one["tool"], one["scheduler"]): one for one in rows}
    straight, asha = by["luthier", "straight"], by["luthier", "asha"]
    verdict = [
        f"ASHA with random search: {asha['reports/s']} reports/s, {asha['reports/processor s']} a processor second "
        f"(aim {AIM_RATE}: {'met' if asha['reports/s'] >= AIM_RATE else 'missed'}); straight: {straight['reports/s']} "
        f"and {straight['reports/processor s']}. A trial of ASHA has {asha['reports'] / asha['trials']:.1f} reports, "
        "so that its rate is that of beginning trials.",
        f"{straight['trials']} trials of 52 epochs on {WORKERS} workers: {straight['wall s, least']} s, "
        f"{straight['processor s, least']} s of the processor (aim {AIM_SECONDS:g} s: "
        f"{'met' if straight['wall s, least'] <= AIM_SECONDS else 'missed'}).",
    ]
    for scheduler in ("straight", "asha"):
        if ("syne-tune", scheduler) in by:
            theirs = by["syne-tune", scheduler]
            verdict.append(
                f"Beside Syne Tune's simulator, {scheduler}: "
                f"{by['luthier', scheduler]['reports/s'] / theirs['reports/s']:.1f} times its reports per second."
            )
    text = [
        " ".join(verdict),
        _machine.table(rows),
        "Ours is everything from the study's definition to its result, its log in memory included; Syne Tune's is "
        "everything from the Tuner to its end, with its default delays, without its printing and without saving "
        "itself. Both search the same configurations in the same order, and both look answers up. What ASHA stops "
        f"differs by the tools' own rules. Least of {repeats} studies (Syne Tune: 2) run in turn; the machine was "
        "shared, so that the processor's seconds say more than the wall's.",
    ]
    if why:
        text.append(f"Syne Tune: {why}")
    text.append(", ".join(f"{name} {value}" for name, value in {**about, **versions}.items()))
    text.append(f"`python benchmarks/simulate.py`, {date.today()}.")
    data = {"date": date.today().isoformat(), "rows": rows, "machine": about, "syne_tune": dict(versions), "why": why}
    return _machine.write("simulate", "Studies in simulated time", "\n\n".join(text), data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials, nothing is written")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", choices=tuple(SCHEDULERS), help="where the time goes; nothing is written")
    given = parser.parse_args()
    trials = 100 if given.quick else 1000
    if given.profile:
        table, _ = record(trials)
        with cProfile.Profile() as profile:
            study(table, given.profile, trials)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    rows, versions, why = measure(trials, given.repeats)
    print(_machine.table(rows), why)
    if not given.quick:
        print(write(rows, versions, why, given.repeats))


if __name__ == "__main__":
    main()
