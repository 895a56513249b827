"""The text form of what events and problems carry: JSON, with `NaN`, `Infinity` and `-Infinity` as literals.

A diverged trial reports NaN or infinity, and the log must give back what was reported. Strict JSON has no word
for them, so the three literals of Python's and JavaScript's tradition are used; a reader in another language has
to know them. Everything else is strict and ASCII: text is escaped, so that lone surrogates and NUL characters
survive in every database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError

_SCALARS = frozenset({str, int, float, bool, type(None)})


def _numpy_scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r}")


_encode = json.JSONEncoder(separators=(",", ":"), default=_numpy_scalar).encode


def encode(value: Any, where: str) -> str:
    """A value as JSON text.

    Args:
        value: Dictionaries, lists, texts, numbers, booleans, None and NumPy scalars.
        where: Whose value it is, for the message ("event 'reported' of trial 3").

    Returns:
        One line of ASCII.

    Raises:
        ArgumentError: something in it has no JSON form.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"{where} holds what JSON cannot: {error}. Allowed: dictionaries with text keys, lists, texts, numbers, "
            "booleans, None. Turn it into one of these."
        ) from None


decode = json.loads


def _texts(keys: Iterable[Any]) -> bool:
    for key in keys:  # noqa: SIM110  # every event passes here: a generator takes thrice as long
        if type(key) is not str:
            return False
    return True


def plain(value: Any, where: str) -> Any:
    """A deep copy that is exactly what `decode(encode(value))` would give, made faster for common values."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict and _texts(value):
        return {key: item if type(item) in _SCALARS else plain(item, where) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [plain(item, where) for item in value]
    return decode(encode(value, where))
