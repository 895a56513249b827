"""Sobol sequence: points that fill the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.base.errors import UnsupportedError
from luthier.base.registry import register
from luthier.searchers._sequence import BLOCK, Walk
from luthier.space.problem import Problem
from luthier.space.values import Array

MOST_DIMENSIONS = 21_201  # direction numbers that SciPy ships


@register("searcher")
class Sobol(Walk):
    """Walks along a scrambled Sobol sequence.

    Proposal k is point k of the sequence, moved as the priors say; it depends on (seed, k) alone. Points that
    `forbid` excludes are left out, and on a finite space points that stand for a configuration met before, so the
    numbering runs over what is left. If the configuration of point k was tried already (by the user), the next point
    that was not is taken. Conditional hyperparameters have their own dimension also where they are inactive.

    Args:
        problem: What is to be solved.
        seed: Decides the scrambling, >= 0.

    Raises:
        UnsupportedError: more than 21 201 dimensions.

    Source: Owen 1998 (scrambling); direction numbers of Joe and Kuo 2008, as in SciPy.
    Differs: forbidden and repeated points are left out.
    Cost: O(d) a proposal, O(k d) memory for the points made so far.
    """

    def __init__(self, problem: Problem, *, seed: int) -> None:
        if problem.space.dimensions > MOST_DIMENSIONS:
            raise UnsupportedError(
                f"searcher 'sobol': the space has {problem.space.dimensions} dimensions. "
                f"Allowed: at most {MOST_DIMENSIONS}. Use searcher='random'."
            )
        super().__init__(problem, seed=seed)

    def _blocks(self) -> Iterator[Array]:
        from scipy.stats import qmc

        # scrambled, and from its first point on: leaving that out would spoil the balance
        engine = qmc.Sobol(self.space.dimensions, scramble=True, seed=self.rng(0))
        while True:
            yield self.space.warp(engine.random(BLOCK))
