"""ParEGO: several objectives by a Gaussian process on a new random weighting for each proposal."""

from __future__ import annotations

from luthier.base.checks import check
from luthier.base.registry import register
from luthier.searchers._scalarise import WEIGHTINGS
from luthier.searchers.gp import Gp
from luthier.space.problem import Problem


@register("searcher")
class Parego(Gp):
    """Weights the objectives anew for each proposal, and maximises the expected improvement of the sum.

    For each proposal weights are drawn, the warped objectives are moved to [0, 1] and weighted, and a process is fitted
    to the result; the rest is as in `gp`. With one objective it is `gp`.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw.
        weighting: "chebyshev" (published: reaches every part of a front), "hypervolume" (needs no ranges), or "linear"
            (misses concave parts).
        acquisition: As in `gp`.
        initial: As in `gp`.
        warp: As in `gp`.
        candidates: As in `gp`.
        beta: As in `gp`.

    Raises:
        ArgumentError: an option is out of range.

    Source: Knowles 2006 (IEEE TEC 10), section III; hypervolume weighting: Zhang, Golovin 2020.
    Differs: weights are uniform on the simplex instead of on a lattice; objectives are warped first.
    Cost: a fit for each proposal, beside what `gp` costs.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        weighting: str = "chebyshev",
        acquisition: str = "ei",
        initial: int | None = None,
        warp: str = "half-rank",
        candidates: int = 1000,
        beta: float = 1.8,
    ) -> None:
        check("weighting", weighting, one_of=WEIGHTINGS)
        super().__init__(
            problem,
            seed=seed,
            acquisition=acquisition,
            initial=initial,
            warp=warp,
            candidates=candidates,
            beta=beta,
        )
        self._weighting = weighting

    def _exact(self, objectives: int) -> bool:
        return False
