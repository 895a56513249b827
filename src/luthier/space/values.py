"""Plain values: what a hyperparameter may be set to, and when two such values are the same."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Value: TypeAlias = str | int | float | bool | None
Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def plain(value: Any) -> Any:
    """A numpy scalar, or an instance of a subclass of str, int or float, as the Python value itself.

    Of a shorter float the number that it is written as: float32(0.1) is 0.1, not 0.10000000149011612.
    """
    if isinstance(value, np.generic):
        short = isinstance(value, (np.float32, np.float16))
        value = float(str(value)) if short else value.item()
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value


def is_value(value: Any) -> bool:
    """Whether a value can be chosen: text, a finite number, True, False or None."""
    return value is None or type(value) in (str, int, bool) or (type(value) is float and math.isfinite(value))


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float; True and False are none."""
    return (type(value) is int) or (type(value) is float and math.isfinite(value))


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of one type: 1, 1.0 and True differ."""
    return type(a) is type(b) and bool(a == b)


def tell_apart(value: Any) -> tuple[type, Any]:
    """A dictionary key under which 1, 1.0 and True differ."""
    return type(value), value
