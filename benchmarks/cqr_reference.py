"""Is cqr in reference mode the same method as Syne Tune's CQR? Distributions of the best value seen, 30 seeds each.

    LUTHIER_DATA=... python benchmarks/cqr_reference.py [--folder DIR] [--report]

Equal sequences cannot be asked for: Syne Tune draws levels and its held-out tenth from generators that its seed does
not reach. So the lowest values seen after 10, 25 and 50 evaluations are compared on two tables by two-sample
Kolmogorov-Smirnov tests, corrected after Holm over all six.

Both see the same features. Nothing is ordered: Syne Tune's pipeline one-hot encodes its `ordinal` domains, as it does
`choice`, and so does reference mode. The tools have different seeds, so that the samples are independent.

Before that, the models alone are compared: one history of random configurations, many fits, what they predict and by
how much they correct. Syne Tune runs in its own environment. Cells that are done are read from the
folder, so that the script can be stopped and started again; with --report it runs no search and writes the figures of
what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import _peers  # noqa: E402
import _tasks  # noqa: E402
import numpy as np  # noqa: E402
from scipy.stats import ks_2samp  # noqa: E402

from luthier.base.records import Configuration, Objective  # noqa: E402
from luthier.base.registry import load as load_class  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.models.boosted import fit_boosted  # noqa: E402
from luthier.searchers._one_hot import OneHot  # noqa: E402
from luthier.space.problem import Problem  # noqa: E402

TASKS = ("fcnet/protein_structure", "nasbench201/cifar100")
SEEDS = {"luthier": range(30), "syne-tune": range(100, 130)}
EVALUATIONS = 50
AT = (10, 25, 50)
LEVEL = 0.05
HISTORY, CANDIDATES, FITS = 60, 300, 70  # of the comparison of models: six results are held out in each fit

#: What a run keeps: values in the order in which they were seen, and the mean seconds of ask + tell.
Run = dict[str, Any]


def ours(task: _tasks.Task, seed: int) -> Run:
    problem = Problem(task.space, (Objective("loss"),))
    searcher = load_class("searcher", "cqr")(problem, seed=seed, mode="reference")
    number = 0

    def ask() -> Configuration:
        [config] = searcher.ask(k=number)
        return config

    def tell(config: Configuration, value: float) -> None:
        nonlocal number
        searcher.tell([problem.observe(number, config, {"loss": value})])
        number += 1

    return run(task, seed, ask, tell)


def theirs(task: _tasks.Task, seed: int, peer: _peers.Peer) -> Run:
    peer.new(task.space, seed, EVALUATIONS)
    return run(task, seed, lambda: peer.ask()[0], lambda _, value: peer.tell(value)) | {"versions": peer.versions}


def run(
    task: _tasks.Task, seed: int, ask: Callable[[], Configuration], tell: Callable[[Configuration, float], Any]
) -> Run:
    values, configs, seconds = [], set(), 0.0
    for _ in range(EVALUATIONS):
        begin = time.perf_counter()
        config = ask()
        seconds += time.perf_counter() - begin
        value = task.seen(config, seed)
        values.append(value)
        configs.add(config)
        begin = time.perf_counter()
        tell(config, value)
        seconds += time.perf_counter() - begin
    return {"values": values, "different": len(configs), "seconds": seconds / EVALUATIONS}


def cells(folder: Path) -> dict[str, dict[str, dict[str, Run]]]:
    """All runs that are done, by tool, task and seed."""
    return {tool: {name: _read(folder, tool, name) for name in TASKS} for tool in SEEDS}


def _path(folder: Path, tool: str, name: str) -> Path:
    return folder / f"{tool}-{name.replace('/', '-')}.json"


def _read(folder: Path, tool: str, name: str) -> dict[str, Run]:
    path = _path(folder, tool, name)
    return json.loads(path.read_text()) if path.exists() else {}


def fill(folder: Path) -> None:
    """Do what is missing; seeds in the outer loop, so that an early stop leaves balanced samples."""
    found = cells(folder)
    peer = _peers.Peer("syne-tune-cqr")
    tasks = {name: _tasks.load(name) for name in TASKS}
    for pair in zip(*SEEDS.values(), strict=True):
        for tool, seed in zip(SEEDS, pair, strict=True):
            for name, task in tasks.items():
                done = found[tool][name]
                if str(seed) not in done:
                    done[str(seed)] = ours(task, seed) if tool == "luthier" else theirs(task, seed, peer)
                    _path(folder, tool, name).write_text(json.dumps(done))
                    print(tool, name, seed, f"{done[str(seed)]['seconds']:.2f} s an evaluation", flush=True)
    peer.close()


def step(folder: Path) -> list[dict[str, Any]]:
    """What many fits of both models to one history predict and by how much they correct, one row each."""
    path = folder / "step.json"
    if not path.exists():
        task = _tasks.load(TASKS[0])
        history, candidates = (task.space.sample(n, generator(0, "bench", n)) for n in (HISTORY, CANDIDATES))
        values = [task.seen(config, 0) for config in history]
        features = OneHot(task.space)
        X, C = (features(task.space.encode(configs)[0]) for configs in (history, candidates))
        models = [fit_boosted(X, np.array(values), generator(seed, "model")) for seed in range(FITS)]
        mine = {"predicted": [model.predict(C).tolist() for model in models]}
        mine["corrections"] = [model.widenings.tolist() for model in models]
        message = {"lists": task.lists, "history": history, "values": values, "candidates": candidates, "fits": FITS}
        script = str(_peers.HERE / "syne_tune_quantiles.py")
        told = json.dumps(message)
        command = [_peers.python("syne-tune"), script]
        answer = subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout
        path.write_text(json.dumps({"luthier": mine, "syne-tune": json.loads(answer)}))
    kept = json.loads(path.read_text())
    predicted, corrections = ([np.array(kept[tool][what]) for tool in SEEDS] for what in ("predicted", "corrections"))
    rows = [
        {"what": f"quantile {level:.2f} of {CANDIDATES} configurations"} | apart(*(q[:, :, j] for q in predicted))
        for j, level in enumerate(kept["syne-tune"]["levels"])
    ]
    names = ("outer pair", "inner pair")
    return rows + [
        {"what": f"correction of the {name}"} | apart(*(c[:, j, None] for c in corrections))
        for j, name in enumerate(names)
    ]


def apart(ours_: np.ndarray, theirs_: np.ndarray) -> dict[str, str]:
    """How far means over fits lie from each other, in standard errors; both (fits, points)."""
    error = np.sqrt((ours_.var(axis=0) + theirs_.var(axis=0)) / FITS)
    far = (ours_.mean(axis=0) - theirs_.mean(axis=0))[error > 0] / error[error > 0]
    return {
        "luthier, mean": f"{ours_.mean():.4f}",
        "syne-tune, mean": f"{theirs_.mean():.4f}",
        "difference in standard errors, root mean square": f"{np.sqrt(np.mean(far**2)):.2f}",
    }


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected after Holm 1979."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(steps, 1.0)
    return found


def judge(found: dict[str, dict[str, dict[str, Run]]]) -> list[dict[str, Any]]:
    rows = []
    for name in TASKS:
        best = {
            tool: np.minimum.accumulate([run["values"] for run in runs[name].values()], axis=1)
            for tool, runs in found.items()
        }
        for at in AT:
            ours_, theirs_ = (best[tool][:, at - 1] for tool in SEEDS)
            test = ks_2samp(ours_, theirs_)
            rows.append(
                {
                    "task": name,
                    "evaluations": at,
                    "luthier": [float(x) for x in np.quantile(ours_, [0.25, 0.5, 0.75])],
                    "syne-tune": [float(x) for x in np.quantile(theirs_, [0.25, 0.5, 0.75])],
                    "distance": float(test.statistic),
                    "told apart from": 1.36 * float(np.sqrt(1 / len(ours_) + 1 / len(theirs_))),
                    "p": float(test.pvalue),
                }
            )
    for row, corrected in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):
        row["p (Holm)"] = float(corrected)
    return rows


def report(found: dict[str, dict[str, dict[str, Run]]], steps: list[dict[str, Any]]) -> bool:
    """Print, and write docs/results/cqr_reference.*; says whether no test tells the tools apart."""
    rows = judge(found)
    alike = all(row["p (Holm)"] > LEVEL for row in rows)
    versions = next(iter(found["syne-tune"][TASKS[0]].values()))["versions"]
    about = _machine.machine(("luthier", "numpy", "scipy", "scikit-learn"))
    full = all(len(found[tool][name]) == len(SEEDS[tool]) for tool in SEEDS for name in TASKS)
    runs = [f"{tool} {' and '.join(str(len(found[tool][name])) for name in TASKS)}" for tool in SEEDS]
    text = "\n\n".join(
        [
            '`cqr` with `mode="reference"` against Syne Tune\'s CQR at its defaults: lowest value seen, median and '
            "quartiles over runs, and two-sample Kolmogorov-Smirnov tests, corrected after Holm over all rows. "
            '"Seen from" is the distance from which a single test, uncorrected, would tell the two apart at 5 %. '
            f"Runs on the two tasks: {', '.join(runs)}"
            + ("." if full else " of 30 that were planned: only large differences would show in so few."),
            f"**{'No test tells the two apart' if alike else 'Some tests tell the two apart'}** at the level {LEVEL}.",
            _machine.table([compared(row) for row in rows]),
            _machine.table([habits(name, tool, found[tool][name]) for name in TASKS for tool in SEEDS]),
            "## The models alone",
            f"Both fitted {FITS} times to the same {HISTORY} random configurations of {TASKS[0]}; only what is held "
            "out and the choice between equal splits differ. Equal models lie one standard error apart.",
            _machine.table(steps),
            "## How",
            "Values are the tables' own (fcnet: validation error; nasbench201: minus validation accuracy), one "
            "recorded repetition each. Both tools see every hyperparameter one-hot encoded: Syne Tune is given its "
            '`ordinal(kind="equal")` for ordered lists, which its pipeline encodes like `choice`, and reference mode '
            "does the same. Neither leaves out configurations that were tried. Times were taken while other work ran.",
            f"`python benchmarks/cqr_reference.py`, {date.today()}, one thread, seeds from "
            + " and ".join(f"{seeds.start} ({tool})" for tool, seeds in SEEDS.items())
            + f". Ours: {listed(about)}. Theirs: {listed(versions)}.",
        ]
    )
    print(text)
    data = {"alike": alike, "machine": about, "versions": versions, "results": rows, "models": steps, "runs": found}
    _machine.write("cqr_reference", "cqr in reference mode against Syne Tune's CQR", text, data)
    return alike


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table of distributions."""
    return {
        "task": row["task"],
        "evaluations": row["evaluations"],
        **{tool: "{1:.4f} ({0:.4f} to {2:.4f})".format(*row[tool]) for tool in SEEDS},
        "KS distance": f"{row['distance']:.2f}",
        "seen from": f"{row['told apart from']:.2f}",
        "p": f"{row['p']:.3f}",
        "p (Holm)": f"{row['p (Holm)']:.3f}",
    }


def habits(name: str, tool: str, runs: dict[str, Run]) -> dict[str, Any]:
    """A row of the table of how they go about it."""
    return {
        "task": name,
        "tool": tool,
        f"different configurations of {EVALUATIONS}, mean": f"{np.mean([r['different'] for r in runs.values()]):.1f}",
        "ask + tell, mean s": f"{np.mean([r['seconds'] for r in runs.values()]):.2f}",
    }


def listed(words: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in words.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/cqr_reference"), help="where cells are kept")
    parser.add_argument("--report", action="store_true", help="run no search, write what is there")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    steps = step(given.folder)
    if not given.report:
        fill(given.folder)
    return 0 if report(cells(given.folder), steps) else 1


if __name__ == "__main__":
    raise SystemExit(main())
