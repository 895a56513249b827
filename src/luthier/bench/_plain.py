"""Many configurations judged at once: whether all are of a space, and in the form that checking would give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration
from luthier.space.conditions import parents
from luthier.space.domains import Choice, Ordinal
from luthier.space.number import Number
from luthier.space.space import Space
from luthier.space.values import tell_apart


class Plain:
    """Judges batches by columns, several times as fast as one by one.

    Which hyperparameters are active depends on the values of those in conditions alone. So of the configurations that
    agree in these values and in their names one is checked, and of the others each value by itself.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._parents = sorted({name for condition in space.conditions.values() for name in parents(condition)})

    def all_of(self, configs: Sequence[Mapping[str, Any]]) -> bool:
        """Whether `space.check` would leave every one as it is; False also where that cannot be told quickly."""
        if self._space.forbidden:
            return False
        shapes: dict[tuple[Any, ...], list[Configuration]] = {}
        for config in configs:
            if type(config) is not Configuration:
                return False
            key = (*config, *[tell_apart(config.get(name)) for name in self._parents])
            try:
                shapes.setdefault(key, []).append(config)
            except TypeError:  # a value that cannot be hashed is none
                return False
        try:
            return all(self._alike(group) for group in shapes.values())
        except (SpaceError, TypeError):
            return False  # one by one, the message says which

    def _alike(self, group: Sequence[Configuration]) -> bool:
        first = self._space.check(group[0])
        return first == group[0] and all(self._fits(name, [config[name] for config in group]) for name in first)

    def _fits(self, name: str, column: list[Any]) -> bool:
        domain = self._space.domains[name]
        if isinstance(domain, (Choice, Ordinal)):
            return {tell_apart(value) for value in column} <= domain.index.keys()
        if not isinstance(domain, Number) or domain.step is not None:
            return False
        kind = int if domain.whole else float
        return set(map(type, column)) == {kind} and all(domain.low <= value <= domain.high for value in column)
