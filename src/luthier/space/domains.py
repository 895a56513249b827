"""The five domains: Float, Int, Choice, Ordinal and Fixed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from luthier.base.errors import did_you_mean
from luthier.space.domain import Domain
from luthier.space.number import Number
from luthier.space.values import is_number, is_value, plain, same, tell_apart


class _Unset:
    """Stands for "no default given"; there is one, and it stays the same object in another process."""

    def __repr__(self) -> str:
        return "<not given>"

    def __reduce__(self) -> str:
        return "_UNSET"  # pickled by its name: a copy would pass for a default that is not allowed


_UNSET = _Unset()


class Float(Number):
    """A real number.

    Args:
        low: Smallest value.
        high: Largest value.
        log: Whether ratios matter rather than differences; then `low` > 0.
        step: Distance between allowed values, counted from `low`; it must lead to `high`. None: any number.
        default: Value of the default configuration; None: the middle (of the logarithms, with `log`).
        when: Condition under which the hyperparameter is active.
        prior: Where good values are expected: `Normal(mean, sd)` or `Beta(alpha, beta)`; None: anywhere.
        transfer: How a tuned value goes to a larger model: "mup", "wd" or "none"; None: by its name.
    """

    kind = "float"
    whole = False


class Int(Number):
    """A whole number.

    Args:
        low: Smallest value.
        high: Largest value.
        log: Whether ratios matter rather than differences; then `low` > 0.
        step: Distance between allowed values, counted from `low`; it must lead to `high`. None: 1.
        default: Value of the default configuration; None: the middle (of the logarithms, with `log`).
        when: Condition under which the hyperparameter is active.
        prior: Where good values are expected: `Normal(mean, sd)` or `Beta(alpha, beta)`; None: anywhere.
        transfer: How a tuned value goes to a larger model: "mup", "wd" or "none"; None: by its name.
    """

    kind = "int"
    whole = True


def _about(a: Any, b: Any) -> bool:
    """Whether two numbers differ by rounding alone, as `Number` allows it; whole numbers differ or are equal."""
    return not (type(a) is int and type(b) is int) and math.isclose(a, b, rel_tol=1e-9)


class _Listed(Domain):
    """What `Choice` and `Ordinal` share."""

    values: tuple[Any, ...]
    prior: tuple[float, ...] | None
    given: Any
    index: dict[tuple[type, Any], int]

    def __init__(
        self, *values: Any, default: Any = _UNSET, when: Any = None, prior: Any = None, transfer: Any = None
    ) -> None:
        listed = tuple(plain(value) for value in values)
        given = plain(default)
        if given is None and not any(value is None for value in listed):
            given = _UNSET  # default=None means "not given", unless None is one of the values
        weights = prior
        if isinstance(prior, (list, tuple)) or hasattr(prior, "tolist"):
            weights = tuple(plain(weight) for weight in prior)
        self._set_when(when, transfer)
        self._set(values=listed, prior=weights, given=given)
        hashable = [value for value in listed if is_value(value)]
        self._set(index={tell_apart(value): i for i, value in enumerate(hashable)})
        fits, canonical = self._fit(given) if given is not _UNSET else (False, None)
        self._set(default=canonical if fits else self._usual())
        if fits and same(canonical, self._usual()):
            self._set(given=_UNSET)

    def _usual(self) -> Any:
        return self.values[0] if self.values else None

    @property
    def levels(self) -> int:
        """Number of values."""
        return len(self.values)

    def _check(self, name: str) -> None:
        own = type(self).__name__
        if not self.values:
            self.refuse(name, f"{own}() has no values. Allowed: one or more. Name them: {own}('a', 'b').")
        for i, value in enumerate(self.values):
            if not is_value(value):
                spread = ", ".join(map(repr, value)) if isinstance(value, (list, tuple)) else ""
                hint = f"Write the values one by one: {own}({spread})." if spread else "Give it a name instead."
                self.refuse(name, f"value {value!r} of {own}. Allowed: text, finite numbers, True, False, None. {hint}")
            if any(same(value, other) for other in self.values[:i]):
                self.refuse(name, f"{own} has the value {value!r} twice. Allowed: each value once. Take one away.")
        if self.given is not _UNSET and not self._fit(self.given)[0]:
            self.refuse(name, f"default={self.given!r}. Allowed: {self.allowed}. {self._hint(self.given)}")
        if self.prior is not None:
            wrong = not isinstance(self.prior, tuple) or len(self.prior) != len(self.values)
            if wrong or not all(is_number(weight) and weight > 0 for weight in self.prior):
                self.refuse(
                    name, f"prior={self.prior!r}. Allowed: one weight above 0 for each of {len(self.values)} values."
                )

    def _fit(self, value: Any) -> tuple[bool, Any]:
        if not is_value(value):
            return False, None
        if tell_apart(value) in self.index:
            return True, value
        if is_number(value):  # 2.0 for 2, as a table or a file may give it; never True for 1
            numbers = [other for other in self.values if is_number(other)]
            alike = [other for other in numbers if other == value] or [o for o in numbers if _about(o, value)]
            if len(alike) == 1:
                return True, alike[0]
        return False, None

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        shown = ", ".join(repr(value) for value in self.values[:12])
        more = len(self.values) - 12
        return shown + (f" and {more} more" if more > 0 else "")

    def _hint(self, value: Any) -> str:
        texts = [other for other in self.values if isinstance(other, str)]
        if isinstance(value, str):
            hint = did_you_mean(value, texts) if texts else ""
            if hint.startswith("Did"):
                return hint
        return super()._hint(value)

    def _arguments(self) -> Iterator[tuple[str, Any]]:
        for value in self.values:
            yield "", value
        if self.given is not _UNSET:
            yield "default", self.given
        if self.prior is not None:
            yield "prior", self.prior

    def to_dict(self) -> dict[str, Any]:
        """The domain as JSON-able values."""
        found: dict[str, Any] = {"type": self.kind, "values": list(self.values)}
        if self.given is not _UNSET:
            found["default"] = self.default
        return {**found, **self._common()}


class Choice(_Listed):
    """One of several values without an order.

    Args:
        *values: Texts, numbers, True, False or None, also mixed; 1, 1.0 and True are three values.
        default: Value of the default configuration; not given: the first.
        when: Condition under which the hyperparameter is active.
        prior: Weights, one a value, > 0; None: all alike.
        transfer: How a tuned value goes to a larger model: "mup", "wd" or "none"; None: by its name.
    """

    kind = "choice"


class Ordinal(_Listed):
    """One of several values in a meaningful order, smallest first.

    Args:
        *values: Texts, numbers, True, False or None.
        default: Value of the default configuration; not given: the middle (the lower one of two).
        when: Condition under which the hyperparameter is active.
        prior: Weights, one a value, > 0; None: all alike.
        transfer: How a tuned value goes to a larger model: "mup", "wd" or "none"; None: by its name.
    """

    kind = "ordinal"

    def _usual(self) -> Any:
        return self.values[(len(self.values) - 1) // 2] if self.values else None


class Fixed(Domain):
    """One value that is not searched; it takes no column of the encoding.

    Args:
        value: Text, a finite number, True, False or None.
        when: Condition under which the hyperparameter is active.
        transfer: How a tuned value goes to a larger model: "mup", "wd" or "none"; None: by its name.
    """

    kind = "fixed"
    value: Any

    def __init__(self, value: Any, when: Any = None, *, transfer: Any = None) -> None:
        self._set_when(when, transfer)
        self._set(value=plain(value), default=plain(value))

    def _check(self, name: str) -> None:
        if not is_value(self.value):
            self.refuse(name, f"Fixed({self.value!r}). Allowed: text, a finite number, True, False, None.")

    def _fit(self, value: Any) -> tuple[bool, Any]:
        alike = same(value, self.value) or (is_number(value) and is_number(self.value) and value == self.value)
        return alike, self.value

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return repr(self.value)

    def _arguments(self) -> Iterator[tuple[str, Any]]:
        yield "", self.value

    def to_dict(self) -> dict[str, Any]:
        """The domain as JSON-able values."""
        return {"type": self.kind, "value": self.value, **self._common()}
