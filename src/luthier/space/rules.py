"""Rules: conditions turned into tests on codes, for a whole matrix at once or for one row.

Both ways compare the same snapped codes with the same bounds, so they cannot disagree.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from luthier.base.errors import SpaceError
from luthier.space.columns import Column, Interval, comparable
from luthier.space.conditions import ORDER, AllOf, AnyOf, Comparison, Condition, Relation
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Ordinal
from luthier.space.number import Number
from luthier.space.values import Array, Mask, is_number

COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Rule(Protocol):
    """A condition ready to be tested."""

    def mask(self, codes: Array, on: Mask) -> Mask:
        """Rows where it holds.

        Args:
            codes: (n, d) snapped codes.
            on: (n, hyperparameters) which hyperparameters are active.
        """
        ...

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        """The same for one row of codes."""
        ...


@dataclass(frozen=True)
class _Within:
    slot: int
    place: int
    intervals: tuple[Interval, ...]
    negated: bool

    def mask(self, codes: Array, on: Mask) -> Mask:
        code = codes[:, self.place]
        found = np.zeros(len(codes), dtype=bool)
        for low, high in self.intervals:
            found |= (code >= low) & (code <= high)
        return on[:, self.slot] & (found ^ self.negated)

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        code = row[self.place]
        return on[self.slot] and any(low <= code <= high for low, high in self.intervals) != self.negated


@dataclass(frozen=True)
class _Settled:
    """A comparison with a fixed value: known beforehand, as long as the hyperparameter is active."""

    slot: int
    truth: bool

    def mask(self, codes: Array, on: Mask) -> Mask:
        return on[:, self.slot] & self.truth

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        return on[self.slot] and self.truth


@dataclass(frozen=True)
class _Between:
    slots: tuple[int, int]
    numbers: tuple[Callable[[Array], Array], Callable[[Array], Array]]
    operator: str

    def mask(self, codes: Array, on: Mask) -> Mask:
        left, right = (numbers(codes) for numbers in self.numbers)
        found: Mask = COMPARE[self.operator](left, right)
        return on[:, self.slots[0]] & on[:, self.slots[1]] & found

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        return bool(self.mask(np.array([row], dtype=float), np.array([on], dtype=bool))[0])


@dataclass(frozen=True)
class _Every:
    parts: tuple[Rule, ...]

    def mask(self, codes: Array, on: Mask) -> Mask:
        return np.asarray(np.logical_and.reduce([part.mask(codes, on) for part in self.parts]), dtype=bool)

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        return all(part.holds(row, on) for part in self.parts)


@dataclass(frozen=True)
class _Some:
    parts: tuple[Rule, ...]

    def mask(self, codes: Array, on: Mask) -> Mask:
        return np.asarray(np.logical_or.reduce([part.mask(codes, on) for part in self.parts]), dtype=bool)

    def holds(self, row: Sequence[float], on: Sequence[bool]) -> bool:
        return any(part.holds(row, on) for part in self.parts)


class Compiler:
    """Turns conditions into rules.

    Args:
        domains: Every hyperparameter, in the space's order.
        columns: The encoded ones, in the same order.
    """

    def __init__(self, domains: Mapping[str, Domain], columns: Mapping[str, Column]) -> None:
        self.domains, self.columns = domains, columns
        self.slots = {name: slot for slot, name in enumerate(domains)}
        self.places = {name: place for place, name in enumerate(columns)}

    def rule(self, condition: Condition) -> Rule:
        """The rule of a condition whose names and values were checked by `settle`."""
        if isinstance(condition, AllOf):
            return _Every(tuple(self.rule(part) for part in condition.parts))
        if isinstance(condition, AnyOf):
            return _Some(tuple(self.rule(part) for part in condition.parts))
        if isinstance(condition, Relation):
            names = (condition.left, condition.right)
            return _Between(
                (self.slots[names[0]], self.slots[names[1]]),
                (self._numbers(names[0]), self._numbers(names[1])),
                condition.operator,
            )
        return self._comparison(condition)

    def _comparison(self, condition: Comparison) -> Rule:
        name, word, value = condition.parent, condition.operator, condition.value
        domain = self.domains[name]
        slot = self.slots[name]
        if isinstance(domain, Fixed):
            if word in ("in", "not in"):
                return _Settled(slot, any(domain.contains(item) for item in value) == (word == "in"))
            if word in ("==", "!="):
                return _Settled(slot, domain.contains(value) == (word == "=="))
            return _Settled(slot, bool(COMPARE[word](domain.value, value)))
        column = self.columns[name]
        listed = value if word in ("in", "not in") else (value,)
        word, negated = {"in": ("==", False), "not in": ("==", True), "!=": ("==", True)}.get(word, (word, False))
        intervals = tuple(column.interval(word, item) for item in listed)
        return _Within(slot, self.places[name], intervals, negated)

    def _numbers(self, name: str) -> Callable[[Array], Array]:
        domain = self.domains[name]
        if isinstance(domain, Fixed):
            value = float(domain.value)
            return lambda codes: np.full(len(codes), value)
        place, column = self.places[name], self.columns[name]
        return lambda codes: column.numbers(codes[:, place])


def settle(condition: Condition, domains: Mapping[str, Domain], owner: str) -> Condition:
    """A condition with its values in canonical form.

    Args:
        condition: What was parsed; its hyperparameters exist.
        domains: Every hyperparameter.
        owner: What the condition belongs to, for the message ("hyperparameter 'momentum'", "forbid clause 1").

    Raises:
        SpaceError: a value that its hyperparameter cannot have, or an order where there is none.
    """
    if isinstance(condition, (AllOf, AnyOf)):
        return type(condition)(tuple(settle(part, domains, owner) for part in condition.parts))
    if isinstance(condition, Relation):
        for name in (condition.left, condition.right):
            if not comparable(domains[name]):
                raise SpaceError(
                    f"{owner}: '{condition}' compares numbers, but {name!r} is {domains[name]!r}. "
                    "Compare hyperparameters whose values are all numbers.",
                    name=name,
                )
        return condition
    domain, word = domains[condition.parent], condition.operator
    if word not in ORDER:
        listed = isinstance(condition.value, tuple)
        where = f"{owner}, condition '{condition}'"
        values = tuple(
            domain.accept(value, name=condition.parent, where=where)
            for value in (condition.value if listed else (condition.value,))
        )
        return Comparison(condition.parent, word, values if listed else values[0])
    if isinstance(domain, Ordinal):
        value = domain.accept(condition.value, name=condition.parent, where=f"{owner}, condition '{condition}'")
        return Comparison(condition.parent, word, value)
    if isinstance(domain, Choice) or (isinstance(domain, Fixed) and not is_number(domain.value)):
        raise SpaceError(
            f"{owner}: '{condition}' needs an order, but {condition.parent!r} is {domain!r}. "
            "Use ==, !=, in or not in, or make it an Ordinal.",
            name=condition.parent,
        )
    if not is_number(condition.value):
        raise SpaceError(
            f"{owner}: '{condition}' compares {condition.parent!r} with {condition.value!r}. "
            f"Allowed: a number ({domain.allowed}). Change the value.",
            name=condition.parent,
        )
    assert isinstance(domain, (Number, Fixed))
    return condition
