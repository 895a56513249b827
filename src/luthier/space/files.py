"""Space files: YAML, TOML and JSON.

    lr: {type: float, low: 1e-5, high: 1e-1, log: true, default: 1e-3}
    layers: {type: int, low: 1, high: 8}
    size: {type: ordinal, values: [small, medium, large]}
    act: [relu, gelu]                                              # a list is a choice
    epochs: 20                                                     # a single value is fixed
    opt: {type: choice, values: [sgd, adam], prior: [1, 3]}
    momentum: {type: float, low: 0, high: 0.99, when: [opt, sgd]}
    forbid:                                                        # optional
      - {opt: sgd, act: gelu}

Types and keys are the domains' arguments (`luthier.space.serial.TYPES`); conditions are written as lists,
`[depth, "<=", 3]`, or `{all: [...]}`, `{any: [...]}`; priors as `{normal: [mean, sd]}`, `{beta: [alpha, beta]}` or
a list of weights. What `Space.to_dict` gives, and ConfigSpace's own JSON, are read as well.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from luthier.base.errors import SpaceError
from luthier.space.configspace import from_configspace, is_configspace
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed
from luthier.space.serial import domain_from_dict
from luthier.space.space import Space

#: Keys that hold numbers, in the types that hold numbers.
NUMERIC = ("low", "high", "step", "default")
#: What counts as a float in YAML 1.2; version 1.1, which the library follows, takes 1e-5 for text.
FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")


def load_space(path: str | Path) -> Space:
    """Read a space from a file.

    Args:
        path: A file whose name ends in .yaml, .yml, .toml or .json.

    Returns:
        The space.

    Raises:
        SpaceError: the file is missing, cannot be read, or describes no valid space.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SpaceError(f"space file {str(path)!r} ends in {path.suffix!r}. Allowed: {', '.join(READERS)}. Rename it.")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpaceError(f"space file {str(path)!r} is not there. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"space file {str(path)!r} cannot be read: {error}. Give a readable UTF-8 text.") from error
    try:
        data = reader(text)
    except ValueError as error:  # what all three libraries raise, or are made to
        raise SpaceError(f"space file {str(path)!r} is no valid {path.suffix[1:].upper()}: {error}.") from error
    if data is None or data == {}:
        raise SpaceError(
            f"space file {str(path)!r} is empty. Allowed: names and domains. Write such as 'lr: {{type: float, ...}}'."
        )
    try:
        return parse_space(data)
    except SpaceError as error:
        raise SpaceError(f"space file {str(path)!r}: {error}", name=error.name) from error


def parse_space(data: Any) -> Space:
    """The space that a file's content describes.

    Args:
        data: What a YAML, TOML or JSON library made of the file.

    Raises:
        SpaceError: it describes no valid space.
    """
    if not isinstance(data, Mapping) or not data:
        raise SpaceError(
            f"a {type(data).__name__} is no space. Allowed: names and domains, such as 'lr: {{type: float, ...}}'."
        )
    if is_configspace(data):
        return from_configspace(data)
    entries, forbid = _split(data)
    domains: dict[str, Domain] = {}
    for name, entry in entries:
        if not isinstance(name, str):
            raise SpaceError(f"hyperparameter name {name!r} is no text. Put it in quotes.")
        if name in domains:
            raise SpaceError(f"hyperparameter {name!r} is given twice. Take one away.", name=name)
        domains[name] = _domain(name, entry)
    return Space(domains, forbid=forbid)


def _split(data: Mapping[Any, Any]) -> tuple[list[tuple[Any, Any]], Any]:
    """Hyperparameters and forbidden clauses, of either form."""
    inner = data.get("hyperparameters")
    nested = set(data) <= {"hyperparameters", "forbid"} and isinstance(inner, (Mapping, list))
    if nested and isinstance(inner, list) and all(isinstance(entry, Mapping) and "name" in entry for entry in inner):
        listed = [(entry["name"], {k: v for k, v in entry.items() if k != "name"}) for entry in inner]
        return listed, data.get("forbid", [])
    if nested and isinstance(inner, Mapping):
        return list(inner.items()), data.get("forbid", [])
    forbid = data.get("forbid", [])
    if not isinstance(forbid, list):
        raise SpaceError(
            f"forbid={forbid!r}. Allowed: a list of clauses. (A hyperparameter cannot have this name here.)"
        )
    return [(name, entry) for name, entry in data.items() if name != "forbid"], forbid


def _domain(name: str, entry: Any) -> Domain:
    if isinstance(entry, list):
        return Choice(*entry)
    if not isinstance(entry, Mapping):
        return Fixed(entry)
    data = dict(entry)
    if data.get("type") in ("float", "int"):
        for key in NUMERIC:
            if isinstance(data.get(key), str):
                data[key] = _number(data[key])
    return domain_from_dict(name, data)


def _number(text: str) -> Any:
    """A number written in quotes, or the text itself, which the domain will refuse."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands there twice")
        found[key] = value
    return found


def _read_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """YAML 1.2's numbers and truth values: 1e-5 is a number; yes, no, on and off are texts, dates too."""

        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise ValueError(f"the key {key!r} stands there twice (line {node.start_mark.line + 1})")
            return super().construct_mapping(node, deep)

    replaced = {f"tag:yaml.org,2002:{kind}" for kind in ("float", "bool", "timestamp")}
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        Loader.yaml_implicit_resolvers[first] = [pair for pair in resolvers if pair[0] not in replaced]
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
    truth = re.compile("^(true|True|TRUE|false|False|FALSE)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("tTfF"))
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise ValueError((getattr(error, "problem", None) or " ".join(str(error).split())) + where) from error


READERS: Mapping[str, Callable[[str], Any]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".toml": tomllib.loads,
    ".json": _read_json,
}
