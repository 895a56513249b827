"""How a model's own function starts its tensors: measured at the proxy, read as the rule behind the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from luthier.grow.factories import Factory
from luthier.grow.roles import Slot
from luthier.nets._torch import nn, torch

BUILDS = 3  # proxies measured, so that a tensor of 1,000 numbers is known to 1.3 %
LARGE = 20_000_000  # parameters from which one is enough


class Starts:
    """Standard deviations (or constants) of a proxy's tensors at the start.

    Args:
        make: The model's function.
        sizes: Of the proxy.
    """

    def __init__(self, make: Factory, sizes: Mapping[str, Any]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first = make(**sizes)
            count = 1 if sum(p.numel() for p in first.parameters()) > LARGE else BUILDS
            models = [first, *(make(**sizes) for _ in range(count - 1))]
        self._tensors = [dict(model.named_parameters()) for model in models]
        self._named = _named(first)

    def of(self, slot: Slot) -> tuple[str, float]:
        """("constant", value) or ("normal", standard deviation)."""
        values = torch.stack([tensors[slot.name].detach().float().flatten() for tensors in self._tensors])
        if slot.embedding:
            values = values[:, values.abs().sum(0) > 0]  # a padding row is zero
        low, high = float(values.min()), float(values.max())
        if low == high:
            return "constant", low
        measured = float(values.double().pow(2).mean().sqrt())
        return "normal", self._rule(measured, slot, values.numel())

    def _rule(self, measured: float, slot: Slot, numbers: int) -> float:
        """The rule whose value is nearest, where one is within the measurement's error."""
        fan = 1
        if slot.axes is not None and slot.axes[1] is not None and len(slot.shape) > 1:
            fan = math.prod(slot.shape) // slot.shape[slot.axes[0]]
        rules = [1 / math.sqrt(3 * fan), 1 / math.sqrt(fan), math.sqrt(2 / fan), 1.0, *self._named]
        error = max(0.005, 4 / math.sqrt(2 * numbers))
        near = [rule for rule in rules if rule > 0 and abs(measured / rule - 1) <= error]
        return min(near, key=lambda rule: abs(measured / rule - 1)) if near else measured


def _named(model: nn.Module) -> list[float]:
    """Standard deviations that the model's configuration names, and GPT-2's smaller one for branches."""
    config = getattr(model, "config", None)
    found = [getattr(config, word, None) for word in ("init_std", "initializer_range")]
    layers = next((getattr(config, w) for w in ("n_layer", "num_hidden_layers", "layers") if hasattr(config, w)), 0)
    plain = [float(value) for value in found if value]
    return plain + [value / math.sqrt(2 * layers) for value in plain if layers]
