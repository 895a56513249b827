"""Reading a TOML table key by key, with messages that say where, what, what is allowed and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from luthier.base.errors import ArgumentError, did_you_mean

T = TypeVar("T")
_REQUIRED: Any = object()


class Reader:
    """One table of a study's file.

    Args:
        where: What it is called in messages, such as "study 'mini.toml', [budget]".
        table: Its content.

    Raises:
        ArgumentError: it is no table.
    """

    def __init__(self, where: str, table: Any) -> None:
        if not isinstance(table, Mapping):
            raise ArgumentError(f"{where}: {table!r}. Allowed: a table of keys and values. Write [name] or {{...}}.")
        self.where, self._table = where, table
        self._known: list[str] = []

    def wrong(self, key: str, allowed: str, todo: str = "") -> ArgumentError:
        """The error for a key."""
        given = repr(self._table[key]) if key in self._table else "is missing"
        shown = f"{key} = {given}" if key in self._table else f"{key} {given}"
        return ArgumentError(f"{self.where}: {shown}. Allowed: {allowed}.{' ' + todo if todo else ''}")

    def take(self, key: str, check: Callable[[Any], bool], allowed: str, default: Any = _REQUIRED) -> Any:
        """A value, checked."""
        self._known.append(key)
        if key not in self._table:
            if default is _REQUIRED:
                raise self.wrong(key, allowed, "Add it.")
            return default
        if not check(self._table[key]):
            raise self.wrong(key, allowed)
        return self._table[key]

    def text(self, key: str, default: Any = _REQUIRED, *, of: Collection[str] = ()) -> Any:
        """A text, perhaps one of a few."""
        if not of:
            return self.take(key, lambda value: isinstance(value, str) and value != "", "a text", default)
        found = self.take(key, lambda value: isinstance(value, str), f"one of {', '.join(map(repr, of))}", default)
        if found is not None and found not in of:
            raise ArgumentError(f"{self.where}: {key} = {found!r}. {did_you_mean(found, of)}")
        return found

    def number(self, key: str, default: Any = _REQUIRED, *, whole: bool = False, above: float = 0.0) -> Any:
        """A number above a bound."""

        def fine(value: Any) -> bool:
            kind = isinstance(value, int) if whole else isinstance(value, (int, float))
            return kind and not isinstance(value, bool) and math.isfinite(value) and value > above

        return self.take(key, fine, f"a {'whole ' * whole}number above {above:g}", default)

    def table(self, key: str, default: Any = _REQUIRED) -> Mapping[str, Any]:
        """A table inside."""
        found: Mapping[str, Any] = self.take(key, lambda value: isinstance(value, Mapping), "a table", default)
        return found

    def entries(self) -> Mapping[str, Any]:
        """All keys and values; every key counts as known."""
        self._known += list(self._table)
        return self._table

    def done(self) -> None:
        """Refuse keys that nobody asked for.

        Raises:
            ArgumentError: with a suggestion.
        """
        for key in self._table:
            if key not in self._known:
                raise ArgumentError(f"{self.where}: key {key!r} is not known. {did_you_mean(key, self._known)}")
