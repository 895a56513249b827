"""Packages that are imported on use: heavy ones, and optional ones with one helpful line when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from luthier.base.errors import MissingExtra


def need(module: str, *, what: str, extra: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: Full name of the module.
        what: The feature that needs it, as a user would call it ("Parquet export").
        extra: The extra of luthier that brings it.

    Returns:
        The module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        if error.name is not None and error.name.split(".")[0] != package:
            raise  # the package is there, something it needs is not: its own message says more
        raise MissingExtra(what, package, extra) from error


def later(module: str) -> Any:
    """A module that is imported when something of it is first used.

    For SciPy: its modules take as long to import as all else that a study needs before its first trial runs, and no
    trial waits for them when they come with the first model.

    Args:
        module: Full name of the module.
    """
    return _Later(module)


class _Later:
    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._module), name)
        setattr(self, name, value)  # found without this function from now on
        return value
