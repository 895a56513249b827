"""Does the bound hold? Functions from the process's own prior, searched, with their true regret beside the bound.

Each function is a draw on a 40 x 40 grid from a Matern-5/2 process with length scale 0.25 and noise 0.05. A search has
five random points, then takes the largest expected improvement forty times. After each step from the fifth on, the
true regret of the incumbent (best posterior mean) stands beside the bound, computed with the true parameters and with
fitted ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _machine
import numpy as np

import luthier as lu
from luthier.models.acquisition import log_ei
from luthier.models.gp import Hyper, condition, fit_hyper, matern
from luthier.space.problem import Problem
from luthier.stopping._posterior import Candidates, Posterior, Results, factor, standardised
from luthier.stopping.regret import LEVEL

GRID, LENGTH, NOISE, RANDOM, STEPS, DRAWS = 40, 0.25, 0.05, 5, 40, 256
SEEDS = range(1000, 1050)  # none of them was used while the rule was made
BOUNDS = ("1 sd", "2 sd", "srinivas", "paths")
FILE = _machine.RESULTS / "stopping" / "validity.json"
PROBLEM = Problem(lu.Space(x=lu.Int(0, GRID - 1), y=lu.Int(0, GRID - 1)), (lu.Objective("loss"),))
TRUE = Hyper(np.full(2, LENGTH), 1.0, NOISE**2, np.zeros((2, 2)))


def one(seed: int) -> dict[str, Any]:
    """Regrets and bounds along one search."""
    rng = np.random.default_rng([seed, 3])
    candidates = Candidates(PROBLEM, seed=seed)
    rows = candidates.rows
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2) / LENGTH**2
    truth = factor(matern(squared, 1.0), 1.0) @ rng.standard_normal(len(rows))
    places = [*rng.choice(len(rows), RANDOM, replace=False)]
    y = [truth[p] + NOISE * rng.standard_normal() for p in places]
    found: dict[str, list[float]] = {"regret": [], **{f"{how}, {b}": [] for how in ("known", "fitted") for b in BOUNDS}}
    for step in range(STEPS):
        values, Z = np.array(y), rows[places]
        known = posterior(Z, values, TRUE, candidates)
        best = places[int(np.argmin(known.process.predict(Z)[0]))]
        found["regret"].append(float(truth[best] - truth.min()))
        scaled, _, scale = standardised(values)
        fitted = posterior(Z, scaled, fit_hyper(Z, scaled, np.zeros(2, bool)), candidates)
        for name, process, unit in (("known", known, 1.0), ("fitted", fitted, scale)):
            for bound, value in zip(BOUNDS, bounds(process, seed, step), strict=True):
                found[f"{name}, {bound}"].append(value * unit)
        score = log_ei(*known.process.predict(rows), float(known.process.predict(Z)[0].min()))
        places.append(int(np.argmax(score)))
        y.append(truth[places[-1]] + NOISE * rng.standard_normal())
    return found


def posterior(Z: np.ndarray, y: np.ndarray, hyper: Hyper, candidates: Candidates) -> Posterior:
    results = Results([], Z, y, 0.0, 1.0, np.ones(len(y), bool), np.ones(len(y)))
    return Posterior(results, condition(Z, y, hyper, np.zeros(2, bool)), candidates)


def bounds(process: Posterior, seed: int, step: int) -> tuple[float, ...]:
    """Each of `BOUNDS`, in the process's units."""
    n = len(process.results.y)
    srinivas = float(np.sqrt(2.0 * np.log(2 * n * n * np.pi**2 / 0.6) / 5.0))
    values, lowest = process.paths(DRAWS, np.random.default_rng([seed, step, 4]))
    mean, _ = process.tried()
    joint = float(np.quantile(values[int(np.argmin(mean))] - lowest, LEVEL))
    return process.bound(1.0), process.bound(2.0), process.bound(srinivas), joint


def measure(seeds: Iterable[int] = SEEDS, file: Path = FILE) -> list[dict[str, Any]]:
    """All searches; those that are done are read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for seed in seeds:
        if str(seed) not in done:
            done[str(seed)] = {k: [round(v, 5) for v in values] for k, values in one(seed).items()}
            file.write_text(json.dumps(done) + "\n")
    return [done[str(seed)] for seed in seeds if str(seed) in done]


def stored(file: Path = FILE) -> list[dict[str, Any]]:
    """The searches that are done."""
    return list(json.loads(file.read_text()).values()) if file.exists() else []


def summary(searches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Share of checks in which each bound holds, its width, and how it follows the regret."""
    from scipy.stats import spearmanr

    regret = np.array([search["regret"] for search in searches])
    rows = []
    for name in searches[0]:
        if name == "regret":
            continue
        bound = np.array([search[name] for search in searches])
        together = [spearmanr(b, r).statistic for b, r in zip(bound, regret, strict=True) if np.ptp(r) > 0]
        medians = np.median(bound, axis=0)
        rows.append(
            {
                "parameters": name.partition(", ")[0],
                "bound": name.partition(", ")[2],
                "holds": f"{np.mean(bound >= regret):.0%}",
                "holds, by search": f"{np.mean((bound >= regret).all(axis=1)):.0%}",
                "median, first": f"{medians[0]:.2f}",
                "median, last": f"{medians[-1]:.3f}",
                "lowest": f"{bound.min():.3f}",
                "rank correlation with regret": f"{np.median(together):.2f}",
            }
        )
    return rows
