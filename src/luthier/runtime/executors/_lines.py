"""Reads what a program prints: reports among any kind of output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

#: Longest line that can be a report, in bytes: a thousand metrics fit.
LONGEST = 65_536


class Reading(NamedTuple):
    """One report as printed: metrics, scores of folds, and the name of a checkpoint."""

    metrics: dict[str, float]
    folds: tuple[float, ...]
    checkpoint: str | None


class Lines:
    """Cuts a stream of bytes into lines; what is longer than a report can be is never kept."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that a chunk completes."""
        *done, rest = (self._rest + chunk).split(b"\n")
        for line in done:
            if not self._skipping:
                yield line
            self._skipping = False
        if len(rest) > LONGEST:
            self._skipping, rest = True, b""
        self._rest = b"" if self._skipping else rest

    def end(self) -> Iterator[bytes]:
        """The last line, if it lacks its newline."""
        if self._rest and not self._skipping:
            yield self._rest
        self._rest = b""


def read(line: bytes) -> Reading | None:
    """A report, if a line is one: a JSON object whose values are numbers.

    `folds` may be a list of numbers and `checkpoint` a text; NaN and Infinity are numbers. A progress bar before a
    carriage return is passed over. Anything else is output.
    """
    text = line.rpartition(b"\r")[2].strip() if line.rstrip(b"\r\n ").count(b"\r") else line.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")) or len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: no JSON, no UTF-8, or an integer of thousands of digits
        return None
    if not isinstance(found, dict):
        return None
    folds, checkpoint = found.pop("folds", ()), found.pop("checkpoint", None)
    if not (checkpoint is None or isinstance(checkpoint, str)):
        return None
    if not (isinstance(folds, (list, tuple)) and all(map(_is_number, folds))):
        return None
    if not found or not all(map(_is_number, found.values())):
        return None
    try:
        return Reading({name: float(value) for name, value in found.items()}, tuple(map(float, folds)), checkpoint)
    except OverflowError:  # a whole number beyond the largest float
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
