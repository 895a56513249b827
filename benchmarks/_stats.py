"""Statistics over tasks and seeds: ranks, intervals and tests, never over pooled (task, seed) pairs.

Arrays have the axes (tools, tasks, seeds) unless said otherwise; smaller is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import rankdata, wilcoxon

DRAWS = 4000  # of the bootstrap
FEWEST = 6  # tasks; below, the exact two-sided Wilcoxon test cannot reach 5 %


def paired_ranks(regret: np.ndarray) -> np.ndarray:
    """Rank of each tool on each task and seed, ties shared; the same shape."""
    return np.asarray(rankdata(regret, axis=0))


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half: a quarter is cut off at either end, a value in part where that is no whole number."""
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    low, high = n / 4, 3 * n / 4
    places = np.arange(n)
    weights = np.clip(np.minimum(places + 1, high) - np.maximum(places, low), 0.0, 1.0)
    return float(weights @ ordered / weights.sum())


def interval(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """95 % interval of the mean over tasks and seeds, values of the shape (tasks, seeds).

    Tasks are drawn again, then seeds inside each drawn task: an interval over seeds alone would speak of exactly
    these tasks.
    """
    rng = np.random.default_rng(seed)
    tasks, seeds = values.shape
    drawn_tasks = rng.integers(tasks, size=(draws, tasks))
    drawn_seeds = rng.integers(seeds, size=(draws, tasks, seeds))
    means = values[drawn_tasks[:, :, None], drawn_seeds].mean(axis=(1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def friedman(medians: np.ndarray) -> dict[str, float]:
    """Do the tools differ at all? Friedman's test in Iman and Davenport's form; medians: (tools, tasks).

    Raises:
        ValueError: fewer than three tools or six tasks.
    """
    tools, tasks = medians.shape
    if tools < 3 or tasks < FEWEST:
        raise ValueError(f"{tools} tools on {tasks} tasks. Allowed: 3 tools and {FEWEST} tasks, or more.")
    ranks = np.asarray(rankdata(medians, axis=0))
    between = tasks * ((ranks.mean(axis=1) - (tools + 1) / 2) ** 2).sum() * (tools - 1)
    within = ((ranks - (tools + 1) / 2) ** 2).sum() / tasks  # smaller with ties
    chi = float(between / within) if within > 0 else 0.0
    rest = tasks * (tools - 1) - chi
    if rest <= 0:
        return {"chi2": chi, "F": float("inf"), "p": 0.0}
    value = (tasks - 1) * chi / rest
    return {"chi2": chi, "F": value, "p": float(f_distribution.sf(value, tools - 1, (tools - 1) * (tasks - 1)))}


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted for all of them being looked at (Holm's step-down), in the order given."""
    places = np.argsort(p)
    adjusted, highest = np.empty(len(p)), 0.0
    for i, place in enumerate(places):
        highest = max(highest, min(1.0, (len(p) - i) * p[place]))
        adjusted[place] = highest
    return [float(value) for value in adjusted]


def hodges_lehmann(differences: np.ndarray) -> float:
    """Median of the means of all pairs (a value with itself too)."""
    i, j = np.triu_indices(len(differences))
    return float(np.median((differences[i] + differences[j]) / 2))


def against(medians: np.ndarray, control: int) -> list[dict[str, Any]]:
    """The control beside each other tool over the medians of tasks, (tools, tasks): Wilcoxon (Pratt) with Holm.

    `shift` below 0 and wins speak for the control.

    Raises:
        ValueError: fewer than six tasks.
    """
    tools, tasks = medians.shape
    if tasks < FEWEST:
        raise ValueError(f"{tasks} tasks. Allowed: {FEWEST} or more: below, no difference could be shown.")
    rows = []
    for other in range(tools):
        if other == control:
            continue
        gap = medians[control] - medians[other]
        p = float(wilcoxon(gap, zero_method="pratt").pvalue) if (gap != 0).any() else 1.0
        rows.append({
            "tool": other, "wins": int((gap < 0).sum()), "ties": int((gap == 0).sum()), "losses": int((gap > 0).sum()),
            "shift": hodges_lehmann(gap), "p": p,
        })  # fmt: skip
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows
