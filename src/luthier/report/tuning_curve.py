"""The best of n random trials, for every n, with a band that holds for all of them at once."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Status
from luthier.base.seeds import generator
from luthier.report._source import StudyView
from luthier.report._values import clean, feasible, value_of

FEWEST = 10  # random trials; the band of fewer spans everything
LEVEL = 0.95  # convention
DRAWS = 400_000  # uniform numbers that the band is calibrated with
_BAD = frozenset({Status.FAILED, Status.DIVERGED})


def tuning_curve(study: StudyView, *, level: float = LEVEL) -> dict[str, Any]:
    """The median and the mean of the best of n trials that are drawn at random, estimated from those of the study.

    Assumptions: the trials are drawn independently from one distribution, so only those count that the searcher
    "random" proposed; each has run to its end, so a study in which some were stopped early has no curve. A trial that
    failed, diverged or is infeasible is as bad as can be. The curve is that of random search in this space on this
    validation data; it says nothing of other searchers, nor of other data.

    Args:
        study: The study.
        level: Probability that the band holds the whole curve, in (0, 1).

    Returns:
        `objective`, `goal`, `level`, `trials` (how many are counted), `why` (why there is no curve, else None), and
        `rows`, n from 1 to `trials`: `n`, `median` of the best of n, `low` and `high` of its band (`low` is the
        lower value; None where the trials cannot tell), and `mean` (None where some trials have no value).

    Source: Lourie, Cho, He 2024 (a band of the distribution is a band of the tuning curve); Aldor-Noiman, Brown,
        Buja, Rolke, Stine 2013 (a band of equal precision everywhere).
    Differs: the band's precision is found by simulation, with a fixed seed.
    Cost: O(n^2) for the means; 0.1 s for the band of a new n.
    """
    objective = study.problem.objectives[0]
    table: dict[str, Any] = {"objective": objective.name, "goal": objective.goal, "level": level, "trials": 0,
                             "why": None, "rows": []}  # fmt: skip
    if len(study.problem.objectives) > 1:
        return {**table, "why": "several objectives have no best trial"}
    drawn = [trial for trial in study.trials if trial.origin == "random" and trial.status.ended]
    drawn = [trial for trial in drawn if trial.status is not Status.LOST]
    if any(trial.status is Status.STOPPED for trial in drawn):
        return {**table, "why": "trials were stopped early"}
    if len(drawn) < FEWEST:
        return {**table, "why": f"{len(drawn)} random trials, and it takes {FEWEST}"}
    values = [
        value_of(trial, objective) if trial.status not in _BAD and feasible(trial, study.problem) else None
        for trial in drawn
    ]
    y = np.sort([math.inf if value is None else objective.sign * value for value in values])
    rows = _rows(y, level)
    if objective.sign < 0:
        rows = [{**row, "low": row["high"], "high": row["low"]} for row in rows]
    keys = ("median", "low", "high", "mean")
    signed = [
        {"n": row["n"], **{key: None if row[key] is None else clean(objective.sign * row[key]) for key in keys}}
        for row in rows
    ]
    return {**table, "trials": len(y), "rows": signed}


def _rows(y: NDArray[np.float64], level: float) -> list[dict[str, Any]]:
    """The curve of sorted values, less is better."""
    total = len(y)
    below, above = band(total, level)
    means = best_of(y)
    rows = []
    for n in range(1, total + 1):
        share = 1.0 - 0.5 ** (1.0 / n)  # the best of n lies below this quantile with probability 1/2
        first = int(np.searchsorted(above, share))  # value number i + 1 has at most above[i] below it
        last = int(np.searchsorted(below, share))  # and at least below[i] up to it
        rows.append(
            {
                "n": n,
                "median": _finite(y[math.ceil(share * total - 1e-9) - 1]),
                "low": _finite(y[first - 1]) if first else None,
                "high": _finite(y[last]) if last < total else None,
                "mean": _finite(means[n - 1]),
            }
        )
    return rows


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def best_of(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the lowest of n of these values without replacement, n = 1, 2, ...: the unbiased estimate.

    Args:
        y: (N,) sorted.
    """
    total = len(y)
    found = np.empty(total)
    weight = np.full(total, 1.0 / total)  # of each value as the lowest of n
    for n in range(1, total + 1):
        found[n - 1] = float(np.dot(weight[: total - n + 1], y[: total - n + 1]))
        # C(N - i, n) / C(N, n + 1) from C(N - i, n - 1) / C(N, n), i from 1
        rest = np.arange(total - 1, -1, -1.0)
        weight = weight * (rest - n + 1) / n * (n + 1) / max(total - n, 1)
    return found


@cache
def band(total: int, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the distribution function at each of so many sorted values, that hold for all with that probability.

    Value number i has a Beta(i, N + 1 - i) share below it. All are given an interval of the same probability, so high
    that N of them hold at once in a share `level` of simulated samples.

    Args:
        total: How many values, N.
        level: Probability.

    Returns:
        (N,) lower and (N,) upper bounds, rising.
    """
    from scipy.special import betainc, betaincinv

    a = np.arange(1, total + 1.0)
    b = total + 1.0 - a
    draws = max(400, min(4000, DRAWS // total))
    uniform = np.sort(generator(0, "report", total).random((draws, total)), axis=1)
    shares = betainc(a, b, uniform)
    miss = float(np.quantile(np.minimum(shares, 1.0 - shares).min(axis=1), 1.0 - level))
    return betaincinv(a, b, miss), betaincinv(a, b, 1.0 - miss)
