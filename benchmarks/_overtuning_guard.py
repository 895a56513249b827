"""How the guard's constants were chosen: on cells that the judged figures leave out.

Each run is a search of 50 trials; its finalists by several rules and the default are measured on five fresh splits, so
that any finalist can be judged with any risk afterwards.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import _machine
import _overtuning_tasks as tasks
import numpy as np
from scipy.special import stdtrit

import luthier as lu
from luthier.base.records import Trial
from luthier.base.seeds import split_seed
from luthier.study._beliefs import beliefs
from luthier.study._guard import HELD_OUT, RISK
from luthier.study.result import contenders

TRIALS, ROUNDS = 50, 5
SEEDS = range(1000, 1010)
SIZES = (("wine", 45), ("wine", 60), ("breast_cancer", 120), ("diabetes", 120), ("digits", 250))
CELLS = [f"{where}/{rows}/{learner}" for where, rows in SIZES for learner in tasks.LEARNERS]
FILE = _machine.RESULTS / "overtuning" / "guard.jsonl"
PROTOCOLS = ("hold", "reshuffled")
#: Rules for the finalist: the lowest value, and the best posterior mean among a tenth, half or all of the trials.
FINALISTS = ("single", "tenth", "half", "all")
SHOWN = (("single", RISK), ("tenth", RISK), ("half", RISK), ("single", 0.25), ("single", 0.1), ("single", 0.05))


def one(name: str, protocol: str, seed: int) -> dict[str, Any]:
    """One search, with what its finalists score on fresh splits and on the data held back."""
    cell = tasks.make(name, seed)
    study = lu.Study(cell.space, "loss", searcher="tpe", seed=seed, reshuffle=protocol == "reshuffled")
    study.run(cell.split, trials=TRIALS)
    found = contenders(study.trials, study.problem, 1)
    default = next(trial for trial in found if trial.origin == "default")
    known = beliefs(found, study.problem, seed)
    means = {t.number: t.metrics["loss"] for t in found} if known is None else known.means
    splits = [split_seed(seed, "round", TRIALS, r) for r in range(ROUNDS)]
    cache: dict[Any, dict[str, Any]] = {}

    def measured(trial: Trial) -> dict[str, Any]:
        if trial.config not in cache:
            runs = [SimpleNamespace(config=trial.config, split_seed=s, seed=s % 2**31) for s in splits]
            scores = [cell.split(run) for run in runs]  # type: ignore[arg-type]
            cache[trial.config] = {"confirm": scores, "test": cell.test(trial.config)}
        return {"default": trial.config == default.config, **cache[trial.config]}

    def best(among: Sequence[Trial]) -> Trial:
        return min(among, key=lambda trial: (means[trial.number], trial.number))

    other = next((trial for trial in found if trial.config != default.config), default)
    among = {"tenth": found[: max(3, len(found) // 10)], "half": found[: len(found) // 2], "all": found}
    chosen = {"single": other, **{rule: best(trials) for rule, trials in among.items()}}
    finalists = {rule: measured(trial) for rule, trial in chosen.items()}
    key = {"cell": name, "protocol": protocol, "seed": seed}
    return {**key, "fin": finalists, "default": measured(default)}


def develop() -> None:
    """Run what is missing."""
    done = {(row["cell"], row["protocol"], row["seed"]) for row in rows()}
    for seed in SEEDS:
        for protocol in PROTOCOLS:
            for name in CELLS:
                if (name, protocol, seed) not in done:
                    row = one(name, protocol, seed)
                    with FILE.open("a") as file:
                        file.write(json.dumps(row) + "\n")


def rows() -> list[dict[str, Any]]:
    """What is finished."""
    return [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


def passes(default: Sequence[float], finalist: Sequence[float], risk: float) -> bool:
    """What `luthier.study._guard` asks of a gain on paired splits."""
    gains = np.array(default) - np.array(finalist)
    error = math.sqrt((1.0 / len(gains) + HELD_OUT) * float(gains.var(ddof=1)))
    return bool(gains.mean() > 0 and gains.mean() > float(stdtrit(len(gains) - 1, 1.0 - risk)) * error)


def table() -> list[dict[str, Any]]:
    """A row for each finalist, risk and protocol."""
    everything = rows()
    losses: dict[str, list[float]] = defaultdict(list)
    for row in everything:
        losses[row["cell"]].append(row["default"]["test"])
    unit = {name: float(np.mean(values)) for name, values in losses.items()}
    found = []
    for protocol in PROTOCOLS:
        some = [row for row in everything if row["protocol"] == protocol]
        for rule, risk in SHOWN if some else ():
            tests, defaults, units = [], [], []
            for row in some:
                finalist, default = row["fin"][rule], row["default"]
                kept = finalist["default"] or not passes(default["confirm"], finalist["confirm"], risk)
                tests.append((default if kept else finalist)["test"])
                defaults.append(default["test"])
                units.append(unit[row["cell"]])
            test, base = np.array(tests), np.array(defaults)
            found.append(
                {
                    "splits": protocol,
                    "finalist": rule,
                    "risk": risk,
                    "runs": len(some),
                    "tests worse": f"{np.mean(test > base + 1e-12):.1%}",
                    "better": f"{np.mean(test < base - 1e-12):.1%}",
                    "test loss": f"{np.mean(test / np.array(units)):.3f}",
                }
            )
    return found
