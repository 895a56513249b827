"""Practically the same? Absence of a significant difference is no answer; these are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from luthier.base.checks import check
from luthier.bench.statistics._guards import Array, one_number_a_task
from luthier.bench.statistics.pairs import wilcoxon_p

ROPE = 0.01  # region of practical equivalence: a hundredth of a median random configuration's regret
_DRAWS = 10_000  # of the posterior
_PRIOR = 0.5  # weight of one made-up task without a difference, as in the paper


class Posterior(NamedTuple):
    """Probabilities that add up to 1.

    Args:
        better: A is better than B by more than the region of practical equivalence.
        same: They are practically the same.
        worse: B is better by more than that.
    """

    better: float
    same: float
    worse: float


def signed_rank_posterior(
    a: ArrayLike, b: ArrayLike, *, rope: float = ROPE, draws: int = _DRAWS, seed: int = 0
) -> Posterior:
    """Bayesian signed-rank test: is A better than B, practically the same, or worse, on a further task like these?

    Args:
        a: (tasks,) values of A, smaller is better.
        b: (tasks,) values of B.
        rope: Differences up to this are none, in the unit of the values.
        draws: Samples of the posterior.
        seed: Decides them.

    Raises:
        ArgumentError: fewer than six tasks.

    Source: Benavoli, Corani, Demsar, Zaffalon 2017, section 4.2.2.
    Differs: a draw in which two of the three are equally likely counts in equal parts.
    Cost: O(draws * tasks^2).
    """
    check("rope", rope, at_least=0)
    table = one_number_a_task(np.stack([np.asarray(a, dtype=float), np.asarray(b, dtype=float)]), what="posterior")
    gap = np.concatenate([[0.0], table[0] - table[1]])  # the prior's task first
    weights = np.random.default_rng(seed).dirichlet([_PRIOR, *np.ones(len(gap) - 1)], size=draws)
    sums = gap[:, None] + gap[None, :]
    better, worse = (_mass(weights, region) for region in (sums < -2 * rope, sums > 2 * rope))
    shares = np.stack([better, 1 - better - worse, worse])
    first = np.isclose(shares, shares.max(axis=0), rtol=0, atol=1e-12)
    return Posterior(*(float(p) for p in (first / first.sum(axis=0)).mean(axis=1)))


def _mass(weights: Array, region: np.ndarray) -> Array:
    """Probability that the sum of two differences lies in a region, for each draw of the weights; (draws,)."""
    return np.asarray(((weights @ region) * weights).sum(axis=1))


def equivalence_p(a: ArrayLike, b: ArrayLike, *, margin: float = ROPE) -> float:
    """p-value of two one-sided tests: small where A and B differ by less than the margin.

    Args:
        a: (tasks,) values of A.
        b: (tasks,) values of B.
        margin: What would matter, in the unit of the values.

    Raises:
        ArgumentError: fewer than six tasks.

    Source: Schuirmann 1987 with Wilcoxon's test in place of Student's.
    """
    check("margin", margin, above=0)
    table = one_number_a_task(np.stack([np.asarray(a, dtype=float), np.asarray(b, dtype=float)]), what="equivalence")
    gap = table[0] - table[1]
    return max(wilcoxon_p(gap - margin, "less"), wilcoxon_p(gap + margin, "greater"))
