"""One way to check a scalar argument, one way to word the refusal."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean


def check(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    whole: bool = False,
    one_of: Collection[str] | None = None,
) -> Any:
    """A scalar argument; refused when it is out of range.

    Args:
        name: The argument's name.
        value: What was given.
        at_least: Smallest value allowed.
        above: Value that must be exceeded.
        at_most: Largest value allowed.
        below: Value that must not be reached.
        whole: Only whole numbers are allowed.
        one_of: The words allowed; the other bounds do not apply then.

    Returns:
        The value; as an int where `whole`: 200.0 and 2e3, which files and command lines bring, are whole numbers too.

    Raises:
        ArgumentError: naming the argument, what was given and what is allowed.
    """
    if one_of is not None:
        if value not in one_of:
            raise ArgumentError(f"{name}={value!r}. {did_you_mean(str(value), one_of)}")
        return value
    allowed = "a whole number" if whole else "a number"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", at_least), ("above", above), ("at most", at_most), ("below", below))
        if bound is not None
    ]
    message = f"{name}={value!r}. Allowed: {' and '.join([allowed, *bounds])}."
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # OverflowError: 10**400
        raise ArgumentError(message) from None
    wrong = (
        isinstance(value, (bool, str))
        or not math.isfinite(number)
        or (whole and not number.is_integer())
        or (at_least is not None and number < at_least)
        or (above is not None and number <= above)
        or (at_most is not None and number > at_most)
        or (below is not None and number >= below)
    )
    if wrong:
        raise ArgumentError(message)
    return int(value) if whole else value


def check_fields(record: Any, *names: str, **rules: Any) -> None:
    """Fields of a dataclass that is being made, frozen or not; each becomes what `check` returns.

    Args:
        record: The dataclass.
        names: The fields.
        rules: As of `check`.

    Raises:
        ArgumentError: as `check`.
    """
    for name in names:
        object.__setattr__(record, name, check(name, getattr(record, name), **rules))


def check_flag(name: str, value: Any) -> bool:
    """True or False; a text such as "false" is neither, for Python takes it for True.

    Raises:
        ArgumentError: naming the argument, what was given and what is allowed.
    """
    plain = value.item() if hasattr(value, "item") else value  # a truth value of numpy
    if not isinstance(plain, bool):
        raise ArgumentError(f"{name}={value!r}. Allowed: True or False.")
    return plain
