"""A space in words that every tool knows, and what a tool answers as a configuration again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.errors import SpaceError, UnsupportedError
from luthier.base.records import Configuration
from luthier.space.conditions import Comparison
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
from luthier.space.space import Space

_LEVELS = 10_000  # of a number with a step: more than any tool is asked to hold as a list
_HAIR = 1e-5  # of a bound and of the range: what single precision and logarithms may leave it by


class Spoken:
    """A space as tools are told it.

    A tool hears of floats, ints (both with `log`), ordinals and choices, and of conditions that say that a parent has
    one of some values. Any other condition it does not hear of: the hyperparameter is always active for the tool, and
    what is inactive is dropped from its proposals. Priors are not told. A number with a step is an ordinal. Values
    that JSON or a tool could mistake (None, or several types in one list) are told by their position.

    Args:
        space: The space.
        tool: Who is told, for messages.

    Raises:
        UnsupportedError: the space forbids combinations, or a number has too many steps.

    Attributes:
        words: One mapping a hyperparameter: name, kind ("float", "int", "ordinal", "choice"), low, high, log, or
            values; when: parent and values.
    """

    def __init__(self, space: Space, tool: str) -> None:
        self._space, self._tool = space, tool
        if space.forbidden:
            raise UnsupportedError(
                f"tool {tool!r}: the space forbids {space.forbidden[0]}. Allowed: spaces without forbidden "
                "combinations, as not every tool knows them. Choose another task, or a method of luthier."
            )
        free = [name for name in space.names if not isinstance(space[name], Fixed)]
        self._values = {name: _values(space[name], name, tool) for name in free}
        self._labels = {name: _told(values) for name, values in self._values.items() if values is not None}
        self.words = [self._word(name) for name in free]

    def _word(self, name: str) -> dict[str, Any]:
        domain, values = self._space[name], self._values[name]
        found: dict[str, Any] = {"name": name}
        if values is not None:
            found |= {"kind": "choice" if isinstance(domain, Choice) else "ordinal", "values": self._labels[name]}
        else:
            assert isinstance(domain, (Float, Int))  # what else has no list of values
            found |= {"kind": domain.kind, "low": domain.low, "high": domain.high, "log": domain.log}
        condition = self._space.conditions.get(name)
        if isinstance(condition, Comparison) and condition.operator in ("==", "in"):
            wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
            parent = self._values.get(condition.parent)
            if parent is not None:
                labels = self._labels[condition.parent]
                found["when"] = {"parent": condition.parent, "values": [labels[_index(parent, one)] for one in wanted]}
        return found

    def config(self, given: Mapping[str, Any]) -> Configuration:
        """A tool's proposal as a configuration; what is inactive is dropped.

        Raises:
            SpaceError: it is none of the space.
        """
        return self._space.check(
            {name: self._back(name, value) for name, value in given.items()}, self._whose, fill=True
        )

    def told(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration as tools know it."""
        labels = self._labels
        return {
            name: labels[name][_index(self._values[name] or (), value)] if name in labels else value
            for name, value in config.items()
            if name in self._values
        }

    @property
    def _whose(self) -> str:
        return f"tool {self._tool!r}: its proposal"

    def _back(self, name: str, value: Any) -> Any:
        values = self._values.get(name)
        if values is not None:
            place = _index(self._labels[name], value)
            if place < 0:
                raise SpaceError(f"{self._whose} has {name}={value!r}. Allowed: {values[:9]!r}.", name=name)
            return values[place]
        domain = self._space.domains.get(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (isinstance(domain, (Float, Int)) and number):
            return value  # the space knows what is wrong with it
        for bound in (domain.low, domain.high):
            if abs(value - bound) <= _HAIR * (abs(bound) + domain.high - domain.low):
                value = min(max(value, domain.low), domain.high)
        whole = isinstance(domain, Int) and float(value).is_integer()
        return int(value) if whole else value


def _values(domain: Domain, name: str, tool: str) -> tuple[Any, ...] | None:
    """All values of a domain that is told as a list."""
    if isinstance(domain, (Choice, Ordinal)):
        return domain.values
    assert isinstance(domain, (Float, Int))  # `Fixed` was left out
    step = domain.step
    if step is None or (isinstance(domain, Int) and step == 1):
        return None
    count = round((domain.high - domain.low) / step) + 1
    if count > _LEVELS:
        raise UnsupportedError(
            f"tool {tool!r}: hyperparameter {name!r} has {count} steps. Allowed: {_LEVELS}, as tools are told them one "
            "by one. Leave out its step, or take a longer one."
        )
    return tuple(domain.accept(domain.low + i * step, name=name, where="space") for i in range(count))


def _told(values: Sequence[Any]) -> list[Any]:
    """Values as a tool hears them: as they are if they are of one plain type, else their positions as text."""
    kinds = {type(value) for value in values}
    return (
        list(values) if len(kinds) == 1 and kinds <= {str, int, float, bool} else [f"#{i}" for i in range(len(values))]
    )


def _index(values: Sequence[Any], value: Any) -> int:
    """The place of a value, -1 for none; 3 and 3.0 are one value, 1 and True are two."""
    for i, one in enumerate(values):
        if one == value and isinstance(one, bool) == isinstance(value, bool):
            return i
    return -1
