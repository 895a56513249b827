"""How a program that a `Command` runs reports: one line of JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from luthier.base.errors import ArgumentError


def emit(
    metrics: Mapping[str, Any] | None = None,
    /,
    *,
    folds: Iterable[Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    **named: Any,
) -> None:
    """Report from a program that a study runs by command line: `luthier.emit(loss=0.3, epoch=4)`.

    Prints one line of JSON and flushes it. Any program can do the same without luthier: the line is an object whose
    values are numbers. Outside a study it is just a line of output.

    Args:
        metrics: Name to value, for names that are no Python words.
        folds: Scores of the single folds behind the first objective.
        checkpoint: A file or folder inside the folder named by the variable LUTHIER_CHECKPOINT_TO, complete by now
            and never touched again: it becomes the trial's checkpoint. Use a new name each time.
        **named: More metrics. Whatever `float()` takes is a number: Python, numpy, torch.

    Raises:
        ArgumentError: a value is no number, or there is nothing to report.
    """
    given = {**(metrics or {}), **named}
    if not given:
        raise ArgumentError("emit() without a metric. Name one: emit(loss=0.3).")
    line: dict[str, Any] = {str(name): _number(name, value) for name, value in given.items()}
    if folds is not None:
        line["folds"] = [_number("folds", value) for value in folds]
    if checkpoint is not None:
        line["checkpoint"] = os.fspath(checkpoint)
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _number(name: object, value: Any) -> float:
    if type(value) is int:
        return value
    try:
        if isinstance(value, str):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor with several elements
        raise ArgumentError(f"emit({name}={value!r}). Allowed: numbers. Print texts on a line of their own.") from None
