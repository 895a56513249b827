"""What programs report and return, in plain numbers that can be shown and sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.base.records import as_float

_PLAIN = (float, int, str, bool)


def plain_number(value: Any) -> Any:
    """A plain number where `float()` can make one, else text that can be shown and sent."""
    if isinstance(value, (int, float, str)) and type(value) in _PLAIN:
        return value
    try:
        return as_float(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor with several elements
        return repr(value)[:200]


def plain_result(result: Any) -> Any:
    """What a function returned, in plain numbers: None, a number or a mapping of them.

    Raises:
        TypeError: it is something else.
    """
    if result is None:
        return None
    if isinstance(result, Mapping):
        return {str(name): plain_number(value) for name, value in result.items()}
    number = plain_number(result)
    if isinstance(number, str):
        shown = repr(result)
        raise TypeError(
            f"the function returned {shown if len(shown) <= 80 else shown[:77] + '...'}. "
            "Allowed: None, a number, or a mapping of metric names to numbers."
        )
    return number
