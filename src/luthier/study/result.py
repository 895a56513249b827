"""What a study found: the incumbent with the rule that chose it, and the Pareto set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from luthier.base.pareto import nondominated
from luthier.base.records import Status, Trial, pairs
from luthier.space.problem import Problem
from luthier.study._choosing import CHOOSERS
from luthier.study._guard import searched
from luthier.study.overtuning import Overtuning

_COUNTED = frozenset({Status.COMPLETED, Status.STOPPED, Status.PAUSED, Status.RUNNING, Status.WAITING})


@dataclass(frozen=True)
class Result:
    """What a study has found.

    Args:
        name: The study's name.
        where: Where to find it again.
        best: The incumbent; None while no trial has a usable result, and with several objectives.
        rule: How the incumbent was chosen.
        default: The trial of the default configuration, if it was evaluated.
        pareto: Feasible trials that no other dominates.
        trials: All trials.
        reason: Why the last run ended, None if it has not.
        overtuning: What was lost on the untouched data; None where no such metric was reported.
        verdicts: The last word of each stopping rule: "rule", "stop", "advise", "reason", and the numbers behind it.
    """

    name: str
    where: str
    best: Trial | None
    rule: str
    default: Trial | None
    pareto: list[Trial] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    reason: str | None = None
    overtuning: Overtuning | None = None
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of trials by status; statuses that do not occur are left out."""
        return {s.value: n for s in Status if (n := sum(t.status is s for t in self.trials))}

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {word}" for word, n in self.counts.items())
        if self.best is None:
            # without a result the reason is what is wanted: the last failure's, in a line
            last = next((t for t in reversed(self.trials) if t.error), None)
            why = "" if last is None else f"; trial {last.number}: {last.error}"
            return f"Result({self.name!r}: {counts or 'no trials'}; {self.rule}{why})"
        numbers = ", ".join(pairs(self.best.metrics))
        config = ", ".join(pairs(self.best.config))
        return f"Result({self.name!r}: {counts}; trial {self.best.number}: {numbers} at {config})"


def candidates(trials: Sequence[Trial], problem: Problem, repeats: int) -> list[Trial]:
    """Trials whose result may be compared: finished ones, or any that reported when there is a fidelity."""
    found = []
    for trial in trials:
        if trial.status not in _COUNTED or not trial.metrics:
            continue
        if repeats > 1 and len(trial.repeats) < repeats:
            continue
        if problem.fidelity is None and trial.status is not Status.COMPLETED:
            continue
        named = [*(o.name for o in problem.objectives), *(c.name for c in problem.constraints)]
        if all(name in trial.metrics for name in named) and problem.usable(trial.metrics):
            found.append(trial)
    return found


def violation(trial: Trial, problem: Problem) -> float:
    """Sum of what exceeds the constraints' bounds; 0 for a feasible trial."""
    return sum(max(0.0, trial.metrics[c.name] - c.upper) for c in problem.constraints)


def nearest(trials: Sequence[Trial], problem: Problem) -> Trial | None:
    """The trial that is nearest to keeping all bounds, where none does; None where one does, or none has a result."""
    found = candidates(searched(trials), problem, 1)
    best = min(found, key=lambda t: (violation(t, problem), t.number), default=None)
    return best if best is not None and violation(best, problem) > 0 else None


def contenders(trials: Sequence[Trial], problem: Problem, repeats: int) -> list[Trial]:
    """Feasible trials of the search with a result at the highest resource reached, the best first; one objective."""
    objective = problem.objectives[0]
    found = [t for t in candidates(searched(trials), problem, repeats) if violation(t, problem) <= 0]
    top = max((t.resource or 0.0 for t in found), default=0.0)
    found = [t for t in found if (t.resource or 0.0) == top]
    return sorted(found, key=lambda t: (objective.sign * t.metrics[objective.name], t.number))


def choose(
    trials: Sequence[Trial],
    problem: Problem,
    repeats: int,
    recommended: int | None = None,
    *,
    incumbent: str = "auto",
    seed: int = 0,
) -> tuple[Trial | None, str]:
    """The incumbent and the rule that chose it.

    Feasible before infeasible; then the higher resource, so that a lucky short run does not win; then the value, or
    what the rule asked for says. With repeats only trials with all of them count, by their mean; where a model finds
    single results noisy, the rule "auto" takes the trial that its searcher recommends, which need not be the luckiest
    draw.

    Args:
        trials: All trials.
        problem: The problem.
        repeats: Evaluations per configuration.
        recommended: Trial that the searcher believes to be best, None where the lowest value is.
        incumbent: One of `_selection.RULES`.
        seed: The study's.

    Returns:
        The trial (None if there is none, or with several objectives) and the rule in words.
    """
    if len(problem.objectives) > 1:
        return None, "Pareto set"
    single = f"best mean of {repeats} repeats" if repeats > 1 else "best single value"
    where = "" if problem.fidelity is None else f" at the highest {problem.fidelity.name} reached"
    where += " among feasible trials" if problem.constraints else ""
    rule = single + where
    objective = problem.objectives[0]
    found = candidates(searched(trials), problem, repeats)
    if not found:
        return None, rule + " (no trial has a result yet)"
    pool = contenders(trials, problem, repeats) if incumbent in CHOOSERS else []
    if pool:
        chosen, words = CHOOSERS[incumbent](pool, trials, problem, seed)
        return chosen, words.replace("best single value", single) + where
    believed = next((t for t in found if t.number == recommended and violation(t, problem) <= 0), None)
    if believed is not None:
        return believed, rule.replace("best single value", "best posterior mean")
    best = min(
        found,
        key=lambda t: (
            violation(t, problem),
            -(t.resource or 0.0),
            objective.sign * t.metrics[objective.name],
            t.number,
        ),
    )
    if violation(best, problem) > 0:
        rule = "smallest violation of the constraints (no trial is feasible yet)"
    return best, rule


def pareto_set(trials: Sequence[Trial], problem: Problem, repeats: int) -> list[Trial]:
    """Feasible trials that no other dominates, in order of the first of several objectives.

    With a fidelity only trials at the highest resource reached count.
    """
    found = [t for t in candidates(trials, problem, repeats) if violation(t, problem) <= 0]
    if problem.fidelity is not None and found:
        top = max(t.resource or 0.0 for t in found)
        found = [t for t in found if (t.resource or 0.0) == top]
    if not found:
        return []
    values = np.array([[o.sign * t.metrics[o.name] for o in problem.objectives] for t in found])
    keep = nondominated(values)
    return sorted(
        (t for t, k in zip(found, keep, strict=True) if k), key=lambda t: t.metrics[problem.objectives[0].name]
    )
