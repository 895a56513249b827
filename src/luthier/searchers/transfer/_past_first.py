"""What searchers share that propose from earlier tasks first, and by a Gaussian process of today's trials else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from luthier.base.checks import check_flag
from luthier.base.records import Configuration, Observation
from luthier.searchers._base import Searcher
from luthier.searchers._highest import trials_of
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._seen import Seen, one_by_one
from luthier.searchers.gp import Gp
from luthier.searchers.transfer._history import EarlierTask, earlier_tasks
from luthier.searchers.transfer._trust import Trust, compare, expected
from luthier.space.problem import Problem
from luthier.space.values import Array

#: Results before the process takes over from what a method brings from earlier tasks (3: as in the paper's code).
AFTER = 3


class PastFirst(Searcher):
    """Proposes from earlier tasks while these are trusted and have something to propose; else as `gp` does.

    A method writes `_recall`. Without a usable earlier task every proposal is that of `gp` under the same seed.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        guard: Whether to leave the earlier tasks alone while today's trials speak against them.

    Attributes:
        fewest: Earlier tasks that the method needs; with fewer it is `gp`.
    """

    supports = frozenset({"conditions", "constraints", "parallel", "fidelity", "transfer"})
    warms = True
    fewest = 1

    def __init__(self, problem: Problem, *, seed: int, guard: bool) -> None:
        super().__init__(problem, seed=seed)
        self._tasks: tuple[EarlierTask, ...] = earlier_tasks(problem)
        if len(self._tasks) < self.fewest:
            self._lacking, self._tasks = len(self._tasks), ()
        self._guard = check_flag("guard", guard)
        self._features = KernelFeatures(problem.space)
        self._seen = Seen(problem, past=False)
        self._latest = trials_of(problem, "highest", fewest=AFTER)
        self._process = Gp(problem, seed=seed)
        self._judged: tuple[int, Trust] = (0, Trust())  # a cache, keyed by the snapshot

    _lacking = 0

    # what a method writes ------------------------------------------------------------------------------------------

    @abstractmethod
    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        """Proposal `k` from earlier tasks, none of those taken; None where they have none to make."""

    @property
    @abstractmethod
    def _plan(self) -> str:
        """What is done with the earlier tasks, in a few words."""

    def _expected(self, rows: Array) -> Array:
        """Normal scores that earlier tasks lead to expect; (n, d) -> (n,)."""
        return expected(self._tasks[-1:], self._features, rows)

    # what they share -----------------------------------------------------------------------------------------------

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results."""
        self._seen.add(observations)
        self._latest.add(observations)
        self._process.tell(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return one_by_one(self._one, n, k, pending)

    def _one(self, k: int, waiting: list[Configuration]) -> Configuration | None:
        """Proposal `k`; None when the space is exhausted."""
        if self._tasks and not self._trust().broken:
            found = self._recall(k, self._seen.taken(waiting), waiting)
            if found is not None:
                return found
        return next(iter(self._process.ask(k=k, pending=waiting)), None)

    def _trust(self) -> Trust:
        """How today's trials agree with the earlier tasks."""
        snapshot = self._latest.snapshot
        if not self._guard or not self._tasks or not snapshot.records:
            return Trust()
        if self._judged[0] != snapshot.number:
            found = compare(self._expected(self._latest.rows()), snapshot.merit())
            self._judged = (snapshot.number, found)
        return self._judged[1]

    def recommend(self) -> int | None:
        """As `gp`."""
        return self._process.recommend()

    @property
    def why(self) -> str:
        """What is done with the earlier tasks, or why nothing is."""
        if not self._tasks:
            return f"as gp: {_count(self._lacking)} of the {self.fewest} needed" if self._lacking else NOTHING
        trust = self._trust()
        if trust.broken:
            return f"as gp: earlier tasks lead astray, {trust}"
        return self._plan

    def diagnostics(self) -> dict[str, float | str]:
        """Earlier tasks, comparisons for and against them, and what the process says."""
        if not self._tasks:
            return {"fallback": self.why, **self._process.diagnostics()}
        trust = self._trust()
        found: dict[str, float | str] = {"earlier_tasks": len(self._tasks)}
        if self._guard:
            found |= {"past_agrees": trust.agree, "past_against": trust.against}
        if trust.broken:
            found["fallback"] = self.why
        return found | self._process.diagnostics()


NOTHING = "as gp: no earlier task has a trial to learn from"


def _count(tasks: int) -> str:
    return f"{tasks} earlier task{'s' * (tasks != 1)}"


class Listed(PastFirst):
    """Proposes a list of configurations of earlier tasks, one after the other, before `gp` takes over.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        guard: As above.
    """

    def __init__(self, problem: Problem, *, seed: int, guard: bool) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        self._points: tuple[Configuration, ...] = tuple(self._list()) if self._tasks else ()
        self._keys = self._seen.keys(self._points)
        if self._tasks:
            self._process = Gp(problem, seed=seed, initial=self._initial)

    @abstractmethod
    def _list(self) -> Iterator[Configuration]:
        """The configurations, in order."""

    @property
    def _initial(self) -> int:
        """Results before the process takes over."""
        return AFTER

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        return next((c for c, key in zip(self._points, self._keys, strict=True) if key not in taken), None)

    def from_past(self, config: Configuration) -> bool:
        """Whether a configuration is one of the list."""
        return config in self._points
