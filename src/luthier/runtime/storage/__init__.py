"""Stores: a study's append-only log, in memory or in a database, behind one contract (`Storage`).

A file of this folder is one store, its name the scheme of its URLs: `sqlite:///study.db`, `postgresql://...`,
`memory://`.
`open_storage` finds it; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.runtime.storage._base import Draft, Driver, Storage, StudyRow
    from luthier.runtime.storage._driver import dead, this_driver
    from luthier.runtime.storage._urls import open_storage, split_name
    from luthier.runtime.storage.memory import Memory
    from luthier.runtime.storage.postgresql import PostgreSQL
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
    "PostgreSQL": "postgresql",
    "SQLite": "sqlite",
}

__all__ = [
    "Draft",
    "Driver",
    "Memory",
    "PostgreSQL",
    "SQLite",
    "Storage",
    "StudyRow",
    "dead",
    "open_storage",
    "split_name",
    "this_driver",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
