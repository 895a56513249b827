"""ASHA with a hurdle: what was best on earlier tasks runs first, and others go on only if they reach it."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Job
from luthier.base.registry import register
from luthier.schedulers._rungs import Rung
from luthier.schedulers.asha import Asha
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

#: Who a trial can come from beside the searcher; see `Job.origin`.
ORIGINS = ("past", "first", "default", "enqueued", "user")


@register("scheduler")
class Rush(Asha):
    """Asynchronous successive halving in which some trials set a hurdle for all others.

    A study puts the best configuration of each of its earlier tasks before all other trials, the newest task's first,
    whoever the searcher is; a searcher's own choice from earlier tasks has the origin "past", too.

    Trials whose origin is among `hurdle` set it: at each rung, the best that any of them has shown there. Any other
    trial goes on from a rung only if `asha` lets it and it is at least as good as the hurdle; while no such trial
    has reached the rung there is none. What sets the hurdle is judged by `asha` alone, so that of the promotion type
    it waits, where nothing else clears the hurdle, at a rung of fewer than eta results; of the stopping type it runs
    on. Without trials that set a hurdle every decision is that of `asha`.

    "At least as good" goes by value with one objective, and by front with several; feasible comes before infeasible,
    and among infeasible results the one that violates less is the better.

    Args:
        problem: What is to be solved; it needs a fidelity.
        searcher: Who proposes.
        seed: Decides the brackets, >= 0.
        eta: Reduction factor, a whole number >= 2 (3, as for `asha`).
        grace: Resource of the first rung, in the unit of the fidelity; None: its lowest value.
        type: "stopping" or "promotion" ("stopping": as for `asha`).
        brackets: Number of brackets, from 1 to the number of rungs (1, the most aggressive, as for `asha`); the
            hurdles of one bracket do not hold in another.
        hurdle: Origins of the trials that set the hurdle: some of "past", "first", "default", "enqueued" and "user"
            ("past" and "first": the best of earlier tasks, as in the paper, and what the user wants to have beaten).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Zappella, Salinas, Archambeau 2021, A resource-efficient method for repeated HPO and NAS problems.
    Differs: everything that `asha` differs in; several objectives and constraints.
    Cost: that of `asha`, and O(h) for h trials that set the hurdle.
    """

    recalls = True

    def __init__(
        self,
        problem: Problem,
        searcher: Searcher,
        *,
        seed: int,
        eta: int = 3,
        grace: float | None = None,
        type: str = "stopping",
        brackets: int = 1,
        hurdle: Sequence[str] = ("past", "first"),
    ) -> None:
        super().__init__(problem, searcher, seed=seed, eta=eta, grace=grace, type=type, brackets=brackets)
        if not isinstance(hurdle, Sequence):
            raise ArgumentError(f"hurdle={hurdle!r}. Allowed: some of {', '.join(ORIGINS)}.")
        self._origins = (hurdle,) if isinstance(hurdle, str) else tuple(hurdle)
        for origin in self._origins:
            check("hurdle", origin, one_of=ORIGINS)
        self._setters: set[int] = set()  # trials that set the hurdle

    def on_start(self, job: Job) -> None:
        """A trial runs; where it comes from says whether it sets the hurdle."""
        super().on_start(job)
        if job.origin in self._origins:
            self._setters.add(job.trial)

    def _clears(self, rung: Rung, trial: int) -> bool:
        """Whether a trial is at least as good as the hurdle of a rung."""
        if trial in self._setters:
            return True
        hurdle = min((rung.merit(setter) for setter in self._setters if setter in rung), default=None)
        return hurdle is None or rung.merit(trial) <= hurdle

    def _chosen(self, rung: Rung) -> int | None:
        best = rung.best_open()
        if best is None or self._clears(rung, best):
            return super()._chosen(rung)
        # no other trial clears what the best one does not, but for those that set the hurdle
        setters = [trial for trial in self._setters if rung.is_open(trial)]
        trial = min(setters, key=rung.place, default=None)
        return trial if trial is not None and rung.place(trial) < len(rung) // self.eta else None

    def _goes_on(self, rung: Rung, trial: int) -> bool:
        return super()._goes_on(rung, trial) and self._clears(rung, trial)
