"""`--set searcher.quantiles=7`: own arguments of searchers, schedulers and stopping rules, typed by constructors."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Union

from luthier.base.errors import ArgumentError
from luthier.base.registry import check_own, load, own_arguments

KINDS = ("searcher", "scheduler")


class Parts(NamedTuple):
    """What `Study` takes for searcher, scheduler and stopping."""

    searcher: dict[str, Any]
    scheduler: dict[str, Any]
    stopping: list[dict[str, Any]]


def parts(searcher: str, scheduler: str, settings: Sequence[str], stopping: Sequence[str] = ()) -> Parts:
    """Searcher, scheduler and stopping rules with their own arguments, as `Study` takes them.

    Args:
        searcher: Its name.
        scheduler: Its name.
        settings: Texts such as "scheduler.eta=4" or "plateau.trials=50".
        stopping: Names of the rules.

    Raises:
        ArgumentError: a text has another form, or names an argument that is not there or does not take the value.
    """
    own: dict[str, dict[str, str]] = {kind: {} for kind in (*KINDS, *stopping)}
    for text in settings:
        target, mark, value = text.partition("=")
        kind, dot, name = target.partition(".")
        if not mark or not dot or kind not in own or not name:
            raise ArgumentError(
                f"--set {text}. Allowed: searcher.NAME=VALUE, scheduler.NAME=VALUE or, for a rule "
                "named with --stopping, RULE.NAME=VALUE."
            )
        own[kind][name.replace("-", "_")] = value
    found = []
    for kind, name in zip(KINDS, (searcher, scheduler), strict=True):
        given = own[kind]
        if given and (kind, name) == ("scheduler", "auto"):
            raise ArgumentError(f"--set {kind}.{next(iter(given))}: no {kind} is named. Name it: --{kind} NAME.")
        found.append({"name": name, **(_typed(kind, name, given) if given else {})})
    rules = [{"name": rule, **(_typed("stopping", rule, own[rule]) if own[rule] else {})} for rule in stopping]
    return Parts(found[0], found[1], rules)


def _typed(kind: str, name: str, given: dict[str, str]) -> dict[str, Any]:
    cls = load(kind, name)
    check_own(kind, name, cls, given)
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    return {key: _convert(f"{kind} {name!r}: {key}", text, hints.get(key, Any)) for key, text in given.items()}


def _convert(where: str, text: str, hint: Any) -> Any:
    for candidate in _alternatives(hint):
        try:
            return _as(text, candidate)
        except ValueError:
            continue
    raise ArgumentError(f"{where}={text!r}. Allowed: {describe(hint)}.")


def _alternatives(hint: Any) -> list[Any]:
    """A type's alternatives, the strictest first: text takes everything, so it comes last."""
    union = typing.get_origin(hint) in (Union, types.UnionType)
    found = list(typing.get_args(hint)) if union else [hint]
    rank = [type(None), bool, int, float]
    return sorted(found, key=lambda one: rank.index(one) if one in rank else 5 if one is str or one is Any else 4)


def _as(text: str, hint: Any) -> Any:
    """Text as one plain type. Raises ValueError."""
    word = text.strip().lower()
    if hint is type(None):
        if word in ("none", "null"):
            return None
        raise ValueError(text)
    if hint is bool:
        if word in ("true", "false"):
            return word == "true"
        raise ValueError(text)
    if hint in (int, float, str):
        return hint(text)
    origin = typing.get_origin(hint)
    if origin is Literal:
        for value in typing.get_args(hint):
            if str(value).lower() == word:
                return value
        raise ValueError(text)
    if origin in (list, tuple) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        inner = next((one for one in typing.get_args(hint) if one is not Ellipsis), str)
        return [_as(piece.strip(), inner) for piece in text.split(",") if piece.strip()]
    if hint is Any or hint is inspect.Parameter.empty:
        for simple in (int, float):
            try:
                return simple(text)
            except ValueError:
                continue
        return text
    raise ValueError(text)


def describe(hint: Any) -> str:
    """A type in words."""
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "none"}
    texts = []
    for one in _alternatives(hint):
        if one in words:
            texts.append(words[one])
        elif typing.get_origin(one) is Literal:
            texts.append(", ".join(repr(value) for value in typing.get_args(one)))
        elif typing.get_args(one):
            texts.append("values with commas between them")
        else:
            texts.append(str(getattr(one, "__name__", one)))
    return " or ".join(texts)


def options(kind: str, name: str) -> list[dict[str, Any]]:
    """The own arguments of a class: name, type in words, default.

    Args:
        kind: "searcher", "scheduler", ...
        name: Public name.
    """
    cls = load(kind, name)
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    return [
        {
            "name": key,
            "type": describe(hints.get(key, Any)),
            "default": None if parameter.default is inspect.Parameter.empty else parameter.default,
        }
        for key, parameter in own_arguments(cls).items()
    ]
