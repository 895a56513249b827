"""Picks a searcher for the problem, by rules that were fixed on development tasks, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luthier.base.checks import check
from luthier.base.records import Configuration, Observation
from luthier.base.registry import load, own_arguments, register
from luthier.searchers._base import Searcher
from luthier.searchers._seen import Seen
from luthier.searchers.transfer._history import earlier_tasks
from luthier.searchers.transfer._selection import select
from luthier.space.problem import Problem

MANY = 1000  # planned evaluations from which a population has time to adapt, and models hold only part of the trials
CHEAP = 0.05  # seconds of an evaluation below which a model's proposals would be most of the waiting
WIDE = 60  # dimensions above which distances tell a process little
WARM = 2  # best configurations of earlier tasks that come first, the newest task's before the one before it
SEVERAL = 4  # objectives from which a random weighting reaches too little of the front


class Choice(NamedTuple):
    """Who proposes, and why, in a few words."""

    name: str
    why: str


def choose(problem: Problem, *, budget: int | None = None, cost: float | None = None) -> Choice:
    """The searcher for a problem.

    Args:
        problem: What is to be solved.
        budget: Evaluations that are planned, None if that is open.
        cost: Seconds that an evaluation takes, None if that is not known.

    Returns:
        Its name and the reason.
    """
    space, several = problem.space, len(problem.objectives)
    continuous = bool(space.dimensions) and not any(space.levels)
    if cost is not None and cost < CHEAP:
        if several > 1:
            return Choice("nsga2", f"{several} objectives, and evaluations are faster than a model")
        return Choice("tpe", "evaluations are nearly as fast as a model")
    if several >= SEVERAL:
        return Choice("nsga2", f"{several} objectives: too many for models of each")
    if budget is not None and budget >= MANY:
        if several > 1:
            return Choice("nsga2", f"{several} objectives and {budget} evaluations")
        if continuous and not problem.constraints and problem.fidelity is None:
            return Choice("cmaes", f"{space.dimensions} continuous hyperparameters and {budget} evaluations")
    if space.dimensions > WIDE:
        return Choice("tpe", f"{space.dimensions} hyperparameters")
    tasks = earlier_tasks(problem)
    if tasks and several == 1:
        trials = sum(len(task) for task in tasks)
        count = f"{len(tasks)} earlier task{'s' if len(tasks) != 1 else ''}"
        return Choice("task-gp", f"{count} with {trials} trials, the best of the last {WARM} first")
    words = f"{space.dimensions} hyperparameter{'s' if space.dimensions != 1 else ''}"
    if several > 1:
        return Choice("gp", f"{several} objectives over {words}")
    return Choice("gp", words + (", constrained" if problem.constraints else ""))


@register("searcher")
class Auto(Searcher):
    """Delegates to the searcher that suits the problem; `why` says which and for what reason.

    Everything that it does is what the chosen searcher does under the same seed. With earlier tasks, the best
    configurations of the last two come first, and one model of all tasks goes on (`task-gp`; with several objectives,
    with fast evaluations or in many dimensions the searcher that is chosen without them).

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        budget: Evaluations that are planned, if known: from 1000 on populations take over from models.
        cost: Seconds that an evaluation takes, if known: below 0.05 fast searchers take over from models.
        fidelity: Passed on, if given, to a searcher that has this argument.

    Raises:
        ArgumentError: an option is out of range.

    Source: the rules were chosen on the development tasks of `benchmarks/quality.py`; see docs/decisions.md.
    Differs: nothing.
    Cost: that of the chosen searcher.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity", "transfer"})
    warms = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        budget: int | None = None,
        cost: float | None = None,
        fidelity: str | None = None,
    ) -> None:
        super().__init__(problem, seed=seed)
        if budget is not None:
            budget = check("budget", budget, at_least=1, whole=True)
        if cost is not None:
            check("cost", cost, at_least=0)
        self.choice = choose(problem, budget=budget, cost=cost)
        chosen = load("searcher", self.choice.name)
        passed = {"fidelity": fidelity} if fidelity is not None and "fidelity" in own_arguments(chosen) else {}
        self._chosen: Searcher = chosen(problem, seed=seed, **passed)
        self._seen = Seen(problem, past=False)  # it recalls them itself
        self._first = select(earlier_tasks(problem), WARM)

    @property
    def why(self) -> str:
        """Who was chosen and why."""
        return f"{self.choice.name}: {self.choice.why}"

    def tell(self, observations: Sequence[Observation]) -> None:
        """Pass on."""
        if self._first:
            self._seen.add(observations)
        self._chosen.tell(observations)

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        first = self._untried(pending)[:n]
        rest = n - len(first)
        if not rest:
            return first
        return [*first, *self._chosen.ask(rest, k=k + len(first), pending=[*pending, *first])]

    def _untried(self, pending: Sequence[Configuration]) -> list[Configuration]:
        """What earlier tasks bring and nobody has tried yet."""
        if not self._first:
            return []
        taken = self._seen.taken(list(pending))
        rows, _ = self.space.encode(self._first)
        return [config for config, key in zip(self._first, self.space.unit_keys(rows), strict=True) if key not in taken]

    def from_past(self, config: Configuration) -> bool:
        """Whether a configuration is one of those that come first, or the chosen searcher had it from a task."""
        return config in self._first or self._chosen.from_past(config)

    def recommend(self) -> int | None:
        """Pass on."""
        return self._chosen.recommend()

    def diagnostics(self) -> dict[str, float | str]:
        """Those of the chosen searcher, and who that is."""
        return {"chosen": self.why, **self._chosen.diagnostics()}
