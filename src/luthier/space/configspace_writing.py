"""Writing ConfigSpace's JSON; `configspace.to_configspace` is the public name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from luthier.base.errors import UnsupportedError
from luthier.space.columns import Continuous, column
from luthier.space.conditions import AllOf, AnyOf, Comparison, Condition, Relation
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Ordinal
from luthier.space.number import Number
from luthier.space.priors import Beta, Normal
from luthier.space.rules import COMPARE
from luthier.space.space import Space

#: Form written, that of ConfigSpace 1.x.
FORMAT = 0.4
#: Values of a quantised number that are written out.
MOST_VALUES = 10_000
#: Values of a hyperparameter up to which a comparison with it is written as the list of values that satisfy it.
MOST_LISTED = 1_000
WORDS = {"==": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}


def write(space: Space) -> dict[str, Any]:
    """A space in ConfigSpace's form; see `to_configspace`."""
    return {
        "name": None,
        "hyperparameters": [_hyperparameter(name, domain) for name, domain in space.domains.items()],
        "conditions": [_condition(c, name, space) for name, c in space.conditions.items()],
        "forbiddens": [_clause(clause, space) for clause in space.forbidden],
        "python_module_version": "1.2.0",
        "format_version": FORMAT,
    }


# -- hyperparameters --


def _hyperparameter(name: str, domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Number):
        return _listed_number(name, domain) if domain.step is not None else _number(name, domain)
    if isinstance(domain, Fixed):
        return {"type": "constant", "name": name, "value": domain.value, "meta": None}
    assert isinstance(domain, (Choice, Ordinal))
    if len(set(domain.values)) < len(domain.values):
        raise UnsupportedError(
            f"hyperparameter {name!r}: ConfigSpace cannot tell apart values of {domain!r} that are equal as numbers. "
            "Use texts for them."
        )
    if isinstance(domain, Ordinal):
        found: dict[str, Any] = {"type": "ordinal", "name": name, "sequence": list(domain.values)}
        meta = _meta(domain) if domain.prior is not None else None
    else:
        weights = None if domain.prior is None else list(domain.prior)
        found = {"type": "categorical", "name": name, "choices": list(domain.values), "weights": weights}
        meta = None
    return {**found, "default_value": domain.default, "meta": meta}


def _meta(domain: Domain) -> dict[str, Any]:
    data = domain.to_dict()
    data.pop("when", None)  # written as a condition
    return {"luthier": data}


def _number(name: str, domain: Number) -> dict[str, Any]:
    kind, prior = domain.kind, domain.prior
    found: dict[str, Any] = {"type": f"uniform_{kind}", "name": name}
    meta = None
    if isinstance(prior, Normal):
        sigma = math.exp(prior.sd) - domain.low if domain.log else prior.sd
        if sigma <= 0:
            raise UnsupportedError(
                f"hyperparameter {name!r}: ConfigSpace cannot express {prior!r} on a logarithmic range from "
                f"{domain.low!r}. Take the prior away, or use a larger sd."
            )
        found = {"type": f"normal_{kind}", "name": name, "mu": prior.mean, "sigma": sigma}
        meta = _meta(domain)  # spares sd the way through its exponential
    elif isinstance(prior, Beta):
        found = {"type": f"beta_{kind}", "name": name, "alpha": prior.alpha, "beta": prior.beta}
    return {
        **found,
        "lower": domain.low,
        "upper": domain.high,
        "default_value": domain.default,
        "log": domain.log,
        "meta": meta,
    }


def _listed_number(name: str, domain: Number) -> dict[str, Any]:
    if domain.levels > MOST_VALUES:
        raise UnsupportedError(
            f"hyperparameter {name!r}: ConfigSpace has no steps, and {domain.levels} values are too many to list "
            f"(allowed: {MOST_VALUES}). Use a larger step or none."
        )
    values = [domain.at(level) for level in range(domain.levels)]
    return {
        "type": "ordinal",
        "name": name,
        "sequence": values,
        "default_value": domain.default,
        "meta": _meta(domain),
    }


# -- conditions and forbidden clauses --


def _satisfying(condition: Comparison, domain: Domain) -> list[Any] | None:
    """Values for which a comparison holds; None when there are too many to list."""
    word, wanted = condition.operator, condition.value
    if word == "in":
        return list(wanted)
    if isinstance(domain, Fixed):
        values = [domain.value]
    elif isinstance(domain, Number):
        if not 0 < domain.levels <= MOST_LISTED:
            return None
        values = [domain.at(level) for level in range(domain.levels)]
    else:
        values = list(getattr(domain, "values", ()))
    if word == "not in":
        return [value for value in values if value not in wanted]
    if isinstance(domain, Ordinal):
        place = values.index(wanted)
        return [value for at, value in enumerate(values) if COMPARE[word](at, place)]
    return [value for value in values if COMPARE[word](value, wanted)]


def _never(condition: Comparison) -> UnsupportedError:
    return UnsupportedError(
        f"ConfigSpace cannot express '{condition}', which can never hold. Take away what depends on it."
    )


def _simple(condition: Comparison, domain: Number) -> list[tuple[str, Any]]:
    """A comparison with a number of many values, as alternatives (word, value within the bounds)."""
    word, value = condition.operator, condition.value
    if word == "==":
        return [(word, value)]
    found = column(domain)
    assert found is not None
    low, high = found.interval(word, value)
    if low > high:
        raise _never(condition)
    if not isinstance(found, Continuous):
        first, last = found.values(np.array([low, high]))
        bound = last if word in ("<", "<=") else first
        return [("<=" if word in ("<", "<=") else ">=", bound)]
    if not domain.low <= value <= domain.high:  # always holds
        return [("<=", domain.high)] if word in ("<", "<=") else [(">=", domain.low)]
    return [(word, value)]


def _condition(condition: Condition, child: str, space: Space) -> dict[str, Any]:
    if isinstance(condition, (AllOf, AnyOf)):
        parts = [_condition(part, child, space) for part in condition.parts]
        return _joined("AND" if isinstance(condition, AllOf) else "OR", parts, child)
    assert isinstance(condition, Comparison)
    parent, domain = condition.parent, space.domains[condition.parent]
    base = {"child": child, "parent": parent}
    listed = _satisfying(condition, domain)
    if listed is not None:
        if not listed:
            raise _never(condition)
        if len(listed) == 1:
            return {**base, "type": "EQ", "value": listed[0]}
        return {**base, "type": "IN", "values": listed}
    if condition.operator in ("!=", "not in"):
        # not as NEQ: ConfigSpace counts an inactive parent as unequal to everything
        excluded = condition.value if condition.operator == "not in" else (condition.value,)
        sides = [[{**base, "type": word, "value": value} for word in ("LT", "GT")] for value in excluded]
        return _joined("AND", [_joined("OR", side, child) for side in sides], child)
    assert isinstance(domain, Number)
    parts = []
    for word, value in _simple(condition, domain):
        parts.append({**base, "type": WORDS[word[0] if word in ("<=", ">=") else word], "value": value})
        if word in ("<=", ">="):  # there is no such word for conditions
            parts.append({**base, "type": "EQ", "value": value})
    return _joined("OR", parts, child)


def _joined(kind: str, parts: list[dict[str, Any]], child: str) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"type": kind, "child": child, "conditions": parts}


def _clause(clause: Condition, space: Space) -> dict[str, Any]:
    if isinstance(clause, (AllOf, AnyOf)):
        return _gathered("AND" if isinstance(clause, AllOf) else "OR", [_clause(part, space) for part in clause.parts])
    if isinstance(clause, Relation):
        words = ["<", ">"] if clause.operator == "!=" else [clause.operator]
        base = {"left": clause.left, "right": clause.right}
        return _gathered("OR", [{**base, "type": f"RELATION_{WORDS[word]}"} for word in words])
    domain = space.domains[clause.parent]
    base = {"name": clause.parent}
    listed = _satisfying(clause, domain)
    if listed is not None:
        if not listed:
            raise _never(clause)
        if len(listed) == 1:
            return {**base, "type": "EQUALS", "value": listed[0]}
        return {**base, "type": "IN", "values": listed}
    if clause.operator in ("!=", "not in"):
        excluded = clause.value if clause.operator == "not in" else (clause.value,)
        return _gathered("AND", [_unequal(base, value) for value in excluded])
    assert isinstance(domain, Number)
    [(word, value)] = _simple(clause, domain)
    if word == "==":
        return {**base, "type": "EQUALS", "value": value}
    return {**base, "type": f"CLAUSE_{WORDS[word]}", "value": value}


def _unequal(base: dict[str, Any], value: Any) -> dict[str, Any]:
    return _gathered("OR", [{**base, "type": f"CLAUSE_{word}", "value": value} for word in ("LT", "GT")])


def _gathered(kind: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"type": kind, "clauses": parts}
