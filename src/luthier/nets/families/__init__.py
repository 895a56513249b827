"""Families of transformers: what the parts of their models are called, one file each.

A family is found by `config.model_type`. Another one is added by a file here, by `register(Family(...))`, or by another
package through the entry-point group `luthier.families`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib import metadata
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.nets.families._family import ELASTIC, Family
from luthier.nets.families._layout import Entry, Layout, Sizes, read, sizes_of

__all__ = ["ELASTIC", "Entry", "Family", "Layout", "Sizes", "families", "family_of", "layout", "register", "sizes_of"]

_registered: dict[str, Family] = {}


@cache
def _shipped() -> dict[str, Family]:
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            family = importlib.import_module(f"{__name__}.{module.name}").FAMILY
            found[family.name] = family
    for point in metadata.entry_points(group="luthier.families"):
        family = point.load()
        found[family.name] = family
    return found


def register(family: Family) -> Family:
    """Make a family known for the rest of the process; one of the same name gives way."""
    _registered[family.name] = family
    return family


def families() -> dict[str, Family]:
    """All families, by name."""
    return {**_shipped(), **_registered}


def family_of(config: Any) -> Family:
    """The family of a configuration.

    Raises:
        ArgumentError: none covers its `model_type`.
    """
    kind = getattr(config, "model_type", None)
    known = {word: family for family in families().values() for word in family.types}
    if kind not in known:
        raise ArgumentError(
            f"models of type {kind!r} belong to no family that is known. {did_you_mean(str(kind), known)} Describe "
            "yours with luthier.nets.families.register(Family(...)): names of queries, keys, values, output, "
            "feed-forward, norms and embeddings."
        )
    return known[kind]


def layout(model: Any) -> Layout:
    """What each parameter of a model is.

    Args:
        model: A model of transformers.

    Raises:
        ArgumentError: its family is not known, or parameters could not be matched; they are named.
    """
    return read(model, family_of(model.config))
