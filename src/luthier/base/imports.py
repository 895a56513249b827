"""Optional packages: imported on use, with one helpful line when missing."""

from __future__ import annotations

import importlib
from types import ModuleType

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
