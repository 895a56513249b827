"""How many earlier tasks, of how many trials, and how many trials of today: quadratics, as in the paper on ABLR.

`run` adds the runs that are missing to docs/results/transfer_sweep/<tool>.npz and may be stopped at any moment;
`report` writes docs/results/transfer_sweep.md and .json from what is there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402

from luthier.base.records import Configuration, Objective, Observation  # noqa: E402
from luthier.base.registry import load  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.space import Float, Space  # noqa: E402
from luthier.space.problem import PastTask, Problem  # noqa: E402

FOLDER = _machine.RESULTS / "transfer_sweep"
TASKS, TRIALS = (2, 10, 30), (10, 100)  # earlier ones, and trials of each
TODAY = (0, 5, 20, 50)  # trials of today's task before the proposal that is judged
TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "gp": ("gp", {}),
    "ablr": ("abrac", {"head": "isotropic", "guard": False}),
    "abrac": ("abrac", {}),
    "task-gp": ("task-gp", {}),
}
WORSE = 1.1  # the thesis: never worse than the better of the two others by more than a tenth ...
APART = 0.002  # ... of the regret, or by this much: the last digits of a quadratic are nobody's aim
SPACE = Space({name: Float(-5.0, 5.0) for name in ("x", "y", "z")})
OBJECTIVES = (Objective("loss"),)


class Quadratic:
    """a/2 |x|^2 + b 1'x + c on [-5, 5]^3, each coefficient uniform in [0.1, 10]."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.a, self.b, self.c = rng.uniform(0.1, 10.0, 3)
        x = np.clip(-self.b / self.a, -5.0, 5.0)
        self.best = 3.0 * (0.5 * self.a * x * x + self.b * x) + self.c
        rows = rng.uniform(-5.0, 5.0, (4096, 3))
        self.reference = float(np.median(0.5 * self.a * (rows**2).sum(axis=1) + self.b * rows.sum(axis=1) + self.c))

    def __call__(self, config: Configuration) -> float:
        x = np.array([config["x"], config["y"], config["z"]])
        return float(0.5 * self.a * (x @ x) + self.b * x.sum() + self.c)

    def regret(self, value: float) -> float:
        """0 at the optimum, 1 at a median random configuration."""
        return max(value - self.best, 0.0) / (self.reference - self.best)


def one(tool: str, tasks: int, trials: int, seed: int) -> tuple[np.ndarray, float]:
    """Regret of the best so far after each evaluation of today's task; and processor seconds of a proposal."""
    rng = generator(seed, "bench", tasks, trials)
    past = []
    for order in range(tasks):
        function = Quadratic(rng)
        configs = SPACE.sample(trials, rng)
        told = tuple(Observation(i, config, None, (function(config),)) for i, config in enumerate(configs))
        past.append(PastTask(f"task {order}", float(order), SPACE, OBJECTIVES, told))
    today = Quadratic(rng)
    name, own = TOOLS[tool]
    problem = Problem(SPACE, OBJECTIVES, past=() if tool == "gp" else tuple(past))
    begin, values = time.process_time(), []
    searcher = load("searcher", name)(problem, seed=seed, **own)
    for k in range(TODAY[-1] + 1):
        [config] = searcher.ask(k=k)
        values.append(today(config))
        searcher.tell([Observation(k, config, None, (values[-1],))])
    seconds = (time.process_time() - begin) / len(values)
    return np.array([today.regret(value) for value in np.minimum.accumulate(values)]), seconds


class Store:
    """Runs of a tool by (earlier tasks, trials of each, seed)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[tuple[int, int, int], tuple[np.ndarray, float]] = {}
        if path.exists():
            with np.load(path, allow_pickle=False) as kept:
                for key, regret, seconds in zip(kept["key"], kept["regret"], kept["seconds"], strict=True):
                    self.runs[tuple(int(part) for part in key)] = (regret, float(seconds))  # type: ignore[index]

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        keys = sorted(self.runs)
        part = self.path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            key=np.array(keys),
            regret=np.array([self.runs[key][0] for key in keys]),
            seconds=np.array([self.runs[key][1] for key in keys]),
        )
        part.replace(self.path)


def run(tools: Sequence[str], seeds: range) -> None:
    stores = {tool: Store(FOLDER / f"{tool}.npz") for tool in tools}
    for seed in seeds:
        for tasks in TASKS:
            for trials in TRIALS:
                for tool, store in stores.items():
                    if (tasks, trials, seed) not in store.runs:
                        store.runs[tasks, trials, seed] = found = one(tool, tasks, trials, seed)
                        store.write()
                        words = " ".join(f"{found[0][n]:.4f}" for n in TODAY)
                        print(f"{tool} {tasks} x {trials}, seed {seed}: {words}; {found[1]:.3f} s", flush=True)


def report() -> None:
    stores = {tool: Store(FOLDER / f"{tool}.npz") for tool in TOOLS if (FOLDER / f"{tool}.npz").exists()}
    rows, kept, data = [], 0, []
    for tasks in TASKS:
        for trials in TRIALS:
            common = set.intersection(
                *({key for key in store.runs if key[:2] == (tasks, trials)} for store in stores.values())
            )
            if not common:
                continue
            for n in TODAY:
                found = {
                    tool: np.array([store.runs[key][0][n] for key in sorted(common)]) for tool, store in stores.items()
                }
                mean = {tool: float(one.mean()) for tool, one in found.items()}
                other = min(mean["gp"], mean["ablr"])
                holds = mean["abrac"] <= max(WORSE * other, other + APART)
                kept += holds
                data.append({"tasks": tasks, "trials": trials, "today": n, "seeds": len(common), "mean": mean})
                rows.append({
                    "earlier tasks": tasks, "trials of each": trials, "today's": n,
                    **{tool: f"{one.mean():.4f} ± {one.std(ddof=1) / len(one) ** 0.5:.4f}" if len(one) > 1
                       else f"{one.mean():.4f}" for tool, one in found.items()},
                    "holds": "yes" if holds else "no", "seeds": len(common),
                })  # fmt: skip
    where = _machine.machine(["luthier", "numpy", "scipy"])
    seconds = {tool: float(np.mean([s for _, s in store.runs.values()])) for tool, store in stores.items()}
    text = "\n\n".join([
        "Quadratics a/2 |x|^2 + b 1'x + c on [-5, 5]^3, coefficients uniform in [0.1, 10]; earlier tasks hold random "
        "trials. Normalised regret (0 the optimum, 1 a median random configuration) of the best so far after one "
        "proposal more than today's trials; mean and standard error over seeds. `gp` has no past; `ablr` is `abrac` "
        "with head \"isotropic\", without guard. The thesis of the paper, as specified for this project, holds where "
        f"abrac is not worse than the better of gp and ablr by more than a tenth or {APART}: here in {kept} of "
        f"{len(rows)} cells.",
        _machine.table(rows),
        "Processor seconds of a proposal, training included: "
        + ", ".join(f"{tool} {value:.3f}" for tool, value in seconds.items()) + ".",
        "Machine: " + ", ".join(f"{key} {value}" for key, value in where.items()) + ".",
        f"`python benchmarks/transfer.py sweep report`, {date.today().isoformat()}.",
    ])  # fmt: skip
    print(_machine.write("transfer_sweep", "How many tasks, how many trials", text, {"cells": data, "machine": where}))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--tools", default="gp,ablr,abrac", help=f"of {', '.join(TOOLS)}, separated by commas")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args(argv)
    if given.what == "report":
        report()
    else:
        run(given.tools.split(","), range(given.seeds))


if __name__ == "__main__":
    main()
