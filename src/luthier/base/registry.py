"""Names to classes: an algorithm's public name is its file's name, or that of an entry point.

A room that holds algorithms (`searchers`, `schedulers`, ...) is a folder; each file in it whose name does not
begin with an underscore is one algorithm, and marks its class with `@register("searcher")`; so is each in a folder of
that folder (`searchers/transfer`). Files of other
packages join through the entry-point group `luthier.<room>`. Listing reads file names and first docstring
lines; a file is imported when its algorithm is used.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from luthier.base.errors import ArgumentError, did_you_mean

T = TypeVar("T", bound=type)

# what a class calls itself -> (the package that holds such files, the entry-point group)
KINDS: Mapping[str, tuple[str, str]] = {
    "searcher": ("luthier.searchers", "luthier.searchers"),
    "scheduler": ("luthier.schedulers", "luthier.schedulers"),
    "stopping": ("luthier.stopping", "luthier.stopping"),
    "executor": ("luthier.runtime.executors", "luthier.executors"),
    "storage": ("luthier.runtime.storage", "luthier.storages"),
    "benchmark": ("luthier.bench.families", "luthier.benchmarks"),
}

_registered: dict[tuple[str, str], type] = {}


def register(kind: str) -> Callable[[T], T]:
    """Mark a class as the algorithm of its file.

    Args:
        kind: One of `KINDS`.

    Returns:
        A decorator that leaves the class as it is, but for its attribute `name`.
    """

    def mark(cls: T) -> T:
        name = cls.__module__.rpartition(".")[2].replace("_", "-")
        cls.name = name  # type: ignore[attr-defined]
        _registered[kind, cls.__module__] = cls
        return cls

    return mark


@cache
def _files(kind: str) -> dict[str, Path]:
    spec = importlib.util.find_spec(KINDS[kind][0]) if _exists(KINDS[kind][0]) else None
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted([*folder.glob("*.py"), *folder.glob("[!_]*/*.py")])  # a part of a room may have a folder of its own
    return {path.stem.replace("_", "-"): path for path in files if not path.stem.startswith("_")}


def _exists(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _entry_points(kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=KINDS[kind][1])}


def names(kind: str) -> list[str]:
    """Every public name of a kind, sorted; nothing is imported."""
    return sorted({*_files(kind), *_entry_points(kind)})


def summary(kind: str, name: str) -> str:
    """First line of the docstring of the file behind a name; nothing of ours is imported."""
    path = _files(kind).get(name)
    if path is None:
        doc = inspect.getdoc(load(kind, name)) or ""
    else:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.strip().split("\n")[0]


def load(kind: str, name: str) -> type:
    """The class behind a name.

    Raises:
        ArgumentError: nothing has that name.
    """
    path = _files(kind).get(name)
    if path is not None:
        package = KINDS[kind][0]
        inner = "" if path.parent.name == package.rpartition(".")[2] else f".{path.parent.name}"
        module = f"{package}{inner}.{path.stem}"
        importlib.import_module(module)
        return _registered[kind, module]
    point = _entry_points(kind).get(name)
    if point is None:
        raise ArgumentError(f"{kind} {name!r} is not known. {did_you_mean(name, names(kind))}")
    found = point.load()
    if not isinstance(found, type):
        raise ArgumentError(f"{kind} {name!r}: the entry point {point.value!r} is no class. Point it at the class.")
    return found


def own_arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a class that a user may set, `seed` left out."""
    parameters = inspect.signature(cls).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "seed"
    }


def check_own(kind: str, name: str, cls: type, own: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that a class does not have.

    Raises:
        ArgumentError: naming the argument, with a suggestion.
    """
    allowed = own_arguments(cls)
    for key in own:
        if key not in allowed:
            hint = did_you_mean(key, allowed) if allowed else "It takes no arguments."
            raise ArgumentError(f"{kind} {name!r} has no argument {key!r}. {hint}")
