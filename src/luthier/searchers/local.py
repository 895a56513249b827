"""Local search: one hyperparameter of a member of the Pareto set changes; small, and strong where a start is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.pareto import nondominated
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.searchers._latest import Record, merit
from luthier.searchers._population import Evolving, first_new
from luthier.searchers._seen import draw
from luthier.searchers.evolution import FINEST
from luthier.space.problem import Problem


@register("searcher")
class Local(Evolving):
    """Keeps the results that no other one dominates, picks one of them, and changes one hyperparameter.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. A member of the Pareto set of all feasible results is drawn uniformly, and one of its hyperparameters gets
       another value: numbers move by a normal step, small and large ones equally often; choices jump.

    Without a feasible result the one that violates least is changed; with one objective the set is the best result and
    its equals. Failed and diverged trials are no members.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        initial: Results before the first change (5: searches of sub-networks are given the ends of their space first).
        step: Largest standard deviation of a number's step, in the unit interval (0.3: as in `evolution`).

    Raises:
        ArgumentError: an option is out of range.

    Source: Klein et al. 2024, the local search for sub-networks (its code: one member uniformly, one axis redrawn).
    Differs: weak dominance, so that two equal results do not both vanish; numbers take steps instead of being redrawn;
        no configuration twice.
    Cost: O(n log n) a proposal with up to two objectives, O(n^2 m) beyond.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(self, problem: Problem, *, seed: int, initial: int = 5, step: float = 0.3) -> None:
        super().__init__(problem, seed=seed)
        initial = check("initial", initial, at_least=1, whole=True)
        check("step", step, above=0)
        self._initial, self._step = initial, step

    def _one(self, k: int, taken: set[bytes]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        records = self._results.records
        if len(records) < self._initial or not self.space.dimensions:
            return draw(self._seen, taken, rng)
        members = _members(records)
        place = int(members[rng.integers(len(members))])
        size = self._step * FINEST ** rng.random()
        parent = self._results.between(place, place + 1)
        return first_new(self._seen, taken, self.space.perturb(parent, rng, step=size, changes=1), rng)


def _members(records: Sequence[Record]) -> np.ndarray:
    """Places of the Pareto set; of the least infeasible result where none is feasible."""
    good = [i for i, r in enumerate(records) if r.values and max(r.violations, default=0.0) <= 0.0]
    if not good:
        return np.array([int(np.argmin(merit(records)))])
    values = np.array([records[i].values for i in good])
    return np.array(good)[nondominated(values)]
