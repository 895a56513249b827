"""Comparing two spaces: what differs, and whether one contains the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from luthier.base.errors import SpaceError
from luthier.space.columns import column
from luthier.space.conditions import Comparison, Condition
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Ordinal
from luthier.space.number import Number
from luthier.space.values import tell_apart

if TYPE_CHECKING:
    from luthier.space.space import Space

#: Levels of a parent up to which two conditions on it are compared value by value.
MOST_VALUES = 10_000


def difference(here: Space, there: Space) -> list[str]:
    """What differs, one line each; see `Space.difference`."""
    lines: list[str] = []
    for name in dict.fromkeys((*here.names, *there.names)):
        if name not in there:
            lines.append(f"{name}: {here[name]!r} here, not there")
        elif name not in here:
            lines.append(f"{name}: not here, {there[name]!r} there")
        else:
            lines.extend(f"{name}: {line}" for line in _differences(here[name], there[name]))
    common = [name for name in here.names if name in there]
    if common != [name for name in there.names if name in here]:
        lines.append(f"order: {', '.join(here.names)} here, {', '.join(there.names)} there")
    ours, theirs = _clauses(here), _clauses(there)
    lines.extend(f"forbid: {clause} here, not there" for text, clause in ours.items() if text not in theirs)
    lines.extend(f"forbid: not here, {clause} there" for text, clause in theirs.items() if text not in ours)
    if not lines and list(ours) != list(theirs):
        lines.append("forbid: the same clauses in another order")
    return lines


def _clauses(space: Space) -> dict[str, Condition]:
    return {repr(clause): clause for clause in space.forbidden}


def _differences(here: Domain, there: Domain) -> Iterator[str]:
    if type(here) is not type(there):
        yield f"{here!r} here, {there!r} there"
        return
    ours, theirs = _fields(here), _fields(there)
    for key in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(key), theirs.get(key)
        if repr(a) != repr(b):  # by text: 1, 1.0 and True differ
            yield f"{key} {a!r} here, {b!r} there"


def _fields(domain: Domain) -> dict[str, Any]:
    words = ("low", "high", "log", "step", "values", "value", "default", "prior", "when", "transfer")
    found = {word: getattr(domain, word) for word in words if hasattr(domain, word)}
    if isinstance(domain, Fixed):
        del found["default"]
    for word in ("values", "prior"):
        if isinstance(found.get(word), tuple):
            found[word] = list(found[word])
    return found


def check_wider(old: Space, new: Space) -> None:
    """Judge whether `new` contains every configuration of `old`; see `Space.widen`.

    Raises:
        SpaceError: naming the hyperparameter that is narrower or changed.
    """
    for name, domain in old.domains.items():
        if name not in new:
            raise SpaceError(
                f"hyperparameter {name!r} is missing from the wider space. Keep it; a hyperparameter that should no "
                "longer vary can keep its domain.",
                name=name,
            )
        text = _narrower(domain, new[name])
        if text is not None:
            raise SpaceError(
                f"hyperparameter {name!r}: {text}. A wider space must keep every value, its type and log.", name=name
            )
        _check_condition(name, old, new)
    known = set(_clauses(old))
    for text, clause in _clauses(new).items():
        if text not in known:
            raise SpaceError(
                f"forbid: the wider space forbids {clause}, which was allowed. A wider space may only drop clauses."
            )


def _narrower(old: Domain, new: Domain) -> str | None:
    """Why `new` does not contain `old`, or None when it does."""
    if isinstance(old, Fixed):
        return None if new.contains(old.value) else f"{old!r} is no value of {new!r}"
    if type(old) is not type(new):
        return f"{type(old).__name__} became {type(new).__name__}"
    if isinstance(old, Number) and isinstance(new, Number):
        return _narrower_number(old, new)
    assert isinstance(old, (Choice, Ordinal))
    assert isinstance(new, (Choice, Ordinal))
    for value in old.values:
        if tell_apart(value) not in new.index:
            return f"the value {value!r} is gone"
    places = [new.index[tell_apart(value)] for value in old.values]
    if isinstance(old, Ordinal) and places != sorted(places):
        return f"the order {list(old.values)!r} became {list(new.values)!r}"
    return None


def _narrower_number(old: Number, new: Number) -> str | None:
    if old.log != new.log:
        return f"log={old.log} became log={new.log}"
    if new.low > old.low:
        return f"low={old.low!r} rose to {new.low!r}"
    if new.high < old.high:
        return f"high={old.high!r} fell to {new.high!r}"
    if new.quantum is None:
        return None
    # the old values lie on the new grid when two neighbours do
    kept = old.quantum is not None and all(new.contains(old.at(level)) for level in (0, 1, old.levels - 1))
    return None if kept else f"step={old.step!r} became step={new.step!r}, which loses values"


def _check_condition(name: str, old: Space, new: Space) -> None:
    before, after = old.conditions.get(name), new.conditions.get(name)
    if after is None or repr(before) == repr(after):
        return
    if before is None:
        raise SpaceError(
            f"hyperparameter {name!r} was always active and now needs {after}. "
            "A wider space may only loosen conditions.",
            name=name,
        )
    if not _implies(before, after, old.domains):
        raise SpaceError(
            f"hyperparameter {name!r} needed {before} and now needs {after}. A wider space may only loosen conditions.",
            name=name,
        )


def _implies(before: Condition, after: Condition, domains: Mapping[str, Domain]) -> bool:
    """Whether `after` holds wherever `before` does, decided for comparisons with one countable hyperparameter."""
    if not (isinstance(before, Comparison) and isinstance(after, Comparison)) or before.parent != after.parent:
        return False
    domain = domains[before.parent]
    if isinstance(domain, Number):
        if domain.quantum is None or domain.levels > MOST_VALUES:
            return False
        values = [domain.at(level) for level in range(domain.levels)]
    else:
        values = list(getattr(domain, "values", (domain.default,)))
    return all(_holds(after, value, domain) for value in values if _holds(before, value, domain))


def _holds(condition: Comparison, value: Any, domain: Domain) -> bool:
    wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    word = condition.operator
    if word in ("==", "in", "!=", "not in"):
        return any(tell_apart(value) == tell_apart(item) for item in wanted) == (word in ("==", "in"))
    found = column(domain)
    if found is None:
        return False
    low, high = found.interval(word, wanted[0])
    return bool(low <= float(found.codes([value])[0]) <= high)
