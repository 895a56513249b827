"""Ranks: who comes where on a task, and whether any method differs from the others.

Arrays have the axes (methods, tasks, seeds) unless said otherwise; smaller is better.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_distribution
from scipy.stats import rankdata, studentized_range

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, one_number_a_task


class Friedman(NamedTuple):
    """Friedman's test.

    Args:
        chi2: Its statistic, ties corrected.
        F: Iman and Davenport's F, which chi2 is turned into.
        p: Probability of an F as large if no method differs.
    """

    chi2: float
    F: float
    p: float


def paired_ranks(values: ArrayLike) -> Array:
    """Rank of each method on each task and seed, 1 is best, ties share their mean; the same shape.

    A run without an incumbent (NaN) is worse than any value; such runs share the worst ranks.
    """
    table = np.asarray(values, dtype=float)
    return np.asarray(rankdata(np.where(np.isnan(table), np.inf, table), axis=0))


def unpaired_ranks(values: ArrayLike) -> Array:
    """Mean rank of each method on each task over all combinations of one run of each; (methods, tasks).

    Args:
        values: (methods, tasks, seeds), smaller is better; NaN is worst.

    Source: what HPOBench's runner estimates by drawing 5000 combinations without regard to seeds (Eggensperger et al.
        2021). Differs: 1 + the sum over the others of P(other is better), ties half, is the exact mean. As common
        seeds are not made use of, a difference between methods has a larger spread than with `paired_ranks`.
    """
    table = np.asarray(values, dtype=float)
    table = np.where(np.isnan(table), np.inf, table)
    found = np.ones(table.shape[:2])
    for i, mine in enumerate(table):
        for j, other in enumerate(table):
            if i != j:
                better = (other[:, None, :] < mine[:, :, None]) + 0.5 * (other[:, None, :] == mine[:, :, None])
                found[i] += better.mean(axis=(1, 2))
    return found


def friedman(values: ArrayLike) -> Friedman:
    """Do the methods differ at all? Friedman's test in Iman and Davenport's form.

    Args:
        values: (methods, tasks), one number for each task.

    Raises:
        ArgumentError: fewer than three methods or six tasks, or seeds that were not aggregated.

    Source: Demsar 2006, section 3.2.2; ties corrected as in Conover 1999.
    """
    table = one_number_a_task(values, what="Friedman's test", methods=3)
    methods, tasks = table.shape
    ranks = paired_ranks(table)
    between = tasks * ((ranks.mean(axis=1) - (methods + 1) / 2) ** 2).sum() * (methods - 1)
    within = ((ranks - (methods + 1) / 2) ** 2).sum() / tasks  # smaller with ties
    chi = float(between / within) if within > 0 else 0.0
    rest = tasks * (methods - 1) - chi
    if rest <= 1e-9 * tasks:  # every task has the same order
        return Friedman(chi, math.inf, 0.0)
    value = (tasks - 1) * chi / rest
    return Friedman(chi, value, float(f_distribution.sf(value, methods - 1, (methods - 1) * (tasks - 1))))


@cache
def nemenyi_q(methods: int, alpha: float = 0.05) -> float:
    """Quantile of the studentised range for infinitely many degrees of freedom, over the square root of 2."""
    methods = check("methods", methods, at_least=2, whole=True)
    check("alpha", alpha, above=0, below=1)
    return float(studentized_range.ppf(1 - alpha, methods, np.inf) / math.sqrt(2))


def critical_difference(methods: int, tasks: int, alpha: float = 0.05) -> float:
    """Nemenyi's difference of mean ranks beyond which two of `methods` methods differ.

    Whether A and B differ by it depends on who else is ranked (Benavoli, Corani, Mangili 2016): a picture, never the
    only evidence.

    Source: Demsar 2006, equation CD = q sqrt(k (k + 1) / (6 N)).
    """
    tasks = check("tasks", tasks, at_least=1, whole=True)
    return nemenyi_q(methods, alpha) * math.sqrt(methods * (methods + 1) / (6 * tasks))


def cliques(mean_ranks: ArrayLike, alike: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Longest runs of neighbours in rank of which no two differ: the bars of a critical-difference diagram.

    Args:
        mean_ranks: (methods,).
        alike: (methods, methods), whether two methods were not told apart.

    Returns:
        Positions of the methods of each bar, best rank first; bars of one method are left out.
    """
    ranks = np.asarray(mean_ranks, dtype=float)
    if alike.shape != (len(ranks), len(ranks)):
        raise ArgumentError(f"cliques: {alike.shape} pairs for {len(ranks)} methods. Give a square of that size.")
    order = np.argsort(ranks, kind="stable")
    found: list[tuple[int, ...]] = []
    reach = 0
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and alike[np.ix_(order[first : last + 2], order[first : last + 2])].all():
            last += 1
        if last > first and last > reach:
            found.append(tuple(int(place) for place in order[first : last + 1]))
        reach = max(reach, last)
    return found
