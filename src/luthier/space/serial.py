"""Spaces and domains as JSON-able values, and back without loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from luthier.base.errors import SpaceError, did_you_mean
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
from luthier.space.priors import prior_from_json

_NUMBER = ("low", "high", "log", "step", "default", "when", "prior", "transfer")
_LISTED = ("values", "default", "when", "prior", "transfer")
#: Type of a hyperparameter: what makes it, which keys it may have, which of them it must have.
TYPES: Mapping[str, tuple[Callable[..., Domain], tuple[str, ...], tuple[str, ...]]] = {
    "float": (Float, _NUMBER, ("low", "high")),
    "int": (Int, _NUMBER, ("low", "high")),
    "choice": (Choice, _LISTED, ("values",)),
    "ordinal": (Ordinal, _LISTED, ("values",)),
    "fixed": (Fixed, ("value", "when", "transfer"), ("value",)),
}


def domain_from_dict(name: str, data: Mapping[str, Any]) -> Domain:
    """Read one hyperparameter.

    Args:
        name: Its name, for messages.
        data: {"type": "float", "low": 0, ...}, as `Domain.to_dict` writes it.

    Returns:
        The domain; whether its numbers make sense is for `Domain.check`.

    Raises:
        SpaceError: an unknown type or key, or a missing key.
    """
    kind = data.get("type")
    if kind is None:
        raise SpaceError(f"hyperparameter {name!r} has no type. Allowed: {', '.join(TYPES)}. Add one.", name=name)
    if not isinstance(kind, str) or kind not in TYPES:
        raise SpaceError(f"hyperparameter {name!r}: type={kind!r}. {did_you_mean(str(kind), TYPES)}", name=name)
    make, known, needed = TYPES[kind]
    arguments = {key: value for key, value in data.items() if key != "type"}
    for key in arguments:
        if key not in known:
            raise SpaceError(
                f"hyperparameter {name!r}: key {key!r} is not known for type {kind!r}. {did_you_mean(str(key), known)}",
                name=name,
            )
    for key in needed:
        if key not in arguments:
            raise SpaceError(
                f"hyperparameter {name!r} of type {kind!r} lacks {key!r}. It needs: {', '.join(needed)}. Add {key!r}.",
                name=name,
            )
    if "prior" in arguments:
        arguments["prior"] = prior_from_json(name, arguments["prior"])
    values = arguments.pop("values", ())
    if not isinstance(values, (list, tuple)):
        raise SpaceError(f"hyperparameter {name!r}: values={values!r}. Allowed: a list. Write [{values!r}].", name=name)
    return make(*values, **arguments)


def domains_from_list(data: Any) -> dict[str, Domain]:
    """Read the hyperparameters of a stored space.

    Args:
        data: A list of what `domain_from_dict` reads, each with its "name".

    Raises:
        SpaceError: it is no such list, a name stands there twice, or an entry is wrong.
    """
    if not isinstance(data, (list, tuple)) or not all(isinstance(item, Mapping) and "name" in item for item in data):
        raise SpaceError(
            "this is no stored space: the list 'hyperparameters', whose entries have a name, is missing. "
            "Use what Space.to_dict() gives."
        )
    domains: dict[str, Domain] = {}
    for item in data:
        name = item["name"]
        if name in domains:
            raise SpaceError(f"hyperparameter {name!r} stands there twice. Take one away.", name=name)
        domains[name] = domain_from_dict(name, {key: value for key, value in item.items() if key != "name"})
    return domains
