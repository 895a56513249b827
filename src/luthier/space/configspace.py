"""ConfigSpace's JSON, read and written without the ConfigSpace package.

Reads the present form (0.4, of ConfigSpace 1.x) and the older ones back to 0.2. What only luthier knows (steps of a
float, priors of a quantised number) travels in the field `meta`, which ConfigSpace keeps and does not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.base.errors import SpaceError, did_you_mean
from luthier.space.conditions import AllOf, AnyOf, Comparison, Condition, Relation
from luthier.space.configspace_writing import write
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
from luthier.space.priors import Beta, Normal
from luthier.space.serial import domain_from_dict
from luthier.space.space import Space


def to_configspace(space: Space) -> dict[str, Any]:
    """A space in ConfigSpace's form.

    Args:
        space: Any space that ConfigSpace can express. A quantised number becomes an ordinal there, which allows the
            same values; a prior on it is kept for luthier alone.

    Returns:
        JSON-able values: `ConfigurationSpace.from_serialized_dict(to_configspace(space))`, or `json.dump` it.

    Raises:
        UnsupportedError: ConfigSpace cannot express it (values such as 1 and True side by side, a quantised
            number with very many values, a comparison that can never hold, a prior too narrow for its logarithm).
    """
    return write(space)


def from_configspace(source: Any) -> Space:
    """A space from ConfigSpace's form.

    Args:
        source: JSON text, the path of a file, the mapping itself, or a `ConfigurationSpace`.

    Returns:
        The space. The field `meta` of other tools is not kept.

    Raises:
        SpaceError: it cannot be read, or a hyperparameter has a type or form that is not known.
    """
    data = _load(source)
    if not isinstance(data, Mapping) or not isinstance(data.get("hyperparameters"), list):
        raise SpaceError("this is no ConfigSpace JSON: the list 'hyperparameters' is missing. Check the file.")
    domains: dict[str, Domain] = {}
    try:
        conditions = _conditions(data.get("conditions") or [])
        for item in data["hyperparameters"]:
            name = item["name"]
            domains[name] = _hyperparameter(name, item, conditions.get(name))
        forbid = [_clause(item) for item in data.get("forbiddens") or []]
    except KeyError as error:
        raise SpaceError(f"ConfigSpace JSON: an entry lacks the key {error}. Check the file.") from error
    return Space(domains, forbid=forbid)


def is_configspace(data: Mapping[Any, Any]) -> bool:
    """Whether a mapping has ConfigSpace's form rather than luthier's."""
    marks = {"conditions", "forbiddens", "json_format_version", "format_version", "python_module_version"}
    return isinstance(data.get("hyperparameters"), list) and bool(marks & set(data))


def _load(source: Any) -> Any:
    if hasattr(source, "to_serialized_dict"):
        return source.to_serialized_dict()
    if isinstance(source, str) and source.lstrip().startswith("{"):
        text, where = source, "ConfigSpace JSON"
    elif isinstance(source, (str, Path)):
        where = f"ConfigSpace file {str(source)!r}"
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpaceError(f"{where} cannot be read: {error}. Check the path.") from error
    else:
        return source
    try:
        return json.loads(text)
    except ValueError as error:
        raise SpaceError(f"{where} is no valid JSON: {error}. Check the file.") from error


# -- hyperparameters --


def _hyperparameter(name: str, item: Mapping[str, Any], when: Condition | None) -> Domain:
    meta = item.get("meta")
    if isinstance(meta, Mapping) and isinstance(meta.get("luthier"), Mapping):
        data = dict(meta["luthier"])
        if when is not None:
            data["when"] = when
        return domain_from_dict(name, data)
    reader = READERS.get(item["type"])
    if reader is None:
        raise SpaceError(
            f"hyperparameter {name!r}: type={item['type']!r}. {did_you_mean(item['type'], READERS)}", name=name
        )
    return reader(name, item, when)


def _default(item: Mapping[str, Any]) -> Any:
    return item["default_value"] if "default_value" in item else item.get("default")


def _number(name: str, item: Mapping[str, Any], when: Condition | None) -> Domain:
    whole = item["type"].endswith("_int")
    if item.get("lower") is None or item.get("upper") is None:
        raise SpaceError(
            f"hyperparameter {name!r}: {item['type']} without bounds. Allowed: bounded ones. Add lower and upper.",
            name=name,
        )
    low, high, log, step = item["lower"], item["upper"], bool(item.get("log", False)), item.get("q")
    if whole and step == 1:
        step = None
    if step is not None:  # older forms let q overshoot the upper bound; the last value within it is meant
        high = _decimal(low + math.floor((high - low) / step * (1 + 1e-12)) * step)
    prior: Normal | Beta | None = None
    if item["type"].startswith("normal"):
        # with log, ConfigSpace turns sigma into a distance of logarithms by this rule
        sd = abs(math.log(low + item["sigma"])) if log else item["sigma"]
        prior = Normal(item["mu"], sd)
    elif item["type"].startswith("beta"):
        prior = Beta(item["alpha"], item["beta"])
    make = Int if whole else Float
    default = _default(item)
    if default is not None and step is not None:
        default = _decimal(low + round((min(max(default, low), high) - low) / step) * step)
    return make(low, high, log=log, step=step, default=default, when=when, prior=prior)


def _decimal(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.12g}")


def _categorical(name: str, item: Mapping[str, Any], when: Condition | None) -> Domain:
    weights = item.get("weights", item.get("probabilities"))
    if weights is not None and len(set(weights)) == 1:
        weights = None  # the older form writes equal probabilities out
    return Choice(*item["choices"], default=_default(item), when=when, prior=weights)


def _ordinal(name: str, item: Mapping[str, Any], when: Condition | None) -> Domain:
    return Ordinal(*item["sequence"], default=_default(item), when=when)


def _constant(name: str, item: Mapping[str, Any], when: Condition | None) -> Domain:
    return Fixed(item["value"], when=when)


READERS: Mapping[str, Callable[[str, Mapping[str, Any], Condition | None], Domain]] = {
    "uniform_float": _number,
    "uniform_int": _number,
    "normal_float": _number,
    "normal_int": _number,
    "beta_float": _number,
    "beta_int": _number,
    "categorical": _categorical,
    "ordinal": _ordinal,
    "constant": _constant,
    "unparametrized": _constant,
}


# -- conditions and forbidden clauses --

#: Words of both; LE and GE are not in the present form for conditions, but for clauses.
ORDERS = {"EQ": "==", "NEQ": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
#: Words for relations in the older forms.
LEGACY = {"LESS": "<", "EQUALS": "==", "GREATER": ">", "LT": "<", "EQ": "==", "GT": ">", "LE": "<=", "GE": ">="}


def _conditions(items: list[Mapping[str, Any]]) -> dict[str, Condition]:
    found: dict[str, Condition] = {}
    for item in items:
        child = item["child"]
        condition = _condition(item)
        found[child] = condition if child not in found else AllOf((found[child], condition))
    return found


def _condition(item: Mapping[str, Any]) -> Condition:
    kind = item["type"]
    if kind in ("AND", "OR"):
        return (AllOf if kind == "AND" else AnyOf)(tuple(_condition(part) for part in item["conditions"]))
    if kind == "IN":
        return Comparison(item["parent"], "in", tuple(item["values"]))
    if kind in ORDERS:
        return Comparison(item["parent"], ORDERS[kind], item["value"])
    raise _unknown("condition", kind, ("AND", "OR", "IN", *ORDERS))


def _clause(item: Mapping[str, Any]) -> Condition:
    kind = item["type"]
    if kind in ("AND", "OR"):
        return (AllOf if kind == "AND" else AnyOf)(tuple(_clause(part) for part in item["clauses"]))
    if kind == "EQUALS":
        return Comparison(item["name"], "==", item["value"])
    if kind == "IN":
        return Comparison(item["name"], "in", tuple(item["values"]))
    head, _, word = kind.partition("_")
    if head == "CLAUSE" and word in ORDERS:
        return Comparison(item["name"], ORDERS[word], item["value"])
    if head == "RELATION" and (word or item["lambda"]) in LEGACY:
        return Relation(item["left"], LEGACY[word or item["lambda"]], item["right"])
    raise _unknown("forbidden clause", kind, ("AND", "OR", "EQUALS", "IN", "CLAUSE_LT", "RELATION_LT"))


def _unknown(what: str, kind: str, allowed: tuple[str, ...]) -> SpaceError:
    return SpaceError(f"ConfigSpace JSON: {what} of type {kind!r} is not known. {did_you_mean(kind, allowed)}")
