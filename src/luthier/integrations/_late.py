"""Classes that extend those of an optional package: made when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any


def late(module: str, made: Mapping[str, Callable[[], type]]) -> Callable[[str], Any]:
    """The `__getattr__` of a module some of whose classes are made on first use.

    Args:
        module: `__name__` of the module.
        made: Public name -> function that imports the package and returns the class.
    """

    def getattr_(name: str) -> Any:
        make = made.get(name)
        if make is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = make()
        setattr(sys.modules[module], name, value)
        return value

    return getattr_


def joined(module: str, name: str, methods: type, base: type) -> type:
    """A class with the methods of one and the ancestry of the other; pickle finds it in the module that is named."""
    return type(name, (methods, base), {"__doc__": methods.__doc__, "__module__": module})
