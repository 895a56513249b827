"""Does cqr find better configurations than random search? Ten tasks, 50 evaluations, 20 paired seeds.

    LUTHIER_DATA=... python benchmarks/cqr_against_random.py [--folder DIR]

The tasks were named before any result on them was looked at; defaults were tuned on other tasks (`TUNED_ON`).
Searchers with equal seeds share their first five configurations and the noise of every configuration.
Accepted when cqr has the lower median normalised regret on at least 8 of the 10.
Cells that are done are read from the folder, so that the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import _tasks  # noqa: E402
import numpy as np  # noqa: E402
from scipy.stats import wilcoxon  # noqa: E402

from luthier.base.seeds import generator  # noqa: E402

TASKS = (
    "fcnet/naval_propulsion",
    "fcnet/parkinsons_telemonitoring",
    "fcnet/protein_structure",
    "fcnet/slice_localization",
    "nasbench201/cifar10",
    "nasbench201/cifar100",
    "nasbench201/imagenet",
    "lcbench/3945",
    "lcbench/7593",
    "lcbench/126025",
)
TUNED_ON = "hpobench_mlp car, vehicle, kc1, credit_g, phoneme and lcbench 34539, 146212, 167168, 168329, 189354"
SEEDS = range(20)
EVALUATIONS = 50
SEARCHERS = ("random", "cqr")
NEEDED = 8  # tasks on which cqr must have the lower median
DRAWS = 10_000  # of the bootstrap


def cell(folder: Path, name: str, searcher: str) -> np.ndarray:
    """Normalised regret of one task and searcher; (seeds, evaluations)."""
    path = folder / f"{name.replace('/', '-')}-{searcher}.json"
    done: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}
    task = None
    for seed in SEEDS:
        if str(seed) not in done:
            task = task or _tasks.load(name)
            done[str(seed)] = _tasks.search(task, searcher, seed, EVALUATIONS)
            path.write_text(json.dumps(done))
    return np.array([done[str(seed)] for seed in SEEDS])


def interval(difference: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over tasks of the median over seeds: tasks are drawn again, then seeds inside them."""
    rng = generator(0, "report")
    tasks, seeds = difference.shape
    drawn_tasks = rng.integers(tasks, size=(DRAWS, tasks))
    drawn_seeds = rng.integers(seeds, size=(DRAWS, tasks, seeds))
    drawn = difference[drawn_tasks[:, :, None], drawn_seeds]
    low, high = np.quantile(np.median(drawn, axis=2).mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def judge(regret: dict[str, np.ndarray], at: int) -> dict[str, Any]:
    """All figures at one number of evaluations; regret has the shape (tasks, seeds, evaluations)."""
    random, cqr = (regret[name][:, :, at - 1] for name in SEARCHERS)
    medians = {name: np.median(regret[name][:, :, at - 1], axis=1) for name in SEARCHERS}
    test = wilcoxon(medians["cqr"], medians["random"], zero_method="pratt")
    return {
        "evaluations": at,
        "median_regret": {name: dict(zip(TASKS, map(float, medians[name]), strict=True)) for name in SEARCHERS},
        "paired_wins": dict(zip(TASKS, ((cqr < random).mean(1) + (cqr == random).mean(1) / 2).tolist(), strict=True)),
        "lower_on": int((medians["cqr"] < medians["random"]).sum()),
        "mean_difference": float(np.median(cqr - random, axis=1).mean()),
        "interval_95": interval(cqr - random),
        "wilcoxon_p": float(test.pvalue),
    }


def rows(judged: dict[str, Any]) -> list[dict[str, Any]]:
    """The table of one number of evaluations."""
    median, wins = judged["median_regret"], judged["paired_wins"]
    return [
        {
            "task": name,
            "random": f"{median['random'][name]:.4f}",
            "cqr": f"{median['cqr'][name]:.4f}",
            "cqr lower": "yes" if median["cqr"][name] < median["random"][name] else "no",
            "seeds won": f"{100 * wins[name]:.0f} %",
        }
        for name in TASKS
    ]


def report(regret: dict[str, np.ndarray]) -> bool:
    """Print, and write docs/results/cqr_against_random.*; says whether the line was reached."""
    judged = [judge(regret, at) for at in (25, EVALUATIONS)]
    final = judged[-1]
    accepted = bool(final["lower_on"] >= NEEDED)
    parts = [
        f"Median normalised regret over {len(SEEDS)} paired seeds: 0 is the best of the table, 1 a median random "
        "configuration. The incumbent is chosen by the value seen (one recorded repetition), and scored by the mean "
        f"over repetitions. Defaults of cqr were tuned on other tasks: {TUNED_ON}.",
        f"**cqr is lower on {final['lower_on']} of {len(TASKS)} tasks after {EVALUATIONS} evaluations** "
        f"(at least {NEEDED} were asked for: {'reached' if accepted else 'not reached'}).",
    ]
    for one in judged:
        low, high = one["interval_95"]
        parts += [
            f"## {one['evaluations']} evaluations",
            _machine.table(rows(one)),
            f"Median paired difference cqr - random, mean over tasks: {one['mean_difference']:.4f}, 95 % interval "
            f"[{low:.4f}, {high:.4f}] (tasks drawn again, then seeds inside them, {DRAWS} draws). "
            f"Wilcoxon signed-rank over the {len(TASKS)} task medians, two-sided: p = {one['wilcoxon_p']:.4f}.",
        ]
    about = _machine.machine(("luthier", "numpy", "scipy", "onnxruntime"))
    parts += [
        "## How",
        f"`python benchmarks/cqr_against_random.py`, {date.today()}, seeds {SEEDS.start} to {SEEDS.stop - 1}, one "
        "thread. " + ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
    ]
    text = "\n\n".join(parts)
    print(text)
    data = {"accepted": accepted, "machine": about, "seeds": list(SEEDS), "results": judged}
    _machine.write("cqr_against_random", "cqr against random search", text, data)
    return accepted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/cqr_against_random"), help="where cells are kept")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    regret = {name: np.array([cell(folder, task, name) for task in TASKS]) for name in SEARCHERS}
    return 0 if report(regret) else 1


if __name__ == "__main__":
    raise SystemExit(main())
