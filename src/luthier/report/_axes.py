"""One axis for each hyperparameter: its scale, its categories, and where a value lies on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.base.records import Trial
from luthier.report._values import clean, short
from luthier.space.domain import Domain
from luthier.space.domains import Fixed, Float, Int
from luthier.space.problem import Problem


@dataclass(frozen=True)
class Axis:
    """Scale of one hyperparameter.

    Args:
        name: The hyperparameter.
        kind: "number" or "category".
        log: Whether the scale is logarithmic.
        low: Smallest value of a number.
        high: Largest value of a number.
        categories: Labels of a category, in order.
        when: The condition under which it is active, in words; empty when it always is.
    """

    name: str
    kind: str
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()
    when: str = ""
    _codes: Mapping[str, int] = field(default_factory=dict, repr=False)

    def place(self, value: Any) -> float | None:
        """Where a value lies, as a fraction of the axis in [0, 1]; None when it cannot be placed."""
        if self.kind == "category":
            code = self._codes.get(word(value))
            if code is None:
                return None
            return 0.5 if len(self.categories) == 1 else code / (len(self.categories) - 1)
        number = clean(value, 12)
        if number is None or (self.log and number <= 0):
            return None
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, number))
        return 0.5 if high <= low else float(f"{(at - low) / (high - low):.4f}")

    def ticks(self) -> list[tuple[float, str]]:
        """Places in [0, 1] with their labels."""
        if self.kind == "category":
            return [(self.place(label) or 0.0, label) for label in self.categories]
        return [(self.place(level) or 0.0, short(level)) for level in self._levels()]

    def _levels(self) -> list[float]:
        if self.high <= self.low:
            return [self.low]
        if self.log and self.high / self.low >= 1000:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            stride = max(1, math.ceil(len(powers) / 6))
            inner = [10.0**power for power in powers[::stride]]
        elif self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            inner = [factor * 10.0**power for power in range(first, last) for factor in (1, 2, 5)]
            inner = [level for level in inner if self.low < level < self.high]
        else:
            inner = _round_levels(self.low, self.high)
        # the ends are always named; what would print over them is left out
        ends = [self.low, self.high]
        clear = [v for v in inner if all(abs((self.place(v) or 0.0) - (self.place(e) or 0.0)) > 0.09 for e in ends)]
        return sorted([*ends, *clear])

    def as_dict(self) -> dict[str, Any]:
        """The axis as JSON-able values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "log": self.log,
            "low": self.low,
            "high": self.high,
            "categories": list(self.categories),
            "when": self.when,
            "ticks": [[place, label] for place, label in self.ticks()],
            "levels": self._levels() if self.kind == "number" else [],
        }


def word(value: Any) -> str:
    """A categorical value as its label; tells True from "True" no more than the eye does."""
    return value if isinstance(value, str) else repr(value)


def axes(problem: Problem, trials: Sequence[Trial]) -> list[Axis]:
    """An axis for every hyperparameter of the space, then for those that only trials know.

    Fixed hyperparameters are left out: they have nothing to show.
    """
    domains: Mapping[str, Domain] = problem.space.domains
    found = [_of_domain(name, domain, trials) for name, domain in domains.items() if not isinstance(domain, Fixed)]
    strange = {name: None for trial in trials for name in trial.config if name not in domains}
    return found + [_of_values(name, _seen(name, trials)) for name in strange]


def _seen(name: str, trials: Iterable[Trial]) -> list[Any]:
    return [trial.config[name] for trial in trials if name in trial.config]


def _of_domain(name: str, domain: Domain, trials: Sequence[Trial]) -> Axis:
    when = "" if domain.when is None else str(domain.when)
    if isinstance(domain, (Float, Int)):
        low, high = float(domain.low), float(domain.high)
        return Axis(name, "number", bool(domain.log), low, high, when=when)
    labels = [word(value) for value in getattr(domain, "values", ())]
    return _category(name, labels + [word(value) for value in _seen(name, trials)], when)


def _of_values(name: str, values: list[Any]) -> Axis:
    numbers = [clean(value, 12) for value in values if not isinstance(value, (str, bool))]
    known = [number for number in numbers if number is not None]
    if len(known) < len(values) or not known:
        return _category(name, sorted({word(value) for value in values}), "")
    low, high = min(known), max(known)
    return Axis(name, "number", low > 0 and high / low > 1000, low, high)


def _category(name: str, labels: Iterable[str], when: str) -> Axis:
    unique = tuple(dict.fromkeys(labels))
    return Axis(name, "category", categories=unique, when=when, _codes={label: i for i, label in enumerate(unique)})


def _round_levels(low: float, high: float) -> list[float]:
    """Three to six round numbers between two bounds."""
    raw = high / 4 - low / 4  # their difference itself may be beyond all floats
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]
