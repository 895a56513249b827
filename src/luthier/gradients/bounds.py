"""Bounds by transformation: hyperparameters of a space, and free numbers that gradients may move anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.gradients._tree import WHAT, Tensor, Tensors, torch_for
from luthier.space.domains import Float
from luthier.space.space import Space

EDGE = 1e-4  # share of a range next to its bounds that a start is kept out of: the gradient vanishes at a bound


@dataclass(frozen=True)
class Box:
    """Bounds and start of a hyperparameter that is a whole tensor, such as one weight an example.

    Args:
        start: First values; a number with `shape`, or a tensor.
        low: Lower bound.
        high: Upper bound.
        shape: Shape of the tensor, where `start` is a number.
        log: Whether ratios matter rather than differences; then `low` > 0.
    """

    start: Any
    low: float
    high: float
    shape: tuple[int, ...] = ()
    log: bool = False

    def __post_init__(self) -> None:
        check("low", self.low)
        check("high", self.high, above=self.low)
        if self.log:
            check("low", self.low, above=0)


class Bounds:
    """Takes hyperparameters to free numbers and back.

    value = low + (high - low) * sigmoid(free); with `log`, the same for the logarithm. A step of 1 in free numbers
    moves a value in the middle by about a quarter of its range, and less and less towards a bound.

    Args:
        space: Its continuous `Float`s are moved; all else stays as the configuration says.
        config: The configuration that says so, and where to start.
        tensors: Further hyperparameters, whole tensors.
        dtype: Of the tensors; None: torch's default.

    Raises:
        ArgumentError: nothing can be moved, or a name is given twice.

    Source: the logistic encoding that the family survey recommends.
    Cost: O(m).
    """

    def __init__(
        self,
        space: Space | None,
        config: Mapping[str, Any],
        *,
        tensors: Mapping[str, Box] | None = None,
        dtype: Any = None,
    ) -> None:
        self._torch = torch_for(WHAT)
        self.dtype = dtype or self._torch.get_default_dtype()
        moved = {} if space is None else {name: space[name] for name in config if name in space}
        self.scalars = {n: d for n, d in moved.items() if isinstance(d, Float) and d.step is None}
        self.tensors = dict(tensors or {})
        self.config = dict(config)
        if twice := sorted(set(self.tensors) & set(space or {})):
            raise ArgumentError(f"tensors={twice}: the space has such names too. Allowed: each name once.")
        if not self.scalars and not self.tensors:
            raise ArgumentError(
                "nothing to move by gradients. Allowed: at least one active Float without a step in the space, or "
                "tensors={name: Box(...)}."
            )

    def start(self) -> Tensors:
        """The first free numbers."""
        torch = self._torch
        values = {name: torch.tensor(float(self.config[name]), dtype=self.dtype) for name in self.scalars}
        for name, box in self.tensors.items():
            given = torch.as_tensor(box.start, dtype=self.dtype)
            values[name] = given.expand(box.shape).clone() if box.shape else given.clone()
        return self.free(values)

    def free(self, values: Mapping[str, Tensor]) -> Tensors:
        """Free numbers of hyperparameters; what lies at a bound is taken a ten-thousandth of the range inside."""
        return {
            name: self._torch.logit(self._share(name, value).clamp(EDGE, 1 - EDGE)) for name, value in values.items()
        }

    def values(self, free: Mapping[str, Tensor]) -> Tensors:
        """Hyperparameters of free numbers; differentiable."""
        found = {}
        for name, number in free.items():
            low, high, log = self._range(name)
            share = self._torch.sigmoid(number)
            found[name] = (low + (high - low) * share).exp() if log else low + (high - low) * share
        return found

    def slope(self, free: Mapping[str, Tensor], by_values: Mapping[str, Tensor]) -> Tensors:
        """The gradient by free numbers, from that by values."""
        found = {}
        for name, number in free.items():
            low, high, log = self._range(name)
            share = self._torch.sigmoid(number)
            stretch = (high - low) * share * (1 - share)
            if log:
                stretch = stretch * (low + (high - low) * share).exp()
            found[name] = by_values[name] * stretch
        return found

    def configuration(self, values: Mapping[str, Tensor]) -> dict[str, Any]:
        """The configuration with the moved scalars in their places, inside of their bounds."""
        moved = {name: min(max(float(values[name]), domain.low), domain.high) for name, domain in self.scalars.items()}
        return {**self.config, **moved}

    def first(self) -> dict[str, Any]:
        """The configuration of the start, with its own values: as tensors they are rounded.

        What lies at a bound is the exception, for it is taken inside.
        """
        values = self._torch.as_tensor
        shares = {n: float(self._share(n, values(float(self.config[n]), dtype=self.dtype))) for n in self.scalars}
        own = {name: self.config[name] for name, share in shares.items() if EDGE <= share <= 1 - EDGE}
        return {**self.configuration(self.values(self.start())), **own}

    def _range(self, name: str) -> tuple[float, float, bool]:
        domain = self.scalars.get(name) or self.tensors[name]
        if domain.log:
            return math.log(domain.low), math.log(domain.high), True
        return domain.low, domain.high, False

    def _share(self, name: str, value: Tensor) -> Tensor:
        low, high, log = self._range(name)
        return ((value.log() if log else value) - low) / (high - low)
