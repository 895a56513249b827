"""Domains: the values that one hyperparameter may take.

A domain does not know its hyperparameter's name, so its constructor accepts anything; `Domain.check(name)`
judges it, and `Space` calls that for every hyperparameter.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from luthier.base.errors import SpaceError, did_you_mean
from luthier.space.conditions import parse_condition
from luthier.space.priors import Beta, Normal, prior_to_json
from luthier.space.values import is_number, is_value, plain, same, tell_apart

#: Levels of a discrete hyperparameter, and size of a number beside its step, up to which the encoding is exact.
MOST_LEVELS = 2**40
#: Bits of a continuous hyperparameter's code below which values can hardly be told apart.
FEWEST_BITS, MOST_BITS = 10, 40


class _Unset:
    def __repr__(self) -> str:
        return "<not given>"


_UNSET = _Unset()


class Domain(ABC):
    """The values that one hyperparameter may take; it cannot be changed once made.

    Attributes:
        when: The condition as the user wrote it, None for "always active".
        default: The value of the default configuration.
    """

    kind: ClassVar[str]
    when: Any
    default: Any

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"a domain cannot be changed; make a new {type(self).__name__}(...)")

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _set_when(self, when: Any) -> None:
        try:
            self._set(when=None if when is None else parse_condition(when, ""))
        except SpaceError:
            self._set(when=when)  # `check` refuses it, with the hyperparameter's name

    def refuse(self, name: str, text: str) -> NoReturn:
        """Raise SpaceError about hyperparameter `name`."""
        raise SpaceError(f"hyperparameter {name!r}: {text}", name=name)

    def check(self, name: str) -> None:
        """Judge the arguments.

        Args:
            name: The hyperparameter's name, for the message.

        Raises:
            SpaceError: saying what is wrong and what to do.
        """
        if self.when is not None:
            parse_condition(self.when, name)  # what the constructor could not read is still as the user wrote it
        self._check(name)

    @abstractmethod
    def _check(self, name: str) -> None: ...

    @abstractmethod
    def _fit(self, value: Any) -> tuple[bool, Any]:
        """Whether a plain value belongs here, and its canonical form."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What may be given, in words."""

    @abstractmethod
    def _arguments(self) -> Iterator[tuple[str, Any]]:
        """Arguments that differ from their defaults; positional ones have an empty name."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The domain as JSON-able values; `luthier.space.serial.domain_from_dict` reads them."""

    def _common(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        prior = getattr(self, "prior", None)
        if prior is not None:
            found["prior"] = prior_to_json(prior)
        if self.when is not None:
            found["when"] = self.when.to_json() if hasattr(self.when, "to_json") else repr(self.when)
        return found

    def _hint(self, value: Any) -> str:
        return "Use an allowed value, or widen the space."

    def contains(self, value: Any) -> bool:
        """Whether a value belongs to this domain."""
        return self._fit(plain(value))[0]

    def accept(self, value: Any, *, name: str, where: str = "configuration") -> Any:
        """The canonical form of a value (an int for `Int` even when 3.0 is given, no numpy scalars).

        Args:
            value: What was given.
            name: The hyperparameter's name, for the message.
            where: Who gave it, for the message.

        Raises:
            SpaceError: the value does not belong to this domain.
        """
        given = plain(value)
        fits, canonical = self._fit(given)
        if not fits:
            raise SpaceError(
                f"{where}: {name}={given!r} does not fit. Allowed: {self.allowed}. {self._hint(given)}", name=name
            )
        return canonical

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Domain):
            return NotImplemented
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" if name else repr(value) for name, value in self._arguments()]
        if self.when is not None:
            parts.append(f"when={self.when!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Number(Domain):
    """What `Float` and `Int` share."""

    whole: ClassVar[bool]
    low: Any
    high: Any
    log: bool
    step: Any
    prior: Normal | Beta | None

    def __init__(
        self,
        low: float,
        high: float,
        *,
        log: bool = False,
        step: float | None = None,
        default: float | None = None,
        when: Any = None,
        prior: Normal | Beta | None = None,
    ) -> None:
        self._set(low=self._cast(low), high=self._cast(high), log=plain(log), step=self._cast(step))
        self._set_when(when)
        usual, given = self.middle(), None if default is None else self._cast(default)
        self._set(prior=prior, given=None if same(given, usual) else given)
        self._set(default=usual if self.given is None else self.given)

    given: Any  # the default that the user gave, None where it is the usual one

    def _cast(self, value: Any) -> Any:
        value = plain(value)
        if self.whole:
            return int(value) if type(value) is float and value.is_integer() else value
        return float(value) if type(value) is int and abs(value) < 1e300 else value

    # -- arithmetic of the levels --

    @property
    def digits(self) -> int | None:
        """Decimals to which a quantised float is rounded, None when the step is no short decimal."""
        places = [-int(Decimal(repr(number)).as_tuple().exponent) for number in (self.low, self.step)]
        most = max(0, *places)
        return most if most <= 15 and abs(self.high) * 10.0**most < 2**53 else None

    @property
    def quantum(self) -> Any:
        """Distance between neighbouring values, None for a continuous range."""
        return self.step if self.step is not None else (1 if self.whole else None)

    @property
    def levels(self) -> int:
        """Number of distinct values, 0 for a continuous range."""
        quantum = self.quantum
        return 0 if quantum is None else round((self.high - self.low) / quantum) + 1

    def at(self, level: int) -> Any:
        """The value of a level, counted from 0."""
        if self.whole:
            return self.low + level * self.quantum
        value = self.low + level * self.step
        digits = self.digits
        return min(value if digits is None else round(value, digits), self.high)

    def middle(self) -> Any:
        """The middle of the range, in logarithms with `log`; a bound when the range itself is wrong."""
        low, high, step = self.low, self.high, self.quantum
        if not (is_number(low) and is_number(high) and low < high):
            return low
        half = math.exp((math.log(low) + math.log(high)) / 2) if self.log is True and low > 0 else low / 2 + high / 2
        if self.log is True and low > 0 and math.isclose(half * half, low * high):
            half = math.sqrt(low * high)  # the rounder of the two: 0.001 rather than 0.0009999999999999998
        if step is None:
            return half
        if not is_number(step) or step <= 0 or self.levels > MOST_LEVELS:
            return low
        rounded = math.floor((half - low) / step) if self.log is not True else round((half - low) / step)
        return self.at(min(rounded, self.levels - 1))

    # -- judging --

    def _check(self, name: str) -> None:
        kind = "a finite whole number" if self.whole else "a finite number"
        for word, value in (("low", self.low), ("high", self.high)):
            if not is_number(value) or (self.whole and type(value) is not int):
                self.refuse(name, f"{word}={value!r} is not {kind}. Allowed: {kind}. Change {word}.")
        if self.low > self.high:
            self.refuse(
                name,
                f"low={self.low!r} is above high={self.high!r}. "
                f"Swap them, or for a fixed value use Fixed({self.low!r}).",
            )
        if self.low == self.high:
            self.refuse(name, f"low=high={self.low!r} leaves a single value. Use Fixed({self.low!r}).")
        if type(self.log) is not bool:
            self.refuse(name, f"log={self.log!r}. Allowed: True or False.")
        if self.log and self.low <= 0:
            self.refuse(name, f"log=True with low={self.low!r}. Allowed: low above 0. Raise low, or leave out log.")
        self._check_step(name)
        self._check_width(name)
        if self.given is not None and not self._fit(self.given)[0]:
            self.refuse(name, f"default={self.given!r} is outside. Allowed: {self.allowed}. Change the default.")
        self._check_prior(name)

    def _check_step(self, name: str) -> None:
        step = self.step
        if step is None:
            return
        kind = "a whole number" if self.whole else "a number"
        if not is_number(step) or step <= 0 or (self.whole and type(step) is not int):
            self.refuse(name, f"step={step!r}. Allowed: {kind} above 0, or None. Change step.")
        steps = (self.high - self.low) / step
        if steps > MOST_LEVELS or max(abs(self.low), abs(self.high)) / step > MOST_LEVELS:
            self.refuse(name, f"step={step!r} is too fine for {self.low!r}..{self.high!r}. Use a larger step or none.")
        if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
            last = self.low + math.floor(steps + 1e-6) * step
            hint = f"Use high={last:.12g}, or another step." if steps >= 1 else "Use a smaller step."
            self.refuse(name, f"step={step!r} does not fit between low={self.low!r} and high={self.high!r}. {hint}")

    def _check_width(self, name: str) -> None:
        if self.whole:
            if self.levels > MOST_LEVELS or max(abs(self.low), abs(self.high)) > 2**53:
                self.refuse(
                    name, f"{self.low}..{self.high} has too many values to be exact. Allowed: 2**40. Use Float, or a step."
                )
            if self.log and self.high > MOST_LEVELS:
                self.refuse(name, f"high={self.high} with log=True. Allowed: up to 2**40. Use Float(..., log=True).")
        elif not math.isfinite(self.high - self.low) or (self.log and self.low < 1e-300):
            self.refuse(name, f"{self.low!r}..{self.high!r} is too wide for a float. Narrow it.")
        elif self.bits < FEWEST_BITS:
            self.refuse(
                name,
                f"low={self.low!r} and high={self.high!r} are too near to each other to tell values apart. "
                "Widen the range, or use Choice.",
            )

    @property
    def bits(self) -> int:
        """Bits of a continuous code, such that a value finds back to its code through rounding errors."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        if high - low < 1e-300:
            return 0
        largest = max(abs(low), abs(high), high - low) + (2.0 if self.log else 0.0)
        return min(MOST_BITS, 48 - math.ceil(math.log2(largest) - math.log2(high - low)))

    def _check_prior(self, name: str) -> None:
        prior = self.prior
        if prior is None:
            return
        if not isinstance(prior, (Normal, Beta)):
            self.refuse(name, f"prior={prior!r}. Allowed: Normal(mean, sd), Beta(alpha, beta) or None.")
        text = prior.problem()
        if text is None and isinstance(prior, Normal) and not self.low <= prior.mean <= self.high:
            text = f"mean={prior.mean!r} is outside {self.low!r}..{self.high!r}. Move it inside, or widen the range."
        if text is not None:
            self.refuse(name, f"prior {type(prior).__name__}: {text}")

    # -- values --

    def _fit(self, value: Any) -> tuple[bool, Any]:
        if not is_number(value):
            return False, None
        # a value that went through text or a logarithm may miss a bound by a rounding error
        slack = 1e-9 * (self.high - self.low)
        if self.log:
            slack = 1e-9 * value if value > 0 else 0.0
        if self.quantum is None:
            inside = self.low - slack <= value <= self.high + slack
            return inside, min(max(float(value), self.low), self.high)
        level = round((value - self.low) / self.quantum)
        if not 0 <= level < self.levels:
            return False, None
        nearest = self.at(level)
        exact = abs(value - nearest) <= 1e-9 * max(self.quantum, abs(nearest)) and (not self.whole or value == nearest)
        return exact, nearest

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        kind = "a whole number" if self.whole else "a number"
        stride = "" if self.step is None else f" in steps of {self.step!r}"
        return f"{kind} from {self.low!r} to {self.high!r}{stride}"

    def _arguments(self) -> Iterator[tuple[str, Any]]:
        yield "", self.low
        yield "", self.high
        for name, value, usual in (("log", self.log, False), ("step", self.step, None), ("default", self.given, None)):
            if value is not usual:
                yield name, value
        if self.prior is not None:
            yield "prior", self.prior

    def to_dict(self) -> dict[str, Any]:
        """The domain as JSON-able values."""
        found = {"type": self.kind, "low": self.low, "high": self.high}
        if self.log:
            found["log"] = True
        if self.step is not None:
            found["step"] = self.step
        if self.given is not None:
            found["default"] = self.default
        return {**found, **self._common()}


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
    """

    kind = "int"
    whole = True


class _Listed(Domain):
    """What `Choice` and `Ordinal` share."""

    values: tuple[Any, ...]
    prior: tuple[float, ...] | None
    given: Any
    index: dict[tuple[type, Any], int]

    def __init__(self, *values: Any, default: Any = _UNSET, when: Any = None, prior: Any = None) -> None:
        listed = tuple(plain(value) for value in values)
        given = plain(default)
        if given is None and not any(value is None for value in listed):
            given = _UNSET  # default=None means "not given", unless None is one of the values
        weights = prior
        if isinstance(prior, (list, tuple)) or hasattr(prior, "tolist"):
            weights = tuple(plain(weight) for weight in prior)
        self._set_when(when)
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
                hint = f"Write {own}(*values)." if isinstance(value, (list, tuple)) else "Give it a name instead."
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
            alike = [other for other in self.values if is_number(other) and other == value]
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
    """

    kind = "choice"


class Ordinal(_Listed):
    """One of several values in a meaningful order, smallest first.

    Args:
        *values: Texts, numbers, True, False or None.
        default: Value of the default configuration; not given: the middle (the lower one of two).
        when: Condition under which the hyperparameter is active.
        prior: Weights, one a value, > 0; None: all alike.
    """

    kind = "ordinal"

    def _usual(self) -> Any:
        return self.values[(len(self.values) - 1) // 2] if self.values else None


class Fixed(Domain):
    """One value that is not searched; it takes no column of the encoding.

    Args:
        value: Text, a finite number, True, False or None.
        when: Condition under which the hyperparameter is active.
    """

    kind = "fixed"
    value: Any

    def __init__(self, value: Any, when: Any = None) -> None:
        self._set_when(when)
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
