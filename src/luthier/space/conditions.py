"""Conditions: when a hyperparameter is active, and which configurations are forbidden. The language, as written.

    ("opt", "sgd")                      opt is sgd
    ("opt", "in", ["sgd", "adam"])      one of them; also "not in"
    ("depth", "<=", 3)                  also <, >, >=, ==, !=
    all_of(a, b), any_of(a, b)          both, either; they nest

As JSON: ["depth", "<=", 3], {"all": [...]}, {"any": [...]}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from luthier.base.errors import SpaceError, did_you_mean
from luthier.space.values import is_value, plain

ORDER = ("<", "<=", ">", ">=")
OPERATORS = ("==", "!=", "in", "not in", *ORDER)


@dataclass(frozen=True)
class Comparison:
    """A hyperparameter against a value (a tuple of values for "in" and "not in"). False where it is inactive."""

    parent: str
    operator: str
    value: Any

    def to_json(self) -> list[Any]:
        """As JSON-able values."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return [self.parent, self.operator, value]

    def __str__(self) -> str:
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return f"{self.parent} {self.operator} {value!r}"

    def __repr__(self) -> str:
        if self.operator == "==":
            return repr((self.parent, self.value))
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return repr((self.parent, self.operator, value))


@dataclass(frozen=True)
class Relation:
    """A hyperparameter against another one, number against number. False where either is inactive."""

    left: str
    operator: str
    right: str

    def to_json(self) -> list[Any]:
        """As JSON-able values."""
        return [self.left, self.operator, self.right]

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"

    def __repr__(self) -> str:
        return repr((self.left, self.operator, self.right))


@dataclass(frozen=True)
class AllOf:
    """Holds when every part holds."""

    parts: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {"all": [part.to_json() for part in self.parts]}

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)

    def __repr__(self) -> str:
        return f"all_of({', '.join(map(repr, self.parts))})"


@dataclass(frozen=True)
class AnyOf:
    """Holds when one part or more hold."""

    parts: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {"any": [part.to_json() for part in self.parts]}

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, AllOf) else str(part) for part in self.parts)

    def __repr__(self) -> str:
        return f"any_of({', '.join(map(repr, self.parts))})"


Condition: TypeAlias = Comparison | Relation | AllOf | AnyOf


def all_of(*conditions: Any) -> AllOf:
    """A condition that holds when all of its parts hold."""
    return AllOf(conditions)


def any_of(*conditions: Any) -> AnyOf:
    """A condition that holds when one part or more hold."""
    return AnyOf(conditions)


def leaves(condition: Condition) -> Iterator[Comparison | Relation]:
    """Every comparison within a condition."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from leaves(part)
    else:
        yield condition


def parents(condition: Condition) -> set[str]:
    """Every hyperparameter that a condition mentions."""
    found: set[str] = set()
    for leaf in leaves(condition):
        found |= {leaf.parent} if isinstance(leaf, Comparison) else {leaf.left, leaf.right}
    return found


def parse_condition(given: Any, name: str) -> Condition:
    """Read a condition as a user or a file writes it.

    Args:
        given: A tuple or list, the result of `all_of` or `any_of`, a mapping {"all": [...]} or {"any": [...]}.
        name: The hyperparameter it belongs to, for the message.

    Returns:
        The condition, its values as plain Python values; whether its hyperparameters exist is not looked at.

    Raises:
        SpaceError: it cannot be understood.
    """
    if isinstance(given, (Comparison, Relation)):
        return given
    if isinstance(given, (AllOf, AnyOf)):
        return _combined(type(given), given.parts, given, name)
    if isinstance(given, Mapping) and len(given) == 1:
        word, parts = next(iter(given.items()))
        if word in ("all", "any") and isinstance(parts, (list, tuple)):
            return _combined(AllOf if word == "all" else AnyOf, parts, given, name)
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3) or not isinstance(given[0], str):
        _refuse(given, name)
    if len(given) == 2:
        listed = isinstance(given[1], (list, tuple, set, frozenset))
        given = (given[0], "in" if listed else "==", given[1])
    parent, operator, value = given
    if operator not in OPERATORS:
        hint = suggest_operator(operator)
        raise SpaceError(f"hyperparameter {name!r}: operator {operator!r} in when={given!r}. {hint}", name=name)
    if operator in ("in", "not in"):
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=repr)
        if not isinstance(value, (list, tuple)) or not value:
            _refuse(given, name)
        value = tuple(plain(item) for item in value)
        known = all(is_value(item) for item in value)
    else:
        value = plain(value)
        known = is_value(value)
    if not known:
        _refuse(given, name)
    return Comparison(str(parent), operator, value)


def suggest_operator(given: Any) -> str:
    """A sentence that suggests the operator that was meant."""
    return "Did you mean '=='?" if given == "=" else did_you_mean(str(given), OPERATORS)


def _combined(kind: type[AllOf] | type[AnyOf], parts: Any, given: Any, name: str) -> Condition:
    if not parts:
        _refuse(given, name)
    return kind(tuple(parse_condition(part, name) for part in parts))


def _refuse(given: Any, name: str) -> NoReturn:
    raise SpaceError(
        f"hyperparameter {name!r}: when={given!r} is no condition. "
        'Use ("opt", "sgd"), ("opt", "in", ["sgd", "adam"]), ("depth", "<=", 3), all_of(...) or any_of(...).',
        name=name,
    )
