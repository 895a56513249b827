"""An executor as the log keeps it, so that a study that goes on gets the one it was run with."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.registry import load
from luthier.runtime.executors._base import Executor

#: A password in a URL: the log is copied, shown and shared, so it is no place for one.
_SECRET = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def make(spec: str | Mapping[str, Any]) -> Executor:
    """An executor by its name, or by its name and arguments: {"name": "ray", "resources": {"big_disk": 1}}.

    Raises:
        ArgumentError: no executor has that name, or it has no such argument.
    """
    own = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = own.pop("name", None)
    if not isinstance(name, str):
        raise ArgumentError(f"executor={dict(own)!r} has no name. Write it as {{'name': 'ray', 'address': 'auto'}}.")
    cls = load("executor", name)
    for key in own.keys() - _arguments(cls).keys():
        raise ArgumentError(f"executor {name!r} has no argument {key!r}. {did_you_mean(key, _arguments(cls))}")
    return cast("Executor", cls(**own))


def words(executor: Executor) -> dict[str, Any]:
    """Its name and arguments, for the log. Arguments at their defaults are left out.

    Returns:
        "executor": its name. "executor_own": its arguments, as JSON gives them back. "executor_left": names of those
        that JSON cannot hold, or that hold a password. The last two only where there are any.
    """
    allowed = _arguments(type(executor))
    own: dict[str, Any] = {}
    left = []
    for name, value in executor.own.items():
        if name in allowed and _equal(value, allowed[name].default):
            continue
        try:
            own[name] = _kept(value)
        except (TypeError, ValueError):
            left.append(name)
    found: dict[str, Any] = {"executor": executor.name or type(executor).__name__}
    return found | ({"executor_own": own} if own else {}) | ({"executor_left": left} if left else {})


def spec(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `words` wrote, as `make` reads it; None where nothing is known.

    Raises:
        ArgumentError: the log could not keep all of its arguments.
    """
    name = settings.get("executor")
    if name is None:
        return None
    left = settings.get("executor_left")
    if left:
        raise ArgumentError(
            f"it was run with executor {name!r} and {' and '.join(left)}, which the log does not keep (no JSON, or it "
            "holds a password). Run your script again, with the same executor: it continues."
        )
    return {"name": name, **settings.get("executor_own", {})}


def _equal(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def _kept(value: Any) -> Any:
    """A value as JSON gives it back. Raises TypeError or ValueError where it would not come back the same."""
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and _SECRET.search(value):
        raise ValueError("a password")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_kept(inner) for inner in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _kept(inner) for key, inner in value.items()}
    raise TypeError(type(value).__name__)


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """What may be set by name; `seed` too: it is the executor's own, not the study's."""
    parameters = inspect.signature(cls).parameters.values()
    return {given.name: given for given in parameters if given.kind is inspect.Parameter.KEYWORD_ONLY}
