"""Latin hypercubes: every hyperparameter's range is covered evenly, one design after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from luthier.base.checks import check
from luthier.base.registry import register
from luthier.searchers._sequence import Walk
from luthier.space.problem import Problem
from luthier.space.values import Array


@register("searcher")
class Lhs(Walk):
    """Walks through Latin hypercubes of a fixed size, a fresh one when the last is used up.

    A design of n points has exactly one in each n-th of every dimension: x_ij = (pi_j(i) - u_ij) / n, with a random
    permutation pi_j of 1 to n for each dimension, and u_ij uniform. Proposal k is point k mod n of design k // n, moved
    as the priors say; it depends on (seed, k) alone. Points that `forbid` excludes are left out, and on a finite space
    points that stand for a configuration met before, so the numbering runs over what is left, and a design with gaps
    is even only nearly. If the configuration of point k was tried already (by the user), the next point that was not
    is taken. Conditional hyperparameters have their own dimension also where they are inactive.

    Args:
        problem: What is to be solved.
        seed: Decides every design, >= 0.
        size: Points of a design (64: with about 60 draws one is among the best twentieth in 95 of 100 studies). Best
            the number of trials, where that is known: a part of a design is hardly more even than random draws.

    Raises:
        ArgumentError: `size` is below 1.

    Source: McKay, Beckman, Conover 1979, section 2; SciPy's generator.
    Differs: designs follow each other; forbidden and repeated points are left out.
    Cost: O(d) a proposal, O(k d) memory for the points made so far.
    """

    def __init__(self, problem: Problem, *, seed: int, size: int = 64) -> None:
        self._size: int = check("size", size, at_least=1, whole=True)
        super().__init__(problem, seed=seed)

    def _blocks(self) -> Iterator[Array]:
        from scipy.stats import qmc

        for number in count():
            engine = qmc.LatinHypercube(self.space.dimensions, seed=self.rng(number * self._size))
            yield self.space.warp(engine.random(self._size))
