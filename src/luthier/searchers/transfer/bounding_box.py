"""As gp, in the box that the best configurations of the earlier tasks span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.searchers.gp import Gp
from luthier.searchers.transfer._history import EarlierTask
from luthier.searchers.transfer._past_first import PastFirst
from luthier.space.conditions import parents
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Ordinal
from luthier.space.number import Number
from luthier.space.problem import Problem
from luthier.space.serial import domain_from_dict
from luthier.space.space import Space
from luthier.space.values import tell_apart

#: The best trials that must lie at one side of the box, how near to it (in its widths), and of how many in all.
BEST, NEAR, OF = 3, 0.05, 8


@register("searcher")
class BoundingBox(PastFirst):
    """Searches, as `gp` does, among values between those of the earlier tasks' best configurations.

    A number keeps the range from the lowest to the highest value of these, a choice or ordinal the values that occur
    (an ordinal those between, too); what all agree on is fixed. Hyperparameters that a condition or a forbidden
    combination names keep their whole range, so that conditions go on to mean something. What is tried outside of the
    box, such as the default, the model in the box does not see.

    Two earlier tasks with distinct best configurations are needed: one spans no box. An optimum that has drifted out
    of the box cannot be found in it. So the search goes on in the whole space where the best three trials of eight and
    more lie at one and the same side of the box, or where today's trials speak against the last task; `diagnostics`
    says which, and how many earlier tasks had their optimum outside of the box of those before them.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        guard: Whether to leave the box where the optimum has; False: as published.

    Source: Perrone, Shen, Seeger, Archambeau, Jenatton 2019, Learning search spaces for Bayesian optimization (the
        box); as in Hellan et al. 2023 one best configuration a task.
    Differs: the guard; `gp` in place of BoTorch's process; ordinals keep what lies between.
    Cost: that of `gp`, twice where both processes are asked.
    """

    fewest = 2
    _alike = 0

    def __init__(self, problem: Problem, *, seed: int, guard: bool = True) -> None:
        super().__init__(problem, seed=seed, guard=guard)
        if self._tasks and len({task.best for task in self._tasks}) < self.fewest:
            self._alike, self._tasks = len(self._tasks), ()
        self._box = box(problem.space, self._tasks) if self._tasks else problem.space
        self._inner = Gp(replace(problem, space=self._box), seed=seed)
        self._rim: tuple[int, str] = (0, "")  # a cache, keyed by the snapshot

    @property
    def why(self) -> str:
        """As for all that begin with earlier tasks; or that these agree on one configuration, which spans no box."""
        alike = f"as gp: {self._alike} earlier tasks have one best configuration in common"
        return alike if self._alike else super().why

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the model in the box sees those that lie in it."""
        super().tell(observations)
        if self._tasks:
            self._inner.tell([o for o in observations if within(o.config, self._box)])

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        if self._guard and self._at_rim():
            return None
        inside = [config for config in waiting if within(config, self._box)]
        return next(iter(self._inner.ask(k=k, pending=inside)), None)

    def _at_rim(self) -> str:
        """The side of the box where the best trials lie, in words; empty where they do not."""
        snapshot = self._latest.snapshot
        if self._rim[0] != snapshot.number:
            best = [snapshot.records[i].config for i in np.argsort(snapshot.merit(), kind="stable")]
            inside = [config for config in best if within(config, self._box)]
            found = rim(inside[:BEST], self._box, self.space) if len(inside) >= OF else ""
            self._rim = (snapshot.number, found)
        return self._rim[1]

    @property
    def _plan(self) -> str:
        words = f"the box of the best of {len(self._tasks)} earlier tasks"
        if self._guard and self._at_rim():
            return f"as gp: today's best trials lie at the rim of {words}, {self._at_rim()}"
        return f"gp in {words}"

    def diagnostics(self) -> dict[str, float | str]:
        """Which share of the numbers' ranges the box keeps, earlier drifts out of it, and where the best trials lie."""
        found = super().diagnostics()
        if not self._tasks:
            return found
        left, judged = drifts(self.space, self._tasks)
        found |= {"box_left": f"by {left} of {judged} earlier tasks", "box_fixed": _fixed(self._box, self.space)}
        if self._at_rim():
            found |= {"rim": self._at_rim()} | ({"fallback": self.why} if self._guard else {})
        return found


def box(space: Space, tasks: Sequence[EarlierTask]) -> Space:
    """The part of a space that the best configurations of tasks span.

    Args:
        space: Today's.
        tasks: One or more.

    Returns:
        A space whose every configuration is one of `space`.
    """
    best = [task.best for task in tasks]
    kept = {name for condition in (*space.conditions.values(), *space.forbidden) for name in parents(condition)}
    narrow = {name: _narrow(name, space, best) if name not in kept else space[name] for name in space.names}
    try:
        return Space(narrow, forbid=[clause.to_json() for clause in space.forbidden])
    except SpaceError:  # the default configuration, made of the newest values, may be forbidden
        return space


def _narrow(name: str, space: Space, best: Sequence[Configuration]) -> Domain:
    """The domain of a hyperparameter, from the lowest to the highest value; as it is where nobody used it."""
    domain = space[name]
    values = [config[name] for config in best if name in config]
    if not values:
        return domain
    if isinstance(domain, Number):
        found = _like(domain, name, low=min(values), high=max(values), default=values[-1])
    elif isinstance(domain, (Choice, Ordinal)):
        places = sorted({domain.index[tell_apart(value)] for value in values})
        if isinstance(domain, Ordinal):
            places = list(range(places[0], places[-1] + 1))
        found = _like(domain, name, values=[domain.values[i] for i in places], default=values[-1])
    else:
        return domain
    try:
        if found.low < found.high if isinstance(found, Number) else len(places) > 1:
            found.check(name)
            return found
    except SpaceError:  # too narrow a range to tell numbers apart in
        pass
    return Fixed(values[-1], domain.when)


def _like(domain: Domain, name: str, **changes: Any) -> Domain:
    """A domain with other values and no prior: the earlier tasks have said more than it."""
    return domain_from_dict(name, {k: v for k, v in domain.to_dict().items() if k != "prior"} | changes)


def within(config: Configuration, space: Space) -> bool:
    """Whether a configuration lies in a box of its space."""
    return all(name in space and space[name].contains(value) for name, value in config.items())


def rim(configs: Sequence[Configuration], inner: Space, outer: Space) -> str:
    """The side of a box at which all configurations lie, where the space goes on beyond it; in words, else empty."""
    for name in inner.columns:
        narrow, whole = inner[name], outer[name]
        if not isinstance(narrow, Number) or not isinstance(whole, Number):
            continue
        if not all(name in config for config in configs):
            continue
        at = inner.encode(configs)[0][:, inner.columns.index(name)]
        if narrow.low > whole.low and (at <= NEAR).all():
            return f"{name}={narrow.low:g}"
        if narrow.high < whole.high and (at >= 1 - NEAR).all():
            return f"{name}={narrow.high:g}"
    return ""


def drifts(space: Space, tasks: Sequence[EarlierTask]) -> tuple[int, int]:
    """How many tasks, of those from the third on, had their best configuration outside of the box of those before."""
    judged = range(2, len(tasks))
    return sum(not within(tasks[i].best, box(space, tasks[:i])) for i in judged), len(judged)


def _fixed(inner: Space, outer: Space) -> str:
    """Names of what the box fixes."""
    return ", ".join(name for name in outer.columns if name not in inner.columns) or "nothing"
