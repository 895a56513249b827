"""What `Float` and `Int` share: bounds, logarithm, steps and their arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from luthier.space.domain import Domain
from luthier.space.priors import OUTSIDE, Beta, Normal
from luthier.space.values import is_number, plain, same

#: Levels of a discrete hyperparameter, and size of a number beside its step, up to which the encoding is exact.
MOST_LEVELS = 2**40
#: Bits of a continuous hyperparameter's code below which values can hardly be told apart.
FEWEST_BITS, MOST_BITS = 10, 40


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
        transfer: str | None = None,
    ) -> None:
        self._set(low=self._cast(low), high=self._cast(high), log=plain(log), step=self._cast(step))
        self._set_when(when, transfer)
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

    @cached_property
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
                    name,
                    f"{self.low}..{self.high} has too many values to be exact. Allowed: 2**40. Use Float, or a step.",
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
        if text is None and isinstance(prior, Normal):
            text = self._far_off(prior)
        if text is not None:
            self.refuse(name, f"prior {type(prior).__name__}: {text}")

    def _far_off(self, prior: Normal) -> str | None:
        if self.log and prior.mean <= 0:
            return f"mean={prior.mean!r} with log=True. Allowed: a number above 0. Move it into the range."
        mean, low, high = (math.log(x) if self.log else x for x in (prior.mean, self.low, self.high))
        if low - OUTSIDE * prior.sd <= mean <= high + OUTSIDE * prior.sd:
            return None
        return f"mean={prior.mean!r} is far outside {self.low!r}..{self.high!r}. Move it inside, or widen the range."

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
