"""Two methods over many tasks: Wilcoxon, its shift and effect size, the sign test; Holm where several are tested.

A difference is A minus B of values where smaller is better: below zero speaks for A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, rankdata, wilcoxon

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.bench.statistics._guards import Array, check_finite, one_number_a_task

EXACT = 13  # differences up to which SciPy's p-value is exact in spite of ties


@dataclass(frozen=True)
class Contrast:
    """Method A beside method B, over tasks.

    Args:
        wins: Tasks on which A is better.
        ties: Tasks on which they are equal.
        losses: Tasks on which B is better.
        shift: Hodges-Lehmann estimate of A - B; below zero speaks for A.
        low: Lower end of the shift's 95 % interval.
        high: Upper end.
        effect: Matched-pairs rank correlation in [-1, 1]; below zero speaks for A.
        p: Wilcoxon's two-sided p-value, zeros by Pratt's rule.
        p_holm: The same adjusted for all contrasts of its table.
    """

    wins: int
    ties: int
    losses: int
    shift: float
    low: float
    high: float
    effect: float
    p: float
    p_holm: float


def wilcoxon_p(differences: ArrayLike, alternative: str = "two-sided") -> float:
    """Wilcoxon's signed-rank test, zeros kept in the ranking (Pratt); SciPy's, and 1 where nothing differs.

    Args:
        differences: (n,) one for each task.
        alternative: "two-sided", "less" or "greater".

    Differs: up to `EXACT` differences with ties or zeros, for which SciPy tries all sign patterns one by one (0.3 s),
        the same distribution is summed up rank by rank.
    """
    gap = np.asarray(differences, dtype=float)
    if not (gap != 0).any():
        return 1.0
    sizes = np.abs(gap)
    if len(gap) <= EXACT and (len(np.unique(sizes)) < len(gap) or (gap == 0).any()):
        return _tied(gap, rankdata(sizes), alternative)
    return float(wilcoxon(gap, zero_method="pratt", alternative=alternative).pvalue)


def _tied(gap: Array, ranks: Array, alternative: str) -> float:
    """Exact p-value where ranks are shared: of all sums of ranks with a positive sign, zeros having none."""
    check("alternative", alternative, one_of=("two-sided", "less", "greater"))
    doubled = np.rint(2 * ranks[gap != 0]).astype(int)  # shared ranks are halves
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        chances[rank:] = (chances[rank:] + chances[: len(chances) - rank]) / 2
        chances[:rank] /= 2
    seen = int(doubled[gap[gap != 0] > 0].sum())
    less, greater = float(chances[: seen + 1].sum()), float(chances[seen:].sum())
    return {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[alternative]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted for all of them being looked at (Holm's step-down), in the order given."""
    places = np.argsort(np.asarray(p, dtype=float), kind="stable")
    adjusted, highest = np.empty(len(p)), 0.0
    for i, place in enumerate(places):
        highest = max(highest, min(1.0, (len(p) - i) * p[place]))
        adjusted[place] = highest
    return [float(value) for value in adjusted]


def walsh(differences: ArrayLike) -> Array:
    """Means of all pairs, a value with itself too; sorted, (n (n + 1) / 2,)."""
    gap = np.asarray(differences, dtype=float)
    i, j = np.triu_indices(len(gap))
    return np.sort((gap[i] + gap[j]) / 2)


def hodges_lehmann(differences: ArrayLike) -> float:
    """Median of the means of all pairs (a value with itself too)."""
    return float(np.median(walsh(differences)))


@lru_cache(maxsize=512)
def _signed_rank_cdf(n: int) -> Array:
    """P(W <= w) for w = 0 .. n (n + 1) / 2, W the sum of the ranks with a positive sign, no ties."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        counts[rank:] = (counts[rank:] + counts[: len(counts) - rank]) / 2
        counts[:rank] /= 2
    return np.cumsum(counts)


def shift_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Interval of the Hodges-Lehmann shift by inverting Wilcoxon's exact test.

    Args:
        differences: (n,) one for each task.
        level: At least so probable.

    Returns:
        Low and high; the whole line where n is so small that no interval reaches the level (five for 95 %).

    Source: Hollander, Wolfe, Chicken 2014, section 3.3; ties are treated as if there were none.
    """
    check("level", level, above=0, below=1)
    means = walsh(differences)
    cut = int(np.searchsorted(_signed_rank_cdf(len(np.asarray(differences))), (1 - level) / 2, side="right"))
    if cut == 0:
        return -math.inf, math.inf
    return float(means[cut - 1]), float(means[len(means) - cut])


def matched_pairs(differences: ArrayLike) -> float:
    """Share of the ranks that speak against A, minus the share that speaks for it; in [-1, 1], 0 without differences.

    Ranks are those of Wilcoxon's test with Pratt's zeros: zeros are ranked, and speak for nobody.

    Source: Kerby 2014, the matched-pairs rank-biserial correlation.
    """
    gap = np.asarray(differences, dtype=float)
    ranks = rankdata(np.abs(gap))
    weight = float(ranks[gap != 0].sum())
    return float((ranks * np.sign(gap)).sum() / weight) if weight else 0.0


@dataclass(frozen=True)
class SignTest:
    """The sign test of HPOBench.

    Args:
        wins: Tasks on which A is better.
        ties: Tasks on which they are equal; half of them count for each, one left over for neither.
        losses: Tasks on which B is better.
        p: One-sided, for A being better than B.
    """

    wins: int
    ties: int
    losses: int
    p: float


def sign_test(a: ArrayLike, b: ArrayLike) -> SignTest:
    """Is A better than B on more tasks than chance gives? One-sided; magnitudes play no part.

    Args:
        a: (tasks,) values of A, smaller is better.
        b: (tasks,) values of B.

    Source: Demsar 2006, section 3.1.3, as HPOBench's scripts compute it (Eggensperger et al. 2021).
    """
    gap = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    check_finite(gap, what="the sign test")
    wins, ties, losses = int((gap < 0).sum()), int((gap == 0).sum()), int((gap > 0).sum())
    for_a, for_b = wins + ties // 2, losses + ties // 2
    p = float(binomtest(for_b, for_a + for_b, alternative="less").pvalue) if for_a + for_b else 1.0
    return SignTest(wins, ties, losses, p)


def contrast(a: ArrayLike, b: ArrayLike) -> Contrast:
    """Method A beside method B, (tasks,) each; `p_holm` is `p`, as this is the only test.

    Raises:
        ArgumentError: fewer than six tasks, or seeds that were not aggregated.
    """
    table = one_number_a_task(np.stack([np.asarray(a, dtype=float), np.asarray(b, dtype=float)]), what="contrast")
    return _contrast(table[0] - table[1])


def _contrast(gap: Array) -> Contrast:
    p = wilcoxon_p(gap)
    return Contrast(
        int((gap < 0).sum()),
        int((gap == 0).sum()),
        int((gap > 0).sum()),
        hodges_lehmann(gap),
        *shift_interval(gap),
        matched_pairs(gap),
        p,
        p,
    )


def contrasts(values: ArrayLike, control: int, *, tasks: Sequence[str] = ()) -> dict[int, Contrast]:
    """Every other method beside the control: method's position to A = that method, B = the control.

    Args:
        values: (methods, tasks), one number for each task, smaller is better.
        control: Position of the control.
        tasks: Names of the tasks, to refuse one that stands there twice.

    Raises:
        ArgumentError: fewer than six tasks, or seeds that were not aggregated.
    """
    table = one_number_a_task(values, what="contrasts", tasks=tasks)
    if not 0 <= control < len(table):
        raise ArgumentError(f"contrasts: control={control}. Allowed: a position from 0 to {len(table) - 1}.")
    found = {i: _contrast(row - table[control]) for i, row in enumerate(table) if i != control}
    return dict(zip(found, adjust(list(found.values())), strict=True))


def adjust(found: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with `p_holm` over all of them: one family of tests for one question."""
    adjusted = holm([one.p for one in found])
    return [Contrast(**{**vars(one), "p_holm": p}) for one, p in zip(found, adjusted, strict=True)]


def pairwise(values: ArrayLike, *, tasks: Sequence[str] = ()) -> Array:
    """Holm-adjusted Wilcoxon p-values of all pairs, (methods, methods), 1 on the diagonal; values: (methods, tasks).

    Raises:
        ArgumentError: fewer than six tasks, or seeds that were not aggregated.
    """
    table = one_number_a_task(values, what="pairwise tests", tasks=tasks)
    i, j = np.triu_indices(len(table), 1)
    found = np.ones((len(table), len(table)))
    found[i, j] = found[j, i] = holm([wilcoxon_p(table[a] - table[b]) for a, b in zip(i, j, strict=True)])
    return found


def against(values: ArrayLike, control: int) -> list[dict[str, Any]]:
    """The control beside each other method over the tasks, (methods, tasks): Wilcoxon (Pratt) with Holm.

    `shift` below 0 and wins speak for the control.

    Raises:
        ArgumentError: fewer than six tasks, or seeds that were not aggregated.
    """
    return [
        {
            "tool": other, "wins": one.losses, "ties": one.ties, "losses": one.wins,
            "shift": -one.shift, "p": one.p, "p_holm": one.p_holm,
        }
        for other, one in contrasts(values, control).items()
    ]  # fmt: skip
