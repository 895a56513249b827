"""What the configurations of an earlier task mean in today's space."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration, Observation, Status
from luthier.space.problem import PastTask
from luthier.space.space import Space


def tells(status: Status, resource: float | None) -> bool:
    """Whether a trial tells something of its configuration: lost, failed and unfinished ones do not, nor those that
    were stopped where there is no resource at which they could be compared.
    """
    return status is Status.COMPLETED or (status is Status.STOPPED and resource is not None)


@dataclass(frozen=True)
class Translation:
    """An earlier task in today's space.

    Args:
        observations: Those that have a place there, with their configurations in it, in their order.
        notes: What had to be done to them, a line each; empty when the spaces agree.
    """

    observations: tuple[Observation, ...]
    notes: tuple[str, ...]

    @property
    def comparable(self) -> tuple[Observation, ...]:
        """Those that can be compared: finite, of the highest resource, and the feasible ones where there are any."""
        found = tuple(o for o in self.observations if math.isfinite(o.values[0]))
        if any(o.resource is not None for o in found):
            top = max(o.resource or 0.0 for o in found)
            found = tuple(o for o in found if (o.resource or 0.0) == top)
        return tuple(o for o in found if o.violation <= 0) or found


def translate(task: PastTask, space: Space) -> Translation:
    """Bring an earlier task's trials into a space.

    A hyperparameter that is new here takes its default, one that is gone is dropped, and a trial with a value that the
    space does not hold is left out, as is one without a finite result.

    Args:
        task: The earlier task.
        space: Today's space.

    Returns:
        The trials, and what was done.
    """
    new = [name for name in space.names if name not in task.space]
    gone = [name for name in task.space.names if name not in space]
    told = [o for o in task.observations if o.values and tells(o.status, o.resource)]
    found, outside = [], 0
    for observation in told:
        config = _config(observation.config, space)
        if config is None:
            outside += 1
        else:
            found.append(replace(observation, config=config))
    notes = [f"{name!r} is new here: its trials count as tried at {space[name].default!r}" for name in new if found]
    notes += [f"{name!r} is gone here: its trials count as if it had not been there" for name in gone]
    if outside:
        notes.append(f"{outside} of {len(told)} trials lie outside of this space and are left out")
    if not told:
        notes.append("it has no finished trial and is left out")
    return Translation(tuple(found), tuple(notes))


def _config(config: Configuration, space: Space) -> Configuration | None:
    known: dict[str, Any] = {name: value for name, value in config.items() if name in space}
    try:
        return space.check(known, fill=True)
    except SpaceError:
        return None
