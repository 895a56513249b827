"""A space as ConfigSpace's, for the tools that are built on it; conditions are its own."""

from __future__ import annotations

from typing import Any

import ConfigSpace


def space_of(space: list[dict[str, Any]], seed: int | None = None) -> Any:
    """The same space."""
    found = ConfigSpace.ConfigurationSpace(seed=seed)
    for one in space:
        name, kind = one["name"], one["kind"]
        if kind == "float":
            found.add(ConfigSpace.UniformFloatHyperparameter(name, one["low"], one["high"], log=one["log"]))
        elif kind == "int":
            found.add(ConfigSpace.UniformIntegerHyperparameter(name, one["low"], one["high"], log=one["log"]))
        elif kind == "ordinal":
            found.add(ConfigSpace.OrdinalHyperparameter(name, one["values"]))
        else:
            found.add(ConfigSpace.CategoricalHyperparameter(name, one["values"]))
    for one in space:
        when = one.get("when")
        if when:
            found.add(ConfigSpace.InCondition(found[one["name"]], found[when["parent"]], when["values"]))
    return found
