"""Members of a population: who stands where, who is ahead, and how a copy's configuration is changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration
from luthier.schedulers._rungs import Rung
from luthier.space.domains import Ordinal
from luthier.space.number import Number
from luthier.space.space import Space

#: Times that a forbidden or unchanged configuration is drawn again before the copy keeps its parent's.
ROUNDS = 8


class Stand(Enum):
    """Where a member stands.

    RUNNING: a worker has it, or will have it again. RESTING: it paused at a decision point. HALTED: the end of a run
    of the study stopped it under way. GROWN: it had its full resource. GONE: replaced, failed, diverged or lost.
    """

    RUNNING = "running"
    RESTING = "resting"
    HALTED = "halted"
    GROWN = "grown"
    GONE = "gone"

    @property
    def alive(self) -> bool:
        """Whether there is something left for it to do."""
        return self in (Stand.RUNNING, Stand.RESTING, Stand.HALTED)


@dataclass(frozen=True, slots=True)
class Mark:
    """A result on the way.

    Args:
        resource: Where it was measured.
        values: One per objective, to be minimised.
        violation: Sum of what exceeds the constraints' bounds.
    """

    resource: float
    values: tuple[float, ...]
    violation: float = 0.0


@dataclass(slots=True)
class Member:
    """A trial of the population.

    Args:
        trial: Its number.
        slot: Its place in the population; a clone takes the place of the member that it replaces.
        config: Its configuration.
        until: Resource granted to its current run, None for all of it.
        parent: The trial whose checkpoint it started from.
        stand: Where it stands.
        judged: Resource at its last decision, or at its start.
        origin: Resource at its start.
        base: Its result there, None for a fresh member.
        resource: Where its newest result was measured.
        values: The newest result, to be minimised; empty before the first.
        violation: Sum of what exceeds the constraints' bounds in it.
        checkpoint: Name of its newest checkpoint.
        marks: The first result reported with each checkpoint.
    """

    trial: int
    slot: int
    config: Configuration
    until: float | None = None
    parent: int | None = None
    stand: Stand = Stand.RUNNING
    judged: float = 0.0
    origin: float = 0.0
    base: Mark | None = None
    resource: float = 0.0
    values: tuple[float, ...] = ()
    violation: float = 0.0
    checkpoint: str | None = None
    marks: dict[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standings:
    """Members by their newest results.

    Args:
        ranked: Best first; who has no result is left out.
        best: Trials to copy from, each with its newest checkpoint; best first.
        behind: Who is to be replaced, the worst first.
    """

    ranked: tuple[Member, ...]
    best: tuple[tuple[int, str], ...]
    behind: tuple[Member, ...]


def standings(members: Iterable[Member], share: float) -> Standings:
    """Order members as rungs order results, equal ones by slot, and say who is among the best and the worst.

    Nobody is behind whom not all of the best quantile exceed (a tie is no evidence), and nobody at all where there is
    no checkpoint to copy. There is at least one to copy from, if anybody has a result and a checkpoint.

    Args:
        members: Those to be compared.
        share: Size of either quantile.
    """
    known = {m.trial: m for m in sorted(members, key=lambda m: m.slot) if m.values}
    rung = Rung(0.0)
    for member in known.values():
        rung.add(member.trial, member.values, member.violation)
    ranked = tuple(known[entry.trial] for entry in rung.ranked())
    size = quantile_size(len(ranked), share)
    able = [(m.trial, m.checkpoint) for m in ranked if m.checkpoint is not None]
    best = tuple(able[: max(1, size)])
    copied = {trial for trial, _ in best}
    last = ranked[len(ranked) - size :] if best else ()
    behind = tuple(m for m in reversed(last) if m.trial not in copied and rung.better(m.trial) >= size)
    return Standings(ranked, best, behind)


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A place to be filled with a clone at a synchronous decision.

    Args:
        slot: The place.
        generation: Number of the decision, from 0.
        old: Trial that stands there until its clone starts; None where it failed.
        best: Trials to choose from, each with its checkpoint then.
    """

    slot: int
    generation: int
    old: int | None
    best: tuple[tuple[int, str], ...]


def check_factors(factors: Any) -> tuple[float, ...]:
    """What numbers are multiplied by.

    Raises:
        ArgumentError: there is none, or one that is not above 0.
    """
    if not isinstance(factors, Sequence) or isinstance(factors, str) or not factors:
        raise ArgumentError(f"factors={factors!r}. Allowed: a list of numbers above 0, such as [0.8, 1.2].")
    for factor in factors:
        check("factors", factor, above=0)
    return tuple(float(factor) for factor in factors)


def quantile_size(n: int, share: float) -> int:
    """How many of n members are "the best" (and "the worst"): n * share rounded up, at most half of them."""
    return min(math.ceil(n * share - 1e-9), n // 2)


def explore(
    space: Space, config: Configuration, rng: np.random.Generator, *, resample: float, factors: tuple[float, ...]
) -> Configuration:
    """A configuration near another one, as population-based training changes it.

    Each active hyperparameter is drawn anew from its prior with probability `resample`. Otherwise a number is
    multiplied by one of the factors, in its own scale (also where its range is logarithmic), and clipped to its range;
    a stepped one moves by at least one step, unless it stands at the bound that it is pushed against. An ordinal moves
    by one level, down where the factor is below 1 and up otherwise. A choice is always drawn anew: it has no
    neighbours. Hyperparameters that become active are drawn. What comes out unchanged, as at the bounds, is drawn
    again: a copy without a change of its own would stay its parent's double.

    Args:
        space: The space.
        config: Where to start.
        rng: Source of randomness.
        resample: Probability.
        factors: One is drawn for each hyperparameter, all alike.

    Returns:
        A configuration of the space; `config` itself, in the space as it is, where eight draws were all forbidden or
        unchanged.
    """
    rows, active = space.encode([config])
    for _ in range(ROUNDS):
        fresh = space.warp(rng.random((1, space.dimensions)))[0]
        again = rng.random(space.dimensions) < resample
        pushes = [factors[i] for i in rng.integers(len(factors), size=space.dimensions)]
        pushed = dict(config)
        for place, name in enumerate(space.columns):
            if active[0, place]:
                pushed[name] = _pushed(space, name, config[name], pushes[place])
        codes = space.encode([pushed])[0][0]
        choice = np.array([kind == "choice" for kind in space.kinds], dtype=bool)
        row = space.snap(np.where(active[0] & ~again & ~choice, codes, fresh)[None])
        if space.allowed(row)[0] and (row != rows).any():
            return space.decode(row)[0]
    return space.decode(rows)[0]


def _pushed(space: Space, name: str, value: Any, factor: float) -> Any:
    """A value times a factor, or its neighbour; a choice stays."""
    domain = space[name]
    if isinstance(domain, Ordinal):
        levels = domain.values
        at = next(i for i, level in enumerate(levels) if level is value or (level, type(level)) == (value, type(value)))
        return levels[min(max(at + (1 if factor >= 1 else -1), 0), len(levels) - 1)]
    if not isinstance(domain, Number):
        return value
    moved = min(max(value * factor, domain.low), domain.high)
    quantum = domain.quantum
    if quantum is None:
        return moved
    level = round((value - domain.low) / quantum)
    new = round((moved - domain.low) / quantum)
    if new == level:  # too small a change for a step
        new += 1 if (factor >= 1) == (value >= 0) else -1
    return domain.at(min(max(new, 0), domain.levels - 1))
