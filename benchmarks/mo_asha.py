"""Early stopping with two objectives: hypervolume over equal cost, beside random search, in virtual time.

    LUTHIER_DATA=... python benchmarks/mo_asha.py run --seeds 0:20
    python benchmarks/mo_asha.py report

Four workers have the time in which they could train some fifty random configurations to the end. `run` adds the cells
that are missing to docs/results/mo_asha/<tool>.npz and may be stopped at any moment; `report` writes
docs/results/mo_asha.md and .json from what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import _mo_tasks  # noqa: E402
import _stats  # noqa: E402
import numpy as np  # noqa: E402
from _anytime import Cell, Store  # noqa: E402
from _virtual import lock  # noqa: E402
from scipy.stats import wilcoxon  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.registry import names  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.runtime.executors.simulated import Simulated  # noqa: E402

FOLDER = _machine.RESULTS / "mo_asha"
WORKERS, TRAININGS, SAMPLE = 4, 50, 1000  # as in multi_fidelity.py
MARKS = {"10 %": 0.1, "30 %": 0.3, "100 %": 1.0}
CONTROL, CHALLENGER = "random", "mo-asha"
DRAWS = 4000  # of a bootstrap


@dataclass(frozen=True)
class Spec:
    """Two objectives of a surrogate.

    Args:
        objectives: Their names.
        signs: 1 where less is better, -1 where more is.
        checkpoints: Whether a training can go on where it stood: over epochs it can, on more data it begins anew and
            is paid for again.
    """

    objectives: tuple[str, str]
    signs: tuple[float, float]
    checkpoints: bool


#: Chosen by cost and space alone: the lowest resource costs less than 15 % of the full one, and at least 1 % of random
#: configurations dominate the reference point (of rbv2_xgboost's accuracy and memory almost none does: its time to
#: predict in place of memory). The first two of lcbench in quality.py, and of rbv2_xgboost there that with the cheapest
#: lowest resource.
JUDGED = {
    "lcbench/3945": Spec(("val_accuracy", "time"), (-1.0, 1.0), True),
    "lcbench/7593": Spec(("val_accuracy", "time"), (-1.0, 1.0), True),
    "rbv2_xgboost/188": Spec(("acc", "timepredict"), (-1.0, 1.0), False),
}
#: Shown, and no part of the verdict: a thirtieth of the data costs a third of all of it, so little can be saved.
OTHER = {"iaml_glmnet/1067": Spec(("mmce", "mec"), (1.0, 1.0), False)}
TASKS = {**JUDGED, **OTHER}

TOOLS: dict[str, Mapping[str, Any]] = {
    "random": {"name": "straight"},
    "mo-asha": {"name": "mo-asha"},
    "asha-promotion": {"name": "asha", "type": "promotion"},  # fronts by crowding distance
}


class Setup:
    """Everything about one task; what normalises it is computed once, and kept beside the results.

    Args:
        name: Its name in `TASKS`.
    """

    def __init__(self, name: str) -> None:
        self.name, self.spec = name, TASKS[name]
        full = f"yahpo/{name}"
        self.benchmark = bench.load(full, objectives=",".join(self.spec.objectives))
        file = FOLDER / "tasks.json"
        kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        space, predict = _mo_tasks.surrogate(full, self.spec.objectives, self.spec.signs)
        if name not in kept:
            drawn = space.sample(SAMPLE, generator(0, "bench"))
            mean = float(np.mean([one.seconds for one in self.benchmark.evaluate_batch(drawn)]))
            assert self.benchmark.fidelity is not None  # every surrogate has one
            low = self.benchmark.evaluate_batch(drawn, resource=self.benchmark.fidelity.low)
            lowest = float(np.mean([one.seconds for one in low]))
            kept[name] = {**_mo_tasks.front(space, predict), "budget": TRAININGS / WORKERS * mean}
            kept[name]["lowest_cost"] = lowest / mean
            FOLDER.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(kept, indent=1) + "\n")
        self.known = kept[name]
        self.budget: float = self.known["budget"]
        self.front = _mo_tasks.Front(
            space, predict, self.spec.objectives, self.known["reference"], self.known["ideal"]
        )  # fmt: skip

    def run(self, tool: str, seed: int) -> Cell:
        """Share of the best known hypervolume over time, of what has been measured at the full resource."""
        begin = time.process_time()
        done = bench.simulate(
            self.benchmark,
            searcher="random",
            scheduler=TOOLS[tool],
            workers=WORKERS,
            seconds=self.budget,
            seed=seed,
            defaults_first=False,
            executor=Simulated(checkpoints=self.spec.checkpoints),
        )
        seconds = time.process_time() - begin
        assert self.benchmark.fidelity is not None
        full = self.benchmark.fidelity.high * (1 - 1e-9)
        told = [one for one in done.study.events() if one.kind == "reported" and one.data["resource"] >= full]
        values = [[one.data["metrics"][name] for name in self.spec.objectives] for one in told]
        shares = self.front.curve(np.array(values).reshape(-1, 2) * self.spec.signs)
        times = np.array([one.time for one in told]) / self.budget
        return Cell(times, shares, len(done.result.trials), done.reports, done.executor.utilisation, seconds)


def run(tools: Sequence[str], tasks: Sequence[str], seeds: range, until: float) -> None:
    """Every missing cell until a moment of `time.monotonic()`, seed by seed."""
    usable = []
    for tool in tools:
        if TOOLS[tool]["name"] not in names("scheduler"):
            print(f"{tool} is skipped: there is no scheduler {TOOLS[tool]['name']!r} yet", flush=True)
            continue
        lock(f"mo-asha-{tool}")
        usable.append(tool)
    stores = {tool: Store(FOLDER / f"{tool}.npz") for tool in usable}
    setups = {name: Setup(name) for name in tasks}
    for seed in seeds:
        for name, setup in setups.items():
            for tool in usable:
                if (name, seed) in stores[tool].cells:
                    continue
                if time.monotonic() > until:
                    print("deadline", flush=True)
                    return
                cell = setup.run(tool, seed)
                stores[tool].add(name, seed, cell)
                print(f"{tool} {name} {seed}: {cell.at([0.1, 0.3, 1.0], 0.0).round(4)}, {cell.trials} trials, "
                      f"{len(cell.times)} in full", flush=True)  # fmt: skip


# -- report -----------------------------------------------------------------------------------------------------------


def compare(shares: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The challenger beside the control, inside each task over paired seeds; tool to (tasks, seeds).

    The p-values are adjusted over the judged tasks, which come first.
    """
    rng, rows = generator(0, "report"), []
    gaps = shares[CHALLENGER] - shares[CONTROL]
    for gap in gaps:
        drawn = rng.choice(gap, (DRAWS, len(gap))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        p = float(wilcoxon(gap, zero_method="pratt").pvalue) if (gap != 0).any() else 1.0
        rows.append({"mean": float(gap.mean()), "low": float(low), "high": float(high), "p": p,
                     "wins": int((gap > 0).sum()), "losses": int((gap < 0).sum())})  # fmt: skip
    judged = rows[: len(JUDGED)]
    for row, adjusted in zip(judged, _stats.holm([row["p"] for row in judged]), strict=True):
        row["p_holm"] = adjusted
    return rows


def report() -> Path:
    """docs/results/mo_asha.*"""
    stores = {path.stem: Store(path) for path in sorted(FOLDER.glob("*.npz"))}
    tasks = list(TASKS)
    seeds = sorted(set.intersection(*(store.seeds(tasks) for store in stores.values())))
    known = json.loads((FOLDER / "tasks.json").read_text())
    data: dict[str, Any] = {"date": date.today().isoformat(), "seeds": seeds, "tasks": known, "marks": {}}
    parts = ["Hypervolume of what was measured at the full resource, as a share of the best known front's (which a "
             "fixed search on the surrogate finds); more is better. `random` runs every trial to its end; the others "
             f"stop early, with random search too. Means over {len(seeds)} paired seeds."]  # fmt: skip
    better = []
    for mark, at in MARKS.items():
        shares = {
            tool: np.array([[store.cells[task, seed].at([at], 0.0)[0] for seed in seeds] for task in tasks])
            for tool, store in stores.items()
        }
        rows = compare(shares)
        if mark == "100 %":
            better = [
                t for t, row in zip(tasks, rows, strict=True) if row["mean"] > 0 and row.get("p_holm", 1.0) < 0.05
            ]
        data["marks"][mark] = {
            "mean": {tool: dict(zip(tasks, s.mean(axis=1).tolist(), strict=True)) for tool, s in shares.items()},
            "compare": dict(zip(tasks, rows, strict=True)),
        }
        parts += [f"## At {mark} of the budget", _machine.table([
            {"task": task, **{tool: f"{s[i].mean():.3f}" for tool, s in shares.items()},
             f"{CHALLENGER} - {CONTROL}": f"{row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
             "seeds won / lost": f"{row['wins']} / {row['losses']}",
             "p (Holm)": format(row["p_holm"], ".2g") if "p_holm" in row else "not judged"}
            for i, (task, row) in enumerate(zip(tasks, rows, strict=True))
        ])]  # fmt: skip
    words = f"**{CHALLENGER} is better than {CONTROL} at equal cost on {len(better)} of {len(JUDGED)} tasks** "
    parts.insert(
        1, f"{words}(whole budget, paired Wilcoxon, Holm over these tasks, 5 %): {', '.join(better) or 'none'}."
    )
    data["better"], data["machine"] = better, _machine.machine(["luthier", "numpy", "onnxruntime"])
    parts += ["## How", *how(stores, tasks, known), ", ".join(f"{k} {v}" for k, v in data["machine"].items()) + "."]
    parts.append(f"`python benchmarks/mo_asha.py report`, {data['date']}.")
    return _machine.write("mo_asha", "Early stopping with two objectives", "\n\n".join(parts), data)


def how(stores: Mapping[str, Store], tasks: Sequence[str], known: Mapping[str, Any]) -> list[str]:
    """What is needed to judge the figures."""
    rows = []
    for task in tasks:
        spec, one = TASKS[task], known[task]
        row: dict[str, Any] = {
            "task": task,
            "objectives": ", ".join(f"{'-' * (s < 0)}{n}" for n, s in zip(spec.objectives, spec.signs, strict=True)),
            "reference point": ", ".join(f"{value:.4g}" for value in one["reference"]),
            "budget, s": f"{one['budget']:.0f}",
            "lowest resource costs": f"{one['lowest_cost']:.0%}",
        }
        for tool, store in stores.items():
            cells = [cell for (name, _), cell in store.cells.items() if name == task]
            row[f"{tool}: trials, in full"] = (
                f"{np.mean([c.trials for c in cells]):.0f}, {np.mean([len(c.times) for c in cells]):.0f}"
            )
        rows.append(row)
    return [
        _machine.table(rows),
        "Reference points: nadir of the best known front and a tenth of its range. Four asynchronous workers in "
        "virtual time, thinking is free, schedulers at their defaults; budget: the time in which they train about "
        "fifty random configurations in full. lcbench goes on from checkpoints; a training on more data (trainsize) "
        "begins anew and is paid for again. Time as an objective is the surrogate's at the resource of the report.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--tools", default=",".join(TOOLS), help="names, separated by commas")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="0:20", help="first:last+1, of a run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no cell is begun after so many")
    parser.add_argument("--fresh", action="store_true", help="forget the tools' cells first: their code has changed")
    given = parser.parse_args()
    if given.what == "report":
        print(report())
        return
    tools = given.tools.split(",")
    for tool in tools if given.fresh else ():
        (FOLDER / f"{tool}.npz").unlink(missing_ok=True)
    first, last = map(int, given.seeds.split(":"))
    run(tools, given.tasks.split(","), range(first, last), time.monotonic() + 60 * given.minutes)


if __name__ == "__main__":
    main()
