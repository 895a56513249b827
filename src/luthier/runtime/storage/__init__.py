"""Stores: a study's append-only log, in memory or in a database, behind one contract (`Storage`).

A file of this folder is one store, its name the scheme of its URLs: `sqlite:///study.db`, `memory://`.
`open_storage` finds it; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luthier.runtime.storage._base import Draft, Driver, Storage, StudyRow
    from luthier.runtime.storage._driver import dead, this_driver
    from luthier.runtime.storage._urls import open_storage, split_name
    from luthier.runtime.storage.memory import Memory
    from luthier.runtime.storage.sqlite import SQLite

_HOMES = {
    "Draft": "_base",
    "Driver": "_base",
    "Storage": "_base",
    "StudyRow": "_base",
    "dead": "_driver",
    "this_driver": "_driver",
    "open_storage": "_urls",
    "split_name": "_urls",
    "Memory": "memory",
    "SQLite": "sqlite",
}

__all__ = [
    "Draft",
    "Driver",
    "Memory",
    "SQLite",
    "Storage",
    "StudyRow",
    "dead",
    "open_storage",
    "split_name",
    "this_driver",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
