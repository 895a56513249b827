"""How what a searcher says of itself developed: its diagnostics at moments of the log, computed anew."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from luthier.base.records import Event
from luthier.study._definition import Definition
from luthier.study._engine import Engine

#: Events after which a searcher may have heard something new.
_TOLD = frozenset({"finished", "stopped", "paused", "failed"})


def course(definition: Definition, events: Sequence[Event], moments: int) -> list[dict[str, Any]]:
    """Diagnostics after evenly spaced results, the last ones as they are now.

    The log is folded once, into algorithms of its own; models are fitted at the moments alone. So it is a function of
    the log, like every decision.

    Args:
        definition: The study as it was made.
        events: Its whole log.
        moments: How many at most, >= 1.

    Returns:
        One row a moment: the searcher's diagnostics, and `results`, the ends of runs until then.
    """
    ends = [place for place, event in enumerate(events) if event.kind in _TOLD]
    chosen = {ends[(i + 1) * len(ends) // moments - 1] for i in range(moments) if (i + 1) * len(ends) >= moments}
    chosen = chosen - set(ends[-1:]) | {len(events) - 1}  # what followed the last result belongs to the present
    order = [event.seq for event in events]
    engine = Engine(definition, lambda head: list(events[: bisect.bisect_right(order, head)]))
    found: list[dict[str, Any]] = []
    results = 0
    for place, event in enumerate(events):
        engine.fold(event)
        results += event.kind in _TOLD
        if place in chosen:
            engine.refresh()
            found.append({"results": results, **engine.scheduler.searcher.diagnostics()})
    return found
