"""Columns: one hyperparameter's values as numbers in the unit interval, and back, exactly.

Every column has a grid of codes. `snap` moves any u in [0, 1] to the code of the value that u stands for, and
value -> code -> value and code -> value -> code give back what went in. Continuous hyperparameters use a grid of
2**-40 (coarser where the range is narrow beside its numbers), far finer than any model can see, so that
rounding in `exp` and `log` never moves a value to another code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.space.domain import Domain
from luthier.space.domains import Choice, Ordinal
from luthier.space.number import Number
from luthier.space.priors import Normal, Table, beta_table, normal_table, weight_table
from luthier.space.values import Array, is_number, tell_apart

#: A closed interval of codes.
Interval = tuple[float, float]
#: The interval that holds no code.
NOWHERE: Interval = (2.0, -1.0)
#: Levels up to which codes are kept in a table.
TABLE = 2**12


class Column(ABC):
    """One encoded hyperparameter.

    Attributes:
        kind: "float", "int", "ordinal" or "choice".
        levels: Number of distinct values, 0 for a continuous one.
        default: Code of the default value.
    """

    kind: str
    levels: int
    default: float
    prior: Table | None = None

    def warp(self, u: Array) -> Array:
        """Uniform numbers to positions distributed as the prior says; (n,) -> (n,)."""
        if self.prior is None:
            return u
        return np.interp(u, *self.prior)

    @abstractmethod
    def snap(self, u: Array) -> Array:
        """Codes of the values that positions stand for; (n,) -> (n,)."""

    @abstractmethod
    def code_at(self, u: float) -> float:
        """Code at one position: `snap([u])[0]`, fast."""

    @abstractmethod
    def values(self, codes: Array) -> list[Any]:
        """Values of codes, in their order; (n,) codes."""

    @abstractmethod
    def value(self, u: float) -> Any:
        """Value at one position, snapped or not: `values(snap([u]))[0]`, fast."""

    @abstractmethod
    def codes(self, values: Sequence[Any]) -> Array:
        """(n,) codes of n values; numbers outside go to the nearest bound. KeyError, TypeError, ValueError else."""

    @abstractmethod
    def interval(self, operator: str, value: Any) -> Interval:
        """The codes that satisfy a comparison with "==", "<", "<=", ">" or ">="; empty ones have low > high."""

    @abstractmethod
    def numbers(self, codes: Array) -> Array:
        """Values of codes as floats, for comparing hyperparameters with each other; (n,) -> (n,)."""


class Continuous(Column):
    """A float without steps."""

    kind = "float"
    levels = 0

    def __init__(self, domain: Number) -> None:
        self.low, self.high, self.log = domain.low, domain.high, domain.log
        self.start = math.log(self.low) if self.log else self.low
        self.width = (math.log(self.high) if self.log else self.high) - self.start
        self.grid = 2.0**domain.bits
        self.default = float(self.codes([domain.default])[0])
        # known points give back the very number that the user wrote
        self.anchors = {self.default: domain.default, 0.0: self.low, 1.0: self.high}
        self.prior = _number_prior(domain, self.start, self.width, self.log)

    def snap(self, u: Array) -> Array:
        """See `Column`."""
        return np.rint(np.clip(u, 0.0, 1.0) * self.grid) / self.grid + 0.0

    def code_at(self, u: float) -> float:
        """See `Column`."""
        return round(min(max(u, 0.0), 1.0) * self.grid) / self.grid

    def value(self, u: float) -> float:
        """See `Column`."""
        code = self.code_at(u)
        found = self.anchors.get(code)
        if found is None:
            found = self.start + code * self.width
            if self.log:
                found = math.exp(found)
        return float(found)

    def values(self, codes: Array) -> list[Any]:
        """See `Column`."""
        # no clipping: a code beside 0 or 1 is further from the bound than rounding errors reach (`Number.bits`)
        found: list[Any] = (self.start + codes * self.width).tolist()
        if self.log:
            found = list(map(math.exp, found))  # not numpy's: one value, whatever stands beside it
        for code, value in self.anchors.items():
            for at in np.flatnonzero(codes == code).tolist():
                found[at] = value
        return found

    def codes(self, values: Sequence[Any]) -> Array:
        """See `Column`."""
        numbers = np.clip(np.array(values, dtype=float), self.low, self.high)
        if self.log:
            numbers = np.array([math.log(number) for number in numbers.tolist()])
        return self.snap((numbers - self.start) / self.width)

    def interval(self, operator: str, value: Any) -> Interval:
        """See `Column`."""
        step = 1.0 / self.grid
        # a value outside the bounds acts like a code just outside the unit interval
        code = -step if value < self.low else 1.0 + step if value > self.high else float(self.codes([value])[0])
        first, last = {
            "==": (code, code),
            "<": (0.0, code - step),
            "<=": (0.0, code),
            ">": (code + step, 1.0),
            ">=": (code, 1.0),
        }[operator]
        first, last = max(first, 0.0), min(last, 1.0)
        return (first, last) if first <= last else NOWHERE

    def numbers(self, codes: Array) -> Array:
        """See `Column`."""
        return np.array(self.values(codes), dtype=float)


class Levelled(Column):
    """A hyperparameter with countable values: whole numbers, steps, choices."""

    levels: int

    # equal widths: level i of K owns [i/K, (i+1)/K] and its code is the middle
    def level(self, u: float) -> int:
        """Level at one position."""
        return min(max(int(u * self.levels), 0), self.levels - 1)

    def level_array(self, u: Array) -> NDArray[np.int64]:
        """Levels at positions; (n,) -> (n,)."""
        return np.clip((np.asarray(u) * self.levels).astype(np.int64), 0, self.levels - 1)

    def level_codes(self, levels: NDArray[np.int64]) -> Array:
        """Codes of levels; (n,) -> (n,)."""
        return (levels + 0.5) / self.levels

    def code(self, level: int) -> float:
        """Code of one level."""
        return (level + 0.5) / self.levels

    def code_at(self, u: float) -> float:
        """See `Column`."""
        return self.code(self.level(u))

    def snap(self, u: Array) -> Array:
        """See `Column`."""
        return self.level_codes(self.level_array(u))


class Steps(Levelled):
    """Whole numbers, or floats in steps."""

    def __init__(self, domain: Number) -> None:
        self.domain, self.kind, self.levels = domain, domain.kind, domain.levels
        self.low, self.quantum = domain.low, domain.quantum
        half = self.quantum / 2
        if domain.log:
            # the first cell reaches half a step below, yet never below half the first value
            start = math.log(max(self.low - half, self.low / 2))
            width = math.log(domain.high + half) - start
        else:
            start, width = self.low - half, self.levels * self.quantum
        self.start, self.width, self.log = start, width, domain.log
        self._known: Sequence[Any] = ()  # level to value, where that is no large list
        if domain.whole:
            self._known = range(domain.low, domain.high + 1, self.quantum)
        elif self.levels <= TABLE:
            self._known = [domain.at(i) for i in range(self.levels)]
        self._bounds: list[float] = []
        self._table: Array = np.empty(0)
        if self.log and self.levels <= TABLE:
            self._table = np.array([(math.log(value) - start) / width for value in self._known])
            self._bounds = [(math.log(value + half) - start) / width for value in self._known[:-1]]
            self._bound_array = np.array(self._bounds)
        self.default = float(self.codes([domain.default])[0])
        self.prior = _number_prior(domain, start, width, self.log)

    def level(self, u: float) -> int:
        """See `Levelled`."""
        if not self.log:
            return super().level(u)
        if len(self._table):
            return bisect_right(self._bounds, u)
        return int(self.level_array(np.array([u]))[0])

    def level_array(self, u: Array) -> NDArray[np.int64]:
        """See `Levelled`."""
        if not self.log:
            return super().level_array(u)
        if len(self._table):
            return np.asarray(np.searchsorted(self._bound_array, u, side="right"), dtype=np.int64)
        raw = (np.exp(self.start + np.clip(u, 0.0, 1.0) * self.width) - self.low) / self.quantum
        levels: NDArray[np.int64] = np.clip(np.rint(raw).astype(np.int64), 0, self.levels - 1)
        return levels

    def level_codes(self, levels: NDArray[np.int64]) -> Array:
        """See `Levelled`."""
        if not self.log:
            return super().level_codes(levels)
        if len(self._table):
            return self._table[levels]
        logs = [math.log(value) for value in self._at(levels)]
        return (np.array(logs) - self.start) / self.width

    def code(self, level: int) -> float:
        """See `Levelled`."""
        return float(self.level_codes(np.array([level]))[0]) if self.log else super().code(level)

    def value(self, u: float) -> Any:
        """See `Column`."""
        level = self.level(u)
        return self._known[level] if self._known else self.domain.at(level)

    def values(self, codes: Array) -> list[Any]:
        """See `Column`."""
        return self._at(self.level_array(codes))

    def _at(self, levels: NDArray[np.int64]) -> list[Any]:
        get = self._known.__getitem__ if self._known else self.domain.at
        return [get(level) for level in levels.tolist()]

    def codes(self, values: Sequence[Any]) -> Array:
        """See `Column`."""
        raw = np.rint((np.array(values, dtype=float) - self.low) / self.quantum)
        return self.level_codes(np.clip(raw, 0, self.levels - 1).astype(np.int64))

    def interval(self, operator: str, value: Any) -> Interval:
        """See `Column`."""
        place = (value - self.low) / self.quantum
        whole = round(place)
        exact = abs(place - whole) < 1e-9 * max(1.0, abs(place))
        below = whole - 1 if exact else math.floor(place)  # last level below the value
        first, last = {
            "==": (whole, whole) if exact else (0, -1),
            "<": (0, below),
            "<=": (0, below + exact),
            ">": (below + 1 + exact, self.levels - 1),
            ">=": (below + 1, self.levels - 1),
        }[operator]
        first, last = max(first, 0), min(last, self.levels - 1)
        return (self.code(first), self.code(last)) if first <= last else NOWHERE

    def numbers(self, codes: Array) -> Array:
        """See `Column`."""
        return np.array(self.values(codes), dtype=float)


class Items(Levelled):
    """A choice or an ordinal."""

    def __init__(self, domain: Choice | Ordinal) -> None:
        self.domain, self.kind, self.levels = domain, domain.kind, domain.levels
        self._values, self._index = domain.values, domain.index
        # texts cannot be taken for one another, so they need no key that holds the type
        self._texts = {value: level for level, value in enumerate(domain.values) if isinstance(value, str)}
        self._all_texts = len(self._texts) == len(domain.values)
        self.default = self.code(self._index[tell_apart(domain.default)])
        self.prior = None if domain.prior is None else weight_table(domain.prior)

    def value(self, u: float) -> Any:
        """See `Column`."""
        return self._values[self.level(u)]

    def values(self, codes: Array) -> list[Any]:
        """See `Column`."""
        values = self._values
        return [values[level] for level in self.level_array(codes).tolist()]

    def codes(self, values: Sequence[Any]) -> Array:
        """See `Column`."""
        if self._all_texts:
            return self.level_codes(np.array([self._texts[value] for value in values], dtype=np.int64))
        index = self._index
        return self.level_codes(np.array([index[type(value), value] for value in values], dtype=np.int64))

    def interval(self, operator: str, value: Any) -> Interval:
        """See `Column`."""
        at = self._index[tell_apart(value)]
        last = self.levels - 1
        first, last = {
            "==": (at, at),
            "<": (0, at - 1),
            "<=": (0, at),
            ">": (at + 1, last),
            ">=": (at, last),
        }[operator]
        return (self.code(first), self.code(last)) if first <= last else NOWHERE

    def numbers(self, codes: Array) -> Array:
        """See `Column`."""
        return np.array(self._values, dtype=float)[self.level_array(codes)]


def _number_prior(domain: Number, start: float, width: float, log: bool) -> Table | None:
    prior = domain.prior
    if prior is None:
        return None
    if isinstance(prior, Normal):
        mean = math.log(prior.mean) if log else prior.mean
        return normal_table((mean - start) / width, prior.sd / width)
    return beta_table(prior.alpha, prior.beta)


def column(domain: Domain) -> Column | None:
    """The column of a valid domain, None for `Fixed`."""
    if isinstance(domain, Number):
        return Steps(domain) if domain.quantum is not None else Continuous(domain)
    if isinstance(domain, (Choice, Ordinal)):
        return Items(domain)
    return None


def comparable(domain: Domain) -> bool:
    """Whether every value of a domain is a number."""
    if isinstance(domain, Number):
        return True
    listed = getattr(domain, "values", None) or (getattr(domain, "value", None),)
    return all(is_number(value) for value in listed)
