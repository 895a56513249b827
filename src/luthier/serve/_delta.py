"""The table of trials as its difference to what a reader has: a thousand rows of which one is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.report.live import Part

#: States of a table that are kept to be compared with: readers that ask every few seconds have one of the latest.
KEPT = 4


class Tables:
    """The latest states of one study's table, by their marks."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def keep(self, found: Sequence[Part]) -> None:
        """Note the table of a page."""
        for part in found:
            if part.id == "trials":
                self._kept[part.mark] = part.content["trials"]
                self._kept.move_to_end(part.mark)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)

    def sent(self, part: Part, known: Mapping[str, str]) -> dict[str, Any]:
        """What a reader gets of a part: all of it, or of a table the rows that differ."""
        whole = part.as_dict()
        old = self._kept.get(known.get(part.id, ""))
        if part.id != "trials" or old is None:
            return whole
        new = whole.pop("trials")
        if old["columns"] != new["columns"]:
            return {**whole, "trials": new}
        return {**whole, "changed": {name: different(old[name], new[name]) for name in ("rows", "details")}}


def different(old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
    """`length`, and what stands at each place that differs."""
    at = {str(i): value for i, value in enumerate(new) if i >= len(old) or old[i] != value}
    return {"length": len(new), "at": at}
