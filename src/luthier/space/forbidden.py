"""Forbidden combinations, as the user writes them, read as conditions.

    {"opt": "sgd", "act": "gelu"}           both at once
    {"opt": ["sgd", "adam"], "depth": 8}    a list: any of these values
    ("batch", ">", "width")                 one hyperparameter against another
    all_of(("depth", ">", 5), ("width", ">", 512)), any_of(...), ("depth", ">", 7)

A clause that mentions an inactive hyperparameter forbids nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.base.errors import SpaceError, did_you_mean
from luthier.space.columns import comparable
from luthier.space.conditions import (
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Relation,
    parents,
    parse_condition,
    suggest_operator,
)
from luthier.space.domain import Domain
from luthier.space.rules import COMPARE, settle

HELP = 'Use {"opt": "sgd", "act": ["relu", "gelu"]}, ("batch", ">", "width"), ("depth", ">", 7), all_of or any_of.'


def parse_clause(given: Any, number: int, domains: Mapping[str, Domain]) -> Condition:
    """Read one clause.

    Args:
        given: What the user wrote.
        number: Its place in `forbid`, from 1, for the message.
        domains: Every hyperparameter.

    Returns:
        The condition under which a configuration is forbidden, its values in canonical form.

    Raises:
        SpaceError: it cannot be understood, or does not fit the hyperparameters.
    """
    owner = f"forbid clause {number}"
    condition = _parse(given, owner, domains)
    for name in sorted(parents(condition)):
        _known(name, owner, domains)
    return settle(condition, domains, owner)


def _known(name: str, owner: str, domains: Mapping[str, Domain]) -> None:
    if name not in domains:
        raise SpaceError(f"{owner} names hyperparameter {name!r}, which is not there. {did_you_mean(name, domains)}")


def _parse(given: Any, owner: str, domains: Mapping[str, Domain]) -> Condition:
    if isinstance(given, (Comparison, Relation)):
        return given
    if isinstance(given, (AllOf, AnyOf)) and given.parts:
        return type(given)(tuple(_parse(part, owner, domains) for part in given.parts))
    if isinstance(given, Mapping) and given:
        word = next(iter(given))
        if (
            len(given) == 1
            and word in ("all", "any")
            and word not in domains
            and isinstance(given[word], (list, tuple))
        ):
            return _parse((AllOf if word == "all" else AnyOf)(tuple(given[word])), owner, domains)
        return _mapping(given, owner, domains)
    if isinstance(given, (tuple, list)) and len(given) == 3 and _is_relation(given, domains):
        return Relation(*given)
    if isinstance(given, (tuple, list)) and len(given) in (2, 3):
        if len(given) == 3 and given[1] not in OPERATORS:
            raise SpaceError(f"{owner}: operator {given[1]!r} in {given!r}. {suggest_operator(given[1])}")
        try:
            return parse_condition(given, owner)
        except SpaceError:
            pass
    raise SpaceError(f"{owner} is {given!r}, which cannot be read. {HELP}")


def _mapping(given: Mapping[Any, Any], owner: str, domains: Mapping[str, Domain]) -> Condition:
    parts = []
    for name, value in given.items():
        _known(name, owner, domains)
        try:
            parts.append(parse_condition((name, value), owner))
        except SpaceError:
            raise SpaceError(
                f"{owner}: {name}={value!r} cannot be read. Allowed: a value or a list of values. {HELP}"
            ) from None
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _is_relation(given: Any, domains: Mapping[str, Domain]) -> bool:
    left, operator, right = given
    if operator not in COMPARE or not isinstance(left, str) or not isinstance(right, str):
        return False
    # a text can only be a name where the left side takes numbers alone
    return left in domains and comparable(domains[left])
