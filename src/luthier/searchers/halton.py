"""Halton sequence: evenly spread points, balanced at any number of trials."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.base.registry import register
from luthier.searchers._sequence import BLOCK, Walk
from luthier.space.values import Array


@register("searcher")
class Halton(Walk):
    """Walks along a scrambled Halton sequence.

    Dimension j holds the radical inverses of 0, 1, 2, ... in the j-th prime, their digits permuted at random. Proposal
    k is point k of the sequence, moved as the priors say; it depends on (seed, k) alone. Points that `forbid` excludes
    are left out, and on a finite space points that stand for a configuration met before, so the numbering runs over
    what is left. If the configuration of point k was tried already (by the user), the next point that was not is
    taken. Conditional hyperparameters have their own dimension also where they are inactive.

    Unlike Sobol's, its balance has no favourite lengths; in many dimensions it needs more points to show any, since
    dimension j is only even over stretches as long as its prime.

    Args:
        problem: What is to be solved.
        seed: Decides the scrambling, >= 0.

    Source: Halton 1960; scrambling of Owen 2017, as in SciPy.
    Differs: forbidden and repeated points are left out.
    Cost: O(d log k) a proposal, O(k d) memory for the points made so far.
    """

    def _blocks(self) -> Iterator[Array]:
        from scipy.stats import qmc

        # without scrambling, dimensions with large neighbouring primes would lie on lines
        engine = qmc.Halton(self.space.dimensions, scramble=True, seed=self.rng(0))
        while True:
            yield self.space.warp(engine.random(BLOCK))
